package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gurney/artifact"
)

// What mends a source.
const (
	mendS3   = "attach docs/s3-policy.json to the role"
	mendKeys = "its credentials are not known there, or no longer: AWS_ACCESS_KEY_ID and its secret, AWS_SESSION_TOKEN, ~/.aws"
	mendTime = "this machine's clock is wrong"
	mendGS   = "give the node a service account, or set GOOGLE_APPLICATION_CREDENTIALS"
	mendHTTP = "http.headers can bring what it asks for"
	mendFile = "mount or make it, for the agent's user, or take it out of sources"
)

// sources looks at each source as a run would. They are asked side by side:
// one that is silent takes its 15 seconds.
func (k *checker) sources(ctx context.Context) {
	found := make([]finding, len(k.cfg.Sources))
	var wg sync.WaitGroup
	for i, source := range k.cfg.Sources {
		wg.Go(func() { found[i] = k.source(ctx, source) })
	}
	wg.Wait()
	k.list = append(k.list, found...)
}

// source asks for an object that is not there; of a directory on this machine
// it is known whether it can be read.
func (k *checker) source(ctx context.Context, source string) finding {
	u, err := url.Parse(source)
	switch {
	case err != nil:
		return finding{levelFail, "sources", "one can't be parsed as a URL", ""}
	case u.Scheme == "file":
		if err := readable(u.Path); err != nil {
			return finding{levelFail, u.Scheme, source + ": " + err.Error(), mendFile}
		}
		return finding{levelOK, u.Scheme, source + " can be read", ""}
	}
	level, says, mend := judgeSource(u.Scheme, k.read(ctx, u.JoinPath("gurney-check-reads-what-is-not-there")))
	return finding{level, u.Scheme, source + says, mend}
}

// judgeSource judges what a source says of an object that is not there. Who
// may not list a bucket is told that reading is denied, and a web server says
// what it likes: no more can be known before there is a release to read.
func judgeSource(scheme string, err error) (level, says, mend string) {
	const unknown = " answers; the first release shows whether it can be read"
	var answer *artifact.SourceError
	var elsewhere *artifact.NotAllowedError
	switch {
	case scheme == "s3" && err == nil:
		return levelOK, " can be read", ""
	case err == nil, scheme != "s3" && errors.As(err, &elsewhere): // a page of its own for what it does not have
		return levelOK, unknown, ""
	case !errors.As(err, &answer):
		return levelFail, ": " + err.Error(), ""
	}
	why := ": " + answer.Err.Error()
	switch {
	case answer.Code == "NoSuchKey":
		return levelOK, " can be read", ""
	case answer.Code == "AccessDenied":
		return levelOK, unknown, ""
	case scheme == "s3":
		return levelFail, why, sourceMend(err)
	case scheme == "gs" && (answer.Status == http.StatusUnauthorized || answer.Status == 0 && !answer.Transient()):
		return levelFail, why, mendGS // no credentials, or none that hold
	case answer.Status == http.StatusUnauthorized:
		return levelWarn, why, mendHTTP
	case answer.Status >= 400 && answer.Status < 500 && answer.Status != http.StatusProxyAuthRequired && !answer.Transient():
		return levelOK, unknown, ""
	}
	return levelFail, why, ""
}

// readable says whether this process may enter the directory at path, or read
// the file.
func readable(path string) error {
	info, err := os.Stat(path)
	var pe *os.PathError
	switch {
	case errors.As(err, &pe):
		return pe.Err // the URL has the path
	case err != nil:
		return err
	case info.IsDir():
		return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.R_OK, unix.AT_EACCESS)
}

// read reads the first byte of an archive, as a run would begin.
func (k *checker) read(ctx context.Context, u *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	fetcher, allow, _, err := newFetcher(ctx, k.cfg, quiet(k.p))
	if err != nil {
		return err
	}
	if err := allow.Check(u); err != nil {
		return err
	}
	source, ok := fetcher.Sources[u.Scheme]
	if !ok {
		return fmt.Errorf("scheme %q is not read", u.Scheme)
	}
	body, _, err := source.Open(ctx, u, 0, 1, "")
	if err != nil {
		return err
	}
	return body.Close()
}

func sourceMend(err error) string {
	var answer *artifact.SourceError
	if !errors.As(err, &answer) || answer.Code == "" {
		return ""
	}
	switch answer.Code {
	case "SignatureDoesNotMatch", "InvalidAccessKeyId", "InvalidToken", "ExpiredToken":
		return mendKeys
	case "RequestTimeTooSkewed":
		return mendTime
	}
	if answer.Status == http.StatusForbidden {
		return mendS3
	}
	return ""
}
