package admin

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

func (a *API) historyOperations(api huma.API) {
	huma.Register(api, get("history", "/v1/history", "The audit trail: reservation commands, logins and operators' changes, newest first"),
		func(ctx context.Context, in *struct {
			LUN       string    `query:"lun" doc:"only of this LUN"`
			Initiator string    `query:"initiator" doc:"only what this host, node or port asked or lost"`
			Kind      string    `query:"kind" enum:"pr,login,admin"`
			Refused   bool      `query:"refused" doc:"only what was refused"`
			Since     time.Time `query:"since"`
			Before    uint64    `query:"before" doc:"only entries with a smaller number"`
			Limit     int       `query:"limit" minimum:"1" maximum:"1000" default:"100"`
		}) (*answer[History], error) {
			h, err := a.o.Control.History(ctx, HistoryQuery(*in))
			if err != nil {
				return nil, huma.Error500InternalServerError(err.Error())
			}
			if h.Entries == nil {
				h.Entries = []HistoryEntry{}
			}
			return &answer[History]{h}, nil
		})
}
