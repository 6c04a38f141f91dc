package strictyaml

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

var sizeUnits = map[string]float64{
	"": 1, "b": 1,
	"k": 1e3, "kb": 1e3, "m": 1e6, "mb": 1e6, "g": 1e9, "gb": 1e9,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}

// ParseSize reads a number of bytes as people write it: 10485760, 10MB (powers
// of 1000), 10MiB (of 1024). It is never negative.
func ParseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	unit, known := sizeUnits[strings.ToLower(strings.TrimSpace(s[len(digits):]))]
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	// What is not a number at all (NaN) is in no range.
	if err != nil || !known || !(n >= 0 && n*unit <= math.MaxInt64/2) {
		return 0, errors.New("must be a size such as 10485760, 10MB or 10MiB")
	}
	return int64(n * unit), nil
}
