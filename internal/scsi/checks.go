package scsi

// The CHECK CONDITIONs of this device server, each with the name that logs,
// metrics and tests share.
var (
	ErrNoSense = &Check{Key: KeyNoSense, Reason: "no-sense"}

	ErrBecomingReady      = &Check{Key: KeyNotReady, ASC: 0x04, ASCQ: 0x01, Reason: "becoming-ready"}
	ErrManualIntervention = &Check{Key: KeyNotReady, ASC: 0x04, ASCQ: 0x03, Reason: "manual-intervention-required"}
	ErrFormatInProgress   = &Check{Key: KeyNotReady, ASC: 0x04, ASCQ: 0x04, Reason: "format-in-progress"}
	ErrAsymmetricTransit  = &Check{Key: KeyNotReady, ASC: 0x04, ASCQ: 0x0a, Reason: "alua-transition"}
	ErrStandby            = &Check{Key: KeyNotReady, ASC: 0x04, ASCQ: 0x0b, Reason: "alua-standby"}
	ErrUnavailable        = &Check{Key: KeyNotReady, ASC: 0x04, ASCQ: 0x0c, Reason: "alua-unavailable"}
	ErrSpaceInProgress    = &Check{Key: KeyNotReady, ASC: 0x04, ASCQ: 0x14, Reason: "space-allocation-in-progress"}
	ErrSanitizeInProgress = &Check{Key: KeyNotReady, ASC: 0x04, ASCQ: 0x1b, Reason: "sanitize-in-progress"}

	ErrWriteError     = &Check{Key: KeyMediumError, ASC: 0x0c, ASCQ: 0x00, Reason: "write-error"}
	ErrFormatFailed   = &Check{Key: KeyMediumError, ASC: 0x31, ASCQ: 0x01, Reason: "format-failed"}
	ErrSanitizeFailed = &Check{Key: KeyMediumError, ASC: 0x31, ASCQ: 0x03, Reason: "sanitize-failed"}
	ErrReadError      = &Check{Key: KeyMediumError, ASC: 0x11, ASCQ: 0x00, Reason: "read-error"}

	ErrInternal       = &Check{Key: KeyHardwareError, ASC: 0x44, ASCQ: 0x00, Reason: "internal-target-failure"}
	ErrFlushFailed    = &Check{Key: KeyHardwareError, ASC: 0x44, ASCQ: 0x00, Reason: "flush-failed"}
	ErrSetTPGFailed   = &Check{Key: KeyHardwareError, ASC: 0x67, ASCQ: 0x0a, Reason: "set-target-port-groups-failed"}
	ErrNotSaved       = &Check{Key: KeyHardwareError, ASC: 0x44, ASCQ: 0x00, Reason: "parameters-not-saved"}
	ErrSelfTest       = &Check{Key: KeyHardwareError, ASC: 0x3e, ASCQ: 0x03, Reason: "self-test-failed"}
	ErrPRNotPersisted = &Check{Key: KeyHardwareError, ASC: 0x44, ASCQ: 0x00, Reason: "reservation-not-saved"}

	ErrParameterListLength = &Check{Key: KeyIllegalRequest, ASC: 0x1a, ASCQ: 0x00, Reason: "parameter-list-length"}
	ErrInvalidOpcode       = &Check{Key: KeyIllegalRequest, ASC: 0x20, ASCQ: 0x00, Reason: "invalid-opcode"}
	ErrLBAOutOfRange       = &Check{Key: KeyIllegalRequest, ASC: 0x21, ASCQ: 0x00, Reason: "lba-out-of-range"}
	ErrInvalidField        = &Check{Key: KeyIllegalRequest, ASC: 0x24, ASCQ: 0x00, Reason: "invalid-field-in-cdb"}
	ErrLUNNotSupported     = &Check{Key: KeyIllegalRequest, ASC: 0x25, ASCQ: 0x00, Reason: "lun-not-supported"}
	ErrInvalidParameter    = &Check{Key: KeyIllegalRequest, ASC: 0x26, ASCQ: 0x00, Reason: "invalid-field-in-parameter-list"}
	ErrInvalidRelease      = &Check{Key: KeyIllegalRequest, ASC: 0x26, ASCQ: 0x04, Reason: "invalid-release"}
	ErrCommandSequence     = &Check{Key: KeyIllegalRequest, ASC: 0x2c, ASCQ: 0x00, Reason: "command-sequence"}
	ErrOperationInProgress = &Check{Key: KeyIllegalRequest, ASC: 0x00, ASCQ: 0x16, Reason: "operation-in-progress"}
	ErrTokenType           = &Check{Key: KeyIllegalRequest, ASC: 0x23, ASCQ: 0x01, Reason: "token-type-not-supported"}
	ErrTokenUnknown        = &Check{Key: KeyIllegalRequest, ASC: 0x23, ASCQ: 0x04, Reason: "token-unknown"}
	ErrTokenCorrupt        = &Check{Key: KeyIllegalRequest, ASC: 0x23, ASCQ: 0x05, Reason: "token-corrupt"}
	ErrTokenRevoked        = &Check{Key: KeyIllegalRequest, ASC: 0x23, ASCQ: 0x06, Reason: "token-revoked"}
	ErrTokenExpired        = &Check{Key: KeyIllegalRequest, ASC: 0x23, ASCQ: 0x07, Reason: "token-expired"}
	ErrTokenLength         = &Check{Key: KeyIllegalRequest, ASC: 0x23, ASCQ: 0x0a, Reason: "token-length"}
	ErrTooManyCSCDs        = &Check{Key: KeyIllegalRequest, ASC: 0x26, ASCQ: 0x06, Reason: "too-many-cscd-descriptors"}
	ErrCSCDType            = &Check{Key: KeyIllegalRequest, ASC: 0x26, ASCQ: 0x07, Reason: "cscd-descriptor-type"}
	ErrTooManySegments     = &Check{Key: KeyIllegalRequest, ASC: 0x26, ASCQ: 0x08, Reason: "too-many-segment-descriptors"}
	ErrSegmentType         = &Check{Key: KeyIllegalRequest, ASC: 0x26, ASCQ: 0x09, Reason: "segment-descriptor-type"}
	ErrInlineData          = &Check{Key: KeyIllegalRequest, ASC: 0x26, ASCQ: 0x0b, Reason: "inline-data-length"}
	ErrNoRODs              = &Check{Key: KeyIllegalRequest, ASC: 0x55, ASCQ: 0x0c, Reason: "insufficient-resources-to-create-rod"}
	ErrSavingNotSupported  = &Check{Key: KeyIllegalRequest, ASC: 0x39, ASCQ: 0x00, Reason: "saving-parameters-not-supported"}
	ErrInvalidIU           = &Check{Key: KeyIllegalRequest, ASC: 0x0e, ASCQ: 0x03, Reason: "data-out-size-mismatch"}
	ErrNoRoomForReserve    = &Check{Key: KeyIllegalRequest, ASC: 0x55, ASCQ: 0x02, Reason: "insufficient-reservation-resources"}
	ErrNoRoomToRegister    = &Check{Key: KeyIllegalRequest, ASC: 0x55, ASCQ: 0x04, Reason: "insufficient-registration-resources"}

	ErrWriteProtected = &Check{Key: KeyDataProtect, ASC: 0x27, ASCQ: 0x00, Reason: "write-protected"}
	ErrNoSpace        = &Check{Key: KeyDataProtect, ASC: 0x27, ASCQ: 0x07, Reason: "space-allocation-failed"}
	ErrPRLost         = &Check{Key: KeyDataProtect, ASC: 0x44, ASCQ: 0x01, Reason: "reservation-information-lost"}

	ErrUnexpectedData = &Check{Key: KeyAbortedCommand, ASC: 0x0c, ASCQ: 0x0c, Reason: "unexpected-unsolicited-data"}
	ErrIncorrectData  = &Check{Key: KeyAbortedCommand, ASC: 0x0c, ASCQ: 0x0d, Reason: "incorrect-amount-of-data"}
	ErrDataDigest     = &Check{Key: KeyAbortedCommand, ASC: 0x47, ASCQ: 0x05, Reason: "data-digest-error"}
	ErrFencedMidway   = &Check{Key: KeyAbortedCommand, ASC: 0x2f, ASCQ: 0x00, Reason: "fenced-midway"}

	ErrCopyAborted      = &Check{Key: KeyCopyAborted, ASC: 0x00, ASCQ: 0x00, Reason: "copy-outside-the-unit"}
	ErrCSCDUnreachable  = &Check{Key: KeyCopyAborted, ASC: 0x08, ASCQ: 0x04, Reason: "copy-target-unreachable"}
	ErrThirdParty       = &Check{Key: KeyCopyAborted, ASC: 0x0d, ASCQ: 0x01, Reason: "third-party-device-failure"}
	ErrCSCDNotReachable = &Check{Key: KeyCopyAborted, ASC: 0x0d, ASCQ: 0x02, Reason: "copy-target-not-reachable"}
	ErrCSCDWrongType    = &Check{Key: KeyCopyAborted, ASC: 0x0d, ASCQ: 0x03, Reason: "copy-target-type"}
	ErrTokenUnderrun    = &Check{Key: KeyCopyAborted, ASC: 0x0d, ASCQ: 0x04, Reason: "copy-target-underrun"}

	ErrMiscompare = &Check{Key: KeyMiscompare, ASC: 0x1d, ASCQ: 0x00, Reason: "miscompare"}
)

// Unit attention conditions. SAM-5 5.14.
var (
	UAPowerOn               = &Check{Key: KeyUnitAttention, ASC: 0x29, ASCQ: 0x00, Reason: "ua-power-on"} // not 29/01, which libiscsi's tools do not retry
	UAReset                 = &Check{Key: KeyUnitAttention, ASC: 0x29, ASCQ: 0x03, Reason: "ua-bus-device-reset-function"}
	UANexusLoss             = &Check{Key: KeyUnitAttention, ASC: 0x29, ASCQ: 0x07, Reason: "ua-nexus-loss"}
	UAModeChanged           = &Check{Key: KeyUnitAttention, ASC: 0x2a, ASCQ: 0x01, Reason: "ua-mode-parameters-changed"}
	UALogChanged            = &Check{Key: KeyUnitAttention, ASC: 0x2a, ASCQ: 0x02, Reason: "ua-log-parameters-changed"}
	UAReservationsPreempted = &Check{Key: KeyUnitAttention, ASC: 0x2a, ASCQ: 0x03, Reason: "ua-reservations-preempted"}
	UAReservationsReleased  = &Check{Key: KeyUnitAttention, ASC: 0x2a, ASCQ: 0x04, Reason: "ua-reservations-released"}
	UARegistrationsPreempt  = &Check{Key: KeyUnitAttention, ASC: 0x2a, ASCQ: 0x05, Reason: "ua-registrations-preempted"}
	UAAsymmetricChanged     = &Check{Key: KeyUnitAttention, ASC: 0x2a, ASCQ: 0x06, Reason: "ua-asymmetric-access-changed"}
	UACapacityChanged       = &Check{Key: KeyUnitAttention, ASC: 0x2a, ASCQ: 0x09, Reason: "ua-capacity-changed"}
	UACommandsCleared       = &Check{Key: KeyUnitAttention, ASC: 0x2f, ASCQ: 0x00, Reason: "ua-commands-cleared-by-another-initiator"}
	UALUNsChanged           = &Check{Key: KeyUnitAttention, ASC: 0x3f, ASCQ: 0x0e, Reason: "ua-reported-luns-changed"}
	UATimestampChanged      = &Check{Key: KeyUnitAttention, ASC: 0x2a, ASCQ: 0x10, Reason: "ua-timestamp-changed"}
	UAIdentifierChanged     = &Check{Key: KeyUnitAttention, ASC: 0x3f, ASCQ: 0x05, Reason: "ua-device-identifier-changed"}
	UAInquiryChanged        = &Check{Key: KeyUnitAttention, ASC: 0x3f, ASCQ: 0x03, Reason: "ua-inquiry-data-changed"}
	UAClearedByISCSI        = &Check{Key: KeyUnitAttention, ASC: 0x47, ASCQ: 0x7f, Reason: "ua-commands-cleared-by-iscsi-event"}
	UAThinThreshold         = &Check{Key: KeyUnitAttention, ASC: 0x38, ASCQ: 0x07, Reason: "ua-thin-provisioning-threshold"}
)

// statusError ends a command with a status that carries no sense data.
type statusError struct {
	status Status
	reason Reason
}

func (e *statusError) Error() string { return string(e.reason) }

var (
	errConflict    = &statusError{ReservationConflict, "reservation-conflict"}
	errTaskSetFull = &statusError{TaskSetFull, "task-set-full"}
	errCondMet     = &statusError{ConditionMet, ""} // not a refusal: PRE-FETCH's success
)
