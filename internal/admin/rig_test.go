package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"nas-target/internal/admin"
	"nas-target/internal/admin/admintest"
	"nas-target/internal/admin/browsertest"
)

// chromium shows the page to the tests that look at it.
var chromium browsertest.Chromium

type main struct{ *testing.M }

func (m main) Run() int {
	defer chromium.Close()
	return m.M.Run()
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(main{m}) }

// rig is both doors of an API over a cluster that is not there.
type rig struct {
	t       *testing.T
	cluster *admintest.Cluster
	api     *admin.API
	socket  string
	client  *admin.Client

	web   string // URL
	http  http.Client
	token string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, admintest.New())
}

func newRigOf(t *testing.T, cluster *admintest.Cluster) *rig {
	t.Helper()
	r := &rig{t: t, cluster: cluster, token: "0123456789abcdef"}
	r.api = admin.New(admin.Options{
		Control: r.cluster, Version: "1.2.3", Feed: r.cluster.Feed,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "nas_target_up 1\n") }),
		Dumps:   map[string]func(io.Writer){"tasks": func(w io.Writer) { io.WriteString(w, "no tasks\n") }},
	})
	r.socket = filepath.Join(t.TempDir(), admin.SocketName)
	l, err := admin.Listen(r.socket)
	require.NoError(t, err)
	r.serve(l, r.api.Socket())
	r.client = admin.NewClient(r.socket)
	t.Cleanup(r.client.Close)

	l, err = admin.ListenWeb("127.0.0.1:0", nil)
	require.NoError(t, err)
	r.serve(l, r.api.Web(admin.WebOptions{Token: r.token, Local: true, Hosts: admin.LocalHosts(netip.MustParseAddrPort(l.Addr().String()))}))
	r.web = "http://" + l.Addr().String()
	t.Cleanup(r.http.CloseIdleConnections)
	r.http.Transport = &http.Transport{}
	return r
}

func (r *rig) serve(l net.Listener, h http.Handler) {
	s := admin.Serve(l, h)
	r.t.Cleanup(func() { require.NoError(r.t, s.Close(context.Background())) })
}

// ask sends a request through the web door. header holds pairs.
func (r *rig) ask(method, path, body string, header ...string) (*http.Response, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.web+path, strings.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
			continue
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := r.http.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp, string(b)
}

// onSocket sends a request through the socket and returns status and body.
func (r *rig) onSocket(method, path, body string, header ...string) (int, string) {
	r.t.Helper()
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", r.socket)
	}}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://x"+path, strings.NewReader(body))
	require.NoError(r.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(b)
}

func decode[T any](t *testing.T, body string) T {
	t.Helper()
	var v T
	d := json.NewDecoder(bytes.NewReader([]byte(body)))
	require.NoError(t, d.Decode(&v), "%s", body)
	return v
}
