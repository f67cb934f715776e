package sim

import (
	"fmt"
	"time"

	"nas-target/internal/initiator"
)

// Who names an I_T nexus of a bench.
type Who struct {
	Node string  // "a" stands for iqn.2026-11.test:a
	ISID [6]byte // zero: the node's first
	Port int     // index of the target port
}

// Name is the iSCSI node name.
func (w Who) Name() string { return nodePrefix + w.Node }

const nodePrefix = "iqn.2026-11.test:"

// Member is one of a crowd: initiator ports 0, 1, 2, … two to a node, at a
// target port.
func Member(initiator, port int) Who {
	return Who{Node: fmt.Sprintf("h%d", initiator/2), ISID: ISID(byte(initiator%2 + 1)), Port: port}
}

// PortID is the TransportID of w's initiator port.
func (w Who) PortID() initiator.TransportID {
	return initiator.TransportID{Name: w.Name(), ISID: w.isid(), HasISID: true}
}

func (w Who) isid() [6]byte {
	if w.ISID == ([6]byte{}) {
		return ISID(1)
	}
	return w.ISID
}

// ISID makes an ISID of the random format. RFC 7143 §11.12.5.
func ISID(n byte) [6]byte { return [6]byte{0x80, 0, 0, 0, 0, n} }

// Host is one logged-in I_T nexus. Its methods may be called from any
// goroutine.
type Host interface {
	Who() Who
	// Start sends a command and returns at once.
	Start(c initiator.Cmd) Running
	// Manage runs a task management function; of names the task, if the
	// function wants one. lost tells that no answer will come.
	Manage(f initiator.TMF, of Running) (s initiator.TMFStatus, lost bool)
	// Settle ends every command that the target will not answer, for it does
	// not say so over the wire.
	Settle()
	// Ping asks the target for a sign of life.
	Ping() error
	// Cut ends the nexus as a pulled cable does. What is running is lost.
	Cut()
	// Logout ends it in order.
	Logout()
}

// Running is a command under way.
type Running interface {
	// Done is closed when the command has ended.
	Done() <-chan struct{}
	// Answer is how it ended. Call it after Done.
	Answer() Answer
	// Asked is closed once the target wants data that Cmd.HoldData keeps back.
	Asked() <-chan struct{}
	// Release sends what is held back.
	Release()
}

// Fate says what became of a command.
type Fate uint8

const (
	Answered Fate = iota // a status came
	Aborted              // the target ended it; no status will come
	Lost                 // the path went away first: nobody knows
)

// Answer is how a command ended. Without a status the Response is zero.
type Answer struct {
	Fate Fate
	initiator.Response
	At time.Time // when
	// Mark is the medium's place in the common order when the answer came.
	Mark uint64
}

// Is reports whether a status came and is s.
func (a Answer) Is(s initiator.Status) bool {
	return a.Fate == Answered && a.Code == 0 && a.Status == s
}

// Good reports whether GOOD came.
func (a Answer) Good() bool { return a.Is(initiator.Good) }

// Conflict reports whether RESERVATION CONFLICT came.
func (a Answer) Conflict() bool { return a.Is(initiator.ReservationConflict) }

// UA returns the unit attention that ended the command, if one did.
func (a Answer) UA() (initiator.ASC, bool) {
	return a.Sense.ASC, a.Is(initiator.CheckCondition) && a.Sense.Key == initiator.UnitAttention
}

func (a Answer) String() string {
	switch a.Fate {
	case Aborted:
		return "aborted"
	case Lost:
		return "lost"
	}
	return a.Response.String()
}

// Do runs a command to its end.
func Do(h Host, c initiator.Cmd) Answer {
	r := h.Start(c)
	<-r.Done()
	return r.Answer()
}

// Must runs a command that can only end with GOOD, after any number of unit
// attentions.
func Must(h Host, c initiator.Cmd) Answer {
	a := Retry(h, c)
	if !a.Good() {
		panic(fmt.Sprintf("%v: %x: %v", h.Who(), c.CDB, a))
	}
	return a
}

// Retry runs a command again while it ends with a unit attention.
func Retry(h Host, c initiator.Cmd) Answer {
	for {
		a := Do(h, c)
		if _, ua := a.UA(); !ua {
			return a
		}
	}
}

// Attentions takes all pending unit attentions away and returns them, oldest
// first.
func Attentions(h Host) (seen []initiator.ASC) {
	for {
		asc, ua := Do(h, initiator.TestUnitReady()).UA()
		if !ua {
			return seen
		}
		seen = append(seen, asc)
	}
}

// PR is PERSISTENT RESERVE OUT with a basic parameter list.
func PR(sa initiator.PROutAction, typ initiator.PRType, key, service uint64) initiator.Cmd {
	return initiator.PROut(sa, 0, typ, initiator.PRParams{Key: key, ServiceKey: service}.Marshal())
}

// Join is a registration whatever was there before.
func Join(key uint64) initiator.Cmd { return PR(initiator.PRRegisterAndIgnore, 0, 0, key) }
