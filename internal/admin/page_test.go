package admin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/admin/admintest"
	"nas-target/internal/admin/browsertest"
)

// openPage loads the page of a cluster that is not there.
func openPage(t *testing.T, change ...func(*admintest.Cluster)) (*rig, *browsertest.Browser) {
	t.Helper()
	r := newRig(t)
	for _, f := range change {
		f(r.cluster)
	}
	b := chromium.Open(t)
	b.Go(r.web + "/")
	b.Eventually(func() bool { return b.Text("#live") == "live" && b.Text("#reservations .board") != "" }, "the page does not come to life")
	return r, b
}

func TestPageShowsWhoHoldsWhat(t *testing.T) {
	_, b := openPage(t)
	require.Equal(t, "All is well", b.Text("#health"))
	board := b.Text(`.board[data-lun="witness"]`)
	require.Contains(t, board, "node1")
	require.Contains(t, board, "by RESERVE")
	require.Contains(t, board, "write exclusive registrants only")
	require.Contains(t, board, "0x0000000000001000")
	require.Contains(t, b.Text("#disks"), "WCE=1")
	require.Contains(t, b.Text("#disks"), "10 TiB")
	require.Contains(t, b.Text("#sessions"), "192.0.2.11:49001")
	require.Contains(t, b.Text("#history"), "node1 reserved witness")
	require.Empty(t, b.Complaints())
}

// A preemption shows at once: in the feed, on the board, in the health and in
// the history, without a reload.
func TestPageIsLive(t *testing.T) {
	r, b := openPage(t)
	b.Eval(nil, "window.still = true")
	began := time.Now()
	r.cluster.Preempt("witness", "node2", "node1", time.Now())
	b.Eventually(func() bool {
		return strings.Contains(b.Text(`.board[data-lun="witness"] .holder`), "node2") &&
			strings.Contains(b.Text("#events"), "node2 preempted key") &&
			strings.Contains(b.Text("#history"), "node2 preempted key") &&
			b.Text("#health") == "Needs a look"
	}, "the preemption does not show")
	t.Log(time.Since(began))
	board := b.Text(`.board[data-lun="witness"]`)
	require.Contains(t, board, "node1 lost its registration to a PREEMPT AND ABORT of node2")
	require.Contains(t, board, "7 refused")
	require.Contains(t, board, "by PREEMPT AND ABORT")
	require.Contains(t, board, "That is fencing at work")
	require.Contains(t, b.Text("#problems"), "See the board of witness")
	var still bool
	b.Eval(&still, "return window.still")
	require.True(t, still, "the page was loaded anew")
	require.Empty(t, b.Complaints())
}

func TestPageEndsASession(t *testing.T) {
	r, b := openPage(t)
	b.Click(`button[data-session="3"]`)
	require.Contains(t, b.Text("dialog"), "End the session of node2?")
	b.Click("#ask-no")
	require.Empty(t, r.cluster.Changes)

	b.Click(`button[data-session="3"]`)
	b.Type("#ask-secret", "wrong")
	b.Click("#ask-yes")
	b.Eventually(func() bool { return strings.Contains(b.Text("#ask-error"), "this is not the token") }, "a wrong token is not told")
	require.Empty(t, r.cluster.Changes)
	b.Eval(nil, `document.querySelector("#ask-secret").value = ""`)
	b.Type("#ask-secret", r.token)
	b.Click("#ask-yes")
	b.Eventually(func() bool { return !strings.Contains(b.Text("#sessions"), "192.0.2.13:49003") }, "the session stays")
	r.cluster.Lock()
	require.Equal(t, admin.KillSession{ID: "3"}, r.cluster.Changes[0].Change)
	r.cluster.Unlock()
	b.Eventually(func() bool { return strings.Contains(b.Text("#events"), "was killed by token from 127.0.0.1") }, "no news of it")

	// The token is remembered for this tab: the next change only asks.
	b.Click(`button[data-session="4"]`)
	require.NotContains(t, b.Text("dialog"), "admin.token")
	b.Click("#ask-yes")
	b.Eventually(func() bool { return !strings.Contains(b.Text("#sessions"), "198.51.100.14:49004") }, "the session stays")
}

func TestPageClearsWhatItShowed(t *testing.T) {
	r, b := openPage(t)
	b.Go(r.web + "/#token=" + r.token)
	b.Eval(nil, "location.reload()")
	b.Eventually(func() bool { return b.Text("#live") == "live" && b.Text("#reservations .board") != "" }, "no page")
	b.Click(`button[data-action="clear"][data-lun="witness"]`)
	ask := b.Text("dialog")
	require.Contains(t, ask, "held by node1")
	require.Contains(t, ask, "1 registration of node2, logged in now")
	require.NotContains(t, ask, "Token", "it came with the link")

	// While the question stands node2 preempts: what was confirmed is void.
	r.cluster.Preempt("witness", "node2", "node1", time.Now())
	b.Click("#ask-yes")
	b.Eventually(func() bool { return strings.Contains(b.Text("#ask-error"), "changed meanwhile") }, "a stale confirmation counts")
	b.Click("#ask-no")
	b.Eventually(func() bool { return strings.Contains(b.Text(`.board[data-lun="witness"] .holder`), "node2") }, "no news")
	b.Click(`button[data-action="clear"][data-lun="witness"]`)
	b.Click("#ask-yes")
	b.Eventually(func() bool { return strings.Contains(b.Text(`.board[data-lun="witness"] .holder`), "Nobody") }, "not cleared")
}

func TestPageResizes(t *testing.T) {
	r, b := openPage(t)
	b.Click(`button[data-action="resize"][data-lun="witness"]`)
	b.Type("#ask-secret", r.token)
	b.Eval(nil, `document.querySelector("#ask-value").value = ""`)
	b.Type("#ask-value", "much")
	b.Click("#ask-yes")
	b.Eventually(func() bool { return strings.Contains(b.Text("#ask-error"), "number with a unit") }, "nonsense is a size")
	b.Eval(nil, `document.querySelector("#ask-value").value = "512 MiB"`)
	b.Click("#ask-yes")
	b.Eventually(func() bool { return strings.Contains(b.Text("#ask-error"), "only grows") }, "it shrinks")
	b.Eval(nil, `document.querySelector("#ask-value").value = "2 GiB"`)
	b.Click("#ask-yes")
	b.Eventually(func() bool { return strings.Contains(b.Text("#disks"), "2 GiB") }, "it does not grow")
}

// All of it works without a mouse.
func TestPageByKeyboard(t *testing.T) {
	r, b := openPage(t)
	focused := func() string {
		var s string
		b.Eval(&s, "const e = document.activeElement; return e.className + ' ' + (e.dataset.action || '') + ' ' + (e.dataset.lun || '') + ' ' + e.id")
		return s
	}
	b.Keys(browsertest.Tab)
	require.Contains(t, focused(), "skip")
	for range 40 {
		b.Keys(browsertest.Tab)
		if strings.Contains(focused(), "clear witness") {
			break
		}
	}
	require.Contains(t, focused(), "clear witness")
	// A look at the daemon meanwhile does not take the focus away.
	looks := func() (n int) {
		b.Eval(&n, `return performance.getEntriesByType("resource").filter((e) => e.name.includes("/v1/reservations")).length`)
		return n
	}
	before := looks()
	r.cluster.Feed.Publish(admin.Event{Kind: "daemon", Text: "a look meanwhile"})
	b.Eventually(func() bool { return strings.Contains(b.Text("#events"), "a look meanwhile") && looks() > before }, "no event")
	require.Contains(t, focused(), "clear witness")
	b.Keys(browsertest.Enter)
	require.Contains(t, focused(), "ask-secret")
	b.Keys(browsertest.Escape)
	b.Eventually(func() bool { return b.Text("dialog[open]") == "" }, "Escape does not close it")
	require.Contains(t, focused(), "clear witness")
	b.Keys(browsertest.Enter + r.token + browsertest.Enter)
	b.Eventually(func() bool { return strings.Contains(b.Text(`.board[data-lun="witness"] .holder`), "Nobody") }, "not cleared")
}

// Names that initiators chose are text, whatever they hold: nothing they say is
// run, loaded or drawn as anything else.
func TestPageShowsHostileNamesAsText(t *testing.T) {
	evil := `<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>` + "\x1b[31m\u202e\n</table><h1>owned</h1>javascript:window.pwned=1"
	r, b := openPage(t, func(c *admintest.Cluster) {
		s := c.Login("x", 1, 9)
		s.Initiator, s.Host, s.Alias, s.Address = evil, evil, evil, evil
		s.Oldest = &admin.Command{Name: evil, Seconds: 60}
		w := c.LUN("witness")
		w.Failure, w.Backstore = evil, evil
		w.Reservations.Holder, w.Reservations.HolderHost, w.Reservations.Type = evil, evil, evil
		w.Reservations.Registrations[0].Host, w.Reservations.Registrations[0].Initiator, w.Reservations.Registrations[0].Key = evil, evil, evil
		w.Reservations.Others = []admin.Bystander{{Host: evil, Initiator: evil, ISID: evil, Address: evil, Access: "none"}}
		w.Reservations.Findings = []admin.Problem{{Severity: admin.Critical, Text: evil, Advice: evil}}
		c.Refuse("witness", evil, evil, evil, evil, time.Now())
	})
	r.cluster.Feed.Publish(admin.Event{Kind: "login", Text: evil})
	b.Eventually(func() bool { return strings.Contains(b.Text("#events"), "<img src=x") }, "the name does not show")
	var found struct {
		Pwned            bool
		Images, Scripts  int
		Headings, Tables int
	}
	b.Eval(&found, `return {pwned: !!window.pwned, images: document.querySelectorAll("main img").length,
		scripts: document.querySelectorAll("script").length, headings: document.querySelectorAll("h1").length, tables: document.querySelectorAll("table").length}`)
	require.False(t, found.Pwned)
	require.Zero(t, found.Images)
	require.Equal(t, 1, found.Scripts)
	require.Equal(t, 1, found.Headings)
	require.Equal(t, 4, found.Tables, "the disks, two boards and the sessions")
	for _, css := range []string{"#sessions", "#reservations", "#disks", "#events", "#history", "#problems"} {
		text := b.Text(css)
		require.Contains(t, text, "<script>window.pwned=1</script>", css)
		require.Contains(t, text, `\x1b[31m\u202e`, css)
	}
	require.Empty(t, b.Complaints())
}

// busy is a cluster on a bad day, for the eye: a node was fenced, a flush takes
// long, and one disk is of another kind.
func busy() *admintest.Cluster {
	now := time.Now()
	c := admintest.NewAt(now.Add(-2 * time.Hour))
	archive := *c.LUN("witness")
	archive.Name, archive.LUN, archive.Bytes, archive.Allocated, archive.WriteCache = "archive", 2, 40<<40, 11<<40, false
	archive.Traffic = admin.Traffic{Now: &admin.Rate{Reads: 40, ReadBytes: 38 << 20, ReadLatency: 0.0041}}
	archive.Reservations = admin.Reservations{LUN: "archive", Condition: "normal", Registrations: []admin.Registration{}, Others: []admin.Bystander{}, Findings: []admin.Problem{}}
	c.Now.Targets[0].LUNs = append(c.Now.Targets[0].LUNs, archive)
	c.Before = append(c.Before, admintest.PastOf("archive", *archive.Traffic.Now, c.Now.Time))
	c.Now.Sessions[3].Oldest, c.Now.Sessions[3].Commands = &admin.Command{Name: "SYNCHRONIZE CACHE(10)", LUN: 1, Seconds: 42}, 31
	c.Feed.Publish(admin.Event{Time: now.Add(-80 * time.Minute), Kind: "login", Text: "node1 logged in: from 192.0.2.11:49001, session 1"})
	c.Refuse("shared", "node1", "reserve", "reservation-conflict", "node1 was refused RESERVE on shared: it is held by node2", now.Add(-time.Hour))
	c.Preempt("witness", "node2", "node1", now.Add(-10*time.Minute))
	c.Feed.Publish(admin.Event{Time: now.Add(-9 * time.Minute), Kind: "conflict", Severity: admin.Warning, LUN: "witness", Text: "node1 was refused WRITE(16) on witness: RESERVATION CONFLICT"})
	return c
}

// The page is readable on a phone and on a wall, and nothing sticks out.
// SHOTS=dir keeps the pictures that the documentation shows (make screenshots).
func TestPageFitsEveryScreen(t *testing.T) {
	b := chromium.Open(t)
	b.Go(newRigOf(t, busy()).web + "/")
	b.Eventually(func() bool {
		return b.Text("#live") == "live" && strings.Contains(b.Text("#events"), "was refused WRITE(16)") && b.Text(".chart svg") == "" && b.Text(".lanes") != ""
	}, "the page does not come to life")
	for _, screen := range []struct {
		name          string
		width, height int
	}{{"phone", 400, 800}, {"desk", 1024, 800}, {"wall", 1600, 1000}} {
		b.Size(screen.width, screen.height)
		for _, dark := range []bool{false, true} {
			b.Dark(dark)
			var wide int
			b.Eval(&wide, "return document.documentElement.scrollWidth")
			require.LessOrEqual(t, wide, screen.width, "%s has to be scrolled sideways", screen.name)
			if dir := os.Getenv("SHOTS"); dir != "" && screen.name != "desk" {
				name := screen.name + map[bool]string{false: "-light", true: "-dark"}[dark] + ".png"
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), b.Picture(1800), 0o644))
			}
			var low []string
			b.Eval(&low, contrast)
			require.Empty(t, low, "%s dark=%v: text too faint to read", screen.name, dark)
		}
	}
	require.Empty(t, b.Complaints())
}

var directive = regexp.MustCompile(`directive:? ["']([a-z]+-src)`)

// contrast lists texts whose contrast with what is behind them is below 4.5:1,
// the least that WCAG 2.2 asks for (1.4.3).
const contrast = `
const rgb = (s) => (s.match(/[\d.]+/g) || []).map(Number);
const lum = ([r, g, b]) => [r, g, b].map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; })
	.reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return c; } return [255, 255, 255]; };
const bad = [];
for (const e of document.querySelectorAll("body *")) {
	if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility() || e.closest(":disabled, .skip, noscript")) continue;
	const a = lum(rgb(getComputedStyle(e).color)), b = lum(behind(e));
	const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
	if (ratio < 4.5) bad.push(e.tagName + "." + e.className + " " + ratio.toFixed(2) + " " + e.textContent.slice(0, 40));
}
return bad;`

// The page asks its own daemon and nobody else, and works without a network.
func TestPageAsksNobodyElse(t *testing.T) {
	r, b := openPage(t)
	b.Click("#key")
	b.Keys(browsertest.Escape)
	asked := b.Requests()
	require.Contains(t, asked, r.web+"/page/app.js")
	require.Contains(t, asked, r.web+"/v1/events")
	for _, url := range asked {
		require.True(t, strings.HasPrefix(url, r.web+"/"), url)
	}
}

// Whatever text would get into the page as markup could neither run nor load nor
// send anything: the content security policy stands behind the escaping.
func TestPolicyStopsWhatGetsIn(t *testing.T) {
	_, b := openPage(t)
	require.Empty(t, b.Complaints())
	b.Eval(nil, `
		document.body.insertAdjacentHTML("beforeend", '<p id="in" style="position:fixed" onclick="window.ran=1">in</p>');
		const s = document.createElement("script"); s.textContent = "window.ran = 1"; document.body.append(s);
		for (const tag of ["img", "iframe", "script"]) { const e = document.createElement(tag); e.src = "http://127.0.0.1:9/x"; document.body.append(e); }
		fetch("http://127.0.0.1:9/stolen").catch(() => {});
		document.getElementById("in").click();`)
	var kinds []string
	b.Eventually(func() bool {
		for _, c := range b.Complaints() {
			if m := directive.FindStringSubmatch(c); m != nil {
				kinds = append(kinds, m[1])
			}
		}
		return len(kinds) >= 7
	}, "the browser does not complain of all")
	slices.Sort(kinds)
	require.Equal(t, []string{"connect-src", "default-src", "img-src", "script-src", "script-src", "script-src", "style-src"}, kinds)
	var got struct {
		Ran      bool
		Position string
	}
	b.Eval(&got, `return {ran: !!window.ran, position: getComputedStyle(document.getElementById("in")).position}`)
	require.False(t, got.Ran)
	require.Equal(t, "static", got.Position)
}

// A page of another site can neither frame this one nor change anything through
// the browser of an operator, who has the token in another tab.
func TestOtherSitesAreStrangers(t *testing.T) {
	r, b := openPage(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<iframe id="f" src="%[1]s/"></iframe><script>
			const asked = [["GET", "/v1/sessions"], ["POST", "/v1/sessions/1"], ["DELETE", "/v1/sessions/1"], ["DELETE", "/v1/luns/witness/reservations"]].flatMap(([method, path]) =>
				["cors", "no-cors"].map((mode) => fetch("%[1]s" + path, {method, mode, credentials: "include", headers: mode === "cors" ? {Authorization: "Bearer %[2]s", "If-Match": "*"} : {}})
					.then((x) => x.text()).then((x) => x, () => "")));
			document.getElementById("f").onload = async (e) => {
				let inside = "";
				try { inside = e.target.contentDocument.body.innerText; } catch { inside = ""; }
				window.told = (await Promise.all(asked)).join("") + inside;
				window.done = true;
			};</script>`, r.web, r.token)
	}))
	defer elsewhere.Close()
	b.Go(strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1) + "/")
	var told struct {
		Done bool
		Told string
	}
	b.Eventually(func() bool {
		b.Eval(&told, "return {done: !!window.done, told: window.told || ''}")
		return told.Done
	}, "the other page is not done")
	require.Empty(t, told.Told)
	require.Contains(t, strings.Join(b.Complaints(), "\n"), "frame-ancestors", "the frame stays empty")
	r.cluster.Lock()
	defer r.cluster.Unlock()
	require.Empty(t, r.cluster.Changes)
}

// With ten thousand sessions, a thousand of them registered, the page comes up,
// follows what happens and lets a session be found and ended.
func TestPageCarriesACrowd(t *testing.T) {
	r := newRig(t)
	crowd(r.cluster, 10_000, 1000)
	b := chromium.Open(t)
	b.Go(r.web + "/")
	b.Eventually(func() bool { return b.Text("#live") == "live" && b.Text("#reservations .board") != "" }, "no page")
	require.Contains(t, b.Text("#summary"), "10k")
	require.Contains(t, b.Text("#sessions"), "The first 100 of 10000")
	board := b.Text(`.board[data-lun="shared"]`)
	require.Contains(t, board, "1000 registrations")
	require.Contains(t, board, "950 more registrations")
	require.Contains(t, board, "node2")
	var size struct{ Nodes, Bytes int }
	b.Eval(&size, `return {nodes: document.querySelectorAll("*").length,
		bytes: performance.getEntriesByType("resource").reduce((most, e) => Math.max(most, e.decodedBodySize), 0)}`)
	require.Less(t, size.Nodes, 8000)
	require.Less(t, size.Bytes, 1<<20, "no answer is a burden")

	// A storm of events is drawn a few times a second, and the page goes on
	// answering the keyboard.
	b.Eval(nil, `window.late = 0; let last = performance.now();
		setInterval(() => { window.late = Math.max(window.late, performance.now() - last); last = performance.now(); }, 20);`)
	for i := range 2000 {
		r.cluster.Feed.Publish(admin.Event{Kind: "login", Text: fmt.Sprintf("host%05d logged in", i)})
	}
	b.Type("#find", "host09876")
	b.Eventually(func() bool { return strings.Contains(b.Text("#sessions tbody"), "host09876") }, "it is not found")
	b.Eventually(func() bool { return strings.Contains(b.Text("#events"), "host01999 logged in") }, "the storm does not end")
	var late float64
	b.Eval(&late, "return window.late")
	t.Logf("%d elements, %d bytes, busy for %.0f ms at most", size.Nodes, size.Bytes, late)
	require.Less(t, late, 2000.0)
	b.Click(`#sessions tbody button[data-action="kill"]`)
	require.Contains(t, b.Text("dialog"), "End the session of host09876")
	b.Type("#ask-secret", r.token)
	b.Click("#ask-yes")
	b.Eventually(func() bool {
		return strings.Contains(b.Text("#sessions .body"), "Nobody with “host09876” is logged in")
	}, "it stays")
	require.Empty(t, b.Complaints())
}

func TestPageOfARemoteDaemonAsksForTheToken(t *testing.T) {
	r := newRig(t)
	l, err := admin.ListenWeb("127.0.0.1:0", nil)
	require.NoError(t, err)
	r.serve(l, r.api.Web(admin.WebOptions{Token: r.token, Hosts: []string{l.Addr().String()}}))
	b := chromium.Open(t)
	b.Go("http://" + l.Addr().String() + "/")
	b.Eventually(func() bool { return strings.Contains(b.Text("dialog[open]"), "admin.token") }, "it does not ask")
	require.NotContains(t, b.Text("main"), "node1")
	b.Type("#ask-secret", r.token)
	b.Click("#ask-yes")
	b.Eventually(func() bool { return strings.Contains(b.Text("#reservations"), "node1") && b.Text("#live") == "live" }, "the token does not help")
}

// When the daemon goes away the page says so, and it comes back by itself.
func TestPageSurvivesARestart(t *testing.T) {
	c := admintest.New()
	c.Feed = admin.NewFeed(20)
	r := newRigOf(t, c)
	l, err := admin.ListenWeb("127.0.0.1:0", nil)
	require.NoError(t, err)
	at := l.Addr().String()
	web := r.api.Web(admin.WebOptions{Token: r.token, Local: true, Hosts: []string{at}})
	s := admin.Serve(l, web)
	b := chromium.Open(t)
	b.Go("http://" + at + "/")
	c.Feed.Publish(admin.Event{Kind: "daemon", Text: "before"})
	b.Eventually(func() bool { return b.Text("#live") == "live" && strings.Contains(b.Text("#events"), "before") }, "no page")
	require.NoError(t, s.Close(t.Context()))
	b.Eventually(func() bool {
		return b.Text("#live") == "reconnecting" && b.Text("#health") == "The daemon does not answer"
	}, "the loss does not show")
	require.Contains(t, b.Text("#facts"), "what is shown is from 1")
	for range 50 {
		c.Feed.Publish(admin.Event{Kind: "daemon", Text: "meanwhile"})
	}
	l, err = admin.ListenWeb(at, nil)
	require.NoError(t, err)
	r.serve(l, web)
	b.Eventually(func() bool { return b.Text("#live") == "live" && b.Text("#health") == "All is well" }, "it does not come back")
	b.Eventually(func() bool { return strings.Contains(b.Text("#events"), "30 events were missed") }, "the gap does not show")
}

// A disk that could not be opened says why, and can be opened from here.
func TestPageOpensADiskAgain(t *testing.T) {
	r, b := openPage(t, func(c *admintest.Cluster) {
		l := c.LUN("shared")
		l.Absent, l.Failure = true, "no such file or directory"
	})
	require.Equal(t, "Something is broken", b.Text("#health"))
	require.Contains(t, b.Text("#problems"), "shared cannot be opened and is not ready: no such file or directory")
	require.Contains(t, b.Text(`tr[data-lun="shared"]`), "absent")
	require.NotContains(t, b.Text(`tr[data-lun="shared"]`), "Resize")
	b.Click(`button[data-action="retry"]`)
	b.Type("#ask-secret", r.token)
	b.Click("#ask-yes")
	b.Eventually(func() bool {
		return b.Text("#health") == "All is well" && strings.Contains(b.Text(`tr[data-lun="shared"]`), "Resize")
	}, "it stays absent")
}

// The history is paged and sifted.
func TestPageTurnsHistoryOver(t *testing.T) {
	_, b := openPage(t, func(c *admintest.Cluster) {
		for i := range 120 {
			c.Refuse("shared", "node1", "reserve", "reservation-conflict", fmt.Sprintf("refusal %03d of node1", i), admintest.Noon.Add(time.Hour))
		}
	})
	entries := func() (n int) {
		b.Eval(&n, `return document.querySelectorAll(".timeline li:not(.day)").length`)
		return n
	}
	require.Equal(t, 50, entries())
	require.Contains(t, b.Text("#history"), "refusal 119")
	b.Click("#older")
	b.Eventually(func() bool { return entries() == 100 }, "there is no more")
	b.Click("#older")
	b.Eventually(func() bool {
		return strings.Contains(b.Text("#history"), "node1 reserved witness") && b.Text("#older:not([hidden])") == ""
	}, "the end is not reached")
	require.Contains(t, b.Text(".lanes"), "witness", "who held it is drawn")
	b.Click("#history-refused")
	b.Eventually(func() bool { return entries() == 50 && b.Text(".lanes") == "" }, "it is not sifted")
	b.Eval(nil, `const s = document.getElementById("history-lun"); s.value = "witness"; s.dispatchEvent(new Event("change"))`)
	b.Eventually(func() bool { return strings.Contains(b.Text("#history"), "Nothing happened.") }, "it is of all disks")
}
