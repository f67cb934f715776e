package sim

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"nas-target/internal/initiator"
)

// patience is when an answer counts as missing. Nothing waits so long unless
// something is wrong.
const patience = 30 * time.Second

// Bursts are short, so that writes of a few blocks take every way there is:
// immediate data, unsolicited data, one R2T, several R2Ts. In bytes.
const (
	FirstBurst = 8 << 10
	MaxBurst   = 16 << 10
)

// Remote is a logical unit reached by iSCSI.
type Remote struct {
	Addrs       []string // of the target ports
	Target      string
	LUN         uint16
	Connections int           // of each session; 0: one
	Mark        func() uint64 // see Answer; nil: 0

	mu         sync.Mutex
	hosts      map[*session]struct{}
	violations []initiator.Violation
}

// Login brings a nexus to life, or another session in place of its present one.
func (r *Remote) Login(who Who) (Host, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h := &session{remote: r, who: who}
	cfg := initiator.Config{
		Addr: r.Addrs[who.Port], Target: r.Target, InitiatorName: who.Name(), ISID: who.isid(),
		Tolerant: true, // violations are collected
		OnViolation: func(v initiator.Violation) {
			// What is read after we gave the session up answers nobody.
			if !h.gone.Load() {
				r.violated(v)
			}
		},
	}
	cfg.Keys = initiator.Keys{
		{Name: "MaxBurstLength", Value: strconv.Itoa(MaxBurst)},
		{Name: "FirstBurstLength", Value: strconv.Itoa(FirstBurst)},
	}
	if r.Connections > 1 {
		// Commands overtake each other between connections. Data that nobody
		// asked for would come before the turn of their command. Without the
		// fence an answer may still be under way on one connection when the
		// function that ended its task is answered on another. RFC 7143 §13.23
		cfg.Keys = append(cfg.Keys, initiator.Key{Name: "MaxConnections", Value: strconv.Itoa(maxConnections)},
			initiator.Key{Name: "InitialR2T", Value: "Yes"},
			initiator.Key{Name: "TaskReporting", Value: "ResponseFence"})
	}
	s, err := initiator.Dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for cid := 1; cid < r.Connections; cid++ {
		if _, err := s.AddConnection(ctx, "", uint16(cid)); err != nil {
			s.Close()
			return nil, err
		}
	}
	h.s = s
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hosts == nil {
		r.hosts = map[*session]struct{}{}
	}
	r.hosts[h] = struct{}{}
	return h, nil
}

// Violations are what the target did wrong in the eyes of its initiators.
func (r *Remote) Violations() []initiator.Violation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.violations)
}

// Close ends all sessions without a word.
func (r *Remote) Close() {
	r.mu.Lock()
	hosts := r.hosts
	r.hosts = nil
	r.mu.Unlock()
	for h := range hosts {
		h.gone.Store(true)
		h.s.Close()
	}
}

func (r *Remote) violated(v initiator.Violation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.violations = append(r.violations, v)
}

func (r *Remote) forget(h *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.hosts, h)
}

func (r *Remote) mark() uint64 {
	if r.Mark == nil {
		return 0
	}
	return r.Mark()
}

// session is a Host that is an iSCSI session.
type session struct {
	remote *Remote
	who    Who
	s      *initiator.Session
	gone   atomic.Bool
}

func (h *session) Who() Who { return h.who }

func (h *session) Cut() {
	h.gone.Store(true)
	h.remote.forget(h)
	h.s.Reset()
}

func (h *session) Logout() {
	h.remote.forget(h)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h.s.Logout(ctx)
}

func (h *session) Ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return h.s.Ping(ctx, []byte("still there?"))
}

// Settle aborts the task set: those of its commands that have no answer get
// none.
func (h *session) Settle() {
	h.Manage(initiator.TMFAbortTaskSet, nil)
}

func (h *session) Manage(f initiator.TMF, of Running) (initiator.TMFStatus, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var r initiator.TMFResponse
	var err error
	switch f {
	case initiator.TMFAbortTask:
		r, err = h.s.AbortTask(ctx, of.(*sessionTask).task)
	case initiator.TMFQueryTask:
		r, err = h.s.QueryTask(ctx, of.(*sessionTask).task)
	default:
		r, err = h.s.ManageLUN(ctx, f, initiator.FlatLUN(h.remote.LUN))
	}
	return r.Status, err != nil
}

// sessionTask is a command of a session.
type sessionTask struct {
	task   *initiator.Task
	asked  chan struct{}
	done   chan struct{}
	answer Answer
}

func (h *session) Start(c initiator.Cmd) Running {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	k := &sessionTask{asked: make(chan struct{}), done: make(chan struct{})}
	var err error
	c.LUN = initiator.FlatLUN(h.remote.LUN)
	if k.task, err = h.s.Start(ctx, c); err != nil {
		k.answer = Answer{Fate: Lost, At: time.Now(), Mark: h.remote.mark()}
		close(k.done)
		cancel()
		return k
	}
	if c.HoldData {
		go func() {
			if _, err := k.task.AwaitR2T(ctx); err == nil {
				close(k.asked)
			}
		}()
	}
	go func() {
		defer cancel()
		<-k.task.Done()
		r, err := k.task.Wait(context.Background())
		k.answer = Answer{Response: r, At: time.Now(), Mark: h.remote.mark()}
		switch {
		case errors.Is(err, initiator.ErrAborted):
			k.answer.Fate = Aborted
		case err != nil:
			k.answer.Fate = Lost
		}
		close(k.done)
	}()
	return k
}

func (k *sessionTask) Done() <-chan struct{}  { return k.done }
func (k *sessionTask) Asked() <-chan struct{} { return k.asked }
func (k *sessionTask) Answer() Answer         { return k.answer }

// Release sends what is held back. A command that never came to life holds
// nothing.
func (k *sessionTask) Release() {
	if k.task != nil {
		k.task.Release()
	}
}
