package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"nas-target/internal/plain"
)

type peerKey struct{}

// withPeer notes the user behind a connection over the socket.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if uid, err := peerUID(c); err == nil {
		return context.WithValue(ctx, peerKey{}, uid)
	}
	return ctx
}

// answerTime bounds how long an answer may take to be read. Streams set their
// own deadline; profiles take the time they are asked for.
const answerTime = 2 * time.Minute

// Socket is the door for the daemon's user and root: the whole API, profiles
// and dumps.
func (a *API) Socket() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", a.mux)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	for name, dump := range a.o.Dumps {
		mux.HandleFunc("GET /debug/"+name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			dump(w)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound(w, r)
		uid, ok := r.Context().Value(peerKey{}).(uint32)
		if !ok {
			refuse(w, http.StatusForbidden, "this door is for the Unix socket")
			return
		}
		mux.ServeHTTP(w, r.WithContext(withActor(r.Context(), fmt.Sprintf("uid %d", uid))))
	})
}

func bound(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, MaxBody)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTime))
}

// WebOptions say who may come in through the web door.
type WebOptions struct {
	Token string   // needed for every change
	Local bool     // everybody on this machine may look; else the token is needed for that too
	Hosts []string // names and addresses, with port, that the page is asked for by
}

// LocalHosts are the Hosts of a door at a loopback address.
func LocalHosts(addr netip.AddrPort) []string {
	port := fmt.Sprint(addr.Port())
	return []string{addr.String(), "localhost:" + port, "127.0.0.1:" + port, "[::1]:" + port}
}

// Web is the door for browsers and for programs elsewhere: the page and the API.
func (a *API) Web(o WebOptions) http.Handler {
	g := &guard{o: o, token: hash(o.Token), hosts: map[string]bool{}, failures: newFailures()}
	for _, h := range o.Hosts {
		g.hosts[strings.ToLower(h)] = true
	}
	page := pageHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound(w, r)
		secure(w.Header())
		if status, why := g.sameSite(r); status != 0 {
			refuse(w, status, why)
			return
		}
		if isPage(r.URL.Path) {
			page.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		ctx, status, why := g.admit(r)
		if status != 0 {
			if status == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", `Bearer realm="nas-target"`)
			}
			refuse(w, status, why)
			return
		}
		a.mux.ServeHTTP(w, r.WithContext(ctx))
	})
}

// secure sets what keeps other sites and injected text powerless.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// guard decides who gets through the web door.
type guard struct {
	o        WebOptions
	token    [32]byte
	hosts    map[string]bool
	failures *failures
}

// sameSite refuses requests under a foreign name (DNS rebinding) and requests
// that a page of another site made. Following a link to the page is allowed.
func (g *guard) sameSite(r *http.Request) (status int, why string) {
	if !g.hosts[strings.ToLower(r.Host)] {
		return http.StatusMisdirectedRequest, "this is not served under the name " + plain.Text(r.Host)
	}
	switch site := r.Header.Get("Sec-Fetch-Site"); {
	case site == "" || site == "same-origin" || site == "none":
	case r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && isPage(r.URL.Path):
	default:
		return http.StatusForbidden, "requests from other sites are refused"
	}
	if o := r.Header.Get("Origin"); o != "" {
		scheme := "http://"
		if r.TLS != nil {
			scheme = "https://"
		}
		if !strings.EqualFold(o, scheme+r.Host) {
			return http.StatusForbidden, "requests from other sites are refused"
		}
	}
	return 0, ""
}

// admit asks for the token where it is needed.
func (g *guard) admit(r *http.Request) (ctx context.Context, status int, why string) {
	looking := r.Method == http.MethodGet || r.Method == http.MethodHead
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok && looking && g.o.Local {
		return r.Context(), 0, ""
	}
	source := sourceOf(r.RemoteAddr)
	if g.failures.blocked(source, time.Now()) {
		return nil, http.StatusTooManyRequests, "too many wrong tokens: wait a minute"
	}
	if !ok {
		return nil, http.StatusUnauthorized, "the token is needed: it is in the file " + TokenName + " in the data directory"
	}
	if g.o.Token == "" || !same(g.token, hash(given)) {
		g.failures.note(source, time.Now())
		return nil, http.StatusUnauthorized, "this is not the token"
	}
	return withActor(r.Context(), "token from "+source), 0, ""
}

// refuse answers with a problem. RFC 9457.
func refuse(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(huma.ErrorModel{Status: status, Title: http.StatusText(status), Detail: why})
}
