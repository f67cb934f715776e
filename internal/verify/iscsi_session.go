package verify

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"nas-target/internal/initiator"
)

func init() {
	c := func(id, title, clause, demand string, run func(*T)) Case {
		return Case{ID: "iscsi." + id, Title: title, Clause: clause, Demand: demand, Level: Required, run: run}
	}
	changes := func(c Case, nexuses int) Case {
		c.Destructive, c.data, c.Nexuses = true, true, nexuses
		return c
	}
	define(
		c("nop.echo", "A ping comes back", "RFC 7143 §11.18, §11.19",
			"a NOP-Out with a task tag is answered by a NOP-In with the same data, immediate or not", func(t *T) {
				a := t.Nexus(0)
				for _, queued := range []bool{false, true} {
					data := bytes.Repeat([]byte("ping"), 100)
					ctx, cancel := t.within()
					echo, err := a.S.PingWith(ctx, initiator.Ping{Data: data, Queued: queued})
					cancel()
					did := fmt.Sprintf("NOP-Out with %d bytes, immediate=%v", len(data), !queued)
					if err != nil {
						a.noAnswer(did, err)
					}
					a.saw(did, fmt.Sprintf("same data: %v", bytes.Equal(data, echo)), "same data: true")
				}
			}),
		c("text.send-targets", "SendTargets in a normal session", "RFC 7143 App. C",
			"a normal session is told about the target that it is logged in to, and about no other", func(t *T) {
				a := t.Nexus(0)
				ctx, cancel := t.within()
				defer cancel()
				list, err := a.S.SendTargets(ctx, "")
				if err != nil {
					a.noAnswer("Text Request SendTargets=", err)
				}
				var names []string
				for _, r := range list {
					names = append(names, r.Name)
				}
				a.saw("Text Request SendTargets=", strings.Join(names, ", "), t.r.path(0).Login.Target)
			}),
		c("cmdsn.order", "Commands are executed in the order of their numbers", "RFC 7143 §4.2.2.1",
			"a command whose CmdSN leaves a gap waits until the gap is filled", cmdSNOrder),
		c("cmdsn.old", "A CmdSN outside the window is ignored", "RFC 7143 §4.2.2.1",
			"a command whose CmdSN was used already is silently ignored; the session goes on", cmdSNOld),
		c("residual.underflow", "Less than was expected", "RFC 7143 §11.4.5",
			"a READ of fewer bytes than the Expected Data Transfer Length ends with the underflow flag and the difference, or is refused", func(t *T) {
				a, n := t.Nexus(0), t.BlockSize()
				cmd := a.Read(0, 1)
				cmd.In = 2 * n
				residual(a, cmd, "expecting two blocks", n, false, n)
			}),
		c("residual.overflow", "More than was expected", "RFC 7143 §11.4.5",
			"a READ of more bytes than the Expected Data Transfer Length ends with the overflow flag and the difference, or is refused", func(t *T) {
				a, n := t.Nexus(0), t.BlockSize()
				cmd := a.Read(0, 2)
				cmd.In = n
				residual(a, cmd, "expecting one block", n, true, n)
			}),
		c("tmf.no-task", "ABORT TASK of nothing", "RFC 7143 §11.6.1",
			"a referenced tag that names no task, with a RefCmdSN outside the command window, is answered: task does not exist", func(t *T) {
				a := t.Nexus(0)
				next, _, _ := a.S.CmdSN()
				a.request(initiator.TMFRequest{Function: initiator.TMFAbortTask, LUN: a.U.LUN, ReferencedTag: 0x7a7a7a7a, RefCmdSN: next - 0x1000},
					"ABORT TASK of a task that never was", initiator.TMFNoTask)
			}),
		c("tmf.no-unit", "A reset of no logical unit", "RFC 7143 §11.6.1",
			"a function for a LUN that does not exist is answered: LUN does not exist", func(t *T) {
				a := t.Nexus(0)
				a.request(initiator.TMFRequest{Function: initiator.TMFAbortTaskSet, LUN: t.missingLUN(a), ReferencedTag: initiator.NoTag},
					"ABORT TASK SET of a LUN that does not exist", initiator.TMFNoLUN)
			}),
		changes(c("tmf.abort-task", "ABORT TASK of a write that waits for its data", "RFC 7143 §11.5.1",
			"after function complete the task has no answer and its data change nothing", func(t *T) {
				abort(t, func(a *Nexus, h *Held) (initiator.TMFResponse, error) {
					ctx, cancel := t.within()
					defer cancel()
					return a.S.AbortTask(ctx, h.task)
				})
			}), 1),
		changes(c("tmf.abort-task-set", "ABORT TASK SET of a write that waits for its data", "RFC 7143 §11.5.1; SAM-5 7.3",
			"after function complete none of the nexus' tasks has an answer or changes anything", func(t *T) {
				abort(t, func(a *Nexus, h *Held) (initiator.TMFResponse, error) {
					ctx, cancel := t.within()
					defer cancel()
					return a.S.ManageLUN(ctx, initiator.TMFAbortTaskSet, a.U.LUN)
				})
			}), 1),
		changes(c("tmf.lu-reset", "LOGICAL UNIT RESET aborts everything and tells everybody", "RFC 7143 §11.5.1; SAM-5 5.14, 6.3.3",
			"after function complete no task of any nexus changes anything, and every nexus finds a unit attention of the reset family", luReset), 2),
		changes(c("write.solicited", "Writes of many bursts", "RFC 7143 §11.8, §13.10, §13.13",
			"with InitialR2T=Yes and ImmediateData=No the target asks for every byte, in bursts that respect MaxBurstLength, and stores what came", func(t *T) {
				n := t.accepted("offers InitialR2T=Yes, ImmediateData=No, MaxBurstLength=8192", func(c *initiator.Config) {
					c.Keys = initiator.Keys{{Name: "InitialR2T", Value: "Yes"}, {Name: "ImmediateData", Value: "No"}, {Name: "MaxBurstLength", Value: "8192"},
						{Name: "FirstBurstLength", Value: "8192"}}
				})
				data := t.Pattern(3, 64)
				n.Expect(n.Write(t.LBA(0), data), good)
				n.Holds(t.LBA(0), data, "what was written")
				n.keptRules(initiator.RuleR2TRange, initiator.RuleR2TSN, initiator.RuleR2TOffset, initiator.RuleR2TOutstanding, initiator.RuleR2TTag)
			}), 1),
		Case{ID: "iscsi.pdu.rules", Title: "Every PDU of the run kept the rules", Clause: "RFC 7143 §11", Level: Required, last: true,
			Demand: "layout, numbering, digests, tags, residuals and sense data of every PDU that the target sent are as the standard draws them", run: pduRules},
	)
}

// provoking keeps what a session of odd numbers sees out of iscsi.pdu.rules.
func provoking(c *initiator.Config) { c.OnViolation = nil }

// grace is how long a wrong answer may take behind the right one: a busy target
// may give them in another order.
const grace = 250 * time.Millisecond

// cmdSNOrder sends a command with a gap before it. The ping behind it is
// immediate: its answer shows that the target has seen both.
func cmdSNOrder(t *T) {
	a := t.login(0, 0, provoking)
	a.Must(initiator.TestUnitReady())
	ctx, cancel := t.within()
	defer cancel()
	a.S.SkipCmdSN(1)
	task, err := a.U.Start(ctx, initiator.TestUnitReady())
	if err == nil {
		err = a.S.Ping(ctx, []byte("after the command"))
	}
	if err != nil {
		a.noAnswer("TEST UNIT READY whose CmdSN leaves a gap, then a ping", err)
	}
	select {
	case <-task.Done():
		t.Note("%s sent TEST UNIT READY with a gap before its CmdSN, and it was answered before the gap was filled", a.Name)
		t.Fail("a command was executed before one with a lower CmdSN had come")
	case <-time.After(grace):
	}
	t.Note("%s sent TEST UNIT READY with a gap before its CmdSN, and a ping; only the ping was answered", a.Name)
	a.S.SkipCmdSN(-2)
	if _, err := a.S.PingWith(ctx, initiator.Ping{Data: []byte("the gap"), Queued: true}); err != nil {
		a.noAnswer("a ping that fills the gap", err)
	}
	a.S.SkipCmdSN(1)
	r, err := task.Wait(ctx)
	if err != nil {
		a.noAnswer("the TEST UNIT READY behind the gap", err)
	}
	a.saw("TEST UNIT READY, once the gap was filled", answer(r), "GOOD")
}

// cmdSNOld sends a command again, with its old number and another tag.
func cmdSNOld(t *T) {
	a := t.login(0, 0, provoking)
	a.Must(initiator.TestUnitReady())
	next, _, _ := a.S.CmdSN()
	const tag = 0x5e5e5e5e
	p := initiator.SCSICommandPDU{Final: true, Attr: initiator.Simple, LUN: a.U.LUN, ITT: tag, CDB: initiator.TestUnitReady().CDB}.PDU()
	p.SetUint32(24, next-1) // CmdSN
	a.S.Conns()[0].Send(p, 0)
	ctx, cancel := t.within()
	defer cancel()
	did := "TEST UNIT READY with the CmdSN of the command before, then a ping"
	if err := a.S.Ping(ctx, []byte("after it")); err != nil {
		a.noAnswer(did, err)
	}
	time.Sleep(grace)
	got := "only the ping is answered"
	for _, v := range a.S.Violations() {
		if v.Rule == initiator.RuleUnknownITT {
			got = "the command is answered"
		}
	}
	for len(a.S.Rejects()) > 0 {
		got = fmt.Sprintf("the target rejects it: %v", (<-a.S.Rejects()).Reason)
	}
	a.saw(did, got, "only the ping is answered")
	a.Expect(initiator.TestUnitReady(), good)
}

// residual judges flags, count and data.
func residual(n *Nexus, c initiator.Cmd, how string, count int, overflow bool, data int) {
	r := n.Do(c)
	if r.Code == 0 && r.Status == initiator.CheckCondition && r.Sense.Key == initiator.IllegalRequest {
		return
	}
	text := func(r initiator.Response) string {
		return fmt.Sprintf("%s, overflow %v, underflow %v, residual %d, %d bytes", answer(r), r.Overflow, r.Underflow, r.Residual, len(r.Data))
	}
	wanted := initiator.Response{Overflow: overflow, Underflow: !overflow, Residual: uint32(count), Data: make([]byte, data)}
	n.saw(describe(c)+" "+how, text(r), text(wanted))
}

// missingLUN is a LUN that REPORT LUNS does not list.
func (t *T) missingLUN(n *Nexus) initiator.LUN {
	ctx, cancel := t.within()
	defer cancel()
	list, err := n.S.ReportLUNs(ctx)
	if err != nil {
		t.Broken("REPORT LUNS, which another case judges: %s", errText(err))
	}
	for i := uint16(200); i < 256; i++ {
		if l := initiator.FlatLUN(i); !slices.Contains(list, l) {
			return l
		}
	}
	t.Broken("every LUN from 200 to 255 exists")
	return 0
}

// abort kills a write that waits for its data.
func abort(t *T, function func(*Nexus, *Held) (initiator.TMFResponse, error)) {
	a := t.Nexus(0)
	clean := t.Pattern(before, heldBlocks)
	a.Must(a.Write(t.LBA(0), clean))
	h := a.Hold(a.Write(t.LBA(0), t.Pattern(after1, heldBlocks)))
	r, err := function(a, h)
	if err != nil {
		a.noAnswer("the function that aborts it", err)
	}
	a.saw("the function that aborts it", r.Status.String(), initiator.TMFComplete.String())
	h.Release()
	ctx, cancel := t.within()
	defer cancel()
	if err := a.S.Ping(ctx, []byte("behind the data")); err != nil {
		a.noAnswer("a ping behind the data", err)
	}
	a.Holds(t.LBA(0), clean, "what was there before")
	a.keptRules(initiator.RuleAfterAbort)
}

func luReset(t *T) {
	a, b := t.Two()
	clean := t.Pattern(before, heldBlocks)
	a.Must(a.Write(t.LBA(0), clean))
	h := b.Hold(b.Write(t.LBA(0), t.Pattern(after1, heldBlocks)))
	a.manage(initiator.TMFLUReset, initiator.TMFComplete)
	for _, n := range []*Nexus{a, b} {
		seen := n.Attentions()
		ok := slices.ContainsFunc(seen, func(s initiator.ASC) bool { return s>>8 == 0x29 })
		t.record(Step{Nexus: n.Name, Did: "TEST UNIT READY until no unit attention is left", Got: attentionNames(seen), Want: "one of 6/29/xx", Wrong: !ok})
		if !ok {
			t.Wrong("%s finds %s after the reset, must find one of 6/29/xx", n.Name, attentionNames(seen))
		}
	}
	h.Release()
	ctx, cancel := context.WithTimeout(t.ctx, afterwards)
	defer cancel()
	if r, came := h.End(ctx); came && r.Good() {
		t.Wrong("the write that the reset aborted ended with GOOD")
	}
	a.Holds(t.LBA(0), clean, "what was there before")
}

// pduRules sums up what the sessions of the whole run saw.
func pduRules(t *T) {
	t.Nexus(0).Must(initiator.TestUnitReady())
	t.r.mu.Lock()
	var list []found
	for _, f := range t.r.violations {
		list = append(list, f)
	}
	t.r.mu.Unlock()
	slices.SortFunc(list, func(a, b found) int { return strings.Compare(string(a.Rule), string(b.Rule)) })
	for _, f := range list {
		text := fmt.Sprintf("%s (%s): %s, in %s", f.Rule, f.Clause, f.Detail, f.in)
		if f.count > 1 {
			text += fmt.Sprintf(" and %d times more", f.count-1)
		}
		t.record(Step{Did: text, Wrong: !f.Should})
		if !f.Should {
			t.Wrong("%s", text)
		}
	}
	if len(list) == 0 {
		t.Note("nothing was found")
	}
}
