package load

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"nas-target/internal/initiator"
)

// peer is a test fixture: a session without a login, whose answers the test
// writes itself.
type peer struct {
	t   testing.TB
	s   *session
	enc initiator.Encoding
}

func newPeer(t testing.TB, w Workload, change func(*initiator.Params, *Options)) *peer {
	o := options(initiator.Config{}, w)
	raw := initiator.NewRaw(nil)
	raw.Params = initiator.Params{
		ImmediateData: true, MaxRecvDataSegmentLength: 65536, TargetMaxRecvDataSegment: 4096,
		MaxBurstLength: 65536, FirstBurstLength: 8192,
	}
	if change != nil {
		change(&raw.Params, &o)
	}
	require.NoError(t, o.check())
	s := newSession(&o, raw, -1, 0, unitInfo{blocks: 1 << 16, blockSize: 512})
	s.count = span{0, time.Hour}
	s.shared = noise(&o)
	s.maxCmdSN = s.cmdSN + 63
	return &peer{t: t, s: s, enc: initiator.Encoding{HeaderDigest: raw.Params.HeaderDigest, DataDigest: raw.Params.DataDigest}}
}

// take returns the requests queued since the last call, decoded.
func (p *peer) take() []*initiator.PDU {
	p.t.Helper()
	var stream []byte
	for _, piece := range p.s.out.pieces {
		stream = append(stream, p.s.out.bytes(piece)...)
	}
	p.s.out = outgoing{}
	var list []*initiator.PDU
	for len(stream) > 0 {
		d := new(initiator.PDU)
		copy(d.BHS[:], stream)
		head, n := p.s.in.headLen(), d.DataLen()
		d.Data = bytes.Clone(stream[head : head+n])
		again := p.enc.Append(nil, d)
		require.Equal(p.t, again, stream[:len(again)], "the request is encoded as the standard says")
		stream = stream[len(again):]
		list = append(list, d)
	}
	return list
}

func (p *peer) answer(op initiator.Opcode, itt uint32, flags byte, change func(a *initiator.PDU)) []byte {
	a := new(initiator.PDU)
	a.BHS[0], a.BHS[1] = byte(op), flags
	a.SetUint32(16, itt)
	a.SetUint32(20, initiator.NoTag)
	a.SetUint32(28, p.s.cmdSN)
	a.SetUint32(32, p.s.cmdSN+63)
	if change != nil {
		change(a)
	}
	return p.enc.Append(nil, a)
}

func (p *peer) dataIn(itt uint32, off, n int, flags byte) []byte {
	return p.answer(initiator.OpDataIn, itt, flags, func(a *initiator.PDU) {
		a.SetUint32(40, uint32(off))
		a.Data = make([]byte, n)
	})
}

// An answer may arrive in any pieces.
func TestAnswersMaySplitAnywhere(t *testing.T) {
	for _, digests := range []bool{false, true} {
		p := newPeer(t, Workload{Kind: Read, Block: 4608, Depth: 1}, func(q *initiator.Params, o *Options) {
			q.HeaderDigest, q.DataDigest, o.CheckDigests = digests, digests, digests
		})
		for cut := 1; cut < 400; cut++ {
			p.s.issue(0)
			itt := p.take()[0].ITT()
			stream := append(p.dataIn(itt, 0, 4096, 0), p.dataIn(itt, 4096, 512, 0x80)...)
			stream = append(stream, p.answer(initiator.OpSCSIResponse, itt, 0x80, nil)...)
			for len(stream) > 0 {
				n := min(cut, len(stream))
				require.NoError(t, p.s.process(stream[:n], time.Duration(cut)))
				stream = stream[n:]
			}
			require.Zero(t, p.s.outstanding())
		}
		require.EqualValues(t, 399, p.s.stats.read.Count())
	}
}

func TestRequestsAreWhatTheInitiatorWouldSend(t *testing.T) {
	for _, digests := range []bool{false, true} {
		p := newPeer(t, Workload{Kind: Write, Block: 20480, Depth: 2, FUA: true}, func(q *initiator.Params, o *Options) {
			q.HeaderDigest, q.DataDigest = digests, digests
		})
		p.s.cmdSN, p.s.maxCmdSN, p.s.expStatSN = 7, 70, 99
		p.s.issue(0)
		sent := p.take()
		require.Len(t, sent, 4)
		for i := range 2 {
			cmd, data := sent[2*i], sent[2*i+1]
			require.Equal(t, initiator.OpSCSICommand, cmd.Opcode())
			require.False(t, cmd.Final(), "unsolicited data follow")
			require.Equal(t, uint32(7+i), cmd.Uint32(24))
			require.EqualValues(t, 99, cmd.Uint32(28))
			require.EqualValues(t, 20480, cmd.Uint32(20))
			want := initiator.Write10(uint32(40*i), make([]byte, 20480), 512, initiator.FUA)
			require.Equal(t, want.CDB, cmd.BHS[32:42])
			require.Len(t, cmd.Data, 4096)
			require.Equal(t, initiator.OpDataOut, data.Opcode())
			require.True(t, data.Final())
			require.EqualValues(t, 4096, data.Uint32(40))
			require.Equal(t, p.s.shared[4096:8192], data.Data)
		}
		itt := sent[0].ITT()
		r2t := p.answer(initiator.OpR2T, itt, 0x80, func(a *initiator.PDU) {
			a.SetUint32(20, 0xabcd)
			a.SetUint32(40, 8192)
			a.SetUint32(44, 12288)
		})
		require.NoError(t, p.s.process(r2t, 0))
		sent = p.take()
		require.Len(t, sent, 3)
		for i, d := range sent {
			require.EqualValues(t, 0xabcd, d.TTT())
			require.EqualValues(t, i, d.Uint32(36))
			require.EqualValues(t, 8192+4096*i, d.Uint32(40))
			require.Equal(t, i == 2, d.Final())
		}
	}
}

func TestLargeUnitsUseLongCDBs(t *testing.T) {
	o := options(initiator.Config{}, Workload{Kind: Read})
	raw := initiator.NewRaw(nil)
	require.NoError(t, o.check())
	s := newSession(&o, raw, -1, 0, unitInfo{blocks: 1 << 33, blockSize: 512})
	s.pattern.next = 1 << 29
	s.issue(0)
	require.EqualValues(t, 0x88, s.out.arena[32])
	require.EqualValues(t, uint64(1<<32), binary.BigEndian.Uint64(s.out.arena[34:]))
}

func TestClosedWindowStopsIssuing(t *testing.T) {
	p := newPeer(t, Workload{Kind: NoData, Depth: 8}, nil)
	p.s.cmdSN, p.s.maxCmdSN = 0xfffffffe, 0
	p.s.issue(0)
	sent := p.take()
	require.Len(t, sent, 3, "fffffffe, ffffffff and 0")
	p.s.issue(0)
	require.Empty(t, p.take())
	p.s.window(1, 4)
	p.s.window(1, 2)
	p.s.issue(0)
	require.Len(t, p.take(), 4, "the window never goes back")
}

// Only what ends within the counted span counts.
func TestCountedSpan(t *testing.T) {
	p := newPeer(t, Workload{Kind: NoData, Depth: 1}, nil)
	p.s.count = span{5, 10}
	for _, at := range []time.Duration{4, 5, 7, 10, 11} {
		p.s.issue(0)
		itt := p.take()[0].ITT()
		require.NoError(t, p.s.process(p.answer(initiator.OpSCSIResponse, itt, 0x80, nil), at))
	}
	require.EqualValues(t, 3, p.s.stats.read.Count())
	require.EqualValues(t, 5, p.s.stats.ios)
}

// Two I/Os of one place would make the outcome of a verification a matter of luck.
func TestVerifyNeverDoublesAPlace(t *testing.T) {
	p := newPeer(t, Workload{Kind: Verify, Depth: 8, Region: 3 * 4096}, nil)
	for range 100 {
		p.s.issue(0)
	}
	seen := map[uint64]bool{}
	for i := range p.s.slots {
		if k := &p.s.slots[i]; k.live {
			require.False(t, seen[k.place])
			seen[k.place] = true
		}
	}
	require.Len(t, seen, 3)
}

func TestTargetPingIsAnswered(t *testing.T) {
	p := newPeer(t, Workload{Kind: NoData, Depth: 1}, nil)
	ping := p.answer(initiator.OpNOPIn, initiator.NoTag, 0x80, func(a *initiator.PDU) {
		a.SetLUN(initiator.FlatLUN(3))
		a.SetUint32(20, 0x55)
	})
	require.NoError(t, p.s.process(ping, 0))
	sent := p.take()
	require.Len(t, sent, 1)
	require.EqualValues(t, 0x55, sent[0].TTT())
	require.Equal(t, initiator.FlatLUN(3), sent[0].LUN())
	require.EqualValues(t, initiator.NoTag, sent[0].ITT())
	require.True(t, sent[0].Immediate())
}

func TestFullQueuesAndUnitAttentionsAreTriedAgain(t *testing.T) {
	p := newPeer(t, Workload{Kind: NoData, Depth: 1}, nil)
	for _, st := range []initiator.Status{initiator.Busy, initiator.TaskSetFull, initiator.CheckCondition} {
		p.s.issue(0)
		itt := p.take()[0].ITT()
		require.NoError(t, p.s.process(p.answer(initiator.OpSCSIResponse, itt, 0x80, func(a *initiator.PDU) {
			a.BHS[3] = byte(st)
			if st == initiator.CheckCondition {
				a.Data = append([]byte{0, 18}, 0x70, 0, byte(initiator.UnitAttention), 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 9, 0, 0, 0, 0)
			}
		}), 0))
	}
	require.EqualValues(t, 3, p.s.stats.busy)
	require.Zero(t, p.s.stats.ios)
}

// What a target may not do ends the run with words.
func TestBrokenAnswersEndTheRun(t *testing.T) {
	for name, c := range map[string]struct {
		kind   Kind
		answer func(p *peer, itt uint32) []byte
		says   string
	}{
		"reservation conflict": {Read, func(p *peer, itt uint32) []byte {
			return p.answer(initiator.OpSCSIResponse, itt, 0x80, func(a *initiator.PDU) { a.BHS[3] = 0x18 })
		}, "read at LBA 0: RESERVATION CONFLICT"},
		"medium error": {Write, func(p *peer, itt uint32) []byte {
			return p.answer(initiator.OpSCSIResponse, itt, 0x80, func(a *initiator.PDU) {
				a.BHS[3] = 2
				a.Data = append([]byte{0, 18}, 0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0)
			})
		}, "write at LBA 0: 3/0c/00"},
		"target failure": {Read, func(p *peer, itt uint32) []byte {
			return p.answer(initiator.OpSCSIResponse, itt, 0x80, func(a *initiator.PDU) { a.BHS[2] = 1 })
		}, "iSCSI response"},
		"short read": {Read, func(p *peer, itt uint32) []byte {
			return append(p.dataIn(itt, 0, 512, 0x80), p.answer(initiator.OpSCSIResponse, itt, 0x80, nil)...)
		}, "GOOD after 512 of 4096"},
		"residual": {Read, func(p *peer, itt uint32) []byte {
			return append(p.dataIn(itt, 0, 4096, 0x80), p.answer(initiator.OpSCSIResponse, itt, 0x82, nil)...)
		}, "residual"},
		"gap":                    {Read, func(p *peer, itt uint32) []byte { return p.dataIn(itt, 512, 512, 0) }, "Data-In at 512"},
		"too much":               {Read, func(p *peer, itt uint32) []byte { return p.dataIn(itt, 0, 5000, 0) }, "Data-In at 0"},
		"data for a write":       {Write, func(p *peer, itt uint32) []byte { return p.dataIn(itt, 0, 512, 0) }, "Data-In"},
		"unknown tag":            {Read, func(p *peer, itt uint32) []byte { return p.dataIn(4000, 0, 512, 0) }, "not out"},
		"tag not out":            {Read, func(p *peer, itt uint32) []byte { return p.dataIn(itt+1, 0, 512, 0) }, "not out"},
		"segment over our limit": {Read, func(p *peer, itt uint32) []byte { return p.dataIn(itt, 0, 65537, 0) }, "we declared"},
		"R2T for a read": {Read, func(p *peer, itt uint32) []byte {
			return p.answer(initiator.OpR2T, itt, 0x80, func(a *initiator.PDU) { a.SetUint32(44, 512) })
		}, "R2T"},
		"R2T outside": {Write, func(p *peer, itt uint32) []byte {
			return p.answer(initiator.OpR2T, itt, 0x80, func(a *initiator.PDU) { a.SetUint32(40, 4096); a.SetUint32(44, 512) })
		}, "R2T"},
		"reject": {Read, func(p *peer, itt uint32) []byte {
			return p.answer(initiator.OpReject, initiator.NoTag, 0x80, func(a *initiator.PDU) { a.BHS[2] = 9; a.Data = make([]byte, 48) })
		}, "invalid PDU field"},
		"drop announced": {Read, func(p *peer, itt uint32) []byte {
			return p.answer(initiator.OpAsync, initiator.NoTag, 0x80, func(a *initiator.PDU) { a.BHS[36] = 3 })
		}, "async event 3"},
		"AHS": {Read, func(p *peer, itt uint32) []byte {
			return p.answer(initiator.OpSCSIResponse, itt, 0x80, func(a *initiator.PDU) { a.AHS = make([]byte, 4) })
		}, "additional headers"},
		"login": {Read, func(p *peer, itt uint32) []byte { return p.answer(initiator.OpLoginResp, itt, 0x80, nil) }, "unexpected Login Response"},
	} {
		p := newPeer(t, Workload{Kind: c.kind, Block: 4096, Depth: 2}, nil)
		p.s.quota = 1
		p.s.issue(0)
		itt := p.take()[0].ITT()
		require.ErrorContains(t, p.s.process(c.answer(p, itt), 0), c.says, name)
	}
}

func TestDamagedDigestsAreSeen(t *testing.T) {
	for name, c := range map[string]struct {
		at   int
		want error
	}{"header": {3, errHeaderDigest}, "header digest": {50, errHeaderDigest}, "data": {60, errDataDigest}, "data digest": {-1, errDataDigest}} {
		p := newPeer(t, Workload{Kind: Read, Block: 512, Depth: 1}, func(q *initiator.Params, o *Options) {
			q.HeaderDigest, q.DataDigest, o.CheckDigests = true, true, true
		})
		p.s.issue(0)
		b := p.dataIn(p.take()[0].ITT(), 0, 512, 0x80)
		at := c.at
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		require.ErrorIs(t, p.s.process(b, 0), c.want, name)
	}
}

// The promise of the package: nothing is allocated per I/O.
func TestNothingIsAllocatedPerIO(t *testing.T) {
	for name, w := range map[string]Workload{
		"read": {Kind: Read, Random: true}, "write": {Kind: Write}, "long write": {Kind: Write, Block: 65536, Depth: 4},
		"verify": {Kind: Verify, Region: 64 << 10}, "no data": {Kind: NoData},
	} {
		t.Run(name, func(t *testing.T) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
			require.NoError(t, err)
			defer unix.Close(fds[0])
			defer unix.Close(fds[1])
			unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20)
			w.Duration, w.Sessions = time.Hour, 1
			if w.Depth == 0 {
				w.Depth = 8
			}
			p := newPeer(t, w, func(q *initiator.Params, o *Options) { q.FirstBurstLength = 65536 })
			p.s.fd = fds[0]
			sink, answers := make([]byte, 1<<20), make([]byte, 0, 1<<20)
			response := p.answer(initiator.OpSCSIResponse, 0, 0x80, nil)
			data := p.dataIn(0, 0, p.s.block, 0x80)
			turn := func() {
				p.s.issue(0)
				_, err := p.s.out.flush(p.s.fd)
				require.NoError(t, err)
				for n := 1; n > 0; n, _ = unix.Read(fds[1], sink) {
				}
				answers = answers[:0]
				for itt := range p.s.slots {
					k := &p.s.slots[itt]
					if !k.live {
						continue
					}
					if k.read && p.s.block > 0 {
						from := len(answers)
						answers = append(answers, data...)
						binary.BigEndian.PutUint32(answers[from+16:], uint32(itt))
					}
					from := len(answers)
					answers = append(answers, response...)
					binary.BigEndian.PutUint32(answers[from+16:], uint32(itt))
					binary.BigEndian.PutUint32(answers[from+32:], p.s.cmdSN+63)
				}
				require.NoError(t, p.s.process(answers, 1))
			}
			turn()
			if w.Kind == Verify {
				// Places get known in the first passes; a mismatch is expected, as
				// the answers are zeros.
				for len(p.s.verify.filled) < len(p.s.verify.written) || len(p.s.verify.wrong) < maxWrong {
					turn()
				}
			}
			require.Zero(t, testing.AllocsPerRun(100, turn))
		})
	}
}
