package admin

import (
	"context"
	"errors"
)

// Control is all the API may ask of a running daemon. Its methods are safe for
// concurrent use; what they return is the caller's.
type Control interface {
	// Status is a picture of everything, taken now. It does not wait for I/O.
	Status(context.Context) Status

	// Past returns what the LUNs did in the last minutes.
	Past(context.Context) []Past

	// History returns entries of the audit trail, newest first.
	History(context.Context, HistoryQuery) (History, error)

	// Apply makes a change, or fails with an error that wraps one of those
	// below and changes nothing. ifVersion is the Version of the resource that
	// the change is about, as its sender knows it; "" stands for any. ActorOf
	// tells who asks.
	Apply(ctx context.Context, ifVersion string, c Change) error
}

// Change is one of the types below.
type Change interface{ change() }

type (
	// KillSession ends a session: its connections are closed, its commands
	// aborted. The initiator may log in again.
	KillSession struct{ ID string }

	// ClearReservations removes every registration and the reservation of a
	// LUN, lost information included: every initiator may write.
	ClearReservations struct{ LUN string }

	// ClearFailure lets a LUN take writes again after a flush failed.
	ClearFailure struct{ LUN string }

	// Resize gives a LUN another size and tells its initiators. It only grows.
	Resize struct {
		LUN   string
		Bytes int64
	}

	// RetryLUN opens a LUN that could not be opened.
	RetryLUN struct{ LUN string }

	// SetLogLevel lets the daemon log more or less until it ends.
	SetLogLevel struct{ Level string }
)

func (KillSession) change()       {}
func (ClearReservations) change() {}
func (ClearFailure) change()      {}
func (Resize) change()            {}
func (RetryLUN) change()          {}
func (SetLogLevel) change()       {}

// What Apply may fail with. The API answers 404, 412 and 409.
var (
	ErrNotFound = errors.New("not found")
	ErrStale    = errors.New("it changed meanwhile")
	ErrRefused  = errors.New("refused")
)

type actorKey struct{}

// withActor notes who asks.
func withActor(ctx context.Context, who string) context.Context {
	return context.WithValue(ctx, actorKey{}, who)
}

// ActorOf returns who asks, in words: "uid 0" on the socket, "token from
// 192.0.2.1" on the web.
func ActorOf(ctx context.Context) string {
	who, _ := ctx.Value(actorKey{}).(string)
	return who
}
