package pdu

import (
	"fmt"
	"strconv"
	"strings"
)

// Dump describes any header, of either direction, in one line.
func Dump(h *BHS) string {
	p := New(h.Opcode())
	if p == nil {
		return fmt.Sprintf("%v %x", h.Opcode(), h[:])
	}
	p.Decode(h)
	return p.String()
}

// line builds "Name [flags] key=value …". Tags and lengths that say nothing are
// left out.
type line struct{ strings.Builder }

func newLine(name string) *line {
	l := new(line)
	l.WriteString(name)
	return l
}

// flag adds the name of a bit that is set.
func (l *line) flag(set bool, name string) *line {
	if set {
		l.WriteString(" " + name)
	}
	return l
}

func (l *line) add(key string, value any) *line {
	fmt.Fprintf(l, " %s=%v", key, value)
	return l
}

func (l *line) tag(key string, tag uint32) *line {
	if tag == ReservedTag {
		return l.add(key, "-")
	}
	return l.add(key, "0x"+strconv.FormatUint(uint64(tag), 16))
}

func (l *line) request(cmdSN, expStatSN Serial) *line {
	return l.add("CmdSN", cmdSN).add("ExpStatSN", expStatSN)
}

func (l *line) response(statSN, expCmdSN, maxCmdSN Serial) *line {
	return l.add("StatSN", statSN).add("ExpCmdSN", expCmdSN).add("MaxCmdSN", maxCmdSN)
}

func (l *line) lengths(ahsWords uint8, data uint32) string {
	if ahsWords != 0 {
		l.add("ahs", 4*int(ahsWords))
	}
	if data != 0 {
		l.add("data", data)
	}
	return l.String()
}

func (p *NOPOut) String() string {
	return newLine("NOP-Out").flag(p.Immediate, "I").add("lun", p.LUN).
		tag("ITT", p.ITT).tag("TTT", p.TTT).request(p.CmdSN, p.ExpStatSN).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *NOPIn) String() string {
	return newLine("NOP-In").add("lun", p.LUN).
		tag("ITT", p.ITT).tag("TTT", p.TTT).response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *SCSICommand) String() string {
	l := newLine("SCSI Command").flag(p.Immediate, "I").flag(p.Final, "F").
		flag(p.Read, "R").flag(p.Write, "W").add("attr", p.Attr)
	if p.Pri != 0 {
		l.add("pri", p.Pri)
	}
	return l.add("lun", p.LUN).tag("ITT", p.ITT).add("EDTL", p.EDTL).
		request(p.CmdSN, p.ExpStatSN).add("CDB", fmt.Sprintf("%x", p.CDB)).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *SCSIResponse) String() string {
	l := newLine("SCSI Response").flag(p.BidiOverflow, "o").flag(p.BidiUnderflow, "u").
		flag(p.Overflow, "O").flag(p.Underflow, "U").
		add("response", p.Response).add("status", fmt.Sprintf("%02xh", p.Status))
	if p.StatusQualifier != 0 {
		l.add("qualifier", fmt.Sprintf("%04xh", p.StatusQualifier))
	}
	l.tag("ITT", p.ITT)
	if p.SNACKTag != 0 {
		l.tag("SNACKTag", p.SNACKTag)
	}
	l.response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).add("ExpDataSN", p.ExpDataSN)
	if p.BidiOverflow || p.BidiUnderflow {
		l.add("bidi-residual", p.BidiResidual)
	}
	if p.Overflow || p.Underflow {
		l.add("residual", p.Residual)
	}
	return l.lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *TMFRequest) String() string {
	l := newLine("TMF Request").flag(p.Immediate, "I").add("function", p.Function).
		add("lun", p.LUN).tag("ITT", p.ITT).tag("RefTaskTag", p.RefTaskTag).
		request(p.CmdSN, p.ExpStatSN).add("RefCmdSN", p.RefCmdSN)
	if p.Function == TMFTaskReassign {
		l.add("ExpDataSN", p.ExpDataSN)
	}
	return l.lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *TMFResponse) String() string {
	l := newLine("TMF Response").add("response", p.Response)
	if p.AdditionalInfo != [3]byte{} {
		l.add("info", fmt.Sprintf("%x", p.AdditionalInfo))
	}
	return l.tag("ITT", p.ITT).response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (l *line) stages(transit, cont bool, csg, nsg Stage) *line {
	l.flag(transit, "T").flag(cont, "C").add("CSG", csg)
	if transit {
		l.add("NSG", nsg)
	}
	return l
}

func (p *LoginRequest) String() string {
	return newLine("Login Request").stages(p.Transit, p.Continue, p.CSG, p.NSG).
		add("version", fmt.Sprintf("%d..%d", p.VersionMin, p.VersionMax)).
		add("ISID", p.ISID).add("TSIH", p.TSIH).add("CID", p.CID).tag("ITT", p.ITT).
		request(p.CmdSN, p.ExpStatSN).lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *LoginResponse) String() string {
	return newLine("Login Response").stages(p.Transit, p.Continue, p.CSG, p.NSG).
		add("status", p.Status).add("version", fmt.Sprintf("%d..%d", p.VersionActive, p.VersionMax)).
		add("ISID", p.ISID).add("TSIH", p.TSIH).tag("ITT", p.ITT).
		response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *TextRequest) String() string {
	return newLine("Text Request").flag(p.Immediate, "I").flag(p.Final, "F").flag(p.Continue, "C").
		add("lun", p.LUN).tag("ITT", p.ITT).tag("TTT", p.TTT).request(p.CmdSN, p.ExpStatSN).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *TextResponse) String() string {
	return newLine("Text Response").flag(p.Final, "F").flag(p.Continue, "C").
		add("lun", p.LUN).tag("ITT", p.ITT).tag("TTT", p.TTT).
		response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *DataOut) String() string {
	return newLine("Data-Out").flag(p.Final, "F").add("lun", p.LUN).
		tag("ITT", p.ITT).tag("TTT", p.TTT).add("ExpStatSN", p.ExpStatSN).
		add("DataSN", p.DataSN).add("offset", p.BufferOffset).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *DataIn) String() string {
	l := newLine("Data-In").flag(p.Final, "F").flag(p.Acknowledge, "A").
		flag(p.Overflow, "O").flag(p.Underflow, "U").flag(p.HasStatus, "S")
	if p.Acknowledge {
		l.add("lun", p.LUN)
	}
	l.tag("ITT", p.ITT).tag("TTT", p.TTT)
	if p.HasStatus {
		l.add("status", fmt.Sprintf("%02xh", p.Status)).add("StatSN", p.StatSN)
	}
	l.add("ExpCmdSN", p.ExpCmdSN).add("MaxCmdSN", p.MaxCmdSN).
		add("DataSN", p.DataSN).add("offset", p.BufferOffset)
	if p.Overflow || p.Underflow {
		l.add("residual", p.Residual)
	}
	return l.lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *R2T) String() string {
	return newLine("R2T").add("lun", p.LUN).tag("ITT", p.ITT).tag("TTT", p.TTT).
		response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).
		add("R2TSN", p.R2TSN).add("offset", p.BufferOffset).add("length", p.DesiredLength).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *LogoutRequest) String() string {
	l := newLine("Logout Request").flag(p.Immediate, "I").add("reason", p.Reason)
	if p.Reason != LogoutCloseSession {
		l.add("CID", p.CID)
	}
	return l.tag("ITT", p.ITT).request(p.CmdSN, p.ExpStatSN).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *LogoutResponse) String() string {
	return newLine("Logout Response").add("response", p.Response).tag("ITT", p.ITT).
		response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).
		add("Time2Wait", p.Time2Wait).add("Time2Retain", p.Time2Retain).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *SNACKRequest) String() string {
	return newLine("SNACK Request").add("type", p.Type).add("lun", p.LUN).
		tag("ITT", p.ITT).tag("TTT", p.TTT).add("ExpStatSN", p.ExpStatSN).
		add("BegRun", p.BegRun).add("RunLength", p.RunLength).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *AsyncMessage) String() string {
	return newLine("Async Message").add("event", p.Event).add("vcode", p.VCode).
		add("lun", p.LUN).response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).
		add("params", fmt.Sprintf("%d,%d,%d", p.Param1, p.Param2, p.Param3)).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}

func (p *Reject) String() string {
	return newLine("Reject").add("reason", p.Reason).
		response(p.StatSN, p.ExpCmdSN, p.MaxCmdSN).add("DataSN", p.DataSN).
		lengths(p.TotalAHSLength, p.DataSegmentLength)
}
