package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// Watch calls f for every event, those that the daemon remembers first, until
// ctx ends or f fails. If the daemon goes away it returns io.ErrUnexpectedEOF.
func (c *Client) Watch(ctx context.Context, f func(Event) error) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, MaxBody)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return err
		}
		if err := f(e); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(io.ErrUnexpectedEOF, lines.Err())
}
