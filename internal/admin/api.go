package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"nas-target/internal/plain"
)

// MaxBody bounds the body of a request, in bytes.
const MaxBody = 1 << 20

// Options is what an API needs. Control is the only one that must be given.
type Options struct {
	Control Control
	Version string // of the daemon
	// Configuration answers for /v1/config; nil: those operations fail.
	Configuration Configuration
	Feed          *Feed        // nil: there are no events
	Metrics       http.Handler // nil: there are none

	// Dumps are shown at /debug/<name> on the socket: tasks, windows, …
	Dumps map[string]func(io.Writer)
}

// API answers requests about one daemon.
type API struct {
	o   Options
	mux *http.ServeMux // the API and the probes: what both doors serve
}

// New builds the API.
func New(o Options) *API {
	if o.Configuration == nil {
		o.Configuration = noConfiguration{}
	}
	a := &API{o: o, mux: http.NewServeMux()}
	conf := huma.DefaultConfig("nas-target", o.Version)
	conf.Info.Description = "What a running nas-target does, who holds its disks, and the few things to change about it."
	conf.DocsPath = ""     // its page would load scripts from elsewhere
	conf.CreateHooks = nil // no $schema links in answers
	conf.RejectUnknownQueryParameters = true
	conf.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	api := humago.New(a.mux, conf)
	a.statusOperations(api)
	a.lunOperations(api)
	a.sessionOperations(api)
	a.historyOperations(api)
	a.configOperations(api)
	a.eventOperation(api)
	a.logOperations(api)
	a.probes()
	return a
}

// jsonFormat is the one place where answers become bytes: names that initiators
// chose leave it as plain text.
var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(append(plain.JSON(b), '\n'))
		return err
	},
	Unmarshal: json.Unmarshal,
}

// get describes a reading operation.
func get(id, path, summary string, errs ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: path, Summary: summary,
		Tags: []string{tag(path)}, Errors: errs,
	}
}

// change describes an operation that changes something.
func change(id, method, path, summary string, errs ...int) huma.Operation {
	op := get(id, path, summary, append(errs, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed)...)
	op.Method, op.MaxBodyBytes, op.DefaultStatus = method, MaxBody, http.StatusNoContent
	return op
}

func tag(path string) string { return strings.SplitN(path, "/", 4)[2] }

// apply hands a change to Control and turns its error into a problem.
func (a *API) apply(ctx context.Context, ifMatch string, c Change) error {
	version, err := versionOf(ifMatch)
	if err != nil {
		return err
	}
	if err := a.o.Control.Apply(ctx, version, c); err != nil {
		return problemOf(err)
	}
	return nil
}

// problemOf turns an error of Control into a problem.
func problemOf(err error) error {
	switch {
	case errors.Is(err, ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, ErrStale):
		return huma.Error412PreconditionFailed(err.Error())
	case errors.Is(err, ErrRefused):
		return huma.Error409Conflict(err.Error())
	}
	return huma.Error500InternalServerError(err.Error())
}

// versionOf reads an If-Match: one strong entity tag, or * or nothing for any.
// RFC 9110 §13.1.1.
func versionOf(ifMatch string) (string, error) {
	if ifMatch == "" || ifMatch == "*" {
		return "", nil
	}
	v, ok := strings.CutPrefix(ifMatch, `"`)
	v, end := strings.CutSuffix(v, `"`)
	if !ok || !end || v == "" || strings.Contains(v, `"`) {
		return "", huma.Error400BadRequest(`If-Match is one quoted version, as in "4f1c", or *`)
	}
	return v, nil
}

// needsMatch refuses a change that could undo what its sender never saw.
func needsMatch(ifMatch string) error {
	if ifMatch == "" {
		return huma.NewError(http.StatusPreconditionRequired,
			"send the version you saw as If-Match, or * for whatever is there")
	}
	return nil
}

func etag(version string) string { return `"` + version + `"` }

// answer is a response with a body.
type answer[T any] struct{ Body T }

// tagged is a response with a body and the version of its resource.
type tagged[T any] struct {
	ETag string `header:"ETag"`
	Body T
}
