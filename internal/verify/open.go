package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"nas-target/internal/initiator"
)

// facts are what the target says of itself, asked once.
type facts struct {
	inquiry  initiator.InquiryData
	capacity initiator.Capacity
	noPR     string // how PERSISTENT RESERVE IN was refused; empty: it was not
}

// seat of the session that cleans up; no case sits there.
const janitorSeat = 0x7f

// keeper is the unit as the session that cleans up sees it; it logs in anew if
// the target ended it.
func (r *runner) keeper(ctx context.Context) (*initiator.Unit, error) {
	for {
		fresh := r.janitor == nil
		if fresh {
			cfg := r.config(0, 0, janitorSeat)
			cfg.OnViolation = nil
			s, err := initiator.Dial(ctx, cfg)
			if err != nil {
				return nil, err
			}
			r.janitor = s
		}
		u := r.janitor.Unit(r.opt.Paths[0].LUN)
		u.BlockSize = r.blockSize
		_, err := u.DrainUA(ctx)
		if err == nil {
			return u, nil
		}
		r.dismiss()
		if fresh || ctx.Err() != nil {
			return nil, err
		}
	}
}

// dismiss ends that session.
func (r *runner) dismiss() {
	if r.janitor == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(leaveTime, r.opt.Patience))
	defer cancel()
	_ = r.janitor.Logout(ctx)
	r.janitor = nil
}

// open learns whom it talks to, and refuses what must not be done.
func (r *runner) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	u, err := r.keeper(ctx)
	if err != nil {
		return fmt.Errorf("%w: %s: %s", ErrUnreachable, r.opt.Paths[0].URL, errText(err))
	}
	if r.inquiry, err = u.Inquiry(ctx); err != nil {
		return fmt.Errorf("INQUIRY: %w", err)
	}
	if q := r.inquiry.Raw[0]; q != 0 {
		return fmt.Errorf("%w: LUN %d of %s is no disk (INQUIRY begins with %02Xh)", ErrUsage, r.opt.Paths[0].LUN, r.opt.Paths[0].Login.Target, q)
	}
	if r.capacity, err = readCapacity(ctx, u); err != nil {
		return fmt.Errorf("READ CAPACITY: %w", err)
	}
	r.blockSize, r.blocks = int(r.capacity.BlockSize), r.capacity.Blocks
	u.BlockSize = r.blockSize
	if err := r.comparePaths(ctx, u); err != nil {
		return err
	}
	r.describe(u)
	if err := r.occupied(ctx, u); err != nil {
		return err
	}
	if r.opt.Destructive {
		return r.claim(ctx, u)
	}
	return nil
}

// openTime bounds the questions before the first case.
const openTime = 30 * time.Second

// readCapacity asks with 16 bytes of CDB, and with 10 who does not know that.
func readCapacity(ctx context.Context, u *initiator.Unit) (initiator.Capacity, error) {
	c, err := u.ReadCapacity16(ctx)
	if _, ended := initiator.AsStatus(err); ended {
		c, err = u.ReadCapacity10(ctx)
	}
	if err == nil && (c.BlockSize == 0 || c.BlockSize > 1<<16) {
		err = fmt.Errorf("blocks of %d bytes", c.BlockSize)
	}
	return c, err
}

// comparePaths sees that every URL leads to the same unit.
func (r *runner) comparePaths(ctx context.Context, first *initiator.Unit) error {
	own, err := unitDesignators(ctx, first)
	if err != nil {
		return fmt.Errorf("INQUIRY page 83h: %w", err)
	}
	r.report.Target.Designators = own
	r.opt.Paths[0].GroupTag = first.S.Params().TargetPortalGroupTag
	for i := 1; i < len(r.opt.Paths); i++ {
		p := &r.opt.Paths[i]
		s, err := initiator.Dial(ctx, r.config(i, i, janitorSeat+i))
		if err != nil {
			return fmt.Errorf("%w: %s: %s", ErrUnreachable, p.URL, errText(err))
		}
		u := s.Unit(p.LUN)
		_, err = u.DrainUA(ctx)
		var names []string
		if err == nil {
			names, err = unitDesignators(ctx, u)
		}
		p.GroupTag = s.Params().TargetPortalGroupTag
		_ = s.Logout(ctx)
		if err != nil {
			return fmt.Errorf("%s: INQUIRY page 83h: %w", p.URL, err)
		}
		if !intersect(own, names) {
			return fmt.Errorf("%w: %s is another logical unit than the first URL: %s and %s", ErrUsage, p.URL, strings.Join(names, ", "), strings.Join(own, ", "))
		}
	}
	return nil
}

func intersect(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return true
			}
		}
	}
	return false
}

// unitDesignators lists what names the logical unit, best first as it is given.
// It judges nothing: what is malformed is left out, and scsi.vpd.identification
// says so.
func unitDesignators(ctx context.Context, u *initiator.Unit) ([]string, error) {
	r, err := u.Run(ctx, initiator.InquiryVPD(initiator.VPDIdentification, 4096))
	if err != nil || len(r.Data) < 4 {
		return nil, err
	}
	body := r.Data[4:]
	list, _ := initiator.DecodeDesignators(body[:min(len(body), int(binary.BigEndian.Uint16(r.Data[2:])))])
	var names []string
	for _, d := range list {
		if d.Association == initiator.AssociationUnit {
			names = append(names, designatorText(d))
		}
	}
	return names, nil
}

func designatorText(d initiator.Designator) string {
	kind := map[uint8]string{initiator.DesignatorT10Vendor: "t10", initiator.DesignatorEUI64: "eui",
		initiator.DesignatorNAA: "naa", initiator.DesignatorSCSIName: "name"}[d.Type]
	if kind == "" {
		kind = fmt.Sprintf("type%d", d.Type)
	}
	if d.CodeSet == 1 {
		return fmt.Sprintf("%s.%x", kind, d.ID)
	}
	return kind + "." + strings.TrimRight(string(bytes.TrimRight(d.ID, "\x00")), " ")
}

func (r *runner) describe(u *initiator.Unit) {
	t := &r.report.Target
	for _, p := range r.opt.Paths {
		t.URLs = append(t.URLs, p.URL)
	}
	t.Name, t.LUN = r.opt.Paths[0].Login.Target, r.opt.Paths[0].LUN
	t.Vendor, t.Product, t.Revision = r.inquiry.Vendor, r.inquiry.Product, r.inquiry.Revision
	t.Blocks, t.BlockSize = r.blocks, r.blockSize
}

// occupied looks who has registered, and refuses to disturb them.
func (r *runner) occupied(ctx context.Context, u *initiator.Unit) error {
	k, err := u.ReadKeys(ctx)
	if res, ended := initiator.AsStatus(err); ended {
		switch {
		case unsupported(res):
			r.noPR = answer(res)
			return nil
		case res.Status == initiator.ReservationConflict && r.opt.Destructive:
			return fmt.Errorf("%w: another initiator has taken the unit with RESERVE; it must give it back first", ErrRefused)
		}
		r.report.Notes = append(r.report.Notes, "PERSISTENT RESERVE IN READ KEYS: "+answer(res)+"; who has registered cannot be seen")
		return nil
	}
	if err != nil && isTransport(err) {
		return fmt.Errorf("READ KEYS: %w", err)
	}
	if err != nil {
		r.report.Notes = append(r.report.Notes, "PERSISTENT RESERVE IN READ KEYS is malformed: "+errText(err)+"; who has registered cannot be seen")
		return nil
	}
	var others []uint64
	for _, key := range k.Keys {
		if !ours(key) {
			others = append(others, key)
		}
	}
	switch {
	case !r.opt.Destructive || len(others) == 0:
		return nil
	case r.opt.ClearRegistered:
		r.report.Notes = append(r.report.Notes, "cleared the registrations of "+r.registrants(ctx, u, others))
		return r.evict(ctx, u)
	}
	return fmt.Errorf("%w: others have registered on this unit: %s; their cluster would lose it. Choose a unit that nobody uses, or add --clear-registered", ErrRefused, r.registrants(ctx, u, others))
}

// registrants names who has registered, as well as the target can.
func (r *runner) registrants(ctx context.Context, u *initiator.Unit, keys []uint64) string {
	var names []string
	if s, err := u.ReadFullStatus(ctx); err == nil {
		for _, d := range s.Registrants {
			if !ours(d.Key) {
				names = append(names, fmt.Sprintf("%s with key %#x", d.Initiator, d.Key))
			}
		}
	}
	if len(names) == 0 {
		for _, k := range keys {
			names = append(names, fmt.Sprintf("key %#x", k))
		}
	}
	return strings.Join(names, ", ")
}

// evict removes every registration, whoever made it. Once begun it goes on to
// its end: an interruption would leave a registration of ours.
func (r *runner) evict(ctx context.Context, u *initiator.Unit) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
	defer cancel()
	key := r.key(0xffff)
	if _, err := u.Run(ctx, registerIgnore(key)); err != nil {
		return fmt.Errorf("clearing the registrations: %w", err)
	}
	if _, err := u.Run(ctx, clearAll(key)); err != nil {
		return fmt.Errorf("clearing the registrations: %w", err)
	}
	return nil
}

// claim finds the range that may be written and keeps what is there.
func (r *runner) claim(ctx context.Context, u *initiator.Unit) error {
	whole, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime) // like evict
	defer cancel()
	if err := r.sweep(whole); err != nil {
		return fmt.Errorf("what an earlier run left: %w", err)
	}
	if m, err := u.Run(ctx, initiator.ModeSense6(0, initiator.PageAll, 0, false, 255)); err == nil && len(m.Data) > 2 && m.Data[2]&0x80 != 0 {
		return fmt.Errorf("%w: the unit is write protected; without --destructive it can be asked what changes nothing", ErrRefused)
	}
	bs := int64(r.blockSize)
	r.span = min(uint64(r.opt.Range/bs), r.blocks)
	if r.span < minSpan {
		return fmt.Errorf("%w: a range of %d bytes has fewer than %d blocks", ErrUsage, r.opt.Range, minSpan)
	}
	r.lba = r.blocks - r.span
	if r.opt.Offset >= 0 {
		r.lba = uint64(r.opt.Offset / bs)
	}
	if r.opt.Offset%bs > 0 || r.opt.Range%bs > 0 || r.lba+r.span > r.blocks {
		return fmt.Errorf("%w: the range must consist of whole blocks of the unit", ErrUsage)
	}
	r.report.Range = fmt.Sprintf("blocks %d to %d of %d", r.lba, r.lba+r.span-1, r.blocks)
	var err error
	if r.saved, err = r.readRange(ctx, u); err != nil {
		return fmt.Errorf("reading %s: %w", r.report.Range, err)
	}
	return nil
}

// minSpan is what the cases need.
const minSpan = 128

// sweep removes registrations of ours, whichever run made them, and says who
// else has registered meanwhile: the run must not go on then.
func (r *runner) sweep(ctx context.Context) error {
	if r.noPR != "" {
		return nil
	}
	u, err := r.keeper(ctx)
	if err != nil {
		return err
	}
	k, err := u.ReadKeys(ctx)
	if res, ended := initiator.AsStatus(err); ended && res.Status == initiator.ReservationConflict {
		return fmt.Errorf("the unit is taken by RESERVE and not given back")
	} else if err != nil {
		return r.sweepBlind(ctx, u)
	}
	var mine, others []uint64
	for _, key := range k.Keys {
		if ours(key) {
			mine = append(mine, key)
		} else {
			others = append(others, key)
		}
	}
	own := r.key(0xffff)
	if len(mine) > 0 {
		if _, err := u.Run(ctx, registerIgnore(own)); err != nil {
			return fmt.Errorf("registrations %s cannot be removed: %w", keyNames(mine), err)
		}
		if len(others) == 0 {
			_, err = u.Run(ctx, clearAll(own))
		} else {
			err = r.preemptAll(ctx, u, own, mine)
		}
		if err != nil {
			return fmt.Errorf("registrations %s cannot be removed: %w", keyNames(mine), err)
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("others have registered meanwhile: %s", r.registrants(ctx, u, others))
	}
	return nil
}

// preemptAll removes our registrations and leaves the others' alone.
func (r *runner) preemptAll(ctx context.Context, u *initiator.Unit, own uint64, mine []uint64) error {
	for _, key := range mine {
		if key == own {
			continue
		}
		res, err := u.Do(ctx, preempt(own, key, writeExclusive))
		if err != nil {
			return err
		}
		if !good.ok(res) && !conflict.ok(res) { // a conflict: gone meanwhile
			return res.Err()
		}
	}
	if res, err := u.ReadReservation(ctx); err == nil && res.Held && res.Key == own {
		if _, err := u.Run(ctx, release(own, res.Type)); err != nil {
			return err
		}
	}
	_, err := u.Run(ctx, registerIgnore(0))
	return err
}

// sweepBlind clears where nothing can be read.
func (r *runner) sweepBlind(ctx context.Context, u *initiator.Unit) error {
	own := r.key(0xffff)
	for _, c := range []initiator.Cmd{registerIgnore(own), clearAll(own)} {
		if _, err := u.Do(ctx, c); err != nil {
			return err
		}
	}
	return nil
}
