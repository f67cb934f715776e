package initiator

import (
	"context"
	"encoding/binary"
)

// PRType is a persistent reservation type. SPC-4 r36f 6.15.3.3.
type PRType uint8

// Reservation types.
const (
	WriteExclusive                PRType = 1
	ExclusiveAccess               PRType = 3
	WriteExclusiveRegistrantsOnly PRType = 5
	ExclusiveAccessRegistrants    PRType = 6
	WriteExclusiveAllRegistrants  PRType = 7
	ExclusiveAccessAllRegistrants PRType = 8
)

// PRInAction is a service action of PERSISTENT RESERVE IN. SPC-4 r36f 6.15.
type PRInAction uint8

// Service actions of PERSISTENT RESERVE IN.
const (
	PRReadKeys           PRInAction = 0
	PRReadReservation    PRInAction = 1
	PRReportCapabilities PRInAction = 2
	PRReadFullStatus     PRInAction = 3
)

// PROutAction is a service action of PERSISTENT RESERVE OUT. SPC-4 r36f 6.16.
type PROutAction uint8

// Service actions of PERSISTENT RESERVE OUT.
const (
	PRRegister          PROutAction = 0
	PRReserve           PROutAction = 1
	PRRelease           PROutAction = 2
	PRClear             PROutAction = 3
	PRPreempt           PROutAction = 4
	PRPreemptAndAbort   PROutAction = 5
	PRRegisterAndIgnore PROutAction = 6
	PRRegisterAndMove   PROutAction = 7
	PRReplaceLost       PROutAction = 8
)

// PRIn is PERSISTENT RESERVE IN.
func PRIn(sa PRInAction, alloc uint16) Cmd {
	c := make([]byte, 10)
	c[0], c[1] = 0x5e, byte(sa&0x1f)
	binary.BigEndian.PutUint16(c[7:], alloc)
	return dataIn(int(alloc), c)
}

// PROut is PERSISTENT RESERVE OUT with a parameter list of the caller's making.
func PROut(sa PROutAction, scope uint8, t PRType, list []byte) Cmd {
	c := make([]byte, 10)
	c[0], c[1], c[2] = 0x5f, byte(sa&0x1f), scope<<4|byte(t&0x0f)
	binary.BigEndian.PutUint32(c[5:], uint32(len(list)))
	return dataOut(list, c)
}

// PRParams is the basic parameter list. SPC-4 r36f 6.16.3.
type PRParams struct {
	Key        uint64 // RESERVATION KEY
	ServiceKey uint64 // SERVICE ACTION RESERVATION KEY
	APTPL      bool
	AllPorts   bool // ALL_TG_PT
	// SpecIPT registers the listed initiator ports too (SPEC_I_PT).
	SpecIPT []TransportID
}

// Marshal encodes the list.
func (p PRParams) Marshal() []byte {
	b := make([]byte, 24)
	binary.BigEndian.PutUint64(b[0:], p.Key)
	binary.BigEndian.PutUint64(b[8:], p.ServiceKey)
	b[20] = bit(len(p.SpecIPT) > 0, 3) | bit(p.AllPorts, 2) | bit(p.APTPL, 0)
	if len(p.SpecIPT) == 0 {
		return b
	}
	b = append(b, 0, 0, 0, 0)
	for _, id := range p.SpecIPT {
		b = append(b, id.Marshal()...)
	}
	binary.BigEndian.PutUint32(b[24:], uint32(len(b)-28))
	return b
}

// PRMove is the parameter list of REGISTER AND MOVE. SPC-4 r36f 6.16.4.
type PRMove struct {
	Key, ServiceKey uint64
	Unregister      bool
	APTPL           bool
	RelativePort    uint16
	Destination     TransportID
}

// Marshal encodes the list.
func (p PRMove) Marshal() []byte {
	b := make([]byte, 24)
	binary.BigEndian.PutUint64(b[0:], p.Key)
	binary.BigEndian.PutUint64(b[8:], p.ServiceKey)
	b[17] = bit(p.Unregister, 1) | bit(p.APTPL, 0)
	binary.BigEndian.PutUint16(b[18:], p.RelativePort)
	id := p.Destination.Marshal()
	binary.BigEndian.PutUint32(b[20:], uint32(len(id)))
	return append(b, id...)
}

func (u *Unit) prOut(ctx context.Context, sa PROutAction, t PRType, p PRParams) error {
	_, err := u.Run(ctx, PROut(sa, 0, t, p.Marshal()))
	return err
}

// Register replaces the key of this nexus; old 0 registers, new 0 unregisters.
func (u *Unit) Register(ctx context.Context, old, new uint64) error {
	return u.prOut(ctx, PRRegister, 0, PRParams{Key: old, ServiceKey: new})
}

// RegisterWith is Register with every parameter in the caller's hands.
func (u *Unit) RegisterWith(ctx context.Context, p PRParams) error {
	return u.prOut(ctx, PRRegister, 0, p)
}

// RegisterAndIgnore registers whatever key was there; 0 unregisters.
func (u *Unit) RegisterAndIgnore(ctx context.Context, key uint64, aptpl bool) error {
	return u.prOut(ctx, PRRegisterAndIgnore, 0, PRParams{ServiceKey: key, APTPL: aptpl})
}

// Reserve takes a reservation.
func (u *Unit) Reserve(ctx context.Context, key uint64, t PRType) error {
	return u.prOut(ctx, PRReserve, t, PRParams{Key: key})
}

// Release gives a reservation up.
func (u *Unit) Release(ctx context.Context, key uint64, t PRType) error {
	return u.prOut(ctx, PRRelease, t, PRParams{Key: key})
}

// Clear removes the reservation and all registrations.
func (u *Unit) Clear(ctx context.Context, key uint64) error {
	return u.prOut(ctx, PRClear, 0, PRParams{Key: key})
}

// Preempt removes the registrations of a key, and its reservation.
func (u *Unit) Preempt(ctx context.Context, key, victim uint64, t PRType) error {
	return u.prOut(ctx, PRPreempt, t, PRParams{Key: key, ServiceKey: victim})
}

// PreemptAndAbort is Preempt that also aborts the victim's commands.
func (u *Unit) PreemptAndAbort(ctx context.Context, key, victim uint64, t PRType) error {
	return u.prOut(ctx, PRPreemptAndAbort, t, PRParams{Key: key, ServiceKey: victim})
}

// Move is REGISTER AND MOVE.
func (u *Unit) Move(ctx context.Context, m PRMove) error {
	_, err := u.Run(ctx, PROut(PRRegisterAndMove, 0, 0, m.Marshal()))
	return err
}

// ReplaceLost is REPLACE LOST RESERVATION.
func (u *Unit) ReplaceLost(ctx context.Context, key uint64, t PRType, aptpl bool) error {
	return u.prOut(ctx, PRReplaceLost, t, PRParams{ServiceKey: key, APTPL: aptpl})
}

// Reserve6 and its three companions are the reservations of SPC-2.
func Reserve6() Cmd { return NoData(0x16, 0, 0, 0, 0, 0) }

// Release6 is RELEASE (6).
func Release6() Cmd { return NoData(0x17, 0, 0, 0, 0, 0) }

// Reserve10 is RESERVE (10).
func Reserve10() Cmd { return NoData(0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0) }

// Release10 is RELEASE (10).
func Release10() Cmd { return NoData(0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0) }
