package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"nas-target/internal/plain"
)

const (
	// heartbeat keeps a quiet stream alive and finds followers that are gone.
	heartbeat = 15 * time.Second
	// writeTimeout bounds how long one piece of the stream may wait.
	writeTimeout = 10 * time.Second
)

var eventType = reflect.TypeFor[Event]()

// eventOperation is a stream of server-sent events: "id" is the event's number,
// "data" an Event.
func (a *API) eventOperation(api huma.API) {
	schema := api.OpenAPI().Components.Schemas.Schema(eventType, true, "Event")
	op := get("events", "/v1/events", "News as they come, as server-sent events; Last-Event-ID goes on where a stream broke off", http.StatusServiceUnavailable)
	op.Responses = map[string]*huma.Response{"200": {
		Description: "One Event in each data field",
		Content:     map[string]*huma.MediaType{"text/event-stream": {Schema: schema}},
	}}
	huma.Register(api, op, func(_ context.Context, in *struct {
		After string `header:"Last-Event-ID" doc:"number of the last event seen; absent: all that are remembered"`
	}) (*huma.StreamResponse, error) {
		after, err := strconv.ParseUint(in.After, 10, 64)
		if in.After != "" && err != nil {
			return nil, huma.Error400BadRequest("Last-Event-ID is a number")
		}
		if a.o.Feed == nil {
			return nil, huma.Error503ServiceUnavailable("there is no event stream")
		}
		place, ok := a.o.Feed.Follow(after)
		if !ok {
			return nil, huma.Error503ServiceUnavailable("too many streams already")
		}
		return &huma.StreamResponse{Body: func(ctx huma.Context) {
			defer place.Stop()
			_, w := humago.Unwrap(ctx)
			s := stream{w, http.NewResponseController(w)}
			s.run(ctx.Context(), place)
		}}, nil
	})
}

// stream writes events to one follower.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (s stream) run(ctx context.Context, place *Follower) {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	_ = s.c.SetReadDeadline(time.Time{}) // the request is read; a follower has nothing more to say
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	text := []byte("retry: 2000\n\n")
	for s.send(text) {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			text = append(text[:0], ": still here\n\n"...)
		case _, ok := <-place.News():
			if !ok {
				return
			}
			text = text[:0]
			for _, e := range place.Take() {
				text = appendEvent(text, e)
			}
		}
	}
}

func (s stream) send(text []byte) bool {
	_ = s.c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := s.w.Write(text); err != nil {
		return false
	}
	return s.c.Flush() == nil
}

// appendEvent encodes e. JSON has no line ends inside, so one data line holds it.
func appendEvent(text []byte, e Event) []byte {
	b, err := json.Marshal(e)
	if err != nil {
		return text // strings and numbers only: it cannot fail
	}
	return fmt.Appendf(text, "id: %d\ndata: %s\n\n", e.ID, plain.JSON(b))
}
