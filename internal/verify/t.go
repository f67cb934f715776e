package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"nas-target/internal/initiator"
)

// T is a case that runs. Its methods stop the case where they say so, and may
// then be called on the case's own goroutine only; what records is safe
// everywhere.
type T struct {
	r       *runner
	c       Case
	run     context.Context // ends when the run is interrupted
	ctx     context.Context // ends then, and when the case has had its time
	nexuses map[int]*Nexus
	undo    []func(context.Context)

	mu  sync.Mutex // guards res
	res Result
}

// stop ends a case; its verdict has been noted.
type stop struct{}

func (t *T) record(s Step) {
	s.Seconds = s.Elapsed.Seconds()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.res.Steps = append(t.res.Steps, s)
}

// verdict notes how the case ends; the worst wins, and of the worst the first.
func (t *T) verdict(v Verdict, reason string) {
	rank := map[Verdict]int{Pass: 0, Skipped: 1, Errored: 2, Fail: 3}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.res.Verdict == "", rank[v] > rank[t.res.Verdict]:
		t.res.Verdict, t.res.Reason = v, reason
	case v == t.res.Verdict && v == Fail:
		t.res.Reason += "; " + reason
	}
}

// Note explains what comes next.
func (t *T) Note(format string, args ...any) { t.record(Step{Did: fmt.Sprintf(format, args...)}) }

// Wrong fails the case, which goes on. What goes wrong after an interruption is
// not the target's fault: answers are not waited for any more.
func (t *T) Wrong(format string, args ...any) {
	if t.run.Err() != nil {
		t.verdict(Errored, interrupted)
		return
	}
	t.verdict(Fail, fmt.Sprintf(format, args...))
}

// Fail fails the case and stops it.
func (t *T) Fail(format string, args ...any) {
	t.Wrong(format, args...)
	panic(stop{})
}

// Absent stops the case, which is skipped: its question does not arise.
func (t *T) Absent(format string, args ...any) {
	t.verdict(Skipped, fmt.Sprintf(format, args...))
	panic(stop{})
}

// Broken stops the case: its question cannot be asked.
func (t *T) Broken(format string, args ...any) {
	t.verdict(Errored, fmt.Sprintf(format, args...))
	panic(stop{})
}

// Cleanup runs f when the case has ended, the last one first, also after ^C.
func (t *T) Cleanup(f func(context.Context)) { t.undo = append(t.undo, f) }

// within bounds one exchange.
func (t *T) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.ctx, t.r.opt.Patience)
}

// Nexus is I_T nexus number i of the case, from 0; it logs in when it is first
// asked for, and has no unit attention left.
func (t *T) Nexus(i int) *Nexus {
	if n := t.nexuses[i]; n != nil {
		return n
	}
	n := t.login(i, i, nil)
	t.nexuses[i] = n
	return n
}

// Two and Three are the first nexuses.
func (t *T) Two() (a, b *Nexus) { return t.Nexus(0), t.Nexus(1) }

// Three are the first three.
func (t *T) Three() (a, b, c *Nexus) { return t.Nexus(0), t.Nexus(1), t.Nexus(2) }

// config is the login of nexus i; seat tells its ISID from the others'.
func (t *T) config(i, seat int) initiator.Config {
	return t.r.config(t.pathOf(i), i, seat)
}

// pathOf is the number of the path that nexus i takes.
func (t *T) pathOf(i int) int {
	if t.c.onePort {
		return 0
	}
	return i
}

// login brings a nexus to life, or stops the case.
func (t *T) login(i, seat int, change func(*initiator.Config)) *Nexus {
	n, err := t.tryLogin(i, seat, change)
	if err != nil {
		if t.ctx.Err() != nil {
			t.Broken(interrupted)
		}
		t.Broken("%s cannot log in: %v", nexusName(i), err)
	}
	return n
}

func (t *T) tryLogin(i, seat int, change func(*initiator.Config)) (*Nexus, error) {
	cfg := t.config(i, seat)
	if change != nil {
		change(&cfg)
	}
	ctx, cancel := t.within()
	defer cancel()
	began := time.Now()
	s, err := initiator.Dial(ctx, cfg)
	step := Step{Nexus: nexusName(i), Did: fmt.Sprintf("logs in as %s at %s", portName(cfg), cfg.Addr), Got: "logged in", Elapsed: time.Since(began)}
	if err != nil {
		step.Got = errText(err)
		t.record(step)
		return nil, err
	}
	t.record(step)
	n := &Nexus{Name: nexusName(i), S: s, t: t, seat: seat, path: i}
	n.U = s.Unit(t.r.path(t.pathOf(i)).LUN)
	n.U.BlockSize = t.r.blockSize
	t.r.watch(s)
	t.Cleanup(n.leave)
	if err := n.settle(ctx); err != nil {
		return nil, err
	}
	return n, nil
}

func portName(c initiator.Config) string {
	return initiator.TransportID{Name: c.InitiatorName, ISID: c.ISID, HasISID: true}.String()
}

func nexusName(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return fmt.Sprintf("N%d", i+1)
}

// errText puts an error of the transport into words, on one line.
func errText(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, initiator.ErrAborted):
		return "aborted, without an answer"
	case errors.Is(err, initiator.ErrClosed):
		return "the target closed the connection"
	}
	return strings.ReplaceAll(strings.TrimPrefix(err.Error(), "initiator: "), "\n", "; ")
}

// Nexus is one I_T nexus of a case.
type Nexus struct {
	Name string
	S    *initiator.Session
	U    *initiator.Unit

	t          *T
	seat, path int
	gone       bool
}

// settle takes the unit attentions that a login, or what was before, left.
func (n *Nexus) settle(ctx context.Context) error {
	_, err := n.U.DrainUA(ctx)
	return err
}

// leave ends the session; who has left already is left alone.
func (n *Nexus) leave(ctx context.Context) {
	if n.gone {
		return
	}
	n.gone = true
	ctx, cancel := context.WithTimeout(ctx, min(leaveTime, n.t.r.opt.Patience))
	defer cancel()
	_ = n.S.Logout(ctx) // its violations are counted by the run
}

const leaveTime = 3 * time.Second

// Logout ends the session in order, as part of the case.
func (n *Nexus) Logout() {
	n.t.record(Step{Nexus: n.Name, Did: "logs out"})
	n.leave(n.t.ctx)
}

// Drop breaks the connection, as a crash would.
func (n *Nexus) Drop() {
	n.t.record(Step{Nexus: n.Name, Did: "breaks its connection"})
	n.gone = true
	n.S.Reset()
}

// Again logs the same initiator port in to the same target port again.
func (n *Nexus) Again() *Nexus {
	m := n.t.login(n.path, n.seat, nil)
	n.t.nexuses[n.path] = m
	return m
}

// Stranger logs the same initiator in with another ISID: another nexus.
func (n *Nexus) Stranger() *Nexus {
	m := n.t.login(n.path, n.seat+0x40, nil)
	m.Name += "'"
	return m
}

// maxAttentions bounds how often a command is sent again.
const maxAttentions = 16

// send runs a command, and again after each unit attention. An answer that does
// not come fails the case.
func (n *Nexus) send(c initiator.Cmd) (initiator.Response, []initiator.ASC) {
	var seen []initiator.ASC
	for {
		r := n.once(c)
		if !isUA(r) || len(seen) == maxAttentions {
			return r, seen
		}
		seen = append(seen, r.Sense.ASC)
	}
}

// once runs a command once.
func (n *Nexus) once(c initiator.Cmd) initiator.Response {
	r, err := n.try(c)
	if err != nil {
		n.noAnswer(describe(c), err)
	}
	return r
}

// try runs a command that may go unanswered.
func (n *Nexus) try(c initiator.Cmd) (initiator.Response, error) {
	ctx, cancel := n.t.within()
	defer cancel()
	return n.U.Do(ctx, c)
}

// noAnswer stops the case.
func (n *Nexus) noAnswer(did string, err error) {
	n.t.record(Step{Nexus: n.Name, Did: did, Got: errText(err), Wrong: true})
	if n.t.ctx.Err() != nil {
		n.t.Broken(interrupted)
	}
	n.t.Fail("%s: %s: %s", n.Name, did, errText(err))
}

// Do runs a command, records it and judges nothing.
func (n *Nexus) Do(c initiator.Cmd) initiator.Response {
	r, _ := n.judged(c, anyEnd)
	return r
}

// Check judges a command; the case goes on.
func (n *Nexus) Check(c initiator.Cmd, w want) bool {
	_, ok := n.judged(c, w)
	return ok
}

// Expect judges a command; the case stops if it is wrong.
func (n *Nexus) Expect(c initiator.Cmd, w want) initiator.Response {
	r, ok := n.judged(c, w)
	if !ok {
		panic(stop{})
	}
	return r
}

func (n *Nexus) judged(c initiator.Cmd, w want) (initiator.Response, bool) {
	began := time.Now()
	r, seen := n.send(c)
	ok := w.ok(r)
	did := describe(c)
	n.t.record(Step{Nexus: n.Name, Did: did, Got: after(seen) + answer(r), Want: w.text, Wrong: !ok, Elapsed: time.Since(began)})
	if !ok {
		n.t.Wrong("%s: %s: %s, must be %s", n.Name, did, answer(r), w.text)
	}
	return r, ok
}

// soon is how long something may take that happens behind an answer.
func (r *runner) soon() time.Duration { return min(3*time.Second, r.opt.Patience) }

// Until judges a command that has some time to end as it should: what happens
// after a logout has been answered, for one.
func (n *Nexus) Until(c initiator.Cmd, w want) {
	for deadline := time.Now().Add(n.t.r.soon()); time.Now().Before(deadline); {
		if w.ok(n.send1(c)) {
			break
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-n.t.ctx.Done():
		}
	}
	n.Expect(c, w)
}

// after names the unit attentions that came before an answer.
func after(seen []initiator.ASC) string {
	if len(seen) == 0 {
		return ""
	}
	var names []string
	for _, a := range seen {
		names = append(names, senseName(initiator.UnitAttention, a))
	}
	return "after " + strings.Join(names, " and ") + ": "
}

// Must is a step on the way to the question: unless it ends well, the question
// cannot be asked.
func (n *Nexus) Must(c initiator.Cmd) initiator.Response {
	return n.given(c, good)
}

func (n *Nexus) given(c initiator.Cmd, w want) initiator.Response {
	began := time.Now()
	r, seen := n.send(c)
	n.t.record(Step{Nexus: n.Name, Did: describe(c), Got: after(seen) + answer(r), Elapsed: time.Since(began)})
	if !w.ok(r) {
		n.t.Broken("%s: %s: %s instead of %s, which another case judges", n.Name, describe(c), answer(r), w.text)
	}
	return r
}

// Attentions takes all unit attentions of the nexus.
func (n *Nexus) Attentions() []initiator.ASC {
	var seen []initiator.ASC
	for range maxAttentions {
		r := n.once(initiator.TestUnitReady())
		if !isUA(r) {
			break
		}
		seen = append(seen, r.Sense.ASC)
	}
	return seen
}

// reservationUAs are the unit attentions that reservation commands establish.
var reservationUAs = []initiator.ASC{initiator.ASCReservationsPreempted, initiator.ASCReservationsReleased, initiator.ASCRegistrationsPreempted}

// WantUA judges which unit attentions about reservations wait for the nexus;
// others are none of its business. The case goes on.
func (n *Nexus) WantUA(wanted ...initiator.ASC) {
	seen := n.Attentions()
	var about []initiator.ASC
	for _, a := range seen {
		if slices.Contains(reservationUAs, a) {
			about = append(about, a)
		}
	}
	slices.Sort(about)
	slices.Sort(wanted)
	got, demand := attentionNames(seen), attentionNames(wanted)
	ok := slices.Equal(about, wanted)
	n.t.record(Step{Nexus: n.Name, Did: "TEST UNIT READY until no unit attention is left", Got: got, Want: demand, Wrong: !ok})
	if !ok {
		n.t.Wrong("%s has %s waiting, must have %s", n.Name, got, demand)
	}
}

func attentionNames(list []initiator.ASC) string {
	if len(list) == 0 {
		return "no unit attention"
	}
	var names []string
	for _, a := range list {
		names = append(names, senseName(initiator.UnitAttention, a))
	}
	return strings.Join(names, " and ")
}

// isTransport tells that no answer came, from an answer that makes no sense.
func isTransport(err error) bool {
	var rejected *initiator.RejectError
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, initiator.ErrClosed) || errors.Is(err, initiator.ErrAborted) || errors.As(err, &rejected)
}
