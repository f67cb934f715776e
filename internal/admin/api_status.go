package admin

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// list is an answer that names many.
type list[T any] struct {
	Items []T  `json:"items"`
	Total int  `json:"total" doc:"how many there are, shown or not"`
	More  bool `json:"more,omitempty" doc:"not all are shown: ask again with a larger offset"`
}

func listOf[T any](all []T) *answer[list[T]] {
	if all == nil {
		all = []T{}
	}
	return &answer[list[T]]{list[T]{Items: all, Total: len(all)}}
}

func (a *API) statusOperations(api huma.API) {
	huma.Register(api, get("status", "/v1/status", "Is all well, who holds what, what is wrong"),
		func(ctx context.Context, _ *struct{}) (*answer[Overview], error) {
			return &answer[Overview]{overview(a.o.Control.Status(ctx))}, nil
		})

	huma.Register(api, get("list-targets", "/v1/targets", "Targets, with their LUNs and who may log in"),
		func(ctx context.Context, _ *struct{}) (*answer[list[Target]], error) {
			return listOf(targets(a.o.Control.Status(ctx))), nil
		})

	huma.Register(api, get("show-target", "/v1/targets/{name}", "One target", http.StatusNotFound),
		func(ctx context.Context, in *struct {
			Name string `path:"name" doc:"iSCSI name"`
		}) (*answer[Target], error) {
			for _, t := range targets(a.o.Control.Status(ctx)) {
				if t.Name == in.Name {
					return &answer[Target]{t}, nil
				}
			}
			return nil, huma.Error404NotFound("there is no target " + in.Name)
		})

	huma.Register(api, get("list-portals", "/v1/portals", "Addresses that initiators connect to"),
		func(ctx context.Context, _ *struct{}) (*answer[list[Portal]], error) {
			return listOf(a.o.Control.Status(ctx).Portals), nil
		})

	huma.Register(api, get("list-initiators", "/v1/initiators", "Who may log in, to which target"),
		func(ctx context.Context, _ *struct{}) (*answer[list[Initiator]], error) {
			var all []Initiator
			for _, t := range a.o.Control.Status(ctx).Targets {
				all = append(all, t.Initiators...)
			}
			return listOf(all), nil
		})
}

// targets returns the targets with the outlines of their LUNs filled in.
func targets(s Status) []Target {
	for i, t := range s.Targets {
		for j, l := range t.LUNs {
			s.Targets[i].LUNs[j].Reservation = l.Reservations.Outline()
		}
	}
	return s.Targets
}

// probes are the questions of machines: they answer in one word.
func (a *API) probes() {
	a.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		word(w, http.StatusOK, "ok")
	})
	a.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s := a.o.Control.Status(r.Context()); !s.Ready {
			word(w, http.StatusServiceUnavailable, "not ready: see /v1/status")
			return
		}
		word(w, http.StatusOK, "ready")
	})
	if a.o.Metrics != nil {
		a.mux.Handle("GET /metrics", a.o.Metrics)
	}
}

func word(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s + "\n"))
}
