package artifact

import (
	"crypto/md5"  //nolint:gosec // manifests of old name it
	"crypto/sha1" //nolint:gosec // manifests of old name it
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// Digest is what an archive's bytes must hash to.
type Digest struct {
	Algorithm string // md5, sha1, sha256 or sha512
	Hex       string
}

func (d Digest) new() (hash.Hash, error) {
	switch d.Algorithm {
	case "md5":
		return md5.New(), nil
	case "sha1":
		return sha1.New(), nil
	case "sha256":
		return sha256.New(), nil
	case "sha512":
		return sha512.New(), nil
	}
	return nil, fmt.Errorf("checksum algorithm %q: md5, sha1, sha256 and sha512 are known", d.Algorithm)
}

// check compares what was hashed.
func (d Digest) check(h hash.Hash, url string) error {
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, d.Hex) {
		return &ChecksumError{URL: url, Algorithm: d.Algorithm, Got: got, Want: strings.ToLower(d.Hex)}
	}
	return nil
}

// ChecksumError is an archive whose bytes are not those that were promised.
type ChecksumError struct {
	URL       string // redacted
	Algorithm string
	Got, Want string // hex
}

func (e *ChecksumError) Error() string {
	return fmt.Sprintf("%s: checksum mismatch: %s is %s, not %s as the manifest says", e.URL, e.Algorithm, e.Got, e.Want)
}
