package socket

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// pair returns both ends of a TCP connection as non-blocking descriptors.
func pair(t *testing.T) (a, b int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	fds := make([]int, 2)
	keep := func(i int, nc net.Conn, err error) {
		require.NoError(t, err)
		f, err := nc.(*net.TCPConn).File()
		require.NoError(t, err)
		require.NoError(t, nc.Close())
		t.Cleanup(func() { f.Close() })
		fds[i] = int(f.Fd())
		require.NoError(t, unix.SetNonblock(fds[i], true))
	}
	nc, err := net.Dial("tcp", l.Addr().String())
	keep(0, nc, err)
	nc, err = l.Accept()
	keep(1, nc, err)
	return fds[0], fds[1]
}

func TestPiecesArriveInOrder(t *testing.T) {
	a, b := pair(t)
	n, err := Writev(a, []unix.Iovec{Piece([]byte("one ")), Piece([]byte("two ")), Piece([]byte("three"))})
	require.NoError(t, err)
	require.Equal(t, 13, n)
	p, q := make([]byte, 6), make([]byte, 100)
	n, err = Readv(b, []unix.Iovec{Piece(p), Piece(q)})
	require.NoError(t, err)
	require.Equal(t, "one two three", string(p)+string(q[:n-len(p)]))
}

func TestNothingToRead(t *testing.T) {
	a, b := pair(t)
	_, err := Recv(b, make([]byte, 1), 0)
	require.Equal(t, unix.EAGAIN, err)
	_, err = Readv(b, []unix.Iovec{Piece(make([]byte, 1))})
	require.Equal(t, unix.EAGAIN, err)
	require.NoError(t, unix.Shutdown(a, unix.SHUT_WR))
	n, err := Recv(b, make([]byte, 1), 0)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestThrownAwayBytesLeaveTheBufferAlone(t *testing.T) {
	a, b := pair(t)
	_, err := Writev(a, []unix.Iovec{Piece([]byte("payload, header"))})
	require.NoError(t, err)
	p := []byte("unchanged")
	n, err := Recv(b, p, unix.MSG_TRUNC)
	require.NoError(t, err)
	require.Equal(t, len(p), n)
	require.Equal(t, "unchanged", string(p))
	rest := make([]byte, 10)
	n, err = Recv(b, rest, 0)
	require.NoError(t, err)
	require.Equal(t, "header", string(rest[:n]))
}

func TestFullSocketIsNotWritable(t *testing.T) {
	a, b := pair(t)
	require.True(t, Writable(a))
	p, all := make([]byte, 1<<20), 0
	for {
		n, err := Writev(a, []unix.Iovec{Piece(p)})
		if err == unix.EAGAIN {
			break
		}
		require.NoError(t, err)
		all += n
	}
	require.False(t, Writable(a))
	for all > 0 {
		n, err := Recv(b, p, 0)
		if err == unix.EAGAIN {
			continue // on its way
		}
		require.NoError(t, err)
		all -= n
	}
	require.Eventually(t, func() bool { return Writable(a) }, 5e9, 1e6)
}

func TestBBRIsReplacedAndNothingElse(t *testing.T) {
	for _, name := range []string{"cubic", "reno", "dctcp", "vegas", ""} {
		require.Empty(t, insteadOf(name), name)
	}
	require.Equal(t, []string{"cubic", "reno"}, insteadOf("bbr"))
	a, _ := pair(t)
	algorithm := func() string {
		name, err := unix.GetsockoptString(a, unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		require.NoError(t, err)
		return name
	}
	for _, name := range []string{"reno", "bbr"} {
		// A kernel without BBR keeps what is there.
		unix.SetsockoptString(a, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		before := algorithm()
		Unpace(a)
		if before == "bbr" {
			require.NotEqual(t, before, algorithm())
		} else {
			require.Equal(t, before, algorithm())
		}
	}
}
