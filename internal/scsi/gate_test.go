package scsi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/pr"
)

// stallMedium is memory whose calls can be held inside the medium.
type stallMedium struct {
	mu      sync.Mutex
	data    []byte
	writes  int
	stalled chan struct{} // non-nil: writes wait until it is closed
}

func (m *stallMedium) Size() int64 { return int64(len(m.data)) }
func (m *stallMedium) Sync() error { return nil }

func (m *stallMedium) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(p, m.data[off:]), nil
}

func (m *stallMedium) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	wait := m.stalled
	m.mu.Unlock()
	if wait != nil {
		<-wait
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writes++
	return copy(m.data[off:], p), nil
}

func (m *stallMedium) stall() (release func()) {
	c := make(chan struct{})
	m.mu.Lock()
	m.stalled = c
	m.mu.Unlock()
	return func() {
		m.mu.Lock()
		m.stalled = nil
		m.mu.Unlock()
		close(c)
	}
}

// letNewIn keeps the calls that wait waiting, and no further ones.
func (m *stallMedium) letNewIn() {
	m.mu.Lock()
	m.stalled = nil
	m.mu.Unlock()
}

// frailStore keeps reservations in memory and can refuse to save.
type frailStore struct {
	state pr.State
	rev   pr.Revision
	err   error
}

func (s *frailStore) Load(string) (pr.State, pr.Revision, error) { return s.state, s.rev, nil }

func (s *frailStore) Save(_ string, st pr.State, _ pr.Revision) (pr.Revision, error) {
	if s.err != nil {
		return 0, s.err
	}
	s.state = st
	s.rev++
	return s.rev, nil
}

const gatePort = "iqn.2026-11.test:disk,t,0x0001"

// rig is a device with one unit at LUN 0 and named nexuses.
type rig struct {
	t      *testing.T
	medium *stallMedium
	store  *frailStore
	dev    *Device
	unit   *Unit
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, medium: &stallMedium{data: make([]byte, 1<<20)}, store: &frailStore{}}
	reservations, err := pr.Open(pr.Config{ID: "lun0", Store: r.store})
	require.NoError(t, err)
	r.unit, err = NewUnit(UnitConfig{BlockSize: 512, WriteCache: true}, r.medium, reservations)
	require.NoError(t, err)
	r.dev = NewDevice("iqn.2026-11.test:disk", []Port{{Name: gatePort, Relative: 1, Group: 1}})
	return r
}

// login attaches an initiator and eats its first unit attention.
func (r *rig) login(name string) *host {
	h := &host{r: r, it: r.dev.Attach(Nexus{Initiator: name + ",i,0x800000000001", Target: gatePort}, LUNMap{0: r.unit})}
	require.Equal(r.t, CheckCondition, h.run(make([]byte, 6), nil, 0).Status)
	return h
}

type host struct {
	r  *rig
	it *IT
}

// pending is a task under way; over is closed when it ended.
type pending struct {
	*Task
	over chan struct{}
}

func (h *host) start(cdb, out []byte, outLen, in int) (*pending, Progress) {
	p := &pending{Task: &Task{OutLen: uint32(outLen), InLen: uint32(in), Out: out}, over: make(chan struct{})}
	copy(p.CDB[:], cdb)
	p.Done = func(*Task) { close(p.over) }
	g := h.it.Submit(p.Task)
	if g == Finished {
		close(p.over)
	}
	return p, g
}

func (h *host) resume(p *pending, out []byte) {
	p.Out = out
	if h.it.Resume(p.Task) == Finished {
		close(p.over)
	}
}

func (h *host) run(cdb, out []byte, in int) *Task {
	p, _ := h.start(cdb, out, len(out), in)
	<-p.over
	return p.Task
}

func (p *pending) ended() bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

// requireSense checks for CHECK CONDITION with key, ASC and ASCQ.
func requireSense(t *testing.T, want *Check, got *Task) {
	t.Helper()
	require.Equal(t, CheckCondition, got.Status)
	require.Equal(t, [3]byte{want.Key, want.ASC, want.ASCQ}, [3]byte{got.Sense[2] & 0xf, got.Sense[12], got.Sense[13]})
}

func writeCDB(lba uint32) []byte {
	return []byte{0x2a, 0, byte(lba >> 24), byte(lba >> 16), byte(lba >> 8), byte(lba), 0, 0, 1, 0}
}

func block(v byte) []byte { return bytes.Repeat([]byte{v}, 512) }

// write starts a one-block write that has its data; async keeps the caller
// free while the medium stalls.
func (h *host) write(lba uint32, v byte) *pending {
	p := &pending{Task: &Task{OutLen: 512, Out: block(v)}, over: make(chan struct{})}
	copy(p.CDB[:], writeCDB(lba))
	p.Done = func(*Task) { close(p.over) }
	go func() {
		if h.it.Submit(p.Task) == Finished {
			close(p.over)
		}
	}()
	return p
}

func prList(key, sark uint64) []byte {
	b := make([]byte, 24)
	binary.BigEndian.PutUint64(b, key)
	binary.BigEndian.PutUint64(b[8:], sark)
	return b
}

func prCDB(sa pr.Action, typ pr.Type) []byte {
	return []byte{0x5f, byte(sa), byte(typ), 0, 0, 0, 0, 0, 24, 0}
}

func (h *host) prOut(sa pr.Action, typ pr.Type, key, sark uint64) Status {
	return h.run(prCDB(sa, typ), prList(key, sark), 0).Status
}

func (h *host) register(key uint64) {
	require.Equal(h.r.t, Good, h.prOut(pr.RegisterAndIgnore, 0, 0, key))
}

// cluster is the fence_scsi case: both registered, victim not the holder.
func (r *rig) cluster() (survivor, victim *host) {
	survivor, victim = r.login("iqn.2026-11.test:survivor"), r.login("iqn.2026-11.test:victim")
	survivor.register(0xa)
	victim.register(0xb)
	require.Equal(r.t, Good, survivor.prOut(pr.Reserve, pr.WriteExclusiveRegistrantsOnly, 0xa, 0))
	return survivor, victim
}

func (h *host) preempt(sa pr.Action) *pending {
	p, g := h.start(prCDB(sa, pr.WriteExclusiveRegistrantsOnly), prList(0xa, 0xb), 24, 0)
	require.Equal(h.r.t, Pending, g)
	return p
}

// SPC-4 r36f 5.13.11.2.4: whoever lost its right writes nothing after GOOD,
// and a write that is already in the medium is waited for.
func TestPreemptWaitsForTheLosersCallInTheMedium(t *testing.T) {
	for _, sa := range []pr.Action{pr.Preempt, pr.PreemptAndAbort} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			survivor, victim := r.cluster()
			third := r.login("iqn.2026-11.test:third")
			third.register(0xc)
			release := r.medium.stall()
			stuck := victim.write(1, 1)
			synctest.Wait()

			fence := survivor.preempt(sa)
			synctest.Wait()
			time.Sleep(time.Hour)
			require.False(t, fence.ended(), "answered while a call of the loser is in the medium")
			require.Equal(t, ReservationConflict, victim.run(writeCDB(2), block(2), 0).Status)

			// Nobody else waits behind the stuck loser.
			r.medium.letNewIn()
			require.Equal(t, Good, third.run(writeCDB(3), block(3), 0).Status)
			require.Equal(t, Good, survivor.run(writeCDB(4), block(4), 0).Status)
			require.Equal(t, Good, survivor.run([]byte{0x5e, 0, 0, 0, 0, 0, 0, 0, 64, 0}, nil, 64).Status)

			release()
			<-fence.over
			<-stuck.over
			require.Equal(t, Good, fence.Status)
			require.Equal(t, Good, stuck.Status, "it was in the medium before the fence")
			requireSense(t, UARegistrationsPreempt, victim.run(make([]byte, 6), nil, 0))
		})
	}
}

// Whoever loses nothing is not waited for, however long its call takes.
func TestPreemptWaitsForLosersOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		survivor, _ := r.cluster()
		third := r.login("iqn.2026-11.test:third")
		third.register(0xc)
		release := r.medium.stall()
		stuck := third.write(1, 1)
		synctest.Wait()
		fence := survivor.preempt(pr.PreemptAndAbort)
		<-fence.over
		require.Equal(t, Good, fence.Status)
		require.False(t, stuck.ended())
		release()
		<-stuck.over
		require.Equal(t, Good, stuck.Status)
	})
}

// A write that still waits for its data meets the new rights when they are in.
func TestPreemptStopsWritesThatWaitForData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		survivor, victim := r.cluster()
		w, g := victim.start(writeCDB(7), nil, 512, 0)
		require.Equal(t, NeedData, g)
		require.Equal(t, 512, w.Need)
		fence := survivor.preempt(pr.Preempt)
		<-fence.over
		require.Equal(t, Good, fence.Status)
		victim.resume(w, block(9))
		<-w.over
		require.Equal(t, ReservationConflict, w.Status)
		require.Zero(t, r.medium.writes)
	})
}

// SPC-4 r36f 5.13.11.2.6 with TAS=0 and TAS=1.
func TestPreemptAndAbortEndsTheVictimsTasks(t *testing.T) {
	for _, tas := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			r.unit.change(func(c *conf) { c.tas = tas })
			survivor, victim := r.cluster()
			w, _ := victim.start(writeCDB(7), nil, 512, 0)
			own, _ := survivor.start(writeCDB(8), nil, 512, 0)
			fence := survivor.preempt(pr.PreemptAndAbort)
			<-fence.over
			<-w.over
			require.Equal(t, Good, fence.Status)
			require.Equal(t, !tas, w.Aborted)
			if tas {
				require.Equal(t, TaskAborted, w.Status)
			}
			require.False(t, own.ended(), "the sender's other commands go on")
			survivor.resume(own, block(1))
			<-own.over
			require.Equal(t, Good, own.Status)

			requireSense(t, UARegistrationsPreempt, victim.run(make([]byte, 6), nil, 0))
			next := victim.run(make([]byte, 6), nil, 0)
			if tas {
				require.Equal(t, Good, next.Status)
			} else {
				requireSense(t, UACommandsCleared, next)
			}
		})
	}
}

// Without a reservation the victim keeps the right to write, yet what it had
// under way when PREEMPT AND ABORT came must not land after GOOD.
func TestPreemptAndAbortWithoutReservationAbortsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		survivor, victim := r.cluster()
		require.Equal(t, Good, survivor.prOut(pr.Release, pr.WriteExclusiveRegistrantsOnly, 0xa, 0))
		requireSense(t, UAReservationsReleased, victim.run(make([]byte, 6), nil, 0))
		release := r.medium.stall()
		stuck := victim.write(1, 1)
		synctest.Wait()
		fence := survivor.preempt(pr.PreemptAndAbort)
		synctest.Wait()
		require.False(t, fence.ended())
		release()
		<-fence.over
		<-stuck.over
		require.Equal(t, Good, fence.Status)
		require.True(t, stuck.Aborted)
	})
}

// A reservation command that cannot be saved changes nothing.
func TestUnsavedPreemptChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		survivor, victim := r.cluster()
		before := r.unit.pr.State()
		r.store.err = errors.New("disk on fire")
		fence := survivor.preempt(pr.PreemptAndAbort)
		<-fence.over
		requireSense(t, ErrPRNotPersisted, fence.Task)
		require.True(t, before.Equal(r.unit.pr.State()))
		require.Equal(t, Good, victim.run(writeCDB(1), block(1), 0).Status)
		require.Equal(t, Good, victim.run(make([]byte, 6), nil, 0).Status, "no unit attention")
	})
}

// Reservation commands that take nothing away answer although every worker
// and every inline slot of the unit is stuck in the medium.
func TestReservationCommandsDoNotWaitBehindData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		survivor, victim := r.cluster()
		release := r.medium.stall()
		var stuck []*pending
		for i := range uint32(64) {
			stuck = append(stuck, victim.write(i, 1))
		}
		synctest.Wait()
		require.Equal(t, Good, survivor.prOut(pr.RegisterAndIgnore, 0, 0, 0xa))
		require.Equal(t, Good, survivor.prOut(pr.Reserve, pr.WriteExclusiveRegistrantsOnly, 0xa, 0))
		require.Equal(t, Good, survivor.run(make([]byte, 6), nil, 0).Status)
		release()
		for _, w := range stuck {
			<-w.over
			require.Equal(t, Good, w.Status)
		}
	})
}

// RFC 7143 §6.3.5: reinstatement does not wait for a stuck medium, and no
// stale write of the old session lands on a write of the new one.
func TestNewSessionWaitsForTheOldOnesCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		old := r.login("iqn.2026-11.test:host")
		release := r.medium.stall()
		stale := old.write(5, 1)
		synctest.Wait()
		old.it.Detach()
		fresh := r.dev.Attach(old.it.Nexus(), LUNMap{0: r.unit})
		h := &host{r: r, it: fresh}
		requireSense(t, UANexusLoss, h.run(make([]byte, 6), nil, 0))
		require.Equal(t, Good, h.run(make([]byte, 6), nil, 0).Status)
		r.medium.letNewIn()
		w := h.write(5, 2)
		synctest.Wait()
		require.False(t, w.ended(), "overtook a call of the old session")
		release()
		<-w.over
		<-stale.over
		require.True(t, stale.Aborted)
		require.Equal(t, Good, w.Status)
		require.Equal(t, block(2), r.medium.data[5*512:6*512])
		require.Len(t, r.unit.live(), 1, "the old session is forgotten")
	})
}

func (h *host) manage(m TaskMgmt) chan TMFResponse {
	c := make(chan TMFResponse, 2)
	h.it.Manage(m, func(r TMFResponse, _ uint32) { c <- r })
	return c
}

// RFC 7143 §11.5.1: an aborted task is never answered, and "complete" is said
// only when nothing of it can land any more.
func TestAbortTaskDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		h := r.login("iqn.2026-11.test:host")
		waiting, _ := h.start(writeCDB(1), nil, 512, 0)
		require.Equal(t, FunctionComplete, <-h.manage(TaskMgmt{Function: AbortTask, Ref: waiting.Task}))
		<-waiting.over
		require.True(t, waiting.Aborted)

		release := r.medium.stall()
		inside := h.write(2, 1)
		synctest.Wait()
		answer := h.manage(TaskMgmt{Function: AbortTask, Ref: inside.Task})
		time.Sleep(DrainLimit - time.Millisecond)
		require.Empty(t, answer)
		release()
		require.Equal(t, FunctionComplete, <-answer)
		<-inside.over
		require.True(t, inside.Aborted)

		release = r.medium.stall()
		stuck := h.write(3, 1)
		synctest.Wait()
		require.Equal(t, FunctionRejected, <-h.manage(TaskMgmt{Function: AbortTask, Ref: stuck.Task}),
			"complete would be a lie while the write may still land")
		release()
		<-stuck.over
		require.True(t, stuck.Aborted)
	})
}

// SAM-5 6.3.3.
func TestLogicalUnitReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		a, b := r.cluster()
		w, _ := b.start(writeCDB(1), nil, 512, 0)
		before := r.unit.pr.State()
		require.Equal(t, FunctionComplete, <-a.manage(TaskMgmt{Function: LogicalUnitReset}))
		<-w.over
		require.True(t, w.Aborted)
		for _, h := range []*host{a, b} {
			requireSense(t, UAReset, h.run(make([]byte, 6), nil, 0))
			require.Equal(t, Good, h.run(make([]byte, 6), nil, 0).Status)
		}
		require.True(t, before.Equal(r.unit.pr.State()), "persistent reservations survive")
	})
}

// SPC-4 r36f 5.13.5.3: lost reservation information opens nothing.
func TestLostReservationsFailClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		lost, err := pr.Open(pr.Config{ID: "lun0", Store: lostStore{}})
		require.ErrorIs(t, err, pr.ErrLost)
		r.unit, err = NewUnit(UnitConfig{BlockSize: 512, WriteCache: true}, r.medium, lost)
		require.NoError(t, err)
		h := &host{r: r, it: r.dev.Attach(Nexus{Initiator: "iqn.2026-11.test:h,i,0x800000000001", Target: gatePort}, LUNMap{0: r.unit})}
		requireSense(t, UAPowerOn, h.run(make([]byte, 6), nil, 0))
		requireSense(t, ErrPRLost, h.run(make([]byte, 6), nil, 0))
		requireSense(t, ErrPRLost, h.run(writeCDB(1), block(1), 0))
		requireSense(t, ErrPRLost, h.run([]byte{0x5e, 0, 0, 0, 0, 0, 0, 0, 64, 0}, nil, 64))
		requireSense(t, ErrPRLost, h.run(prCDB(pr.RegisterAndIgnore, 0), prList(0, 1), 0))
		require.Equal(t, Good, h.prOut(pr.ReplaceLostReservation, pr.WriteExclusive, 0, 1))
		require.Equal(t, Good, h.run(writeCDB(1), block(1), 0).Status)
	})
}

type lostStore struct{}

func (lostStore) Load(string) (pr.State, pr.Revision, error) { return pr.State{}, 0, pr.ErrLost }

func (lostStore) Save(string, pr.State, pr.Revision) (pr.Revision, error) { return 1, nil }
