package linear

import (
	"fmt"
	"hash/maphash"
	"time"

	"github.com/anishathalye/porcupine"

	"nas-target/test/sim/rules"
)

// Blocks is how many blocks the clients fight for, from LBA 0 on.
const Blocks = 4

// Unit is the state of the logical unit: reservations and content.
type Unit struct {
	rules.State
	Content [Blocks]uint32 // number of the write, 0: zeros
}

type verb uint8

const (
	out verb = iota // PERSISTENT RESERVE OUT
	fullStatus
	read
	write
	compareAndWrite
)

// input is one command.
type input struct {
	who    rules.Nexus
	verb   verb
	out    rules.Request
	block  int
	expect uint32 // of compareAndWrite
	value  uint32 // to be written
}

// output is what came of it.
type output struct {
	unknown bool // no answer
	result  rules.Result
	value   uint32      // of read
	status  rules.State // of fullStatus: keys, reservation, generation
}

const (
	miscompare rules.Result = 0xe1d00
	notSaved   rules.Result = 0x44400 // INTERNAL TARGET FAILURE
)

// Check looks for an order of h that begins with u. If there is none it
// explains how far it came.
func Check(u Unit, h []porcupine.Operation, limit time.Duration) (porcupine.CheckResult, string) {
	spec := porcupine.NondeterministicModel{
		Init: func() []any { return []any{u} },
		Step: func(state, in, out any) []any { return step(state.(Unit), in.(input), out.(output)) },
		Hash: func(state any) uint64 { return maphash.Comparable(seed, state.(Unit)) },
	}
	result, info := porcupine.CheckOperationsVerbose(spec.ToModel(), h, limit)
	if result != porcupine.Illegal {
		return result, ""
	}
	return result, explain(info, h)
}

var seed = maphash.MakeSeed()

// step returns the states that u may be in after in was answered by out.
func step(u Unit, in input, out output) []any {
	next, want := u.do(in)
	switch {
	case out.unknown && want.result == rules.Good:
		return []any{u, next}
	case out.unknown, out.result == notSaved && want.result == rules.Good:
		return []any{u} // a command that could not be saved changes nothing
	case out != want:
		return nil
	}
	return []any{next}
}

// do is the specification, but for lost answers.
func (u Unit) do(in input) (Unit, output) {
	refused := func(r rules.Result) (Unit, output) { return u, output{result: r} }
	switch in.verb {
	case out:
		next, a := u.State.Out(in.who, in.out)
		u.State = next
		return u, output{result: a.Result}
	case fullStatus:
		return u, output{status: visible(u.State)}
	case read:
		if !u.Allows(in.who, rules.Read) {
			return refused(rules.Conflict)
		}
		return u, output{value: u.Content[in.block]}
	}
	if !u.Allows(in.who, rules.Write) {
		return refused(rules.Conflict)
	}
	if in.verb == compareAndWrite && u.Content[in.block] != in.expect {
		return refused(miscompare)
	}
	u.Content[in.block] = in.value
	return u, output{}
}

// visible is the part of a state that READ FULL STATUS shows. Without a
// registrant it does not even tell what APTPL is.
func visible(s rules.State) rules.State {
	s.APTPL = false
	s.Legacy = rules.None
	return s
}

// Unknown reports whether o is a command without an answer.
func Unknown(o porcupine.Operation) bool { return o.Output.(output).unknown }

func (in input) String() string {
	from := fmt.Sprintf("%d.%d ", in.who.Initiator(), in.who.Port())
	switch in.verb {
	case out:
		r := in.out
		return from + fmt.Sprintf("PR OUT %d key %x service %x type %d to %d", r.Action, r.Key, r.Service, r.Type, r.To)
	case fullStatus:
		return from + "FULL STATUS"
	case read:
		return from + fmt.Sprintf("READ %d", in.block)
	case write:
		return from + fmt.Sprintf("WRITE %d at %d", in.value, in.block)
	}
	return from + fmt.Sprintf("COMPARE AND WRITE %d for %d at %d", in.value, in.expect, in.block)
}

func (o output) String() string {
	switch {
	case o.unknown:
		return "?"
	case o.result == rules.Conflict:
		return "CONFLICT"
	case o.result != rules.Good:
		return fmt.Sprintf("%06x", uint32(o.result))
	}
	return fmt.Sprintf("GOOD %d %v", o.value, o.status)
}
