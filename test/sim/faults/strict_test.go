package faults

import (
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

// TestAnswersForAStrictReader: all kinds of answers, read by a decoder that was
// written from the standard alone and forgives nothing. Sense data fit the 252
// bytes that SPC-4 allows, and every Reject brings a whole header. C14.
func TestAnswersForAStrictReader(t *testing.T) {
	for _, digest := range []string{"None", "CRC32C"} {
		bed := onWire(t, nil)
		ctx, cancel := soon()
		defer cancel()
		s, u := login(t, config(bed, "strict", func(c *initiator.Config) {
			c.Tolerant, c.HeaderDigest, c.DataDigest = false, digest, digest
			c.Keys = initiator.Keys{{Name: "iSCSIProtocolLevel", Value: "2"}}
		}))
		for op := range 256 {
			if op == 0x0a {
				continue // with zeros it is a write of 256 blocks: data the other way
			}
			for _, in := range []int{0, 1, 255, 4096} {
				cdb := make([]byte, 16)
				cdb[0] = byte(op)
				c := initiator.NoData(cdb...)
				c.In = in
				for sa := range 4 {
					cdb[1] = byte(sa)
					a, err := u.Do(ctx, c)
					require.NoError(t, err)
					require.LessOrEqual(t, len(a.SenseData), 252)
				}
			}
		}
		for _, c := range []initiator.Cmd{
			initiator.Write10(0, make([]byte, 64<<10), sim.BlockSize, 0),
			initiator.Read10(0, 600, sim.BlockSize, 0),
			initiator.Write10(1<<31, make([]byte, 512), sim.BlockSize, 0),
			sim.Join(1), sim.PR(initiator.PRReserve, 9, 1, 0),
		} {
			_, err := u.Do(ctx, c)
			require.NoError(t, err)
		}
		require.NoError(t, s.Ping(ctx, make([]byte, 1000)))
		for f := initiator.TMF(1); f < 14; f++ {
			switch f {
			case initiator.TMFTargetColdReset, initiator.TMFNexusReset: // end the session
			default:
				_, err := s.ManageLUN(ctx, f, initiator.FlatLUN(0))
				require.NoError(t, err, "%v", f)
			}
		}
		s.Conns()[0].Send(initiator.SNACKPDU{}.PDU(), 0)
		r := <-s.Rejects()
		require.Equal(t, initiator.OpSNACK, r.Header.Opcode(), "it brings the header it is about")
		require.NoError(t, s.Logout(ctx), "Logout tells of every violation")
	}
}
