package backstore

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
)

// RAMOptions are the options of kind "ram".
type RAMOptions struct {
	Size int64 `json:"size" doc:"length in bytes; memory is taken as it is written"`
}

// RAM is a volatile store: pages that exist once they are written. No lock
// spans more than one page, so calls on different pages do not meet.
type RAM struct {
	size  atomic.Int64
	pages atomic.Int64 // pages that exist
	calls inflight

	grow  sync.Mutex // replaces top, fills its entries
	table atomic.Pointer[[]atomic.Pointer[ramLeaf]]
}

const (
	ramPage   = 16 << 10
	ramFanout = 1024 // pages per leaf
	ramMax    = 64 << 40
)

// ramLeaf is the part of the page table for ramFanout pages.
type ramLeaf [ramFanout]ramSlot

type ramSlot struct {
	mu   sync.RWMutex
	page *[ramPage]byte // nil reads as zeros
}

var _ Volume = (*RAM)(nil)

func openRAM(_ context.Context, o RAMOptions) (Store, error) { return NewRAM(o) }

// NewRAM makes an empty store.
func NewRAM(o RAMOptions) (*RAM, error) {
	r := &RAM{}
	if err := checkMemorySize(o.Size); err != nil {
		return nil, err
	}
	r.setSize(o.Size)
	return r, nil
}

func checkMemorySize(n int64) error {
	switch {
	case n <= 0:
		return &Error{Op: "open", Reason: ReasonSizeMissing}
	case n > ramMax:
		return &Error{Op: "open", Reason: ReasonTooLarge, Err: fmt.Errorf("%d bytes, at most %d", n, int64(ramMax))}
	}
	return nil
}

// setSize is called with grow held, or by the only owner.
func (r *RAM) setSize(n int64) {
	const leaf = ramPage * ramFanout
	table := make([]atomic.Pointer[ramLeaf], (n+leaf-1)/leaf)
	if old := r.table.Load(); old != nil {
		for i := range *old {
			table[i].Store((*old)[i].Load())
		}
	}
	r.table.Store(&table)
	r.size.Store(n)
}

func (r *RAM) begin(op string, off, n int64) error {
	if !r.calls.enter() {
		return &Error{Op: op, Reason: ReasonClosed}
	}
	if err := checkRange(off, n, r.size.Load()); err != nil {
		r.calls.leave()
		return err
	}
	return nil
}

// slot finds the slot of a page; nil if it has no leaf and make is false.
func (r *RAM) slot(page int64, make bool) *ramSlot {
	i := page / ramFanout
	leaf := (*r.table.Load())[i].Load()
	if leaf == nil {
		if !make {
			return nil
		}
		leaf = r.makeLeaf(i)
	}
	return &leaf[page%ramFanout]
}

func (r *RAM) makeLeaf(i int64) *ramLeaf {
	r.grow.Lock()
	defer r.grow.Unlock()
	entry := &(*r.table.Load())[i]
	if entry.Load() == nil {
		entry.Store(new(ramLeaf))
	}
	return entry.Load()
}

// Size keeps the Store contract.
func (r *RAM) Size() int64 { return r.size.Load() }

// ReadAt keeps the package contract.
func (r *RAM) ReadAt(p []byte, off int64) (int, error) {
	if err := r.begin("read", off, int64(len(p))); err != nil {
		return 0, err
	}
	defer r.calls.leave()
	for done := 0; done < len(p); {
		page, at := (off+int64(done))/ramPage, int((off+int64(done))%ramPage)
		n := min(ramPage-at, len(p)-done)
		if s := r.slot(page, false); s == nil {
			clear(p[done : done+n])
		} else {
			s.read(p[done:done+n], at)
		}
		done += n
	}
	return len(p), nil
}

func (s *ramSlot) read(p []byte, at int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.page == nil {
		clear(p)
		return
	}
	copy(p, s.page[at:])
}

// TryReadAt keeps the Volume contract: memory never makes wait.
func (r *RAM) TryReadAt(p []byte, off int64) (bool, error) {
	_, err := r.ReadAt(p, off)
	return true, err
}

// WriteAt keeps the package contract.
func (r *RAM) WriteAt(p []byte, off int64) (int, error) {
	if err := r.begin("write", off, int64(len(p))); err != nil {
		return 0, err
	}
	defer r.calls.leave()
	for done := 0; done < len(p); {
		page, at := (off+int64(done))/ramPage, int((off+int64(done))%ramPage)
		n := min(ramPage-at, len(p)-done)
		if r.slot(page, true).write(p[done:done+n], at) {
			r.pages.Add(1)
		}
		done += n
	}
	return len(p), nil
}

// write reports whether the page is new.
func (s *ramSlot) write(p []byte, at int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := s.page == nil
	if fresh {
		s.page = new([ramPage]byte)
	}
	copy(s.page[at:], p)
	return fresh
}

// WriteDurable is WriteAt: there is no power cut that memory survives.
func (r *RAM) WriteDurable(p []byte, off int64) error {
	_, err := r.WriteAt(p, off)
	return err
}

// WriteAtomic is WriteAt. Nothing stops it in the middle but the end of the
// process or of the power, and these leave neither old nor new.
func (r *RAM) WriteAtomic(p []byte, off int64) error {
	_, err := r.WriteAt(p, off)
	return err
}

// Atomic keeps the Volume contract: any write is.
func (r *RAM) Atomic() (unit, most int64) { return 1, math.MaxInt64 }

// Sync has nothing to do.
func (r *RAM) Sync() error {
	if err := r.begin("sync", 0, 0); err != nil {
		return err
	}
	r.calls.leave()
	return nil
}

// Discard keeps the Volume contract; whole pages are freed.
func (r *RAM) Discard(off, n int64) error {
	if err := r.begin("discard", off, n); err != nil {
		return err
	}
	defer r.calls.leave()
	size := r.size.Load()
	for end := off + n; off < end; {
		page, at := off/ramPage, int(off%ramPage)
		k := min(int64(ramPage-at), end-off)
		whole := at == 0 && (k == ramPage || off+k == size)
		if s := r.slot(page, false); s != nil && s.zero(at, int(k), whole) {
			r.pages.Add(-1)
		}
		off += k
	}
	return nil
}

// zero reports whether the page was freed.
func (s *ramSlot) zero(at, n int, whole bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.page == nil:
	case whole:
		s.page = nil
		return true
	default:
		clear(s.page[at : at+n])
	}
	return false
}

// WriteZeros is Discard.
func (r *RAM) WriteZeros(off, n int64) error { return r.Discard(off, n) }

// NextExtent keeps the Volume contract.
func (r *RAM) NextExtent(off int64) (length int64, mapped bool, err error) {
	if err := r.begin("seek", off, 1); err != nil {
		return 0, false, err
	}
	defer r.calls.leave()
	size := r.size.Load()
	page := off / ramPage
	mapped = r.mapped(page)
	end := (page + 1) * ramPage
	for ; end < size; end += ramPage {
		next := end / ramPage
		if r.slot(next, false) == nil { // a whole leaf without pages
			if mapped {
				break
			}
			end += (ramFanout - next%ramFanout - 1) * ramPage
			continue
		}
		if r.mapped(next) != mapped {
			break
		}
	}
	return min(end, size) - off, mapped, nil
}

func (r *RAM) mapped(page int64) bool {
	s := r.slot(page, false)
	if s == nil {
		return false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.page != nil
}

// CopyRange keeps the Volume contract.
func (r *RAM) CopyRange(dst, src, n int64) (int64, error) {
	if err := r.begin("copy", src, n); err != nil {
		return 0, err
	}
	r.calls.leave()
	if err := checkRange(dst, n, r.size.Load()); err != nil {
		return 0, err
	}
	return copyWithin(r, dst, src, n)
}

// CopyFrom has no shorter way than the caller.
func (r *RAM) CopyFrom(any, int64, int64, int64) (int64, bool, error) { return 0, false, nil }

// Geometry keeps the Volume contract.
func (r *RAM) Geometry() Geometry {
	return Geometry{PhysicalBlock: 4096, DiscardGranularity: ramPage, Thin: true}
}

// Allocated keeps the Volume contract.
func (r *RAM) Allocated() (int64, error) { return r.pages.Load() * ramPage, nil }

// Free keeps the Volume contract.
func (r *RAM) Free() (int64, error) { return r.size.Load() - r.pages.Load()*ramPage, nil }

// Resize keeps the Volume contract, durability apart.
func (r *RAM) Resize(n int64) error {
	if err := r.begin("resize", 0, 0); err != nil {
		return err
	}
	defer r.calls.leave()
	if err := checkMemorySize(n); err != nil {
		return err
	}
	r.grow.Lock()
	defer r.grow.Unlock()
	if old := r.size.Load(); n < old {
		return refuseShrink("", old, n)
	}
	r.setSize(n)
	return nil
}

// Close frees the memory.
func (r *RAM) Close() error {
	if !r.calls.close() {
		return &Error{Op: "close", Reason: ReasonClosed}
	}
	r.table.Store(&[]atomic.Pointer[ramLeaf]{})
	r.pages.Store(0)
	return nil
}
