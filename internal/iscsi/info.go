package iscsi

import (
	"cmp"
	"slices"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// SessionInfo names a session.
type SessionInfo struct {
	ID        uint64 // unique in the life of the server
	TSIH      uint16
	ISID      pdu.ISID
	Initiator string
	Alias     string // of the initiator; not trustworthy
	User      string // CHAP user that it proved to be on the leading connection; "" if it proved nothing
	Target    string // "" for discovery without a name
	TPGT      uint16
	Discovery bool
	Params    Params // as agreed on the leading connection
	Started   time.Time
}

// SessionState is a session at one moment.
type SessionState struct {
	SessionInfo
	Conns    []ConnState
	ExpCmdSN pdu.Serial
	MaxCmdSN pdu.Serial
	Ending   Reason    // "" while it lives
	Total    ConnStats // of all connections it ever had
}

// ConnState is a connection at one moment.
type ConnState struct {
	ConnInfo
	CID          uint16
	HeaderDigest bool
	DataDigest   bool
	Stats        ConnStats
	Tasks        int           // commands not answered
	OldestTask   time.Duration // since the oldest of them came; 0: there is none
	OldestLUN    scsi.LUN
	OldestCDB    [16]byte
	Idle         time.Duration // since the last PDU came
	Unsent       int           // bytes that wait for the initiator to read
}

// info names the session.
func (s *session) info() SessionInfo {
	return SessionInfo{
		ID: s.id, TSIH: s.tsih, ISID: s.key.isid,
		Initiator: s.key.initiator, Alias: s.initiator.Alias, User: s.initiator.User,
		Target: s.key.target, TPGT: s.key.tpgt, Discovery: s.discovery(),
		Params: *s.params, Started: s.started,
	}
}

// Sessions returns the sessions of now, in the order of their start.
func (s *Server) Sessions() []SessionState {
	all := s.sessions.all()
	states := make([]SessionState, 0, len(all))
	for _, sess := range all {
		states = append(states, sess.state())
	}
	slices.SortFunc(states, func(a, b SessionState) int { return cmp.Compare(a.ID, b.ID) })
	return states
}

// KillSession ends a session. It returns false if there is none with this ID.
func (s *Server) KillSession(id uint64) bool {
	for _, sess := range s.sessions.all() {
		if sess.id == id {
			sess.dismiss(ReasonKilled)
			sess.end()
			return true
		}
	}
	return false
}

func (s *session) state() SessionState {
	s.mu.Lock()
	st := SessionState{SessionInfo: s.info(), ExpCmdSN: s.w.exp, MaxCmdSN: s.w.max, Ending: s.over, Total: s.past}
	conns := make([]*conn, 0, len(s.conns))
	for _, c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		cs := c.state()
		st.Total.add(&cs.Stats)
		st.Conns = append(st.Conns, cs)
	}
	return st
}

// state takes the role for a moment.
func (c *conn) state() ConnState {
	if !c.started.Load() {
		return ConnState{ConnInfo: c.info, CID: c.cid, HeaderDigest: c.params.HeaderDigest, DataDigest: c.params.DataDigest}
	}
	c.role.Lock()
	now := c.srv.clock()
	st := ConnState{
		ConnInfo: c.info, CID: c.cid, HeaderDigest: c.params.HeaderDigest, DataDigest: c.params.DataDigest,
		Stats: c.stats, Tasks: c.tasks.n, Idle: time.Duration(now - c.lastHeard), Unsent: c.out.pending() + c.queued,
	}
	c.tasks.each(func(t *task) {
		if age := time.Duration(now - t.started); age > st.OldestTask {
			st.OldestTask, st.OldestLUN, st.OldestCDB = age, t.scsi.LUN, t.scsi.CDB
		}
	})
	c.release()
	return st
}

func (a *ConnStats) add(b *ConnStats) {
	a.Commands += b.Commands
	a.BytesIn += b.BytesIn
	a.BytesOut += b.BytesOut
	a.DataIn += b.DataIn
	a.DataOut += b.DataOut
	a.Rejects += b.Rejects
	a.DigestErrors += b.DigestErrors
	a.Turns += b.Turns
	a.Writes += b.Writes
	a.Parks += b.Parks
	a.LeftBehind += b.LeftBehind
}
