package scsi

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func rsoc(option, op byte, sa uint16) string {
	return fmt.Sprintf("a3 0c %02x %02x %04x 0000ffff 00 00", option, op, sa)
}

// REPORT SUPPORTED OPERATION CODES lists exactly the rows that the unit can
// do, and the one-command form says the same of each.
func TestReportOpcodes(t *testing.T) {
	for _, thin := range []bool{true, false} {
		b := newBench(t, func(c *UnitConfig) { c.Thin = thin })
		all := b.in(rsoc(0, 0, 0))
		require.EqualValues(t, len(all)-4, binary.BigEndian.Uint32(all))
		withTimeouts := b.in(rsoc(0x80, 0, 0))
		listed := map[string]bool{}
		for i, d := 0, all[4:]; len(d) > 0; i, d = i+1, d[8:] {
			long := withTimeouts[4+20*i:]
			require.Equal(t, d[:5], long[:5])
			require.Equal(t, d[5]|0x02, long[5], "CTDP")
			require.Equal(t, d[6:8], long[6:8])
			require.Equal(t, unhex("000a 00 00 00000000"), long[8:16])
			require.NotZero(t, binary.BigEndian.Uint32(long[16:]))
			key := fmt.Sprintf("%02x", d[0])
			if d[5]&1 != 0 {
				key += fmt.Sprintf("/%02x", binary.BigEndian.Uint16(d[2:]))
			}
			listed[key] = true
		}
		n := 0
		for _, r := range Commands() {
			key, option := fmt.Sprintf("%02x", r.Op), byte(1)
			if r.HasSA {
				key, option = fmt.Sprintf("%02x/%02x", r.Op, r.SA), 2
			}
			require.Equal(t, b.unit.has(r), listed[key], r.Name)
			for _, o := range []byte{option, 3} {
				one := b.in(rsoc(o, r.Op, r.SA))
				if !b.unit.has(r) {
					require.Equal(t, unhex("00010000"), one)
					continue
				}
				require.Equal(t, byte(supported), one[1])
				require.EqualValues(t, r.size, binary.BigEndian.Uint16(one[2:]))
				require.Equal(t, r.usage[:r.size], one[4:])
				require.Equal(t, r.Op, one[4])
				if r.HasSA {
					require.EqualValues(t, r.SA, one[5]&0x1f)
				}
				timed := b.in(rsoc(0x80|o, r.Op, r.SA))
				require.Equal(t, byte(0x80|supported), timed[1])
				require.Len(t, timed, len(one)+timeoutsLength)
			}
			if b.unit.has(r) {
				n++
			}
		}
		require.Len(t, listed, n)
	}
}

func TestReportOpcodesRefusals(t *testing.T) {
	b := newBench(t)
	b.refused(ErrInvalidField.AtCDB(2, 2), rsoc(1, 0x9e, 0), nil)
	b.refused(ErrInvalidField.AtCDB(2, 2), rsoc(2, 0x28, 0), nil)
	for o := byte(4); o < 8; o++ {
		b.refused(ErrInvalidField.AtCDB(2, 2), rsoc(o, 0x28, 0), nil)
	}
	b.refused(ErrInvalidField.AtCDB(2, 6), rsoc(0x40, 0, 0), nil)
	no := unhex("00010000")
	require.Equal(t, no, b.in(rsoc(1, 0xff, 0)))
	require.Equal(t, no, b.in(rsoc(2, 0xff, 3)))
	require.Equal(t, no, b.in(rsoc(3, 0xff, 3)))
	require.Equal(t, no, b.in(rsoc(2, 0x9e, 0x1f)))
	require.Equal(t, no, b.in(rsoc(3, 0x9e, 0x1f)))
	require.Equal(t, no, b.in(rsoc(3, 0x28, 1)), "no such service action")
}

// What RSOC says of DPO and FUA is what MODE SENSE says and what is accepted.
func TestDPOFUAAgree(t *testing.T) {
	b := newBench(t)
	require.EqualValues(t, 0x10, b.in("1a 08 08 00 ff 00")[2]&0x10)
	for _, op := range []byte{0x28, 0x2a, 0xa8, 0xaa, 0x88, 0x8a, 0x89, 0x8b} {
		require.EqualValues(t, 0x18, b.in(rsoc(1, op, 0))[5]&0x18)
	}
}

// A bit of the CDB that a command's usage map leaves out is refused, with a
// pointer to it, unless the row says that it is tolerated; and never is a bit
// that the map claims.
func TestUsageMapsAreTrue(t *testing.T) {
	b := newBench(t)
	for _, r := range Commands() {
		if !b.unit.has(r) {
			continue
		}
		for i := 1; i < r.size; i++ {
			for bit := range 8 {
				if i == 1 && r.HasSA && bit < 5 {
					continue // another service action
				}
				cdb := [16]byte{r.Op, byte(r.SA)}
				cdb[i] |= 1 << bit
				if (r.usage[i]|r.ignore[i])&(1<<bit) != 0 {
					require.Nil(t, r.checkBits(&cdb), "%s byte %d bit %d", r.Name, i, bit)
					continue
				}
				task := b.through(b.it, 0, fmt.Sprintf("%x", cdb), make([]byte, 8), 64)
				c, _ := task.Failure.(*Check)
				require.NotNil(t, c, "%s byte %d bit %d: %v", r.Name, i, bit, task.Failure)
				require.Equal(t, ErrInvalidField.AtCDB(i, bit).sks, c.sks, "%s byte %d bit %d", r.Name, i, bit)
			}
		}
	}
}

func TestReportFunctions(t *testing.T) {
	b := newBench(t)
	require.Equal(t, unhex("dc060000"), b.in("a3 0d 00 00 00 00 00000100 00 00"))
	require.Equal(t, unhex("dc06000c 00000000 00000000 00000000"), b.in("a3 0d 80 00 00 00 00000100 00 00"))
	// What is said to be supported is, and nothing else is.
	for f := AbortTask; f <= QueryAsyncEvent; f++ {
		var got TMFResponse
		done := make(chan struct{})
		b.it.Manage(TaskMgmt{Function: f, Ref: &Task{}}, func(r TMFResponse, _ uint32) { got = r; close(done) })
		<-done
		switch f {
		case ClearACA, TaskReassign, NexusReset:
			require.Equal(t, FunctionNotSupported, got, f)
		default:
			require.NotEqual(t, FunctionNotSupported, got, f)
		}
	}
}
