package pr

import "fmt"

// Code is how a request ends.
type Code uint8

const (
	Good     Code = iota
	Conflict      // RESERVATION CONFLICT, no sense data

	// Everything below is a CHECK CONDITION; the comment gives sense key, ASC
	// and ASCQ.

	InvalidFieldInCDB                 // 05/24/00; Pointer into the CDB
	InvalidFieldInParameterList       // 05/26/00; Pointer into the list
	ParameterListLength               // 05/1A/00
	InvalidRelease                    // 05/26/04
	InsufficientReservationResources  // 05/55/02
	InsufficientRegistrationResources // 05/55/04
	PersistentInformationLost         // 07/44/01
	BecomingReady                     // 02/04/03
	StoreFailed                       // 04/44/00

	codes
)

var codeNames = [codes]string{
	Good:                              "good",
	Conflict:                          "reservation-conflict",
	InvalidFieldInCDB:                 "invalid-field-in-cdb",
	InvalidFieldInParameterList:       "invalid-field-in-parameter-list",
	ParameterListLength:               "parameter-list-length-error",
	InvalidRelease:                    "invalid-release-of-persistent-reservation",
	InsufficientReservationResources:  "insufficient-reservation-resources",
	InsufficientRegistrationResources: "insufficient-registration-resources",
	PersistentInformationLost:         "persistent-reservation-information-lost",
	BecomingReady:                     "becoming-ready",
	StoreFailed:                       "store-failed",
}

func (c Code) String() string {
	if c < codes {
		return codeNames[c]
	}
	return fmt.Sprintf("code-%d", uint8(c))
}

// Pointer is a field pointer (SPC-4 r36f 4.5.2.4.2): into the CDB with
// InvalidFieldInCDB, into the parameter list with InvalidFieldInParameterList.
type Pointer struct {
	Byte uint16
	Bit  int8 // the field's most significant bit, 7 to 0, or WholeByte
}

// WholeByte in Pointer.Bit says that the field begins at the byte's top and
// needs no bit pointer.
const WholeByte = -1

// Where the fields are. SPC-4 r36f tables 212, 214, 217.
var (
	atServiceAction = Pointer{1, 4}
	atScope         = Pointer{2, 7}
	atType          = Pointer{2, 3}

	atKey          = Pointer{0, WholeByte}
	atServiceKey   = Pointer{8, WholeByte}
	atSpecIPt      = Pointer{20, 3}
	atAllTgPt      = Pointer{20, 2}
	atRelativePort = Pointer{18, WholeByte} // REGISTER AND MOVE
	atTransportID  = Pointer{24, WholeByte} // REGISTER AND MOVE
)

// Verdict is the answer to one Op. The zero value is GOOD.
type Verdict struct {
	Status  Code
	Reason  Reason // which branch refused; "" if none did
	Pointer Pointer
}

// OK reports whether the command ended with GOOD.
func (v Verdict) OK() bool { return v.Status == Good }

func (v Verdict) String() string {
	if v.Reason == "" {
		return v.Status.String()
	}
	return v.Status.String() + " (" + string(v.Reason) + ")"
}

// Reason names the branch that refused. Logs, metrics and tests share it.
type Reason string

const (
	ReasonServiceAction   Reason = "pr_service_action_unknown"
	ReasonNotReady        Reason = "pr_information_not_ready"
	ReasonLost            Reason = "pr_information_lost"
	ReasonNotLost         Reason = "pr_information_not_lost"
	ReasonLegacyHeld      Reason = "pr_legacy_reservation_held"
	ReasonRegistered      Reason = "pr_legacy_while_registered"
	ReasonListLength      Reason = "pr_parameter_list_length"
	ReasonNotRegistered   Reason = "pr_not_registered"
	ReasonKey             Reason = "pr_reservation_key_wrong"
	ReasonKeyNotZero      Reason = "pr_reservation_key_not_zero"
	ReasonNotHolder       Reason = "pr_held_by_another"
	ReasonOtherType       Reason = "pr_held_with_another_type"
	ReasonAllRegistrants  Reason = "pr_move_of_all_registrants"
	ReasonNothingToMove   Reason = "pr_move_without_reservation"
	ReasonScope           Reason = "pr_scope_invalid"
	ReasonType            Reason = "pr_type_invalid"
	ReasonSpecIPt         Reason = "pr_spec_i_pt_invalid"
	ReasonAllTgPt         Reason = "pr_all_tg_pt_invalid"
	ReasonServiceKeyZero  Reason = "pr_service_action_key_zero"
	ReasonNoVictim        Reason = "pr_preempted_key_unknown"
	ReasonReleaseMismatch Reason = "pr_release_mismatch"
	ReasonTransportID     Reason = "pr_transport_id_invalid"
	ReasonOwnPort         Reason = "pr_move_to_own_port"
	ReasonRelativePort    Reason = "pr_relative_port_unknown"
	ReasonPortRegistered  Reason = "pr_listed_port_registered"
	ReasonFull            Reason = "pr_registrations_full"
	ReasonPortName        Reason = "pr_port_name_invalid"
	ReasonStoreFull       Reason = "pr_store_full"
	ReasonStoreFailed     Reason = "pr_store_failed"
	ReasonStoreStale      Reason = "pr_store_stale"
)

// Reasons lists every Reason.
var Reasons = [...]Reason{
	ReasonServiceAction, ReasonNotReady, ReasonLost, ReasonNotLost, ReasonLegacyHeld, ReasonRegistered,
	ReasonListLength, ReasonNotRegistered, ReasonKey, ReasonKeyNotZero, ReasonNotHolder, ReasonOtherType,
	ReasonAllRegistrants, ReasonNothingToMove, ReasonScope, ReasonType, ReasonSpecIPt, ReasonAllTgPt,
	ReasonServiceKeyZero, ReasonNoVictim, ReasonReleaseMismatch, ReasonTransportID, ReasonOwnPort,
	ReasonRelativePort, ReasonPortRegistered, ReasonFull, ReasonPortName, ReasonStoreFull, ReasonStoreFailed, ReasonStoreStale,
}

func conflict(r Reason) Verdict { return Verdict{Status: Conflict, Reason: r} }

func badCDB(r Reason, at Pointer) Verdict {
	return Verdict{Status: InvalidFieldInCDB, Reason: r, Pointer: at}
}

func badList(r Reason, at Pointer) Verdict {
	return Verdict{Status: InvalidFieldInParameterList, Reason: r, Pointer: at}
}
