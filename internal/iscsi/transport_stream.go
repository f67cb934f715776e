package iscsi

import (
	"net"
	"os"
	"sync"
	"time"
)

// streamTransport gives any net.Conn the manners of a socket: a goroutine
// reads ahead into a buffer, another writes from one, and the connection's
// own calls never block on the peer. Tests run over it; TCP does not.
type streamTransport struct {
	nc net.Conn

	mu      sync.Mutex
	readers sync.Cond // something to read, room to read into, or closed
	writers sync.Cond // something to write, room to write into, or closed
	in      []byte
	rerr    error
	out     []byte
	fin     bool // no more will be written
	werr    error
	closed  bool
}

const streamBuffer = 64 << 10

func newStreamTransport(nc net.Conn) *streamTransport {
	t := &streamTransport{nc: nc}
	t.readers.L, t.writers.L = &t.mu, &t.mu
	go t.readAhead()
	go t.writeBehind()
	return t
}

func (t *streamTransport) readAhead() {
	buf := make([]byte, 16<<10)
	for {
		n, err := t.nc.Read(buf)
		t.mu.Lock()
		t.in = append(t.in, buf[:n]...)
		t.rerr = err
		t.readers.Broadcast()
		for len(t.in) >= streamBuffer && !t.closed {
			t.readers.Wait()
		}
		stop := err != nil || t.closed
		t.mu.Unlock()
		if stop {
			return
		}
	}
}

func (t *streamTransport) writeBehind() {
	var buf []byte
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for len(t.out) == 0 && !t.closed && !t.fin {
			t.writers.Wait()
		}
		if t.closed {
			return
		}
		if len(t.out) == 0 { // fin
			if c, ok := t.nc.(interface{ CloseWrite() error }); ok {
				c.CloseWrite()
			}
			return
		}
		buf, t.out = t.out, buf[:0]
		t.writers.Broadcast()
		t.mu.Unlock()
		_, err := t.nc.Write(buf)
		t.mu.Lock()
		if err != nil {
			t.werr = err
			t.writers.Broadcast()
			return
		}
	}
}

func (t *streamTransport) pollable() bool { return false }
func (t *streamTransport) writable() bool { return false }

// take hands out what has been read ahead. t.mu is held.
func (t *streamTransport) take(in intake) (int, error) {
	if len(t.in) == 0 {
		switch {
		case t.closed:
			return 0, net.ErrClosed
		case t.rerr != nil:
			return 0, t.rerr
		}
		return 0, errWouldBlock
	}
	p, q := in.space()
	n := copy(p, t.in)
	n += copy(q, t.in[n:])
	t.in = t.in[:copy(t.in, t.in[n:])]
	t.readers.Broadcast()
	return n, nil
}

func (t *streamTransport) read(in intake) (int, error) {
	parked := false
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		n, err := t.take(in)
		switch {
		case err != errWouldBlock:
			return n, err
		case parked:
			t.readers.Wait()
			continue
		}
		t.mu.Unlock()
		verdict := in.idle()
		t.mu.Lock()
		switch verdict {
		case park:
			parked = true
		case leave:
			return 0, errLeave
		}
	}
}

func (t *streamTransport) write(segs [][]byte) (n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed || t.fin:
		return 0, net.ErrClosed
	case t.werr != nil:
		return 0, t.werr
	}
	for _, s := range segs {
		room := min(streamBuffer-len(t.out), len(s))
		t.out = append(t.out, s[:room]...)
		n += room
		if room < len(s) {
			err = errWouldBlock
			break
		}
	}
	t.writers.Broadcast()
	return n, err
}

func (t *streamTransport) waitWrite(d time.Duration) error {
	late := false
	timer := time.AfterFunc(d, func() {
		t.mu.Lock()
		late = true
		t.writers.Broadcast()
		t.mu.Unlock()
	})
	defer timer.Stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		switch {
		case t.closed:
			return net.ErrClosed
		case t.werr != nil:
			return t.werr
		case len(t.out) < streamBuffer:
			return nil
		case late:
			return os.ErrDeadlineExceeded
		}
		t.writers.Wait()
	}
}

func (t *streamTransport) closeWrite() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fin = true
	t.writers.Broadcast()
	return nil
}

func (t *streamTransport) Close() error {
	t.mu.Lock()
	t.closed = true
	t.readers.Broadcast()
	t.writers.Broadcast()
	t.mu.Unlock()
	return t.nc.Close()
}
