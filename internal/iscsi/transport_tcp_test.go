package iscsi

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// closing closes its transport from inside a read, as the reader does when it
// finds, while idle, that an answer cannot be written.
type closing struct {
	tr  transport
	buf [64]byte
}

func (c *closing) space() (p, q []byte) { return nil, c.buf[:] }

func (c *closing) idle() idleness {
	c.tr.Close()
	return park
}

func TestReaderMayCloseItsOwnSocket(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	peer, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer peer.Close()
	nc, err := l.Accept()
	require.NoError(t, err)
	tr, err := newTCPTransport(nc.(*net.TCPConn))
	require.NoError(t, err)

	over := make(chan error, 1)
	go func() {
		_, err := tr.read(&closing{tr: tr})
		over <- err
	}()
	select {
	case err := <-over:
		require.Error(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the reader waits for itself")
	}
	_, err = peer.Read(make([]byte, 1))
	require.Error(t, err, "the peer sees the end")
}
