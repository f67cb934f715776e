package scsi

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// coldMedium has nothing in memory unless warm.
type coldMedium struct {
	*memMedium
	warm  bool
	tried int
	at    func()
}

func (m *coldMedium) TryReadAt(p []byte, off int64) (bool, error) {
	m.tried++
	if m.at != nil {
		m.at()
	}
	if !m.warm {
		return false, nil
	}
	_, err := m.ReadAt(p, off)
	return true, err
}

const readOne = "28 00 00000004 00 0001 00"

func (b *bench) submit(cdb string, out []byte, outLen, in int) (*Task, Progress, chan struct{}) {
	t := &Task{OutLen: uint32(outLen), InLen: uint32(in), Out: out}
	copy(t.CDB[:], unhex(cdb))
	done := make(chan struct{}, 1)
	t.Done = func(*Task) { done <- struct{}{} }
	return t, b.it.Submit(t), done
}

func (b *bench) tasks() (n int) {
	x := b.it.view.Load().find(0)
	x.mu.Lock()
	defer x.mu.Unlock()
	for t := x.tasks; t != nil; t = t.next {
		n++
	}
	require.GreaterOrEqual(b, n, x.gated)
	return n
}

// A read that the page cache can answer ends on the transport's goroutine; any
// other is read by a worker, and nobody waits for it.
func TestColdReadsMoveToAWorker(t *testing.T) {
	m := &coldMedium{memMedium: newMem(benchBlocks * 512)}
	b := newBenchOn(t, m, m.memMedium)
	p := b.fill(4, 1)
	task, progress, done := b.submit(readOne, nil, 0, 512)
	require.Equal(t, Pending, progress)
	<-done
	require.Equal(t, Good, task.Status)
	require.Equal(t, p, task.In)
	require.Equal(t, 1, m.tried, "the worker waits for the medium instead of trying")
	require.EqualValues(t, 1, task.itl.Counters.Commands[ClassRead].Load())

	m.warm = true
	task, progress, _ = b.submit(readOne, nil, 0, 512)
	require.Equal(t, Finished, progress)
	require.Equal(t, p, task.In)
	m.readErr = errDisk
	b.refused(ErrReadError.WithInfo(4), readOne, nil)
	require.Zero(t, b.tasks())
	require.Zero(t, b.unit.inline.Load())
}

// A read that was aborted while it was tried is not moved.
func TestAbortWhileHurried(t *testing.T) {
	m := &coldMedium{memMedium: newMem(benchBlocks * 512)}
	b := newBenchOn(t, m, m.memMedium)
	x := b.it.view.Load().find(0)
	older, _, _ := b.submit("2a 00 00000004 00 0001 00", nil, 512, 0)
	m.at = func() { x.abort(func(o *Task) bool { return o != older }, nil, false) }
	task, progress, done := b.submit(readOne, nil, 0, 512)
	require.Equal(t, Finished, progress)
	require.True(t, task.Aborted)
	require.Empty(t, done)
	require.Equal(t, 1, b.tasks(), "the other one is still there")
}

// A plain write whose range is held does not hold up its transport.
func TestHurriedWriteDoesNotWaitForARange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		mask := stripes(4, 1, 9)
		b.unit.ranges.lock(mask)
		task, progress, done := b.submit("2a 00 00000004 00 0001 00", pattern(512, 1), 512, 0)
		require.Equal(t, Pending, progress)
		read, progress, readDone := b.submit(readOne, nil, 0, 512)
		require.Equal(t, Pending, progress)
		synctest.Wait()
		require.Empty(t, done)
		b.unit.ranges.unlock(mask)
		<-done
		<-readDone
		require.Equal(t, Good, task.Status)
		require.Equal(t, Good, read.Status)
		require.Equal(t, pattern(512, 1), b.at(4, 1))
	})
}

// An abort that comes between the last byte of data and the gate ends the task
// once, and leaves the others in the list alone.
func TestAbortWhileResuming(t *testing.T) {
	b := newBench(t)
	x := b.it.view.Load().find(0)
	const cdb = "2a 00 00000004 00 0001 00"
	first, _, firstDone := b.submit(cdb, nil, 512, 0)
	task, progress, done := b.submit(cdb, nil, 512, 0)
	require.Equal(t, NeedData, progress)
	last, _, lastDone := b.submit(cdb, nil, 512, 0)
	require.Equal(t, 3, b.tasks())

	row := *task.cmd
	row.Defer = func(*Task) bool { // asked between the two
		require.Equal(t, 1, x.abort(func(o *Task) bool { return o == task }, nil, false))
		require.Empty(t, done, "its end is decided by who resumes it")
		return false
	}
	task.cmd = &row
	task.Out = make([]byte, 512)
	require.Equal(t, Finished, b.it.Resume(task))
	require.True(t, task.Aborted)
	require.Empty(t, done)
	require.Equal(t, 2, b.tasks())

	// And the ordinary order: aborted first, then resumed.
	require.Equal(t, 2, x.abort(func(*Task) bool { return true }, nil, false))
	<-firstDone
	<-lastDone
	for _, o := range []*Task{first, last} {
		o.Out = make([]byte, 512)
		require.Equal(t, Pending, b.it.Resume(o))
		require.True(t, o.Aborted)
	}
	require.Zero(t, b.tasks())
	require.Zero(t, b.medium.writes)
}
