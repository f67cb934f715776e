package browsertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Chromium is a running browser, started by the first Open. The zero value is
// ready; its tests take turns.
type Chromium struct {
	driver  *exec.Cmd
	drained chan struct{} // the driver's output is read to its end
	http    http.Client
	session string // URL of the WebDriver session; "" until it runs
	home    string // handle of the window that stays
}

// Browser is a window of it.
type Browser struct {
	t testing.TB
	c *Chromium
}

var listening = regexp.MustCompile(`started successfully on port (\d+)`)

// Open opens a window that ends with the test. It needs the programs chromium
// and chromedriver.
func (c *Chromium) Open(t testing.TB) *Browser {
	t.Helper()
	b := &Browser{t, c}
	if c.session == "" {
		require.NoError(t, c.start(), "install the packages chromium and chromium-driver")
	}
	b.call("GET", "/window", nil, &c.home)
	var made struct{ Handle string }
	b.call("POST", "/window/new", map[string]string{"type": "tab"}, &made)
	b.call("POST", "/window", map[string]string{"handle": made.Handle}, nil)
	t.Cleanup(func() {
		_, err := c.try("DELETE", "/window", nil)
		require.NoError(t, err)
		b.call("POST", "/window", map[string]string{"handle": c.home}, nil)
	})
	b.Complaints() // what an earlier window left behind
	b.Requests()
	return b
}

func (c *Chromium) start() error {
	c.driver = exec.Command("chromedriver", "--port=0")
	out, err := c.driver.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.driver.Start(); err != nil {
		return err
	}
	port := ""
	lines := bufio.NewScanner(out)
	for port == "" && lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			port = m[1]
		}
	}
	c.drained = make(chan struct{})
	go func() {
		defer close(c.drained)
		_, _ = io.Copy(io.Discard, out)
	}()
	c.http = http.Client{Timeout: time.Minute, Transport: &http.Transport{}}
	c.session = "http://127.0.0.1:" + port + "/session"
	v, err := c.try("POST", "", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{
		"browserName":             "chrome",
		"goog:chromeOptions":      map[string]any{"args": []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking"}},
		"goog:loggingPrefs":       map[string]any{"browser": "ALL", "performance": "ALL"},
		"unhandledPromptBehavior": "accept and notify",
	}}})
	if err != nil {
		return err
	}
	var made struct{ SessionID string }
	if err := json.Unmarshal(v, &made); err != nil {
		return err
	}
	c.session += "/" + made.SessionID
	return nil
}

// Close ends the browser, if it was started.
func (c *Chromium) Close() {
	if c.driver == nil || c.driver.Process == nil {
		return
	}
	if c.session != "" {
		_, _ = c.try("DELETE", "", nil)
	}
	c.http.CloseIdleConnections()
	_ = c.driver.Process.Kill()
	<-c.drained
	_ = c.driver.Wait()
}

// try sends a command and returns the value of its answer.
func (c *Chromium) try(method, path string, body any) (json.RawMessage, error) {
	var content io.Reader
	if method == "POST" {
		if body == nil {
			body = struct{}{}
		}
		j, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(j)
	}
	req, err := http.NewRequest(method, c.session+path, content)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct{ Value json.RawMessage }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s", method, path, answer.Value)
	}
	return answer.Value, nil
}

func (b *Browser) call(method, path string, body, into any) {
	b.t.Helper()
	v, err := b.c.try(method, path, body)
	require.NoError(b.t, err)
	if into != nil {
		require.NoError(b.t, json.Unmarshal(v, into))
	}
}

// Go loads a page.
func (b *Browser) Go(url string) {
	b.t.Helper()
	b.call("POST", "/url", map[string]string{"url": url}, nil)
}

// Size sets the size of the page as it is drawn, in CSS pixels.
func (b *Browser) Size(width, height int) {
	b.t.Helper()
	b.devtools("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false})
}

// Dark chooses the color scheme.
func (b *Browser) Dark(on bool) {
	b.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	b.devtools("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}})
}

func (b *Browser) devtools(cmd string, params map[string]any) {
	b.t.Helper()
	b.call("POST", "/goog/cdp/execute", map[string]any{"cmd": cmd, "params": params}, nil)
}

// Eval runs a function body in the page and decodes what it returns.
func (b *Browser) Eval(into any, script string, args ...any) {
	b.t.Helper()
	if args == nil {
		args = []any{}
	}
	b.call("POST", "/execute/sync", map[string]any{"script": script, "args": args}, into)
}

// Text returns the visible text of the first element that matches.
func (b *Browser) Text(css string) string {
	b.t.Helper()
	var s *string
	b.Eval(&s, "const e = document.querySelector(arguments[0]); return e && e.innerText", css)
	if s == nil {
		return ""
	}
	return *s
}

// Eventually waits until ok, which looks at the page.
func (b *Browser) Eventually(ok func() bool, why string) {
	b.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			require.FailNow(b.t, why, "the page shows:\n%s", b.Text("body"))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Click presses the first element that matches, as a mouse does.
func (b *Browser) Click(css string) {
	b.t.Helper()
	b.call("POST", "/element/"+b.find(css)+"/click", nil, nil)
}

// Type sends keys to the first element that matches.
func (b *Browser) Type(css, text string) {
	b.t.Helper()
	b.call("POST", "/element/"+b.find(css)+"/value", map[string]string{"text": text}, nil)
}

// Keys sends keys to whatever has the focus.
func (b *Browser) Keys(keys string) {
	b.t.Helper()
	var actions []any
	for _, k := range keys {
		actions = append(actions, map[string]string{"type": "keyDown", "value": string(k)}, map[string]string{"type": "keyUp", "value": string(k)})
	}
	b.call("POST", "/actions", map[string]any{"actions": []any{map[string]any{"type": "key", "id": "keyboard", "actions": actions}}}, nil)
}

// Keys that have no letter.
const (
	Tab    = "\ue004"
	Enter  = "\ue007"
	Escape = "\ue00c"
)

func (b *Browser) find(css string) string {
	b.t.Helper()
	var e map[string]string
	b.call("POST", "/element", map[string]string{"using": "css selector", "value": css}, &e)
	for _, id := range e {
		return id
	}
	return ""
}

// Requests returns the URLs that pages asked for since the last call, whether
// they got an answer or not.
func (b *Browser) Requests() (all []string) {
	b.t.Helper()
	var log []struct{ Message string }
	b.call("POST", "/se/log", map[string]string{"type": "performance"}, &log)
	for _, l := range log {
		var e struct {
			Message struct {
				Method string
				Params struct {
					Request struct{ URL string }
				}
			}
		}
		require.NoError(b.t, json.Unmarshal([]byte(l.Message), &e))
		if e.Message.Method == "Network.requestWillBeSent" {
			all = append(all, e.Message.Params.Request.URL)
		}
	}
	return all
}

// Complaints returns what the browser's console says at level SEVERE: script
// errors, refused loads, violations of the content security policy.
func (b *Browser) Complaints() (all []string) {
	b.t.Helper()
	var log []struct{ Level, Message string }
	b.call("POST", "/se/log", map[string]string{"type": "browser"}, &log)
	for _, l := range log {
		if l.Level == "SEVERE" {
			all = append(all, l.Message)
		}
	}
	return all
}
