package manifest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ParseChecksum reads a hex digest; its length tells the algorithm. Upper
// case and spaces around it are taken too.
func ParseChecksum(s string) (Checksum, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	if strings.Trim(s, "0123456789abcdef") != "" {
		return Checksum{}, errors.New("must be hex digits: md5 has 32, sha1 40, sha256 64, sha512 128")
	}
	algorithm, ok := map[int]string{32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}[len(s)]
	if _, err := hex.DecodeString(s); err != nil || !ok {
		digits := "digits"
		if len(s) == 1 {
			digits = "digit"
		}
		return Checksum{}, fmt.Errorf("%d hex %s; md5 has 32, sha1 40, sha256 64, sha512 128", len(s), digits)
	}
	return Checksum{Algorithm: algorithm, Hex: s}, nil
}
