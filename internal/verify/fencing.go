package verify

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"nas-target/internal/initiator"
)

const abortClause = "SPC-4 r36f 5.13.11.2.6"

func init() {
	f := func(id, title, clause, demand string, level Level, nexuses int, run func(*T)) Case {
		return Case{ID: "fencing." + id, Title: title, Clause: clause, Demand: demand, Level: level,
			Destructive: true, Nexuses: nexuses, needsPR: true, data: true, run: run}
	}
	define(
		f("withheld.preempt-and-abort", "A write whose data are on the way dies with PREEMPT AND ABORT", abortClause,
			"the victim's write, begun before and waiting for its data, is aborted: once PREEMPT AND ABORT has answered, its data change nothing", Required, 2,
			func(t *T) { withheld(t, preemptAbort, writeRegistrants, (*Nexus).Write) }),
		f("withheld.preempt-and-abort.registrant", "PREEMPT AND ABORT also stops who does not hold the reservation", abortClause,
			"the commands of every nexus registered with the key are aborted, holder or not", Required, 2, withheldRegistrant),
		f("withheld.preempt", "A write whose data are on the way dies with PREEMPT", "SPC-4 r36f 5.13.11.2.4.3",
			"PREEMPT may let a command finish that began before; a target that clusters can trust judges it again when its data have come", Recommended, 2,
			func(t *T) { withheld(t, preempt, writeRegistrants, (*Nexus).Write) }),
		f("withheld.compare-and-write", "COMPARE AND WRITE dies with PREEMPT AND ABORT, too", abortClause,
			"a COMPARE AND WRITE that waits for its data is aborted like any write", Required, 2,
			func(t *T) {
				withheld(t, preemptAbort, writeRegistrants, func(n *Nexus, lba uint64, data []byte) initiator.Cmd {
					return initiator.CompareAndWrite(lba, t.Pattern(before, 1), data[:t.BlockSize()], t.BlockSize(), 0)
				})
			}),
		f("withheld.partial", "A write of which some data have come changes nothing more", abortClause,
			"what had arrived may be on the medium; after PREEMPT AND ABORT has answered nothing is added", Required, 2, withheldPartial),
		f("withheld.others", "Commands of other nexuses live on", abortClause,
			"PREEMPT AND ABORT aborts the victims' commands and no others: a third nexus' write ends well when its data come", Required, 3, withheldOthers),
		f("race.preempt-and-abort", "No write of the loser lands after PREEMPT AND ABORT has answered", abortClause,
			"while the victim writes as fast as it can, the medium as read right after the answer is the medium as read later, and what was sent later conflicts", Required, 2,
			func(t *T) { floodRace(t, preemptAbort) }),
		f("race.preempt", "No write of the loser lands after PREEMPT has answered", "SPC-4 r36f 5.13.11.2.4.3",
			"the same with PREEMPT: the standard allows commands that had begun to finish, clusters are better off if none does", Recommended, 2,
			func(t *T) { floodRace(t, preempt) }),
		f("race.reserve", "Of many RESERVE at once one succeeds", "SPC-4 r36f 5.13.9",
			"each RESERVE is one event: of several nexuses that reserve at the same moment one gets GOOD, the others RESERVATION CONFLICT, and READ RESERVATION names the one", Required, 4, reserveRace),
		f("race.mutual", "Two nodes that shoot at each other: one survives", "SPC-4 r36f 5.13.11.2.4",
			"each PREEMPT is one event: of two registrants that preempt each other at the same moment one is left, and it is the one that was told GOOD", Required, 2, mutualRace),
		f("late.same-port", "Who was fenced stays fenced after logging in again", "SPC-4 r36f 5.13.11.2.4; RFC 7143 App. E.2",
			"a session under the same name and ISID has no rights until it registers", Required, 2,
			func(t *T) { late(t, func(b *Nexus) *Nexus { b.Logout(); return b.Again() }) }),
		f("late.other-port", "Another ISID opens no door", "SPC-4 r36f 5.13.1",
			"a session of the fenced initiator under another ISID has no rights either", Required, 2,
			func(t *T) { late(t, (*Nexus).Stranger) }),
		f("late.attention", "The loser learns what happened", abortClause,
			"after PREEMPT AND ABORT the victim finds REGISTRATIONS PREEMPTED, and for aborted commands either TASK ABORTED or COMMANDS CLEARED BY ANOTHER INITIATOR", Required, 2, lateAttention),
	)
}

// Seeds of the patterns on the medium.
const (
	before uint64 = 0x1000
	after1 uint64 = 0x2000
)

// heldBlocks is enough that no target takes the data unasked.
const heldBlocks = 16

// afterwards is how long the target has for what it should not do.
const afterwards = 200 * time.Millisecond

// withheld preempts the holder of a reservation while a write of its waits for
// its data.
func withheld(t *T, cmd takeover, typ initiator.PRType, write func(*Nexus, uint64, []byte) initiator.Cmd) {
	a, b := t.Two()
	clean := t.Pattern(before, heldBlocks)
	a.Must(a.Write(t.LBA(0), clean))
	c := write(b, t.LBA(0), t.Pattern(after1, heldBlocks))
	if c.CDB[0] == 0x89 {
		needCAW(t, a, t.LBA(0))
	}
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	b.Reserve(t.Key(2), typ)
	h := b.Hold(c)
	a.expectOr(cmd(t.Key(1), t.Key(2), typ), good)
	a.Holds(t.LBA(0), clean, "what was there before")
	h.Release()
	h.ended(func(r initiator.Response) bool { return !r.Good() }, "no GOOD for the fenced write")
	a.Holds(t.LBA(0), clean, "what was there before")
}

// ended waits for the end of a fenced command, or for the time in which it
// might still do harm.
func (h *Held) ended(ok func(initiator.Response) bool, demand string) {
	ctx, cancel := context.WithTimeout(h.n.t.ctx, afterwards)
	defer cancel()
	if r, came := h.End(ctx); came && !ok(r) {
		h.n.t.Wrong("%s: %s ended with %s; must be: %s", h.n.Name, h.did, answer(r), demand)
	}
}

func withheldRegistrant(t *T) {
	a, b := t.Two()
	clean := t.Pattern(before, heldBlocks)
	a.Must(a.Write(t.LBA(0), clean))
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	a.Reserve(t.Key(1), writeRegistrants)
	h := b.Hold(b.Write(t.LBA(0), t.Pattern(after1, heldBlocks)))
	a.expectOr(preemptAbort(t.Key(1), t.Key(2), writeRegistrants), good)
	h.Release()
	h.ended(func(r initiator.Response) bool { return !r.Good() }, "no GOOD for the fenced write")
	a.Holds(t.LBA(0), clean, "what was there before")
}

// withheldPartial uses a session whose bursts are so small that the target has
// to ask several times.
func withheldPartial(t *T) {
	a := t.Nexus(0)
	burst := max(4096, t.BlockSize())
	b := t.login(1, 1, func(c *initiator.Config) {
		c.Keys = initiator.Keys{{Name: "MaxBurstLength", Value: fmt.Sprint(burst)}, {Name: "FirstBurstLength", Value: fmt.Sprint(min(burst, 512))}}
	})
	blocks := 8 * burst / t.BlockSize()
	a.Must(a.Write(t.LBA(0), t.Pattern(before, blocks)))
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	b.Reserve(t.Key(2), writeRegistrants)
	h := b.Hold(b.Write(t.LBA(0), t.Pattern(after1, blocks)))
	ctx, cancel := t.within()
	defer cancel()
	r2ts, err := h.task.AwaitR2T(ctx)
	if err != nil {
		t.Broken("%v", err)
	}
	first := r2ts[0]
	if first.Length >= blocks*t.BlockSize() {
		t.Absent("the target asked for everything at once, against the MaxBurstLength of %d bytes", burst)
	}
	t.Note("%s sends the %d bytes that the first R2T asks for, and keeps back the rest", b.Name, first.Length)
	h.sendPart(first)
	h.task.Forget(first)
	if _, err := h.task.AwaitR2T(ctx); err != nil {
		t.Broken("no second R2T came: %s", errText(err))
	}
	a.expectOr(preemptAbort(t.Key(1), t.Key(2), writeRegistrants), good)
	then := a.Must(a.Read(t.LBA(0), blocks)).Data
	h.Release()
	h.ended(func(r initiator.Response) bool { return !r.Good() }, "no GOOD for the fenced write")
	a.Holds(t.LBA(0), then, "what was there when PREEMPT AND ABORT had answered")
}

// sendPart answers one R2T.
func (h *Held) sendPart(r initiator.R2T) {
	data := h.n.t.Pattern(after1, (r.Offset+r.Length)/h.n.t.BlockSize()+1)
	limit := h.task.Conn().Params().TargetMaxRecvDataSegment
	for from, sn := r.Offset, uint32(0); from < r.Offset+r.Length; sn++ {
		to := min(from+limit, r.Offset+r.Length)
		h.task.SendDataOut(initiator.DataOutPDU{Final: to == r.Offset+r.Length, TTT: r.TTT, DataSN: sn, Offset: uint32(from), Data: data[from:to]}, 0)
		from = to
	}
}

func withheldOthers(t *T) {
	a, b, c := t.Three()
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	c.Register(t.Key(3))
	b.Reserve(t.Key(2), writeRegistrants)
	data := t.Pattern(after1, heldBlocks)
	h := c.Hold(c.Write(t.LBA(0), data))
	a.expectOr(preemptAbort(t.Key(1), t.Key(2), writeRegistrants), good)
	h.Release()
	ctx, cancel := t.within()
	defer cancel()
	r, came := h.End(ctx)
	// The reservation's type did not change, so not even a unit attention is due.
	if !came || !r.Good() {
		t.Fail("%s: the write of a nexus that was not preempted did not end with GOOD", c.Name)
	}
	a.Holds(t.LBA(0), data, "what the third nexus wrote")
}

// stampBlocks is how much of the range a flood writes to.
const stampBlocks = 32

// floodRace lets the victim write as fast as it can and preempts it.
func floodRace(t *T, cmd takeover) {
	a, b := t.Two()
	var conflicts int64
	for round := range t.r.opt.Rounds {
		a.Must(registerIgnore(t.Key(1)))
		b.Must(registerIgnore(t.Key(2)))
		b.Reserve(t.Key(2), writeRegistrants)
		conflicts += flood(t, a, b, cmd, round)
		a.Must(clearAll(t.Key(1)))
		a.Attentions()
		b.Attentions()
	}
	t.Note("%d rounds, %d writes refused", t.r.opt.Rounds, conflicts)
}

// flood is one round. What b writes carries a number that grows.
func flood(t *T, a, b *Nexus, cmd takeover, round int) (conflicts int64) {
	ctx, cancel := context.WithTimeout(t.ctx, t.r.opt.Patience)
	defer cancel()
	var fenced atomic.Bool
	var lateGood, refused, stamp atomic.Int64
	begun := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for after := 0; after < 2 && ctx.Err() == nil; {
				late := fenced.Load()
				n := stamp.Add(1)
				block := make([]byte, t.BlockSize())
				binary.BigEndian.PutUint64(block, uint64(round+1)<<32|uint64(n))
				r, err := b.U.Do(ctx, b.Write(t.LBA(int(n)%stampBlocks), block))
				if n == 16 {
					once.Do(func() { close(begun) })
				}
				switch {
				case err != nil: // aborted without an answer
				case r.Good() && late:
					lateGood.Add(1)
				case conflict.ok(r):
					refused.Add(1)
				}
				if late {
					after++
				}
			}
		})
	}
	select {
	case <-begun:
	case <-ctx.Done():
	}
	// Aborted commands have no answer: their writers wait until ctx ends, which
	// must be soon.
	r, err := a.try(cmd(t.Key(1), t.Key(2), writeRegistrants))
	fenced.Store(true)
	if err != nil || !r.Good() {
		cancel()
		wg.Wait()
		if err != nil {
			t.Fail("%s got no answer under load: %s", "the takeover", errText(err))
		}
		if unsupported(r) || badCDB.ok(r) {
			t.Absent("PREEMPT AND ABORT is not implemented: %s", answer(r))
		}
		t.Fail("%s under load: %s, must be GOOD", describe(cmd(t.Key(1), t.Key(2), writeRegistrants)), answer(r))
	}
	then := a.send1(a.Read(t.LBA(0), stampBlocks)).Data
	timer := time.AfterFunc(afterwards, cancel)
	wg.Wait()
	timer.Stop()
	now := a.send1(a.Read(t.LBA(0), stampBlocks)).Data
	if at := differs(then, now); at >= 0 {
		t.Fail("round %d: block %d changed after the answer: a write of the loser landed behind the fence", round+1, at/t.BlockSize())
	}
	if n := lateGood.Load(); n > 0 {
		t.Fail("round %d: %d writes that the loser sent after the answer ended with GOOD", round+1, n)
	}
	return refused.Load()
}

func reserveRace(t *T) {
	const nodes = 4
	for round := range t.r.opt.Rounds {
		var won atomic.Int64
		var winner atomic.Uint64
		answers := t.together(nodes, func(i int, n *Nexus) string {
			r, err := n.try(reserve(t.Key(i+1), exclusiveAccess))
			if err != nil {
				return errText(err)
			}
			if r.Good() {
				won.Add(1)
				winner.Store(t.Key(i + 1))
			} else if !conflict.ok(r) {
				return answer(r)
			}
			return ""
		}, func(i int, n *Nexus) { n.Must(registerIgnore(t.Key(i + 1))) })
		for i, s := range answers {
			if s != "" {
				t.Wrong("round %d: RESERVE of %s: %s, must be GOOD or RESERVATION CONFLICT", round+1, nexusName(i), s)
			}
		}
		if won.Load() != 1 {
			t.Fail("round %d: %d of %d RESERVE at once ended with GOOD, must be one", round+1, won.Load(), nodes)
		}
		if r := t.Nexus(0).Reservation(); r.Key != winner.Load() {
			t.Fail("round %d: READ RESERVATION shows %s, GOOD was told to %s", round+1, reservationText(r), keyName(winner.Load()))
		}
		t.Nexus(0).Must(clearAll(t.Key(1)))
		for i := range nodes {
			t.Nexus(i).Attentions()
		}
	}
	t.Note("%d rounds of %d nexuses", t.r.opt.Rounds, nodes)
}

// together prepares each nexus in turn, then lets all act at the same moment.
func (t *T) together(nodes int, act func(int, *Nexus) string, prepare func(int, *Nexus)) []string {
	for i := range nodes {
		prepare(i, t.Nexus(i))
	}
	answers := make([]string, nodes)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range nodes {
		n := t.Nexus(i)
		wg.Go(func() {
			<-start
			answers[i] = act(i, n)
		})
	}
	close(start)
	wg.Wait()
	return answers
}

func mutualRace(t *T) {
	for round := range t.r.opt.Rounds {
		var told [2]atomic.Bool
		for i, s := range t.together(2, func(i int, n *Nexus) string {
			r, err := n.try(preempt(t.Key(i+1), t.Key(2-i), writeRegistrants))
			if err == nil && isUA(r) { // it lost before it drew
				r, err = n.try(preempt(t.Key(i+1), t.Key(2-i), writeRegistrants))
			}
			switch {
			case err != nil:
				return errText(err)
			case r.Good():
				told[i].Store(true)
			case !conflict.ok(r):
				return answer(r)
			}
			return ""
		}, func(i int, n *Nexus) {
			n.Must(registerIgnore(t.Key(i + 1)))
			if i == 0 {
				n.Reserve(t.Key(1), writeRegistrants)
			}
		}) {
			if s != "" {
				t.Wrong("round %d: PREEMPT of %s: %s, must be GOOD or RESERVATION CONFLICT", round+1, nexusName(i), s)
			}
		}
		if told[0].Load() == told[1].Load() {
			t.Fail("round %d: GOOD was told to %v and %v; must be to one", round+1, told[0].Load(), told[1].Load())
		}
		w := 0
		if told[1].Load() {
			w = 1
		}
		winner := t.Nexus(w)
		winner.WantKeys(t.Key(w + 1))
		winner.WantReservation(t.Key(w+1), writeRegistrants)
		winner.Must(clearAll(t.Key(w + 1)))
		t.Nexus(0).Attentions()
		t.Nexus(1).Attentions()
	}
}

// late fences a nexus, lets it come in by a door, and sees that it cannot write.
func late(t *T, door func(*Nexus) *Nexus) {
	a, b := t.Two()
	clean := t.Pattern(before, 1)
	a.Must(a.Write(t.LBA(0), clean))
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	b.Reserve(t.Key(2), writeRegistrants)
	a.Must(preempt(t.Key(1), t.Key(2), writeRegistrants))
	b = door(b)
	b.Expect(b.Write(t.LBA(0), t.Pattern(after1, 1)), conflict)
	b.Expect(reserve(t.Key(2), writeRegistrants), conflict)
	a.Holds(t.LBA(0), clean, "what was there before")
}

func lateAttention(t *T) {
	a, b := t.Two()
	a.Register(t.Key(1))
	b.Register(t.Key(2))
	b.Reserve(t.Key(2), writeRegistrants)
	h := b.Hold(b.Write(t.LBA(0), t.Pattern(after1, heldBlocks)))
	a.expectOr(preemptAbort(t.Key(1), t.Key(2), writeRegistrants), good)
	ctx, cancel := context.WithTimeout(t.ctx, afterwards)
	defer cancel()
	r, came := h.End(ctx)
	told := came && r.Status == initiator.TaskAborted
	seen := b.Attentions()
	var preempted, cleared bool
	for _, s := range seen {
		preempted = preempted || s == initiator.ASCRegistrationsPreempted
		cleared = cleared || s == initiator.ASCCommandsClearedByOther
	}
	t.record(Step{Nexus: b.Name, Did: "TEST UNIT READY until no unit attention is left", Got: attentionNames(seen)})
	if !preempted {
		t.Wrong("%s does not find REGISTRATIONS PREEMPTED but %s", b.Name, attentionNames(seen))
	}
	if !told && !cleared {
		t.Wrong("%s is not told that its write was aborted: neither TASK ABORTED nor COMMANDS CLEARED BY ANOTHER INITIATOR", b.Name)
	}
	h.Release()
}
