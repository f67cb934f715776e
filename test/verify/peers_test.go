package verify

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/internal/verify"
	"nas-target/test/peers"
)

// finding is what is known of a target: these cases end so, and their reason
// contains these words.
type finding struct {
	verdict verify.Verdict
	cases   string // globs
	says    string
	why     string // docs/verify.md says it in full
}

// ofTGT is what Debian's tgt 1.0.85 does. The sources named are tgt's.
var ofTGT = []finding{
	{verify.Fail, "iscsi.negotiate.small-segments iscsi.pdu.rules", "MaxBurstLength is 2048", "a Data-In sequence is not ended at MaxBurstLength (usr/iscsi/iscsid.c)"},
	{verify.Fail, "iscsi.digest.crc32c", "HeaderDigest false", "offered CRC32C alone, it answers None, which was not offered"},
	{verify.Fail, "iscsi.text.send-targets", "closed the connection", "a Text Request in a normal session costs the connection"},
	{verify.Fail, "iscsi.cmdsn.old", "closed the connection", "a CmdSN below the window costs the connection instead of being ignored"},
	{verify.Fail, "iscsi.tmf.no-unit", "function complete, must be LUN does not exist", "LUNs are not looked up for task management"},
	{verify.Fail, "iscsi.tmf.abort-task", "task does not exist", "a write that waits for its data is not known to task management"},
	{verify.Fail, "iscsi.tmf.abort-task-set iscsi.tmf.lu-reset", "other data, from byte 0 on", "function complete is told, and the data are written all the same"},
	{verify.Fail, "scsi.report-luns", "REPORT LUNS: GOOD", "SELECT REPORT is not looked at"},
	{verify.Fail, "scsi.request-sense", "DESC=1 returns 70", "DESC is not looked at"},
	{verify.Fail, "scsi.opcodes.true", "opcode FFh", "an unknown operation code is an error instead of SUPPORT=1"},
	{verify.Fail, "scsi.mode.pages", "page 02h is out of order", "the pages are not in ascending order"},
	{verify.Fail, "scsi.sync", "must be CHECK CONDITION 5/21/00", "the range is not checked"},
	{verify.Fail, "scsi.verify", "byte 1 04h: GOOD", "the reserved BYTCHK is not refused"},
	{verify.Skipped, "scsi.port-groups", "TPGS is 0", ""},
	{verify.Fail, "scsi.compare-and-write scsi.compare-and-write.atomic esxi.heartbeat esxi.lock fencing.withheld.compare-and-write", "page B0h announces COMPARE AND WRITE of 128 blocks, the command ends with CHECK CONDITION 5/20/00", "announced, and not there with this kind of disk: ESXi would take locks by a command that fails"},
	{verify.Skipped, "scsi.unmap", "LBPU=0", ""},

	{verify.Fail, "pr.access.we.registered pr.access.we.unregistered pr.access.wero.unregistered pr.access.wear.unregistered", "WRITE SAME (16)", "WRITE SAME is not checked, WRITE AND VERIFY and ORWRITE count as reads: a fenced node writes (usr/sbc.c)"},
	{verify.Fail, "pr.access.ea.registered pr.access.ea.unregistered pr.access.earo.unregistered pr.access.eaar.unregistered", "WRITE SAME (16)", "likewise under Exclusive Access"},
	{verify.Fail, "pr.in.allocation", "allocation length 0: CHECK CONDITION 5/24/00", "a short allocation length is an error"},
	{verify.Fail, "pr.in.full-status", "CHECK CONDITION 5/24/00", "READ FULL STATUS is not implemented"},
	{verify.Skipped, "pr.in.full-status.all-registrants", "not implemented", ""},
	{verify.Fail, "pr.legacy.holder pr.legacy.registered", "RESERVE (6): GOOD, must be RESERVATION CONFLICT", "RESERVE (6) does not look at registrations, and CRH is 0"},
	{verify.Fail, "pr.legacy.excludes", "PERSISTENT RESERVE IN READ KEYS, allocation length 64: GOOD", "PERSISTENT RESERVE commands do not look at RESERVE (6)"},
	{verify.Skipped, "pr.move pr.move.*", "no relative port identifier", "page 83h does not tell what REGISTER AND MOVE needs"},
	{verify.Fail, "pr.spec-i-pt pr.all-tg-pt pr.aptpl", "5/24/00 (ILLEGAL REQUEST, invalid field in CDB), must be CHECK CONDITION 5/26/00", "the bit is in the parameter list, not in the CDB"},
	{verify.Skipped, "pr.spec-i-pt.*", "SIP_C=0", ""},
	{verify.Fail, "pr.aptpl.capable", "PTPL_C is 0", "nothing persists, and Linux asks for it always"},
	{verify.Skipped, "durability.aptpl-1 durability.aptpl-1.*", "PTPL_C=0", ""},
	{verify.Fail, "pr.preempt pr.preempt.no-reservation pr.preempt.several pr.preempt.holder.* pr.preempt.all.* pr.preempt.one.* pr.preempt.own-key.stale-holder windows-cluster.arbitration",
		"6/2A/03 (UNIT ATTENTION, reservations preempted) waiting, must have 6/2A/05", "the victims are told RESERVATIONS PREEMPTED, which belongs to CLEAR"},
	{verify.Fail, "pr.preempt.zero", "PREEMPT, Write Exclusive, key K1, service action key 0: GOOD", "key 0 is no key, and is taken for one"},
	{verify.Fail, "pr.preempt.bad-type", "type F", "a reservation of a type that does not exist"},
	{verify.Fail, "pr.preempt.own-key.not-holder", "READ KEYS shows K1 K2", "the sender keeps the registration that it asked to remove"},
	{verify.Fail, "pr.preempt-and-abort fence-scsi.off fence-scsi.monitor", "CHECK CONDITION 5/24/00", "PREEMPT AND ABORT, by which fence_scsi fences, is not implemented"},
	{verify.Skipped, "pr.preempt-and-abort.* fencing.withheld.preempt-and-abort fencing.withheld.preempt-and-abort.registrant fencing.withheld.partial fencing.withheld.others fencing.race.preempt-and-abort fencing.late.attention",
		"PREEMPT AND ABORT is not implemented", ""},
	{verify.Fail, "pr.register.relogin pr.register.drop", "WRITE (10)", "a registration belongs to the session, and is orphaned when it ends"},
	{verify.Fail, "pr.register.list-length", "must be CHECK CONDITION 5/1A/00", "another sense code"},
	{verify.Fail, "pr.out.key-mismatch", "RESERVE, Write Exclusive, key K2, service action key 0: GOOD", "RESERVE does not look at the RESERVATION KEY"},
	{verify.Fail, "pr.release.unit-attention.we pr.release.unit-attention.ea", "A has 6/2A/04", "a unit attention for those whom it does not concern, the sender among them"},
	{verify.Fail, "pr.release.unit-attention.wero pr.release.unit-attention.earo pr.release.unit-attention.wear pr.release.unit-attention.eaar pr.unregister.holder.wero pr.unregister.holder.earo",
		"B has no unit attention waiting, must have 6/2A/04", "and none for those whom it does"},
	{verify.Skipped, "iscsi.login.chap-*", "no user was given", ""},
	{verify.Skipped, "pr.all-tg-pt.other-port pr.one-port", "needs 2 target ports", ""},
	{verify.Skipped, "durability.write.uncached", "WCE=1", ""},
}

// ofGOTGT is what gotgt 0.2.2 does in the cases of gotgtCases: where REGISTER
// does not work, the other cases about reservations cannot be judged.
var ofGOTGT = []finding{
	{verify.Fail, "iscsi.login.no-initiator-name", "succeeded", "InitiatorName is not asked for"},
	{verify.Fail, "iscsi.login.no-target-name iscsi.login.unknown-target", "closed the connection during login", "the connection is dropped without a status"},
	{verify.Fail, "iscsi.login.unknown-session", "the target does not serve any more", "a nil dereference: any stranger ends the process by one PDU"},
	{verify.Fail, "iscsi.login.version", "status 0000 (success)", "versions are not looked at"},
	{verify.Fail, "iscsi.login.first-pdu", "neither an answer nor the end", "the connection hangs"},
	{verify.Fail, "iscsi.login.unknown-key", "closed the connection", "an unknown key ends the login"},
	{verify.Fail, "iscsi.login.reinstatement", "open, must show closed", "the old session stays"},
	{verify.Fail, "iscsi.negotiate.results", "must show InitialR2T=true ImmediateData=false", "its own values win"},
	{verify.Fail, "iscsi.negotiate.small-segments", "closed the connection", "MaxRecvDataSegmentLength is not respected, and the initiator gives up"},
	{verify.Fail, "iscsi.digest.crc32c", "no answer in time", "digests are negotiated and never computed"},
	{verify.Fail, "iscsi.discovery.send-targets", "closed the connection", "a discovery session without TargetName is refused"},
	{verify.Errored, "iscsi.discovery.no-commands", "closed the connection", ""},
	{verify.Fail, "iscsi.nop.echo", "same data: false", "the data do not come back"},
	{verify.Fail, "iscsi.text.send-targets", "no answer in time", "no text in a normal session"},
	{verify.Fail, "iscsi.cmdsn.order", "the TEST UNIT READY behind the gap: no answer in time", "a command before which one is missing is lost"},
	{verify.Fail, "iscsi.residual.overflow", "BUSY", "a short Expected Data Transfer Length ends with BUSY"},
	{verify.Fail, "iscsi.tmf.no-unit", "function complete", "every function is complete at once"},
	{verify.Fail, "iscsi.tmf.abort-task", "no answer in time", "the session hangs after the abort"},
	{verify.Fail, "iscsi.tmf.abort-task-set iscsi.tmf.lu-reset", "other data, from byte 0 on", "function complete is told, and nothing is done"},
	{verify.Fail, "iscsi.pdu.rules", "data-segment-length", "Data-In longer than allowed, among others"},
	{verify.Fail, "scsi.vpd.list", "page 00h", "the page is as long as the allocation length, filled with zeros"},
	{verify.Fail, "scsi.vpd.identification scsi.vpd.identification.* durability.identity", "page 83h", "likewise"},
	{verify.Fail, "scsi.vpd.serial", "not printable ASCII", "likewise"},
	{verify.Fail, "scsi.vpd.block-limits scsi.provisioning.agrees scsi.unmap", "bytes behind PAGE LENGTH", "likewise"},
	{verify.Fail, "scsi.capacity.allocation", "allocation length 12", "a short allocation length changes the data"},
	{verify.Fail, "scsi.report-luns", "REPORT LUNS: GOOD", "SELECT REPORT is not looked at"},
	{verify.Fail, "scsi.missing-unit", "CHECK CONDITION 5/24/00", "INQUIRY of a LUN that does not exist fails"},
	{verify.Fail, "scsi.request-sense", "REQUEST SENSE returns", "no sense data"},
	{verify.Fail, "scsi.opcodes.true", "asked for alone", "reporting options 1 and 2 are refused"},
	{verify.Fail, "scsi.port-groups", "REPORT TARGET PORT GROUPS", "TPGS is announced, the command is refused"},
	{verify.Fail, "scsi.attention.untouched", "GOOD, must be the unit attention", "there are no unit attentions"},
	{verify.Fail, "scsi.sync", "must be CHECK CONDITION 5/21/00", "the range is not checked"},
	{verify.Fail, "scsi.verify", "byte 1 04h: GOOD", "the reserved BYTCHK is not refused"},
	{verify.Skipped, "scsi.compare-and-write scsi.compare-and-write.atomic", "COMPARE AND WRITE is not implemented", ""},
	{verify.Fail, "scsi.compare-and-write.announced", "does not announce", ""},
	{verify.Fail, "scsi.write-same", "other data", "GOOD is told, and nothing is written"},
	{verify.Fail, "pr.access.we.holder", "ORWRITE", "ORWRITE ends the process"},
	{verify.Fail, "pr.in.read-keys pr.in.read-reservation", "CHECK CONDITION 5/24/00", "the allocation length is never read from the CDB (pkg/scsi/spc.go, SPCPRReadKeys)"},
	{verify.Fail, "pr.register.new", "CHECK CONDITION 5/24/00", "REGISTER compares something else than PARAMETER LIST LENGTH with 24, and refuses (reservationCheck)"},
	{verify.Skipped, "iscsi.login.chap-*", "no user was given", ""},
}

// gotgtCases leaves out what would only say once more that REGISTER fails.
var gotgtCases = []string{"iscsi.*", "scsi.*", "pr.in.read-*", "pr.in.capabilities", "pr.register.new", "pr.access.we.holder", "durability.identity"}

// TestVerdictsOnOthers runs the suite against targets that are not ours and
// compares every verdict with what is known of them.
func TestVerdictsOnOthers(t *testing.T) {
	for _, c := range []struct {
		kind     peers.Kind
		globs    []string
		known    []finding
		patience time.Duration
	}{
		{peers.TGT, nil, ofTGT, 5 * time.Second},
		{peers.GOTGT, gotgtCases, ofGOTGT, 1500 * time.Millisecond},
	} {
		t.Run(c.kind.Name, func(t *testing.T) {
			t.Parallel() // most of the time is waiting
			dir := t.TempDir()
			disk := filepath.Join(dir, "disk.img")
			require.NoError(t, os.WriteFile(disk, make([]byte, 16<<20), 0o600))
			p, err := c.kind.Start(t.Context(), dir, peers.Disk{Path: disk})
			require.NoError(t, err)
			t.Cleanup(func() { p.Kill() })
			cases, err := verify.Select(verify.Suites(), verify.Profiles(), c.globs)
			require.NoError(t, err)
			report, err := verify.Run(t.Context(), verify.Options{
				Paths: []verify.Path{{URL: p.URL(), LUN: uint16(p.LUN), Login: initiator.Config{Addr: p.Addr, Target: p.IQN}}},
				Cases: cases, Destructive: true, Offset: -1, Rounds: 2, Nodes: 4, Patience: c.patience,
				RestartHook: func(ctx context.Context) error { p.Kill(); return p.Restart(ctx) },
			})
			require.NoError(t, err)
			require.Empty(t, report.Stopped)
			require.Empty(t, compare(report, c.known))
			t.Logf("%d cases: required %+v, others %+v", len(report.Cases), report.Required, report.Rest)
		})
	}
}

// compare lists what came out otherwise than known.
func compare(r *verify.Report, known []finding) string {
	var b strings.Builder
	used := make([]bool, len(known))
	for _, c := range r.Cases {
		i := slices.IndexFunc(known, func(f finding) bool { return f.names(c.ID) })
		switch {
		case i < 0 && c.Verdict != verify.Pass:
			fmt.Fprintf(&b, "new: %s %s: %s\n", c.Verdict, c.ID, c.Reason)
		case i >= 0 && c.Verdict != known[i].verdict:
			fmt.Fprintf(&b, "%s is known to %s, now: %s: %s\n", c.ID, known[i].verdict, c.Verdict, c.Reason)
		case i >= 0 && !strings.Contains(c.Reason, known[i].says):
			fmt.Fprintf(&b, "%s fails for another reason than %q: %s\n", c.ID, known[i].says, c.Reason)
		}
		if i >= 0 {
			used[i] = true
		}
	}
	for i, u := range used {
		if !u {
			fmt.Fprintf(&b, "no case %s ran\n", known[i].cases)
		}
	}
	return b.String()
}

func (f finding) names(id string) bool {
	return slices.ContainsFunc(strings.Fields(f.cases), func(glob string) bool {
		ok, err := path.Match(glob, id)
		return ok && err == nil
	})
}
