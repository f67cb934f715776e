package iscsi

import (
	"strconv"
	"strings"

	"nas-target/internal/iscsi/pdu"
)

// keyUse says when a key may be sent, RFC 7143 §13.
type keyUse uint8

const (
	keyLO   keyUse = iota // login, leading connection only
	keyIO                 // login only
	keyALL                // login and full feature phase
	keyFFPO               // full feature phase only
)

// keyScope says what a value holds for.
type keyScope uint8

const (
	keySession keyScope = iota
	keyConnection
)

// keyStage says in which login stage a key may be sent.
type keyStage uint8

const (
	keyOperational keyStage = iota
	keySecurity
	keyAnyStage
)

// keyRule is how the answer to an offer is found.
type keyRule uint8

const (
	keyMin       keyRule = iota // the smaller of offer and ours
	keyMax                      // the larger
	keyAnd                      // Yes if both say so
	keyOr                       // Yes if one says so
	keyList                     // the first value of the offer that we accept
	keyDeclare                  // no answer; the value is the sender's to state
	keyIgnore                   // no answer and no effect
	keyElsewhere                // answered by whoever runs login or discovery
	keyObsolete                 // Reject
	keyNever                    // not the initiator's to send to us
)

// keyRow is all there is to know about one key.
type keyRow struct {
	name       string
	use        keyUse
	scope      keyScope
	stage      keyStage
	normalOnly bool // irrelevant when SessionType=Discovery
	rule       keyRule
	def        string // default

	// Numbers: range, place, and ours for keyMin and keyMax.
	low, high uint32
	number    func(*Params) *uint32
	limit     func(*Limits) uint32
	// Booleans.
	boolean func(*Params) *bool
	want    func(*Limits) bool
	// Lists: take one value if we accept it.
	take func(p *Params, l *Limits, value string) bool
	// Declared text.
	declare func(p *Params, value string) keyReason
}

// keyTable holds the keys of RFC 7143 §12 and §13 and RFC 7144 §7.
// What a row leaves out is the common case: leading connection only, for the
// session, operational stage.
var keyTable = []keyRow{
	{name: "InitiatorName", use: keyIO, stage: keyAnyStage, rule: keyDeclare, declare: keySetInitiatorName},
	{name: "InitiatorAlias", use: keyALL, stage: keyAnyStage, rule: keyDeclare, declare: keySetInitiatorAlias},
	{name: "TargetName", use: keyIO, stage: keyAnyStage, rule: keyDeclare, declare: keySetTargetName},
	{name: "SessionType", use: keyLO, stage: keyAnyStage, rule: keyDeclare, def: "Normal", declare: keySetSessionType},
	{name: "TargetAlias", use: keyALL, stage: keyAnyStage, rule: keyNever},
	{name: "TargetAddress", use: keyALL, stage: keyAnyStage, rule: keyNever},
	{name: "TargetPortalGroupTag", use: keyIO, stage: keyAnyStage, rule: keyNever},

	{name: "AuthMethod", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyElsewhere},
	{name: "CHAP_A", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyElsewhere},
	{name: "CHAP_C", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyElsewhere},
	{name: "CHAP_I", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyElsewhere},
	{name: "CHAP_N", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyElsewhere},
	{name: "CHAP_R", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyElsewhere},
	// Keys of methods that we never select, so nobody may send them.
	{name: "KRB_AP_REQ", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "KRB_AP_REP", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "SRP_U", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "SRP_GROUP", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "SRP_A", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "SRP_B", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "SRP_M", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "SRP_HM", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "SRP_s", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},
	{name: "TargetAuth", use: keyIO, scope: keyConnection, stage: keySecurity, rule: keyNever},

	{name: "HeaderDigest", use: keyIO, scope: keyConnection, rule: keyList, def: "None",
		take: func(p *Params, l *Limits, v string) bool {
			return p.takeDigest(&p.HeaderDigest, v, l.Digests.Header)
		}},
	{name: "DataDigest", use: keyIO, scope: keyConnection, rule: keyList, def: "None",
		take: func(p *Params, l *Limits, v string) bool {
			return p.takeDigest(&p.DataDigest, v, l.Digests.Data)
		}},
	{name: "MaxRecvDataSegmentLength", use: keyALL, scope: keyConnection, rule: keyDeclare, def: "8192",
		low: 512, high: 1<<24 - 1, number: func(p *Params) *uint32 { return &p.MaxSend }},

	{name: "MaxConnections", normalOnly: true, rule: keyMin, def: "1", low: 1, high: 65535,
		number: func(p *Params) *uint32 { return &p.MaxConnections },
		limit:  func(l *Limits) uint32 { return l.MaxConnections }},
	{name: "InitialR2T", normalOnly: true, rule: keyOr, def: "Yes",
		boolean: func(p *Params) *bool { return &p.InitialR2T },
		want:    func(l *Limits) bool { return l.InitialR2T }},
	{name: "ImmediateData", normalOnly: true, rule: keyAnd, def: "Yes",
		boolean: func(p *Params) *bool { return &p.ImmediateData },
		want:    func(l *Limits) bool { return l.ImmediateData }},
	{name: "MaxBurstLength", normalOnly: true, rule: keyMin, def: "262144", low: 512, high: 1<<24 - 1,
		number: func(p *Params) *uint32 { return &p.MaxBurstLength },
		limit:  func(l *Limits) uint32 { return l.MaxBurstLength }},
	{name: "FirstBurstLength", normalOnly: true, rule: keyMin, def: "65536", low: 512, high: 1<<24 - 1,
		number: func(p *Params) *uint32 { return &p.FirstBurstLength },
		limit:  func(l *Limits) uint32 { return l.FirstBurstLength }},
	{name: "MaxOutstandingR2T", normalOnly: true, rule: keyMin, def: "1", low: 1, high: 65535,
		number: func(p *Params) *uint32 { return &p.MaxOutstandingR2T },
		limit:  func(l *Limits) uint32 { return l.MaxOutstandingR2T }},
	{name: "DataPDUInOrder", normalOnly: true, rule: keyOr, def: "Yes",
		boolean: func(p *Params) *bool { return &p.DataPDUInOrder },
		want:    func(*Limits) bool { return true }},
	{name: "DataSequenceInOrder", normalOnly: true, rule: keyOr, def: "Yes",
		boolean: func(p *Params) *bool { return &p.DataSequenceInOrder },
		want:    func(*Limits) bool { return true }},
	{name: "TaskReporting", normalOnly: true, rule: keyList, def: "RFC3720", take: keyTakeTaskReporting},
	{name: "DefaultTime2Wait", rule: keyMax, def: "2", high: 3600,
		number: func(p *Params) *uint32 { return &p.DefaultTime2Wait },
		limit:  func(l *Limits) uint32 { return l.DefaultTime2Wait }},
	{name: "DefaultTime2Retain", rule: keyMin, def: "20", high: 3600,
		number: func(p *Params) *uint32 { return &p.DefaultTime2Retain },
		limit:  func(l *Limits) uint32 { return l.DefaultTime2Retain }},
	// Not Irrelevant on discovery: open-iscsi takes no other answer than 0.
	{name: "ErrorRecoveryLevel", rule: keyMin, def: "0", high: 2,
		number: func(p *Params) *uint32 { return &p.ErrorRecoveryLevel },
		limit:  func(*Limits) uint32 { return 0 }},
	{name: "iSCSIProtocolLevel", normalOnly: true, rule: keyMin, def: "1", high: 31,
		number: func(p *Params) *uint32 { return &p.ProtocolLevel },
		limit:  func(l *Limits) uint32 { return l.ProtocolLevel }},

	{name: "SendTargets", use: keyFFPO, rule: keyElsewhere},
	{name: "X#NodeArchitecture", stage: keyAnyStage, rule: keyIgnore},
	{name: "IFMarker", use: keyIO, scope: keyConnection, rule: keyObsolete},
	{name: "OFMarker", use: keyIO, scope: keyConnection, rule: keyObsolete},
	{name: "IFMarkInt", use: keyIO, scope: keyConnection, rule: keyObsolete},
	{name: "OFMarkInt", use: keyIO, scope: keyConnection, rule: keyObsolete},
}

var keyIndex = func() map[string]int {
	index := make(map[string]int, len(keyTable))
	for i := range keyTable {
		index[keyTable[i].name] = i
	}
	return index
}()

// reset gives the key its default.
func (r *keyRow) reset(p *Params) {
	if r.def == "" {
		return
	}
	switch {
	case r.number != nil:
		n, _ := pdu.ParseNumber(r.def, uint64(r.low), uint64(r.high))
		*r.number(p) = uint32(n)
	case r.boolean != nil:
		*r.boolean(p), _ = pdu.ParseBool(r.def)
	case r.take != nil:
		r.take(p, &Limits{}, r.def)
	default:
		r.declare(p, r.def)
	}
}

// admit says why a key must not come now, "" if it may.
func (r *keyRow) admit(stage pdu.Stage) keyReason {
	switch {
	case r.rule == keyNever:
		return keyUnexpected
	case stage == pdu.FullFeaturePhase:
		if r.use == keyLO || r.use == keyIO {
			return keyLoginOnly
		}
	case r.use == keyFFPO:
		return keyFullFeatureOnly
	case r.stage == keyOperational && stage != pdu.OperationalNegotiation,
		r.stage == keySecurity && stage != pdu.SecurityNegotiation:
		return keyWrongStage
	}
	return ""
}

// state takes a declared value. There is no answer that could refuse one, so
// an illegal value is an error.
func (r *keyRow) state(p *Params, value string) keyReason {
	if r.declare != nil {
		return r.declare(p, value)
	}
	n, err := pdu.ParseNumber(value, uint64(r.low), uint64(r.high))
	if err != nil {
		return keyBadDeclaration
	}
	*r.number(p) = uint32(n)
	return ""
}

// result combines the offered value with ours, keeps what is agreed in p and
// returns it. What is no legal value is answered Reject and changes nothing.
func (r *keyRow) result(p *Params, l *Limits, value string) string {
	switch r.rule {
	case keyMin, keyMax:
		n, err := pdu.ParseNumber(value, uint64(r.low), uint64(r.high))
		if err != nil {
			return pdu.ValueReject
		}
		agreed := min(uint32(n), r.limit(l))
		if r.rule == keyMax {
			agreed = max(uint32(n), r.limit(l))
		}
		*r.number(p) = agreed
		return keyFormat(agreed)
	case keyAnd, keyOr:
		yes, err := pdu.ParseBool(value)
		if err != nil {
			return pdu.ValueReject
		}
		agreed := yes && r.want(l)
		if r.rule == keyOr {
			agreed = yes || r.want(l)
		}
		*r.boolean(p) = agreed
		return pdu.FormatBool(agreed)
	default: // keyList
		for v := range strings.SplitSeq(value, ",") {
			if r.take(p, l, v) {
				return v
			}
		}
		return pdu.ValueReject
	}
}

func keyFormat(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// takeDigest takes one value of a digest's key. Discovery moves no data, so no
// policy binds it.
func (p *Params) takeDigest(digest *bool, value string, policy DigestPolicy) bool {
	if p.SessionType == SessionDiscovery {
		policy = DigestOffered
	}
	switch {
	case value == "CRC32C" && policy != DigestRefused:
		*digest = true
	case value == "None" && policy != DigestRequired:
		*digest = false
	default:
		return false
	}
	return true
}

func keyTakeTaskReporting(p *Params, l *Limits, value string) bool {
	switch v := TaskReporting(value); {
	case v == TaskReportingRFC3720, v == TaskReportingResponseFence,
		v == TaskReportingFastAbort && l.FastAbort:
		p.TaskReporting = v
		return true
	}
	return false
}

func keySetInitiatorName(p *Params, value string) keyReason {
	name, ok := keyISCSIName(value)
	if !ok {
		return keyBadInitiator
	}
	p.InitiatorName = name
	return ""
}

func keySetTargetName(p *Params, value string) keyReason {
	name, ok := keyISCSIName(value)
	if !ok {
		return keyBadTarget
	}
	p.TargetName = name
	return ""
}

func keySetInitiatorAlias(p *Params, value string) keyReason {
	p.InitiatorAlias = strings.ToValidUTF8(value, "\ufffd")
	return ""
}

func keySetSessionType(p *Params, value string) keyReason {
	switch value {
	case "Normal":
		p.SessionType = SessionNormal
	case "Discovery":
		p.SessionType = SessionDiscovery
	default:
		return keyBadSessionType
	}
	return ""
}
