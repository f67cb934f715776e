package iscsi

import (
	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/pool"
	"nas-target/internal/scsi"
)

// dataOut is how far the data of a write have come. RFC 7143 §4.2.5.2, §11.8.
type dataOut struct {
	unsolicited bool  // a burst that nobody asked for is under way
	first       burst // it
	next        uint32
	want        uint32      // bytes the SCSI layer wants; 0 until it said so
	bursts      []burst     // asked for and not complete
	bad         *scsi.Check // what is wrong with the data; the rest is swallowed
}

// burst is one sequence of Data-Out PDUs.
type burst struct {
	ttt    uint32
	offset uint32 // of the next byte
	end    uint32
	dataSN uint32 // of the next PDU
}

// promised reports whether the initiator still owes us data.
func (d *dataOut) promised() bool { return d.unsolicited || len(d.bursts) > 0 }

// complete reports whether all that was wanted is there.
func (d *dataOut) complete() bool { return !d.promised() && d.next >= d.want }

func (d *dataOut) reset() {
	bursts := d.bursts[:0]
	*d = dataOut{bursts: bursts}
}

// spoil notes the first thing that is wrong with the data.
func (d *dataOut) spoil(c *scsi.Check) {
	if d.bad == nil {
		d.bad = c
	}
}

// unsolicited judges what a write brings without being asked: its immediate
// data, and the burst that F=0 announces.
func (c *conn) unsolicited(t *task, p *pdu.SCSICommand, immediate int) {
	d := &t.out
	first := min(c.params.FirstBurstLength, p.EDTL)
	if immediate > 0 && !c.params.ImmediateData || immediate > int(first) {
		d.spoil(scsi.ErrUnexpectedData)
	}
	d.next = uint32(immediate)
	if p.Final {
		return
	}
	d.unsolicited = true
	d.first = burst{ttt: pdu.ReservedTag, offset: uint32(immediate), end: first}
	d.next = first
	if c.params.InitialR2T || immediate >= int(first) {
		d.spoil(scsi.ErrUnexpectedData)
	}
}

// placement is where the data segment of a Data-Out PDU goes.
type placement struct {
	t     *task  // nil: nobody's
	dst   []byte // nil: thrown away
	n     uint32
	itt   uint32
	ttt   uint32
	final bool
}

// placeDataOut finds the place of a Data-Out PDU before its data are read.
func (c *conn) placeDataOut(h *pdu.BHS) placement {
	var p pdu.DataOut
	p.Decode(h)
	pl := placement{n: p.DataSegmentLength, itt: p.ITT, ttt: p.TTT, final: p.Final}
	t := c.tasks.find(p.ITT)
	var b *burst
	if t != nil {
		b = t.burst(p.TTT)
	}
	switch {
	case b == nil:
		if !c.haunted(p.ITT, p.TTT) {
			c.reject(h, nil, pdu.RejectInvalidField, ReasonDataOutUnknown)
		}
		return pl
	case p.TTT != pdu.ReservedTag && scsi.LUN(p.LUN) != t.scsi.LUN:
		c.reject(h, nil, pdu.RejectInvalidField, ReasonDataOutLUN)
		return pl
	}
	d := &t.out
	switch {
	case p.DataSN != b.dataSN:
		d.spoil(scsi.ErrDataDigest) // a PDU is missing: like one whose digest was bad
	case p.BufferOffset != b.offset || pl.n > b.end-b.offset:
		d.spoil(scsi.ErrIncorrectData)
	}
	if d.bad == nil && t.scsi.OutBuf != nil && t.stage != stageDone {
		pl.dst = t.whole()[b.offset : b.offset+pl.n]
	}
	pl.t = t
	t.placing++
	return pl
}

// whole is all of the buffer for the task's data, whatever length it was lent
// with.
func (t *task) whole() []byte { return t.scsi.OutBuf.B[:cap(t.scsi.OutBuf.B)] }

// burst finds the open sequence that a TTT names.
func (t *task) burst(ttt uint32) *burst {
	if ttt == pdu.ReservedTag {
		if t.out.unsolicited {
			return &t.out.first
		}
		return nil
	}
	for i := range t.out.bursts {
		if t.out.bursts[i].ttt == ttt {
			return &t.out.bursts[i]
		}
	}
	return nil
}

// dataOut handles a Data-Out PDU that arrived as a whole.
func (c *conn) dataOut(h *pdu.BHS, data []byte) {
	pl := c.placeDataOut(h)
	copy(pl.dst, data)
	c.dataOutPlaced(pl)
}

// dataOutPlaced goes on after the data segment has been read.
func (c *conn) dataOutPlaced(pl placement) {
	t := pl.t
	if t == nil {
		c.exorcise(pl)
		return
	}
	c.stats.DataOut += uint64(pl.n)
	c.lastData = c.now
	if t.placing--; t.unlisted {
		c.exorcise(pl)
		if t.gone && t.placing == 0 {
			c.recycle(t)
		}
		return
	}
	if b := t.burst(pl.ttt); b != nil {
		b.dataSN++
		b.offset += min(pl.n, b.end-b.offset)
		if pl.final || b.offset == b.end {
			if !pl.final || b.offset != b.end {
				t.out.spoil(scsi.ErrIncorrectData) // too short, or more announced
			}
			t.endBurst(b)
		}
	}
	c.collect(t)
}

// dataOutDamaged goes on after a data segment whose digest was wrong.
func (c *conn) dataOutDamaged(pl placement) {
	if pl.t != nil {
		pl.t.out.spoil(scsi.ErrDataDigest)
	}
	c.dataOutPlaced(pl)
}

func (t *task) endBurst(b *burst) {
	if b == &t.out.first {
		t.out.unsolicited = false
		return
	}
	for i := range t.out.bursts {
		if &t.out.bursts[i] == b {
			t.out.bursts = append(t.out.bursts[:i], t.out.bursts[i+1:]...)
			return
		}
	}
}

// needData starts to collect what the SCSI layer wants.
func (c *conn) needData(t *task) {
	s, d := &t.scsi, &t.out
	t.stage = stageData
	c.collecting++
	c.lastData = c.now
	d.want = uint32(min(s.Need, int(s.OutLen)))
	if n := int(max(d.want, d.first.end)); s.OutBuf == nil || cap(s.OutBuf.B) < n {
		b := pool.Get(n)
		if s.OutBuf != nil {
			copy(b.B, s.OutBuf.B[:cap(s.OutBuf.B)])
		}
		s.OutBuf.Release()
		s.OutBuf = b
	}
	c.collect(t)
}

// collect decides what a task needs next after its data have moved on.
func (c *conn) collect(t *task) {
	d := &t.out
	switch t.stage {
	case stageReady:
		// Not submitted yet: it brings along what is there.
		if t.scsi.OutBuf != nil && d.bad == nil {
			t.scsi.Out = t.whole()[:max(d.first.offset, uint32(len(t.scsi.Out)))]
		}
	case stageDone:
		if !d.promised() && !t.adrift {
			c.settle(t)
		}
	case stageData:
		switch {
		case d.bad != nil:
			if !d.promised() {
				c.abort(t)
			}
		case d.complete():
			c.collecting--
			t.stage = stageReady
			t.scsi.Out = t.whole()[:d.want]
			c.resume.push(t)
		default:
			c.ask(t)
		}
	}
}

// ask sends R2Ts for what is still wanted, as many as may be open. The first
// waits for the end of the unsolicited burst, so that a burst gone wrong
// leaves nothing else open.
func (c *conn) ask(t *task) {
	d := &t.out
	if d.unsolicited {
		return
	}
	for len(d.bursts) < int(c.params.MaxOutstandingR2T) && d.next < d.want {
		n := min(d.want-d.next, c.params.MaxBurstLength)
		b := burst{ttt: c.newTTT(), offset: d.next, end: d.next + n}
		p := pdu.R2T{
			LUN:           pdu.LUN(t.scsi.LUN),
			ITT:           t.itt,
			TTT:           b.ttt,
			R2TSN:         t.dataSN,
			BufferOffset:  d.next,
			DesiredLength: n,
			StatSN:        c.statSN,
		}
		p.ExpCmdSN, p.MaxCmdSN = c.sess.numbers()
		h := c.header()
		p.Encode(h)
		c.payload(h, nil)
		d.bursts = append(d.bursts, b)
		d.next += n
		t.dataSN++
	}
}

func (c *conn) newTTT() uint32 {
	c.nextTTT++
	if c.nextTTT == pdu.ReservedTag {
		c.nextTTT = 0
	}
	return c.nextTTT
}

// abort ends a task at the SCSI layer; Done tells when it is over.
func (c *conn) abort(t *task) {
	c.target.Manage(scsi.TaskMgmt{Function: scsi.AbortTask, LUN: t.scsi.LUN, Ref: &t.scsi}, func(scsi.TMFResponse, uint32) {})
}

// ghost is data that the initiator may still send for a task that is no more.
type ghost struct {
	itt uint32
	ttt uint32 // ReservedTag: the unsolicited burst
	m   *tmf   // waits for it
}

const maxGhosts = 256

func addGhost(g []ghost, x ghost) []ghost {
	if len(g) == maxGhosts {
		g = append(g[:0], g[1:]...)
	}
	return append(g, x)
}

// haunt leaves a ghost for each sequence of t that is still open.
func (t *task) haunt(g []ghost) []ghost {
	if t.out.unsolicited {
		g = addGhost(g, ghost{itt: t.itt, ttt: pdu.ReservedTag, m: t.endedBy})
	}
	for _, b := range t.out.bursts {
		g = addGhost(g, ghost{itt: t.itt, ttt: b.ttt, m: t.endedBy})
	}
	return g
}

// haunted reports whether a ghost expects this data.
func (c *conn) haunted(itt, ttt uint32) bool {
	for _, g := range c.ghosts {
		if g.itt == itt && g.ttt == ttt {
			return true
		}
	}
	return false
}

// exorcise ends the ghost whose last PDU has come.
func (c *conn) exorcise(pl placement) {
	if !pl.final {
		return
	}
	for i, g := range c.ghosts {
		if g.itt != pl.itt || g.ttt != pl.ttt {
			continue
		}
		c.ghosts = append(c.ghosts[:i], c.ghosts[i+1:]...)
		if g.m != nil {
			g.m.arrived()
		}
		return
	}
}
