package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"nas-target/internal/pr"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("AUDIT_TEST_WRITE_TO"); dir != "" {
		writeUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, o Options) *Trail {
	t.Helper()
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "audit")
	}
	tr, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.Close()) })
	return tr
}

func reopen(t *testing.T, tr *Trail) *Trail {
	t.Helper()
	require.NoError(t, tr.Close())
	return open(t, tr.o)
}

// everything reads the whole trail, oldest first, in pages.
func everything(t *testing.T, tr *Trail, q Query) []Entry {
	t.Helper()
	var all []Entry
	for {
		page, more, err := tr.Find(q)
		require.NoError(t, err)
		all = append(all, page...)
		if !more {
			slices.Reverse(all)
			return all
		}
		q.Before = page[len(page)-1].Seq
	}
}

// Every command is in the trail, in order and once, whatever was asked, and
// what the entries say adds up to the state.
func TestEveryCommandIsInTheTrail(t *testing.T) {
	const commands = 10_000
	tr := open(t, Options{MaxFile: 256 << 10, Files: 1000, Queue: commands})
	s := newScript(t)
	s.out = func(r pr.Record) {
		s.records = append(s.records, r)
		tr.Record(r, witness)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	nexuses := []pr.Nexus{n1, n1b, n2, n3}
	for range commands {
		s.do(pr.Op{
			Action: pr.Action(rnd.IntN(10)), From: nexuses[rnd.IntN(4)],
			Key: pr.Key(rnd.IntN(3)), ServiceKey: pr.Key(rnd.IntN(3)), Type: pr.Types[rnd.IntN(6)],
			APTPL: rnd.IntN(2) == 0, AllTargetPorts: rnd.IntN(4) == 0,
		})
	}
	require.Len(t, s.records, commands)

	for range 2 {
		all := everything(t, tr, Query{Limit: MaxLimit})
		require.Len(t, all, commands)
		have := map[pr.Nexus]Key{}
		for i, e := range all {
			r := s.records[i]
			require.Equal(t, uint64(i+1), e.Seq)
			require.Equal(t, r.Op.Action.String(), e.Action)
			require.Equal(t, r.Op.From.Initiator, e.By.Initiator)
			require.Equal(t, r.Verdict.Status.String(), e.Result)
			require.Equal(t, summary(r.After), e.PR.After)
			for _, x := range e.PR.Removed {
				delete(have, x.nexus())
			}
			for _, list := range [][]Right{e.PR.Added, e.PR.Changed} {
				for _, x := range list {
					have[x.nexus()] = x.Key
				}
			}
			require.Len(t, have, len(r.After.Registrations))
			for _, x := range r.After.Registrations {
				require.Equal(t, Key(x.Key), have[x.Nexus])
			}
		}
		o := tr.Origins(unitID)
		require.Len(t, o.Registrations, len(s.unit.State().Registrations))
		for _, x := range s.unit.State().Registrations {
			require.Equal(t, Key(x.Key), o.Registrations[x.Nexus].Key)
		}
		tr = reopen(t, tr)
	}
}

// What made a right stays known when the file that says so is gone.
func TestOriginsOutliveTheFiles(t *testing.T) {
	tr := open(t, Options{MaxFile: 4 << 10, Files: 2})
	s := newScript(t)
	s.out = func(r pr.Record) { tr.Record(r, witness) }
	s.good(register(n1, 1)).good(register(n2, 2)).good(register(n3, 3)).good(reserve(n1, 1, regOnly)).good(preempt(n1, 1, 3, regOnly))
	tr.Written()
	before := tr.Origins(unitID)
	for range 200 {
		s.refused(reserve(n2, 2, regOnly))
		tr.Written()
	}
	oldest := everything(t, tr, Query{})[0]
	require.Greater(t, oldest.Seq, uint64(5), "nothing was rotated away")
	all, err := segments(tr.o.Dir)
	require.NoError(t, err)
	require.Len(t, all, 2)

	tr = reopen(t, tr)
	o := tr.Origins(unitID)
	require.Equal(t, uint64(1), o.Registrations[n1].Seq)
	require.Equal(t, uint64(4), o.Reservation.Seq)
	require.Equal(t, "reserve", o.Reservation.Action)
	require.Equal(t, n1.Initiator, o.Reservation.By.Initiator)
	d, ok := o.Departed(n3)
	require.True(t, ok)
	require.Equal(t, uint64(5), d.By.Seq)
	for n, was := range before.Registrations {
		require.True(t, was.Time.Equal(o.Registrations[n].Time))
	}
	s.refused(reserve(n2, 2, regOnly))
	last := everything(t, tr, Query{})
	require.Equal(t, uint64(206), last[len(last)-1].Seq, "numbers go on")
}

func TestDeparturesAreBounded(t *testing.T) {
	o := &Origins{}
	for i := range 1000 {
		n := nexus(fmt.Sprint("n", i), 1)
		r := []Right{right(pr.Registration{Nexus: n, Key: 1})}
		o.note(&Entry{Kind: KindPR, Result: Granted, PR: &PR{Added: r}})
		o.note(&Entry{Kind: KindPR, Result: Granted, PR: &PR{Removed: r}})
	}
	require.Len(t, o.Departures, maxDepartures)
	_, ok := o.Departed(nexus("n999", 1))
	require.True(t, ok)
	require.Empty(t, o.Registrations)
}

func TestFind(t *testing.T) {
	tr := open(t, Options{})
	s := newScript(t)
	s.out = func(r pr.Record) { tr.Record(r, witness) }
	s.good(register(n1, 1)).good(register(n2, 2)).good(reserve(n1, 1, regOnly))
	tr.Note(Entry{Kind: KindLogin, Action: "login", Result: Granted, By: Party{Initiator: n3.Initiator}})
	s.out = func(r pr.Record) { tr.Record(r, "shared") }
	s.refused(reserve(n2, 2, regOnly)).good(preempt(n2, 2, 1, regOnly))
	tr.Note(Entry{Kind: KindAdmin, Action: "resize", LUN: "shared", Result: Granted, By: Party{Operator: "uid 0"}})

	for name, c := range map[string]struct {
		q    Query
		want []uint64
		more bool
	}{
		"all":                   {Query{}, []uint64{7, 6, 5, 4, 3, 2, 1}, false},
		"a page":                {Query{Limit: 2}, []uint64{7, 6}, true},
		"the next page":         {Query{Limit: 2, Before: 6}, []uint64{5, 4}, true},
		"the last page":         {Query{Limit: 2, Before: 3}, []uint64{2, 1}, false},
		"one LUN":               {Query{LUN: "witness"}, []uint64{3, 2, 1}, false},
		"no such LUN":           {Query{LUN: "wit"}, nil, false},
		"one kind":              {Query{Kinds: []Kind{KindLogin, KindAdmin}}, []uint64{7, 4}, false},
		"refused":               {Query{Refused: true}, []uint64{5}, false},
		"by and against a host": {Query{Initiator: "NODE1"}, []uint64{6, 3, 1}, false},
		"by node name":          {Query{Initiator: pr.Node(n3.Initiator)}, []uint64{4}, false},
		"by port name":          {Query{Initiator: n2.Initiator}, []uint64{6, 5, 2}, false},
		"since tomorrow":        {Query{Since: time.Now().Add(24 * time.Hour)}, nil, false},
		"since yesterday":       {Query{Since: time.Now().Add(-24 * time.Hour), Limit: 1}, []uint64{7}, true},
	} {
		t.Run(name, func(t *testing.T) {
			found, more, err := tr.Find(c.q)
			require.NoError(t, err)
			var got []uint64
			for _, e := range found {
				got = append(got, e.Seq)
			}
			require.Equal(t, c.want, got)
			require.Equal(t, c.more, more)
		})
	}
}

// A slow disk or a slow listener costs the trail entries, never a command its
// time; and the trail says so.
func TestRecordNeverBlocks(t *testing.T) {
	stuck, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	tr := open(t, Options{Queue: 4, Told: func(Entry) {
		once.Do(func() { close(stuck); <-release })
	}})
	s := newScript(t)
	s.out = func(r pr.Record) { tr.Record(r, witness) }
	s.good(register(n1, 1))
	<-stuck
	for range 100 {
		s.good(register(n2, 2)).good(pr.Op{Action: pr.Register, From: n2, Key: 2})
	}
	close(release)
	tr.Note(Entry{Kind: KindAdmin, Action: "after", Result: Granted})
	all := everything(t, tr, Query{Limit: MaxLimit})
	lost := 0
	for i, e := range all {
		require.Equal(t, uint64(i+1), e.Seq)
		lost += e.Lost
	}
	require.Equal(t, uint64(lost), tr.Stats().Lost)
	require.GreaterOrEqual(t, lost, 190)
	require.Equal(t, 202, len(all)+lost-countKind(all, KindLost), "each is there or counted")
}

func countKind(all []Entry, k Kind) int {
	n := 0
	for _, e := range all {
		if e.Kind == k {
			n++
		}
	}
	return n
}

func TestFullDisk(t *testing.T) {
	failed := make(chan error, 10)
	var told []Entry
	tr := open(t, Options{Failed: func(err error) { failed <- err }, Told: func(e Entry) { told = append(told, e) }})
	good := tr.file
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	tr.file = full
	tr.Note(Entry{Kind: KindAdmin, Action: "one"})
	tr.Written()
	require.ErrorIs(t, <-failed, syscall.ENOSPC)
	tr.Note(Entry{Kind: KindAdmin, Action: "two"})
	tr.Written()
	require.Empty(t, failed, "a failure is told once")
	require.ErrorIs(t, tr.Stats().Failing, syscall.ENOSPC)
	tr.file = good
	tr.Note(Entry{Kind: KindAdmin, Action: "three"})
	all := everything(t, tr, Query{})
	require.Len(t, all, 1)
	require.Equal(t, "three", all[0].Action)
	require.Len(t, told, 3, "the log has them all")
	require.Equal(t, Stats{Written: 1, Failed: 2}, tr.Stats())
}

func TestTornAndDamagedLines(t *testing.T) {
	tr := open(t, Options{})
	for i := range 3 {
		tr.Note(Entry{Kind: KindAdmin, Action: fmt.Sprint(i), Result: Granted})
	}
	require.NoError(t, tr.Close())
	all, err := segments(tr.o.Dir)
	require.NoError(t, err)
	f, err := os.OpenFile(all[0].path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.WriteString("garbage\n{\"seq\":4,\"kind\":\"adm")
	require.NoError(t, err)
	require.NoError(t, f.Close())

	tr = open(t, tr.o)
	tr.Note(Entry{Kind: KindAdmin, Action: "3", Result: Granted})
	var got []string
	for _, e := range everything(t, tr, Query{}) {
		got = append(got, fmt.Sprint(e.Seq, " ", e.Action))
	}
	require.Equal(t, []string{"1 0", "2 1", "3 2", "4 3"}, got)
	require.Equal(t, 1, tr.Stats().Damaged)
}

func TestModes(t *testing.T) {
	tr := open(t, Options{})
	info, err := os.Stat(tr.o.Dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	names, err := os.ReadDir(tr.o.Dir)
	require.NoError(t, err)
	require.Len(t, names, 1)
	info, err = names[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestClosedTrailDropsQuietly(t *testing.T) {
	tr := open(t, Options{})
	require.NoError(t, tr.Close())
	tr.Note(Entry{Kind: KindAdmin})
	tr.Written()
	require.NoError(t, tr.Close())
}

func TestRestartIsTold(t *testing.T) {
	tr := open(t, Options{})
	s := newScript(t)
	s.out = func(r pr.Record) { tr.Record(r, witness) }
	tr.Found(unitID, witness, s.unit.State())
	s.good(register(n1, 1)).good(register(n2, 2)).good(reserve(n1, 1, regOnly))
	tr = reopen(t, tr)
	tr.Found(unitID, witness, s.unit.State())
	require.Len(t, everything(t, tr, Query{}), 3, "a restart of the daemon changes nothing")
	tr = reopen(t, tr)
	tr.Found(unitID, witness, pr.State{})
	tr.Found("another unit", "x", pr.State{})
	all := everything(t, tr, Query{})
	require.Len(t, all, 4)
	require.Equal(t, "nas-target found the reservations of witness after a restart: node1, node2 lost 2 registrations; the reservation is gone", Words(all[3]))
	require.Empty(t, tr.Origins(unitID).Registrations)
	d, ok := tr.Origins(unitID).Departed(n1)
	require.True(t, ok)
	require.True(t, d.Held)
	require.Equal(t, ActionRestart, d.By.Action)
}

// Reservations that cannot be read are not gone: when they can be read again,
// their origins are known. Those that were lost and replaced are gone.
func TestUnreadableIsNotGone(t *testing.T) {
	tr := open(t, Options{})
	s := newScript(t)
	s.out = func(r pr.Record) { tr.Record(r, witness) }
	s.good(register(n1, 1)).good(register(n2, 2)).good(reserve(n1, 1, regOnly))
	words := func() string {
		all := everything(t, tr, Query{})
		return Words(all[len(all)-1])
	}
	for range 2 {
		tr = reopen(t, tr)
		tr.Found(unitID, witness, pr.State{Condition: pr.NotReady})
	}
	require.Len(t, everything(t, tr, Query{}), 4, "told once")
	require.Equal(t, "nas-target found the reservations of witness after a restart: they cannot be read, and every command is refused", words())
	tr = reopen(t, tr)
	tr.Found(unitID, witness, s.unit.State())
	require.Equal(t, "nas-target found the reservations of witness after a restart: they can be read again", words())
	require.Equal(t, uint64(1), tr.Origins(unitID).Registrations[n1].Seq)
	require.Equal(t, uint64(3), tr.Origins(unitID).Reservation.Seq)

	tr = reopen(t, tr)
	tr.Found(unitID, witness, pr.State{Condition: pr.InformationLost})
	require.Equal(t, "nas-target found the reservations of witness after a restart: they are lost, and every command is refused", words())
	tr.Record(pr.Record{Unit: unitID, Op: pr.Op{Action: pr.OperatorClear}, Before: pr.State{Condition: pr.InformationLost}, After: pr.State{Generation: 1}}, witness)
	tr.Written()
	require.Empty(t, tr.Origins(unitID).Registrations)
	require.Zero(t, tr.Origins(unitID).Reservation)
}

// A killed process loses nothing that it had written down: what it reported as
// written is there.
func TestKillLosesNothingWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "AUDIT_TEST_WRITE_TO="+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	var reported uint64
	lines := bufio.NewScanner(out)
	for reported < 500 && lines.Scan() {
		_, err := fmt.Sscan(lines.Text(), &reported)
		require.NoError(t, err)
	}
	require.NoError(t, child.Process.Kill())
	for lines.Scan() {
		fmt.Sscan(lines.Text(), &reported)
	}
	var exit *exec.ExitError
	require.True(t, errors.As(child.Wait(), &exit))
	require.GreaterOrEqual(t, reported, uint64(500))

	tr := open(t, Options{Dir: dir, Files: 1000})
	all := everything(t, tr, Query{Limit: MaxLimit})
	require.GreaterOrEqual(t, uint64(len(all)), reported)
	for i, e := range all {
		require.Equal(t, uint64(i+1), e.Seq)
	}
}

// writeUntilKilled is the child of TestKillLosesNothingWritten: it prints the
// number of each entry that is written.
func writeUntilKilled(dir string) {
	tr, err := Open(Options{Dir: dir, MaxFile: 16 << 10, Files: 1000, Told: func(e Entry) { fmt.Println(e.Seq) }})
	if err != nil {
		panic(err)
	}
	for {
		tr.Note(Entry{Kind: KindAdmin, Action: "tick", Result: Granted})
		tr.Written()
	}
}

func TestEntryJSONKeepsKeys(t *testing.T) {
	e := entryOf(pr.Record{Op: pr.Op{Action: pr.Register, ServiceKey: 0xfedcba9876543210}}, witness, noon)
	b, err := json.Marshal(e)
	require.NoError(t, err)
	require.True(t, bytes.Contains(b, []byte(`"service_key":"0xfedcba9876543210"`)), "%s", b)
	var back Entry
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, e, back)
}
