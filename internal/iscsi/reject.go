package iscsi

import (
	"encoding/binary"

	"nas-target/internal/iscsi/pdu"
)

// vet finds what is wrong with a PDU by itself and with its place in the
// connection. A rejected request was never received: its CmdSN stays open.
// RFC 7143 §7.3, §11.17.
func (c *conn) vet(h *pdu.BHS, ahs, data []byte) (pdu.RejectReason, Reason) {
	op := h.Opcode()
	switch op {
	case pdu.OpSCSICommand:
		return c.vetCommand(h, ahs, len(data))
	case pdu.OpDataOut:
		return 0, ""
	case pdu.OpNOPOut, pdu.OpTMFRequest, pdu.OpTextRequest, pdu.OpLogoutRequest:
	case pdu.OpLoginRequest:
		return pdu.RejectProtocolError, ReasonLoginAgain
	case pdu.OpSNACKRequest:
		if len(data) > 0 {
			return pdu.RejectInvalidField, ReasonUnexpectedData
		}
		return pdu.RejectNotSupported, ReasonSNACK
	default:
		return pdu.RejectNotSupported, ReasonUnknownOpcode
	}
	switch {
	case len(ahs) > 0:
		return pdu.RejectInvalidField, ReasonUnexpectedAHS
	case len(data) > 0 && (op == pdu.OpTMFRequest || op == pdu.OpLogoutRequest):
		return pdu.RejectInvalidField, ReasonUnexpectedData
	case op == pdu.OpNOPOut:
		if h.ITT() == pdu.ReservedTag && !h.Immediate() {
			return pdu.RejectProtocolError, ReasonNOPNotImmediate
		}
		return 0, ""
	case h.ITT() == pdu.ReservedTag:
		return pdu.RejectInvalidField, ReasonReservedITT
	case op == pdu.OpTextRequest:
		return c.vetText(h, data)
	case op == pdu.OpLogoutRequest:
		if pdu.LogoutReason(h[1]&0x7f) > pdu.LogoutForRecovery {
			return pdu.RejectInvalidField, ReasonLogoutReason
		}
	case op == pdu.OpTMFRequest:
		if c.sess.discovery() {
			return pdu.RejectNotSupported, ReasonDiscoveryOnly
		}
		if len(c.tmfs) >= maxImmediate {
			return pdu.RejectTooManyImmediate, ReasonTooManyImmediate
		}
	}
	return 0, ""
}

// vetCommand does so for a SCSI Command. RFC 7143 §11.3.
func (c *conn) vetCommand(h *pdu.BHS, ahs []byte, data int) (pdu.RejectReason, Reason) {
	flags := h[1]
	write, read, final := flags&0x20 != 0, flags&0x40 != 0, flags&0x80 != 0
	edtl := binary.BigEndian.Uint32(h[20:])
	switch {
	case c.sess.discovery():
		return pdu.RejectNotSupported, ReasonDiscoveryOnly
	case h.ITT() == pdu.ReservedTag:
		return pdu.RejectInvalidField, ReasonReservedITT
	case !write && !final:
		return pdu.RejectInvalidField, ReasonNotFinal
	case !write && !read && edtl != 0:
		return pdu.RejectInvalidField, ReasonLengthWithoutDirection
	case data > 0 && !write || data > int(edtl):
		return pdu.RejectInvalidField, ReasonUnexpectedData
	case h.Immediate() && c.immediate >= maxImmediate:
		return pdu.RejectTooManyImmediate, ReasonTooManyImmediate
	}
	if t := c.tasks.find(h.ITT()); t != nil && (h.Immediate() || t.cmdSN != h.CmdSN()) {
		return pdu.RejectTaskInProgress, ReasonTaskInProgress
	}
	return pdu.RejectInvalidField, vetAHS(ahs)
}

// vetAHS walks the additional headers of a command. RFC 7143 §11.2.2.
func vetAHS(ahs []byte) Reason {
	for len(ahs) > 0 {
		a, rest, err := pdu.NextAHS(ahs)
		if err != nil {
			return ReasonBadAHS
		}
		switch a.Type {
		case pdu.AHSExtendedCDB:
			if len(a.Content) < 2 {
				return ReasonBadAHS
			}
		case pdu.AHSBidiReadLength:
			if _, err := a.BidiReadLength(); err != nil {
				return ReasonBadAHS
			}
		default:
			return ReasonBadAHS
		}
		ahs = rest
	}
	return ""
}

// reject answers a PDU that is not executed, with its header. RFC 7143 §11.17.
func (c *conn) reject(h *pdu.BHS, ahs []byte, code pdu.RejectReason, why Reason) {
	c.stats.Rejects++
	c.srv.events.reject(c, h, code, why)
	var copied [pdu.BHSLen + pdu.MaxAHSLen]byte
	data := append(append(copied[:0], h[:]...), ahs...)
	data = data[:min(len(data), smallPayload)]
	p := pdu.Reject{
		Reason:            code,
		StatSN:            c.nextStatSN(),
		DataSegmentLength: uint32(len(data)),
	}
	p.ExpCmdSN, p.MaxCmdSN = c.sess.numbers()
	a := c.header()
	p.Encode(a)
	c.copied(a, data)
}

// dataDigestError drops a PDU whose data are damaged. At error recovery level
// 0 nothing is asked for again. RFC 7143 §7.8.
func (c *conn) dataDigestError(h *pdu.BHS, ahs []byte) {
	c.stats.DigestErrors++
	c.heard(h)
	c.srv.events.digestError(c, ReasonDataDigest)
	c.reject(h, ahs, pdu.RejectDataDigest, ReasonDataDigest)
}
