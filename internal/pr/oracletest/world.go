package oracletest

import (
	"fmt"
	"sort"
	"strings"
)

// Path is an I_T nexus: initiator port and target port, by number.
type Path struct{ Ini, Port int }

// Entry is a registration.
type Entry struct {
	Key uint64
	All bool // made with ALL_TG_PT=1
}

// World is the state of one logical unit.
type World struct {
	Keys   map[Path]Entry
	Type   int  // 0 if there is no reservation
	Holder Path // for types 1, 3, 5, 6
	Gen    uint32
	PTPL   bool
	Old    *Path // owner of a RESERVE(6) reservation
	Lost   bool
}

// Device is what surrounds the unit.
type Device struct {
	Ports  int // target ports 0 to Ports-1; port p has relative identifier p+1
	Node   map[int]string
	Known  []int // initiator ports the device server knows
	Room   int   // registrations
	NoUARe bool  // NUAR
}

// Command is a request as it arrives.
type Command struct {
	Kind     string // "out", "reserve", "release", "nexus loss", "reset", "power cycle", "operator clear"
	SA       int    // of "out"
	From     Path
	RK, SARK uint64
	Scope    int
	Type     int
	APTPL    bool
	AllPorts bool
	SpecIPt  bool
	Unreg    bool
	BadLen   bool
	List     []Named
	RelPort  int
}

// Named is a TransportID: an initiator port, or a node with all its ports, or
// nonsense.
type Named struct {
	Ini  int    // if Node is ""
	Node string // format 00b
	Bad  bool
}

// Answer is what must come of a command.
type Answer struct {
	Status string          // "GOOD", "CONFLICT" or sense key/ASC/ASCQ
	UA     map[Path]string // additional sense code each nexus gets
	UA2    map[Path]string // a second one
	Abort  map[Path]bool   // whose tasks are aborted
	Allow  map[Path]bool   // for whom removal is allowed again
	After  World
	Row    string // which row decided
}

func (w World) copy() World {
	c := w
	c.Keys = make(map[Path]Entry, len(w.Keys))
	for p, e := range w.Keys {
		c.Keys[p] = e
	}
	if w.Old != nil {
		o := *w.Old
		c.Old = &o
	}
	return c
}

func (w World) has(p Path) bool { _, ok := w.Keys[p]; return ok }

func everybodyHolds(typ int) bool   { return typ == 7 || typ == 8 }
func registrantsCount(typ int) bool { return typ >= 5 && typ <= 8 }

// Holds reports whether p is a holder. 5.13.10.
func (w World) Holds(p Path) bool {
	if everybodyHolds(w.Type) {
		return w.has(p)
	}
	return w.Type != 0 && w.Holder == p
}

// String is canonical: equal worlds print equally.
func (w World) String() string {
	var s []string
	for p, e := range w.Keys {
		mark := ""
		if e.All {
			mark = "*"
		}
		s = append(s, fmt.Sprintf("%d.%d=%x%s", p.Ini, p.Port, e.Key, mark))
	}
	sort.Strings(s)
	out := strings.Join(s, " ")
	if w.Type != 0 {
		out += fmt.Sprintf(" type %d", w.Type)
		if !everybodyHolds(w.Type) {
			out += fmt.Sprintf(" by %d.%d", w.Holder.Ini, w.Holder.Port)
		}
	}
	if w.Old != nil {
		out += fmt.Sprintf(" old %d.%d", w.Old.Ini, w.Old.Port)
	}
	if w.PTPL {
		out += " ptpl"
	}
	if w.Lost {
		out += " lost"
	}
	return out + fmt.Sprintf(" gen %d", w.Gen)
}
