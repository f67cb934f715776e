package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Handler answers the API.
func Handler(c Control, version string) http.Handler {
	mux := http.NewServeMux()
	conf := huma.DefaultConfig("nas-target", version)
	conf.DocsPath = ""     // its page would load scripts from elsewhere
	conf.CreateHooks = nil // no $schema links in answers
	api := humago.New(mux, conf)
	huma.Register(api, huma.Operation{
		OperationID: "status", Method: http.MethodGet, Path: "/v1/status",
		Summary: "Everything there is to see: portals, targets, logical units, reservations, sessions",
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body Status }, error) {
		return &struct{ Body Status }{c.Status(ctx)}, nil
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	return mux
}

// Server serves the API on a Unix socket.
type Server struct {
	http http.Server
	done chan struct{}
}

// Listen opens the socket, which only the daemon's user can connect to, in the
// place of a dead daemon's. The caller sees to it that no other daemon is alive.
func Listen(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Between Listen and here the umask decides, and nothing accepts yet.
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// Serve answers on l until Close.
func Serve(l net.Listener, h http.Handler) *Server {
	s := &Server{done: make(chan struct{})}
	s.http = http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l)
	}()
	return s
}

// Close lets the requests under way finish, as long as ctx allows.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}
