package scsi

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// SPC-4 r36f 4.2.5.6: whatever the allocation length, GOOD, the data cut, and
// no length field changed.
func TestAllocationLengthCutsAndNothingElse(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name, cdb string // %0*x is the allocation length, in digits
		digits    int
	}{
		{"INQUIRY", "12 00 00 %s 00", 4},
		{"VPD 00", "12 01 00 %s 00", 4},
		{"VPD 83", "12 01 83 %s 00", 4},
		{"VPD b0", "12 01 b0 %s 00", 4},
		{"REQUEST SENSE", "03 00 00 00 %s 00", 2},
		{"MODE SENSE(6)", "1a 00 3f 00 %s 00", 2},
		{"MODE SENSE(10)", "5a 00 3f ff 00 00 00 %s 00", 4},
		{"READ CAPACITY(16)", "9e 10 00 00 00 00 00 00 00 00 %s 00 00", 8},
		{"REPORT LUNS", "a0 00 00 00 00 00 %s 00 00", 8},
		{"RSOC", "a3 0c 80 00 00 00 %s 00 00", 8},
		{"RSOC one", "a3 0c 81 00 00 00 %s 00 00", 8},
		{"RSTMF", "a3 0d 80 00 00 00 %s 00 00", 8},
		{"GET LBA STATUS", "9e 12 00 00 00 00 00 00 00 00 %s 00 00", 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			most := 1<<min(4*c.digits, 16) - 1
			whole := b.in(fmt.Sprintf(c.cdb, fmt.Sprintf("%0*x", c.digits, most)))
			require.NotEmpty(t, whole)
			for n := 0; n <= len(whole)+1; n++ {
				cdb := fmt.Sprintf(c.cdb, fmt.Sprintf("%0*x", c.digits, n))
				if n > most {
					break
				}
				r := b.do(cdb, nil, 1<<20)
				require.Equal(t, Good, r.Status)
				require.Equal(t, whole[:min(n, len(whole))], append([]byte{}, r.In...))
				require.EqualValues(t, min(n, len(whole)), r.Want, "residual counts from what the command transfers")
				// The initiator's own room is smaller by one: overflow, GOOD.
				r = b.do(cdb, nil, max(n-1, 0))
				require.Equal(t, Good, r.Status)
				require.Len(t, r.In, min(max(n-1, 0), len(whole)))
				require.EqualValues(t, min(n, len(whole)), r.Want)
			}
		})
	}
}

func TestInquiryRefusals(t *testing.T) {
	b := newBench(t)
	for cdb, want := range map[string]*Check{
		"12 00 80 00 ff 00": ErrInvalidField.AtCDB(2, 7), // page without EVPD
		"12 01 84 00 ff 00": ErrInvalidField.AtCDB(2, 7), // no such page
		"12 02 00 00 ff 00": ErrInvalidField.AtCDB(1, 1), // CMDDT
		"12 00 00 00 ff 04": ErrInvalidField.AtCDB(5, 2), // NACA
		"12 00 00 00 ff 01": ErrInvalidField.AtCDB(5, 0), // LINK
	} {
		b.refused(want, cdb, nil)
	}
}

func TestSupportedPagesAreReadableAndSorted(t *testing.T) {
	for _, thin := range []bool{true, false} {
		b := newBench(t, func(c *UnitConfig) { c.Thin = thin })
		list := b.in("12 01 00 ff ff 00")[4:]
		require.Contains(t, list, byte(0x83))
		listed := map[byte]bool{}
		for i, code := range list {
			listed[code] = true
			if i > 0 {
				require.Less(t, list[i-1], code)
			}
		}
		for code := range 256 {
			r := b.do(fmt.Sprintf("12 01 %02x ff ff 00", code), nil, 1<<16)
			require.Equal(t, listed[byte(code)], r.Status == Good, "page %02x", code)
			if r.Status == Good {
				require.Equal(t, byte(code), r.In[1])
				require.EqualValues(t, len(r.In)-4, binary.BigEndian.Uint16(r.In[2:]))
			}
		}
	}
}

// The designators of the unit are the same on every path; those of ports are
// not; relative ids and groups are those of the port the command came through.
func TestDeviceIDPerPath(t *testing.T) {
	b := newBench(t)
	ports := []Port{
		{Name: "iqn.2026-11.test:disk,t,0x0001", Relative: 1, Group: 1},
		{Name: "iqn.2026-11.test:disk,t,0x0002", Relative: 7, Group: 2},
	}
	dev := NewDevice("iqn.2026-11.test:disk", ports)
	var unit, port [2]string
	for i, p := range ports {
		it := dev.Attach(Nexus{Initiator: "iqn.2026-11.test:x,i,0x000000000001", Target: p.Name}, LUNMap{3: b.unit})
		d := b.through(it, 3, "12 01 83 ff ff 00", nil, 1<<16).In[4:]
		for len(d) > 0 {
			n := 4 + int(d[3])
			if d[1]>>4&3 == ofUnit {
				unit[i] += string(d[:n])
			} else {
				require.EqualValues(t, 0x51, d[0]&0xf0|0x01, "iSCSI")
				require.NotZero(t, d[1]&designatorPIV)
				port[i] += string(d[:n])
			}
			d = d[n:]
		}
		require.Contains(t, port[i], string([]byte{0, 0, 0, byte(p.Relative)}))
		require.Contains(t, port[i], p.Name+"\x00")
		inq := b.through(it, 3, "12 00 00 00 ff 00", nil, 255).In
		require.EqualValues(t, 0x10, inq[6]&0x10, "MULTIP")
	}
	require.Equal(t, unit[0], unit[1])
	require.NotEqual(t, port[0], port[1])
	require.Equal(t, byte(idNAA), unit[0][1], "the NAA is first")
}

// What is not configured follows from the UUID alone, and two units differ
// within the first eight bytes of product and T10 name.
func TestIdentityFromUUID(t *testing.T) {
	a, again, c := Identity{Name: "a", UUID: [16]byte{1, 2, 3, 15: 9}}, Identity{Name: "b", UUID: [16]byte{1, 2, 3, 15: 9}}, Identity{UUID: [16]byte{1, 2, 4, 15: 9}}
	for _, id := range []*Identity{&a, &again, &c} {
		id.complete()
		require.Len(t, id.NAA, 8)
		require.EqualValues(t, naaLocallyAssigned, id.NAA[0]>>4)
	}
	a.Name = again.Name
	require.Equal(t, a, again)
	require.NotEqual(t, a.NAA, c.NAA)
	require.NotEqual(t, a.Product[:8], c.Product[:8])
	require.NotEqual(t, a.Serial[:8], c.Serial[:8])
	given := Identity{NAA: []byte{0x60, 15: 1}, Serial: "S1", Vendor: "LIO-ORG", Product: "old disk", Revision: "4.0"}
	want := given
	given.complete()
	require.Equal(t, want, given, "a taken over identity stays as it is")
}

func TestNamesArePaddedPrintableASCII(t *testing.T) {
	b := newBench(t, func(c *UnitConfig) { c.Vendor, c.Product, c.Revision = "a\tvery long vendor", "prö", "" })
	inq := b.in("12 00 00 00 ff 00")
	require.Equal(t, "a very l"+"pr  "+strings.Repeat(" ", 12)+"1   ", string(inq[8:36]))
}

// SPC-4 r36f 4.5.1: what works where no unit is.
func TestUnmappedLUN(t *testing.T) {
	b := newBench(t)
	r := b.through(b.it, 5, "12 00 00 00 ff 00", nil, 255)
	require.Equal(t, Good, r.Status)
	require.Len(t, r.In, inquiryLen)
	require.EqualValues(t, 0x7f, r.In[0])
	r = b.through(b.it, 5, "12 01 00 00 ff 00", nil, 255)
	require.Equal(t, []byte{0x7f, 0, 0, 1, 0}, r.In)
	r = b.through(b.it, 5, "12 01 83 00 ff 00", nil, 255)
	require.ErrorIs(t, r.Failure, ErrInvalidField)
	r = b.through(b.it, 5, "03 00 00 00 ff 00", nil, 255)
	require.Equal(t, Good, r.Status)
	require.Equal(t, ErrLUNNotSupported.AppendSense(nil, false), r.In)
	r = b.through(b.it, 5, "a0 00 00 00 00 00 00 00 01 00 00 00", nil, 255)
	require.Equal(t, unhex("00000008 00000000 0000000000000000"), r.In)
	for _, cdb := range []string{"00 00 00 00 00 00", "28 00 00 00 00 00 00 00 01 00", "ff 00 00 00 00 00"} {
		r = b.through(b.it, 5, cdb, nil, 512)
		require.Equal(t, ErrLUNNotSupported.AppendSense(nil, false), r.Sense[:r.SenseLen])
	}
}

func TestReportLUNs(t *testing.T) {
	b := newBench(t)
	it := b.dev.Attach(Nexus{Initiator: "iqn.2026-11.test:x,i,0x000000000001", Target: benchPort[0].Name},
		LUNMap{0: b.unit, 255: b.unit, 256: b.unit, MaxLUN: b.unit})
	want := unhex("00000020 00000000 0000000000000000 00ff000000000000 4100000000000000 7fff000000000000")
	for _, sel := range []string{"00", "02"} {
		require.Equal(t, want, b.through(it, 0, "a0 00 "+sel+" 00 00 00 00 00 ff ff 00 00", nil, 1<<16).In)
	}
	require.Equal(t, make([]byte, 8), b.through(it, 0, "a0 00 01 00 00 00 00 00 ff ff 00 00", nil, 1<<16).In, "no well known units")
	b.refused(ErrInvalidField.AtCDB(2, 7), "a0 00 03 00 00 00 00 00 ff ff 00 00", nil)
	for _, lun := range []uint16{0, 255, 256, MaxLUN} {
		b.clearUA(it)
		require.Equal(t, Good, b.through(it, lun, "00 00 00 00 00 00", nil, 0).Status)
	}
}

// SPC-4 r36f 6.33: REPORT LUNS reports no unit attention and clears just one.
func TestReportLUNsClearsItsUnitAttention(t *testing.T) {
	b := newBench(t)
	second := b.newUnit(UnitConfig{Identity: Identity{Name: "second"}, BlockSize: 512}, newMem(1<<20))
	b.it.Remap(LUNMap{0: b.unit, 1: second})
	b.unit.raiseOthers(nil, UACapacityChanged)
	r := b.through(b.it, 1, "a0 00 00 00 00 00 00 00 ff ff 00 00", nil, 1<<16)
	require.Equal(t, Good, r.Status)
	b.refused(UACapacityChanged, "00 00 00 00 00 00", nil)
	require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status)
	r = b.through(b.it, 1, "00 00 00 00 00 00", nil, 0)
	require.Equal(t, UAPowerOn, r.Failure)
	require.Equal(t, Good, b.through(b.it, 1, "00 00 00 00 00 00", nil, 0).Status)
}

// SAM-5 5.14: INQUIRY and REPORT LUNS pass unit attentions by, REQUEST SENSE
// returns and clears one, any other command reports one.
func TestUnitAttentionReporting(t *testing.T) {
	b := newBench(t)
	x := b.it.view.Load().find(0)
	raise := func() { x.raise(UACapacityChanged); x.raise(UAModeChanged) }
	raise()
	b.in("12 00 00 00 ff 00")
	b.in("a0 00 00 00 00 00 00 00 ff ff 00 00")
	require.Equal(t, UACapacityChanged.AppendSense(nil, false), b.in("03 00 00 00 ff 00"))
	require.Equal(t, UAModeChanged.AppendSense(nil, true), b.in("03 01 00 00 ff 00"))
	require.Equal(t, ErrNoSense.AppendSense(nil, false), b.in("03 00 00 00 ff 00"))
	for _, r := range Commands() {
		raise()
		cdb := fmt.Sprintf("%x", r.usage[:1])
		if r.HasSA {
			cdb += fmt.Sprintf("%02x", r.SA)
		}
		got := b.do(cdb, nil, 255)
		if r.Flags&NoUA != 0 || !b.unit.has(r) {
			require.NotErrorIs(t, got.Failure, UAModeChanged, r.Name)
		} else {
			require.Equal(t, UACapacityChanged, got.Failure, r.Name)
			require.Equal(t, UAModeChanged, b.do(cdb, nil, 255).Failure, r.Name)
		}
		b.clearUA(b.it)
	}
	raise()
	b.refused(UACapacityChanged, "ff 00 00 00 00 00", nil)
}

func TestReadCapacity(t *testing.T) {
	b := newBench(t)
	require.Equal(t, unhex("00000fff 00000200"), b.in("25 00 00 00 00 00 00 00 00 00"))
	require.Equal(t, unhex("00000fff 00000200"), b.in("25 00 00 00 00 01 00 00 01 00"), "PMI")
	b.refused(ErrInvalidField.AtCDB(2, 7), "25 00 00 00 00 01 00 00 00 00", nil)
	require.Equal(t, unhex("0000000000000fff 00000200 00 03 c000"+strings.Repeat("00", 16)), b.in("9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00"))
	b.refused(ErrInvalidField.AtCDB(9, 0), "9e 10 00 00 00 00 00 00 00 01 00 00 00 20 00 00", nil)
	b.refused(ErrInvalidField.AtCDB(14, 0), "9e 10 00 00 00 00 00 00 00 00 00 00 00 20 01 00", nil)
	b.unit.change(func(f *conf) { f.blocks = 1 << 33 })
	require.Equal(t, unhex("ffffffff 00000200"), b.in("25 00 00 00 00 00 00 00 00 00"))
	b.unit.change(func(f *conf) { f.blocks = 1 << 32 })
	require.Equal(t, unhex("ffffffff 00000200"), b.in("25 00 00 00 00 00 00 00 00 00"))

	thick := newBench(t, func(c *UnitConfig) { c.Thin = false; c.BlockSize = 4096 })
	require.Equal(t, unhex("00000000000001ff 00001000 00 00 0000"), thick.in("9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00")[:16])
}

func TestUnknownOpcodesAndActions(t *testing.T) {
	b := newBench(t)
	for op := range 256 {
		o := &opcodes[op]
		switch {
		case o.row == nil && o.sas == nil:
			b.refused(ErrInvalidOpcode, fmt.Sprintf("%02x 00 00 00 00 00", op), nil)
		case o.sas != nil:
			for sa := range uint16(32) {
				if o.sas[sa] == nil || !b.unit.has(o.sas[sa]) {
					b.refused(ErrInvalidField.AtCDB(1, 4), fmt.Sprintf("%02x %02x", op, sa), nil)
				}
			}
		}
	}
}
