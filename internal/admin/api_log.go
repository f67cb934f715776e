package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// LogLevel is how much the daemon writes to its log.
type LogLevel struct {
	Level string `json:"level" enum:"debug,info,warn,error" doc:"the least that is written; debug tells of single commands"`
}

func (a *API) logOperations(api huma.API) {
	huma.Register(api, get("show-log-level", "/v1/log", "How much the daemon writes to its log"),
		func(ctx context.Context, _ *struct{}) (*answer[LogLevel], error) {
			return &answer[LogLevel]{LogLevel{a.o.Control.Status(ctx).LogLevel}}, nil
		})

	huma.Register(api, change("set-log-level", http.MethodPut, "/v1/log", "Write more or less to the log, until the daemon ends"),
		func(ctx context.Context, in *struct{ Body LogLevel }) (*struct{}, error) {
			return nil, a.apply(ctx, "", SetLogLevel(in.Body))
		})
}
