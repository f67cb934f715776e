package prstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
)

// simDisk is a disk in memory with a page cache. It counts calls, fails or
// stops at any of them, and knows what a power cut would leave.
type simDisk struct {
	names  map[string]*simFile // what a running system sees
	synced map[string]*simFile // what the directory on the medium says

	calls   int  // calls that change something, and reads if countReads
	stopped bool // the process is gone: every call fails
	// fault is asked at every counted call. A write is done for the first n
	// bytes if it says so.
	fault      func(call int, kind string) (n int, err error)
	countReads bool
	trace      []string
}

type simFile struct {
	cache  []byte
	stable []byte
	dirty  []simWrite // since the last sync, in order
}

type simWrite struct {
	off  int
	data []byte
}

const sector = 512

var errStopped = errors.New("the process is gone")

func newSimDisk() *simDisk {
	return &simDisk{names: map[string]*simFile{}, synced: map[string]*simFile{}}
}

// stopAt makes the call-th counted call, from now, the last: it is done up to
// n bytes if it is a write, not at all otherwise.
func (d *simDisk) stopAt(call, n int) {
	d.calls = 0
	d.fault = func(c int, _ string) (int, error) {
		if c == call {
			d.stopped = true
			return n, errStopped
		}
		return 0, nil
	}
}

// failAt makes counted calls from first to last fail with err, writes after n
// bytes.
func (d *simDisk) failAt(first, last int, err error, n int) {
	d.calls = 0
	d.fault = func(c int, _ string) (int, error) {
		if c >= first && c <= last {
			return n, err
		}
		return 0, nil
	}
}

func (d *simDisk) heal() { d.fault, d.stopped, d.calls = nil, false, 0 }

func (d *simDisk) call(kind string) (int, error) {
	if d.stopped {
		return 0, errStopped
	}
	d.calls++
	d.trace = append(d.trace, kind)
	if d.fault == nil {
		return 0, nil
	}
	return d.fault(d.calls, kind)
}

// killed is the disk after the end of the process alone: the page cache stays.
func (d *simDisk) killed() *simDisk {
	c := &simDisk{names: map[string]*simFile{}, synced: map[string]*simFile{}}
	seen := map[*simFile]*simFile{}
	dup := func(f *simFile) *simFile {
		if seen[f] == nil {
			seen[f] = &simFile{slices.Clone(f.cache), slices.Clone(f.stable), slices.Clone(f.dirty)}
		}
		return seen[f]
	}
	for n, f := range d.names {
		c.names[n] = dup(f)
	}
	for n, f := range d.synced {
		c.synced[n] = dup(f)
	}
	return c
}

// cut is the disk after a power cut. keep decides of each unsynced sector, by
// its number and how many there are, whether it reached the medium; dir
// whether unsynced names did.
func (d *simDisk) cut(keep func(i, n int) bool, dir bool) *simDisk {
	c := d.killed()
	if !dir {
		c.names = maps.Clone(c.synced)
	}
	c.synced = maps.Clone(c.names)
	for _, f := range c.names {
		type piece struct {
			off  int
			data []byte
		}
		var pieces []piece
		for _, w := range f.dirty {
			for at := 0; at < len(w.data); {
				end := min(len(w.data), (w.off+at)/sector*sector+sector-w.off)
				pieces = append(pieces, piece{w.off + at, w.data[at:end]})
				at = end
			}
		}
		for i, p := range pieces {
			if keep(i, len(pieces)) {
				f.stable = put(f.stable, p.off, p.data)
			}
		}
		f.cache, f.dirty = slices.Clone(f.stable), nil
	}
	return c
}

// dirtySectors counts what a power cut would put at risk.
func (d *simDisk) dirtySectors() int {
	n := 0
	for _, f := range d.names {
		for _, w := range f.dirty {
			n += (len(w.data) + sector - 1) / sector
		}
	}
	return n
}

func put(b []byte, off int, data []byte) []byte {
	if need := off + len(data); need > len(b) {
		b = append(b, make([]byte, need-len(b))...)
	}
	copy(b[off:], data)
	return b
}

func (d *simDisk) open(name string) (handle, error) {
	if d.stopped {
		return nil, errStopped
	}
	f := d.names[name]
	if f == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return simHandle{d, f}, nil
}

func (d *simDisk) create(name string) (handle, error) {
	if _, err := d.call("create"); err != nil {
		return nil, err
	}
	f := &simFile{}
	d.names[name] = f
	return simHandle{d, f}, nil
}

func (d *simDisk) rename(from, to string) error {
	if _, err := d.call("rename"); err != nil {
		return err
	}
	f := d.names[from]
	if f == nil {
		return fmt.Errorf("rename %s: %w", from, fs.ErrNotExist)
	}
	delete(d.names, from)
	d.names[to] = f
	return nil
}

func (d *simDisk) remove(name string) error {
	if _, err := d.call("remove"); err != nil {
		return err
	}
	if d.names[name] == nil {
		return fmt.Errorf("remove %s: %w", name, fs.ErrNotExist)
	}
	delete(d.names, name)
	return nil
}

func (d *simDisk) syncDir() error {
	if _, err := d.call("syncdir"); err != nil {
		return err
	}
	d.synced = maps.Clone(d.names)
	return nil
}

func (d *simDisk) close() error { return nil }

type simHandle struct {
	d *simDisk
	f *simFile
}

func (h simHandle) ReadAt(p []byte, off int64) (int, error) {
	if h.d.stopped {
		return 0, errStopped
	}
	if h.d.countReads {
		if _, err := h.d.call("read"); err != nil {
			return 0, err
		}
	}
	if off >= int64(len(h.f.cache)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.cache[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h simHandle) WriteAt(p []byte, off int64) (int, error) {
	n, err := h.d.call("write")
	if err == nil {
		n = len(p)
	}
	n = min(n, len(p))
	if n > 0 {
		data := slices.Clone(p[:n])
		h.f.cache = put(h.f.cache, int(off), data)
		h.f.dirty = append(h.f.dirty, simWrite{int(off), data})
	}
	return n, err
}

func (h simHandle) Size() (int64, error) {
	if h.d.stopped {
		return 0, errStopped
	}
	return int64(len(h.f.cache)), nil
}

func (h simHandle) Allocate(size int64) error {
	if _, err := h.d.call("allocate"); err != nil {
		return err
	}
	if n := int(size) - len(h.f.cache); n > 0 {
		h.f.cache = append(h.f.cache, make([]byte, n)...)
	}
	return nil
}

// Sync is honest: it writes the whole file. A failed sync leaves the page
// cache clean, as Linux does, and what it held unwritten.
func (h simHandle) Sync() error {
	if _, err := h.d.call("sync"); err != nil {
		if !h.d.stopped {
			h.f.dirty = nil
		}
		return err
	}
	for _, w := range h.f.dirty {
		h.f.stable = put(h.f.stable, w.off, w.data)
	}
	if n := len(h.f.cache) - len(h.f.stable); n > 0 {
		h.f.stable = append(h.f.stable, make([]byte, n)...)
	}
	h.f.dirty = nil
	return nil
}

func (h simHandle) Close() error { return nil }
