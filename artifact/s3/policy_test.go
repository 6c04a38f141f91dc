package s3

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gurney/artifact"
	"gurney/integration/fleet"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// The policies of docs/ are enough for what nodes and publishers do, on a real
// S3 server that holds users to them, and no more.
func TestPolicies(t *testing.T) {
	gw := startGateway(t)
	gw.user(t, "node")
	gw.user(t, "publisher")
	owner := gw.store(t, fleet.AccessKey, fleet.SecretKey)
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": append(
		statements(t, "s3-policy.json", "node"), statements(t, "s3-policy-publish.json", "publisher")...)})
	must(t, err)
	_, err = owner.client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("acme"), Policy: aws.String(string(policy))})
	must(t, err)
	must(t, owner.Put(t.Context(), key("other/secret"), bytes.NewReader([]byte("s")), "text/plain"))
	nobody := gw.user(t, "nobody")

	publisher := gw.store(t, "publisher", "publisher-secret")
	large := bytes.Repeat([]byte("0123456789abcdef"), 2<<20) // sent in parts
	if _, found, err := publisher.Exists(t.Context(), key("chef/new")); err != nil || found {
		t.Errorf("a publisher that asks what is not there: %t, %v", found, err)
	}
	must(t, publisher.Put(t.Context(), key("chef/new"), bytes.NewReader(large), "application/octet-stream"))
	if size, found, err := publisher.Exists(t.Context(), key("chef/new")); err != nil || !found || size != int64(len(large)) {
		t.Errorf("a publisher that asks what is there: %d, %t, %v", size, found, err)
	}
	denied(t, "a publisher that writes elsewhere", publisher.Put(t.Context(), key("other/new"), bytes.NewReader(nil), "text/plain"))

	reader := gw.store(t, "node", "node-secret")
	body, _, err := reader.Open(t.Context(), key("chef/new"), 16, 16, "")
	must(t, err)
	got, err := io.ReadAll(body)
	if err != nil || string(got) != "0123456789abcdef" {
		t.Errorf("a node reads %q, %v", got, err)
	}
	must(t, body.Close())
	denied(t, "a node that writes", reader.Put(t.Context(), key("chef/new"), bytes.NewReader(nil), "text/plain"))
	_, _, err = reader.Open(t.Context(), key("other/secret"), 0, -1, "")
	denied(t, "a node that reads elsewhere", err)
	_, _, err = nobody.Open(t.Context(), key("chef/new"), 0, -1, "")
	denied(t, "someone without a policy", err)
}

func key(name string) *url.URL { return &url.URL{Scheme: "s3", Host: "acme", Path: "/" + name} }

func denied(t *testing.T, what string, err error) {
	t.Helper()
	var e *artifact.SourceError
	if !errors.As(err, &e) || e.Status != http.StatusForbidden {
		t.Errorf("%s: %v, want 403", what, err)
	}
}

// statements are a role's policy as one of the bucket's: it then names whom it
// is for.
func statements(t *testing.T, file, user string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", file))
	must(t, err)
	var policy struct{ Statement []map[string]any }
	must(t, json.Unmarshal(data, &policy))
	for _, s := range policy.Statement {
		s["Principal"] = map[string]any{"AWS": []string{user}}
	}
	return policy.Statement
}

// gateway is versitygw with users of its own.
type gateway struct{ bin, endpoint string }

func startGateway(t *testing.T) gateway {
	t.Helper()
	bin, err := fleet.Tool("versitygw")
	must(t, err)
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "data", "acme"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "iam"), 0o755))
	addr, err := fleet.FreeAddress()
	must(t, err)
	p, err := fleet.Start(dir, []string{"ROOT_ACCESS_KEY=" + fleet.AccessKey, "ROOT_SECRET_KEY=" + fleet.SecretKey},
		bin, "--port", addr, "--iam-dir", filepath.Join(dir, "iam"), "--iam-cache-disable", "posix", filepath.Join(dir, "data"))
	must(t, err)
	t.Cleanup(p.Kill)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			must(t, c.Close())
			return gateway{bin, "http://" + addr}
		}
		if time.Now().After(end) {
			t.Fatalf("the S3 gateway does not answer: %v\n%s", err, p.Out)
		}
	}
}

// user makes one who may nothing by itself, and returns what they see.
func (g gateway) user(t *testing.T, name string) *Store {
	t.Helper()
	out, err := exec.Command(g.bin, "admin", "--access", fleet.AccessKey, "--secret", fleet.SecretKey, "--endpoint-url", g.endpoint,
		"create-user", "--access", name, "--secret", name+"-secret", "--role", "user").CombinedOutput()
	if err != nil {
		t.Fatalf("create user %s: %v\n%s", name, err, out)
	}
	return g.store(t, name, name+"-secret")
}

func (g gateway) store(t *testing.T, access, secret string) *Store {
	t.Helper()
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": "",
		"AWS_PROFILE": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_ENDPOINT_URL": "", "AWS_ENDPOINT_URL_S3": ""} {
		t.Setenv(name, value)
	}
	s, err := New(t.Context(), Options{Endpoint: g.endpoint, Region: "us-east-1", PathStyle: true})
	must(t, err)
	// The SDK reads the environment when it is first asked to sign.
	_, _, _ = s.Exists(t.Context(), key("chef/none"))
	return s
}
