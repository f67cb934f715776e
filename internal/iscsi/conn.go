package iscsi

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// conn is a connection in full feature phase.
//
// Whoever holds role serves the connection: it owns everything below that has
// no other owner named. Usually that is the connection's own goroutine, which
// reads, executes and writes without handing anything over. A goroutine that
// finishes a task elsewhere takes the role if it is free and sends the answer
// itself; if not, the holder finds the task in done before it lets go.
//
// Lock order: role, then session.mu. Another connection's role is only ever
// tried, never waited for, while one is held.
type conn struct {
	// Immutable.
	srv    *Server
	sess   *session
	target Target
	nc     net.Conn
	tr     transport
	cid    uint16
	info   ConnInfo
	params *Params

	role sync.Mutex

	// Any goroutine.
	done    doneStack
	postMu  sync.Mutex
	posts   []func()
	posted  atomic.Bool
	call    atomic.Uint64          // see monitor.go
	failure atomic.Pointer[ending] // why the connection ends; set once
	spare   chan struct{}          // wakes a reader that waits for the outbox

	gone    chan struct{} // closed when it is torn down and its tasks are over
	started atomic.Bool

	// The reader's goroutine: the role's holder, but while it waits for bytes.
	in       receiver
	parked   bool
	patience patience

	// The role's.
	now        int64 // nanoseconds since the server's epoch, once per batch
	reading    bool  // the holder is the reader
	callSeq    uint64
	current    *task  // whose inline call is running
	dead       bool   // torn down; late tasks only come home
	asked      bool   // to log out
	leaving    bool   // nothing more is executed
	farewell   Reason // why it is leaving
	lingering  bool   // our side of the stream is closed
	tasks      taskTable
	free       *task
	nfree      int
	manage     []*tmf     // to be handed to the SCSI layer
	resume     fifo       // have their data
	ready      fifo       // to be submitted, in order
	released   []*heldPDU // whose turn has come
	answers    fifo       // have a result to send
	tmfs       []*tmf     // not answered
	ghosts     []ghost
	nextTTT    uint32
	collecting int  // tasks that wait for data
	immediate  int  // immediate commands not answered
	busy       int  // bytes of payload charged
	aside      int  // those of commands that are not submitted yet
	budget     int  // what they may be
	granted    int  // bytes drawn from the process's limit
	starved    bool // it gave no more; wait for own commands
	queued     int  // payload bytes in answers

	statSN    pdu.Serial // the next
	expStatSN pdu.Serial // acknowledged below it
	maxSend   uint32     // the initiator's MaxRecvDataSegmentLength
	out       outbox
	onWritten func(owner)
	blocked   bool // the socket is full
	writing   bool // the writer's goroutine is alive
	text      textExchange
	ping      pinger
	held      int // fences of other connections
	acks      []*ackWait
	lastHeard int64 // a PDU came
	lastData  int64 // data for a write came, or were asked for
	stats     ConnStats
}

// ConnInfo is what is known of a connection from its start.
type ConnInfo struct {
	ID      uint64 // unique in the life of the server
	Remote  netip.AddrPort
	Local   netip.AddrPort
	Portal  string // the portal's configured address
	TPGT    uint16
	Started time.Time
}

// ConnStats counts what a connection did.
type ConnStats struct {
	Commands     uint64
	BytesIn      uint64 // from the socket
	BytesOut     uint64
	DataIn       uint64 // payload to the initiator
	DataOut      uint64 // payload from the initiator
	Rejects      uint64
	DigestErrors uint64
	Turns        uint64 // batches read
	Writes       uint64 // system calls that wrote
	Parks        uint64 // times it slept for want of work
	LeftBehind   uint64 // inline calls that took too long
}

// ending says why a connection ends. The first one counts.
type ending struct {
	reason Reason
	err    error
}

const (
	maxFreeTasks = 64
	// maxImmediate bounds immediate SCSI and task management requests that
	// are not answered yet. RFC 7143 §4.2.2.1 asks for two.
	maxImmediate = 32
)

// newConn makes a connection that will enter full feature phase. Its role is
// taken until start gives it to the connection's goroutine: what others leave
// for it until then waits.
func (s *Server) newConn(nc net.Conn, info ConnInfo, p *Params) *conn {
	c := &conn{
		srv: s, nc: nc, info: info, params: p, maxSend: p.MaxSend,
		spare: make(chan struct{}, 1), gone: make(chan struct{}),
	}
	c.out.init()
	c.onWritten = c.freeOwner
	c.role.Lock()
	return c
}

// stillborn ends a connection that has its place in a session and never came
// to life.
func (c *conn) stillborn(why Reason) {
	c.dead = true
	c.sess.lost(c, why)
	close(c.gone)
	c.release()
}

// joined gives the connection its place in a session.
func (c *conn) joined(s *session) {
	c.sess, c.target = s, s.target
	c.budget = s.srv.opt.SessionBytes / int(s.params.MaxConnections)
}

// fail ends the connection from any goroutine: the socket is closed, and the
// reader, which notices, tears down the rest. It waits for nobody, as closing
// a socket would: the caller may be the reader, inside its read.
func (c *conn) fail(reason Reason, err error) {
	if c.failure.CompareAndSwap(nil, &ending{reason, err}) {
		go c.nc.Close()
		c.wake()
	}
}

// wake gets a reader out of waiting for the outbox.
func (c *conn) wake() {
	select {
	case c.spare <- struct{}{}:
	default:
	}
}

// finished is Task.Done: any goroutine, never blocks.
func (c *conn) finished(t *task) {
	c.done.push(t)
	c.kick()
}

// post hands f to the serve role.
func (c *conn) post(f func()) {
	c.postMu.Lock()
	c.posts = append(c.posts, f)
	c.postMu.Unlock()
	c.posted.Store(true)
	c.kick()
}

// kick serves what has come in for the role, unless somebody who will look
// holds it.
func (c *conn) kick() {
	if c.role.TryLock() {
		c.reading = false
		c.errand()
	}
}

// errand is the work of a holder that is not the reader. It ends by giving the
// role up.
func (c *conn) errand() {
	c.now = c.srv.clock()
	c.news()
	c.flush()
	if c.runnable() {
		// Commands run on a goroutine of their own: ours belongs to a
		// worker, to another connection or to a timer.
		go c.assist()
		return
	}
	c.release()
}

// assist runs what is runnable, with the role it was given.
func (c *conn) assist() {
	c.reading = false
	for c.runnable() {
		for c.runnable() {
			if !c.step() {
				return // left behind; the role has a new holder
			}
			c.news()
		}
		c.flush() // makes room in the budget
	}
	c.release()
}

// release gives the role up and makes sure that nothing was left in the queues
// by somebody who counted on us, nor in the outbox.
func (c *conn) release() {
	for {
		c.awaitRoom()
		c.role.Unlock()
		if !c.hasNews() || !c.role.TryLock() {
			return
		}
		c.reading = false
		c.news()
		c.flush()
		if c.runnable() {
			go c.assist()
			return
		}
	}
}

func (c *conn) hasNews() bool { return !c.done.empty() || c.posted.Load() }

// news takes in what other goroutines left for the role.
func (c *conn) news() {
	for t := c.done.takeAll(); t != nil; {
		next := t.doneNext
		t.doneNext = nil
		c.ended(t)
		t = next
	}
	if c.posted.Load() {
		c.postMu.Lock()
		fs := c.posts
		c.posts = nil
		c.posted.Store(false)
		c.postMu.Unlock()
		for _, f := range fs {
			f()
		}
	}
}

// newTask takes a task from the free list.
func (c *conn) newTask() *task {
	t := c.free
	if t == nil {
		return newTask(c)
	}
	c.free, t.next = t.next, nil
	c.nfree--
	return t
}

// recycle ends a task for good: nobody else refers to it any more.
func (c *conn) recycle(t *task) {
	if t.placing > 0 {
		t.gone = true
		return
	}
	c.passOn(t)
	c.uncharge(t)
	t.reset()
	if c.nfree < maxFreeTasks {
		t.next, c.free = c.free, t
		c.nfree++
	}
}

// turnCame takes a held request whose turn has come.
func (c *conn) turnCame(p *heldPDU) {
	if c.dead || c.leaving {
		c.giveUp(p)
		return
	}
	c.released = append(c.released, p)
}

// giveUp ends a request whose turn came too late.
func (c *conn) giveUp(p *heldPDU) {
	p.drop()
	c.sess.settle(1)
	c.sess.pass(c)
}

// teardown ends the connection for good. Tasks inside the SCSI layer come home
// later and find it dead.
func (c *conn) teardown() {
	f := c.failure.Load()
	c.tr.Close()
	c.ping.timer.Stop()
	c.patience.stop()
	c.dead = true
	c.abandon()
	for _, p := range c.released {
		c.giveUp(p)
	}
	c.released, c.manage, c.ghosts = nil, nil, nil
	var left []*task
	closed := c.sess.closed()
	none := &tmf{c: c, over: true}
	c.tasks.each(func(t *task) {
		if c.drop(t, none) {
			left = append(left, t)
		}
	})
	c.out.drop(c.onWritten)
	for _, m := range c.tmfs {
		m.stop()
		c.sess.conclude(m)
		if m.numbered {
			c.sess.settle(1)
		}
	}
	c.acknowledged()
	c.giveBack()
	c.tmfs = nil
	if others := c.sess.others(c); closed && len(others) > 0 {
		others[0].post(others[0].tellWindow)
	}
	c.srv.events.connDown(c, f)
	if c.sess.lost(c, f.reason) {
		left = nil
	}
	c.endLeft(left)
	c.srv.connEnded(c)
}

// endLeft aborts the tasks of a connection whose session lives on, and closes
// gone when all of them are over.
func (c *conn) endLeft(left []*task) {
	n := int64(len(left)) + 1
	over := func(scsi.TMFResponse, uint32) {
		if atomic.AddInt64(&n, -1) == 0 {
			close(c.gone)
		}
	}
	for _, t := range left {
		c.target.Manage(scsi.TaskMgmt{Function: scsi.AbortTask, LUN: t.scsi.LUN, Ref: &t.scsi}, over)
	}
	over(scsi.FunctionComplete, 0)
}
