package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// Server serves one door.
type Server struct {
	http http.Server
	end  context.CancelFunc // ends the streams
	done chan struct{}
}

// Serve answers on l until Close.
func Serve(l net.Listener, h http.Handler) *Server {
	ctx, end := context.WithCancel(context.Background())
	s := &Server{end: end, done: make(chan struct{})}
	s.http = http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // ends with ErrServerClosed, or with the listener
	}()
	return s
}

// Close ends the streams and lets the other requests under way finish, as long
// as ctx allows.
func (s *Server) Close(ctx context.Context) error {
	s.end()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	return err
}
