package iscsi

// Reason names a branch that refuses something or ends something. It is
// stable: logs, metrics and tests share it.
type Reason string

// Why connections and sessions end.
const (
	ReasonPeerClosed         Reason = "peer_closed"
	ReasonReadError          Reason = "read_error"
	ReasonWriteError         Reason = "write_error"
	ReasonSlowReader         Reason = "slow_reader"
	ReasonDataOutStalled     Reason = "data_out_stalled"
	ReasonPDUStalled         Reason = "pdu_stalled"
	ReasonPingTimeout        Reason = "ping_timeout"
	ReasonLogout             Reason = "logout"
	ReasonTargetOpcode       Reason = "target_opcode"
	ReasonDataSegmentTooLong Reason = "data_segment_too_long"
	ReasonHeaderDigest       Reason = "header_digest"
	ReasonHeldTooMuch        Reason = "held_too_much"
	ReasonNexusReset         Reason = "nexus_reset"
	ReasonColdReset          Reason = "target_cold_reset"
	ReasonReinstated         Reason = "session_reinstated"
	ReasonConnReinstated     Reason = "connection_reinstated"
	ReasonSessionTimeout     Reason = "session_timeout"
	ReasonTargetRemoved      Reason = "target_removed"
	ReasonShutdown           Reason = "shutdown"
	ReasonKilled             Reason = "killed"
)

// Why PDUs are rejected or ignored.
const (
	ReasonCmdSNOutsideWindow     Reason = "cmdsn_outside_window"
	ReasonEndedBefore            Reason = "ended_before_it_came"
	ReasonLoginAgain             Reason = "login_in_full_feature_phase"
	ReasonSNACK                  Reason = "snack"
	ReasonUnknownOpcode          Reason = "unknown_opcode"
	ReasonUnexpectedAHS          Reason = "unexpected_ahs"
	ReasonUnexpectedData         Reason = "unexpected_data_segment"
	ReasonNOPNotImmediate        Reason = "nop_not_immediate"
	ReasonReservedITT            Reason = "reserved_itt"
	ReasonAfterLogout            Reason = "after_logout"
	ReasonDiscoveryOnly          Reason = "discovery_only"
	ReasonTooManyImmediate       Reason = "too_many_immediate"
	ReasonNotFinal               Reason = "not_final"
	ReasonLengthWithoutDirection Reason = "length_without_direction"
	ReasonTaskInProgress         Reason = "task_in_progress"
	ReasonBadAHS                 Reason = "bad_ahs"
	ReasonDataDigest             Reason = "data_digest"
	ReasonDataOutUnknown         Reason = "data_out_unknown"
	ReasonDataOutLUN             Reason = "data_out_lun"
	ReasonLogoutReason           Reason = "logout_reason"
	ReasonNoMemory               Reason = "no_memory"
	ReasonTextOpen               Reason = "text_open"
	ReasonTextTTT                Reason = "text_ttt"
	ReasonTextContinueFinal      Reason = "text_continue_final"
	ReasonTextTooLong            Reason = "text_too_long"
	ReasonTextMalformed          Reason = "text_malformed"
	ReasonTextKey                Reason = "text_key"
)

// Why logins fail. Those of single keys are in keys_negotiate.go.
const (
	ReasonLoginNotFirst       Reason = "login_not_first"
	ReasonLoginOtherRequest   Reason = "login_other_request"
	ReasonLoginTimeout        Reason = "login_timeout"
	ReasonLoginIO             Reason = "login_io"
	ReasonLoginNothingSaid    Reason = "login_nothing_said"
	ReasonLoginVersion        Reason = "login_version"
	ReasonLoginChanged        Reason = "login_header_changed"
	ReasonLoginStage          Reason = "login_stage"
	ReasonLoginContinue       Reason = "login_continue_transit"
	ReasonLoginTooLong        Reason = "login_text_too_long"
	ReasonLoginAHS            Reason = "login_ahs"
	ReasonLoginText           Reason = "login_text"
	ReasonLoginReplyTooLong   Reason = "login_reply_too_long"
	ReasonLoginRounds         Reason = "login_rounds"
	ReasonLoginUnavailable    Reason = "login_unavailable"
	ReasonLoginTargetNotFound Reason = "login_target_not_found"
	ReasonLoginRedirected     Reason = "login_redirected"
	ReasonLoginAuthRequired   Reason = "login_auth_required"
	ReasonLoginAuthMethod     Reason = "login_auth_method"
	ReasonLoginNoSession      Reason = "login_no_session"
	ReasonLoginTooManyConns   Reason = "login_too_many_connections"
	ReasonLoginNoTSIH         Reason = "login_no_tsih"
	ReasonLoginAttach         Reason = "login_attach"
	ReasonLoginSuperseded     Reason = "login_superseded"
	ReasonSessionsOfTarget    Reason = "login_sessions_of_target"
	ReasonSessionsOfInitiator Reason = "login_sessions_of_initiator"

	ReasonTooManyLogins           Reason = "login_too_many"
	ReasonTooManyLoginsFromSource Reason = "login_too_many_from_source"
	ReasonLoginLineTooLong        Reason = "login_line_too_long"
	ReasonLoginBackOff            Reason = "login_back_off"

	ReasonCHAPNotChosen      Reason = "chap_not_chosen"
	ReasonCHAPSequence       Reason = "chap_sequence"
	ReasonCHAPAlgorithm      Reason = "chap_algorithm"
	ReasonCHAPMalformed      Reason = "chap_malformed"
	ReasonCHAPFailed         Reason = "chap_failed"
	ReasonCHAPReflected      Reason = "chap_reflected"
	ReasonCHAPNoTargetSecret Reason = "chap_no_target_secret"
)

// Reasons lists all of the above.
var Reasons = []Reason{
	ReasonPeerClosed, ReasonReadError, ReasonWriteError, ReasonSlowReader, ReasonDataOutStalled,
	ReasonPDUStalled, ReasonPingTimeout, ReasonLogout, ReasonTargetOpcode,
	ReasonDataSegmentTooLong, ReasonHeaderDigest, ReasonHeldTooMuch, ReasonNexusReset, ReasonColdReset, ReasonReinstated,
	ReasonConnReinstated, ReasonSessionTimeout, ReasonTargetRemoved, ReasonShutdown, ReasonKilled,
	ReasonCmdSNOutsideWindow, ReasonEndedBefore, ReasonLoginAgain, ReasonSNACK, ReasonUnknownOpcode,
	ReasonUnexpectedAHS, ReasonUnexpectedData, ReasonNOPNotImmediate, ReasonReservedITT,
	ReasonAfterLogout, ReasonDiscoveryOnly, ReasonTooManyImmediate, ReasonNotFinal,
	ReasonLengthWithoutDirection, ReasonTaskInProgress, ReasonBadAHS, ReasonDataDigest,
	ReasonDataOutUnknown, ReasonDataOutLUN, ReasonLogoutReason, ReasonNoMemory, ReasonTextOpen, ReasonTextTTT,
	ReasonTextContinueFinal, ReasonTextTooLong, ReasonTextMalformed, ReasonTextKey,
	ReasonLoginNotFirst, ReasonLoginOtherRequest, ReasonLoginTimeout, ReasonLoginIO,
	ReasonLoginVersion, ReasonLoginChanged, ReasonLoginStage, ReasonLoginContinue,
	ReasonLoginTooLong, ReasonLoginAHS, ReasonLoginText, ReasonLoginReplyTooLong,
	ReasonLoginRounds, ReasonLoginUnavailable, ReasonLoginTargetNotFound, ReasonLoginRedirected,
	ReasonLoginAuthRequired, ReasonLoginAuthMethod, ReasonLoginNoSession, ReasonLoginTooManyConns,
	ReasonLoginNoTSIH, ReasonLoginAttach, ReasonLoginSuperseded, ReasonSessionsOfTarget,
	ReasonSessionsOfInitiator, ReasonTooManyLogins, ReasonTooManyLoginsFromSource,
	ReasonLoginLineTooLong, ReasonLoginBackOff, ReasonLoginNothingSaid, ReasonCHAPNotChosen, ReasonCHAPSequence, ReasonCHAPAlgorithm,
	ReasonCHAPMalformed, ReasonCHAPFailed, ReasonCHAPReflected, ReasonCHAPNoTargetSecret,
}
