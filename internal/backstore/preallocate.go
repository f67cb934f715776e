package backstore

import "context"

// preallocateStep is how much is asked for at a time: some file systems write
// zeros, and somebody may be waiting to hear how far they are.
const preallocateStep = 1 << 30

type tellKey struct{}

// WithProgress has Open tell how far it is with what takes long, in bytes.
func WithProgress(ctx context.Context, tell func(done, total int64)) context.Context {
	return context.WithValue(ctx, tellKey{}, tell)
}

// preallocate takes the space from off to end, and tells of it if it takes more
// than one step.
func preallocate(ctx context.Context, sys Files, fd int, mode uint32, off, end int64) error {
	tell, _ := ctx.Value(tellKey{}).(func(done, total int64))
	if end-off <= preallocateStep {
		tell = nil
	}
	for at := off; at < end; {
		if tell != nil {
			tell(at-off, end-off)
		}
		n := min(end-at, preallocateStep)
		if err := sys.Fallocate(fd, mode, at, n); err != nil {
			return err
		}
		at += n
	}
	if tell != nil {
		tell(end-off, end-off)
	}
	return nil
}
