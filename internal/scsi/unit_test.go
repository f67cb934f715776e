package scsi

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// memMedium is a disk in memory with every ability; what it lacks is taken
// away by hiding it behind plain.
type memMedium struct {
	mu      sync.Mutex
	data    []byte
	mapped  []bool // per memGrain
	syncs   int
	durable int // WriteDurable calls
	writes  int
	zeroed  int64 // bytes given to WriteZeros
	freed   int64 // bytes given to Discard

	before                      func(op string, off, n int64) // runs outside the lock
	readErr, writeErr, flushErr error
	atomicUnit                  int64 // 0: any write is atomic
	atomicMost                  int64
	free                        int64
}

const memGrain = 4096

func newMem(size int64) *memMedium {
	return &memMedium{data: make([]byte, size), mapped: make([]bool, (size+memGrain-1)/memGrain), free: 1 << 40}
}

func (m *memMedium) enter(op string, off, n int64) {
	if m.before != nil {
		m.before(op, off, n)
	}
	m.mu.Lock()
}

func (m *memMedium) Size() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int64(len(m.data))
}

func (m *memMedium) ReadAt(p []byte, off int64) (int, error) {
	m.enter("read", off, int64(len(p)))
	defer m.mu.Unlock()
	if m.readErr != nil {
		return 0, m.readErr
	}
	return copy(p, m.data[off:off+int64(len(p))]), nil
}

func (m *memMedium) WriteAt(p []byte, off int64) (int, error) {
	m.enter("write", off, int64(len(p)))
	defer m.mu.Unlock()
	return m.put(p, off)
}

func (m *memMedium) put(p []byte, off int64) (int, error) {
	if m.writeErr != nil {
		return 0, m.writeErr
	}
	m.writes++
	m.mark(off, int64(len(p)), true)
	return copy(m.data[off:off+int64(len(p))], p), nil
}

func (m *memMedium) mark(off, n int64, mapped bool) {
	for g := off / memGrain; g*memGrain < off+n; g++ {
		m.mapped[g] = mapped
	}
}

func (m *memMedium) Sync() error {
	m.enter("sync", 0, 0)
	defer m.mu.Unlock()
	m.syncs++
	return m.flushErr
}

func (m *memMedium) WriteDurable(p []byte, off int64) error {
	m.enter("durable", off, int64(len(p)))
	defer m.mu.Unlock()
	m.durable++
	_, err := m.put(p, off)
	return err
}

func (m *memMedium) WriteAtomic(p []byte, off int64) error {
	m.enter("atomic", off, int64(len(p)))
	defer m.mu.Unlock()
	_, err := m.put(p, off)
	return err
}

func (m *memMedium) Atomic() (unit, most int64) {
	if m.atomicUnit == 0 {
		return 1, math.MaxInt64
	}
	return m.atomicUnit, m.atomicMost
}

func (m *memMedium) Discard(off, n int64) error {
	m.enter("discard", off, n)
	defer m.mu.Unlock()
	if m.writeErr != nil {
		return m.writeErr
	}
	m.freed += n
	clear(m.data[off : off+n])
	first, end := (off+memGrain-1)/memGrain, (off+n)/memGrain
	if first < end {
		m.mark(first*memGrain, (end-first)*memGrain, false)
	}
	return nil
}

func (m *memMedium) WriteZeros(off, n int64) error {
	m.enter("zero", off, n)
	defer m.mu.Unlock()
	if m.writeErr != nil {
		return m.writeErr
	}
	m.zeroed += n
	clear(m.data[off : off+n])
	m.mark(off, n, true)
	return nil
}

func (m *memMedium) NextExtent(off int64) (int64, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := off / memGrain
	state, end := m.mapped[g], g+1
	for end < int64(len(m.mapped)) && m.mapped[end] == state {
		end++
	}
	return min(end*memGrain, int64(len(m.data))) - off, state, nil
}

func (m *memMedium) Allocated() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := int64(0)
	for _, v := range m.mapped {
		if v {
			n += memGrain
		}
	}
	return n, nil
}

func (m *memMedium) Free() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.free, nil
}

func (m *memMedium) Resize(n int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	grown := newMem(n)
	copy(grown.data, m.data)
	copy(grown.mapped, m.mapped)
	m.data, m.mapped = grown.data, grown.mapped
	return nil
}

func (m *memMedium) count(f func() int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f()
}

// plain hides every ability of a medium.
type plain struct{ Medium }

// memStore keeps reservations in memory.
type memStore struct {
	state pr.State
	rev   pr.Revision
}

func (s *memStore) Load(string) (pr.State, pr.Revision, error) { return s.state, s.rev, nil }

func (s *memStore) Save(_ string, st pr.State, _ pr.Revision) (pr.Revision, error) {
	s.state = st
	s.rev++
	return s.rev, nil
}

// bench is a device with one unit at LUN 0 and one initiator that has seen its
// first unit attention.
type bench struct {
	testing.TB
	medium *memMedium
	unit   *Unit
	dev    *Device
	it     *IT
}

var (
	benchID   = Identity{Name: "disk", UUID: [16]byte{0x3f, 0x2a, 0x9c, 0x10, 5: 0x5a, 6: 0x40, 8: 0x80, 15: 1}}
	benchPort = []Port{{Name: "iqn.2026-11.test:disk,t,0x0001", Relative: 1, Group: 1}}
)

const benchBlocks = 4096

func newBench(t testing.TB, change ...func(*UnitConfig)) *bench {
	m := newMem(benchBlocks * 512)
	return newBenchOn(t, m, m, change...)
}

// newBenchOn builds the bench with m as the unit's medium, which is mem or
// something in front of it.
func newBenchOn(t testing.TB, m Medium, mem *memMedium, change ...func(*UnitConfig)) *bench {
	c := UnitConfig{Identity: benchID, BlockSize: 512, WriteCache: true, Thin: true}
	for _, f := range change {
		f(&c)
	}
	b := &bench{TB: t, medium: mem, dev: NewDevice("iqn.2026-11.test:disk", benchPort)}
	b.unit = b.newUnit(c, m)
	b.it = b.attach("iqn.2026-11.test:a")
	return b
}

func (b *bench) newUnit(c UnitConfig, m Medium) *Unit {
	p, err := pr.Open(pr.Config{ID: c.Name, Store: &memStore{}})
	require.NoError(b, err)
	u, err := NewUnit(c, m, p)
	require.NoError(b, err)
	return u
}

// attach logs an initiator in and takes its first unit attention.
func (b *bench) attach(name string) *IT {
	it := b.dev.Attach(Nexus{Initiator: name + ",i,0x800000000001", Target: benchPort[0].Name}, LUNMap{0: b.unit})
	b.clearUA(it)
	return it
}

func (b *bench) clearUA(it *IT) {
	for _, l := range it.view.Load().luns {
		x := it.view.Load().find(NewLUN(l))
		for x.firstUA(true, false) != nil {
		}
	}
}

// unhex reads hex digits; blanks do not matter.
func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// do runs a command to its end and returns it. in is the room that the
// initiator has for Data-In.
func (b *bench) do(cdb string, out []byte, in int) *Task { return b.through(b.it, 0, cdb, out, in) }

func (b *bench) through(it *IT, lun uint16, cdb string, out []byte, in int) *Task {
	t := &Task{LUN: NewLUN(lun), OutLen: uint32(len(out)), InLen: uint32(in)}
	copy(t.CDB[:], unhex(cdb))
	run(it, t, out)
	return t
}

// run submits a task, hands it its data, and waits for its end.
func run(it *IT, t *Task, out []byte) {
	done := make(chan struct{}, 1)
	t.Done = func(*Task) { done <- struct{}{} }
	p := it.Submit(t)
	if p == NeedData {
		t.Out = out[:min(t.Need, len(out))]
		p = it.Resume(t)
	}
	if p == Pending {
		<-done
	}
}

// in runs a command that must be GOOD and returns its data.
func (b *bench) in(cdb string) []byte {
	b.Helper()
	t := b.do(cdb, nil, 1<<20)
	require.NoError(b, t.Failure, cdb)
	require.Equal(b, Good, t.Status, cdb)
	return bytes.Clone(t.In)
}

// good runs a command with Data-Out that must be GOOD.
func (b *bench) good(cdb string, out []byte) {
	b.Helper()
	t := b.do(cdb, out, 0)
	require.NoError(b, t.Failure, cdb)
	require.Equal(b, Good, t.Status, cdb)
}

// refused runs a command that must end with exactly the sense data of want.
func (b *bench) refused(want *Check, cdb string, out []byte) {
	b.Helper()
	b.refusedAt(b.it, want, cdb, out)
}

func (b *bench) refusedAt(it *IT, want *Check, cdb string, out []byte) {
	b.Helper()
	t := b.through(it, 0, cdb, out, 1<<20)
	require.Equal(b, CheckCondition, t.Status, cdb)
	desc := b.unit.conf.Load().descriptorSense
	require.Equal(b, hex.EncodeToString(want.AppendSense(nil, desc)), hex.EncodeToString(t.Sense[:t.SenseLen]), "%s: %v", cdb, t.Failure)
	require.ErrorIs(b, t.Failure, want)
	require.Empty(b, t.In, cdb)
}

// fill writes a pattern straight into the medium and returns it.
func (b *bench) fill(lba, n int) []byte {
	p := pattern(n*512, byte(lba+1))
	copy(b.medium.data[lba*512:], p)
	b.medium.mark(int64(lba)*512, int64(n)*512, true)
	return p
}

// pattern is n bytes in which every block differs from the next.
func pattern(n int, seed byte) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i) ^ byte(i>>9)*31 ^ seed
	}
	return p
}

func (b *bench) at(lba, n int) []byte { return b.medium.data[lba*512 : (lba+n)*512] }
