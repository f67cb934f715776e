package scsi

import (
	"errors"
	"fmt"
)

// What an operator changes while the unit is in use. Initiators learn of it by
// unit attentions.

var (
	// ErrShrink refuses a size below the present one: data would be cut off.
	ErrShrink = errors.New("a logical unit cannot shrink")
	// ErrErasing refuses a change while FORMAT UNIT or SANITIZE goes on.
	ErrErasing = errors.New("a format or sanitize goes on")
	// ErrFixedSize refuses a size where the medium cannot change its own.
	ErrFixedSize = errors.New("the medium cannot be resized")
)

// Resize grows the unit to the whole blocks of n bytes, and its medium with it unless that is as
// large already. SBC-4 r22 4.10.
func (u *Unit) Resize(n int64) error {
	n &^= int64(u.conf.Load().blockSize) - 1
	if n < u.Size() {
		return fmt.Errorf("%w: %d to %d bytes", ErrShrink, u.Size(), n)
	}
	if u.conf.Load().notReady != nil {
		return ErrErasing
	}
	if u.medium.Size() < n {
		if u.caps.resize == nil {
			return ErrFixedSize
		}
		if err := u.caps.resize.Resize(n); err != nil {
			return err
		}
	}
	var err error
	changed := false
	u.change(func(f *conf) {
		if f.notReady != nil {
			err = ErrErasing
			return
		}
		blocks := uint64(n) >> f.shift
		changed = blocks != f.blocks
		f.blocks = blocks
	})
	if changed {
		u.raiseOthers(nil, UACapacityChanged)
	}
	return err
}

// Size returns the size of the unit in bytes.
func (u *Unit) Size() int64 {
	f := u.conf.Load()
	return int64(f.blocks) << f.shift
}

// SetReadOnly changes whether initiators may write. When it returns, no write
// of theirs is in the medium any more.
func (u *Unit) SetReadOnly(on bool) {
	changed := false
	u.change(func(f *conf) { changed, f.readOnly = f.readOnly != on, on })
	if !changed {
		return
	}
	if on {
		u.drainGate(func(t *Task) bool { return t.cmd.Flags&Writes != 0 })
	}
	u.raiseOthers(nil, UAModeChanged) // the WP bit is in the mode parameter header
}

// SetWriteCache changes WCE, now and as the default that a reset brings back.
func (u *Unit) SetWriteCache(on bool) error {
	return u.setMode(nil, func(f *conf) error {
		f.writeCache, f.defaults.writeCache = on, on
		return nil
	})
}
