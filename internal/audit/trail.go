package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"nas-target/internal/plain"
	"nas-target/internal/pr"
)

// Options of a Trail. Only Dir is needed.
type Options struct {
	Dir     string // made if it does not exist, for its owner alone
	MaxFile int64  // bytes of a file before the next one begins; 0: 4 MiB
	Files   int    // files kept; 0: 16
	Queue   int    // entries that may wait to be written; 0: 4096

	// Told is called for every entry, in order, once it is in the file, from
	// the trail's goroutine. Failed is called when writing begins to fail. They
	// may block, at the price of the queue.
	Told   func(Entry)
	Failed func(error)
}

// Trail is the open audit trail of one data directory. Record and Note never
// block; all methods may be called from any goroutine.
type Trail struct {
	o     Options
	queue chan item
	lost  atomic.Int64 // since the last entry that told of it
	done  chan struct{}

	closing sync.RWMutex // held for reading while something is put into queue
	closed  bool         // guarded by closing

	mu    sync.Mutex // guards units; never held during I/O
	units map[string]*Origins

	written, failed, dropped atomic.Uint64
	damaged                  int
	trouble                  atomic.Pointer[error] // why writing fails now

	// Owned by the trail's goroutine.
	file  *os.File
	size  int64  // of its whole lines
	seq   uint64 // of the last entry
	dirty bool   // written and not synced
}

// Stats count what became of the entries.
type Stats struct {
	Written uint64
	Lost    uint64 // the queue was full
	Failed  uint64 // the file could not be written
	Damaged int    // lines that a start could not read
	Failing error  // why writing fails now; nil: it does not
}

// item is what waits in the queue: a record to make an entry of, an entry, or a
// question whether all before it is written.
type item struct {
	record *pr.Record
	lun    string
	at     time.Time
	entry  Entry
	asked  chan struct{}
}

// Open opens the trail in o.Dir, or begins one.
func Open(o Options) (*Trail, error) {
	if o.MaxFile == 0 {
		o.MaxFile = 4 << 20
	}
	if o.Files == 0 {
		o.Files = 16
	}
	if o.Queue == 0 {
		o.Queue = 4096
	}
	t := &Trail{o: o, queue: make(chan item, o.Queue), done: make(chan struct{}), units: map[string]*Origins{}}
	if err := t.recover(); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	go t.run()
	return t, nil
}

func (t *Trail) recover() error {
	if err := os.MkdirAll(t.o.Dir, 0o700); err != nil {
		return err
	}
	all, err := segments(t.o.Dir)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		t.file, t.size, err = create(t.o.Dir, 1, headOf(nil, time.Now()))
		return err
	}
	newest := all[len(all)-1]
	r, err := recoverSegment(newest)
	if err != nil {
		return err
	}
	t.units, t.seq, t.size, t.damaged = r.units, r.seq, r.whole, r.damaged
	t.file, err = os.OpenFile(newest.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if err := t.file.Truncate(t.size); err != nil { // a line that a crash cut short
		t.file.Close()
		return err
	}
	return nil
}

// Record leaves what a reservation manager told to be written; lun is the
// unit's name. It is meant for pr.Events.Out.
func (t *Trail) Record(r pr.Record, lun string) {
	t.put(item{record: &r, lun: lun, at: time.Now()})
}

// Note leaves an entry to be written. Seq is set by the trail, and Time unless
// it is given. Names are made fit to be shown.
func (t *Trail) Note(e Entry) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	for _, s := range []*string{&e.Action, &e.LUN, &e.Result, &e.Reason, &e.Detail,
		&e.By.Initiator, &e.By.Target, &e.By.Peer, &e.By.Operator} {
		*s = plain.Text(*s)
	}
	t.put(item{entry: e})
}

// Found compares what stands after a start with the trail's last word, and
// notes what changed without a command. Call it once for each unit, before
// commands are served.
func (t *Trail) Found(unit, lun string, s pr.State) {
	t.mu.Lock()
	e, ok := t.units[unit].found(unit, lun, s, time.Now())
	t.mu.Unlock()
	if ok {
		t.put(item{entry: e})
	}
}

func (t *Trail) put(it item) {
	t.closing.RLock()
	defer t.closing.RUnlock()
	if t.closed {
		return
	}
	select {
	case t.queue <- it:
	default:
		t.lost.Add(1)
		t.dropped.Add(1)
	}
}

// Written waits until everything left before the call is in the file.
func (t *Trail) Written() {
	asked := make(chan struct{})
	t.closing.RLock()
	if t.closed {
		t.closing.RUnlock()
		<-t.done
		return
	}
	t.queue <- item{asked: asked}
	t.closing.RUnlock()
	<-asked
}

// Origins returns what is known of a unit: a copy, or nil.
func (t *Trail) Origins(unit string) *Origins {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.units[unit].clone()
}

// Stats returns what became of the entries so far.
func (t *Trail) Stats() Stats {
	s := Stats{Written: t.written.Load(), Lost: t.dropped.Load(), Failed: t.failed.Load(), Damaged: t.damaged}
	if err := t.trouble.Load(); err != nil {
		s.Failing = *err
	}
	return s
}

// Close writes what waits, syncs and closes the file. What is recorded after it
// is dropped.
func (t *Trail) Close() error {
	t.closing.Lock()
	again := t.closed
	t.closed = true
	if !again {
		close(t.queue)
	}
	t.closing.Unlock()
	<-t.done
	if again {
		return nil
	}
	return errors.Join(t.file.Sync(), t.file.Close())
}

// syncEvery bounds what a power cut may take.
const syncEvery = time.Second

func (t *Trail) run() {
	defer close(t.done)
	due := time.NewTimer(syncEvery)
	due.Stop()
	defer due.Stop()
	for {
		select {
		case it, ok := <-t.queue:
			if !ok {
				return
			}
			was := t.dirty
			t.batch(it)
			if t.dirty && !was {
				due.Reset(syncEvery)
			}
		case <-due.C:
			t.dirty = false
			t.check(t.file.Sync())
		}
	}
}

// maxBatch bounds what one write holds.
const maxBatch = 256

// batch writes first and what waits behind it with one write.
func (t *Trail) batch(first item) {
	var entries []Entry
	var asked []chan struct{}
	it, ok := first, true
	for ok {
		if n := t.lost.Swap(0); n > 0 {
			entries = append(entries, Entry{Time: time.Now(), Kind: KindLost, Action: "lost", Result: Granted, Lost: int(n)})
		}
		switch {
		case it.asked != nil:
			asked = append(asked, it.asked)
		case it.record != nil:
			entries = append(entries, entryOf(*it.record, it.lun, it.at))
		default:
			entries = append(entries, it.entry)
		}
		if len(entries) >= maxBatch {
			break
		}
		select {
		case it, ok = <-t.queue:
		default:
			ok = false
		}
	}
	t.write(entries)
	for _, a := range asked {
		close(a)
	}
}

func (t *Trail) write(entries []Entry) {
	if len(entries) == 0 {
		return
	}
	err := t.rotate()
	t.mu.Lock()
	for i := range entries {
		t.seq++
		entries[i].Seq = t.seq
		noteIn(t.units, &entries[i])
	}
	t.mu.Unlock()
	var lines []byte
	for i := range entries {
		line, err := json.Marshal(&entries[i])
		if err != nil {
			panic("audit: an entry that is no JSON: " + err.Error()) // strings and numbers only
		}
		lines = append(append(lines, line...), '\n')
	}
	if appended := t.append(lines); appended != nil {
		err = errors.Join(err, appended)
		t.failed.Add(uint64(len(entries)))
	} else {
		t.written.Add(uint64(len(entries)))
	}
	t.check(err)
	if t.o.Told != nil {
		for _, e := range entries {
			t.o.Told(e)
		}
	}
}

// append puts whole lines into the file, or nothing.
func (t *Trail) append(lines []byte) error {
	n, err := t.file.Write(lines)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, t.file.Truncate(t.size))
		}
		return err
	}
	t.size += int64(n)
	t.dirty = true
	return nil
}

// rotate begins the next file if the present one is full, and drops the oldest.
// If that fails the present file goes on.
func (t *Trail) rotate() error {
	if t.size < t.o.MaxFile {
		return nil
	}
	t.mu.Lock()
	h := headOf(t.units, time.Now())
	t.mu.Unlock()
	f, size, err := create(t.o.Dir, t.seq+1, h)
	if err != nil {
		return err
	}
	err = errors.Join(t.file.Sync(), t.file.Close())
	t.file, t.size = f, size
	all, listErr := segments(t.o.Dir)
	for len(all) > t.o.Files {
		err = errors.Join(err, os.Remove(all[0].path))
		all = all[1:]
	}
	return errors.Join(err, listErr)
}

// check tells of a failure when it begins.
func (t *Trail) check(err error) {
	was := t.trouble.Load()
	if err == nil {
		t.trouble.Store(nil)
		return
	}
	t.trouble.Store(&err)
	if was == nil && t.o.Failed != nil {
		t.o.Failed(err)
	}
}
