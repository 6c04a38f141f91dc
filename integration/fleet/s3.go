package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Credentials of the S3 servers that this package starts.
const (
	AccessKey = "gurney-test"
	SecretKey = "gurney-test-secret"
)

// S3 is a real S3 server over a directory; a bucket is a folder in it.
type S3 struct {
	Endpoint string // http://127.0.0.1:port
	Dir      string
	*Process
}

// StartS3 starts bin/versitygw over dir, with buckets made.
func StartS3(ctx context.Context, dir string, buckets ...string) (*S3, error) {
	bin, err := Tool("versitygw")
	if err != nil {
		return nil, err
	}
	for _, b := range buckets {
		if err := os.MkdirAll(filepath.Join(dir, b), 0o755); err != nil {
			return nil, err
		}
	}
	addr, err := FreeAddress()
	if err != nil {
		return nil, err
	}
	p, err := Start(dir, []string{"ROOT_ACCESS_KEY=" + AccessKey, "ROOT_SECRET_KEY=" + SecretKey},
		bin, "--port", addr, "--keep-alive", "posix", dir) // S3 keeps connections too
	if err != nil {
		return nil, err
	}
	s := &S3{Endpoint: "http://" + addr, Dir: dir, Process: p}
	if err := waitFor(ctx, p, func() error {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			err = c.Close()
		}
		return err
	}); err != nil {
		p.Kill()
		return nil, fmt.Errorf("S3 gateway: %w", err)
	}
	return s, nil
}

// Env is what makes the AWS SDK, and so gurney, talk to this server.
func (s *S3) Env() []string {
	var env []string
	for name, value := range CredentialsEnv() {
		env = append(env, name+"="+value)
	}
	return append(env, "GURNEY_S3_ENDPOINT="+s.Endpoint, "GURNEY_S3_PATH_STYLE=true")
}

// CredentialsEnv is what makes the AWS SDK go by this package's credentials.
func CredentialsEnv() map[string]string {
	return map[string]string{
		"AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey,
		"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
	}
}

// errLate is a child that runs, and is not ready when it should be.
var errLate = errors.New("not ready after 30 s")

// waitFor polls until ok returns nil, the child ends or half a minute is over.
func waitFor(ctx context.Context, p *Process, ok func() error) error {
	deadline := time.After(30 * time.Second)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Done():
			return fmt.Errorf("it ended: %s", p.Out)
		case <-deadline:
			return fmt.Errorf("%w: %w\n%s", errLate, err, p.Out)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
