package scsi

import (
	"encoding/binary"
	"math/bits"

	"nas-target/internal/pr"
)

// MODE SELECT (6) and (10). SPC-4 r36f 6.9, 6.10. Parameters are common to all
// nexuses and are not saved: SP is refused.
func init() {
	register(Command{
		Op: 0x15, Name: "MODE SELECT(6)", Access: pr.Write, Dir: DataOut, Flags: Slow | Standby,
		Usage: "15 10 00 00 ff 00", Length: Field{4, 1},
		Run: func(t *Task) error { return t.modeSelect(4) },
	})
	register(Command{
		Op: 0x55, Name: "MODE SELECT(10)", Access: pr.Write, Dir: DataOut, Flags: Slow | Standby,
		Usage: "55 10 00 00 00 00 00 ff ff 00", Length: Field{7, 2},
		Run: func(t *Task) error { return t.modeSelect(8) },
	})
}

// modeSelect takes all pages or none.
func (t *Task) modeSelect(header int) error {
	const bitPF = 0x10
	if t.CDB[1]&bitPF == 0 {
		return ErrInvalidField.AtCDB(1, 4)
	}
	p := t.Out[:t.Need]
	if len(p) == 0 {
		return nil
	}
	if len(p) < header {
		return ErrParameterListLength
	}
	at, err := t.checkModeHeader(p, header)
	if err != nil {
		return err
	}
	return t.unit.setMode(t.itl, func(f *conf) error {
		for at < len(p) {
			n, err := f.takeModePage(p, at)
			if err != nil {
				return err
			}
			at += n
		}
		return nil
	})
}

// checkModeHeader judges what stands before the pages and tells where they
// begin. WP and DPOFUA, bits of a MODE SENSE that initiators send back, and
// the length and medium type mean nothing here.
func (t *Task) checkModeHeader(p []byte, header int) (pages int, err error) {
	long, n, field := false, int(p[3]), 3
	if header == 8 {
		long, n, field = p[4]&0x01 != 0, int(binary.BigEndian.Uint16(p[6:])), 6
	}
	if n == 0 {
		return header, nil
	}
	want := shortDescriptor
	if long {
		want = longDescriptor
	}
	if n != want {
		return 0, ErrInvalidParameter.AtData(field, 7)
	}
	if len(p) < header+n {
		return 0, ErrParameterListLength
	}
	d := p[header : header+n]
	blocks, all := uint64(binary.BigEndian.Uint32(d)), uint64(0xffffffff)
	if long {
		blocks, all = binary.BigEndian.Uint64(d), 1<<64-1
	}
	// Zero leaves the number as it is, all ones ask for the most. SBC-4 r22 6.5.2.
	if blocks != 0 && blocks != all && blocks != t.conf.blocks {
		return 0, ErrInvalidParameter.AtData(header, 7)
	}
	size := binary.BigEndian.Uint32(d[n-4:])
	if !long {
		size &= 0xffffff
	}
	if size != t.conf.blockSize {
		return 0, ErrInvalidParameter.AtData(header+n-3, 7)
	}
	return header + n, nil
}

// takeModePage takes the page at p[at] into f and returns its length. Nothing
// but changeable bits may differ from what is.
func (f *conf) takeModePage(p []byte, at int) (n int, err error) {
	code, sub, length, header := p[at]&0x3f, uint8(0), 0, 2
	if p[at]&bitSPF != 0 {
		header = 4
	}
	if len(p)-at < header {
		return 0, ErrParameterListLength
	}
	if header == 4 {
		sub, length = p[at+1], int(binary.BigEndian.Uint16(p[at+2:]))
	} else {
		length = int(p[at+1])
	}
	row := f.findModePage(code, sub)
	if row == nil || row.headerLen() != header {
		return 0, ErrInvalidParameter.AtData(at, 5)
	}
	now := row.Bytes(f)
	if header+length != len(now) {
		return 0, ErrInvalidParameter.AtData(at+header/2, 7)
	}
	if len(p)-at < len(now) {
		return 0, ErrParameterListLength
	}
	page := p[at : at+len(now)]
	for i := header; i < len(now); i++ {
		fixed := byte(0xff)
		if i < len(row.Mask) {
			fixed = ^row.Mask[i]
		}
		if bad := (page[i] ^ now[i]) & fixed; bad != 0 {
			return 0, ErrInvalidParameter.AtData(at+i, bits.Len8(bad)-1)
		}
	}
	if row.Apply != nil {
		row.Apply(f, page)
	}
	return len(now), nil
}

// setMode changes mode parameters by f, all or nothing, and tells the nexuses
// other than the one that asked. Without a write cache what is acknowledged is
// durable, so the cache is emptied before GOOD says that it is off.
func (u *Unit) setMode(from *itl, f func(*conf) error) error {
	before, after, err := u.changeMode(f)
	if err != nil || before == after {
		return err
	}
	u.raiseOthers(from, UAModeChanged)
	if before.thresholds != after.thresholds {
		u.checkSpace()
	}
	if before.writeCache && !after.writeCache {
		return u.flush()
	}
	return nil
}

func (u *Unit) changeMode(f func(*conf) error) (before, after modeParams, err error) {
	u.change(func(c *conf) {
		next := *c
		before = c.modeParams
		if err = f(&next); err == nil {
			c.modeParams, c.defaults = next.modeParams, next.defaults
		}
		after = c.modeParams
	})
	return before, after, err
}

// resetMode brings the defaults back, as a reset does. The unit attention of
// the reset tells of it.
func (u *Unit) resetMode() {
	before, after, _ := u.changeMode(func(f *conf) error {
		f.modeParams = f.defaults
		return nil
	})
	if before.writeCache && !after.writeCache {
		u.flushLater()
	}
}
