package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/admin/admintest"
)

func TestOverview(t *testing.T) {
	r := newRig(t)
	o, err := r.client.Overview(t.Context())
	require.NoError(t, err)
	require.Equal(t, admin.HealthOK, o.Health)
	require.Empty(t, o.Problems)
	require.Equal(t, 4, o.Sessions)
	require.Len(t, o.LUNs, 2)
	require.Equal(t, "node1", o.LUNs[0].Reservation.HolderHost)
	require.Equal(t, 2, o.LUNs[0].Reservation.Registrations)
}

func TestHealthIsTheWorstProblem(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*admintest.Cluster)
		health admin.Health
		codes  []string
	}{
		"a portal is down": {func(c *admintest.Cluster) { c.Now.Portals[0].Error = "address not available" }, admin.HealthCritical, []string{"portal_down"}},
		"a LUN failed":     {func(c *admintest.Cluster) { c.LUN("shared").Failure = "flush failed: input/output error" }, admin.HealthCritical, []string{"lun_failed"}},
		"open":             {func(c *admintest.Cluster) { c.Now.Targets[0].Access = "open" }, admin.HealthOK, []string{"open_access"}},
		"a command is stuck": {func(c *admintest.Cluster) {
			c.Now.Sessions[2].Oldest = &admin.Command{Name: "WRITE(16)", LUN: 1, Seconds: 31}
		}, admin.HealthWarning, []string{"command_stuck"}},
		"a young command": {func(c *admintest.Cluster) { c.Now.Sessions[2].Oldest = &admin.Command{Seconds: 29} }, admin.HealthOK, nil},
		"many stuck": {func(c *admintest.Cluster) {
			for i := range 20 {
				c.Login("node1", 1, byte(10+i)).Oldest = &admin.Command{Seconds: 60}
			}
		}, admin.HealthWarning, []string{"command_stuck", "command_stuck", "command_stuck", "command_stuck", "command_stuck", "command_stuck", "command_stuck", "command_stuck", "command_stuck"}},
		"fenced": {func(c *admintest.Cluster) { c.Preempt("witness", "node2", "node1", admintest.Noon) }, admin.HealthWarning, []string{"preempted"}},
		"gravest first": {func(c *admintest.Cluster) {
			c.Preempt("witness", "node2", "node1", admintest.Noon)
			c.Now.Problems = []admin.Problem{{Severity: admin.Info, Code: "a"}, {Severity: admin.Critical, Code: "b"}}
		}, admin.HealthCritical, []string{"b", "preempted", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c.change(r.cluster)
			o, err := r.client.Overview(t.Context())
			require.NoError(t, err)
			var codes []string
			for _, p := range o.Problems {
				codes = append(codes, p.Code)
				require.NotEmpty(t, p.Severity)
			}
			require.Equal(t, c.codes, codes)
			require.Equal(t, c.health, o.Health)
		})
	}
}

func TestListsTravelWhole(t *testing.T) {
	r := newRig(t)
	want := r.cluster.Status(t.Context())
	ctx := t.Context()

	portals, err := r.client.Portals(ctx)
	require.NoError(t, err)
	require.Equal(t, want.Portals, portals)
	sessions, err := r.client.Sessions(ctx)
	require.NoError(t, err)
	require.Equal(t, want.Sessions, sessions)
	initiators, err := r.client.Initiators(ctx)
	require.NoError(t, err)
	require.Equal(t, want.Targets[0].Initiators, initiators)
	targets, err := r.client.Targets(ctx)
	require.NoError(t, err)
	require.Len(t, targets, 1)
	require.Equal(t, want.Targets[0].Name, targets[0].Name)
	require.Equal(t, "node1", targets[0].LUNs[0].Reservation.HolderHost)
	reservations, err := r.client.Reservations(ctx)
	require.NoError(t, err)
	require.Equal(t, []admin.Reservations{want.Targets[0].LUNs[0].Reservations, want.Targets[0].LUNs[1].Reservations}, reservations)
	one, err := r.client.ReservationsOf(ctx, "shared")
	require.NoError(t, err)
	require.Equal(t, reservations[1], one)
	l, err := r.client.LUN(ctx, "shared")
	require.NoError(t, err)
	require.Equal(t, want.Targets[0].LUNs[1].NAA, l.NAA)
	s, err := r.client.Session(ctx, "3")
	require.NoError(t, err)
	require.Equal(t, "node2", s.Host)
}

// A list is never null: programs iterate over it.
func TestEmptyListsAreLists(t *testing.T) {
	r := newRig(t)
	r.cluster.Now = admin.Status{}
	for _, path := range []string{"targets", "portals", "initiators", "luns", "reservations", "sessions"} {
		_, body := r.onSocket("GET", "/v1/"+path, "")
		require.Equal(t, "{\"items\":[],\"total\":0}\n", body, path)
	}
	_, body := r.onSocket("GET", "/v1/history?lun=none", "")
	require.Contains(t, body, `"entries":[]`)
}

func TestSessionsCanBePickedAndPaged(t *testing.T) {
	r := newRig(t)
	r.cluster.Now.Sessions[3].Oldest = &admin.Command{Seconds: 3}
	type answer struct {
		Items []admin.Session `json:"items"`
		Total int             `json:"total"`
		More  bool            `json:"more"`
	}
	for query, want := range map[string]struct {
		ids  string
		more bool
	}{
		"":                                      {"4 1 2 3", false},
		"?limit=3":                              {"4 1 2", true},
		"?limit=3&offset=3":                     {"3", false},
		"?offset=9":                             {"", false},
		"?initiator=NODE2":                      {"4 3", false},
		"?initiator=" + admintest.Node("node1"): {"1 2", false},
		"?target=" + admintest.Target:           {"4 1 2 3", false},
		"?target=iqn.2026-11.com.example:clust": {"", false},
	} {
		status, body := r.onSocket("GET", "/v1/sessions"+query, "")
		require.Equal(t, 200, status, body)
		a := decode[answer](t, body)
		var ids []string
		for _, s := range a.Items {
			ids = append(ids, s.ID)
		}
		require.Equal(t, want.ids, strings.Join(ids, " "), query)
		require.Equal(t, want.more, a.More, query)
	}
}

func TestHistoryQueryTravels(t *testing.T) {
	r := newRig(t)
	r.cluster.Refuse("shared", "node2", "reserve", "reservation-conflict", "node2 was refused RESERVE on shared: it is held by node1", admintest.Noon.Add(time.Hour))
	ctx := t.Context()
	all, err := r.client.History(ctx, admin.HistoryQuery{})
	require.NoError(t, err)
	require.Len(t, all.Entries, 9)
	require.False(t, all.More)
	require.Equal(t, uint64(9), all.Entries[0].Entry)
	page, err := r.client.History(ctx, admin.HistoryQuery{Limit: 2, Before: 9, LUN: "witness", Initiator: "node1", Kind: "pr"})
	require.NoError(t, err)
	require.Len(t, page.Entries, 2)
	for _, e := range page.Entries {
		require.Equal(t, "node1", e.Host)
		require.Equal(t, "witness", e.LUN)
	}
	refused, err := r.client.History(ctx, admin.HistoryQuery{Refused: true, Since: admintest.Noon.Add(59 * time.Minute)})
	require.NoError(t, err)
	require.Len(t, refused.Entries, 1)
}

func TestChanges(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	require.NoError(t, r.client.KillSession(ctx, "2"))
	res, err := r.client.ReservationsOf(ctx, "witness")
	require.NoError(t, err)
	require.NoError(t, r.client.ClearReservations(ctx, "witness", res.Version))
	l, err := r.client.LUN(ctx, "shared")
	require.NoError(t, err)
	require.NoError(t, r.client.Resize(ctx, "shared", l.Version, 20<<40))
	r.cluster.Lock()
	r.cluster.LUN("shared").Failure = "x"
	r.cluster.Unlock()
	require.NoError(t, r.client.ClearFailure(ctx, "shared"))

	uid := fmt.Sprintf("uid %d", os.Getuid())
	require.Equal(t, []admintest.Applied{
		{By: uid, Change: admin.KillSession{ID: "2"}},
		{By: uid, IfVersion: res.Version, Change: admin.ClearReservations{LUN: "witness"}},
		{By: uid, IfVersion: l.Version, Change: admin.Resize{LUN: "shared", Bytes: 20 << 40}},
		{By: uid, Change: admin.ClearFailure{LUN: "shared"}},
	}, r.cluster.Changes)
	res, err = r.client.ReservationsOf(ctx, "witness")
	require.NoError(t, err)
	require.Empty(t, res.Registrations)
}

func TestWhatIsNotGranted(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	res, err := r.client.ReservationsOf(ctx, "witness")
	require.NoError(t, err)
	r.cluster.Preempt("witness", "node2", "node1", admintest.Noon)

	for name, c := range map[string]struct {
		err  error
		want error
		says string
	}{
		"clear of what changed": {r.client.ClearReservations(ctx, "witness", res.Version), admin.ErrStale, "changed meanwhile"},
		"clear of no LUN":       {r.client.ClearReservations(ctx, "none", "1"), admin.ErrNotFound, "none"},
		"kill of no session":    {r.client.KillSession(ctx, "99"), admin.ErrNotFound, "99"},
		"no failure":            {r.client.ClearFailure(ctx, "shared"), admin.ErrRefused, "has no failure"},
		"shrink":                {r.client.Resize(ctx, "shared", "*", 1), admin.ErrStale, ""},
	} {
		require.ErrorIs(t, c.err, c.want, name)
		require.ErrorContains(t, c.err, c.says, name)
	}
	_, err = r.client.LUN(ctx, "../../etc/passwd")
	require.ErrorIs(t, err, admin.ErrNotFound)
	_, err = r.client.Session(ctx, "99")
	require.ErrorIs(t, err, admin.ErrNotFound)
	r.cluster.Fail = errors.New("disk on fire")
	require.ErrorContains(t, r.client.KillSession(ctx, "1"), "disk on fire")
}

func TestRequestsThatAreWrong(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		status             int
	}{
		"clear without version":   {"DELETE", "/v1/luns/witness/reservations", "", nil, 428},
		"clear with any version":  {"DELETE", "/v1/luns/witness/reservations", "", []string{"If-Match", "*"}, 204},
		"resize without version":  {"PATCH", "/v1/luns/shared", `{"bytes":1}`, nil, 428},
		"resize to a smaller":     {"PATCH", "/v1/luns/shared", `{"bytes":1}`, []string{"If-Match", "*"}, 409},
		"resize to a word":        {"PATCH", "/v1/luns/shared", `{"bytes":"big"}`, []string{"If-Match", "*"}, 422},
		"resize to nothing":       {"PATCH", "/v1/luns/shared", `{}`, []string{"If-Match", "*"}, 422},
		"resize to less than one": {"PATCH", "/v1/luns/shared", `{"bytes":0}`, []string{"If-Match", "*"}, 422},
		"unknown property":        {"PATCH", "/v1/luns/shared", `{"bytes":1,"byts":2}`, []string{"If-Match", "*"}, 422},
		"no JSON":                 {"PATCH", "/v1/luns/shared", `{`, []string{"If-Match", "*"}, 400},
		"weak tag":                {"DELETE", "/v1/luns/witness/reservations", "", []string{"If-Match", `W/"1"`}, 400},
		"list of tags":            {"DELETE", "/v1/luns/witness/reservations", "", []string{"If-Match", `"1", "2"`}, 400},
		"too much":                {"PATCH", "/v1/luns/shared", `{"x":"` + strings.Repeat("a", admin.MaxBody) + `"}`, []string{"If-Match", "*"}, 413},
		"unknown parameter":       {"GET", "/v1/sessions?limt=3", "", nil, 422},
		"bad parameter":           {"GET", "/v1/sessions?limit=0", "", nil, 422},
		"limit beyond reason":     {"GET", "/v1/history?limit=100000", "", nil, 422},
		"unknown path":            {"GET", "/v2/status", "", nil, 404},
		"wrong method":            {"POST", "/v1/status", "", nil, 405},
		"bad event number":        {"GET", "/v1/events", "", []string{"Last-Event-ID", "x"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := r.onSocket(c.method, c.path, c.body, append(c.header, "Content-Type", "application/json")...)
			require.Equal(t, c.status, status, body)
			if status >= 400 && status != 404 && status != 405 {
				p := decode[struct {
					Title, Detail string
					Status        int
				}](t, body)
				require.Equal(t, status, p.Status)
				require.NotEmpty(t, p.Title)
				require.NotEmpty(t, p.Detail)
			}
		})
	}
}

func TestETags(t *testing.T) {
	r := newRig(t)
	resp, body := r.ask("GET", "/v1/luns/witness/reservations", "")
	require.Equal(t, `"`+decode[admin.Reservations](t, body).Version+`"`, resp.Header.Get("ETag"))
	resp, body = r.ask("GET", "/v1/luns/witness", "")
	require.Equal(t, `"`+decode[admin.LUN](t, body).Version+`"`, resp.Header.Get("ETag"))
}

func TestProblemsAreRFC9457(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/v1/luns/none", "/v1/sessions?limit=0"} {
		resp, _ := r.ask("GET", path, "")
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"), path)
	}
}

func TestProbes(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		status, body := r.onSocket("GET", path, "")
		require.Equal(t, 200, status, body)
		resp, _ := r.ask("GET", path, "")
		require.Equal(t, 200, resp.StatusCode)
	}
	r.cluster.Now.Ready = false
	status, _ := r.onSocket("GET", "/readyz", "")
	require.Equal(t, http.StatusServiceUnavailable, status)
	status, _ = r.onSocket("GET", "/healthz", "")
	require.Equal(t, 200, status, "a daemon that is not ready is alive")
}

// The description is part of the product: docs/openapi.json is what is served.
// UPDATE=1 rewrites it.
func TestDescription(t *testing.T) {
	r := newRig(t)
	_, body := r.onSocket("GET", "/openapi.json", "")
	doc := decode[struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string
		}
	}](t, body)
	require.True(t, strings.HasPrefix(doc.OpenAPI, "3.1"), doc.OpenAPI)
	n := 0
	for path, ops := range doc.Paths {
		for method, op := range ops {
			require.NotEmpty(t, op.Summary, "%s %s", method, path)
			n++
		}
	}
	require.NotZero(t, n, "operations")

	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, []byte(body), "", " "))
	const file = "../../docs/openapi.json"
	got := strings.ReplaceAll(pretty.String(), `"version": "1.2.3"`, `"version": "v1"`)
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "run with UPDATE=1 and commit %s", file)
}

// hostile are names that should stay text wherever they go.
var hostile = []string{
	"iqn.2026-11.evil:\x1b[2J\x1b[31mnode", "iqn.2026-11.evil:a\nb\r\nid: 7\n\ndata: {}\n\n", "iqn.2026-11.evil:%n%s%x", "iqn.2026-11.evil:../../etc/passwd",
	"iqn.2026-11.evil:\xff\xfe\x80", "iqn.2026-11.evil:</script><script>alert(1)</script>", "iqn.2026-11.evil:\u202egnp.exe\u2028",
	"iqn.2026-11.evil:" + strings.Repeat("a", 400), "iqn.2026-11.evil:\x7f\u009b31m",
}

func requireInert(t *testing.T, body string) {
	t.Helper()
	for _, r := range body {
		require.True(t, r == ' ' || r == '\n' || unicode.IsPrint(r), "%q in %q", r, body)
	}
	require.NotContains(t, body, `\u001b`)
}

// Whatever names arrive here, no answer holds a control character, encoded or
// not, and every answer stays whole.
func TestHostileNamesAreInert(t *testing.T) {
	r := newRig(t)
	for _, name := range hostile {
		s := r.cluster.Login("node1", 1, 1)
		s.Initiator, s.Host, s.Alias, s.User, s.Address = name, name, name, name, name
		w := r.cluster.LUN("witness")
		w.Reservations.Holder, w.Reservations.HolderHost = name, name
		w.Reservations.Registrations[0].Initiator, w.Reservations.Registrations[0].Host = name, name
		w.Reservations.Findings = []admin.Problem{{Severity: admin.Warning, Text: name}}
		r.cluster.Refuse("witness", name, name, name, name, admintest.Noon)
		r.cluster.Feed.Publish(admin.Event{Kind: "login", Text: name, Initiator: name})

		for _, path := range []string{"/v1/status", "/v1/sessions", "/v1/reservations", "/v1/luns/witness/reservations", "/v1/history", "/v1/sessions?initiator=%1b%0a"} {
			_, body := r.onSocket("GET", path, "")
			requireInert(t, body)
			require.True(t, json.Valid([]byte(body)))
		}
		_, body := r.onSocket("GET", "/v1/luns/"+strings.ReplaceAll(strings.ReplaceAll(fmt.Sprintf("%x", name), " ", ""), "%", ""), "")
		requireInert(t, body)
	}
	resp, err := r.client.Sessions(t.Context())
	require.NoError(t, err)
	for _, s := range resp {
		requireInert(t, s.Initiator)
	}
}
