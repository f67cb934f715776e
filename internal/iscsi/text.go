package iscsi

import (
	"slices"
	"strconv"

	"nas-target/internal/iscsi/pdu"
)

// textLimit bounds what an initiator may send in one text negotiation, and
// what we keep for it.
const textLimit = 16 << 10

// textExchange is the text negotiation of a connection in full feature phase.
// There is at most one. RFC 7143 §11.10.
type textExchange struct {
	in   []byte // text of requests with C=1
	open bool   // more requests are expected
	itt  uint32
	ttt  uint32 // that the next request must carry
	out  []byte // of a long answer, not sent yet
}

// vetText judges a Text Request against the exchange under way.
func (c *conn) vetText(h *pdu.BHS, data []byte) (pdu.RejectReason, Reason) {
	var p pdu.TextRequest
	p.Decode(h)
	x := &c.text
	switch {
	case p.Continue && p.Final:
		return pdu.RejectProtocolError, ReasonTextContinueFinal
	case p.TTT == pdu.ReservedTag && x.open:
		if p.ITT == x.itt {
			return pdu.RejectProtocolError, ReasonTextOpen
		}
		// A new negotiation resets the old one. RFC 7143 §11.10.4.
		*x = textExchange{}
	case p.TTT != pdu.ReservedTag && (!x.open || p.TTT != x.ttt || p.ITT != x.itt):
		return pdu.RejectInvalidField, ReasonTextTTT
	case len(x.in)+len(data) > textLimit:
		*x = textExchange{}
		return pdu.RejectProtocolError, ReasonTextTooLong
	}
	if !p.Continue && len(x.out) == 0 {
		if _, _, _, why := c.negotiateText(data); why != "" {
			*x = textExchange{}
			return pdu.RejectProtocolError, why
		}
	}
	return 0, ""
}

// negotiateText answers the text that ends with data, without effect.
func (c *conn) negotiateText(data []byte) (offer, reply pdu.Text, st keyState, why Reason) {
	offer, err := pdu.ParseText(append(c.text.in[:len(c.text.in):len(c.text.in)], data...), pdu.TextLimits{})
	if err != nil {
		return nil, nil, st, ReasonTextMalformed
	}
	st = joinKeyState(c.srv.opt.Limits, *c.params)
	st.params.MaxSend = c.maxSend
	reply, kerr := negotiate(offer, &st, pdu.FullFeaturePhase)
	if kerr != nil {
		return nil, nil, st, ReasonTextKey
	}
	return offer, reply, st, ""
}

// textRequest goes on with a text negotiation.
func (c *conn) textRequest(h *pdu.BHS, data []byte) {
	var p pdu.TextRequest
	p.Decode(h)
	x := &c.text
	if len(x.out) > 0 {
		c.textAnswer(&p)
		return
	}
	if p.Continue {
		x.in = append(x.in, data...)
		x.open, x.itt, x.ttt = true, p.ITT, c.newTTT()
		c.textResponse(&p, nil, false, x.ttt)
		return
	}
	offer, reply, st, why := c.negotiateText(data)
	*x = textExchange{}
	if why != "" { // it came early, and things have changed since
		c.reject(h, nil, pdu.RejectProtocolError, why)
		return
	}
	if what, ok := offer.Get("SendTargets"); ok {
		reply = append(reply, c.sendTargets(what)...)
	}
	c.maxSend = st.params.MaxSend
	x.out, x.itt = reply.Append(nil), p.ITT
	c.textAnswer(&p)
}

// textAnswer sends the next part of the answer.
func (c *conn) textAnswer(p *pdu.TextRequest) {
	x := &c.text
	n := min(len(x.out), int(c.maxSend))
	part := x.out[:n]
	x.out = x.out[n:]
	x.open = len(x.out) > 0
	if !x.open && p.Final {
		c.textResponse(p, part, true, pdu.ReservedTag)
		return
	}
	// There is more to send, or the initiator has more to say.
	x.open, x.itt, x.ttt = true, p.ITT, c.newTTT()
	c.textResponse(p, part, false, x.ttt)
}

func (c *conn) textResponse(p *pdu.TextRequest, part []byte, final bool, ttt uint32) {
	a := pdu.TextResponse{
		Final:             final,
		Continue:          len(c.text.out) > 0,
		LUN:               p.LUN,
		ITT:               p.ITT,
		TTT:               ttt,
		StatSN:            c.nextStatSN(),
		DataSegmentLength: uint32(len(part)),
	}
	a.ExpCmdSN, a.MaxCmdSN = c.sess.numbers()
	h := c.header()
	a.Encode(h)
	c.payload(h, part)
}

// sendTargets answers a discovery. RFC 7143 appendix C.
func (c *conn) sendTargets(what string) pdu.Text {
	var t pdu.Text
	switch {
	case what == "All" && c.sess.discovery():
		all := *c.srv.nodes.Load()
		names := make([]string, 0, len(all))
		for name := range all {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			c.describe(&t, all[name])
		}
	case what == "All", what == "":
		// On a normal session this means the target of the session.
		if !c.sess.discovery() {
			c.describe(&t, c.sess.node)
		} else if what == "" {
			t.Add("SendTargets", pdu.ValueReject)
		}
	default:
		name, ok := keyISCSIName(what)
		if !ok {
			t.Add("SendTargets", pdu.ValueReject)
			break
		}
		n := c.srv.node(name)
		if n != nil && (c.sess.discovery() || n == c.sess.node) {
			c.describe(&t, n)
		}
	}
	return t
}

// describe adds a node and where to reach it, if the initiator may see it.
func (c *conn) describe(t *pdu.Text, n *Node) {
	who := c.sess.initiator
	who.Discovery = true
	if _, err := n.Authorize(who); err != nil {
		return
	}
	t.Add("TargetName", n.Name)
	for _, g := range n.Groups {
		for _, a := range c.srv.addresses(g, c.info.Local) {
			t.Add("TargetAddress", a+","+strconv.Itoa(int(g)))
		}
	}
}
