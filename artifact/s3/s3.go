// Package s3 reads and writes objects of Amazon S3 and of servers that speak
// its protocol. It is the only importer of the AWS SDK.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"gurney/artifact"
)

// Options say which server to speak to. What is empty is left to the SDK's
// own chain: environment, shared files, instance metadata.
type Options struct {
	Endpoint  string // https://host[:port] of a server other than Amazon's
	Region    string
	PathStyle bool // bucket in the path, not in the host name
}

// Store is a client. It is safe for concurrent use, and asks for credentials
// when it is first used.
type Store struct{ client *client }

// fallbackRegion is signed with where nothing names a region: a server of
// one's own has none, and Amazon answers with the right one.
const fallbackRegion = "us-east-1"

// New makes a client. It sends nothing.
func New(ctx context.Context, o Options) (*Store, error) { return newStore(ctx, o, transport) }

// newStore is New with a transport made of the SDK's own client.
func newStore(ctx context.Context, o Options, transport func(aws.HTTPClient) http.RoundTripper) (*Store, error) {
	var load []func(*config.LoadOptions) error
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	// Tries are counted in package artifact, for all sources alike.
	load = append(load, config.WithRetryMaxAttempts(1))
	// What is wrong comes back as an error; the SDK's own lines go to stderr.
	load = append(load, config.WithLogger(logging.Nop{}))
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("configure s3: %w", err)
	}
	if cfg.Region == "" {
		cfg.Region = fallbackRegion
	}
	sdk := s3.NewFromConfig(cfg, func(so *s3.Options) {
		if o.Endpoint != "" {
			so.BaseEndpoint = aws.String(o.Endpoint)
		}
		so.UsePathStyle = o.PathStyle
		so.HTTPClient = direct{transport(so.HTTPClient)}
		// Gurney proves every archive by its own checksum; the SDK's would
		// warn about each ranged answer that has none.
		so.DisableLogOutputChecksumValidationSkipped = true
	})
	return &Store{&client{Client: sdk, region: cfg.Region, custom: sdk.Options().BaseEndpoint != nil}}, nil
}

// direct sends requests and follows no redirect. The SDK's own client follows
// 307 and 308 to any host: whoever answers could lead out of the sources, and
// such a host's bytes would be taken for the bucket's.
type direct struct{ http.RoundTripper }

// Do implements aws.HTTPClient.
func (d direct) Do(r *http.Request) (*http.Response, error) { return d.RoundTrip(r) }

// transport is the one that the SDK would send with: it knows of AWS_CA_BUNDLE.
func transport(c aws.HTTPClient) http.RoundTripper {
	if b, ok := c.(*awshttp.BuildableClient); ok {
		return b.GetTransport()
	}
	return awshttp.NewBuildableClient().GetTransport()
}

// object splits s3://bucket/key. Leading slashes of the key come off, and no
// others: that is what Stretcher does, and keys with `//` inside exist.
func object(u *url.URL) (bucket, key string, err error) {
	key = strings.TrimLeft(u.Path, "/")
	if u.Host == "" || key == "" {
		return "", "", &artifact.SourceError{URL: artifact.Redact(u), Err: errors.New("a bucket and a key are wanted, as s3://bucket/key")}
	}
	return u.Host, key, nil
}

// Open implements artifact.Source.
func (s *Store) Open(ctx context.Context, u *url.URL, offset, length int64, ifMatch string) (io.ReadCloser, artifact.Info, error) {
	bucket, key, err := object(u)
	if err != nil {
		return nil, artifact.Info{}, err
	}
	in := &s3.GetObjectInput{Bucket: &bucket, Key: &key}
	if offset > 0 || length >= 0 {
		in.Range = aws.String(byteRange(offset, length))
	}
	if ifMatch != "" {
		in.IfMatch = &ifMatch
	}
	out, err := s.client.GetObject(ctx, in)
	if status(err) == http.StatusRequestedRangeNotSatisfiable && offset == 0 {
		return http.NoBody, artifact.Info{URL: artifact.Redact(u)}, nil // an empty object
	}
	if err != nil {
		return nil, artifact.Info{}, wrap(ctx, u, err)
	}
	info := artifact.Info{Size: -1, ETag: aws.ToString(out.ETag), URL: artifact.Redact(u)}
	if out.ContentLength != nil {
		info.Size = *out.ContentLength
	}
	if offset > 0 && out.ContentRange == nil {
		_ = out.Body.Close()
		return nil, artifact.Info{}, &artifact.SourceError{URL: artifact.Redact(u), Status: http.StatusOK, Err: artifact.ErrNoRanges}
	}
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok {
		if _, err := fmt.Sscan(total, &info.Size); err == nil {
			info.Ranges = true
		}
	}
	return out.Body, info, nil
}

func byteRange(offset, length int64) string {
	if length < 0 {
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
}

// Put implements artifact.Sink, in parts where the body is large; it need not
// be able to seek.
func (s *Store) Put(ctx context.Context, u *url.URL, body io.Reader, contentType string) error {
	bucket, key, err := object(u)
	if err != nil {
		return err
	}
	_, err = transfermanager.New(s.client).UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &bucket, Key: &key, Body: body, ContentType: &contentType,
	})
	if err != nil {
		return wrap(ctx, u, err)
	}
	return nil
}

// Exists says whether the object is there, and how large it is. The answer to
// HEAD has no words: where it is a refusal, they are asked for by a GET.
func (s *Store) Exists(ctx context.Context, u *url.URL) (size int64, found bool, err error) {
	bucket, key, err := object(u)
	if err != nil {
		return 0, false, err
	}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &bucket, Key: &key})
	if status(err) == http.StatusNotFound {
		return 0, false, nil
	}
	if code := status(err); code >= 300 && code < 500 {
		body, info, err := s.Open(ctx, u, 0, 1, "")
		var source *artifact.SourceError
		switch {
		case errors.As(err, &source) && source.Code == "NoSuchKey":
			return 0, false, nil
		case err != nil:
			return 0, false, err
		}
		return info.Size, true, body.Close()
	}
	if err != nil {
		return 0, false, wrap(ctx, u, err)
	}
	return aws.ToInt64(out.ContentLength), true, nil
}

// status is the HTTP status in err; 0 where no answer came.
func status(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

// redirect says where an answer would have led.
func redirect(err error) string {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode()/100 != 3 || regionIn(err) != "" {
		return ""
	}
	to, err := answer.Response.Location()
	if err != nil {
		return "" // none, or nothing that can be shown without its secrets
	}
	return " (it redirects to " + artifact.Redact(to) + ", and S3's redirects are not followed)"
}

// wrap says what S3 said, without the SDK's request ids and host names; or why
// ctx ended, where that came first.
func wrap(ctx context.Context, u *url.URL, err error) error {
	var elsewhere *regionError
	if errors.As(err, &elsewhere) {
		err = elsewhere.err // whose mend is said at the end
	}
	e := &artifact.SourceError{URL: artifact.Redact(u), Status: status(err), Err: err}
	var api smithy.APIError
	var send *smithyhttp.RequestSendError
	if errors.As(err, &send) {
		e.Err = send.Err // the rest is operation names and empty request ids
	}
	if errors.As(err, &api) {
		e.Code = api.ErrorCode()
		e.Err = errors.New(words(e.Status, api) + redirect(err))
		switch e.Code {
		case "SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "RequestTimeTooSkewed":
			e.Wait = true
		}
	}
	e.Changed = e.Status == http.StatusPreconditionFailed
	e.Wait = e.Wait || artifact.StatusTransient(e.Status) || e.Status == 0 && artifact.NetworkTransient(err)
	if _, why, found := strings.Cut(err.Error(), "get credentials: "); found && e.Code == "" {
		// The status is that of the machine's metadata: S3 was not asked.
		e.Status = 0
		e.Err = fmt.Errorf("no AWS credentials: attach a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (%s)", why)
	}
	if end := artifact.Ended(ctx, u); end != nil && e.Status == 0 {
		return end
	}
	if elsewhere != nil {
		e.Err = fmt.Errorf("%w%s", e.Err, elsewhere.mend())
	}
	return e
}

// words are the code and the message of an answer. Where it had neither, the
// SDK takes the status for both.
func words(status int, api smithy.APIError) string {
	code, message := api.ErrorCode(), api.ErrorMessage()
	if text := http.StatusText(status); message == text && code == strings.ReplaceAll(text, " ", "") {
		return strings.TrimSpace(fmt.Sprintf("%d %s", status, text))
	}
	if message == "" || message == code {
		return code
	}
	return code + ": " + message
}
