package admin

import (
	"context"
	"net/http"
)

// LogLevel asks how much the daemon writes to its log.
func (c *Client) LogLevel(ctx context.Context) (LogLevel, error) {
	return ask[LogLevel](ctx, c, "/v1/log")
}

// SetLogLevel lets the daemon write more or less to its log.
func (c *Client) SetLogLevel(ctx context.Context, l LogLevel) error {
	return c.do(ctx, http.MethodPut, "/v1/log", "", l, nil)
}
