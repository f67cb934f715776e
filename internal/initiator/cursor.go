package initiator

import (
	"encoding/binary"
	"fmt"
)

// cursor walks parameter data. The first overrun is remembered and everything
// read after it is zero, so that a decoder checks once, at its end.
type cursor struct {
	b    []byte
	off  int
	what string
	err  error
}

func walk(what string, b []byte) *cursor { return &cursor{b: b, what: what} }

// take returns the next n bytes.
func (c *cursor) take(n int) []byte {
	if c.err == nil && (n < 0 || c.off+n > len(c.b)) {
		c.err = fmt.Errorf("initiator: %s: %d bytes at offset %d, data has %d", c.what, n, c.off, len(c.b))
	}
	if c.err != nil {
		return make([]byte, max(0, min(n, 1<<16)))
	}
	c.off += n
	return c.b[c.off-n : c.off]
}

func (c *cursor) skip(n int)  { c.take(n) }
func (c *cursor) u8() uint8   { return c.take(1)[0] }
func (c *cursor) u16() uint16 { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cursor) u32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }
func (c *cursor) u64() uint64 { return binary.BigEndian.Uint64(c.take(8)) }

// left is the number of bytes not read yet.
func (c *cursor) left() int {
	if c.err != nil {
		return 0
	}
	return len(c.b) - c.off
}

// sub returns a cursor over the next n bytes.
func (c *cursor) sub(n int) *cursor {
	s := walk(c.what, c.take(n))
	s.err = c.err
	return s
}

// fail records an error of the caller's, unless there is one already.
func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("initiator: %s: %s", c.what, fmt.Sprintf(format, args...))
	}
}
