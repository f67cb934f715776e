package backstore

import (
	"errors"
	"fmt"
)

// Reason names why a store refused or failed. It is an error itself, so that
// errors.Is(err, backstore.ReasonLocked) works, and its text is the value that
// logs and metrics carry.
type Reason string

// The reasons.
const (
	ReasonOutOfRange    Reason = "out_of_range"    // offset or length outside the store
	ReasonClosed        Reason = "closed"          // the store was closed
	ReasonFlushFailed   Reason = "flush_failed"    // a flush failed; latched
	ReasonMediumGone    Reason = "medium_gone"     // the file shrank or lost its name; latched
	ReasonIO            Reason = "io_error"        // a system call failed; the errno tells
	ReasonLocked        Reason = "locked"          // somebody else holds the medium
	ReasonSizeMismatch  Reason = "size_mismatch"   // the file has another size than configured
	ReasonSizeMissing   Reason = "size_missing"    // a new store needs a size
	ReasonShrinkRefused Reason = "shrink_refused"  // Resize to less
	ReasonDeviceSize    Reason = "device_size"     // Resize beyond the device
	ReasonWrongType     Reason = "wrong_file_type" // not a regular file, not a block device
	ReasonNoDirect      Reason = "no_direct_io"    // the file system has no O_DIRECT
	ReasonUnaligned     Reason = "unaligned_size"  // size is no multiple of what direct I/O needs
	ReasonTooLarge      Reason = "too_large"       // more than the kind can address
	ReasonBadOption     Reason = "bad_option"      // an option is missing or has no meaning
	ReasonUnknownKind   Reason = "unknown_kind"    // no such kind of store
	ReasonUnsupported   Reason = "unsupported"     // this kind of store cannot tell or do that
)

func (r Reason) Error() string { return string(r) }

// Reasons lists every reason, for metrics and for the test that reaches each.
func Reasons() []Reason {
	return []Reason{
		ReasonOutOfRange, ReasonClosed, ReasonFlushFailed, ReasonMediumGone, ReasonIO, ReasonLocked,
		ReasonSizeMismatch, ReasonSizeMissing, ReasonShrinkRefused, ReasonDeviceSize, ReasonWrongType,
		ReasonNoDirect, ReasonUnaligned, ReasonTooLarge, ReasonBadOption, ReasonUnknownKind,
		ReasonUnsupported,
	}
}

// ReasonOf tells the reason of a store's error: ReasonIO for any error that
// names none, "" for nil.
func ReasonOf(err error) Reason {
	var r Reason
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r
	}
	return ReasonIO
}

// ErrShrunk is what errors.Is finds in every *ShrunkError.
const ErrShrunk = ReasonMediumGone

// Error is a refusal, or a failed system call.
type Error struct {
	Op     string // what was asked: "open", "read", "discard", …
	Path   string // of the medium; "" for memory
	Reason Reason
	Err    error // the errno or the detail, may be nil
}

func (e *Error) Error() string {
	s := e.Op
	if e.Path != "" {
		s += " " + e.Path
	}
	switch {
	case e.Err == nil:
		return s + ": " + e.Reason.Error()
	case e.Reason == ReasonIO:
		return s + ": " + e.Err.Error()
	}
	return s + ": " + e.Reason.Error() + ": " + e.Err.Error()
}

func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Reason}
	}
	return []error{e.Reason, e.Err}
}

// RangeError refuses a range that is not inside the store.
type RangeError struct{ Off, Len, Size int64 }

func (e *RangeError) Error() string {
	return fmt.Sprintf("%s: %d bytes at %d of a store of %d", ReasonOutOfRange, e.Len, e.Off, e.Size)
}

func (e *RangeError) Unwrap() error { return ReasonOutOfRange }

// FlushError says that a flush failed: what was written since the last good
// one is in an unknown state, and asking again would not tell. Latched.
type FlushError struct {
	Path string
	Err  error // the errno
}

func (e *FlushError) Error() string {
	return fmt.Sprintf("flush %s failed, data since the last flush is in doubt: %v", e.Path, e.Err)
}

func (e *FlushError) Unwrap() []error { return []error{ReasonFlushFailed, e.Err} }

// FlushFailed tells this error from others without importing the package.
func (e *FlushError) FlushFailed() bool { return true }

// ShrunkError says that the backing file is shorter than the store or has no
// name any more. Latched.
type ShrunkError struct {
	Path     string
	Have     int64 // length found
	Want     int64 // size of the store
	Unlinked bool
}

func (e *ShrunkError) Error() string {
	if e.Unlinked {
		return fmt.Sprintf("%s was deleted or replaced while in use", e.Path)
	}
	return fmt.Sprintf("%s shrank from %d to %d bytes while in use", e.Path, e.Want, e.Have)
}

func (e *ShrunkError) Unwrap() error { return ReasonMediumGone }

// MediumGone tells this error from others without importing the package.
func (e *ShrunkError) MediumGone() bool { return true }
