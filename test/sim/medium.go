package sim

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"nas-target/internal/backstore"
	"nas-target/internal/backstore/backtest"
)

// Medium is memory that can be slow or stuck, and that records what was
// applied to it. Its layers, from outside: Log, delays, Stall, memory.
type Medium struct {
	*backtest.Log
	Stall *backtest.Stall

	ram    *backstore.RAM
	slow   atomic.Int64 // nanoseconds; a call takes up to so long
	inside atomic.Int32
	fault  atomic.Pointer[func(*backtest.Call) error]
}

// NewMedium makes a medium of zeros.
func NewMedium(blocks int) *Medium {
	ram, err := backstore.NewRAM(backstore.RAMOptions{Size: int64(blocks) * BlockSize})
	if err != nil {
		panic(err)
	}
	m := &Medium{ram: ram, Stall: backtest.NewStall(ram)}
	m.Log = backtest.NewLog(backtest.Wrap(m.Stall, m.around))
	m.Keep(BlockSize) // enough for Intact
	return m
}

// Slow makes every second change and read take a random time up to d.
func (m *Medium) Slow(d time.Duration) { m.slow.Store(int64(d)) }

// Fail asks f about every call on its way to the medium; its error ends the
// call, which then does nothing. nil ends that.
func (m *Medium) Fail(f func(*backtest.Call) error) {
	if f == nil {
		m.fault.Store(nil)
		return
	}
	m.fault.Store(&f)
}

// Inside is the number of calls in the medium now.
func (m *Medium) Inside() int { return int(m.inside.Load()) }

// Content reads behind all layers.
func (m *Medium) Content(lba, blocks int) []byte {
	p := make([]byte, blocks*BlockSize)
	if _, err := m.ram.ReadAt(p, int64(lba)*BlockSize); err != nil {
		panic(err)
	}
	return p
}

// Fill writes behind all layers.
func (m *Medium) Fill(lba int, p []byte) {
	if _, err := m.ram.WriteAt(p, int64(lba)*BlockSize); err != nil {
		panic(err)
	}
}

func (m *Medium) around(c *backtest.Call, do func() error) error {
	m.inside.Add(1)
	defer m.inside.Add(-1)
	if f := m.fault.Load(); f != nil {
		if err := (*f)(c); err != nil {
			return err
		}
	}
	if d := m.slow.Load(); d > 0 && (c.Op.Changes() || c.Op == backtest.OpRead) {
		if n := rand.Int64N(2 * d); n < d {
			time.Sleep(time.Duration(n))
		}
	}
	return do()
}
