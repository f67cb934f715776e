package backstore

import "io"

// Store is what every kind of storage offers. The package documentation has
// the contract.
type Store interface {
	io.ReaderAt
	io.WriterAt
	// Size is the length in bytes. It changes only by Resize.
	Size() int64
	// Sync returns nil once all that completed before the call survives a
	// power cut.
	Sync() error
	Close() error
}

// Volume is a Store with every optional ability. All kinds of this package
// are Volumes; a caller looks the abilities up one by one, because other kinds
// may have fewer.
type Volume interface {
	Store

	// TryReadAt is ReadAt for a caller that must not wait for a device. ok is
	// false, and nothing is said about the medium, when the data is not in
	// memory: call ReadAt where waiting is allowed.
	TryReadAt(p []byte, off int64) (ok bool, err error)

	// WriteDurable is WriteAt that returns nil once p survives a power cut.
	WriteDurable(p []byte, off int64) error

	// WriteAtomic is WriteAt of all of p or of nothing: whatever ends the call,
	// the process or the power leaves no mixture of old and new. Durable only
	// after Sync. It takes what Atomic tells.
	WriteAtomic(p []byte, off int64) error

	// Atomic tells what WriteAtomic takes: lengths up to most bytes, lengths and
	// offsets that are multiples of unit. most is 0 where nobody promises
	// anything. Both are constant while the store is open.
	Atomic() (unit, most int64)

	// Discard makes the range read as zeros and gives its space back where
	// whole allocation units are covered. Durable only after Sync.
	Discard(off, n int64) error

	// WriteZeros makes the range read as zeros; space may be kept or given
	// back. Durable only after Sync.
	WriteZeros(off, n int64) error

	// NextExtent tells how many bytes from off on share one state: mapped
	// (they occupy space) or not (they read as zeros). length is positive
	// for off in [0, Size); any other off is refused.
	NextExtent(off int64) (length int64, mapped bool, err error)

	// CopyRange copies n bytes from src to dst as if the source had been read
	// completely before the first write, and returns how many were copied.
	CopyRange(dst, src, n int64) (copied int64, err error)

	// CopyFrom copies n bytes from another store without moving them through
	// this process. ok is false when that is not possible from copied on: the
	// caller reads and writes the rest itself.
	CopyFrom(srcStore any, src, dst, n int64) (copied int64, ok bool, err error)

	// Geometry is constant while the store is open.
	Geometry() Geometry

	// Allocated is the number of bytes really used.
	Allocated() (int64, error)

	// Free is the number of bytes the store can still grow by: the space left
	// in the file system. ReasonUnsupported when nobody can tell.
	Free() (int64, error)

	// Resize grows the store to n bytes; what is new reads as zeros. It never
	// shrinks (ReasonShrinkRefused): that would cut off data. The new size is
	// durable on return.
	Resize(n int64) error
}

// Failing is offered by stores that can latch a failure.
type Failing interface {
	// Failure is the latched *FlushError or *ShrunkError, or nil.
	Failure() error
	// ClearFailure is the operator's word that the medium can be trusted
	// again.
	ClearFailure()
}

// Geometry describes the medium under a store. Lengths are in bytes; zero
// means that nothing is known or demanded.
type Geometry struct {
	LogicalBlock       int   // smallest addressable unit the medium imposes
	PhysicalBlock      int   // smallest unit written without read-modify-write
	Alignment          int64 // offset of the first physical block boundary
	MinIO              int   // preferred granularity of small requests
	OptimalIO          int   // preferred size of streaming requests
	DiscardGranularity int64 // allocation unit
	DiscardAlignment   int64 // offset of the first allocation unit
	MaxDiscard         int64 // longest range per Discard that is one request to the device
	Rotational         bool  // seeks cost time
	WriteCache         bool  // the device has a volatile cache that Sync flushes
	Thin               bool  // Discard really gives space back
}

// checkRange refuses what is not inside [0, size).
func checkRange(off, n, size int64) error {
	if off < 0 || n < 0 || off > size || n > size-off {
		return &RangeError{Off: off, Len: n, Size: size}
	}
	return nil
}
