package sim

import (
	"sync/atomic"
	"time"

	"nas-target/internal/initiator"
	"nas-target/internal/scsi"
)

// direct is a Host that calls the device server itself.
type direct struct {
	bed *Bed
	who Who
	it  *scsi.IT
	cut atomic.Bool
}

// loginDirect ends the nexus's session, if it has one, as a transport must.
func (b *Bed) loginDirect(w Who) Host {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.nexus(w)
	if old := b.here[n]; old != nil {
		old.Cut()
	}
	h := &direct{bed: b, who: w, it: b.Device.Attach(n, scsi.LUNMap{0: b.Unit})}
	b.here[n] = h
	return h
}

func (h *direct) Who() Who { return h.who }

func (h *direct) Cut() {
	h.cut.Store(true)
	h.it.Detach()
}

func (h *direct) Logout() { h.Cut() }

// Settle has nothing to do: Done tells of every end.
func (h *direct) Settle() {}

// Ping has nobody to ask.
func (h *direct) Ping() error { return nil }

func (h *direct) Manage(f initiator.TMF, of Running) (initiator.TMFStatus, bool) {
	m := scsi.TaskMgmt{Function: scsi.Function(f)}
	if of != nil {
		m.Ref = &of.(*directTask).task
	}
	answer := make(chan scsi.TMFResponse, 1)
	h.it.Manage(m, func(r scsi.TMFResponse, _ uint32) { answer <- r })
	return initiator.TMFStatus(<-answer), h.cut.Load()
}

// directTask is a command of a direct host. A goroutine takes it through the
// device server and owns task.
type directTask struct {
	h       *direct
	cmd     initiator.Cmd
	task    scsi.Task
	over    chan struct{} // the result is final
	done    chan struct{} // and the goroutine is gone
	asked   chan struct{}
	release chan struct{}
	freed   atomic.Bool
	answer  Answer
}

func (h *direct) Start(c initiator.Cmd) Running {
	k := &directTask{
		h: h, cmd: c, over: make(chan struct{}), done: make(chan struct{}),
		asked: make(chan struct{}), release: make(chan struct{}),
	}
	k.task = scsi.Task{LUN: scsi.LUN(c.LUN), OutLen: uint32(len(c.Out)), InLen: uint32(c.In)}
	copy(k.task.CDB[:], c.CDB)
	k.task.Done = func(*scsi.Task) { k.ended() }
	if !c.HoldData {
		k.Release()
	}
	go k.run()
	return k
}

func (k *directTask) Done() <-chan struct{}  { return k.done }
func (k *directTask) Asked() <-chan struct{} { return k.asked }
func (k *directTask) Answer() Answer         { return k.answer }

func (k *directTask) Release() {
	if k.freed.CompareAndSwap(false, true) {
		close(k.release)
	}
}

// run is the transport's part. What comes with the command lies in memory
// that is used for something else as soon as Submit has returned.
func (k *directTask) run() {
	t := &k.task
	var scratch []byte
	if !k.cmd.HoldData && !k.cmd.NoUnsolicited && len(k.cmd.Out) > 0 {
		scratch = append(scratch, k.cmd.Out...)
		t.Out, t.Borrowed = scratch, true
	}
	p := k.h.it.Submit(t)
	for i := range scratch {
		scratch[i] = 0xee
	}
	if p == scsi.NeedData {
		close(k.asked)
		p = scsi.Pending
		select {
		case <-k.release:
			t.Out = k.cmd.Out[:min(t.Need, len(k.cmd.Out))]
			p = k.h.it.Resume(t)
		case <-k.over:
		}
	}
	if p == scsi.Finished {
		k.ended()
	}
	<-k.over
	t.Reset()
	close(k.done)
}

// ended takes the result. It runs on any goroutine and must not block.
func (k *directTask) ended() {
	t := &k.task
	k.answer = Answer{At: time.Now(), Mark: k.h.bed.Mark()}
	switch {
	case k.h.cut.Load():
		k.answer.Fate = Lost
	case t.Aborted:
		k.answer.Fate = Aborted
	default:
		r := &k.answer.Response
		r.Status = initiator.Status(t.Status)
		r.Data = append([]byte(nil), t.In...)
		if r.SenseData = append([]byte(nil), t.Sense[:t.SenseLen]...); len(r.SenseData) > 0 {
			r.Sense, _ = initiator.ParseSense(r.SenseData)
		}
	}
	close(k.over)
}
