package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func texts(es []Event) string {
	var all []string
	for _, e := range es {
		all = append(all, e.Text)
	}
	return strings.Join(all, " ")
}

// after returns what a feed remembers behind an event.
func after(t *testing.T, f *Feed, id uint64) []Event {
	t.Helper()
	w, ok := f.Follow(id)
	require.True(t, ok)
	defer w.Stop()
	<-w.News()
	return w.Take()
}

func TestFeedRemembersTheNewest(t *testing.T) {
	f := NewFeed(3)
	require.Empty(t, after(t, f, 0))
	for i := range 5 {
		f.Publish(Event{Text: fmt.Sprint(i)})
	}
	past := after(t, f, 0)
	require.Equal(t, "2 3 4", texts(past))
	require.Equal(t, "4", texts(after(t, f, past[1].ID)))
	require.Empty(t, after(t, f, past[2].ID))
	require.Empty(t, after(t, f, past[0].ID+7))
}

func TestFeedNumbersGoOnOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed(1)
		f.Publish(Event{})
		past := after(t, f, 0)
		time.Sleep(time.Millisecond)
		g := NewFeed(1)
		g.Publish(Event{Text: "new"})
		require.Equal(t, "new", texts(after(t, g, past[0].ID)))
	})
	require.Less(t, NewFeed(1).id, uint64(1)<<53, "a number that every JSON reader can hold")
}

// Who comes late gets the newest events, sees by their numbers that some are
// missing, and misses none of those to come.
func TestSlowFollowerSeesTheGap(t *testing.T) {
	f := NewFeed(3)
	w, _ := f.Follow(0)
	f.Publish(Event{Text: "first"})
	<-w.News()
	first := w.Take()
	require.Equal(t, "first", texts(first))
	for i := range 1000 {
		f.Publish(Event{Text: fmt.Sprint(i)})
	}
	<-w.News()
	late := w.Take()
	require.Equal(t, "997 998 999", texts(late))
	require.Equal(t, first[0].ID+998, late[0].ID)
	require.Empty(t, w.News(), "it has all there is")
	require.Empty(t, w.Take())
	f.Publish(Event{Text: "after"})
	<-w.News()
	require.Equal(t, "after", texts(w.Take()))
	w.Stop()
	w.Stop()
	_, open := <-w.News()
	require.False(t, open)
}

func TestFollowersAreBounded(t *testing.T) {
	f := NewFeed(1)
	var last *Follower
	for range maxFollowers {
		w, ok := f.Follow(0)
		require.True(t, ok)
		last = w
	}
	_, ok := f.Follow(0)
	require.False(t, ok)
	last.Stop()
	last, ok = f.Follow(0)
	require.True(t, ok, "a place is free again")
	f.Close()
	<-last.News()
	_, open := <-last.News()
	require.False(t, open)
	f.Publish(Event{})
	_, ok = f.Follow(0)
	require.False(t, ok, "closed")
}

// events reads a stream's events into a channel.
func events(t *testing.T, body io.Reader) <-chan string {
	c := make(chan string, 100)
	go func() {
		defer close(c)
		lines := bufio.NewScanner(body)
		for lines.Scan() {
			if lines.Text() != "" && !strings.HasPrefix(lines.Text(), "retry") {
				c <- lines.Text()
			}
		}
	}()
	return c
}

func TestStream(t *testing.T) {
	path, l := listen(t)
	f := NewFeed(10)
	s := Serve(l, New(Options{Control: nothing{}, Feed: f}).Socket())
	f.Publish(Event{Kind: "pr", Text: "one\n\ndata: {}"})
	f.Publish(Event{Kind: "pr", Text: "two"})
	past := after(t, f, 0)

	c := NewClient(path)
	defer c.Close()
	resp, err := c.send(t.Context(), http.MethodGet, "/v1/events", "", nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	got := events(t, resp.Body)
	require.Equal(t, fmt.Sprintf("id: %d", past[0].ID), <-got)
	require.Contains(t, <-got, `"text":"one\\x0a\\x0adata: {}"`)
	require.Contains(t, <-got, "id: ")
	require.Contains(t, <-got, `"text":"two"`)
	f.Publish(Event{Kind: "pr", Text: "three"})
	<-got
	require.Contains(t, <-got, `"severity":"info"`)

	// The stream goes on where another broke off.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/v1/events", nil)
	require.NoError(t, err)
	req.Header.Set("Last-Event-ID", fmt.Sprint(past[1].ID))
	again, err := c.http.Do(req)
	require.NoError(t, err)
	defer again.Body.Close()
	rest := events(t, again.Body)
	<-rest
	require.Contains(t, <-rest, `"text":"three"`)

	// A daemon that stops does not wait for those who watch.
	require.NoError(t, s.Close(t.Context()))
	for range got {
	}
	for range rest {
	}
}

func TestWatch(t *testing.T) {
	path, l := listen(t)
	f := NewFeed(10)
	s := Serve(l, New(Options{Control: nothing{}, Feed: f}).Socket())
	c := NewClient(path)
	defer c.Close()
	f.Publish(Event{Text: "one"})
	ctx, cancel := context.WithCancel(t.Context())
	var got []Event
	require.NoError(t, c.Watch(ctx, func(e Event) error {
		got = append(got, e)
		if len(got) == 1 {
			f.Publish(Event{Text: "two"})
		} else {
			cancel()
		}
		return nil
	}))
	require.Equal(t, "one two", texts(got))
	require.ErrorIs(t, c.Watch(t.Context(), func(Event) error { return io.EOF }), io.EOF)

	gone := make(chan error)
	go func() { gone <- c.Watch(t.Context(), func(Event) error { s.end(); return nil }) }()
	require.ErrorIs(t, <-gone, io.ErrUnexpectedEOF)
	require.NoError(t, s.Close(t.Context()))
}

// A quiet stream lives on: it beats, and no limit for requests ends it.
func TestStreamOutlivesTheLimitsOfRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed(10)
		here, there := net.Pipe()
		l := &oneConn{conn: there, closed: make(chan struct{})}
		h := New(Options{Control: nothing{}, Feed: f}).mux
		s := Serve(l, h)
		go here.Write([]byte("GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n"))
		got := make(chan string, 1000)
		go func() {
			lines := bufio.NewScanner(here)
			for lines.Scan() {
				got <- lines.Text()
			}
			close(got)
		}()
		time.Sleep(time.Hour)
		f.Publish(Event{Text: "late"})
		synctest.Wait()
		beats, late := 0, false
		for len(got) > 0 {
			line := <-got
			if line == ": still here" {
				beats++
			}
			late = late || strings.Contains(line, "late")
		}
		require.True(t, late)
		require.InDelta(t, 240, beats, 1)
		require.NoError(t, s.Close(t.Context()))
		here.Close()
	})
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { close(l.closed); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }
