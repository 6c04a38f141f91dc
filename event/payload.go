package event

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// MaxPayload is how many bytes Consul 1.22 takes as an event's payload; it
// answers 413 above that.
const MaxPayload = 300

// Payload is what an event carries: a hint that the app's record changed, or,
// Stretcher's way, the URL of a manifest. Exactly one of the two is set.
type Payload struct {
	Hint *Hint
	URL  string // as it was sent, without white space around it
}

// Hint says that the app's record has changed. It is never an order: the
// record is.
type Hint struct {
	ID  string // of the deployment that it is about
	Seq int64  // of the record after the change
}

// hintVersion is the first word of a hint.
const hintVersion = "g1"

var (
	appName      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
	deploymentID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// ValidApp says whether name can be the name of an app, and so of its event.
func ValidApp(name string) bool { return appName.MatchString(name) }

// ValidID says whether id can name a deployment: it becomes a part of keys
// and of paths.
func ValidID(id string) bool { return deploymentID.MatchString(id) }

// Bytes is the payload of the hint: `g1 <id> <seq>`.
func (h Hint) Bytes() []byte {
	return []byte(hintVersion + " " + h.ID + " " + strconv.FormatInt(h.Seq, 10))
}

// ParsePayload tells a hint from a URL. An error says what is wrong without
// repeating what could be a secret in a URL.
func ParsePayload(data []byte) (Payload, error) {
	text := strings.TrimSpace(string(data))
	if text == "" {
		return Payload{}, errors.New("the payload is empty: a manifest's URL is wanted")
	}
	if words := strings.Fields(text); words[0] == hintVersion {
		h, err := parseHint(words[1:])
		return Payload{Hint: h}, err
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || strings.ContainsAny(text, " \t\n") {
		return Payload{}, fmt.Errorf("the payload (%d B) is no URL of a manifest", len(data))
	}
	return Payload{URL: text}, nil
}

func parseHint(words []string) (*Hint, error) {
	if len(words) < 2 {
		return nil, errors.New("a hint is `" + hintVersion + " <id> <seq>`: a part is missing")
	}
	if !ValidID(words[0]) {
		return nil, fmt.Errorf("a hint is `%s <id> <seq>`: %.80q is no id of a deployment", hintVersion, words[0])
	}
	seq, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil || seq <= 0 {
		return nil, fmt.Errorf("a hint is `%s <id> <seq>`: %.40q is no seq", hintVersion, words[1])
	}
	return &Hint{ID: words[0], Seq: seq}, nil
}
