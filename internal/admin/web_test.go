package admin_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
)

func TestLookingIsFreeOnLoopbackAndChangesNeedTheToken(t *testing.T) {
	r := newRig(t)
	resp, _ := r.ask("GET", "/v1/status", "")
	require.Equal(t, 200, resp.StatusCode)
	resp, body := r.ask("DELETE", "/v1/sessions/1", "")
	require.Equal(t, 401, resp.StatusCode)
	require.Contains(t, resp.Header.Get("WWW-Authenticate"), "Bearer")
	require.Contains(t, body, admin.TokenName)
	resp, _ = r.ask("DELETE", "/v1/sessions/1", "", "Authorization", "Bearer wrong")
	require.Equal(t, 401, resp.StatusCode)
	resp, _ = r.ask("GET", "/v1/status", "", "Authorization", "Bearer wrong")
	require.Equal(t, 401, resp.StatusCode, "a wrong token is never right")
	require.Empty(t, r.cluster.Changes)
	resp, body = r.ask("DELETE", "/v1/sessions/1", "", "Authorization", "Bearer "+r.token)
	require.Equal(t, 204, resp.StatusCode, body)
	require.Equal(t, "token from 127.0.0.1", r.cluster.Changes[0].By)
}

func TestRemoteDoorNeedsTheTokenForEverythingButThePage(t *testing.T) {
	r := newRig(t)
	l, err := admin.ListenWeb("127.0.0.1:0", nil)
	require.NoError(t, err)
	r.serve(l, r.api.Web(admin.WebOptions{Token: r.token, Hosts: []string{"nas.example:3280"}}))
	r.web = "http://" + l.Addr().String()
	for _, path := range []string{"/v1/status", "/v1/events", "/metrics", "/readyz", "/openapi.json"} {
		resp, _ := r.ask("GET", path, "", "Host", "nas.example:3280")
		require.Equal(t, 401, resp.StatusCode, path)
	}
	resp, _ := r.ask("GET", "/", "", "Host", "NAS.example:3280")
	require.Equal(t, 200, resp.StatusCode)
	resp, _ = r.ask("GET", "/v1/status", "", "Host", "nas.example:3280", "Authorization", "Bearer "+r.token)
	require.Equal(t, 200, resp.StatusCode)
}

// Without a token nobody gets in by sending none.
func TestEmptyTokenAdmitsNobody(t *testing.T) {
	r := newRig(t)
	l, err := admin.ListenWeb("127.0.0.1:0", nil)
	require.NoError(t, err)
	r.serve(l, r.api.Web(admin.WebOptions{Local: true, Hosts: []string{"x"}}))
	r.web = "http://" + l.Addr().String()
	for _, header := range []string{"Bearer ", "Bearer", ""} {
		resp, _ := r.ask("DELETE", "/v1/sessions/1", "", "Host", "x", "Authorization", header)
		require.Equal(t, 401, resp.StatusCode)
	}
}

func TestForeignNamesAndSitesAreRefused(t *testing.T) {
	r := newRig(t)
	host := strings.TrimPrefix(r.web, "http://")
	_, port, err := net.SplitHostPort(host)
	require.NoError(t, err)
	auth := []string{"Authorization", "Bearer " + r.token}
	for name, c := range map[string]struct {
		method, path string
		header       []string
		status       int
	}{
		"own name":                   {"GET", "/v1/status", []string{"Host", "localhost:" + port}, 200},
		"rebound name":               {"GET", "/v1/status", []string{"Host", "evil.example:" + port}, 421},
		"rebound name, page":         {"GET", "/", []string{"Host", "evil.example:" + port}, 421},
		"no port":                    {"GET", "/v1/status", []string{"Host", "localhost"}, 421},
		"own origin":                 {"DELETE", "/v1/sessions/1", append(auth, "Origin", r.web), 204},
		"foreign origin":             {"DELETE", "/v1/sessions/2", append(auth, "Origin", "http://evil.example"), 403},
		"foreign origin, looking":    {"GET", "/v1/status", []string{"Origin", "http://evil.example"}, 403},
		"null origin":                {"DELETE", "/v1/sessions/2", append(auth, "Origin", "null"), 403},
		"other scheme":               {"DELETE", "/v1/sessions/2", append(auth, "Origin", "https://"+host), 403},
		"cross-site fetch":           {"GET", "/v1/status", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		"same-site fetch":            {"GET", "/v1/status", []string{"Sec-Fetch-Site", "same-site"}, 403},
		"own fetch":                  {"GET", "/v1/status", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		"typed address":              {"GET", "/", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, 200},
		"a link from elsewhere":      {"GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		"a frame elsewhere":          {"GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		"a link to the API":          {"GET", "/v1/status", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
		"a form from another site":   {"POST", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 403},
		"script from another origin": {"GET", "/page/app.js", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "script"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := r.ask(c.method, c.path, "", c.header...)
			require.Equal(t, c.status, resp.StatusCode, body)
		})
	}
	require.Len(t, r.cluster.Changes, 1)
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/", "/v1/status", "/v1/none", "/page/none"} {
		resp, _ := r.ask("GET", path, "")
		csp := resp.Header.Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'")
		require.Contains(t, csp, "script-src 'self'")
		require.Contains(t, csp, "frame-ancestors 'none'")
		require.NotContains(t, csp, "unsafe")
		require.Equal(t, "DENY", resp.Header.Get("X-Frame-Options"))
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
		require.Empty(t, resp.Header.Values("Set-Cookie"))
		require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
	}
	resp, _ := r.ask("OPTIONS", "/v1/sessions/1", "", "Origin", r.web, "Access-Control-Request-Method", "DELETE")
	require.Empty(t, resp.Header.Get("Access-Control-Allow-Origin"))
}

func TestPage(t *testing.T) {
	r := newRig(t)
	resp, body := r.ask("GET", "/", "")
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", resp.Header.Get("Content-Type"))
	require.Contains(t, body, "nas-target")
	require.NotContains(t, body, "http://", "nothing is loaded from elsewhere")
	require.NotContains(t, body, "https://")
	again, _ := r.ask("GET", "/", "", "If-None-Match", resp.Header.Get("ETag"))
	require.Equal(t, http.StatusNotModified, again.StatusCode)
	for _, path := range []string{"/page/", "/page/../api.go", "/page/%2e%2e/api.go", "/page/none.js", "/index.html"} {
		resp, _ := r.ask("GET", path, "")
		require.Equal(t, 404, resp.StatusCode, path)
	}
}

func TestWrongTokensAreSlowedDown(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		resp, _ := r.ask("DELETE", "/v1/sessions/1", "", "Authorization", "Bearer guess")
		require.Equal(t, 401, resp.StatusCode, i)
	}
	resp, _ := r.ask("DELETE", "/v1/sessions/1", "", "Authorization", "Bearer "+r.token)
	require.Equal(t, http.StatusTooManyRequests, resp.StatusCode, "the right one among guesses tells nothing")
	resp, _ = r.ask("GET", "/v1/status", "")
	require.Equal(t, 200, resp.StatusCode, "looking goes on")
	require.Empty(t, r.cluster.Changes)
}

func TestProfilesAndDumpsAreOnTheSocketOnly(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap?debug=1", "/debug/tasks"} {
		status, body := r.onSocket("GET", path, "")
		require.Equal(t, 200, status, body)
		resp, _ := r.ask("GET", path, "", "Authorization", "Bearer "+r.token)
		require.Equal(t, 404, resp.StatusCode, path)
	}
	_, body := r.onSocket("GET", "/debug/tasks", "")
	require.Equal(t, "no tasks\n", body)
}

// The handler of the socket behind a TCP listener lets nobody in.
func TestSocketDoorNeedsASocket(t *testing.T) {
	r := newRig(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r.serve(l, r.api.Socket())
	r.web = "http://" + l.Addr().String()
	resp, _ := r.ask("GET", "/v1/status", "")
	require.Equal(t, 403, resp.StatusCode)
}

func TestListenWebOnLoopbackOrWithTLS(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		_, err := admin.ListenWeb(addr, nil)
		require.ErrorIs(t, err, admin.ErrNeedsTLS, addr)
	}
	for _, addr := range []string{"localhost:0", "3280", ":3280", ""} {
		_, err := admin.ListenWeb(addr, nil)
		require.ErrorContains(t, err, "not an IP address", addr)
	}
	for _, addr := range []string{"127.0.0.1:0", "127.9.9.9:0", "[::ffff:127.0.0.1]:0"} {
		l, err := admin.ListenWeb(addr, nil)
		require.NoError(t, err, addr)
		require.NoError(t, l.Close())
	}
}

func TestTLS(t *testing.T) {
	r := newRig(t)
	cert := selfSigned(t)
	l, err := admin.ListenWeb("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10})
	require.NoError(t, err)
	at := l.Addr().String()
	r.serve(l, r.api.Web(admin.WebOptions{Token: r.token, Hosts: []string{at}}))
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	r.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	r.web = "https://" + at
	resp, _ := r.ask("GET", "/v1/status", "", "Authorization", "Bearer "+r.token, "Origin", r.web)
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, uint16(tls.VersionTLS13), resp.TLS.Version)
	resp, _ = r.ask("GET", "/v1/status", "", "Authorization", "Bearer "+r.token, "Origin", "http://"+at)
	require.Equal(t, 403, resp.StatusCode)

	_, err = tls.Dial("tcp", at, &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12})
	require.Error(t, err, "older than TLS 1.3")
}

func selfSigned(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// Strangers cannot make the daemon hold more than a bounded number of
// connections, and the next one gets in when one leaves.
func TestConnectionsAreBounded(t *testing.T) {
	r := newRig(t)
	r.http.CloseIdleConnections()
	at := netip.MustParseAddrPort(strings.TrimPrefix(r.web, "http://"))
	var held []net.Conn
	for range 256 {
		c, err := net.Dial("tcp", at.String())
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Write([]byte("GET /healthz HTTP/1.1\r\nHost: " + at.String() + "\r\n\r\n"))
		require.NoError(t, err)
		_, err = c.Read(make([]byte, 1))
		require.NoError(t, err)
		held = append(held, c)
	}
	c, err := net.Dial("tcp", at.String())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	require.Error(t, err, "one too many")
	require.NoError(t, held[0].Close())
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", r.web+"/healthz", nil)
		require.NoError(t, err)
		resp, err := r.http.Do(req)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == 200
	}, 10*time.Second, 10*time.Millisecond)
}
