package linear

import (
	"fmt"
	"hash/maphash"

	"github.com/anishathalye/porcupine"

	"nas-target/test/sim/rules"
)

// blocks is how many blocks the clients fight for.
const blocks = 4

// unit is the state of the logical unit: reservations and content.
type unit struct {
	rules.State
	content [blocks]uint32 // number of the write, 0: as it was
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

const miscompare rules.Result = 0xe1d00

var spec = porcupine.NondeterministicModel{
	Init: func() []any { return []any{unit{State: rules.New()}} },
	Step: func(state, in, out any) []any { return step(state.(unit), in.(input), out.(output)) },
	Hash: func(state any) uint64 { return maphash.Comparable(seed, state.(unit)) },
	DescribeOperation: func(in, out any) string {
		return fmt.Sprintf("%v → %v", in.(input), out.(output))
	},
	DescribeState: func(state any) string { return fmt.Sprint(state) },
}

var seed = maphash.MakeSeed()

// step returns the states that u may be in after in was answered by out.
func step(u unit, in input, out output) []any {
	next, want := u.do(in)
	switch {
	case out.unknown && want.result == rules.Good:
		return []any{u, next}
	case out.unknown:
		return []any{u}
	case out != want:
		return nil
	}
	return []any{next}
}

// do is the specification, but for lost answers.
func (u unit) do(in input) (unit, output) {
	refused := func(r rules.Result) (unit, output) { return u, output{result: r} }
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
		return u, output{value: u.content[in.block]}
	}
	if !u.Allows(in.who, rules.Write) {
		return refused(rules.Conflict)
	}
	if in.verb == compareAndWrite && u.content[in.block] != in.expect {
		return refused(miscompare)
	}
	u.content[in.block] = in.value
	return u, output{}
}

// visible is the part of a state that READ FULL STATUS shows. Without a
// registrant it does not even tell what APTPL is.
func visible(s rules.State) rules.State {
	s.APTPL = false
	s.Legacy = rules.None
	return s
}

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
