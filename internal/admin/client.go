package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Client asks a daemon over its socket.
type Client struct {
	socket string
	http   http.Client // no overall time limit: streams have none
}

// ErrUnreachable says that no daemon answers at the socket.
var ErrUnreachable = errors.New("no daemon answers")

const (
	// maxAnswer bounds what a client reads: 10,000 sessions and 1,000
	// registrations on each of 100 units are 50 MB.
	maxAnswer = 64 << 20
	// askTime bounds one question.
	askTime = 30 * time.Second
	// changeTime bounds a change of the configuration, which may have disks to
	// preallocate.
	changeTime = time.Hour
)

// NewClient talks to the daemon behind the socket.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http.Transport = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	return c
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Overview asks whether all is well.
func (c *Client) Overview(ctx context.Context) (Overview, error) {
	return ask[Overview](ctx, c, "/v1/status")
}

// Targets lists the targets.
func (c *Client) Targets(ctx context.Context) ([]Target, error) {
	return items[Target](ctx, c, "/v1/targets")
}

// Target shows one target.
func (c *Client) Target(ctx context.Context, name string) (Target, error) {
	return ask[Target](ctx, c, "/v1/targets/"+url.PathEscape(name))
}

// Portals lists the portals.
func (c *Client) Portals(ctx context.Context) ([]Portal, error) {
	return items[Portal](ctx, c, "/v1/portals")
}

// Initiators lists who may log in.
func (c *Client) Initiators(ctx context.Context) ([]Initiator, error) {
	return items[Initiator](ctx, c, "/v1/initiators")
}

// LUNs lists the logical units.
func (c *Client) LUNs(ctx context.Context) ([]LUN, error) {
	return items[LUN](ctx, c, "/v1/luns")
}

// Past tells what the LUNs did in the last minutes.
func (c *Client) Past(ctx context.Context) ([]Past, error) {
	return items[Past](ctx, c, "/v1/traffic")
}

// LUN shows one logical unit.
func (c *Client) LUN(ctx context.Context, name string) (LUN, error) {
	return ask[LUN](ctx, c, "/v1/luns/"+url.PathEscape(name))
}

// Reservations shows who holds every LUN.
func (c *Client) Reservations(ctx context.Context) ([]Reservations, error) {
	return items[Reservations](ctx, c, "/v1/reservations")
}

// ReservationsOf shows who holds one LUN.
func (c *Client) ReservationsOf(ctx context.Context, lun string) (Reservations, error) {
	return ask[Reservations](ctx, c, "/v1/luns/"+url.PathEscape(lun)+"/reservations")
}

// Sessions lists all sessions.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	return items[Session](ctx, c, "/v1/sessions?limit="+strconv.Itoa(maxPage))
}

// Session shows one session.
func (c *Client) Session(ctx context.Context, id string) (Session, error) {
	return ask[Session](ctx, c, "/v1/sessions/"+url.PathEscape(id))
}

// History asks for a part of the audit trail.
func (c *Client) History(ctx context.Context, q HistoryQuery) (History, error) {
	v := url.Values{}
	for key, value := range map[string]string{"lun": q.LUN, "initiator": q.Initiator, "kind": q.Kind} {
		if value != "" {
			v.Set(key, value)
		}
	}
	if q.Refused {
		v.Set("refused", "true")
	}
	if !q.Since.IsZero() {
		v.Set("since", q.Since.UTC().Format(time.RFC3339Nano))
	}
	if q.Before != 0 {
		v.Set("before", strconv.FormatUint(q.Before, 10))
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return ask[History](ctx, c, "/v1/history?"+v.Encode())
}

// KillSession ends a session.
func (c *Client) KillSession(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/sessions/"+url.PathEscape(id), "", nil, nil)
}

// ClearReservations removes all reservations of a LUN, if they are still those
// of version.
func (c *Client) ClearReservations(ctx context.Context, lun, version string) error {
	return c.do(ctx, http.MethodDelete, "/v1/luns/"+url.PathEscape(lun)+"/reservations", etag(version), nil, nil)
}

// ClearFailure lets a LUN take writes again.
func (c *Client) ClearFailure(ctx context.Context, lun string) error {
	return c.do(ctx, http.MethodDelete, "/v1/luns/"+url.PathEscape(lun)+"/failure", "", nil, nil)
}

// RetryLUN opens a LUN that could not be opened.
func (c *Client) RetryLUN(ctx context.Context, lun string) error {
	return c.do(ctx, http.MethodPost, "/v1/luns/"+url.PathEscape(lun)+"/retry", "", nil, nil)
}

// Resize gives a LUN another size, if it is still what version says.
func (c *Client) Resize(ctx context.Context, lun, version string, size int64) error {
	return c.do(ctx, http.MethodPatch, "/v1/luns/"+url.PathEscape(lun), etag(version), map[string]int64{"bytes": size}, nil)
}

// AnswerError is a request that the daemon did not grant. It wraps ErrNotFound,
// ErrStale or ErrRefused if it is one of those.
type AnswerError struct {
	Status int
	Detail string
}

func (e *AnswerError) Error() string { return e.Detail }

func (e *AnswerError) Unwrap() error {
	switch e.Status {
	case http.StatusNotFound:
		return ErrNotFound
	case http.StatusPreconditionFailed:
		return ErrStale
	case http.StatusConflict:
		return ErrRefused
	}
	return nil
}

func ask[T any](ctx context.Context, c *Client, path string) (T, error) {
	var v T
	return v, c.do(ctx, http.MethodGet, path, "", nil, &v)
}

func items[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	l, err := ask[list[T]](ctx, c, path)
	return l.Items, err
}

func (c *Client) do(ctx context.Context, method, path, ifMatch string, body, into any) error {
	return c.doWithin(ctx, askTime, method, path, ifMatch, body, into)
}

func (c *Client) doWithin(ctx context.Context, limit time.Duration, method, path, ifMatch string, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := c.send(ctx, method, path, ifMatch, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("answer of the daemon: %w", err)
	}
	return nil
}

// send returns a successful response, whose body the caller closes.
func (c *Client) send(ctx context.Context, method, path, ifMatch string, body any) (*http.Response, error) {
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://nas-target"+path, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if ifMatch != "" {
		req.Header.Set("If-Match", ifMatch)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w at %s: is nas-target running, with this data directory?", ErrUnreachable, c.socket)
		}
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("%w at %s: only the daemon's user and root may ask it", ErrUnreachable, c.socket)
		}
		return nil, err
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	var problem struct {
		Title, Detail string
		Errors        []struct{ Message, Location string }
	}
	_ = json.NewDecoder(io.LimitReader(resp.Body, MaxBody)).Decode(&problem)
	e := &AnswerError{resp.StatusCode, problem.Detail}
	for _, p := range problem.Errors {
		e.Detail += fmt.Sprintf("; %s: %s", p.Location, p.Message)
	}
	if e.Detail == "" {
		e.Detail = "the daemon answered " + resp.Status
	}
	return nil, e
}
