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
// does not keep up finds the newest events when it comes, as many as the feed
// remembers, and sees by their numbers how many it missed. The zero value is
// not ready; see NewFeed.
type Feed struct {
	mu     sync.Mutex
	recent []Event // ring of the newest, oldest at next
	next   int
	id     uint64 // of the newest
	follow map[*Follower]struct{}
	closed bool
}

// Follower is somebody's place in a feed.
type Follower struct {
	feed *Feed
	last uint64 // number of the last event taken
	news chan struct{}
}

// maxFollowers bounds the streams one daemon serves.
const maxFollowers = 64

// NewFeed returns a feed that remembers the newest events, up to keep.
func NewFeed(keep int) *Feed {
	return &Feed{
		recent: make([]Event, 0, max(keep, 1)), follow: map[*Follower]struct{}{},
		id: uint64(time.Now().UnixMicro()), // beyond any of an earlier daemon's
	}
}

// Publish numbers e and tells all who watch. An event without a time gets the
// present one, one without a severity is Info.
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
		w.wake()
	}
}

// Follow returns a place behind the event numbered after. ok is false if there
// are too many followers already.
func (f *Feed) Follow(after uint64) (w *Follower, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.follow) >= maxFollowers {
		return nil, false
	}
	w = &Follower{feed: f, last: after, news: make(chan struct{}, 1)}
	f.follow[w] = struct{}{}
	w.wake()
	return w, true
}

func (w *Follower) wake() {
	select {
	case w.news <- struct{}{}:
	default: // it knows already
	}
}

// News has a value when there may be something to take. It is closed by Stop
// and with the feed.
func (w *Follower) News() <-chan struct{} { return w.news }

// Take returns the remembered events that w has not taken yet, oldest first.
func (w *Follower) Take() []Event {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.last >= f.id {
		return nil
	}
	n := int(min(f.id-w.last, uint64(len(f.recent)))) // numbers have no gaps here
	w.last = f.id
	all := make([]Event, 0, n)
	for i := len(f.recent) - n; i < len(f.recent); i++ {
		all = append(all, f.recent[(f.next+i)%len(f.recent)])
	}
	return all
}

// Stop gives the place up.
func (w *Follower) Stop() {
	f := w.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop(w)
}

func (f *Feed) drop(w *Follower) {
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
		f.drop(w)
	}
}
