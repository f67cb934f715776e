package faults

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"
	"nas-target/internal/initiator"
	"nas-target/test/sim"
)

const (
	bs        = sim.BlockSize
	mediumLBA = 256 // where the commands work, and on how many blocks
	mediumLen = 8
	mediumAll = 2048
)

// mediumCommand is a command that reaches the medium. It changes only blocks
// [mediumLBA, mediumLBA+mediumLen), if any.
type mediumCommand struct {
	name string
	cmd  func(have []byte) initiator.Cmd // have: the blocks as they are
	copy bool                            // what fails, fails a copy: the sense names the segment
}

func mediumCommands() []mediumCommand {
	fill := func(c byte, blocks int) []byte { return bytes.Repeat([]byte{c}, blocks*bs) }
	plain := func(name string, c func() initiator.Cmd) mediumCommand {
		return mediumCommand{name: name, cmd: func([]byte) initiator.Cmd { return c() }}
	}
	return []mediumCommand{
		plain("READ(16)", func() initiator.Cmd { return initiator.Read16(mediumLBA, mediumLen, bs, 0) }),
		plain("READ(10), FUA", func() initiator.Cmd { return initiator.Read10(mediumLBA, mediumLen, bs, initiator.FUA) }),
		plain("WRITE(16)", func() initiator.Cmd { return initiator.Write16(mediumLBA, fill('w', mediumLen), bs, 0) }),
		plain("WRITE(10), FUA", func() initiator.Cmd { return initiator.Write10(mediumLBA, fill('f', mediumLen), bs, initiator.FUA) }),
		plain("WRITE ATOMIC(16)", func() initiator.Cmd { return initiator.WriteAtomic16(mediumLBA, 0, fill('a', mediumLen), bs, 0) }),
		plain("WRITE ATOMIC(16), FUA", func() initiator.Cmd {
			return initiator.WriteAtomic16(mediumLBA, 0, fill('a', mediumLen), bs, initiator.FUA)
		}),
		{name: "COMPARE AND WRITE", cmd: func(have []byte) initiator.Cmd {
			return initiator.CompareAndWrite(mediumLBA, have[:bs], fill('c', 1), bs, initiator.FUA)
		}},
		plain("ORWRITE(16)", func() initiator.Cmd { return initiator.OrWrite16(mediumLBA, fill(0x80, mediumLen), bs, 0) }),
		plain("VERIFY(16)", func() initiator.Cmd { return initiator.Verify16(mediumLBA, mediumLen, 0, 0, nil) }),
		plain("WRITE AND VERIFY(16)", func() initiator.Cmd {
			return initiator.WriteVerify16(mediumLBA, fill('v', mediumLen), bs, 1, 0)
		}),
		plain("SYNCHRONIZE CACHE(16)", func() initiator.Cmd { return initiator.SyncCache16(0, 0, false) }),
		plain("UNMAP", func() initiator.Cmd {
			return initiator.Unmap(initiator.Extent{LBA: mediumLBA, Blocks: 2}, initiator.Extent{LBA: mediumLBA + 4, Blocks: 4})
		}),
		plain("WRITE SAME(16), zeros", func() initiator.Cmd {
			return initiator.WriteSame16(mediumLBA, mediumLen, fill(0, 1), initiator.WriteSameOptions{})
		}),
		plain("WRITE SAME(16), UNMAP", func() initiator.Cmd {
			return initiator.WriteSame16(mediumLBA, mediumLen, nil, initiator.WriteSameOptions{Unmap: true, NDOB: true})
		}),
		plain("WRITE SAME(10)", func() initiator.Cmd {
			return initiator.WriteSame10(mediumLBA, mediumLen, fill('s', 1), initiator.WriteSameOptions{})
		}),
		plain("GET LBA STATUS(16)", func() initiator.Cmd { return initiator.GetLBAStatus(mediumLBA, 24) }),
		{name: "EXTENDED COPY(LID1)", copy: true, cmd: func([]byte) initiator.Cmd {
			return initiator.ExtendedCopy(initiator.CopyList{
				Units: []initiator.CopyUnit{{Designator: sim.Designator(), BlockSize: bs}},
				Segments: []initiator.CopySegment{
					{Blocks: 4, SourceLBA: 0, DestinationLBA: mediumLBA},
					{Blocks: 4, SourceLBA: 100, DestinationLBA: mediumLBA + 4},
				},
			}.Marshal())
		}},
	}
}

// senseOf is what the initiator has to get for an error of the medium, byte for
// byte: the fixed format of SPC-4 r37 4.5.3.
func senseOf(op backtest.Op, off int64, failure error) string {
	sense := func(key, asc, ascq byte, lba int64) string {
		b := [18]byte{0: 0x70, 2: key, 7: 10, 12: asc, 13: ascq}
		if lba >= 0 { // VALID, INFORMATION
			b[0] |= 0x80
			binary.BigEndian.PutUint32(b[3:], uint32(lba))
		}
		return hex.EncodeToString(b[:])
	}
	var flush *backstore.FlushError
	var gone *backstore.ShrunkError
	switch {
	case op == backtest.OpSync, errors.As(failure, &flush):
		return sense(4, 0x44, 0x00, -1) // HARDWARE ERROR, INTERNAL TARGET FAILURE
	case errors.As(failure, &gone), failure == io.ErrUnexpectedEOF:
		return sense(2, 0x04, 0x03, -1) // NOT READY, MANUAL INTERVENTION REQUIRED
	case failure == syscall.ENOSPC, failure == syscall.EDQUOT:
		return sense(7, 0x27, 0x07, -1) // SPACE ALLOCATION FAILED WRITE PROTECT
	case failure == syscall.EROFS, failure == syscall.EACCES:
		return sense(7, 0x27, 0x00, -1) // WRITE PROTECTED
	case op == backtest.OpRead, op == backtest.OpExtent:
		return sense(3, 0x11, 0x00, off/bs) // UNRECOVERED READ ERROR
	}
	return sense(3, 0x0c, 0x00, off/bs) // WRITE ERROR
}

// Every call to the medium that a command makes fails once, with every error
// there is: the first, the second, until the command passes. No failure is
// answered with GOOD, the sense tells what happened to the byte, nothing but
// the command's own blocks changes, a failed flush is remembered until an
// operator says otherwise, and the command passes when the medium does.
// G4, F14.
func TestMediumFailsAtEveryCall(t *testing.T) {
	for name, through := range map[string]bool{"write back": false, "write through": true} {
		t.Run(name, func(t *testing.T) {
			failEveryCall(t, sim.Config{Wire: true, Blocks: mediumAll, WriteThrough: through})
		})
	}
}

func failEveryCall(t *testing.T, config sim.Config) {
	bed := sim.NewBed(config)
	defer bed.Close()
	h, err := bed.Login(sim.Who{Node: "a"})
	require.NoError(t, err)
	sim.Attentions(h)
	background := make([]byte, mediumAll*bs)
	for i := range background {
		background[i] = byte(i*7 + i/bs)
	}
	calls, failures := 0, 0
	for _, failure := range []error{
		syscall.EIO, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, io.ErrUnexpectedEOF,
		&backstore.FlushError{Path: "d", Err: syscall.EIO}, &backstore.ShrunkError{Path: "d", Have: 1, Want: 2},
	} {
		for _, c := range mediumCommands() {
			for n := 1; ; n++ {
				what := fmt.Sprintf("%s, call %d: %v", c.name, n, failure)
				bed.Fill(0, background)
				have := background[mediumLBA*bs:][:mediumLen*bs]
				var seen atomic.Int32
				var struck atomic.Pointer[backtest.Call]
				bed.Fail(func(call *backtest.Call) error {
					if seen.Add(1) != int32(n) {
						return nil
					}
					struck.Store(call)
					return failure
				})
				answer := sim.Retry(h, c.cmd(have)) // running out of space raises a unit attention besides
				bed.Fail(nil)
				calls++
				hit := struck.Load()
				if hit == nil {
					require.True(t, answer.Good(), "%s: %v", what, answer)
					require.Greater(t, n, 1, "%s does not reach the medium", c.name)
					break
				}
				failures++
				require.True(t, answer.Is(initiator.CheckCondition), "%s: %v", what, answer)
				if c.copy {
					// COPY ABORTED, THIRD PARTY DEVICE FAILURE, the number of the segment.
					require.Regexp(t, "^70000a000000000a000000000d010080000[01]$", hex.EncodeToString(answer.SenseData), what)
				} else {
					require.Equal(t, senseOf(hit.Op, hit.Off, failure), hex.EncodeToString(answer.SenseData), "%s (%s)", what, hit.Op)
				}
				got := bed.Content(0, mediumAll)
				copy(got[mediumLBA*bs:], have)
				require.True(t, bytes.Equal(background, got), "%s: something else changed", what)

				var flush *backstore.FlushError
				latched := hit.Op == backtest.OpSync || errors.As(failure, &flush) && hit.Op.Changes()
				next := sim.Retry(h, initiator.Write16(0, background[:bs], bs, 0))
				if latched {
					require.Equal(t, senseOf(backtest.OpSync, 0, failure), hex.EncodeToString(next.SenseData), "%s: forgotten", what)
					bed.Unit.ClearFailure()
				} else {
					require.True(t, next.Good(), "%s: then %v", what, next)
				}
				bed.Fill(0, background)
				again := sim.Retry(h, c.cmd(have))
				require.True(t, again.Good(), "%s: and then %v", what, again)
			}
		}
	}
	require.Empty(t, bed.Violations())
	t.Logf("%d commands, %d failed calls", calls, failures)
	require.GreaterOrEqual(t, failures, 150)
}
