package admin

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const (
	defaultPage = 1000
	maxPage     = 20_000
)

func (a *API) sessionOperations(api huma.API) {
	huma.Register(api, get("list-sessions", "/v1/sessions", "Initiators that are logged in, the longest waiting command first"),
		func(ctx context.Context, in *struct {
			Initiator string `query:"initiator" doc:"only those whose host, node or port name is this"`
			Target    string `query:"target" doc:"only those of this target"`
			Find      string `query:"find" doc:"only those with this somewhere in their names or addresses"`
			Offset    int    `query:"offset" minimum:"0"`
			Limit     int    `query:"limit" minimum:"1" maximum:"20000" default:"1000"`
		}) (*answer[list[Session]], error) {
			all := a.o.Control.Status(ctx).Sessions
			all = slices.DeleteFunc(all, func(s Session) bool {
				return in.Initiator != "" && !s.is(in.Initiator) || in.Target != "" && !strings.HasPrefix(s.Target, in.Target+",") && s.Target != in.Target ||
					in.Find != "" && !s.mentions(in.Find)
			})
			slices.SortStableFunc(all, func(a, b Session) int {
				switch x, y := a.waiting(), b.waiting(); {
				case x > y:
					return -1
				case x < y:
					return 1
				}
				return strings.Compare(a.Initiator, b.Initiator)
			})
			limit := in.Limit
			if limit == 0 {
				limit = defaultPage
			}
			page := all[min(in.Offset, len(all)):]
			page = page[:min(limit, maxPage, len(page))]
			out := listOf(page)
			out.Body.Total = len(all)
			out.Body.More = in.Offset+len(page) < len(all)
			return out, nil
		})

	huma.Register(api, get("show-session", "/v1/sessions/{id}", "One session", http.StatusNotFound),
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
		}) (*answer[Session], error) {
			for _, s := range a.o.Control.Status(ctx).Sessions {
				if s.ID == in.ID {
					return &answer[Session]{s}, nil
				}
			}
			return nil, huma.Error404NotFound("there is no session " + in.ID)
		})

	huma.Register(api, change("kill-session", http.MethodDelete, "/v1/sessions/{id}", "End a session; its initiator may log in again"),
		func(ctx context.Context, in *struct {
			ID string `path:"id"`
			Precondition
		}) (*struct{}, error) {
			return nil, a.apply(ctx, in.IfMatch, KillSession{in.ID})
		})
}

// is reports whether name means the session's machine.
func (s Session) is(name string) bool {
	node, _, _ := strings.Cut(s.Initiator, ",i,0x")
	return strings.EqualFold(name, s.Host) || strings.EqualFold(name, node) || strings.EqualFold(name, s.Initiator)
}

// mentions reports whether a part of a name or an address of the session's
// machine is text, in whatever case.
func (s Session) mentions(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc([]string{s.Initiator, s.Host, s.Alias, s.Address, s.User}, func(of string) bool {
		return strings.Contains(strings.ToLower(of), text)
	})
}

func (s Session) waiting() float64 {
	if s.Oldest == nil {
		return 0
	}
	return s.Oldest.Seconds
}
