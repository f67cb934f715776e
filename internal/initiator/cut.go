package initiator

import (
	"net"
	"sync"
)

// CutConn is a transport that can be told to break at a given byte.
type CutConn struct {
	net.Conn
	mu    sync.Mutex
	armed bool
	left  int64
}

// CutAfter makes the connection break (reset, not close) once n more bytes have
// been written. The write that crosses the limit is sent up to it.
func (c *CutConn) CutAfter(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.left = true, n
}

func (c *CutConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || int64(len(b)) < c.left {
		if c.armed {
			c.left -= int64(len(b))
		}
		return c.Conn.Write(b)
	}
	n, err := c.Conn.Write(b[:c.left])
	c.left = 0
	c.reset()
	if err == nil {
		err = net.ErrClosed
	}
	return n, err
}

// Reset breaks the connection at once: the peer sees a TCP reset.
func (c *CutConn) Reset() { c.reset() }

func (c *CutConn) reset() {
	if tc, ok := c.Conn.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	c.Conn.Close()
}
