package decode

import (
	"strings"
	"time"

	"nas-target/internal/iscsi/pdu"
	"nas-target/internal/scsi"
)

// maxTasks is more than any session has under way; beyond it the oldest books
// are closed.
const maxTasks = 4096

// conn keeps the books of one connection.
type conn struct {
	id                int
	initiator, target string
	forced            *pdu.Digests // what the user says instead of the login
	emit              func(*Record)

	begun   bool // the login was seen, so that all tasks are known
	full    bool // it is over
	offered [2]map[string]string
	agreed  map[string]string
	text    [2][]byte // of a run with the C bit
	shared  bool      // one connection of several: CmdSN go over all of them

	cmdSN, maxCmdSN, statSN       pdu.Serial // expected next; the window; expected next
	knowCmdSN, knowMax, knowStatS bool
	tasks                         map[uint32]*task
}

// task is a SCSI command under way.
type task struct {
	lun      pdu.LUN
	cdb      []byte
	name     string
	began    time.Time
	edtl     uint32
	immed    uint32 // bytes of Data-Out that came with or behind the command unasked
	dataSN   uint32 // of the next Data-In
	offset   uint32 // of the next Data-In
	unsolSN  uint32
	r2tSN    uint32
	asked    map[uint32]*burst // by TTT
	list     []byte            // parameter data, of the commands whose are shown
	listSeen bool
}

// burst is what an R2T asked for.
type burst struct {
	next, end uint32
	dataSN    uint32
}

func newConn(id int, initiator, target string, forced *pdu.Digests, emit func(*Record)) *conn {
	return &conn{id: id, initiator: initiator, target: target, forced: forced, emit: emit, agreed: map[string]string{}, tasks: map[uint32]*task{}}
}

func (c *conn) out(r *Record) { c.emit(r) }

func (c *conn) record(fromTarget bool) *Record {
	return &Record{Connection: c.id, Initiator: c.initiator, Target: c.target, FromTarget: fromTarget}
}

// digests says which digests the next PDU has. RFC 7143 §12.1.
func (c *conn) digests(op pdu.Opcode) pdu.Digests {
	switch {
	case op == pdu.OpLoginRequest || op == pdu.OpLoginResponse:
		return pdu.Digests{}
	case c.forced != nil:
		return *c.forced
	case c.full:
		return pdu.Digests{Header: c.agreed["HeaderDigest"] == "CRC32C", Data: c.agreed["DataDigest"] == "CRC32C"}
	}
	return pdu.Digests{}
}

// pdu takes a PDU into the books and hands it out.
func (c *conn) pdu(h *half, r *Record, bhs *pdu.BHS, ahs, data []byte) {
	p := pdu.New(bhs.Opcode())
	p.Decode(bhs)
	r.header(p)
	extended := r.moreHeader(ahs)
	switch p := p.(type) {
	case *pdu.LoginRequest:
		c.login(r, p)
		c.keys(r, p.Continue, data)
	case *pdu.LoginResponse:
		c.keys(r, p.Continue, data)
		c.loggedIn(r, p)
	case *pdu.TextRequest:
		c.command(r, p.Immediate, p.CmdSN)
		c.keys(r, p.Continue, data)
	case *pdu.TextResponse:
		c.status(r, p.StatSN, p.MaxCmdSN, true)
		c.keys(r, p.Continue, data)
	case *pdu.SCSICommand:
		c.command(r, p.Immediate, p.CmdSN)
		c.begin(r, p, extended, data)
	case *pdu.DataOut:
		c.dataOut(r, p, data)
	case *pdu.DataIn:
		c.dataIn(r, p, data)
	case *pdu.R2T:
		c.status(r, p.StatSN, p.MaxCmdSN, false)
		c.r2t(r, p)
	case *pdu.SCSIResponse:
		c.status(r, p.StatSN, p.MaxCmdSN, true)
		c.response(r, p, data)
	case *pdu.TMFRequest:
		c.command(r, p.Immediate, p.CmdSN)
		if t := c.tasks[p.RefTaskTag]; t != nil {
			r.Command = t.name
		}
	case *pdu.TMFResponse:
		c.status(r, p.StatSN, p.MaxCmdSN, true)
	case *pdu.NOPOut:
		c.command(r, p.Immediate, p.CmdSN)
	case *pdu.NOPIn:
		c.status(r, p.StatSN, p.MaxCmdSN, p.ITT != pdu.ReservedTag)
	case *pdu.LogoutRequest:
		c.command(r, p.Immediate, p.CmdSN)
	case *pdu.LogoutResponse:
		c.status(r, p.StatSN, p.MaxCmdSN, true)
	case *pdu.AsyncMessage:
		c.status(r, p.StatSN, p.MaxCmdSN, true)
		if p.Event == pdu.AsyncSCSIEvent {
			r.sense(data)
		}
	case *pdu.Reject:
		c.status(r, p.StatSN, p.MaxCmdSN, true)
		if len(data) >= pdu.BHSLen {
			r.Parameters = append(r.Parameters, field("refused", "%s", pdu.Dump((*pdu.BHS)(data))))
		}
	}
	c.out(r)
}

// login takes a login request: its CmdSN is where the session's numbers begin.
// RFC 7143 §4.2.2.1.
func (c *conn) login(r *Record, p *pdu.LoginRequest) {
	c.begun = true
	if p.TSIH != 0 {
		c.shared = true
		r.Parameters = append(r.Parameters, field("joins", "session %#04x: its CmdSN go over several connections", p.TSIH))
	}
	if c.knowCmdSN && p.CmdSN != c.cmdSN {
		r.complain("CmdSN %d, and the login began with %d", p.CmdSN, c.cmdSN)
	}
	c.cmdSN, c.knowCmdSN = p.CmdSN, true
}

func (c *conn) loggedIn(r *Record, p *pdu.LoginResponse) {
	if p.Status.Class() != pdu.LoginClassSuccess {
		return
	}
	c.status(r, p.StatSN, p.MaxCmdSN, true)
	if p.Transit && p.NSG == pdu.FullFeaturePhase {
		c.full = true
	}
}

// forget closes the books, some of whose pages are missing.
func (c *conn) forget() {
	c.begun, c.knowCmdSN, c.knowMax, c.knowStatS = false, false, false, false
	clear(c.tasks)
	c.text = [2][]byte{}
}

// command takes the CmdSN of a request. RFC 7143 §4.2.2.1.
func (c *conn) command(r *Record, immediate bool, sn pdu.Serial) {
	if immediate {
		return
	}
	switch {
	case !c.knowCmdSN || c.shared:
	case c.cmdSN.Before(sn):
		r.complain("CmdSN %d where %d was expected: %d missing", sn, c.cmdSN, sn.Sub(c.cmdSN))
	case sn.Before(c.cmdSN):
		r.complain("CmdSN %d again; the next one is %d", sn, c.cmdSN)
		return
	}
	if c.knowMax && c.maxCmdSN.Before(sn) {
		r.complain("CmdSN %d is beyond the window, which ends at MaxCmdSN %d", sn, c.maxCmdSN)
	}
	c.cmdSN, c.knowCmdSN = sn.Add(1), true
}

// status takes the StatSN of a response; advances tells whether it is used up.
// RFC 7143 §4.2.2.2.
func (c *conn) status(r *Record, sn, maxCmdSN pdu.Serial, advances bool) {
	switch {
	case !c.knowStatS || sn == c.statSN:
	case c.statSN.Before(sn):
		r.complain("StatSN %d where %d was expected: %d missing", sn, c.statSN, sn.Sub(c.statSN))
	default:
		r.complain("StatSN %d again; the next one is %d", sn, c.statSN)
	}
	if c.statSN, c.knowStatS = sn, true; advances {
		c.statSN = sn.Add(1)
	}
	c.window(maxCmdSN)
}

func (c *conn) window(maxCmdSN pdu.Serial) {
	if !c.knowMax || c.maxCmdSN.Before(maxCmdSN) { // it never shrinks
		c.maxCmdSN, c.knowMax = maxCmdSN, true
	}
}

// begin opens the books of a SCSI command.
func (c *conn) begin(r *Record, p *pdu.SCSICommand, extended, data []byte) {
	cdb := append(p.CDB[:], extended...)
	r.command(cdb)
	if old := c.tasks[p.ITT]; old != nil {
		r.complain("ITT 0x%08x is in use by %s", p.ITT, old.name)
	}
	if len(c.tasks) >= maxTasks {
		clear(c.tasks)
		c.begun = false // what is answered now may be one of those
	}
	t := &task{lun: p.LUN, cdb: cdb, name: r.Command, began: r.Time, edtl: p.EDTL}
	c.tasks[p.ITT] = t
	if p.Write {
		t.immed = uint32(r.Data)
		t.keep(0, data)
		t.tellList(r)
	}
	if uint32(r.Data) > p.EDTL {
		r.complain("%d bytes of immediate data, and %d are expected in all", r.Data, p.EDTL)
	}
}

// of finds the task that a PDU is about.
func (c *conn) of(r *Record, itt uint32) *task {
	t := c.tasks[itt]
	switch {
	case t != nil:
		r.Command = t.name
	case c.begun:
		r.complain("ITT 0x%08x is no command that is under way", itt)
	}
	return t
}

// r2t opens a burst. RFC 7143 §11.8.
func (c *conn) r2t(r *Record, p *pdu.R2T) {
	t := c.of(r, p.ITT)
	if t == nil {
		return
	}
	if p.R2TSN != t.r2tSN {
		r.complain("R2TSN %d where %d was expected", p.R2TSN, t.r2tSN)
	}
	t.r2tSN = p.R2TSN + 1
	if end := uint64(p.BufferOffset) + uint64(p.DesiredLength); end > uint64(t.edtl) {
		r.complain("asks for bytes up to %d, and %d are expected in all", end, t.edtl)
	}
	if t.asked == nil || len(t.asked) >= 256 {
		t.asked = map[uint32]*burst{}
	}
	t.asked[p.TTT] = &burst{next: p.BufferOffset, end: p.BufferOffset + p.DesiredLength}
}

// dataOut follows the bytes of a write. RFC 7143 §11.7.
func (c *conn) dataOut(r *Record, p *pdu.DataOut, data []byte) {
	t := c.of(r, p.ITT)
	if t == nil {
		return
	}
	end := p.BufferOffset + p.DataSegmentLength
	if p.TTT == pdu.ReservedTag {
		inOrder(r, p.DataSN, &t.unsolSN, p.BufferOffset, &t.immed, p.DataSegmentLength)
	} else if b := t.asked[p.TTT]; b == nil {
		r.complain("TTT 0x%08x: no R2T asked for this", p.TTT)
	} else {
		inOrder(r, p.DataSN, &b.dataSN, p.BufferOffset, &b.next, p.DataSegmentLength)
		if end > b.end {
			r.complain("ends at byte %d, and the R2T asked for bytes up to %d", end, b.end)
		}
		if p.Final {
			if b.next < b.end {
				r.complain("the last of its burst ends at byte %d, and the R2T asked for bytes up to %d", b.next, b.end)
			}
			delete(t.asked, p.TTT)
		}
	}
	t.keep(p.BufferOffset, data)
	t.tellList(r)
}

// dataIn follows the bytes of a read, and its status. RFC 7143 §11.7.
func (c *conn) dataIn(r *Record, p *pdu.DataIn, data []byte) {
	if p.HasStatus {
		c.status(r, p.StatSN, p.MaxCmdSN, true)
	} else {
		c.window(p.MaxCmdSN)
	}
	t := c.of(r, p.ITT)
	if t == nil {
		return
	}
	inOrder(r, p.DataSN, &t.dataSN, p.BufferOffset, &t.offset, p.DataSegmentLength)
	if end := uint64(p.BufferOffset) + uint64(p.DataSegmentLength); end > uint64(t.edtl) {
		r.complain("ends at byte %d, and %d are expected in all", end, t.edtl)
	}
	t.keep(p.BufferOffset, data)
	if p.HasStatus || p.Final {
		t.tellAnswer(r)
	}
	if p.HasStatus {
		c.end(r, p.ITT, t)
	}
}

// inOrder checks number and offset of a piece of data, and moves on.
func inOrder(r *Record, sn uint32, next *uint32, offset uint32, at *uint32, n uint32) {
	if sn != *next {
		r.complain("DataSN %d where %d was expected", sn, *next)
	}
	if offset != *at {
		r.complain("BufferOffset %d where %d was expected", offset, *at)
	}
	*next, *at = sn+1, offset+n
}

// response closes the books of a command. RFC 7143 §11.4.
func (c *conn) response(r *Record, p *pdu.SCSIResponse, data []byte) {
	t := c.of(r, p.ITT)
	if t != nil {
		t.tellAnswer(r)
		c.end(r, p.ITT, t)
	}
	if len(data) > 0 {
		r.sense(data)
	}
	if p.Response == pdu.CommandCompleted && scsi.Status(p.Status) == scsi.CheckCondition && len(data) == 0 {
		r.complain("CHECK CONDITION without sense data")
	}
	// RFC 7143 §11.4.8 counts Data-In PDUs, RFC 3720 §10.4.8 R2Ts, too.
	if t != nil && p.Response == pdu.CommandCompleted && p.ExpDataSN != t.dataSN && p.ExpDataSN != t.dataSN+t.r2tSN {
		r.complain("ExpDataSN %d, and there were %d Data-In and %d R2T", p.ExpDataSN, t.dataSN, t.r2tSN)
	}
}

func (c *conn) end(r *Record, itt uint32, t *task) {
	delete(c.tasks, itt)
	if !t.began.IsZero() && !r.Time.IsZero() {
		r.Took = r.Time.Sub(t.began).Seconds()
	}
}

// keys reads the text of login and text PDUs. A run with the C bit is read at
// its end, because a pair may stand in two PDUs. RFC 7143 §6.1.
func (c *conn) keys(r *Record, more bool, data []byte) {
	side := 0
	if r.FromTarget {
		side = 1
	}
	if len(c.text[side])+len(data) <= keptData {
		c.text[side] = append(c.text[side], data...)
	}
	if more {
		r.Parameters = append(r.Parameters, field("text", "%d bytes, and it goes on in the next PDU", len(data)))
		return
	}
	all := c.text[side]
	c.text[side] = nil
	if len(all) == 0 {
		return
	}
	text, err := pdu.ParseText(all, pdu.TextLimits{ValueLen: keptData, Pairs: 1024})
	if err != nil {
		r.complain("text: %v", err)
	}
	for _, p := range text {
		r.Text = append(r.Text, shown(p))
		c.agree(side, p)
	}
}

// agree notes what comes of a negotiation that matters here: the second side to
// speak of a digest decides.
func (c *conn) agree(side int, p pdu.Pair) {
	if p.Key != "HeaderDigest" && p.Key != "DataDigest" || c.full {
		return
	}
	if c.offered[side] == nil {
		c.offered[side] = map[string]string{}
	}
	c.offered[side][p.Key] = p.Value
	if _, second := c.offered[1-side][p.Key]; second {
		c.agreed[p.Key] = p.Value
	}
}

// shown is a pair without what proves an identity: who has challenge and
// response can try out secrets.
func shown(p pdu.Pair) Field {
	name := strings.ToLower(p.Key)
	if name == "chap_r" || name == "chap_c" || strings.Contains(name, "secret") || strings.Contains(name, "passw") {
		return field(p.Key, "***")
	}
	return field(p.Key, "%s", p.Value)
}
