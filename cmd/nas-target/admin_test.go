package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"nas-target/internal/admin"
	"nas-target/internal/admin/admintest"
)

// serveCluster answers the command line from a cluster that is not there, and
// returns it with the flag that finds it.
func serveCluster(t *testing.T) (*admintest.Cluster, string) {
	t.Helper()
	dir := t.TempDir()
	cluster := admintest.New()
	l, err := admin.Listen(filepath.Join(dir, admin.SocketName))
	require.NoError(t, err)
	s := admin.Serve(l, admin.New(admin.Options{Control: cluster, Version: "1.2.3", Feed: cluster.Feed}).Socket())
	t.Cleanup(func() { require.NoError(t, s.Close(context.Background())) })
	return cluster, "--data-dir=" + dir
}

// now is two hours after what happened in the cluster.
var now = admintest.Noon.Add(2 * time.Hour)

// golden compares with a file of testdata; UPDATE=1 rewrites it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
	requireFits(t, got)
}

func requireFits(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		require.LessOrEqual(t, utf8.RuneCountInString(line), width, "%q", line)
		require.Equal(t, strings.TrimRight(line, " "), line)
	}
}

func printed(f func(io.Writer)) string {
	var b bytes.Buffer
	f(&b)
	return b.String()
}

// What a tired admin sees.
func TestTables(t *testing.T) {
	overview := func(c *admintest.Cluster) admin.Overview {
		r := admin.New(admin.Options{Control: c})
		dir := t.TempDir()
		l, err := admin.Listen(filepath.Join(dir, "s"))
		require.NoError(t, err)
		s := admin.Serve(l, r.Socket())
		defer s.Close(context.Background())
		client := admin.NewClient(filepath.Join(dir, "s"))
		defer client.Close()
		o, err := client.Overview(t.Context())
		require.NoError(t, err)
		return o
	}
	reservations := func(c *admintest.Cluster) []admin.Reservations {
		var all []admin.Reservations
		for _, l := range c.Status(t.Context()).Targets[0].LUNs {
			all = append(all, l.Reservations)
		}
		return all
	}
	c := admintest.New()
	golden(t, "status_ok", printed(func(w io.Writer) { statusTable(w, overview(c), now) }))
	golden(t, "pr_show", printed(func(w io.Writer) { reservationsTable(w, reservations(c), now) }))
	c.Now.Sessions[3].Oldest = &admin.Command{Name: "SYNCHRONIZE CACHE(10)", LUN: 1, Seconds: 42.25}
	c.Now.Sessions[3].Commands = 31
	golden(t, "session_list", printed(func(w io.Writer) { sessionTable(w, c.Status(t.Context()).Sessions, now) }))
	golden(t, "session_show", printed(func(w io.Writer) { sessionShow(w, c.Status(t.Context()).Sessions[3], now) }))
	proven := slices.Clone(c.Status(t.Context()).Sessions)
	proven[0].User = "node1"
	golden(t, "session_list_chap", printed(func(w io.Writer) { sessionTable(w, proven, now) }))
	golden(t, "session_show_chap", printed(func(w io.Writer) { sessionShow(w, proven[0], now) }))
	golden(t, "target_list", printed(func(w io.Writer) { targetTable(w, c.Now.Targets) }))
	golden(t, "target_show", printed(func(w io.Writer) { targetShow(w, c.Now.Targets[0]) }))
	golden(t, "portal_list", printed(func(w io.Writer) { portalTable(w, c.Now.Portals) }))
	golden(t, "initiator_list", printed(func(w io.Writer) { initiatorTable(w, c.Now.Targets[0].Initiators) }))
	golden(t, "lun_list", printed(func(w io.Writer) { lunTable(w, overview(c).LUNs) }))
	golden(t, "lun_show", printed(func(w io.Writer) { lunShow(w, overview(c).LUNs[1]) }))

	c.Preempt("witness", "node2", "node1", now.Add(-10*time.Minute))
	c.LUN("shared").Failure = "flush failed: input/output error"
	c.Now.Portals[1].Error = "it is not open"
	golden(t, "status_critical", printed(func(w io.Writer) { statusTable(w, overview(c), now) }))
	golden(t, "pr_show_preempted", printed(func(w io.Writer) { reservationsTable(w, reservations(c)[:1], now) }))
	golden(t, "pr_clear_plan", printed(func(w io.Writer) { clearPlan(w, reservations(c)[1], now) }))
	h, err := c.History(t.Context(), admin.HistoryQuery{Limit: 6})
	require.NoError(t, err)
	golden(t, "pr_history", printed(func(w io.Writer) { historyTable(w, h, now) }))

	lost := admin.Reservations{LUN: "witness", Condition: "information-lost", Findings: []admin.Problem{{Severity: admin.Critical, Text: "The saved reservations cannot be trusted."}}}
	golden(t, "pr_show_lost", printed(func(w io.Writer) {
		reservationsTable(w, []admin.Reservations{lost, {LUN: "free", Condition: "normal"}, {LUN: "old", Condition: "normal", Legacy: "iqn.x:node3,i,0x400001370001"},
			{LUN: "all", Condition: "normal", AllRegistrants: true, Type: "write-exclusive-all-registrants"}}, now)
	}))
}

func TestAnswersOfCommands(t *testing.T) {
	_, at := serveCluster(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"status"}, "all is well"},
		{[]string{"pr", "show"}, "witness: held by node1"},
		{[]string{"pr", "show", "shared"}, "shared: held by node2"},
		{[]string{"pr", "history"}, "node1 reserved witness"},
		{[]string{"pr", "history", "shared", "-n", "1"}, "node2 reserved shared"},
		{[]string{"pr", "history", "--since", "1h", "--refused"}, "Nothing happened"},
		{[]string{"session", "list"}, "node1"},
		{[]string{"session", "show", "3"}, "node2"},
		{[]string{"target", "list"}, "cluster storage"},
		{[]string{"target", "show", admintest.Target}, "witness"},
		{[]string{"lun", "list"}, "10 TiB"},
		{[]string{"lun", "show", "witness"}, "WCE=1"},
		{[]string{"portal", "list"}, "192.0.2.5:3260"},
		{[]string{"portal", "show", "198.51.100.5:3260"}, "node2"},
		{[]string{"initiator", "list"}, "node1"},
		{[]string{"initiator", "show", "node1"}, "192.0.2.11:49001"},
		{[]string{"initiator", "show", admintest.Node("node1")}, "49001"},
	} {
		code, out, stderr := run(t, append(c.args, at)...)
		require.Equal(t, exitOK, code, "%v: %s", c.args, stderr)
		require.Contains(t, out, c.says, c.args)
		requireFits(t, out)
	}
}

// json and yaml say the same, with the API's names.
func TestForms(t *testing.T) {
	_, at := serveCluster(t)
	for _, args := range [][]string{
		{"status"}, {"pr", "show"}, {"pr", "history"}, {"session", "list"}, {"session", "show", "1"}, {"lun", "list"}, {"lun", "show", "shared"},
		{"target", "list"}, {"portal", "list"}, {"portal", "show", "192.0.2.5:3260"}, {"initiator", "list"}, {"initiator", "show", "node1"},
	} {
		var fromJSON, fromYAML any
		code, out, stderr := run(t, append(args, at, "-o", "json")...)
		require.Equal(t, exitOK, code, stderr)
		require.NoError(t, json.Unmarshal([]byte(out), &fromJSON))
		code, out, stderr = run(t, append(args, at, "-o", "yaml")...)
		require.Equal(t, exitOK, code, stderr)
		require.NoError(t, yaml.Unmarshal([]byte(out), &fromYAML))
		a, err := json.Marshal(fromJSON)
		require.NoError(t, err)
		b, err := json.Marshal(timesAsText(fromYAML))
		require.NoError(t, err)
		require.JSONEq(t, string(a), string(b), "%v", args)
	}
}

// timesAsText undoes YAML's own idea of timestamps.
func timesAsText(v any) any {
	switch x := v.(type) {
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case map[string]any:
		for k := range x {
			x[k] = timesAsText(x[k])
		}
	case []any:
		for i := range x {
			x[i] = timesAsText(x[i])
		}
	}
	return v
}

func TestExitCodesOfTheDaemonsAnswers(t *testing.T) {
	cluster, at := serveCluster(t)
	nowhere := "--data-dir=" + t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no daemon":             {[]string{"status", nowhere}, exitUnreachable, "no daemon answers"},
		"no LUN":                {[]string{"pr", "show", "none", at}, exitNotFound, "none"},
		"no LUN to clear":       {[]string{"pr", "clear", "none", "--yes", at}, exitNotFound, "none"},
		"no LUN in the history": {[]string{"pr", "history", "none", at}, exitNotFound, "none"},
		"no session":            {[]string{"session", "kill", "99", at}, exitNotFound, "99"},
		"no target":             {[]string{"target", "show", "x", at}, exitNotFound, "x"},
		"no portal":             {[]string{"portal", "show", "x", at}, exitNotFound, "x"},
		"no initiator":          {[]string{"initiator", "show", "x", at}, exitNotFound, "x"},
		"shrink":                {[]string{"lun", "resize", "shared", "1GiB", at}, exitRefused, "only grows"},
		"no failure":            {[]string{"lun", "clear-failure", "shared", at}, exitRefused, "no failure"},
		"no size":               {[]string{"lun", "resize", "shared", "big", at}, exitUsage, "big"},
		"no LUN named":          {[]string{"pr", "clear", at}, exitUsage, "--help"},
		"no such form":          {[]string{"status", "-o", "xml", at}, exitUsage, "json or yaml"},
		"no such verb":          {[]string{"pr", "shwo"}, exitUsage, "show"},
		"a stream as yaml":      {[]string{"pr", "watch", "-o", "yaml", at}, exitUsage, "json"},
		"too many lines":        {[]string{"pr", "history", "-n", "5000", at}, exitError, "limit"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := run(t, c.args...)
			require.Equal(t, c.code, code, stderr)
			require.Contains(t, stderr, c.says)
		})
	}
	cluster.Fail = errors.New("disk on fire")
	code, _, stderr := run(t, "session", "kill", "1", at)
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "disk on fire")
}

func TestChangesFromTheCommandLine(t *testing.T) {
	cluster, at := serveCluster(t)
	cluster.LUN("shared").Failure = "x"
	for _, args := range [][]string{
		{"session", "kill", "2", at}, {"lun", "clear-failure", "shared", at}, {"lun", "resize", "shared", "20TiB", at},
	} {
		code, out, stderr := run(t, args...)
		require.Equal(t, exitOK, code, stderr)
		require.NotEmpty(t, out)
	}
	require.Len(t, cluster.Changes, 3)
	require.Equal(t, admin.KillSession{ID: "2"}, cluster.Changes[0].Change)
	require.Equal(t, admin.Resize{LUN: "shared", Bytes: 20 << 40}, cluster.Changes[2].Change)
}

// runWith executes the command line with an answer typed in.
func runWith(t *testing.T, typed string, args ...string) (int, string, string) {
	t.Helper()
	var out, stderr bytes.Buffer
	root := newRoot()
	root.SetIn(strings.NewReader(typed))
	code := executeRoot(context.Background(), root, args, &out, &stderr)
	return code, out.String(), stderr.String()
}

func TestClearSaysWhatItWillDoAndAsks(t *testing.T) {
	cluster, at := serveCluster(t)
	for _, typed := range []string{"", "n\n", "no\n", "yep\n", "\n", "witness\n"} {
		code, out, stderr := runWith(t, typed, "pr", "clear", "witness", at)
		require.Equal(t, exitRefused, code)
		require.Contains(t, stderr, "nothing was changed")
		require.Contains(t, out, "1 registration of node1 (logged in now)")
		require.Contains(t, out, "[y/N]")
		requireFits(t, strings.ReplaceAll(out, "[y/N] ", "[y/N]"))
	}
	require.Empty(t, cluster.Changes)
	code, out, _ := runWith(t, "y\n", "pr", "clear", "witness", at)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "witness is cleared")
	require.NotEmpty(t, cluster.Changes[0].IfVersion)
	code, out, _ = runWith(t, "", "pr", "clear", "shared", "--yes", at)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "This removes")
	code, out, _ = runWith(t, "", "pr", "clear", "shared", at)
	require.Equal(t, exitOK, code)
	require.Contains(t, out, "nothing to do")
	require.Len(t, cluster.Changes, 2)
}

// What was confirmed is what is done: a preemption while the question stands
// makes the answer void.
func TestClearOfWhatChangedMeanwhile(t *testing.T) {
	cluster, at := serveCluster(t)
	var out, stderr bytes.Buffer
	root := newRoot()
	root.SetIn(readerFunc(func(p []byte) (int, error) {
		cluster.Preempt("witness", "node2", "node1", admintest.Noon)
		return copy(p, "yes\n"), nil
	}))
	code := executeRoot(context.Background(), root, []string{"pr", "clear", "witness", at}, &out, &stderr)
	require.Equal(t, exitRefused, code)
	require.Contains(t, stderr.String(), "changed meanwhile")
	require.Len(t, cluster.LUN("witness").Reservations.Registrations, 1)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestWatch(t *testing.T) {
	cluster, at := serveCluster(t)
	cluster.Preempt("witness", "node2", "node1", admintest.Noon)
	cluster.Feed.Publish(admin.Event{Kind: "login", Text: "not of the reservations"})
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		root := newRoot()
		done <- executeRoot(ctx, root, []string{"pr", "watch", "-o", "json", at}, w, io.Discard)
		w.Close()
	}()
	d := json.NewDecoder(r)
	var e admin.Event
	require.NoError(t, d.Decode(&e))
	require.Equal(t, "witness", e.LUN)
	cluster.Feed.Publish(admin.Event{Kind: "pr", Text: "live\x1b"})
	require.NoError(t, d.Decode(&e))
	require.Equal(t, `live\x1b`, e.Text)
	cancel()
	_, _ = io.Copy(io.Discard, r)
	require.Equal(t, exitOK, <-done)
}

func TestCompletionKnowsTheObjects(t *testing.T) {
	_, at := serveCluster(t)
	for _, c := range []struct{ args, want string }{
		{"pr show", "witness"}, {"pr clear", "shared"}, {"lun resize", "shared"}, {"session kill", "3"},
		{"target show", admintest.Target}, {"portal show", "192.0.2.5:3260"}, {"initiator show", admintest.Node("node2")},
	} {
		code, out, _ := run(t, append(append([]string{"__complete"}, strings.Fields(c.args)...), at, "")...)
		require.Equal(t, exitOK, code)
		require.Contains(t, out, c.want, c.args)
		require.Contains(t, out, ":4\n", "no file names")
	}
	code, out, _ := run(t, "__complete", "pr", "show", "--data-dir="+t.TempDir(), "")
	require.Equal(t, exitOK, code, "no daemon, no names, no error")
	require.Contains(t, out, ":4\n")
}

// Whatever names initiators have, what is printed is text.
func TestHostileNamesAreInertOnTheTerminal(t *testing.T) {
	cluster, at := serveCluster(t)
	for _, name := range []string{"iqn.x:\x1b[2J\x1b[31m", "iqn.x:a\nb\rc", "iqn.x:%n%s", "iqn.x:\xff\xfe", "iqn.x:\u202e\u009b", "iqn.x:" + strings.Repeat("a", 300), "../../x"} {
		s := &cluster.Now.Sessions[0]
		s.Initiator, s.Host, s.Alias, s.Address, s.User = name, name, name, name, name
		r := &cluster.LUN("witness").Reservations
		r.HolderHost, r.Holder, r.Registrations[0].Host, r.Registrations[0].Initiator = name, name, name, name
		r.Findings = []admin.Problem{{Severity: admin.Warning, Text: name, Advice: name}}
		cluster.Refuse("witness", name, name, name, name, admintest.Noon)
		for _, args := range [][]string{{"status"}, {"pr", "show"}, {"pr", "history"}, {"session", "list"}, {"session", "show", "1"}, {"lun", "list"}, {"pr", "clear", "witness"}} {
			for _, form := range []string{"table", "json", "yaml"} {
				if args[1:] != nil && args[len(args)-1] == "witness" && form != "table" {
					continue
				}
				all := append([]string{}, args...)
				if args[len(args)-1] != "witness" {
					all = append(all, "-o", form)
				}
				_, out, stderr := runWith(t, "", append(all, at)...)
				for _, c := range out + stderr {
					require.True(t, c == '\n' || c == ' ' || unicode.IsPrint(c), "%q in %q", c, out)
				}
			}
		}
	}
}

func TestManySessionsAreListedWhole(t *testing.T) {
	cluster, at := serveCluster(t)
	for i := range 10_000 - 4 {
		cluster.Login(fmt.Sprintf("host%d.with.a.long.name.example.com", i), 1, byte(i))
	}
	began := time.Now()
	code, out, stderr := run(t, "session", "list", at)
	require.Equal(t, exitOK, code, stderr)
	require.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 10_001)
	requireFits(t, out)
	t.Log(time.Since(began))
}

func TestWhen(t *testing.T) {
	for want, at := range map[string]time.Time{
		"13:59:59": now.Add(-time.Second), "Nov 20 14:00": now.Add(-24 * time.Hour), "2025-11-21": now.AddDate(-1, 0, 0), "-": {},
	} {
		require.Equal(t, want, when(at, now))
	}
	for want, d := range map[string]time.Duration{"3 days": 80 * time.Hour, "3 hours": 200 * time.Minute, "2 minutes": 2 * time.Minute, "119 seconds": 119 * time.Second, "0 seconds": -time.Hour} {
		require.Equal(t, want, ago(now.Add(-d), now))
	}
	for want, f := range map[string]float64{"0": 0, "999": 999.4, "1.0k": 999.6, "9.9k": 9940, "10k": 9999, "18k": 18400, "1.0M": 1e6, "999G": 999.4e9, "2000T": 2e15} {
		require.Equal(t, want, short(f))
	}
}

func TestTableGivesWay(t *testing.T) {
	tab := newTable([]string{"A", "NAME", "B"}, "NAME")
	tab.row("1", strings.Repeat("x", 40)+strings.Repeat("y", 60), strings.Repeat("b", 30))
	out := printed(func(w io.Writer) { tab.print(w, "  ") })
	requireFits(t, out)
	require.Contains(t, out, "x…y")
	require.Contains(t, out, strings.Repeat("b", 30), "hard columns stay whole")
}
