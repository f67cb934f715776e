package decode

import (
	"nas-target/internal/initiator"
	"nas-target/internal/pr"
)

// Opcodes whose parameter data are shown.
const (
	opPRIn  = 0x5e
	opPROut = 0x5f
)

func (t *task) shows() bool { return t.cdb[0] == opPRIn || t.cdb[0] == opPROut }

// keep puts a piece of the command's data in its place, as far as it is shown.
func (t *task) keep(offset uint32, data []byte) {
	if !t.shows() || int(offset) != len(t.list) || len(t.list)+len(data) > keptData {
		return
	}
	t.list = append(t.list, data...)
}

// tellList shows the parameter list of PERSISTENT RESERVE OUT once it is whole.
// SPC-4 r36f 6.16.3, 6.16.4.
func (t *task) tellList(r *Record) {
	if t.cdb[0] != opPROut || t.listSeen {
		return
	}
	want := int(be.Uint32(t.cdb[5:]))
	if want == 0 || len(t.list) < want || want > keptData {
		return
	}
	t.listSeen = true
	b := t.list[:want]
	if len(b) < 24 {
		r.complain("a parameter list of %d bytes; the shortest has 24", len(b))
		return
	}
	key := func(at int) pr.Key { return pr.Key(be.Uint64(b[at:])) }
	r.Parameters = append(r.Parameters, field("reservation key", "%v", key(0)), field("service action key", "%v", key(8)))
	flag := func(name string, set bool) {
		if set {
			r.Parameters = append(r.Parameters, Field{name, "1"})
		}
	}
	if t.cdb[1]&0x1f == byte(pr.RegisterAndMove) {
		flag("UNREG", b[17]&2 != 0)
		flag("APTPL", b[17]&1 != 0)
		r.Parameters = append(r.Parameters, field("relative port", "%d", be.Uint16(b[18:])))
		r.transportIDs(b[24:], int(be.Uint32(b[20:])))
		return
	}
	flag("SPEC_I_PT", b[20]&8 != 0)
	flag("ALL_TG_PT", b[20]&4 != 0)
	flag("APTPL", b[20]&1 != 0)
	if b[20]&8 != 0 && len(b) >= 28 {
		r.transportIDs(b[28:], int(be.Uint32(b[24:])))
	}
}

// transportIDs shows the initiator ports that a list names. SPC-4 r36f 7.6.4.
func (r *Record) transportIDs(b []byte, length int) {
	if length > len(b) {
		r.complain("TransportIDs of %d bytes, and there are %d", length, len(b))
		length = len(b)
	}
	for b = b[:max(0, length)]; len(b) > 0; {
		n := 24
		if len(b) >= 4 {
			n = max(24, 4+int(be.Uint16(b[2:])))
		}
		if n > len(b) {
			r.complain("a TransportID is cut short")
			return
		}
		id, err := initiator.DecodeTransportID(b[:n])
		if err != nil {
			r.complain("%v", err)
		} else {
			r.Parameters = append(r.Parameters, field("initiator port", "%s", id))
		}
		b = b[n:]
	}
}

// tellAnswer shows what PERSISTENT RESERVE IN answered. SPC-4 r36f 6.15.
func (t *task) tellAnswer(r *Record) {
	if t.cdb[0] != opPRIn || t.listSeen || len(t.list) < 8 {
		return
	}
	t.listSeen = true
	generation, length, rest := be.Uint32(t.list), int(be.Uint32(t.list[4:])), t.list[8:]
	whole := length <= len(rest)
	if whole {
		rest = rest[:length]
	}
	generationIs := field("generation", "%d", generation)
	switch initiator.PRInAction(t.cdb[1] & 0x1f) {
	case initiator.PRReadKeys:
		r.Parameters = append(r.Parameters, generationIs)
		for ; len(rest) >= 8; rest = rest[8:] {
			r.Parameters = append(r.Parameters, field("key", "%v", pr.Key(be.Uint64(rest))))
		}
	case initiator.PRReadReservation:
		r.Parameters = append(r.Parameters, generationIs)
		if len(rest) < 16 {
			r.Parameters = append(r.Parameters, Field{"reservation", "none"})
			break
		}
		r.Parameters = append(r.Parameters, field("key", "%v", pr.Key(be.Uint64(rest))), field("type", "%v", pr.Type(rest[13]&0x0f)))
	case initiator.PRReadFullStatus:
		r.Parameters = append(r.Parameters, generationIs)
		if !whole {
			break
		}
		all, err := initiator.DecodeFullStatus(t.list[:8+length])
		if err != nil {
			r.complain("%v", err)
		}
		for _, x := range all.Registrants {
			words := field("", "key %v", pr.Key(x.Key)).Value
			if x.Holder {
				words += field("", ", holds %v", pr.Type(x.Type)).Value
			}
			r.Parameters = append(r.Parameters, field(x.Initiator.String(), "%s", words))
		}
	}
	if !whole {
		r.Parameters = append(r.Parameters, field("answer", "cut to %d of %d bytes", len(t.list), 8+length))
	}
}
