package linear

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
	"nas-target/test/sim/rules"
)

// recorder collects one history.
type recorder struct {
	bed   *sim.Bed
	begin time.Time
	wrote atomic.Uint32 // numbers of writes
	cuts  atomic.Int32  // left to be made

	mu  sync.Mutex
	ops []*op
}

// op is one command with its times, in nanoseconds since begin.
type op struct {
	client    int
	in        input
	out       output
	call, end int64
	open      bool // may still have its effect: end is not known
	dropped   bool // proves nothing
}

func (r *recorder) now() int64 { return int64(time.Since(r.begin)) }

// client is a sequential user of one nexus.
type client struct {
	*recorder
	id   int
	who  rules.Nexus
	rng  *rand.Rand
	host sim.Host
	key  uint64         // as far as it knows
	seen [blocks]uint32 // values it met
	lost []*op          // without an answer, because the path was cut
}

// who maps the nexuses of the rules to initiators.
func who(n rules.Nexus) sim.Who { return sim.Member(n.Initiator(), n.Port()) }

func nexusOf(id initiator.TransportID, port uint16) rules.Nexus {
	for n := range rules.Nexus(rules.Nexuses) {
		if want := who(n).PortID(); want.String() == id.String() && n.Port() == int(port)-1 {
			return n
		}
	}
	panic(fmt.Sprintf("full status names %v at port %d", id, port))
}

// block is the content that number v stands for.
func block(v uint32, lba int) []byte {
	if v == 0 {
		return make([]byte, sim.BlockSize)
	}
	return sim.Stamp{Seq: v, LBA: uint32(lba)}.Blocks(1)
}

// run sends n commands.
func (c *client) run(n int) {
	for range n {
		if c.rng.IntN(60) == 0 && c.cuts.Add(-1) >= 0 {
			c.reconnect()
		}
		in, cmd := c.choose()
		c.do(in, cmd)
	}
}

// reconnect pulls the cable while a write is on its way, and logs in again.
func (c *client) reconnect() {
	in, cmd := c.change(write)
	o := &op{client: c.id, in: in, call: c.now()}
	r := c.host.Start(cmd)
	time.Sleep(time.Duration(c.rng.IntN(800)) * time.Microsecond)
	c.host.Cut()
	<-r.Done()
	if _, ua := r.Answer().UA(); !ua {
		c.finish(o, r.Answer())
	}
	var err error
	if c.host, err = c.bed.Login(who(c.who)); err != nil {
		panic(err)
	}
}

// do sends a command until it has an answer other than a unit attention.
func (c *client) do(in input, cmd initiator.Cmd) {
	for {
		o := &op{client: c.id, in: in, call: c.now()}
		r := c.host.Start(cmd)
		select {
		case <-r.Done():
		case <-time.After(50 * time.Millisecond):
			c.host.Settle() // it was aborted, and nobody said so
			<-r.Done()
		}
		a := r.Answer()
		if _, ua := a.UA(); ua {
			continue
		}
		c.finish(o, a)
		return
	}
}

// finish records a command with its answer.
func (c *client) finish(o *op, a sim.Answer) {
	o.end = int64(a.At.Sub(c.begin))
	switch {
	case a.Fate == sim.Lost:
		o.open, o.out.unknown = true, true
		c.lost = append(c.lost, o)
	case a.Fate == sim.Aborted, a.Is(initiator.TaskAborted):
		o.out.unknown = true
	case a.Conflict():
		o.out.result = rules.Conflict
	case a.Is(initiator.CheckCondition):
		o.out.result = rules.Result(uint32(a.Sense.Key)<<16 | uint32(a.Sense.ASC))
	case a.Good():
		c.good(o, a)
	default:
		panic(fmt.Sprintf("%v: %v", o.in, a))
	}
	o.dropped = o.out.unknown && (o.in.verb == read || o.in.verb == fullStatus)
	c.mu.Lock()
	c.ops = append(c.ops, o)
	c.mu.Unlock()
}

func (c *client) good(o *op, a sim.Answer) {
	switch o.in.verb {
	case out:
		if act := o.in.out.Action; act == rules.Register || act == rules.RegisterAndIgnore {
			c.key = o.in.out.Service
		}
		return
	case fullStatus:
		o.out.status = decode(a.Data)
		return
	case read:
		o.out.value = number(a.Data, o.in.block)
		c.seen[o.in.block] = o.out.value
	}
	// What an earlier session of the nexus left behind is over.
	for _, l := range c.lost {
		l.open, l.end = false, o.end
	}
	c.lost = nil
}

func number(p []byte, lba int) uint32 {
	s, ok := sim.ReadStamp(p)
	if !ok {
		if string(p) != string(block(0, lba)) {
			panic(fmt.Sprintf("block %d holds what nobody wrote: %x", lba, p))
		}
		return 0
	}
	if string(p) != string(block(s.Seq, lba)) {
		panic(fmt.Sprintf("block %d holds a mixture: %x", lba, p))
	}
	return s.Seq
}

func decode(p []byte) rules.State {
	s := rules.New()
	full, err := initiator.DecodeFullStatus(p)
	if err != nil {
		panic(err)
	}
	s.Gen = full.Generation
	for _, d := range full.Registrants {
		n := nexusOf(d.Initiator, d.RelativePort)
		s.Key[n] = d.Key
		if d.Holder {
			s.Type = uint8(d.Type)
			if s.Holder = n; s.Type == 7 || s.Type == 8 {
				s.Holder = rules.None
			}
		}
	}
	return s
}

// choose makes up the next command.
func (c *client) choose() (input, initiator.Cmd) {
	in := input{who: c.who}
	switch n := c.rng.IntN(100); {
	case n < 45:
		return c.reservation()
	case n < 55:
		in.verb = fullStatus
		return in, initiator.PRIn(initiator.PRReadFullStatus, 4096)
	case n < 72:
		in.verb, in.block = read, c.rng.IntN(blocks)
		return in, initiator.Read16(uint64(in.block), 1, sim.BlockSize, 0)
	case n < 90:
		return c.change(write)
	}
	return c.change(compareAndWrite)
}

func (c *client) change(v verb) (input, initiator.Cmd) {
	in := input{who: c.who, verb: v, block: c.rng.IntN(blocks), value: c.wrote.Add(1)}
	data := block(in.value, in.block)
	if v == compareAndWrite {
		in.expect = c.seen[in.block]
		return in, initiator.CompareAndWrite(uint64(in.block), block(in.expect, in.block), data, sim.BlockSize, 0)
	}
	cmd := initiator.Write16(uint64(in.block), data, sim.BlockSize, 0)
	cmd.NoUnsolicited = c.rng.IntN(2) == 0
	return in, cmd
}

// keys is how many there are: few, so that they are shared and preempted.
const keys = 3

func (c *client) someKey() uint64 { return uint64(1 + c.rng.IntN(keys)) }

func (c *client) reservation() (input, initiator.Cmd) {
	r := rules.Request{Key: c.key, Type: []uint8{1, 3, 5, 5, 6, 6, 7, 8}[c.rng.IntN(8)]}
	weights := []int{
		rules.Register: 8, rules.Reserve: 22, rules.Release: 8, rules.Clear: 3, rules.Preempt: 12,
		rules.PreemptAndAbort: 14, rules.RegisterAndIgnore: 18, rules.RegisterAndMove: 8,
	}
	total := 0
	for _, w := range weights {
		total += w
	}
	n := c.rng.IntN(total)
	for n >= weights[r.Action] {
		n -= weights[r.Action]
		r.Action++
	}
	if c.key == 0 {
		r.Action = rules.RegisterAndIgnore
	}
	switch r.Action {
	case rules.Register, rules.RegisterAndIgnore:
		if r.Service = c.someKey(); c.key != 0 && c.rng.IntN(4) == 0 {
			r.Service = 0
		}
	case rules.Preempt, rules.PreemptAndAbort:
		if r.Service = c.someKey(); c.rng.IntN(8) == 0 {
			r.Service = 0
		}
	case rules.RegisterAndMove:
		r.Service, r.Unreg = c.someKey(), c.rng.IntN(2) == 0
		r.To = rules.Nexus(c.rng.IntN(rules.Nexuses))
	}
	in := input{who: c.who, verb: out, out: r}
	return in, command(r)
}

// command encodes a request.
func command(r rules.Request) initiator.Cmd {
	list := initiator.PRParams{Key: r.Key, ServiceKey: r.Service}.Marshal()
	if r.Action == rules.RegisterAndMove {
		list = initiator.PRMove{
			Key: r.Key, ServiceKey: r.Service, Unregister: r.Unreg,
			RelativePort: uint16(r.To.Port() + 1), Destination: who(r.To).PortID(),
		}.Marshal()
	}
	return initiator.PROut(initiator.PROutAction(r.Action), r.Scope, initiator.PRType(r.Type), list)
}

// history turns the record into what the checker takes. left counts conflicts
// that were left out.
func (r *recorder) history() (h []porcupine.Operation, left int) {
	for _, o := range r.ops {
		if o.out.result == rules.Conflict && o.in.verb != out && r.unsettled(o) {
			left++
			continue
		}
		if o.dropped {
			continue
		}
		p := porcupine.Operation{ClientId: o.client, Input: o.in, Output: o.out, Call: o.call, Return: o.end}
		if o.open {
			p.Return = math.MaxInt64
		}
		h = append(h, p)
	}
	return h, left
}

// unsettled reports whether rights were being taken away while o ran. Until
// the losers have been waited for neither they nor the winner may do what only
// one of them may: such a conflict belongs to no state before or after.
func (r *recorder) unsettled(o *op) bool {
	for _, p := range r.ops {
		if p.in.verb == out && p.takes() && p.call <= o.end && (p.open || o.call <= p.end) {
			return true
		}
	}
	return false
}

// takes reports whether o may have taken rights away from somebody.
func (o *op) takes() bool {
	if !o.out.unknown && o.out.result != rules.Good {
		return false
	}
	switch o.in.out.Action {
	case rules.Release, rules.Clear:
		return false
	case rules.Register, rules.RegisterAndIgnore:
		return o.in.out.Service == 0
	}
	return true
}
