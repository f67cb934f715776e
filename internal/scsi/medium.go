package scsi

import (
	"errors"
	"io"
	"syscall"
)

// Medium is all a logical unit needs of storage. An *os.File is almost one.
// Offsets and lengths are in bytes.
type Medium interface {
	io.ReaderAt
	io.WriterAt
	Size() int64
	Sync() error // what was acknowledged before this call now survives a power cut
}

// Abilities beyond Medium, looked up once when a unit is built.
type (
	durable interface {
		WriteDurable(p []byte, off int64) error
	}
	atomicWriter interface {
		WriteAtomic(p []byte, off int64) error
		Atomic() (unit, most int64)
	}
	hasty interface {
		TryReadAt(p []byte, off int64) (ok bool, err error)
	}
	discarder interface{ Discard(off, n int64) error }
	zeroer    interface{ WriteZeros(off, n int64) error }
	mapper    interface {
		NextExtent(off int64) (length int64, mapped bool, err error)
	}
	copier interface {
		CopyRange(dst, src, n int64) (int64, error)
	}
	importer interface {
		CopyFrom(srcStore any, src, dst, n int64) (copied int64, ok bool, err error)
	}
	resizer interface{ Resize(n int64) error }

	accountant interface {
		Allocated() (int64, error)
		Free() (int64, error)
	}
)

// caps holds the abilities of one medium, so that pages, opcode rows and
// handlers read one answer.
type caps struct {
	durable  durable
	atomic   atomicWriter
	hasty    hasty
	discard  discarder
	zero     zeroer
	mapper   mapper
	copier   copier
	importer importer
	account  accountant
	resize   resizer
	thin     bool // deallocation works and reads zeros: LBPME
}

func capsOf(m Medium) caps {
	var c caps
	c.durable, _ = m.(durable)
	c.atomic, _ = m.(atomicWriter)
	c.hasty, _ = m.(hasty)
	c.discard, _ = m.(discarder)
	c.zero, _ = m.(zeroer)
	c.mapper, _ = m.(mapper)
	c.copier, _ = m.(copier)
	c.importer, _ = m.(importer)
	c.resize, _ = m.(resizer)
	c.account, _ = m.(accountant)
	c.thin = c.discard != nil
	return c
}

// mediumOp says what a failed call was, for the sense that fits it.
type mediumOp uint8

const (
	opRead mediumOp = iota
	opWrite
	opFlush
)

// classify turns an error of the medium into the sense that tells the truth
// about it; lba is the first block of the failed call.
func classify(op mediumOp, lba uint64, err error) *Check {
	var flush interface{ FlushFailed() bool }
	var gone interface{ MediumGone() bool }
	switch {
	case errors.As(err, &flush) && flush.FlushFailed(), op == opFlush:
		return ErrFlushFailed.Because(err)
	case errors.As(err, &gone) && gone.MediumGone(), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrManualIntervention.Because(err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ErrNoSpace.Because(err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return ErrWriteProtected.Because(err)
	case op == opWrite:
		return ErrWriteError.WithInfo(lba).Because(err)
	}
	return ErrReadError.WithInfo(lba).Because(err)
}
