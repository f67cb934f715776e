package initiator

import (
	"context"
	"errors"
	"fmt"
)

// Unit is one logical unit seen through a session. Its methods return a
// *StatusError for a command that did not end well; Do leaves that to the caller.
type Unit struct {
	S         *Session
	LUN       LUN
	BlockSize int // bytes; 512 until LoadCapacity
}

// Unit returns the logical unit with a small number.
func (s *Session) Unit(n uint16) *Unit {
	return &Unit{S: s, LUN: FlatLUN(n), BlockSize: 512}
}

// Do runs a command on the unit, whatever its status.
func (u *Unit) Do(ctx context.Context, c Cmd) (Response, error) {
	c.LUN = u.LUN
	return u.S.Do(ctx, c)
}

// Start sends a command to the unit without waiting for its end.
func (u *Unit) Start(ctx context.Context, c Cmd) (*Task, error) {
	c.LUN = u.LUN
	return u.S.Start(ctx, c)
}

// Run runs a command that should end well.
func (u *Unit) Run(ctx context.Context, c Cmd) (Response, error) {
	r, err := u.Do(ctx, c)
	if err == nil {
		err = r.Err()
	}
	return r, err
}

// AsStatus returns the response of a command that did not end well.
func AsStatus(err error) (Response, bool) {
	var se *StatusError
	if errors.As(err, &se) {
		return se.Response, true
	}
	return Response{}, false
}

// maxUnitAttentions is more than any target queues for one nexus.
const maxUnitAttentions = 32

// DrainUA sends TEST UNIT READY until no unit attention is left and returns those
// it saw, oldest first.
func (u *Unit) DrainUA(ctx context.Context) ([]ASC, error) {
	var seen []ASC
	for range maxUnitAttentions {
		r, err := u.Do(ctx, TestUnitReady())
		if err != nil {
			return seen, err
		}
		if r.Status != CheckCondition || r.Sense.Key != UnitAttention {
			return seen, nil
		}
		seen = append(seen, r.Sense.ASC)
	}
	return seen, fmt.Errorf("initiator: more than %d unit attentions", maxUnitAttentions)
}

// LoadCapacity learns the block size and returns the number of blocks.
func (u *Unit) LoadCapacity(ctx context.Context) (blocks uint64, err error) {
	c, err := u.ReadCapacity16(ctx)
	if err != nil {
		return 0, err
	}
	u.BlockSize = int(c.BlockSize)
	return c.Blocks, nil
}

// Read reads whole blocks.
func (u *Unit) Read(ctx context.Context, lba uint64, blocks uint32) ([]byte, error) {
	r, err := u.Run(ctx, Read16(lba, blocks, u.BlockSize, 0))
	return r.Data, err
}

// Write writes whole blocks.
func (u *Unit) Write(ctx context.Context, lba uint64, data []byte) error {
	_, err := u.Run(ctx, Write16(lba, data, u.BlockSize, 0))
	return err
}
