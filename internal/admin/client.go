package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// Client asks a daemon over its socket.
type Client struct {
	socket string
	http   http.Client
}

// ErrUnreachable says that no daemon answers at the socket.
var ErrUnreachable = errors.New("no daemon answers")

// maxAnswer bounds what a client reads: 10,000 sessions and 1,000 registrations
// on each of 100 units are 50 MB.
const maxAnswer = 64 << 20

// NewClient talks to the daemon behind the socket.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http.Timeout = 30 * time.Second
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}}
	return c
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for everything there is to see.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.get(ctx, "/v1/status", &s)
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://nas-target"+path, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("%w at %s: is nas-target running, with this data directory?", ErrUnreachable, c.socket)
		}
		return err
	}
	defer resp.Body.Close()
	body := io.LimitReader(resp.Body, maxAnswer)
	if resp.StatusCode != http.StatusOK {
		var problem struct{ Title, Detail string } // RFC 9457
		_ = json.NewDecoder(body).Decode(&problem)
		return fmt.Errorf("%s: %s %s", resp.Status, problem.Title, problem.Detail)
	}
	return json.NewDecoder(body).Decode(into)
}
