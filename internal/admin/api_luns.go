package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// LUNPath and Precondition are parts of requests; huma reads exported ones alone.
type LUNPath struct {
	LUN string `path:"lun" doc:"name of the LUN"`
}

// Precondition names the version that a change is meant for.
type Precondition struct {
	IfMatch string `header:"If-Match" doc:"the version that was seen, in quotes; * for any"`
}

func (a *API) lunOperations(api huma.API) {
	huma.Register(api, get("list-luns", "/v1/luns", "Logical units"),
		func(ctx context.Context, _ *struct{}) (*answer[list[LUN]], error) {
			return listOf(luns(a.o.Control.Status(ctx))), nil
		})

	huma.Register(api, get("show-lun", "/v1/luns/{lun}", "One logical unit", http.StatusNotFound),
		func(ctx context.Context, in *LUNPath) (*tagged[LUN], error) {
			l, err := a.lun(ctx, in.LUN)
			if err != nil {
				return nil, err
			}
			return &tagged[LUN]{etag(l.Version), l}, nil
		})

	huma.Register(api, change("resize-lun", http.MethodPatch, "/v1/luns/{lun}", "Make a LUN larger and tell its initiators", http.StatusPreconditionRequired),
		func(ctx context.Context, in *struct {
			LUNPath
			Precondition
			Body struct {
				Bytes int64 `json:"bytes" minimum:"1" doc:"the new size, a whole number of blocks"`
			}
		}) (*struct{}, error) {
			if err := needsMatch(in.IfMatch); err != nil {
				return nil, err
			}
			return nil, a.apply(ctx, in.IfMatch, Resize{in.LUN, in.Body.Bytes})
		})

	huma.Register(api, change("clear-failure", http.MethodDelete, "/v1/luns/{lun}/failure", "Let a LUN take writes again after a flush failed"),
		func(ctx context.Context, in *struct {
			LUNPath
			Precondition
		}) (*struct{}, error) {
			return nil, a.apply(ctx, in.IfMatch, ClearFailure{in.LUN})
		})

	huma.Register(api, change("retry-lun", http.MethodPost, "/v1/luns/{lun}/retry", "Open a LUN that could not be opened"),
		func(ctx context.Context, in *LUNPath) (*struct{}, error) {
			return nil, a.apply(ctx, "", RetryLUN{in.LUN})
		})

	huma.Register(api, get("list-reservations", "/v1/reservations", "Who holds which LUN, who is registered, and what is wrong with it"),
		func(ctx context.Context, in *struct {
			Rows int `query:"rows" minimum:"0" doc:"at most so many registrations and so many other sessions of each LUN, what matters most first; 0: all"`
		}) (*answer[list[Reservations]], error) {
			var all []Reservations
			for _, l := range luns(a.o.Control.Status(ctx)) {
				all = append(all, l.Reservations.atMost(in.Rows))
			}
			return listOf(all), nil
		})

	huma.Register(api, get("traffic", "/v1/traffic", "What the LUNs did in the last ten minutes"),
		func(ctx context.Context, _ *struct{}) (*answer[list[Past]], error) {
			return listOf(a.o.Control.Past(ctx)), nil
		})

	huma.Register(api, get("show-reservations", "/v1/luns/{lun}/reservations", "Who holds a LUN, who is registered, and what is wrong with it", http.StatusNotFound),
		func(ctx context.Context, in *LUNPath) (*tagged[Reservations], error) {
			l, err := a.lun(ctx, in.LUN)
			if err != nil {
				return nil, err
			}
			return &tagged[Reservations]{etag(l.Reservations.Version), l.Reservations}, nil
		})

	huma.Register(api, change("clear-reservations", http.MethodDelete, "/v1/luns/{lun}/reservations",
		"Remove every registration and the reservation of a LUN: every initiator may write", http.StatusPreconditionRequired),
		func(ctx context.Context, in *struct {
			LUNPath
			Precondition
		}) (*struct{}, error) {
			if err := needsMatch(in.IfMatch); err != nil {
				return nil, err
			}
			return nil, a.apply(ctx, in.IfMatch, ClearReservations{in.LUN})
		})
}

func (a *API) lun(ctx context.Context, name string) (LUN, error) {
	for _, l := range luns(a.o.Control.Status(ctx)) {
		if l.Name == name {
			return l, nil
		}
	}
	return LUN{}, huma.Error404NotFound("there is no LUN " + name)
}
