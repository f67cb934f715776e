package verify

import (
	"time"

	"nas-target/internal/initiator"
)

// manage sends a task management function about the unit and judges its response.
func (n *Nexus) manage(f initiator.TMF, wanted ...initiator.TMFStatus) initiator.TMFStatus {
	return n.request(initiator.TMFRequest{Function: f, LUN: n.U.LUN, ReferencedTag: initiator.NoTag}, f.String(), wanted...)
}

func (n *Nexus) request(q initiator.TMFRequest, did string, wanted ...initiator.TMFStatus) initiator.TMFStatus {
	ctx, cancel := n.t.within()
	defer cancel()
	began := time.Now()
	r, err := n.S.Manage(ctx, q)
	if err != nil {
		n.noAnswer(did, err)
	}
	demand, ok := "", false
	for i, w := range wanted {
		if i > 0 {
			demand += " or "
		}
		demand += w.String()
		ok = ok || w == r.Status
	}
	n.t.record(Step{Nexus: n.Name, Did: did, Got: r.Status.String(), Want: demand, Wrong: !ok, Elapsed: time.Since(began)})
	if !ok {
		n.t.Fail("%s: %s: %s, must be %s", n.Name, did, r.Status, demand)
	}
	return r.Status
}
