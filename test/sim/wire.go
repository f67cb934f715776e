package sim

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
	"nas-target/internal/scsi"
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

// maxConnections is what the server of a bed offers.
const maxConnections = 4

// wire is the iSCSI server of a bed: one portal group per target port, on
// loopback.
type wire struct {
	bed    *Bed
	server *iscsi.Server
	addrs  []string

	mu         sync.Mutex
	hosts      map[*session]struct{}
	violations []initiator.Violation
}

func newWire(b *Bed) *wire {
	limits := iscsi.DefaultLimits()
	limits.MaxConnections = maxConnections
	w := &wire{bed: b, server: iscsi.NewServer(iscsi.Options{Limits: limits}), hosts: map[*session]struct{}{}}
	node := &iscsi.Node{
		Name:      TargetName,
		Authorize: func(iscsi.InitiatorInfo) (*iscsi.Auth, *iscsi.LoginError) { return nil, nil },
		Attach: func(n scsi.Nexus, _ iscsi.InitiatorInfo) (iscsi.Target, error) {
			return b.Device.Attach(n, scsi.LUNMap{0: b.Unit}), nil
		},
	}
	for i := range b.conf.Ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			err = w.server.AddPortal(iscsi.Portal{TPGT: uint16(i + 1), Listener: l})
		}
		if err != nil {
			panic(err)
		}
		w.addrs = append(w.addrs, l.Addr().String())
		node.Groups = append(node.Groups, uint16(i+1))
	}
	w.server.SetNodes([]*iscsi.Node{node})
	w.server.Serve()
	return w
}

func (w *wire) login(who Who) (Host, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	h := &session{wire: w, who: who}
	cfg := initiator.Config{
		Addr: w.addrs[who.Port], Target: TargetName, InitiatorName: who.Name(), ISID: who.isid(),
		Tolerant: true, // violations are collected
		OnViolation: func(v initiator.Violation) {
			// What is read after we gave the session up answers nobody.
			if !h.gone.Load() {
				w.violated(v)
			}
		},
	}
	cfg.Keys = initiator.Keys{
		{Name: "MaxBurstLength", Value: strconv.Itoa(MaxBurst)},
		{Name: "FirstBurstLength", Value: strconv.Itoa(FirstBurst)},
	}
	if w.bed.conf.Connections > 1 {
		// Commands overtake each other between connections. Data that nobody
		// asked for would come before the turn of their command.
		cfg.Keys = append(cfg.Keys, initiator.Key{Name: "MaxConnections", Value: strconv.Itoa(maxConnections)},
			initiator.Key{Name: "InitialR2T", Value: "Yes"})
	}
	s, err := initiator.Dial(ctx, cfg)
	if err != nil {
		return nil, err
	}
	for cid := 1; cid < w.bed.conf.Connections; cid++ {
		if _, err := s.AddConnection(ctx, "", uint16(cid)); err != nil {
			s.Close()
			return nil, err
		}
	}
	h.s = s
	w.mu.Lock()
	w.hosts[h] = struct{}{}
	w.mu.Unlock()
	return h, nil
}

func (w *wire) violated(v initiator.Violation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, v)
}

func (w *wire) forget(h *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.hosts, h)
}

// close ends all without a word.
func (w *wire) close() {
	w.mu.Lock()
	hosts := w.hosts
	w.hosts = nil
	w.mu.Unlock()
	for h := range hosts {
		h.gone.Store(true)
		h.s.Close()
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	w.server.Shutdown(now)
}

// session is a Host that is an iSCSI session.
type session struct {
	wire *wire
	who  Who
	s    *initiator.Session
	gone atomic.Bool
}

func (h *session) Who() Who { return h.who }

func (h *session) Cut() {
	h.gone.Store(true)
	h.wire.forget(h)
	h.s.Reset()
}

func (h *session) Logout() {
	h.wire.forget(h)
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
		r, err = h.s.ManageLUN(ctx, f, 0)
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
	if k.task, err = h.s.Start(ctx, c); err != nil {
		k.answer = Answer{Fate: Lost, At: time.Now(), Mark: h.wire.bed.Mark()}
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
		k.answer = Answer{Response: r, At: time.Now(), Mark: h.wire.bed.Mark()}
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
