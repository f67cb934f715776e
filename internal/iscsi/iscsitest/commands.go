package iscsitest

import (
	"encoding/binary"

	"nas-target/internal/iscsi/pdu"
)

// LUN0 is the unit that Target has.
const LUN0 pdu.LUN = 0

// Read10 returns a READ (10) of blocks of 512 bytes, in order.
func (i *Initiator) Read10(lba uint32, blocks uint16) *pdu.SCSICommand {
	c := i.Command(cdb10(0x28, lba, blocks))
	c.Read, c.EDTL = true, uint32(blocks)*512
	return c
}

// Write10 returns a WRITE (10), final, in order.
func (i *Initiator) Write10(lba uint32, blocks uint16) *pdu.SCSICommand {
	c := i.Command(cdb10(0x2a, lba, blocks))
	c.Write, c.EDTL = true, uint32(blocks)*512
	return c
}

// TestUnitReady returns a command without data, in order.
func (i *Initiator) TestUnitReady() *pdu.SCSICommand { return i.Command([16]byte{}) }

// Command returns a simple command with the next numbers.
func (i *Initiator) Command(cdb [16]byte) *pdu.SCSICommand {
	return &pdu.SCSICommand{
		Final: true, Attr: pdu.AttrSimple, ITT: i.NextITT(), CmdSN: i.Numbered(), ExpStatSN: i.ExpStatSN, CDB: cdb,
	}
}

func cdb10(op byte, lba uint32, blocks uint16) (c [16]byte) {
	c[0] = op
	binary.BigEndian.PutUint32(c[2:], lba)
	binary.BigEndian.PutUint16(c[7:], blocks)
	return c
}

// TMF returns an immediate task management request.
func (i *Initiator) TMF(f pdu.TMFFunction, lun pdu.LUN) *pdu.TMFRequest {
	return &pdu.TMFRequest{
		Immediate: true, Function: f, LUN: lun, ITT: i.NextITT(), RefTaskTag: pdu.ReservedTag,
		CmdSN: i.CmdSN, ExpStatSN: i.ExpStatSN,
	}
}

// DataOut returns a Data-Out PDU that answers an R2T.
func (i *Initiator) DataOut(r *pdu.R2T, sn, offset uint32, final bool) *pdu.DataOut {
	return &pdu.DataOut{
		Final: final, LUN: r.LUN, ITT: r.ITT, TTT: r.TTT, ExpStatSN: i.ExpStatSN, DataSN: sn, BufferOffset: offset,
	}
}

// Unsolicited returns a Data-Out PDU that nobody asked for.
func (i *Initiator) Unsolicited(itt, sn, offset uint32, final bool) *pdu.DataOut {
	return &pdu.DataOut{
		Final: final, ITT: itt, TTT: pdu.ReservedTag, ExpStatSN: i.ExpStatSN, DataSN: sn, BufferOffset: offset,
	}
}
