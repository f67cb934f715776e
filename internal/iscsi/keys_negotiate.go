package iscsi

import (
	"fmt"

	"nas-target/internal/iscsi/pdu"
)

// keyReason names why an offer ended the login, or, in full feature phase, was
// rejected. Logs and metrics show it as it is.
type keyReason string

const (
	keyDuplicate       keyReason = "key_duplicate"
	keyReservedValue   keyReason = "key_reserved_value"
	keyWrongStage      keyReason = "key_wrong_stage"
	keyLoginOnly       keyReason = "key_login_only"
	keyFullFeatureOnly keyReason = "key_full_feature_only"
	keyLeadingOnly     keyReason = "key_leading_only"
	keyUnexpected      keyReason = "key_unexpected"
	keyBadDeclaration  keyReason = "key_bad_declaration"
	keyBadInitiator    keyReason = "key_bad_initiator_name"
	keyBadTarget       keyReason = "key_bad_target_name"
	keyBadSessionType  keyReason = "key_bad_session_type"
	keyBurstsDisagree  keyReason = "key_bursts_disagree"
	keyMissingName     keyReason = "key_missing_name"
	keyDigestRequired  keyReason = "key_digest_required"
)

// keyStatus is the login status of each reason, RFC 7143 §11.13.5. A name that
// no target can have is answered like one that is not here.
var keyStatus = map[keyReason]pdu.LoginStatus{
	keyDuplicate:       pdu.LoginInitiatorError,
	keyReservedValue:   pdu.LoginInitiatorError,
	keyWrongStage:      pdu.LoginInitiatorError,
	keyLoginOnly:       pdu.LoginInitiatorError,
	keyFullFeatureOnly: pdu.LoginInitiatorError,
	keyLeadingOnly:     pdu.LoginInitiatorError,
	keyUnexpected:      pdu.LoginInitiatorError,
	keyBadDeclaration:  pdu.LoginInitiatorError,
	keyBadInitiator:    pdu.LoginInitiatorError,
	keyBadTarget:       pdu.LoginTargetNotFound,
	keyBadSessionType:  pdu.LoginSessionTypeRefused,
	keyBurstsDisagree:  pdu.LoginInitiatorError,
	keyMissingName:     pdu.LoginMissingParameter,
	keyDigestRequired:  pdu.LoginInitiatorError,
}

// keyError ends a login with Status. In full feature phase the Text Request is
// rejected as a protocol error instead.
type keyError struct {
	Reason keyReason
	Key    string
	Status pdu.LoginStatus
}

func keyFail(r keyReason, key string) *keyError { return &keyError{r, key, keyStatus[r]} }

func (e *keyError) Error() string { return fmt.Sprintf("iscsi: %s: %s", e.Reason, e.Key) }

// keyState is a negotiation between two requests. It is a value: copying it is
// saving it.
type keyState struct {
	limits   Limits
	params   Params
	seen     uint64 // keys of this login, by row
	joining  bool   // a further connection of a session
	declared bool   // our MaxRecvDataSegmentLength was sent
	burst    bool   // FirstBurstLength was agreed in an earlier request
}

// newKeyState starts the negotiation of a new session.
func newKeyState(l Limits) keyState {
	st := keyState{limits: l}
	st.params.MaxRecv = keyDefaultMaxRecv
	for i := range keyTable {
		keyTable[i].reset(&st.params)
	}
	return st
}

// joinKeyState starts the negotiation of a further connection of a session
// that agreed on p. What holds for the session stands; what holds for a
// connection starts from its default.
func joinKeyState(l Limits, p Params) keyState {
	return keyState{limits: l, params: keySessionPart(p), joining: true}
}

const keyDefaultMaxRecv = 8192

// keySessionPart returns p with all that a connection states for itself set
// back.
func keySessionPart(p Params) Params {
	for i := range keyTable {
		if r := &keyTable[i]; r.scope == keyConnection {
			r.reset(&p)
		}
	}
	p.InitiatorAlias = ""
	p.MaxRecv = keyDefaultMaxRecv
	return p
}

// negotiate answers the text of one request. The login stages share the
// connection's state; a Text Request in full feature phase is a negotiation of
// its own. Nothing changes if it fails.
//
// Keys of authentication and SendTargets get their place checked and nothing
// else: whoever runs those exchanges reads them from the offer and adds its
// answers, as login adds TargetPortalGroupTag and TargetAlias.
func negotiate(offer pdu.Text, st *keyState, stage pdu.Stage) (pdu.Text, *keyError) {
	if key, dup := offer.Duplicate(); dup {
		return nil, keyFail(keyDuplicate, key)
	}
	next := *st
	var reply pdu.Text
	var last string // key that changed what only the leading connection may
	// Declarations come first: they have no answer whose order would matter,
	// and SessionType decides which of the other keys do.
	for _, declarations := range [...]bool{true, false} {
		for _, p := range offer {
			i, known := keyIndex[p.Key]
			if (known && keyTable[i].rule == keyDeclare) != declarations {
				continue
			}
			before := next.params
			answer, err := next.answer(p, stage)
			if err != nil {
				return nil, err
			}
			if st.joining && keySessionPart(next.params) != keySessionPart(before) {
				last = p.Key
			}
			if answer != "" {
				reply.Add(p.Key, answer)
			}
		}
	}
	if err := next.settleBursts(reply); err != nil {
		return nil, err
	}
	if st.joining && keySessionPart(next.params) != keySessionPart(st.params) {
		return nil, keyFail(keyLeadingOnly, last)
	}
	if stage == pdu.OperationalNegotiation && !next.declared {
		next.declared = true
		next.params.MaxRecv = next.limits.MaxRecvDataSegmentLength
		reply.Add("MaxRecvDataSegmentLength", keyFormat(next.params.MaxRecv))
	}
	*st = next
	return reply, nil
}

// answer takes one pair and returns the value of the reply, "" for none.
func (st *keyState) answer(p pdu.Pair, stage pdu.Stage) (string, *keyError) {
	switch p.Value {
	case pdu.ValueReject, pdu.ValueIrrelevant, pdu.ValueNotUnderstood:
		return "", keyFail(keyReservedValue, p.Key)
	}
	i, known := keyIndex[p.Key]
	if !known {
		return pdu.ValueNotUnderstood, nil
	}
	r := &keyTable[i]
	if reason := r.admit(stage); reason != "" {
		return "", keyFail(reason, p.Key)
	}
	again := stage != pdu.FullFeaturePhase && st.seen&(1<<i) != 0
	if again && r.rule != keyDeclare {
		return "", keyFail(keyDuplicate, p.Key)
	}
	st.seen |= 1 << i

	switch r.rule {
	case keyDeclare:
		before := st.params
		if reason := r.state(&st.params, p.Value); reason != "" {
			return "", keyFail(reason, p.Key)
		}
		// libiscsi states the names again after authentication.
		if again && st.params != before {
			return "", keyFail(keyDuplicate, p.Key)
		}
		return "", nil
	case keyIgnore, keyElsewhere:
		return "", nil
	case keyObsolete:
		return pdu.ValueReject, nil
	}
	if r.normalOnly && st.params.SessionType == SessionDiscovery {
		return pdu.ValueIrrelevant, nil
	}
	return r.result(&st.params, &st.limits, p.Value), nil
}

// settleBursts applies what binds FirstBurstLength to other keys, RFC 7143
// §13.14: it is irrelevant where no unsolicited data is allowed, and at most
// MaxBurstLength.
func (st *keyState) settleBursts(reply pdu.Text) *keyError {
	p := &st.params
	irrelevant := p.InitialR2T && !p.ImmediateData && st.has("InitialR2T") && st.has("ImmediateData")
	lower := p.FirstBurstLength > p.MaxBurstLength
	if lower {
		if st.burst && !irrelevant {
			return keyFail(keyBurstsDisagree, "MaxBurstLength")
		}
		p.FirstBurstLength = p.MaxBurstLength
	}
	for i := range reply {
		a := &reply[i]
		if a.Key != "FirstBurstLength" || a.Value == pdu.ValueReject || a.Value == pdu.ValueIrrelevant {
			continue
		}
		switch {
		case irrelevant:
			a.Value = pdu.ValueIrrelevant
		case lower:
			a.Value = keyFormat(p.FirstBurstLength)
		}
		st.burst = true
	}
	return nil
}

// has reports whether the key came in this login.
func (st *keyState) has(key string) bool { return st.seen&(1<<keyIndex[key]) != 0 }

// named checks that the first request of a connection said who logs in where,
// RFC 7143 §6.3.
func (st *keyState) named() *keyError {
	if !st.has("InitiatorName") {
		return keyFail(keyMissingName, "InitiatorName")
	}
	if st.params.SessionType == SessionNormal && !st.has("TargetName") {
		return keyFail(keyMissingName, "TargetName")
	}
	return nil
}

// complete checks that a connection may enter full feature phase with what was
// agreed. An initiator that never offered a digest we require ends here too.
func (st *keyState) complete() *keyError {
	if st.params.SessionType == SessionNormal {
		if st.limits.Digests.Header == DigestRequired && !st.params.HeaderDigest {
			return keyFail(keyDigestRequired, "HeaderDigest")
		}
		if st.limits.Digests.Data == DigestRequired && !st.params.DataDigest {
			return keyFail(keyDigestRequired, "DataDigest")
		}
	}
	return nil
}
