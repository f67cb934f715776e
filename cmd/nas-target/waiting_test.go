package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
)

// A pipe gets a line every five seconds, a terminal a bar that moves; what does
// not take long says nothing.
func TestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		work := func(context.Context) ([]admin.Work, error) {
			done := int64(time.Since(start)/time.Second) << 30
			return []admin.Work{{LUN: "csv", What: "preallocate", Done: done, Total: 16 << 30}}, nil
		}
		failed := errors.New("the disk is full")
		var out bytes.Buffer
		x := newWaiting(&out)
		require.Equal(t, failed, x.while(t.Context(), work, func() error { time.Sleep(12 * time.Second); return failed }))
		require.Equal(t, "preallocating   0%  0 B of 16 GiB for csv\npreallocating  31%  5 GiB of 16 GiB for csv\npreallocating  62%  10 GiB of 16 GiB for csv\n", out.String())

		out.Reset()
		start = time.Now()
		x = newWaiting(&out)
		x.terminal, x.every = true, 0
		require.NoError(t, x.while(t.Context(), work, func() error { time.Sleep(8200 * time.Millisecond); return nil }))
		require.Contains(t, out.String(), "\r\x1b[K[===============               ]  50%  8 GiB of 16 GiB for csv")
		require.True(t, bytes.HasSuffix(out.Bytes(), []byte("\r\x1b[K")), "the bar is gone at the end")

		out.Reset()
		none := func(context.Context) ([]admin.Work, error) { return nil, nil }
		require.NoError(t, newWaiting(&out).while(t.Context(), none, func() error { time.Sleep(time.Minute); return nil }))
		require.Empty(t, out.String())
	})
}
