package pool

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

const (
	minShift = 12 // 4 KiB
	maxShift = 24 // 16 MiB, above the largest transfer any LUN advertises
)

// Poison overwrites every released buffer with a pattern, so that a read of
// stale bytes cannot go unnoticed. For tests; set it before any Get.
var Poison atomic.Bool

// Buf is a lent buffer. B has the length asked for and holds arbitrary bytes.
type Buf struct {
	B     []byte
	class int8
}

var classes [maxShift - minShift + 1]sync.Pool

// Get lends a buffer of n bytes, contents undefined. n must be positive and at
// most MaxSize.
func Get(n int) *Buf {
	c := 0
	if n > 1<<minShift {
		c = bits.Len(uint(n-1)) - minShift
	}
	b, _ := classes[c].Get().(*Buf)
	if b == nil {
		b = &Buf{B: make([]byte, 1<<(c+minShift)), class: int8(c)}
	}
	b.B = b.B[:n]
	return b
}

// MaxSize is the largest buffer the pool lends, in bytes.
const MaxSize = 1 << maxShift

// Release gives the buffer back. The caller must not touch b or b.B again.
// Releasing nil does nothing.
func (b *Buf) Release() {
	if b == nil {
		return
	}
	if Poison.Load() {
		full := b.B[:cap(b.B)]
		for i := range full {
			full[i] = 0xdb
		}
	}
	classes[b.class].Put(b)
}
