package iscsi

import (
	"sync"

	"nas-target/internal/iscsi/pdu"
)

// sessionTable finds sessions by the ports of their nexus and by TSIH.
type sessionTable struct {
	mu       sync.Mutex
	byKey    map[sessionKey]*slotKey
	byTSIH   map[uint16]*session
	lastTSIH uint16

	ofTarget    map[string]int // sessions
	ofInitiator map[string]int
}

// slotKey is the place of one nexus. Whoever brings a session to life there
// holds mu from the end of the old session until the new one stands, so that
// two logins of one nexus cannot overtake each other.
type slotKey struct {
	mu   sync.Mutex
	key  sessionKey
	refs int      // guarded by sessionTable.mu, like cur
	cur  *session // nil: none
}

func (t *sessionTable) init() {
	t.byKey = map[sessionKey]*slotKey{}
	t.byTSIH = map[uint16]*session{}
	t.ofTarget, t.ofInitiator = map[string]int{}, map[string]int{}
}

// lock takes the place of a nexus.
func (t *sessionTable) lock(key sessionKey) *slotKey {
	t.mu.Lock()
	p := t.byKey[key]
	if p == nil {
		p = &slotKey{key: key}
		t.byKey[key] = p
	}
	p.refs++
	t.mu.Unlock()
	p.mu.Lock()
	return p
}

func (t *sessionTable) unlock(p *slotKey) {
	p.mu.Unlock()
	t.mu.Lock()
	p.refs--
	t.tidy(p)
	t.mu.Unlock()
}

// tidy forgets a place that nobody has or wants. t.mu is held.
func (t *sessionTable) tidy(p *slotKey) {
	if p.refs == 0 && p.cur == nil {
		delete(t.byKey, p.key)
	}
}

// get returns the session of a nexus, nil if there is none.
func (t *sessionTable) get(key sessionKey) *session {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byKey[key]; p != nil {
		return p.cur
	}
	return nil
}

// room checks that one more session fits. A session that is about to be
// replaced is out of the table already.
func (t *sessionTable) room(o *Options, key sessionKey) *LoginError {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ofTarget[key.target] >= o.SessionsPerTarget {
		return refuse(pdu.LoginOutOfResources, ReasonSessionsOfTarget)
	}
	if t.ofInitiator[key.initiator] >= o.SessionsPerInitiator {
		return refuse(pdu.LoginOutOfResources, ReasonSessionsOfInitiator)
	}
	return nil
}

// put gives the session a TSIH that was not used for as long as possible and
// files it. It returns false if there are none left. The place is locked.
func (t *sessionTable) put(p *slotKey, s *session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byTSIH) == 1<<16-1 {
		return false
	}
	for t.lastTSIH++; t.lastTSIH == 0 || t.byTSIH[t.lastTSIH] != nil; t.lastTSIH++ {
	}
	s.tsih = t.lastTSIH
	t.byTSIH[s.tsih] = s
	p.cur = s
	t.ofTarget[s.key.target]++
	t.ofInitiator[s.key.initiator]++
	return true
}

// remove takes the session out, if it was filed.
func (t *sessionTable) remove(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byTSIH[s.tsih] == s {
		delete(t.byTSIH, s.tsih)
		countDown(t.ofTarget, s.key.target)
		countDown(t.ofInitiator, s.key.initiator)
	}
	if p := t.byKey[s.key]; p != nil && p.cur == s {
		p.cur = nil
		t.tidy(p)
	}
}

func countDown(m map[string]int, key string) {
	if m[key]--; m[key] == 0 {
		delete(m, key)
	}
}

// all returns the sessions of now.
func (t *sessionTable) all() []*session {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]*session, 0, len(t.byTSIH))
	for _, s := range t.byTSIH {
		all = append(all, s)
	}
	return all
}
