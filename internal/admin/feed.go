package admin

import (
	"sync"
	"time"
)

// Event is a piece of news for whoever watches.
type Event struct {
	ID        uint64    `json:"id" doc:"the next event has the next number; a gap means that some were dropped"`
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind" enum:"pr,login,session,lun,portal,conflict,admin,daemon"`
	Severity  Severity  `json:"severity" enum:"critical,warning,info"`
	LUN       string    `json:"lun,omitempty"`
	Initiator string    `json:"initiator,omitempty" doc:"initiator port it is about"`
	Text      string    `json:"text" doc:"what happened, in one sentence"`
	Entry     uint64    `json:"entry,omitempty" doc:"its number in the history, if it is there"`
}

// Feed hands events to those who watch. Publish never blocks: a follower that
// does not keep up misses events and sees so by their numbers. The zero value is
// not ready; see NewFeed.
type Feed struct {
	mu     sync.Mutex
	recent []Event // ring of the newest, oldest at next
	next   int
	id     uint64
	follow map[*follower]struct{}
	closed bool
}

type follower struct{ news chan Event }

const (
	// maxFollowers bounds the streams one daemon serves.
	maxFollowers = 64
	// followerRoom bounds what waits for one of them.
	followerRoom = 256
)

// NewFeed returns a feed that remembers the newest events, up to keep.
func NewFeed(keep int) *Feed {
	return &Feed{
		recent: make([]Event, 0, max(keep, 1)), follow: map[*follower]struct{}{},
		id: uint64(time.Now().UnixMicro()), // beyond any of an earlier daemon's
	}
}

// Publish numbers e and hands it to all who watch. An event without a time gets
// the present one, one without a severity is Info.
func (f *Feed) Publish(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	if e.Severity == "" {
		e.Severity = Info
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.id++
	e.ID = f.id
	if len(f.recent) < cap(f.recent) {
		f.recent = append(f.recent, e)
	} else {
		f.recent[f.next] = e
		f.next = (f.next + 1) % len(f.recent)
	}
	for w := range f.follow {
		select {
		case w.news <- e:
		default:
		}
	}
}

// Follow returns the remembered events after the one numbered after, and a
// channel of those to come; it is closed by stop and by Close. ok is false if
// there are too many followers already.
func (f *Feed) Follow(after uint64) (past []Event, news <-chan Event, stop func(), ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.follow) >= maxFollowers {
		return nil, nil, nil, false
	}
	for i := range f.recent {
		if e := f.recent[(f.next+i)%len(f.recent)]; e.ID > after {
			past = append(past, e)
		}
	}
	w := &follower{make(chan Event, followerRoom)}
	f.follow[w] = struct{}{}
	return past, w.news, func() { f.drop(w) }, true
}

func (f *Feed) drop(w *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.follow[w]; ok {
		delete(f.follow, w)
		close(w.news)
	}
}

// Close ends every stream.
func (f *Feed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for w := range f.follow {
		delete(f.follow, w)
		close(w.news)
	}
}
