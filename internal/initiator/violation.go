package initiator

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Rule names one demand on what a target sends. Each is reported by the same
// token everywhere: violations, reports, tests.
type Rule string

// The demands. ruleClauses says where each is written.
const (
	RuleOpcode             Rule = "opcode"                // not a target opcode
	RuleReserved           Rule = "reserved-bits"         // reserved bit or field not zero
	RuleFixedBits          Rule = "fixed-bits"            // a bit that must be one is zero
	RuleAHS                Rule = "unexpected-ahs"        // AHS on a PDU that has none
	RuleDataSegmentLength  Rule = "data-segment-length"   // over our limit, or data where none belongs
	RulePadding            Rule = "padding"               // padding not zero
	RuleHeaderDigest       Rule = "header-digest"         // CRC32C wrong
	RuleDataDigest         Rule = "data-digest"           // CRC32C wrong
	RuleStatSN             Rule = "statsn"                // not the next value
	RuleExpCmdSN           Rule = "expcmdsn"              // backwards, or acknowledges what was not sent
	RuleMaxCmdSN           Rule = "maxcmdsn"              // backwards, or below ExpCmdSN-1
	RuleResponseUnacked    Rule = "response-before-ack"   // answer while ExpCmdSN does not cover the command
	RuleUnknownITT         Rule = "unknown-itt"           // answer to nothing
	RuleWrongOpcode        Rule = "answer-of-other-kind"  // e.g. Text Response to a SCSI Command
	RuleWrongConnection    Rule = "connection-allegiance" // answer on another connection
	RuleAfterAbort         Rule = "response-after-abort"  // answer of a task after its abort was confirmed
	RuleDataInDirection    Rule = "data-in-direction"     // Data-In for a command that reads nothing
	RuleDataSN             Rule = "datasn"                // not the next value
	RuleDataOffset         Rule = "data-offset"           // gap, overlap or disorder
	RuleDataBeyondEDTL     Rule = "data-beyond-edtl"      // more than was asked for
	RuleDataBurst          Rule = "data-burst"            // F missing at MaxBurstLength or set within
	RuleDataAck            Rule = "data-ack"              // A bit at ErrorRecoveryLevel 0
	RuleResponseBeforeData Rule = "response-before-data"  // R2Ts of the task are still open
	RuleStatusInData       Rule = "status-in-data"        // S without F, or a status that needs a SCSI Response
	RuleExpDataSN          Rule = "expdatasn"             // does not equal the Data-In PDUs sent
	RuleResidual           Rule = "residual"              // O/U flags or count inconsistent
	RuleResidualUnused     Rule = "residual-unused"       // count without O or U
	RuleResponseCode       Rule = "response-code"         // reserved value
	RuleStatus             Rule = "status"                // not a SCSI status
	RuleSenseLength        Rule = "sense-length"          // over 252, or not what the segment holds
	RuleSenseMissing       Rule = "sense-missing"         // CHECK CONDITION without sense
	RuleSenseUnexpected    Rule = "sense-unexpected"      // sense with another status
	RuleSenseFormat        Rule = "sense-format"          // sense data malformed
	RuleR2TDirection       Rule = "r2t-direction"         // R2T for a command that writes nothing
	RuleR2TSN              Rule = "r2tsn"                 // not the next value
	RuleR2TRange           Rule = "r2t-range"             // length 0, over MaxBurstLength, beyond EDTL
	RuleR2TOffset          Rule = "r2t-offset"            // gap or disorder
	RuleR2TTag             Rule = "r2t-tag"               // TTT reserved or in use
	RuleR2TOutstanding     Rule = "r2t-outstanding"       // more than MaxOutstandingR2T
	RuleTMFResponse        Rule = "tmf-response"          // reserved response value
	RuleNOPIn              Rule = "nop-in"                // tags or data inconsistent
	RuleNOPEcho            Rule = "nop-echo"              // ping data not echoed
	RuleText               Rule = "text"                  // flags, tags or text format
	RuleLogout             Rule = "logout"                // response malformed
	RulePDUAfterLogout     Rule = "pdu-after-logout"      // anything after the Logout Response
	RuleReject             Rule = "reject"                // malformed, or unknown reason
	RuleAsync              Rule = "async"                 // malformed
	RuleLoginPDU           Rule = "login-response"        // flags, stages, ISID, TSIH, versions
	RuleLoginKey           Rule = "login-key"             // answer outside the rules of the key
	RuleLoginKeyMissing    Rule = "login-key-missing"     // key not answered
	RuleCHAP               Rule = "chap"                  // malformed or wrong CHAP item
	RuleTruncated          Rule = "truncated-pdu"         // connection closed inside a PDU
)

// ruleClauses cites the text behind each rule.
var ruleClauses = map[Rule]string{
	RuleOpcode:             "RFC 7143 §11.2.1.2",
	RuleReserved:           "RFC 7143 §11.1",
	RuleFixedBits:          "RFC 7143 §11.4 to §11.19",
	RuleAHS:                "RFC 7143 §11.2.1.5",
	RuleDataSegmentLength:  "RFC 7143 §13.12, §7.7",
	RulePadding:            "RFC 7143 §11.1",
	RuleHeaderDigest:       "RFC 7143 §11.2.3",
	RuleDataDigest:         "RFC 7143 §11.2.3",
	RuleStatSN:             "RFC 7143 §4.2.2.2, §11.4.8",
	RuleExpCmdSN:           "RFC 7143 §4.2.2.1, §11.4.9",
	RuleMaxCmdSN:           "RFC 7143 §4.2.2.1, §11.4.10",
	RuleResponseUnacked:    "RFC 7143 §4.2.2.1",
	RuleUnknownITT:         "RFC 7143 §11.2.1.8",
	RuleWrongOpcode:        "RFC 7143 §11.2.1.8",
	RuleWrongConnection:    "RFC 7143 §4.2.5.1",
	RuleAfterAbort:         "RFC 7143 §11.5.1",
	RuleDataInDirection:    "RFC 7143 §11.7",
	RuleDataSN:             "RFC 7143 §11.7.5",
	RuleDataOffset:         "RFC 7143 §13.18, §13.19",
	RuleDataBeyondEDTL:     "RFC 7143 §11.3.4",
	RuleDataBurst:          "RFC 7143 §13.13",
	RuleDataAck:            "RFC 7143 §11.7.2",
	RuleResponseBeforeData: "RFC 7143 §11.4.2",
	RuleStatusInData:       "RFC 7143 §11.7.3",
	RuleExpDataSN:          "RFC 7143 §11.4.11",
	RuleResidual:           "RFC 7143 §11.4.5",
	RuleResidualUnused:     "RFC 7143 §11.4.5.1",
	RuleResponseCode:       "RFC 7143 §11.4.3",
	RuleStatus:             "RFC 7143 §11.4.2",
	RuleSenseLength:        "RFC 7143 §11.4.7.1; SPC-4 r36f 4.5.1",
	RuleSenseMissing:       "RFC 7143 §11.4.7",
	RuleSenseUnexpected:    "RFC 7143 §11.4.7",
	RuleSenseFormat:        "SPC-4 r36f 4.5",
	RuleR2TDirection:       "RFC 7143 §11.8",
	RuleR2TSN:              "RFC 7143 §11.8.2",
	RuleR2TRange:           "RFC 7143 §11.8.4",
	RuleR2TOffset:          "RFC 7143 §11.8.4, §13.19",
	RuleR2TTag:             "RFC 7143 §11.8.5",
	RuleR2TOutstanding:     "RFC 7143 §13.17",
	RuleTMFResponse:        "RFC 7143 §11.6.1",
	RuleNOPIn:              "RFC 7143 §11.19",
	RuleNOPEcho:            "RFC 7143 §11.19.2",
	RuleText:               "RFC 7143 §11.11, §6.1",
	RuleLogout:             "RFC 7143 §11.15",
	RulePDUAfterLogout:     "RFC 7143 §11.14",
	RuleReject:             "RFC 7143 §11.17",
	RuleAsync:              "RFC 7143 §11.9",
	RuleLoginPDU:           "RFC 7143 §11.13",
	RuleLoginKey:           "RFC 7143 §6.2, §13",
	RuleLoginKeyMissing:    "RFC 7143 §6.2",
	RuleCHAP:               "RFC 7143 §12.1.3",
	RuleTruncated:          "RFC 7143 §7.7",
}

// Rules lists all demands, sorted.
func Rules() []Rule {
	rules := make([]Rule, 0, len(ruleClauses))
	for r := range ruleClauses {
		rules = append(rules, r)
	}
	slices.Sort(rules)
	return rules
}

// Should reports whether the standard only recommends what the rule says.
func (r Rule) Should() bool { return r == RulePadding || r == RuleResidualUnused }

// Clause returns where the rule is written.
func (r Rule) Clause() string { return ruleClauses[r] }

// Violation is one deviation of the target from the standard.
type Violation struct {
	Rule   Rule         `json:"rule"`
	Clause string       `json:"clause"`
	Should bool         `json:"should"` // recommended, not required
	Detail string       `json:"detail"`
	Opcode Opcode       `json:"opcode"`
	CID    uint16       `json:"cid"`
	Header [bhsLen]byte `json:"-"`
}

func (v Violation) String() string {
	return fmt.Sprintf("%s (%s): %s: %s [%x]", v.Rule, v.Clause, v.Opcode, v.Detail, v.Header)
}

// ViolationsError is returned by Close and Logout of a session that saw any,
// unless Config.Tolerant is set.
type ViolationsError struct{ List []Violation }

func (e *ViolationsError) Error() string {
	lines := make([]string, len(e.List))
	for i, v := range e.List {
		lines[i] = v.String()
	}
	return fmt.Sprintf("target violated the protocol %d times:\n%s", len(e.List), strings.Join(lines, "\n"))
}

// maxViolations bounds the list; a broken target repeats itself.
const maxViolations = 1024

// violationLog collects violations of a session from all its connections.
type violationLog struct {
	mu     sync.Mutex
	list   []Violation
	notify func(Violation)
}

func (l *violationLog) add(cid uint16, r Rule, header [bhsLen]byte, detail string) {
	v := Violation{
		Rule: r, Clause: r.Clause(), Should: r.Should(), Detail: detail,
		Opcode: Opcode(header[0] & 0x3f), CID: cid, Header: header,
	}
	l.mu.Lock()
	if len(l.list) < maxViolations {
		l.list = append(l.list, v)
	}
	l.mu.Unlock()
	if l.notify != nil {
		l.notify(v)
	}
}

func (l *violationLog) snapshot() []Violation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.list)
}

func (l *violationLog) err() error {
	if list := l.snapshot(); len(list) > 0 {
		return &ViolationsError{List: list}
	}
	return nil
}
