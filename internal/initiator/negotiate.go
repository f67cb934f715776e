package initiator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Params are the values in force after login. RFC 7143 §13.
type Params struct {
	HeaderDigest, DataDigest bool
	MaxConnections           int
	InitialR2T               bool
	ImmediateData            bool
	MaxRecvDataSegmentLength int // ours: limit of what the target sends
	TargetMaxRecvDataSegment int // the target's: limit of what we send
	MaxBurstLength           int
	FirstBurstLength         int
	DefaultTime2Wait         int // seconds
	DefaultTime2Retain       int // seconds
	MaxOutstandingR2T        int
	DataPDUInOrder           bool
	DataSequenceInOrder      bool
	ErrorRecoveryLevel       int
	TaskReporting            string
	ProtocolLevel            int // iSCSIProtocolLevel, RFC 7144 §7.1.1

	TargetPortalGroupTag int // -1 when not told
	TargetAlias          string
	TSIH                 uint16
	Offered              Keys // what we sent, in order
	Received             Keys // what the target sent, in order
}

// keyKind is how two offers become one value. RFC 7143 §6.2.
type keyKind uint8

const (
	kindMin keyKind = iota
	kindMax
	kindAnd
	kindOr
	kindList
	kindDeclared // each side for itself; no answer
)

type keyRule struct {
	kind    keyKind
	lo, hi  int
	initial string // value without negotiation
}

// keyRules are the keys of RFC 7143 §13 that a login can carry, and of RFC 7144 §7.
var keyRules = map[string]keyRule{
	"HeaderDigest":             {kind: kindList, initial: "None"},
	"DataDigest":               {kind: kindList, initial: "None"},
	"AuthMethod":               {kind: kindList, initial: "None"},
	"TaskReporting":            {kind: kindList, initial: "RFC3720"},
	"MaxConnections":           {kind: kindMin, lo: 1, hi: 65535, initial: "1"},
	"InitialR2T":               {kind: kindOr, initial: "Yes"},
	"ImmediateData":            {kind: kindAnd, initial: "Yes"},
	"MaxBurstLength":           {kind: kindMin, lo: 512, hi: 1<<24 - 1, initial: "262144"},
	"FirstBurstLength":         {kind: kindMin, lo: 512, hi: 1<<24 - 1, initial: "65536"},
	"DefaultTime2Wait":         {kind: kindMax, lo: 0, hi: 3600, initial: "2"},
	"DefaultTime2Retain":       {kind: kindMin, lo: 0, hi: 3600, initial: "20"},
	"MaxOutstandingR2T":        {kind: kindMin, lo: 1, hi: 65535, initial: "1"},
	"DataPDUInOrder":           {kind: kindOr, initial: "Yes"},
	"DataSequenceInOrder":      {kind: kindOr, initial: "Yes"},
	"ErrorRecoveryLevel":       {kind: kindMin, lo: 0, hi: 2, initial: "0"},
	"iSCSIProtocolLevel":       {kind: kindMin, lo: 0, hi: 31, initial: "1"},
	"MaxRecvDataSegmentLength": {kind: kindDeclared, lo: 512, hi: 1<<24 - 1, initial: "8192"},
	"SessionType":              {kind: kindDeclared},
	"InitiatorName":            {kind: kindDeclared},
	"InitiatorAlias":           {kind: kindDeclared},
	"TargetName":               {kind: kindDeclared},
	"TargetAlias":              {kind: kindDeclared},
	"TargetAddress":            {kind: kindDeclared},
	"TargetPortalGroupTag":     {kind: kindDeclared, lo: 0, hi: 65535},
}

// negotiation collects both sides' keys of one login.
type negotiation struct {
	offered  Keys
	received Keys
	pending  Keys // answers we owe to the target's own proposals
	report   func(Rule, string)
}

func parseNumber(s string) (int, error) {
	if h, ok := strings.CutPrefix(s, "0x"); ok {
		v, err := strconv.ParseUint(h, 16, 32)
		return int(v), err
	}
	if h, ok := strings.CutPrefix(s, "0X"); ok {
		v, err := strconv.ParseUint(h, 16, 32)
		return int(v), err
	}
	v, err := strconv.ParseUint(s, 10, 32)
	return int(v), err
}

// receive takes the keys of one complete target text.
func (n *negotiation) receive(keys Keys) {
	for _, k := range keys {
		if strings.HasPrefix(k.Name, "CHAP_") {
			continue
		}
		rule, known := keyRules[k.Name]
		if _, dup := n.received.Get(k.Name); dup && k.Name != "TargetAddress" {
			n.report(RuleLoginKey, fmt.Sprintf("%s sent twice", k.Name))
			continue
		}
		n.received = append(n.received, k)
		offer, offered := n.lastOffer(k.Name)
		switch {
		case rule.kind == kindDeclared && known:
			n.checkDeclared(k, rule)
		case offered:
			n.checkAnswer(k, offer, rule, known)
		default:
			n.answerProposal(k, rule, known)
		}
	}
}

// lastOffer is the value the target answers: the last one, should a test repeat a key.
func (n *negotiation) lastOffer(name string) (string, bool) {
	v := n.offered.All(name)
	if len(v) == 0 {
		return "", false
	}
	return v[len(v)-1], true
}

func (n *negotiation) checkDeclared(k Key, rule keyRule) {
	if rule.hi == 0 {
		return
	}
	if v, err := parseNumber(k.Value); err != nil || v < rule.lo || v > rule.hi {
		n.report(RuleLoginKey, fmt.Sprintf("%v is outside %d to %d", k, rule.lo, rule.hi))
	}
}

func (n *negotiation) checkAnswer(k Key, offer string, rule keyRule, known bool) {
	switch k.Value {
	case "Irrelevant", "Reject":
		return
	case "NotUnderstood":
		if known && k.Name != "iSCSIProtocolLevel" {
			n.report(RuleLoginKey, fmt.Sprintf("%v, but every target understands it", k))
		}
		return
	}
	if !known {
		return
	}
	bad := func(why string) {
		n.report(RuleLoginKey, fmt.Sprintf("%v answers the offer %s: %s", k, offer, why))
	}
	switch rule.kind {
	case kindMin, kindMax:
		v, err := parseNumber(k.Value)
		o, offerErr := parseNumber(offer)
		switch {
		case err != nil:
			bad("not a number")
		case v < rule.lo || v > rule.hi:
			bad(fmt.Sprintf("outside %d to %d", rule.lo, rule.hi))
		case offerErr != nil:
		case rule.kind == kindMin && v > o:
			bad("the result is the minimum")
		case rule.kind == kindMax && v < o:
			bad("the result is the maximum")
		}
	case kindAnd, kindOr:
		decided := map[keyKind]string{kindAnd: "No", kindOr: "Yes"}[rule.kind]
		switch {
		case k.Value != "Yes" && k.Value != "No":
			bad("neither Yes nor No")
		case offer == decided && k.Value != decided:
			bad("the offer decides")
		}
	case kindList:
		if !slices.Contains(strings.Split(offer, ","), k.Value) {
			bad("not in the list")
		}
	}
}

// answerProposal computes our answer to a key the target brought up.
func (n *negotiation) answerProposal(k Key, rule keyRule, known bool) {
	switch k.Value {
	case "Irrelevant", "Reject", "NotUnderstood":
		n.report(RuleLoginKey, fmt.Sprintf("%v proposed without an offer", k))
		return
	}
	answer := k.Value // min, max, and, or: our default is the most permissive
	switch {
	case !known:
		answer = "NotUnderstood"
	case rule.kind == kindList:
		answer = "Reject"
		if slices.Contains(strings.Split(k.Value, ","), rule.initial) {
			answer = rule.initial
		}
	}
	n.pending = append(n.pending, Key{k.Name, answer})
	n.offered = append(n.offered, Key{k.Name, answer})
}

// takePending returns the answers owed and forgets them.
func (n *negotiation) takePending() Keys {
	p := n.pending
	n.pending = nil
	return p
}

// finish checks that every offer was answered and computes the parameters.
func (n *negotiation) finish() Params {
	for _, o := range n.offered {
		rule, known := keyRules[o.Name]
		if known && rule.kind == kindDeclared {
			continue
		}
		if _, ok := n.received.Get(o.Name); ok {
			continue
		}
		if rule.kind == kindAnd && known && o.Value == "No" || rule.kind == kindOr && o.Value == "Yes" {
			continue // the offer decided; silence is agreement
		}
		n.report(RuleLoginKeyMissing, fmt.Sprintf("%v was not answered", o))
	}
	p := Params{
		HeaderDigest:             n.value("HeaderDigest") == "CRC32C",
		DataDigest:               n.value("DataDigest") == "CRC32C",
		MaxConnections:           n.number("MaxConnections"),
		InitialR2T:               n.value("InitialR2T") == "Yes",
		ImmediateData:            n.value("ImmediateData") == "Yes",
		MaxBurstLength:           n.number("MaxBurstLength"),
		FirstBurstLength:         n.number("FirstBurstLength"),
		DefaultTime2Wait:         n.number("DefaultTime2Wait"),
		DefaultTime2Retain:       n.number("DefaultTime2Retain"),
		MaxOutstandingR2T:        n.number("MaxOutstandingR2T"),
		DataPDUInOrder:           n.value("DataPDUInOrder") == "Yes",
		DataSequenceInOrder:      n.value("DataSequenceInOrder") == "Yes",
		ErrorRecoveryLevel:       n.number("ErrorRecoveryLevel"),
		TaskReporting:            n.value("TaskReporting"),
		ProtocolLevel:            n.number("iSCSIProtocolLevel"),
		MaxRecvDataSegmentLength: 8192,
		TargetMaxRecvDataSegment: 8192,
		TargetPortalGroupTag:     -1,
		Offered:                  n.offered,
		Received:                 n.received,
	}
	if v, ok := n.lastOffer("MaxRecvDataSegmentLength"); ok {
		if i, err := parseNumber(v); err == nil {
			p.MaxRecvDataSegmentLength = i
		}
	}
	if v, ok := n.received.Get("MaxRecvDataSegmentLength"); ok {
		rule := keyRules["MaxRecvDataSegmentLength"] // out of range: reported, not believed
		if i, err := parseNumber(v); err == nil && i >= rule.lo && i <= rule.hi {
			p.TargetMaxRecvDataSegment = i
		}
	}
	if v, ok := n.received.Get("TargetPortalGroupTag"); ok {
		if i, err := parseNumber(v); err == nil {
			p.TargetPortalGroupTag = i
		}
	}
	p.TargetAlias, _ = n.received.Get("TargetAlias")
	if p.FirstBurstLength > p.MaxBurstLength {
		// Irrelevant, where nothing is sent unsolicited, is no number. RFC 7143 §13.14.
		if v, told := n.received.Get("FirstBurstLength"); told && v != "Irrelevant" {
			n.report(RuleLoginKey, fmt.Sprintf("FirstBurstLength=%d exceeds MaxBurstLength=%d", p.FirstBurstLength, p.MaxBurstLength))
		}
		p.FirstBurstLength = p.MaxBurstLength
	}
	return p
}

// value is the negotiated value of a key: the target's answer, or ours to its
// proposal, or the default of the standard.
func (n *negotiation) value(name string) string {
	rule := keyRules[name]
	offer, offered := n.lastOffer(name)
	answer, answered := n.received.Get(name)
	switch {
	case !offered:
		return rule.initial
	case !answered:
		if rule.kind == kindAnd || rule.kind == kindOr {
			return offer
		}
		return rule.initial
	case answer == "Irrelevant", answer == "Reject", answer == "NotUnderstood":
		return rule.initial
	case rule.kind == kindList:
		// When the target proposed a list, the choice is ours.
		if strings.Contains(answer, ",") {
			return offer
		}
	}
	return answer
}

func (n *negotiation) number(name string) int {
	v, err := parseNumber(n.value(name))
	if err != nil {
		v, _ = parseNumber(keyRules[name].initial)
	}
	return v
}
