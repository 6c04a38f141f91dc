package s3

import (
	"context"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// client asks Amazon for each bucket where it is: an answer from elsewhere
// names the region, which is asked once more, and from then on first. It
// has what package transfermanager calls.
type client struct {
	*s3.Client
	region  string   // asked in, until a bucket is known to be elsewhere
	custom  bool     // another server than Amazon's, where a region is no address
	buckets sync.Map // bucket → region
}

// regionError is an answer that names another region than was asked.
type regionError struct {
	region string
	err    error
}

func (e *regionError) Error() string { return e.err.Error() + e.mend() }

// Unwrap returns the answer.
func (e *regionError) Unwrap() error { return e.err }

func (e *regionError) mend() string { return " (right would be s3.region: " + e.region + ")" }

// there has the SDK's ask do in in the bucket's region, perhaps twice: a body that
// is to be sent again must seek.
func there[I, O any](ctx context.Context, c *client, bucket *string, in I, body io.Reader, opts []func(*s3.Options),
	ask func(context.Context, I, ...func(*s3.Options)) (O, error)) (O, error) {
	askIn := func(region string) (out O, err error) {
		if err := rewind(body); err != nil {
			return out, err
		}
		return ask(ctx, in, append(slices.Clip(opts), func(o *s3.Options) { o.Region = region })...)
	}
	asked := c.region
	if known, ok := c.buckets.Load(*bucket); ok {
		asked, _ = known.(string)
	}
	out, err := askIn(asked)
	named := regionIn(err)
	switch {
	case named == "" || named == asked:
		return out, err
	case c.custom:
		return out, &regionError{named, err}
	}
	out, err = askIn(named)
	switch again := regionIn(err); {
	case again != "" && again != named:
		return out, &regionError{again, err}
	case err != nil && status(err) == 0: // out of reach, where the other is not
		return out, &regionError{named, err}
	}
	c.buckets.Store(*bucket, named)
	return out, err
}

var regionName = regexp.MustCompile(`^[a-z0-9-]{1,63}$`)

// regionIn is the region that an answer says the bucket is in; "" where it
// says none, or was no matter of regions. (301, 307 and 400 of
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html)
func regionIn(err error) string {
	var answer *smithyhttp.ResponseError
	if !errors.As(err, &answer) || answer.HTTPStatusCode()/100 != 3 && answer.HTTPStatusCode() != 400 {
		return ""
	}
	region := answer.Response.Header.Get("X-Amz-Bucket-Region")
	var api smithy.APIError
	if region == "" && errors.As(err, &api) && api.ErrorCode() == "AuthorizationHeaderMalformed" {
		_, after, _ := strings.Cut(api.ErrorMessage(), "expecting '")
		region, _, _ = strings.Cut(after, "'")
	}
	if !regionName.MatchString(region) {
		return ""
	}
	return region
}

// GetObject, as all below, is that of the SDK, in the bucket's region.
func (c *client) GetObject(ctx context.Context, in *s3.GetObjectInput, opts ...func(*s3.Options)) (*s3.GetObjectOutput, error) {
	return there(ctx, c, in.Bucket, in, nil, opts, c.Client.GetObject)
}

// HeadObject is that of the SDK.
func (c *client) HeadObject(ctx context.Context, in *s3.HeadObjectInput, opts ...func(*s3.Options)) (*s3.HeadObjectOutput, error) {
	return there(ctx, c, in.Bucket, in, nil, opts, c.Client.HeadObject)
}

// PutObject is that of the SDK.
func (c *client) PutObject(ctx context.Context, in *s3.PutObjectInput, opts ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	return there(ctx, c, in.Bucket, in, in.Body, opts, c.Client.PutObject)
}

// CreateMultipartUpload is that of the SDK.
func (c *client) CreateMultipartUpload(ctx context.Context, in *s3.CreateMultipartUploadInput, opts ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	return there(ctx, c, in.Bucket, in, nil, opts, c.Client.CreateMultipartUpload)
}

// UploadPart is that of the SDK.
func (c *client) UploadPart(ctx context.Context, in *s3.UploadPartInput, opts ...func(*s3.Options)) (*s3.UploadPartOutput, error) {
	return there(ctx, c, in.Bucket, in, in.Body, opts, c.Client.UploadPart)
}

// CompleteMultipartUpload is that of the SDK.
func (c *client) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput, opts ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	return there(ctx, c, in.Bucket, in, nil, opts, c.Client.CompleteMultipartUpload)
}

// AbortMultipartUpload is that of the SDK.
func (c *client) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput, opts ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	return there(ctx, c, in.Bucket, in, nil, opts, c.Client.AbortMultipartUpload)
}

func rewind(body io.Reader) error {
	if s, ok := body.(io.Seeker); ok {
		_, err := s.Seek(0, io.SeekStart)
		return err
	}
	return nil
}
