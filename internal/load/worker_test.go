package load

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"nas-target/internal/initiator"
)

// A target that answers only when it has everything: what the socket does not
// take at once must follow as soon as there is room.
func TestFullSocketGoesOn(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(fds[1])
	require.NoError(t, unix.SetNonblock(fds[0], true))
	unix.SetsockoptInt(fds[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
	p := newPeer(t, Workload{Kind: Write, Block: 65536, Depth: 8}, func(q *initiator.Params, _ *Options) { q.FirstBurstLength = 65536 })
	p.s.fd, p.s.quota = fds[0], 8
	poller, err := newPoller(1)
	require.NoError(t, err)
	w := &worker{sessions: []*session{p.s}, poller: poller, buf: make([]byte, readBuffer), began: time.Now(), end: time.Hour, stop: new(atomic.Bool)}
	defer w.close()

	var answers []byte
	for itt := range uint32(8) {
		answers = append(answers, p.answer(initiator.OpSCSIResponse, itt, 0x80, func(a *initiator.PDU) { a.SetUint32(32, 1000) })...)
	}
	goodbye := p.answer(initiator.OpLogoutResp, 8, 0x80, nil)
	var target sync.WaitGroup
	defer target.Wait()
	target.Go(func() {
		buf := make([]byte, 1<<16)
		// Each write is a command with 4096 bytes and 15 Data-Outs with as many.
		for left := 8 * 16 * (bhsLen + 4096); left > 0; {
			n, err := unix.Read(fds[1], buf)
			if n <= 0 || err != nil {
				t.Errorf("%d bytes missing: %v", left, err)
				return
			}
			left -= n
		}
		unix.Write(fds[1], answers)
		n, _ := unix.Read(fds[1], buf)
		if n == bhsLen && buf[0] == byte(initiator.OpLogoutReq) {
			unix.Write(fds[1], goodbye)
		}
	})
	require.NoError(t, w.run())
	require.EqualValues(t, 8, p.s.stats.ios)
	require.True(t, p.s.left)
}

// The end of ctx also ends the final pass of a verification: what is out is waited
// for, the rest is left unread.
func TestStoppedVerificationEnds(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	defer unix.Close(fds[1])
	p := newPeer(t, Workload{Kind: Verify, Depth: 1}, nil)
	p.s.fd = fds[0]
	p.s.verify.filled = []uint64{0, 1, 2, 3, 4}
	p.s.verify.back = 0
	answer := append(p.dataIn(0, 0, 4096, 0x80), p.answer(initiator.OpSCSIResponse, 0, 0x80, nil)...)
	_, err = unix.Write(fds[1], answer)
	require.NoError(t, err)
	poller, err := newPoller(1)
	require.NoError(t, err)
	w := &worker{sessions: []*session{p.s}, poller: poller, buf: make([]byte, readBuffer), began: time.Now(), stop: new(atomic.Bool)}
	defer w.close()
	require.NoError(t, poller.add(p.s.fd, 0))
	w.stop.Store(true)
	require.NoError(t, w.phase(0, true))
	require.Equal(t, 1, p.s.verify.back)
	require.EqualValues(t, 8, p.s.verify.checked, "the logical blocks of one read")
}

func TestLostConnectionEndsTheRun(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	p := newPeer(t, Workload{Kind: NoData, Depth: 1}, nil)
	p.s.fd = fds[0]
	poller, err := newPoller(1)
	require.NoError(t, err)
	w := &worker{sessions: []*session{p.s}, poller: poller, buf: make([]byte, readBuffer), began: time.Now(), end: time.Hour, stop: new(atomic.Bool)}
	defer w.close()
	unix.Close(fds[1])
	require.Error(t, w.run())
}
