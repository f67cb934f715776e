package linear

import (
	"errors"
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

// Recorder collects one history.
type Recorder struct {
	Login func(rules.Nexus) (sim.Host, error)
	Cuts  atomic.Int32 // that clients may still make

	begin time.Time
	wrote atomic.Uint32 // numbers of writes

	mu  sync.Mutex
	ops []*op
}

// NewRecorder starts a history.
func NewRecorder(login func(rules.Nexus) (sim.Host, error)) *Recorder {
	return &Recorder{Login: login, begin: time.Now()}
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

func (r *Recorder) now() int64 { return int64(time.Since(r.begin)) }

// Client is a sequential user of one nexus.
type Client struct {
	*Recorder
	Host sim.Host

	id   int
	who  rules.Nexus
	rng  *rand.Rand
	key  uint64         // as far as it knows
	seen [Blocks]uint32 // values it met
	lost []*op          // without an answer, because the path was cut
}

// Client logs a nexus in.
func (r *Recorder) Client(id int, n rules.Nexus, rng *rand.Rand) (*Client, error) {
	c := &Client{Recorder: r, id: id, who: n, rng: rng}
	return c, c.Reconnect()
}

// Reconnect logs in again.
func (c *Client) Reconnect() (err error) {
	c.Host, err = c.Login(c.who)
	return err
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

var disturbances = []initiator.TMF{
	initiator.TMFAbortTaskSet, initiator.TMFClearTaskSet, initiator.TMFLUReset, initiator.TMFTargetWarmReset,
}

// ErrGone says that the path broke, and not by cut.
var ErrGone = errors.New("the path is gone")

// Run sends n commands. It ends early with ErrGone.
func (c *Client) Run(n int) error {
	for range n {
		if c.rng.IntN(60) == 0 && c.Cuts.Add(-1) >= 0 {
			if err := c.cut(); err != nil {
				return err
			}
		}
		if c.rng.IntN(80) == 0 {
			// Ends commands of others, and changes nothing.
			c.Host.Manage(disturbances[c.rng.IntN(len(disturbances))], nil)
		}
		if !c.do(c.choose()) {
			return ErrGone
		}
	}
	return nil
}

// cut pulls the cable while a write is on its way, and logs in again.
func (c *Client) cut() error {
	in, cmd := c.change(write)
	o := &op{client: c.id, in: in, call: c.now()}
	r := c.Host.Start(cmd)
	time.Sleep(time.Duration(c.rng.IntN(800)) * time.Microsecond)
	c.Host.Cut()
	<-r.Done()
	if _, ua := r.Answer().UA(); !ua {
		c.finish(o, r.Answer())
	}
	return c.Reconnect()
}

// Look reads everything that can be read: what is registered, what is
// reserved, what the blocks hold.
func (c *Client) Look() {
	c.do(input{who: c.who, verb: fullStatus}, initiator.PRIn(initiator.PRReadFullStatus, 4096))
	for b := range Blocks {
		c.do(input{who: c.who, verb: read, block: b}, initiator.Read16(uint64(b), 1, sim.BlockSize, 0))
	}
	c.do(c.change(write))
}

// Dead says that whoever might still carry out a command without an answer is
// gone: it had its effect by now or has it never.
func (r *Recorder) Dead() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.ops {
		if o.open {
			o.open, o.end = false, r.now()
		}
	}
}

// do sends a command until it has an answer other than a unit attention. It
// returns false if the path is gone.
func (c *Client) do(in input, cmd initiator.Cmd) bool {
	for {
		o := &op{client: c.id, in: in, call: c.now()}
		r := c.Host.Start(cmd)
		select {
		case <-r.Done():
		case <-time.After(50 * time.Millisecond):
			c.Host.Settle() // it was aborted, and nobody said so
			<-r.Done()
		}
		a := r.Answer()
		if _, ua := a.UA(); ua {
			continue
		}
		c.finish(o, a)
		return a.Fate != sim.Lost
	}
}

// finish records a command with its answer.
func (c *Client) finish(o *op, a sim.Answer) {
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

func (c *Client) good(o *op, a sim.Answer) {
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
func (c *Client) choose() (input, initiator.Cmd) {
	in := input{who: c.who}
	switch n := c.rng.IntN(100); {
	case n < 45:
		return c.reservation()
	case n < 55:
		in.verb = fullStatus
		return in, initiator.PRIn(initiator.PRReadFullStatus, 4096)
	case n < 72:
		in.verb, in.block = read, c.rng.IntN(Blocks)
		return in, initiator.Read16(uint64(in.block), 1, sim.BlockSize, 0)
	case n < 90:
		return c.change(write)
	}
	return c.change(compareAndWrite)
}

func (c *Client) change(v verb) (input, initiator.Cmd) {
	in := input{who: c.who, verb: v, block: c.rng.IntN(Blocks), value: c.wrote.Add(1)}
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

func (c *Client) someKey() uint64 { return uint64(1 + c.rng.IntN(keys)) }

func (c *Client) reservation() (input, initiator.Cmd) {
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

// History turns the record into what the checker takes. left counts conflicts
// that were left out.
func (r *Recorder) History() (h []porcupine.Operation, left int) {
	r.mu.Lock()
	defer r.mu.Unlock()
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
func (r *Recorder) unsettled(o *op) bool {
	for _, p := range r.ops {
		if p.in.verb == out && p.takes() && p.call <= o.end && (p.open || o.call <= p.end) {
			return true
		}
	}
	return false
}

// takes reports whether o may have taken rights away from somebody, for good
// or until it turned out that it could not be saved.
func (o *op) takes() bool {
	if !o.out.unknown && o.out.result != rules.Good && o.out.result != notSaved {
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
