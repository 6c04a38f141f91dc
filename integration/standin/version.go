package standin

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// version is which Chef the stand-in plays: CHEF_STANDIN_VERSION, a major
// version or a whole one, and CHEF_STANDIN_PRODUCT, chef or cinc.
type version struct {
	number string
	major  int
	cinc   bool
}

// numbers are real releases of each major version that Gurney has been run
// against, or read for.
var numbers = map[int]string{12: "12.22.5", 13: "13.12.14", 14: "14.15.6", 15: "15.17.4", 16: "16.18.30", 17: "17.10.163", 18: "18.10.107"}

func thisVersion() (version, *exception) {
	want := os.Getenv("CHEF_STANDIN_VERSION")
	if want == "" {
		want = "18"
	}
	head, _, whole := strings.Cut(want, ".")
	major, err := strconv.Atoi(head)
	number := numbers[major]
	if err != nil || number == "" {
		return version{}, &exception{class: "ArgumentError", message: fmt.Sprintf("CHEF_STANDIN_VERSION %q: the stand-in plays 12 to 18", want)}
	}
	if whole {
		number = want
	}
	return version{number: number, major: major, cinc: strings.EqualFold(os.Getenv("CHEF_STANDIN_PRODUCT"), "cinc")}, nil
}

// client is how the program names itself in what it prints of a run.
func (v version) client() string {
	switch {
	case v.cinc && v.major >= 15:
		return "Cinc Client"
	case v.major >= 15:
		return "Chef Infra Client"
	}
	return "Chef Client"
}

// phase begins the summary line.
func (v version) phase() string {
	if v.major >= 17 {
		return "Infra Phase"
	}
	return v.client()
}

// line answers --version; up to 14 the product was plain Chef.
func (v version) line() string {
	product := v.client()
	if v.major < 15 {
		product = "Chef"
	}
	return fmt.Sprintf("%s: %s (gurney's stand-in, no Chef)", product, v.number)
}

// licensed says whether the licence counts as accepted, which 15 and later
// ask of who has no terminal. The flag comes before CHEF_LICENSE.
func (v version) licensed(given string) bool {
	if given == "" {
		given = os.Getenv("CHEF_LICENSE")
	}
	switch given {
	case "accept", "accept-silent", "accept-no-persist":
		return true
	}
	return v.major < 15
}
