package scsi

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// keeper is a memory that a test can look at and break.
type keeper struct {
	mu    sync.Mutex
	saved Memory
	saves int
	fail  func(Memory) error
}

func (k *keeper) config(c *UnitConfig) {
	c.Memory = k.saved
	c.Remember = func(m Memory) error {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.fail != nil {
			if err := k.fail(m); err != nil {
				return err
			}
		}
		k.saved = m
		k.saves++
		return nil
	}
}

func (k *keeper) now() Memory {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.saved
}

// stopAt makes the medium wait before the nth call of a kind.
func (b *bench) stopAt(kind string, n int) (goOn func()) {
	c := make(chan struct{})
	b.medium.before = func(op string, _, _ int64) {
		if op == kind {
			if n--; n == 0 {
				<-c
			}
		}
	}
	return sync.OnceFunc(func() { close(c) })
}

const (
	formatNow  = "04 00 00 00 00 00"
	formatData = "04 10 00 00 00 00"
	blockErase = "48 02 00 00 00 00 00 0000 00"
	eraseImmed = "48 82 00 00 00 00 00 0000 00"
	exitFail   = "48 1f 00 00 00 00 00 0000 00"
)

func overwriteCDB(b1 byte, n int) string {
	return fmt.Sprintf("48 %02x 00 00 00 00 00 %04x 00", b1|1, n)
}

func overwriteList(b0 byte, pattern string) []byte {
	return append([]byte{b0, 0, byte(len(pattern) >> 8), byte(len(pattern))}, pattern...)
}

func TestSanitizeOverwrite(t *testing.T) {
	for _, c := range []struct {
		b0      byte
		pattern string
		want    string // one block
	}{
		{1, "\xaa", strings.Repeat("\xaa", 512)},
		{1, "abc", strings.Repeat("abc", 170) + "ab"},
		{1, strings.Repeat("0123456789abcdef", 32), strings.Repeat("0123456789abcdef", 32)},
		{3, "\x0f", strings.Repeat("\x0f", 512)},
		{0x82, "\x0f", strings.Repeat("\xf0", 512)},
		{0x83, "\x0f", strings.Repeat("\x0f", 512)},
	} {
		k := &keeper{}
		b := newBench(t, k.config)
		b.fill(0, benchBlocks)
		list := overwriteList(c.b0, c.pattern)
		b.good(overwriteCDB(0, len(list)), list)
		require.Equal(t, strings.Repeat(c.want, benchBlocks), string(b.medium.data))
		require.Equal(t, int(c.b0&0x1f)*2, b.medium.writes, "1 MiB at a time, every pass")
		require.Equal(t, int(c.b0&0x1f)+1, b.medium.syncs)
		require.Equal(t, Memory{}, k.saved)
		require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status)
		require.EqualValues(t, 0x40, b.in("12 01 b1 00 ff 00")[7], "WABEREQ")
	}
}

func TestSanitizeBlockErase(t *testing.T) {
	k := &keeper{}
	b := newBench(t, k.config)
	b.fill(0, 64)
	b.fill(3000, 100)
	b.good(blockErase, nil)
	require.True(t, isZero(b.medium.data))
	require.Equal(t, 2, b.medium.writes, "what holds data is overwritten before it is given back")
	require.EqualValues(t, benchBlocks*512, b.medium.freed)
	n, _ := b.medium.Allocated()
	require.Zero(t, n)

	thick := newBench(t, k.config, func(c *UnitConfig) { c.Thin = false })
	thick.fill(0, benchBlocks)
	thick.good(blockErase, nil)
	require.True(t, isZero(thick.medium.data))
	require.Zero(t, thick.medium.freed)
}

func TestSanitizeRefusals(t *testing.T) {
	k := &keeper{}
	b := newBench(t, k.config)
	b.fill(0, benchBlocks)
	before := bytes.Clone(b.medium.data)
	list := overwriteList(1, strings.Repeat("x", 512))
	for _, n := range []int{0, 1, 2, 3, 4, 517} {
		b.refused(ErrInvalidField.AtCDB(7, 7), overwriteCDB(0, n), make([]byte, n))
	}
	b.refused(ErrInvalidParameter.AtData(0, 4), overwriteCDB(0, len(list)), overwriteList(0, strings.Repeat("x", 512)))
	b.refused(ErrInvalidParameter.AtData(2, 7), overwriteCDB(0, 10), append([]byte{1, 0, 0, 0}, "abcdef"...))
	b.refused(ErrInvalidParameter.AtData(2, 7), overwriteCDB(0, 10), append([]byte{1, 0, 0, 7}, "abcdef"...))
	b.refused(ErrInvalidParameter.AtData(2, 7), overwriteCDB(0, 10), append([]byte{1, 0, 0, 5}, "abcdef"...))
	b.refused(ErrInvalidField.AtCDB(1, 6), "48 42 00 00 00 00 00 0000 00", nil) // ZNR
	b.refused(ErrInvalidField.AtCDB(7, 7), "48 02 00 00 00 00 00 0008 00", make([]byte, 8))
	b.refused(ErrInvalidField.AtCDB(7, 7), "48 1f 00 00 00 00 00 0008 00", make([]byte, 8))
	b.refused(ErrInvalidField.AtCDB(2, 0), "48 02 01 00 00 00 00 0000 00", nil)
	b.refused(ErrInvalidField.AtCDB(1, 4), "48 03 00 00 00 00 00 0000 00", nil) // cryptographic
	b.unit.change(func(f *conf) { f.readOnly = true })
	b.refused(ErrWriteProtected, blockErase, nil)
	b.unit.change(func(f *conf) { f.readOnly = false })
	k.fail = func(Memory) error { return errors.New("no space") }
	b.refused(ErrNotSaved, blockErase, nil)
	require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status)
	require.Equal(t, before, b.medium.data)

	forgetful := newBench(t)
	forgetful.refused(ErrInvalidField.AtCDB(1, 4), blockErase, nil)
	forgetful.refused(ErrInvalidOpcode, formatNow, nil)
}

// SBC-4 r22 4.11: what is accepted meanwhile, and everything else is refused
// with how far it has come. Resets, relogins and aborts change nothing.
func TestWhileSanitizing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		m := newMem(16 << 20)
		b := newBenchOn(t, m, m, k.config)
		goOn := b.stopAt("write", 5)
		list := overwriteList(1, "z")
		b.good(overwriteCDB(0x80, len(list)), list)
		synctest.Wait()
		quarter := ErrSanitizeInProgress.WithProgress(0x3fff)
		require.Equal(t, Erase{Kind: EraseOverwrite, Pattern: "z", Passes: 1}, k.now().Erase)
		allowed := map[string]bool{}
		for _, r := range Commands() {
			if !b.unit.has(r) {
				continue
			}
			got := b.do(fmt.Sprintf("%02x%02x%s", r.Op, r.SA, "00000000000000000000"), nil, 64)
			if !errors.Is(got.Failure, ErrSanitizeInProgress) {
				allowed[r.Name] = true
				continue
			}
			require.Equal(t, quarter.AppendSense(nil, false), got.Sense[:got.SenseLen])
		}
		require.Equal(t, map[string]bool{
			"INQUIRY": true, "REQUEST SENSE": true, "REPORT LUNS": true, "LOG SENSE": true, "MODE SENSE(6)": true, "MODE SENSE(10)": true,
			"READ CAPACITY(10)": true, "READ CAPACITY(16)": true, "REPORT SUPPORTED OPERATION CODES": true,
			"REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS": true,
		}, allowed)
		require.Equal(t, quarter.AppendSense(nil, false), b.in("03 00 00 00 ff 00"))
		require.Equal(t, quarter.AppendSense(nil, true), b.in("03 01 00 00 ff 00"))

		require.ErrorIs(t, b.unit.startErase(&Task{}, Erase{Kind: EraseFormat}, true), ErrSanitizeInProgress,
			"nor may one begin that was let in at the same moment")

		n := b.it.Nexus()
		done := make(chan TMFResponse, 1)
		b.it.Manage(TaskMgmt{Function: LogicalUnitReset}, func(r TMFResponse, _ uint32) { done <- r })
		require.Equal(t, FunctionComplete, <-done)
		b.it.Detach()
		b.it = b.dev.Attach(n, LUNMap{0: b.unit})
		b.clearUA(b.it)
		b.refused(quarter, "00 00 00 00 00 00", nil)
		goOn()
		synctest.Wait()
		require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status)
		require.Equal(t, strings.Repeat("z", 16<<20), string(m.data))
		require.Equal(t, Memory{}, k.now())
		require.Equal(t, ErrNoSense.AppendSense(nil, false), b.in("03 00 00 00 ff 00"))
	})
}

// What was let in before is done before the first block is erased, what waits
// for its data finds the door closed.
func TestSanitizeWaitsForThoseInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		b := newBench(t, k.config)
		goOn := b.stopAt("write", 1)
		var inside *Task
		go func() { inside = b.do("2a 00 00000000 00 0001 00", pattern(512, 1), 0) }()
		synctest.Wait()
		waiting, progress, _ := b.submit("2a 00 00000000 00 0001 00", nil, 512, 0)
		require.Equal(t, NeedData, progress)
		list := overwriteList(1, "z")
		var sanitize *Task
		go func() { sanitize = b.do(overwriteCDB(0, len(list)), list, 0) }()
		synctest.Wait()
		require.Nil(t, sanitize)
		require.Zero(t, k.saves)
		waiting.Out = pattern(512, 2)
		require.Equal(t, Finished, b.it.Resume(waiting))
		require.ErrorIs(t, waiting.Failure, ErrSanitizeInProgress)
		require.ErrorIs(t, b.do(blockErase, nil, 0).Failure, ErrSanitizeInProgress, "one at a time")
		goOn()
		synctest.Wait()
		require.Equal(t, Good, inside.Status)
		require.Equal(t, Good, sanitize.Status)
		require.Equal(t, strings.Repeat("z", benchBlocks*512), string(b.medium.data))
	})
}

// An abort ends the command that waits for the sanitize, not the sanitize.
func TestAbortDoesNotStopSanitize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		b := newBench(t, k.config)
		b.fill(0, benchBlocks)
		goOn := b.stopAt("discard", 1)
		task, progress, done := b.submit(blockErase, nil, 0, 0)
		require.Equal(t, Pending, progress)
		synctest.Wait()
		aborted := make(chan TMFResponse, 1)
		b.it.Manage(TaskMgmt{Function: AbortTask, Ref: task}, func(r TMFResponse, _ uint32) { aborted <- r })
		require.Equal(t, FunctionComplete, <-aborted)
		<-done
		require.True(t, task.Aborted)
		require.ErrorIs(t, b.do("00 00 00 00 00 00", nil, 0).Failure, ErrSanitizeInProgress)
		goOn()
		synctest.Wait()
		require.True(t, isZero(b.medium.data))
		require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status)
	})
}

// A restart in the middle: the next unit with the same memory goes on before it
// serves anything.
func TestSanitizeSurvivesRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		m := newMem(16 << 20)
		b := newBenchOn(t, m, m, k.config)
		goOn := b.stopAt("write", 3)
		list := overwriteList(1, "z")
		b.good(overwriteCDB(0x80, len(list)), list)
		synctest.Wait()
		closed := false
		go func() { b.unit.Close(); closed = true }()
		synctest.Wait()
		require.False(t, closed, "a call is in the medium")
		goOn()
		synctest.Wait()
		require.True(t, closed)
		require.ErrorIs(t, b.do("28 00 00000000 00 0001 00", nil, 512).Failure, ErrSanitizeInProgress)
		require.Equal(t, 3, m.writes)

		goOn = b.stopAt("write", 1)
		again := newBenchOn(t, m, m, k.config)
		again.refused(ErrSanitizeInProgress.WithProgress(0), "28 00 00000000 00 0001 00", nil)
		goOn()
		synctest.Wait()
		require.Equal(t, strings.Repeat("z", 512), string(again.in("28 00 00007fff 00 0001 00")))
		require.Equal(t, Memory{}, k.saved)
	})
}

func TestSanitizeFailure(t *testing.T) {
	k := &keeper{}
	b := newBench(t, k.config)
	b.good(exitFail, nil)
	b.medium.writeErr = errDisk
	b.medium.mapped[0] = true
	b.refused(ErrSanitizeFailed, blockErase, nil)
	b.refused(ErrSanitizeFailed, "28 00 00000000 00 0001 00", nil)
	require.Equal(t, ErrSanitizeFailed.AppendSense(nil, false), b.in("03 00 00 00 ff 00"))
	require.True(t, k.saved.Erase.Failed)
	b.refused(ErrInvalidField.AtCDB(1, 4), exitFail, nil) // restricted: sanitize again
	again := newBenchOn(t, b.medium, b.medium, k.config)
	again.refused(ErrSanitizeFailed, "28 00 00000000 00 0001 00", nil)
	b.refused(ErrSanitizeFailed, "48 22 00 00 00 00 00 0000 00", nil) // AUSE, fails again
	b.good(exitFail, nil)
	b.in("28 00 00000000 00 0001 00")
	require.Equal(t, Memory{}, k.saved)

	b.refused(ErrSanitizeFailed, blockErase, nil)
	b.medium.writeErr = nil
	b.good(blockErase, nil)
	b.in("28 00 00000000 00 0001 00")
}

// Whether it is over must be known to the next start before anybody writes.
func TestSanitizeIsNotOverUntilRemembered(t *testing.T) {
	k := &keeper{}
	b := newBench(t, k.config)
	k.fail = func(m Memory) error {
		if m.Erase.Kind == EraseNone {
			return errors.New("no space")
		}
		return nil
	}
	b.refused(ErrSanitizeFailed, blockErase, nil)
	b.refused(ErrSanitizeFailed, "2a 00 00000000 00 0001 00", make([]byte, 512))
}

func TestFormat(t *testing.T) {
	k := &keeper{}
	b := newBench(t, k.config)
	for _, c := range []struct{ cdb, list string }{
		{formatNow, ""}, {"04 00 00 00 01 00", ""}, {"04 00 00 00 02 00", ""},
		{formatData, "00000000"}, {"04 18 00 00 00 00", "00800000"}, {"04 17 00 00 00 00", "00f00000"},
		{"04 30 00 00 00 00", "0000000000000000"},
	} {
		b.fill(0, benchBlocks)
		b.good(c.cdb, unhex(c.list))
		require.True(t, isZero(b.medium.data), c.cdb)
		n, _ := b.medium.Allocated()
		require.Zero(t, n)
	}
	b.fill(0, benchBlocks)
	before := bytes.Clone(b.medium.data)
	for _, c := range []struct {
		cdb, list string
		want      *Check
	}{
		{"04 40 00 00 00 00", "", ErrInvalidField.AtCDB(1, 6)},                      // FMTPINFO
		{"04 08 00 00 00 00", "", ErrInvalidField.AtCDB(1, 5)},                      // CMPLST without FMTDATA
		{"04 00 00 00 03 00", "", ErrInvalidField.AtCDB(4, 1)},                      // FFMT
		{formatData, "000000", ErrInvalidIU},                                        //
		{formatData, "01000000", ErrInvalidParameter.AtData(0, 2)},                  // protection
		{formatData, "00400000", ErrInvalidParameter.AtData(1, 7)},                  // DPRY without FOV
		{formatData, "00880000", ErrInvalidParameter.AtData(1, 3)},                  // IP
		{formatData, "00000008", ErrInvalidParameter.AtData(2, 7)},                  // a defect list
		{"04 30 00 00 00 00", "0000000000000008", ErrInvalidParameter.AtData(4, 7)}, //
		{"04 30 00 00 00 00", "0000000100000000", ErrInvalidParameter.AtData(3, 7)}, // protection interval
	} {
		b.refused(c.want, c.cdb, unhex(c.list))
	}
	require.Equal(t, before, b.medium.data)

	thick := newBench(t, k.config, func(c *UnitConfig) { c.Thin = false })
	thick.fill(0, benchBlocks)
	thick.good(formatNow, nil)
	require.True(t, isZero(thick.medium.data))
	require.Zero(t, thick.medium.freed)
	m := newMem(3 << 20)
	copy(m.data, pattern(3<<20, 1))
	poor := newBenchOn(t, plain{m}, m, k.config)
	poor.good(formatNow, nil)
	require.True(t, isZero(m.data))
}

func TestFormatProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		m := newMem(1 << 20)
		b := newBenchOn(t, vastMedium{m}, m, k.config)
		goOn := b.stopAt("discard", 3)
		b.good("04 10 00 00 00 00", unhex("00020000")) // IMMED
		synctest.Wait()
		time.Sleep(time.Second)
		b.refused(ErrFormatInProgress.WithProgress(0x7fff), "00 00 00 00 00 00", nil)
		goOn()
		synctest.Wait()
		require.Equal(t, Good, b.do("00 00 00 00 00 00", nil, 0).Status)
		m.before, m.writeErr = nil, errDisk
		b.refused(ErrFormatFailed, formatNow, nil)
		b.refused(ErrFormatFailed, "00 00 00 00 00 00", nil)
		b.good(exitFail, nil) // not its business
		b.refused(ErrFormatFailed, "00 00 00 00 00 00", nil)
	})
}

// vastMedium claims more than it has; only Discard may be called.
type vastMedium struct{ *memMedium }

func (vastMedium) Size() int64 { return 4 * sweepBytes }

func (m vastMedium) Discard(off, n int64) error { return m.memMedium.Discard(0, 512) }

// An erasure keeps to its speed, pass for pass, spends nothing that it has
// saved up where there was nothing to write, and stops at once when the unit
// is closed.
func TestEraseSpeed(t *testing.T) {
	const speed = 1 << 20 // a piece a second
	for name, c := range map[string]struct {
		thin bool
		cdb  string
		list []byte
		want time.Duration
	}{
		"overwrite":                 {true, overwriteCDB(0, 5), overwriteList(2, "z"), 7 * time.Second},
		"block erase":               {true, blockErase, nil, 2 * time.Second},
		"format, nothing is stored": {true, formatNow, nil, 0},
		"format":                    {false, formatNow, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &keeper{}
				m := newMem(4 << 20)
				b := newBenchOn(t, m, m, k.config, func(u *UnitConfig) { u.EraseSpeed, u.Thin = speed, c.thin })
				require.NoError(t, b.unit.put(pattern(1<<20, 1), 0))
				require.NoError(t, b.unit.put(pattern(2<<20, 1), 4096))
				start := time.Now()
				b.good(c.cdb, c.list)
				require.Equal(t, c.want, time.Since(start).Truncate(100*time.Millisecond))
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{}
		b := newBench(t, k.config, func(c *UnitConfig) { c.EraseSpeed = 1 << 10 })
		b.fill(0, benchBlocks)
		b.good(overwriteCDB(0x80, 5), overwriteList(2, "z"))
		synctest.Wait()
		start := time.Now()
		b.unit.Close()
		require.Zero(t, time.Since(start))
		require.Equal(t, EraseOverwrite, k.now().Erase.Kind, "and goes on when it is built again")
	})
}
