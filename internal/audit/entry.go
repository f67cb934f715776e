package audit

import (
	"strconv"
	"strings"
	"time"

	"nas-target/internal/plain"
	"nas-target/internal/pr"
)

// Kind says what an Entry is about.
type Kind string

const (
	KindPR    Kind = "pr"    // a reservation command or event
	KindLogin Kind = "login" // a login, granted or refused
	KindAdmin Kind = "admin" // an operator's change, a start of the daemon
	KindLost  Kind = "lost"  // entries that did not fit in the queue
)

// Entry is one line of the trail. Its text is fit to be shown (package plain).
type Entry struct {
	Seq    uint64    `json:"seq"`
	Time   time.Time `json:"time"`
	Kind   Kind      `json:"kind"`
	Action string    `json:"action"`           // pr.Action in words, "login", "resize", …
	By     Party     `json:"by"`               // who asked
	Unit   string    `json:"unit,omitempty"`   // the unit's id in the reservation store
	LUN    string    `json:"lun,omitempty"`    // its name at the time
	Result string    `json:"result"`           // Granted, or why not in one token
	Reason string    `json:"reason,omitempty"` // the branch that refused
	Detail string    `json:"detail,omitempty"` // in words, if Action and Result do not say it all
	Lost   int       `json:"lost,omitempty"`   // of KindLost
	PR     *PR       `json:"pr,omitempty"`     // of KindPR
}

// Granted is the Result of what was done.
const Granted = "good"

// ActionRestart is the Action of the entry that tells what a start of the
// daemon found changed since the trail's last word: without APTPL, a power cycle
// of the host ends every registration.
const ActionRestart = "restart"

// Party is who asked for something: an initiator through its session, or an
// operator.
type Party struct {
	Initiator string `json:"initiator,omitempty"` // initiator port name
	Target    string `json:"target,omitempty"`    // target port name
	Peer      string `json:"peer,omitempty"`      // network address
	Operator  string `json:"operator,omitempty"`  // such as "uid 0"
}

// PR is what a reservation command asked and what it changed. Before, Added,
// Removed and Changed give the registrations after it.
type PR struct {
	Key        Key    `json:"key"`
	ServiceKey Key    `json:"service_key"`
	Type       string `json:"type,omitempty"` // asked for
	APTPL      bool   `json:"aptpl,omitempty"`
	AllPorts   bool   `json:"all_target_ports,omitempty"`
	SpecIPt    bool   `json:"spec_i_pt,omitempty"`
	Unregister bool   `json:"unregister,omitempty"`

	Before  Summary `json:"before"`
	After   Summary `json:"after"`
	Added   []Right `json:"added,omitempty"`
	Removed []Right `json:"removed,omitempty"`
	Changed []Right `json:"changed,omitempty"` // with the new key

	Drain time.Duration `json:"drain_ns"` // waited for the losers' calls in the medium
	Save  time.Duration `json:"save_ns"`  // waited for the store
	Total time.Duration `json:"total_ns"`
}

// Summary is a reservation state without its list of registrations.
type Summary struct {
	Condition     string `json:"condition,omitempty"` // empty: normal
	Generation    uint32 `json:"generation"`
	APTPL         bool   `json:"aptpl,omitempty"`
	Registrations int    `json:"registrations"`
	Type          string `json:"type,omitempty"`   // of the reservation; empty: none
	Holder        *Right `json:"holder,omitempty"` // nil also for the all-registrants types
	Legacy        string `json:"legacy,omitempty"` // initiator port that holds an SPC-2 reservation
}

// Right is a registration by name.
type Right struct {
	Initiator string `json:"initiator"`
	Target    string `json:"target"`
	Key       Key    `json:"key"`
}

// Key is a reservation key that is "0x" and 16 hexadecimal digits as text: many
// readers of JSON have no 64-bit integers.
type Key pr.Key

func (k Key) String() string { return pr.Key(k).String() }

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *Key) UnmarshalText(b []byte) error {
	n, err := strconv.ParseUint(string(b), 0, 64)
	*k = Key(n)
	return err
}

func right(r pr.Registration) Right {
	return Right{plain.Text(r.Initiator), plain.Text(r.Target), Key(r.Key)}
}

// nexus identifies a right as Origins keeps it: in its shown form.
func (r Right) nexus() pr.Nexus { return pr.Nexus{Initiator: r.Initiator, Target: r.Target} }

// Host returns the part of an initiator port name that people know a machine
// by: what follows the naming authority, or all of it.
func Host(port string) string {
	node := pr.Node(port)
	if _, own, ok := strings.Cut(node, ":"); ok && own != "" {
		return own
	}
	return node
}

// ISID returns the ISID part of an initiator port name, "0x" and 12 digits, or
// "" if it has none.
func ISID(port string) string {
	node := pr.Node(port)
	if len(port) < len(node)+3 {
		return ""
	}
	return port[len(node)+3:]
}
