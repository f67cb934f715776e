package iscsi

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/iscsi/iscsitest"
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// store writes n blocks in one command with immediate data or by R2T, and
// returns what was written.
func store(i *iscsitest.Initiator, lba uint32, blocks int) []byte {
	i.T.Helper()
	data := pattern(blocks*512, byte(lba))
	c := i.Write10(lba, uint16(blocks))
	i.Send(c, nil)
	for {
		p, _, err := i.Read()
		require.NoError(i.T, err)
		r, ok := p.(*pdu.R2T)
		if !ok {
			require.Equal(i.T, uint8(scsi.Good), p.(*pdu.SCSIResponse).Status)
			return data
		}
		i.Send(i.DataOut(r, 0, r.BufferOffset, true), data[r.BufferOffset:][:r.DesiredLength])
	}
}

// collectRead gathers the Data-In of one command, checking every PDU against
// what was agreed, and returns the data and the PDU with the status.
func collectRead(i *iscsitest.Initiator, c *pdu.SCSICommand, segment, burst int) ([]byte, pdu.PDU) {
	i.T.Helper()
	var got []byte
	for sn := uint32(0); ; sn++ {
		p, data, err := i.Read()
		require.NoError(i.T, err)
		d, ok := p.(*pdu.DataIn)
		if !ok {
			require.Equal(i.T, sn, p.(*pdu.SCSIResponse).ExpDataSN)
			return got, p
		}
		require.Equal(i.T, c.ITT, d.ITT)
		require.Equal(i.T, pdu.ReservedTag, d.TTT)
		require.Equal(i.T, sn, d.DataSN)
		require.EqualValues(i.T, len(got), d.BufferOffset)
		require.LessOrEqual(i.T, len(data), segment)
		inBurst := len(got) % burst
		require.LessOrEqual(i.T, inBurst+len(data), burst, "a PDU crosses MaxBurstLength")
		if !d.Final {
			require.Zero(i.T, len(data)%4, "only the end of a sequence may be odd")
		}
		got = append(got, data...)
		require.Equal(i.T, len(got)%burst == 0 || d.HasStatus || len(got) == int(c.EDTL), d.Final)
		if d.HasStatus {
			require.Equal(i.T, uint8(scsi.Good), d.Status)
			return got, p
		}
	}
}

func TestReadIsCutAsAgreed(t *testing.T) {
	for _, c := range []struct{ segment, burst, blocks int }{
		{512, 512, 1}, {512, 1024, 5}, {8192, 16384, 64}, {262144, 262144, 700},
		{514, 2000, 9}, {1023, 777, 20}, {65536, 16776192, 512}, {8192, 8200, 40},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inMemory(t, func(t *testing.T, r *rig) {
				i := r.login(fmt.Sprintf("MaxRecvDataSegmentLength=%d MaxBurstLength=%d FirstBurstLength=512", c.segment, c.burst))
				want := store(i, 7, c.blocks)
				q := i.Read10(7, uint16(c.blocks))
				i.Send(q, nil)
				got, last := collectRead(i, q, c.segment, c.burst)
				require.Equal(t, want, got)
				require.IsType(t, &pdu.DataIn{}, last, "GOOD rides on the last Data-In")
			})
		})
	}
}

// RFC 7143 §11.4.5.
func TestResiduals(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("")
		want := store(i, 0, 4)
		for _, c := range []struct {
			blocks uint16
			edtl   uint32
			over   bool
			n      uint32
		}{
			{2, 1024, false, 0}, {2, 2048, false, 1024}, {2, 1025, false, 1}, {2, 512, true, 512}, {2, 1000, true, 24}, {2, 0, true, 1024}, {0, 512, false, 512},
		} {
			q := i.Read10(0, c.blocks)
			q.EDTL = c.edtl
			i.Send(q, nil)
			got, last := collectRead(i, q, 8192, 262144)
			require.Equal(t, string(want[:min(c.edtl, uint32(c.blocks)*512)]), string(got))
			var over, under bool
			var n uint32
			switch p := last.(type) {
			case *pdu.DataIn:
				over, under, n = p.Overflow, p.Underflow, p.Residual
			case *pdu.SCSIResponse:
				require.Equal(t, uint8(scsi.Good), p.Status)
				over, under, n = p.Overflow, p.Underflow, p.Residual
			}
			require.Equal(t, c.n, n, "%+v", c)
			require.Equal(t, c.n > 0 && c.over, over, "%+v", c)
			require.Equal(t, c.n > 0 && !c.over, under, "%+v", c)
		}

		// A write that brings more than it needs.
		q := i.Write10(0, 1)
		q.EDTL = 2048
		i.Send(q, pattern(2048, 1))
		a, _ := iscsitest.Expect[*pdu.SCSIResponse](i)
		require.Equal(t, uint8(scsi.Good), a.Status)
		require.True(t, a.Underflow)
		require.EqualValues(t, 1536, a.Residual)
		require.Equal(t, []iscsitest.Write{{LBA: 0, Blocks: 4, First: want[0]}, {LBA: 0, Blocks: 1, First: 1}}, r.target.Writes())

		// A command without data that expects none, and one refused that
		// expected some.
		q = i.TestUnitReady()
		i.Send(q, nil)
		good(i, q)
		q = i.Command([16]byte{0xff})
		q.Read, q.EDTL = true, 100
		i.Send(q, nil)
		b := checkCondition(i, q.ITT, scsi.ErrInvalidOpcode)
		require.True(t, b.Underflow)
		require.EqualValues(t, 100, b.Residual)
	})
}

func TestResidualArithmetic(t *testing.T) {
	over, under, n := residual(1<<40, 0)
	require.Equal(t, []any{true, false, uint32(1<<32 - 1)}, []any{over, under, n})
	over, under, n = residual(0, 1<<32-1)
	require.Equal(t, []any{false, true, uint32(1<<32 - 1)}, []any{over, under, n})
}

// Commands that arrive together are answered together, in order.
func TestBatch(t *testing.T) {
	inMemory(t, func(t *testing.T, r *rig) {
		i := r.login("MaxRecvDataSegmentLength=65536")
		want := store(i, 0, 64)
		var batch []byte
		var sent []*pdu.SCSICommand
		for n := range 40 {
			c := i.Read10(uint32(n), 8)
			sent = append(sent, c)
			batch = append(batch, i.Encode(c, nil, nil)...)
		}
		go i.Conn.Write(batch)
		for n, c := range sent {
			got, _ := collectRead(i, c, 65536, 262144)
			require.Equal(t, want[n*512:][:4096], got)
		}
		st := r.srv.Sessions()[0]
		require.EqualValues(t, 41, st.Total.Commands)
		require.EqualValues(t, 40*4096, st.Total.DataIn)
		require.EqualValues(t, 64*512, st.Total.DataOut)
		require.Zero(t, st.Conns[0].Tasks)
	})
}

// One byte at a time, headers and data in pieces: nothing changes.
func TestSlicedStream(t *testing.T) {
	for _, size := range []int{1, 7, 47, 48, 49, 1000} {
		inMemory(t, func(t *testing.T, r *rig) {
			i := r.login("HeaderDigest=CRC32C DataDigest=CRC32C MaxRecvDataSegmentLength=65536")
			data := pattern(40*512, 3)
			w := i.Write10(5, 40)
			w.EDTL = 40 * 512
			stream := i.Encode(w, nil, data[:8192])
			slice := func(b []byte) {
				for len(b) > 0 {
					n := min(size, len(b))
					i.SendRaw(b[:n])
					b = b[n:]
				}
			}
			slice(stream)
			for at := 8192; at < len(data); {
				r2t, _ := iscsitest.Expect[*pdu.R2T](i)
				require.EqualValues(t, at, r2t.BufferOffset)
				for sn := uint32(0); r2t.DesiredLength > 0; sn++ {
					n := min(5000, r2t.DesiredLength)
					r2t.DesiredLength -= n
					slice(i.Encode(i.DataOut(r2t, sn, uint32(at), r2t.DesiredLength == 0), nil, data[at:at+int(n)]))
					at += int(n)
				}
			}
			good(i, w)
			q := i.Read10(5, 40)
			slice(i.Encode(q, nil, nil))
			got, _ := collectRead(i, q, 65536, 262144)
			require.Equal(t, data, got)
		})
	}
}
