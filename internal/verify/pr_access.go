package verify

import (
	"fmt"

	"nas-target/internal/initiator"
)

// rights is what a type lets a nexus do that is not the holder.
// SPC-4 r36f table 65, SBC-4 r22 table 13.
type rights int

const (
	allowedAlways rights = iota // whatever reservation exists
	reads                       // refused under the exclusive-access types
	writes                      // refused under all
)

// accessRow is one command of the access table.
type accessRow struct {
	rights
	cmd func(t *T, data []byte) initiator.Cmd
	// old marks commands that may be refused unless REPORT CAPABILITIES promises
	// otherwise in ALLOW COMMANDS. SPC-4 r36f table 204.
	old    bool
	short  bool // the CDB has a 32-bit LBA
	legacy bool // the CDB has a 21-bit LBA
}

// accessLBA is the block that the rows touch, from the start of the range.
const accessLBA = 8

// accessRows holds the commands that are harmless where a target wrongly lets
// them through: FORMAT UNIT, SANITIZE and a stop of the unit are not.
var accessRows = []accessRow{
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.Inquiry(96) }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.ReportLUNs(0, 256) }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.RequestSense(false, 252) }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.LogSense(1, 0, 0, 64) }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.TestUnitReady() }, true, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.ReadCapacity10() }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.ReadCapacity16(32) }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.PRIn(initiator.PRReadKeys, 512) }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.PRIn(initiator.PRReadReservation, 64) }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.ReportPortGroups(false, 256) }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.StartStop{Start: true}.Cmd() }, false, false, false},
	{allowedAlways, func(*T, []byte) initiator.Cmd { return initiator.PreventAllow(false) }, false, false, false},

	{reads, func(t *T, _ []byte) initiator.Cmd { return initiator.Read6(uint32(t.LBA(accessLBA)), 1, t.BlockSize()) }, false, false, true},
	{reads, func(t *T, _ []byte) initiator.Cmd {
		return initiator.Read10(uint32(t.LBA(accessLBA)), 1, t.BlockSize(), 0)
	}, false, true, false},
	{reads, func(t *T, _ []byte) initiator.Cmd {
		return initiator.Read12(uint32(t.LBA(accessLBA)), 1, t.BlockSize(), 0)
	}, false, true, false},
	{reads, func(t *T, _ []byte) initiator.Cmd { return initiator.Read16(t.LBA(accessLBA), 1, t.BlockSize(), 0) }, false, false, false},
	{reads, func(t *T, _ []byte) initiator.Cmd {
		return initiator.Verify10(uint32(t.LBA(accessLBA)), 1, initiator.BytChkNone, 0, nil)
	}, false, true, false},
	{reads, func(t *T, data []byte) initiator.Cmd {
		return initiator.Verify16(t.LBA(accessLBA), 1, initiator.BytChkBlocks, 0, data)
	}, false, false, false},
	{reads, func(t *T, _ []byte) initiator.Cmd { return initiator.PreFetch10(uint32(t.LBA(accessLBA)), 1, true) }, false, true, false},
	{reads, func(t *T, _ []byte) initiator.Cmd { return initiator.GetLBAStatus(t.LBA(accessLBA), 24) }, false, false, false},
	{reads, func(*T, []byte) initiator.Cmd { return initiator.ModeSense6(0, initiator.PageAll, 0, false, 255) }, true, false, false},
	{reads, func(*T, []byte) initiator.Cmd {
		return initiator.ModeSense10(0, initiator.PageAll, 0, false, false, 512)
	}, true, false, false},
	{reads, func(*T, []byte) initiator.Cmd { return initiator.ReportOpcodes(0, 0, 0, false, 2048) }, true, false, false},
	{reads, func(*T, []byte) initiator.Cmd { return initiator.ReportTMFs(false, 4) }, true, false, false},
	{reads, func(*T, []byte) initiator.Cmd { return copyCommand(0x83, 0x10) }, false, false, false}, // POPULATE TOKEN

	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.Write6(uint32(t.LBA(accessLBA)), data, t.BlockSize())
	}, false, false, true},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.Write10(uint32(t.LBA(accessLBA)), data, t.BlockSize(), 0)
	}, false, true, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.Write12(uint32(t.LBA(accessLBA)), data, t.BlockSize(), 0)
	}, false, true, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.Write16(t.LBA(accessLBA), data, t.BlockSize(), 0)
	}, false, false, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.WriteVerify10(uint32(t.LBA(accessLBA)), data, t.BlockSize(), initiator.BytChkNone, 0)
	}, false, true, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.WriteVerify16(t.LBA(accessLBA), data, t.BlockSize(), initiator.BytChkNone, 0)
	}, false, false, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.WriteSame10(uint32(t.LBA(accessLBA)), 1, data, initiator.WriteSameOptions{})
	}, false, true, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.WriteSame16(t.LBA(accessLBA), 1, data, initiator.WriteSameOptions{})
	}, false, false, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.CompareAndWrite(t.LBA(accessLBA), t.Pattern(accessSeed, 1), data, t.BlockSize(), 0)
	}, false, false, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.OrWrite16(t.LBA(accessLBA), data, t.BlockSize(), 0)
	}, false, false, false},
	{writes, func(t *T, data []byte) initiator.Cmd {
		return initiator.WriteAtomic16(t.LBA(accessLBA), 0, data, t.BlockSize(), 0)
	}, false, false, false},
	{writes, func(t *T, _ []byte) initiator.Cmd {
		return initiator.Unmap(initiator.Extent{LBA: t.LBA(accessLBA), Blocks: 1})
	}, false, false, false},
	{writes, func(t *T, _ []byte) initiator.Cmd { return initiator.SyncCache10(0, 0, false) }, false, false, false},
	{writes, func(t *T, _ []byte) initiator.Cmd { return initiator.SyncCache16(0, 0, false) }, false, false, false},
	{writes, func(*T, []byte) initiator.Cmd { return initiator.SelfTest() }, false, false, false},
	{writes, func(*T, []byte) initiator.Cmd { return initiator.ModeSelect10(true, false, nil) }, false, false, false},
	{writes, func(*T, []byte) initiator.Cmd { return initiator.PreventAllow(true) }, false, false, false},
	{writes, func(*T, []byte) initiator.Cmd { return copyCommand(0x83, 0x00) }, false, false, false}, // EXTENDED COPY
	{writes, func(*T, []byte) initiator.Cmd { return copyCommand(0x83, 0x11) }, false, false, false}, // WRITE USING TOKEN
}

// copyCommand is a copy of nothing: its parameter list is empty.
func copyCommand(op, action byte) initiator.Cmd {
	return initiator.NoData(op, action, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
}

// accessSeed makes what stands in the block.
const accessSeed = 0x61

// role is the relation of a nexus to a reservation.
type role string

const (
	holder       role = "holder"
	registered   role = "registered"
	unregistered role = "unregistered"
)

func init() {
	for _, typ := range types {
		for _, who := range []role{holder, registered, unregistered} {
			typ, who := typ, who
			define(Case{
				ID:     fmt.Sprintf("pr.access.%s.%s", token(typ), who),
				Title:  fmt.Sprintf("What %s lets %s nexus do", typeName(typ), map[role]string{holder: "the holder's", registered: "a registered", unregistered: "an unregistered"}[who]),
				Clause: "SPC-4 r36f 5.13.1, table 65; SBC-4 r22 4.17, table 13", Demand: accessDemand(typ, who),
				Level: Required, Destructive: true, Nexuses: 2, needsPR: true, data: true,
				run: func(t *T) { access(t, typ, who) },
			})
		}
	}
}

// refused tells which rights a role does not have.
func refused(t initiator.PRType, who role, r rights) bool {
	if who == holder || registrantsType(t) && who == registered {
		return false
	}
	exclusive := t == exclusiveAccess || t == accessRegistrants || t == accessAll
	return r == writes || r == reads && exclusive
}

func accessDemand(t initiator.PRType, who role) string {
	switch {
	case !refused(t, who, writes):
		return "no command ends with RESERVATION CONFLICT"
	case !refused(t, who, reads):
		return "what writes, and what changes settings, ends with RESERVATION CONFLICT and leaves the medium alone; what reads does not"
	}
	return "what reads or writes, and what changes settings, ends with RESERVATION CONFLICT and leaves the medium alone; INQUIRY, REPORT LUNS, READ CAPACITY and their like do not"
}

func access(t *T, typ initiator.PRType, who role) {
	a, b := t.Two()
	before := t.Pattern(accessSeed, 1)
	other := t.Pattern(accessSeed+1, 1)
	a.Must(a.Write(t.LBA(accessLBA), before))
	rows := t.supportedRows(a, other)
	a.Must(a.Write(t.LBA(accessLBA), before))
	a.Register(t.Key(1))
	a.Reserve(t.Key(1), typ)
	promise := a.Capabilities().AllowCommands
	from := b
	switch who {
	case holder:
		from = a
	case registered:
		b.Register(t.Key(2))
	}
	for _, row := range rows {
		c := row.cmd(t, other)
		switch {
		case refused(typ, who, row.rights):
			from.Check(c, conflict)
		case row.old && !promised(promise, row.rights):
			// Either answer will do.
		default:
			from.Check(c, not(conflict))
		}
	}
	if refused(typ, who, writes) {
		a.Holds(t.LBA(accessLBA), before, "what the holder wrote")
	}
}

// supportedRows leaves out what the target does not know, and what does not
// reach the range. It asks while no reservation stands in the way.
func (t *T) supportedRows(n *Nexus, data []byte) []accessRow {
	var rows []accessRow
	missing := 0
	for _, row := range accessRows {
		end := t.LBA(accessLBA)
		if row.short && end >= 1<<32 || row.legacy && end >= 1<<21 {
			continue
		}
		if r := n.send1(row.cmd(t, data)); badOpcode.ok(r) || row.rights == reads && badCDB.ok(r) {
			missing++
			continue
		}
		rows = append(rows, row)
	}
	t.Note("%s: of %d commands the target does not know %d; they are left out", n.Name, len(accessRows), missing)
	return rows
}

// promised tells whether ALLOW COMMANDS says that such a command is not refused.
// SPC-4 r36f 6.15.4: 1 to 4 name TEST UNIT READY, 3 and 4 the list of others.
func promised(allow uint8, r rights) bool {
	if r == allowedAlways {
		return allow >= 1 && allow <= 4
	}
	return allow == 3 || allow == 4
}
