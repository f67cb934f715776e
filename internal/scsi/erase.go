package scsi

import (
	"errors"
	"time"

	"nas-target/internal/pool"
)

// Erase describes a FORMAT UNIT or SANITIZE that has begun. Once begun it goes
// on through aborts, resets, relogins and restarts until all of the medium is
// done, and the unit serves no data before.
type Erase struct {
	Kind         EraseKind
	Pattern      string // EraseOverwrite: repeated over each block
	Passes       uint8  // EraseOverwrite
	Invert       bool   // EraseOverwrite: complement the pattern on every other pass
	Unrestricted bool   // AUSE: a failure may be left behind without another SANITIZE
	Failed       bool
}

// EraseKind is how the medium is erased.
type EraseKind uint8

const (
	EraseNone EraseKind = iota
	EraseFormat
	EraseOverwrite
	EraseBlocks
)

// sense is what the unit answers while e goes on or after it failed.
func (e Erase) sense() *Check {
	switch {
	case e.Kind == EraseFormat && e.Failed:
		return ErrFormatFailed
	case e.Kind == EraseFormat:
		return ErrFormatInProgress
	case e.Failed:
		return ErrSanitizeFailed
	}
	return ErrSanitizeInProgress
}

// eraseFailed reports whether c is the state after a failed erase, which only
// another one ends.
func eraseFailed(c *Check) bool { return c.Is(ErrFormatFailed) || c.Is(ErrSanitizeFailed) }

// startErase begins e for t: from here on nobody gets in, and whoever is
// inside has left before the first block is touched. It returns when the erase
// has ended, or has begun if immediately.
func (u *Unit) startErase(t *Task, e Erase, immediately bool) error {
	var busy, before *Check
	u.change(func(f *conf) {
		if busy, before = nil, f.notReady; before != nil && !eraseFailed(before) {
			busy = before
			return
		}
		f.notReady = e.sense()
	})
	if busy != nil {
		return busy
	}
	u.progress.Store(0)
	u.drainGate(func(o *Task) bool { return o != t && o.cmd.Flags&Control == 0 })
	if err := u.note(func(m *Memory) { m.Erase = e }); err != nil {
		u.change(func(f *conf) { f.notReady = before })
		return err
	}
	t.begun = true
	over := u.goErase(e)
	if immediately {
		return nil
	}
	// An abort or a fence ends the command, not what it began.
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-over:
			return err
		case <-tick.C:
			if err := t.goOn(); err != nil {
				return err
			}
		}
	}
}

// drainGate waits until the tasks inside the gate that match have left.
func (u *Unit) drainGate(match func(*Task) bool) {
	done := make(chan struct{})
	d := &drain{left: 1, done: func() { close(done) }}
	for _, x := range u.live() {
		x.drainInto(d, match)
	}
	d.leave()
	<-done
}

var errClosing = errors.New("the unit is being closed")

// goErase erases in the background. The channel tells the end.
func (u *Unit) goErase(e Erase) <-chan error {
	over := make(chan error, 1)
	u.behind.running.Go(func() {
		err := u.erase(e)
		if err == nil {
			err = u.flush()
		}
		if err == nil {
			// Before anybody writes: a restart must not erase again.
			err = u.note(func(m *Memory) { m.Erase = Erase{} })
		}
		switch {
		case err == errClosing: // the next start goes on
		case err != nil:
			e.Failed = true
			u.note(func(m *Memory) { m.Erase = e }) // if not, the next start tries again
			u.change(func(f *conf) { f.notReady = e.sense() })
			err = e.sense().Because(err)
		default:
			u.change(func(f *conf) { f.notReady = nil })
		}
		over <- err
	})
	return over
}

// erase does the work, alone on the medium.
func (u *Unit) erase(e Erase) error {
	f := u.conf.Load()
	switch e.Kind {
	case EraseFormat:
		switch {
		case f.thin:
			return u.walk(0, 1, sweepBytes, u.discardRaw)
		case u.caps.zero != nil:
			p := u.newPace()
			return u.walk(0, 1, sweepBytes, func(e extent) error {
				if err := p.wait(e.n << f.shift); err != nil {
					return err
				}
				return u.zeroRaw(e)
			})
		}
		return u.overwrite(Erase{Pattern: "\x00", Passes: 1})
	case EraseOverwrite:
		return u.overwrite(e)
	}
	return u.eraseBlocks()
}

// overwrite writes the pattern over every block, each pass through to stable
// storage before the next.
func (u *Unit) overwrite(e Erase) error {
	f, p := u.conf.Load(), u.newPace()
	buf := pool.Get(chunkBytes)
	defer buf.Release()
	for pass := range int(e.Passes) {
		fillPattern(buf.B, e.Pattern, int(f.blockSize), e.Invert && pass%2 == 1)
		err := u.walk(pass, int(e.Passes), chunkBytes, func(e extent) error {
			if err := p.wait(e.n << f.shift); err != nil {
				return err
			}
			return u.put(buf.B[:e.n<<f.shift], e.lba)
		})
		if err != nil {
			return err
		}
		if err := u.flush(); err != nil {
			return err
		}
	}
	return nil
}

// eraseBlocks overwrites what holds data with zeros, so that it is not just
// unlinked, and then gives the space back.
func (u *Unit) eraseBlocks() error {
	f, p := u.conf.Load(), u.newPace()
	passes := 1
	if f.thin {
		passes = 2
	}
	buf := pool.Get(chunkBytes)
	defer buf.Release()
	clear(buf.B)
	err := u.walk(0, passes, chunkBytes, func(e extent) error {
		for e.n > 0 {
			n, state, err := u.lbaStatus(e.lba)
			if err != nil {
				return err
			}
			n = min(n, e.n)
			if state == lbaMapped {
				if err := p.wait(n << f.shift); err != nil {
					return err
				}
				if err := u.put(buf.B[:n<<f.shift], e.lba); err != nil {
					return err
				}
			}
			e.lba, e.n = e.lba+n, e.n-n
		}
		return nil
	})
	if err != nil || !f.thin {
		return err
	}
	if err := u.flush(); err != nil {
		return err
	}
	return u.walk(1, passes, sweepBytes, u.discardRaw)
}

// pace holds an erase to the speed that the configuration allows, so that the
// units beside it keep theirs.
type pace struct {
	speed int64 // bytes per second; 0: as fast as the medium
	next  time.Time
	stop  <-chan struct{}
}

func (u *Unit) newPace() *pace { return &pace{speed: u.eraseSpeed, stop: u.behind.stop} }

// wait returns when n more bytes may be written. What is saved up while there
// is nothing to write is not spent later.
func (p *pace) wait(n uint64) error {
	if p.speed == 0 {
		return nil
	}
	now := time.Now()
	if d := p.next.Sub(now); d > 0 {
		select {
		case <-time.After(d):
			now = p.next
		case <-p.stop:
			return errClosing
		}
	}
	p.next = now.Add(time.Duration(float64(n) / float64(p.speed) * float64(time.Second)))
	return nil
}

// walk calls f for pieces of the whole medium in order and keeps the progress
// indication: this is pass number pass of so many.
func (u *Unit) walk(pass, passes int, piece uint64, f func(extent) error) error {
	c := u.conf.Load()
	step := piece >> c.shift
	for lba := uint64(0); lba < c.blocks; lba += step {
		if u.behind.closing.Load() {
			return errClosing
		}
		done := (float64(pass) + float64(lba)/float64(c.blocks)) / float64(passes)
		u.progress.Store(uint32(done * 0xffff))
		if err := f(extent{lba, min(step, c.blocks-lba)}); err != nil {
			return err
		}
	}
	return nil
}

// fillPattern repeats a pattern over each block of buf.
func fillPattern(buf []byte, pattern string, blockSize int, invert bool) {
	for i := range buf {
		b := pattern[i%blockSize%len(pattern)]
		if invert {
			b = ^b
		}
		buf[i] = b
	}
}
