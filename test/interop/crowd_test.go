package interop

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
)

// Sixty-four sessions at once: half of them ours, each writing a region of its
// own and reading its neighbour's, while libiscsi's tools come and go.
func TestManySessionsAtOnce(t *testing.T) {
	const (
		sessions = 32
		tools    = 32
		region   = 2 * mib
		chunk    = 128 << 10
	)
	tgt := start(t, sessions*region)
	units := make([]*initiator.Unit, sessions)
	for i := range units {
		s, u := login(t, tgt, fmt.Sprintf("iqn.2026-11.test.interop:crowd-%d", i))
		defer func() { require.NoError(t, s.Logout(t.Context())) }()
		units[i] = u
	}

	var wg sync.WaitGroup
	problems := make(chan error, sessions+tools)
	for i, u := range units {
		wg.Go(func() { problems <- writeRegion(t.Context(), u, i, region, chunk) })
	}
	for range tools {
		wg.Go(func() {
			for range 4 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				out, err := exec.CommandContext(ctx, "iscsi-readcapacity16", tgt.URL()).CombinedOutput()
				cancel()
				if err == nil && !bytes.Contains(out, []byte(fmt.Sprintf("Total size:%d", sessions*region))) {
					err = fmt.Errorf("wrong answer")
				}
				if err != nil {
					problems <- fmt.Errorf("iscsi-readcapacity16: %w: %s", err, out)
					return
				}
			}
			problems <- nil
		})
	}
	wg.Wait()
	for range sessions + tools {
		require.NoError(t, <-problems)
	}

	for i, u := range units {
		wg.Go(func() { problems <- checkRegion(t.Context(), u, (i+1)%sessions, region, chunk) })
	}
	wg.Wait()
	for range sessions {
		require.NoError(t, <-problems)
	}
}

// stamp fills a block-aligned buffer so that each block says whose it is and
// where it belongs.
func stamp(owner, offset int64, n int) []byte {
	b := make([]byte, n)
	for i := 0; i < n; i += 512 {
		copy(b[i:], fmt.Sprintf("owner %d offset %d ", owner, offset+int64(i)))
		for j := i + 64; j < i+512; j++ {
			b[j] = byte(owner*31 + offset/512 + int64(i/512) + int64(j))
		}
	}
	return b
}

func writeRegion(ctx context.Context, u *initiator.Unit, owner int, region, chunk int) error {
	for off := 0; off < region; off += chunk {
		at := int64(owner*region + off)
		if err := u.Write(ctx, uint64(at/512), stamp(int64(owner), at, chunk)); err != nil {
			return fmt.Errorf("session %d: write at %d: %w", owner, at, err)
		}
	}
	return nil
}

func checkRegion(ctx context.Context, u *initiator.Unit, owner int, region, chunk int) error {
	for off := 0; off < region; off += chunk {
		at := int64(owner*region + off)
		got, err := u.Read(ctx, uint64(at/512), uint32(chunk/512))
		if err != nil {
			return fmt.Errorf("region %d: read at %d: %w", owner, at, err)
		}
		if !bytes.Equal(got, stamp(int64(owner), at, chunk)) {
			return fmt.Errorf("region %d: wrong data at %d", owner, at)
		}
	}
	return nil
}
