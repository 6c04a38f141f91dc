package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gurney/artifact"
)

func TestJudgeSource(t *testing.T) {
	status := func(n int) error {
		return &artifact.SourceError{Status: n, Err: errors.New("why"), Wait: artifact.StatusTransient(n)}
	}
	s3 := func(n int, code string) error {
		return &artifact.SourceError{Status: n, Code: code, Err: errors.New("why")}
	}
	for _, c := range []struct {
		scheme, name string
		err          error
		want         string
	}{
		{"s3", "no such key", s3(404, "NoSuchKey"), "ok can be read"},
		{"s3", "denied", s3(403, "AccessDenied"), "ok answers; …"},
		{"s3", "no bucket", s3(404, "NoSuchBucket"), "FAIL: why"},
		{"s3", "another key's secret", s3(403, "SignatureDoesNotMatch"), "FAIL: why " + mendKeys},
		{"s3", "nobody's key", s3(403, "InvalidAccessKeyId"), "FAIL: why " + mendKeys},
		{"s3", "a key of yesterday", s3(400, "ExpiredToken"), "FAIL: why " + mendKeys},
		{"s3", "the clock", s3(403, "RequestTimeTooSkewed"), "FAIL: why " + mendTime},
		{"s3", "another no", s3(403, "AllAccessDisabled"), "FAIL: why " + mendS3},
		{"s3", "it is there", nil, "ok can be read"},
		{"https", "200 for everything", nil, "ok answers; …"},
		{"https", "404", status(404), "ok answers; …"},
		{"https", "403", status(403), "ok answers; …"},
		{"https", "401", status(401), "warn: why " + mendHTTP},
		{"https", "407", status(407), "FAIL: why"},
		{"https", "429", status(429), "FAIL: why"},
		{"https", "503", status(503), "FAIL: why"},
		{"https", "no route", &artifact.SourceError{Err: errors.New("no route"), Wait: true}, "FAIL: no route"},
		{"https", "a certificate", &artifact.SourceError{Err: errors.New("x509: expired")}, "FAIL: x509: expired"},
		{"https", "a login page elsewhere", fmt.Errorf("redirects to %w", &artifact.NotAllowedError{URL: "https://login/"}), "ok answers; …"},
		{"https", "no time", errors.New("deadline"), "FAIL: deadline"},
		{"gs", "404", status(404), "ok answers; …"},
		{"gs", "403", status(403), "ok answers; …"},
		{"gs", "401", status(401), "FAIL: why " + mendGS},
		{"gs", "no credentials", &artifact.SourceError{Err: errors.New("credentials")}, "FAIL: credentials " + mendGS},
		{"gs", "no route", &artifact.SourceError{Err: errors.New("no route"), Wait: true}, "FAIL: no route"},
	} {
		level, says, mend := judgeSource(c.scheme, c.err)
		got := strings.TrimSpace(level + strings.Replace(says, "the first release shows whether it can be read", "…", 1) + " " + mend)
		if got != c.want {
			t.Errorf("%s, %s: %q, want %q", c.scheme, c.name, got, c.want)
		}
	}
}
