package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"nas-target/internal/socket"
)

const (
	readBuffer = 256 << 10
	maxWait    = 100 * time.Millisecond // so that a cancelled run ends soon
	drainTime  = 15 * time.Second       // for what is out at the end
	logoutTime = 2 * time.Second
	// pollLost is how long a look lasts only if somebody else got the processor
	// meanwhile. Polling pauses for pollPause.
	pollLost  = 200 * time.Microsecond
	pollPause = 5 * time.Millisecond
)

// worker drives its sessions from one goroutine.
type worker struct {
	sessions []*session
	poller   *poller
	buf      []byte
	began    time.Time
	end      time.Duration // since began
	finished time.Duration // when the counted part was over
	poll     time.Duration
	pause    time.Duration // no polling before, since began
	stop     *atomic.Bool

	// Published once per turn, for the progress callback.
	ios, bytes, latency atomic.Uint64
}

// ErrStuck means that commands got no answer.
var ErrStuck = errors.New("load: commands without an answer")

// run goes through the phases: load, final pass of a verification, logout.
func (w *worker) run() error {
	for i, s := range w.sessions {
		if err := w.poller.add(s.fd, i); err != nil {
			return err
		}
	}
	err := w.phase(w.end, false)
	w.finished = min(w.now(), w.end)
	if err != nil {
		return err
	}
	final := false
	for _, s := range w.sessions {
		if s.verify != nil && !w.stop.Load() {
			s.verify.back, s.stopping, s.quota, final = 0, false, math.MaxUint64, true
		}
	}
	if final {
		// The final pass ends when everything has been read.
		if err := w.phase(0, true); err != nil {
			return err
		}
	}
	return w.logout()
}

// phase issues until the end and then waits for what is out. With back the end is
// when every session has read all it wrote.
func (w *worker) phase(end time.Duration, back bool) error {
	now := w.now()
	for i := range w.sessions {
		if err := w.advance(i, now); err != nil {
			return err
		}
	}
	last := now // when something arrived
	for {
		if w.stop.Load() || !back && now >= end {
			w.stopAll()
		}
		if w.idle() {
			return nil
		}
		if now-last > drainTime {
			return fmt.Errorf("%w for %v", ErrStuck, drainTime)
		}
		wait := maxWait
		if left := end - now; !back && left > 0 {
			wait = min(wait, left)
		}
		events, err := w.wait(wait)
		if err != nil {
			return err
		}
		now = w.now()
		if len(events) > 0 {
			last = now
		}
		for _, ev := range events {
			if err := w.turn(int(ev.Fd), ev.Events, now); err != nil {
				return err
			}
		}
		w.publish()
	}
}

func (w *worker) now() time.Duration { return time.Since(w.began) }

func (w *worker) stopAll() {
	for _, s := range w.sessions {
		s.stopping = true
	}
}

// idle tells whether nothing is out and nothing can be started any more.
func (w *worker) idle() bool {
	for _, s := range w.sessions {
		back := s.verify != nil && s.verify.back >= 0 && s.verify.back == len(s.verify.filled)
		if s.outstanding() > 0 || !s.out.empty() || !s.stopping && s.quota > 0 && !back {
			return false
		}
	}
	return true
}

// wait returns the sockets with news. With poll it looks again and again before
// it sleeps, unless somebody else wants the processor.
func (w *worker) wait(timeout time.Duration) ([]unix.EpollEvent, error) {
	began := w.now()
	if began < w.pause {
		return w.poller.wait(timeout)
	}
	for last := began; last-began < w.poll; {
		events, err := w.poller.wait(0)
		if len(events) > 0 || err != nil {
			return events, err
		}
		socket.Yield()
		now := w.now()
		if now-last > pollLost {
			w.pause = now + pollPause
			break
		}
		last = now
	}
	return w.poller.wait(timeout)
}

// turn is one session's share: one read, all that follows from it, one write.
func (w *worker) turn(i int, events uint32, now time.Duration) error {
	s := w.sessions[i]
	if events&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP) != 0 && !s.left {
		if err := s.receive(w.buf, now); err != nil {
			return err
		}
	}
	return w.advance(i, now)
}

// advance issues what is possible and sends it.
func (w *worker) advance(i int, now time.Duration) error {
	s := w.sessions[i]
	if !s.blocked {
		s.issue(now)
	}
	blocked, err := s.out.flush(s.fd)
	if err != nil {
		return err
	}
	if blocked != s.blocked {
		s.blocked = blocked
		return w.poller.wantWrite(s.fd, i, blocked)
	}
	return nil
}

func (w *worker) publish() {
	var ios, bytes, latency uint64
	for _, s := range w.sessions {
		ios += s.stats.ios
		bytes += s.stats.allBytes
		latency += uint64(s.stats.latency)
	}
	w.ios.Store(ios)
	w.bytes.Store(bytes)
	w.latency.Store(latency)
}

// logout leaves in order; a target that does not answer is left without.
func (w *worker) logout() error {
	for i, s := range w.sessions {
		s.leave()
		if err := w.advance(i, w.now()); err != nil {
			return err
		}
	}
	open := len(w.sessions)
	for until := w.now() + logoutTime; open > 0 && w.now() < until; {
		events, err := w.poller.wait(maxWait)
		if err != nil {
			return err
		}
		for _, ev := range events {
			s := w.sessions[ev.Fd]
			if err := w.turn(int(ev.Fd), ev.Events, w.now()); err != nil {
				return err
			}
			if s.left {
				w.poller.remove(s.fd)
				open--
			}
		}
	}
	return nil
}

func (w *worker) close() {
	for _, s := range w.sessions {
		unix.Close(s.fd)
	}
	w.poller.close()
}

// watch sets stop when ctx ends.
func watch(ctx context.Context, stop *atomic.Bool) (release func() bool) {
	return context.AfterFunc(ctx, func() { stop.Store(true) })
}
