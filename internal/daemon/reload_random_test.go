package daemon

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/config"
	"nas-target/internal/initiator"
)

var applies = flag.Int("applies", 20, "configurations to apply under load")

// draft is a configuration that changes at random. Its sessions see the first
// eight LUNs, one each, which stay as they are; everything else comes and goes.
type draft struct {
	rng    *rand.Rand
	extra  map[int]int  // LUN ▸ MiB, of those beyond the eight
	tuned  map[int]bool // read-only
	port1  bool
	group2 bool
	guests int
	second bool
}

const steady = 8

func (d *draft) text() string {
	var b strings.Builder
	b.WriteString("portals:\n  - {group: 1, listen: [\"PORT0\"")
	if d.port1 {
		b.WriteString(`, "PORT1"`)
	}
	b.WriteString("]}\n")
	if d.group2 {
		b.WriteString("  - {group: 2, listen: [\"PORT2\"]}\n")
	}
	fmt.Fprintf(&b, "targets:\n  - name: %s\n    initiators:\n", testTarget)
	for i := range steady {
		fmt.Fprintf(&b, "      - {name: iqn.2026-11.test:n%d, luns: [%d]}\n", i, i)
	}
	for i := range d.guests {
		fmt.Fprintf(&b, "      - {name: iqn.2026-11.test:guest%d}\n", i)
	}
	b.WriteString("    luns:\n")
	for i := range steady {
		fmt.Fprintf(&b, "      - {lun: %d, name: disk%d, size: 1MiB}\n", i, i)
	}
	for i := steady; i < 2*steady; i++ {
		if d.extra[i] > 0 {
			fmt.Fprintf(&b, "      - {lun: %d, name: disk%d, size: %dMiB, read_only: %v}\n", i, i, d.extra[i], d.tuned[i])
		}
	}
	if d.second {
		b.WriteString("  - name: iqn.2026-11.test.daemon:second\n    luns: [{lun: 0, name: other, backstore: ram, size: 1MiB}]\n")
	}
	return b.String()
}

// step makes one valid change.
func (d *draft) step() {
	i := steady + d.rng.IntN(steady)
	switch d.rng.IntN(7) {
	case 0, 1:
		if d.extra[i] > 0 {
			delete(d.extra, i)
		} else {
			d.extra[i] = 8 // as large as it may ever have been
		}
	case 2:
		d.tuned[i] = !d.tuned[i]
	case 3:
		d.port1 = !d.port1
	case 4:
		d.group2 = !d.group2
	case 5:
		d.guests = d.rng.IntN(4)
	case 6:
		d.second = !d.second
	}
}

// spoiled is the configuration with a few good changes and one mistake.
func (d *draft) spoiled() string {
	bad := draft{rng: d.rng, extra: map[int]int{}, tuned: map[int]bool{}, port1: d.port1, group2: d.group2, guests: d.guests, second: d.second}
	for i, n := range d.extra {
		bad.extra[i] = n
	}
	bad.step()
	text := bad.text()
	mistakes := []func() string{
		func() string { return text + "portal: []\n" },
		func() string { return text[:len(text)-d.rng.IntN(len(text)/2)-2] + "\n  [" },
		func() string { return strings.Replace(text, "name: disk0, size: 1MiB", "name: disk0, size: 512KiB", 1) },
		func() string { return strings.Replace(text, "name: disk1,", "name: disk0,", 1) },
		func() string {
			return strings.Replace(text, "    luns:\n", "    luns:\n      - {lun: 99, name: nowhere, size: 1MiB, path: /nonexistent/disk}\n", 1)
		},
		func() string { return strings.Replace(text, `["PORT0"`, `["PORT0", "192.0.2.1:3260"`, 1) },
		func() string { return strings.Replace(text, "luns: [0]", "luns: [0], chap: {user: nobody}", 1) },
		func() string { return strings.Replace(text, "luns: [3]", "luns: [77]", 1) },
	}
	return mistakes[d.rng.IntN(len(mistakes))]()
}

// writer writes to and reads from one LUN until told to stop. Any error, any
// unit attention and any wrong byte is a failure.
func writer(ctx context.Context, u *initiator.Unit, n int) (rounds int, err error) {
	pace := time.NewTicker(time.Millisecond) // leaves the machine some time for the changes
	defer pace.Stop()
	for i := uint64(1); ctx.Err() == nil; i++ {
		<-pace.C
		block := bytes.Repeat(binary.BigEndian.AppendUint64(nil, i<<8|uint64(n)), 512/8)
		lba := i % 2048
		if err := u.Write(context.Background(), lba, block); err != nil {
			return rounds, fmt.Errorf("node %d, write %d: %w", n, i, err)
		}
		got, err := u.Read(context.Background(), lba, 1)
		if err != nil {
			return rounds, fmt.Errorf("node %d, read %d: %w", n, i, err)
		}
		if !bytes.Equal(block, got) {
			return rounds, fmt.Errorf("node %d: block %d is not what was written", n, lba)
		}
		rounds++
	}
	return rounds, nil
}

// Valid and invalid configurations, one after the other, while eight sessions
// write and read: none of them notices, and what runs is always the last good
// one.
func TestRandomApplies(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d := &draft{rng: rand.New(rand.NewPCG(seed, 0)), extra: map[int]int{}, tuned: map[int]bool{}}
	o := operate(t, d.text())
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	errs, rounds := make([]error, steady), make([]int, steady)
	for i := range steady {
		_, u := o.unit(fmt.Sprintf("n%d", i), 0, uint16(i))
		wg.Go(func() { rounds[i], errs[i] = writer(ctx, u, i) })
	}
	good := d.text()
	granted, refused := 0, 0
	for range *applies {
		if d.rng.IntN(3) == 0 {
			text := d.spoiled()
			err := o.apply(text)
			require.ErrorIs(t, err, admin.ErrRefused, "%s", text)
			refused++
		} else {
			for range 1 + d.rng.IntN(3) {
				d.step()
			}
			good = d.text()
			require.NoError(t, o.apply(good), "%s", good)
			granted++
		}
		o.requireRuns(good)
		require.NoError(t, errors.Join(errs...))
	}
	stop()
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	for i, n := range rounds {
		require.NotZero(t, n, "node %d", i)
	}
	t.Logf("%d applied, %d refused, %d rounds of node 0 meanwhile", granted, refused, rounds[0])
	require.NotZero(t, granted)
	require.NotZero(t, refused)
	// A restart with the last good file comes to the same.
	require.NoError(t, os.WriteFile(o.file, []byte(o.text(good)), 0o600))
	stopTest(t, o.Daemon)
	o.start()
	o.requireRuns(good)
}

// requireRuns compares what the daemon says, shows and listens at with a
// configuration.
func (o *operated) requireRuns(text string) {
	o.t.Helper()
	want, err := config.Parse(o.file, []byte(o.text(text)))
	require.NoError(o.t, err)
	yaml, err := config.YAML(want)
	require.NoError(o.t, err)
	now, err := o.client.Config(o.t.Context())
	require.NoError(o.t, err)
	require.Equal(o.t, string(yaml), now.Text())

	targets, err := o.client.Targets(o.t.Context())
	require.NoError(o.t, err)
	require.Len(o.t, targets, len(want.Targets))
	for i, x := range want.Targets {
		require.Equal(o.t, x.Name, targets[i].Name)
		require.Len(o.t, targets[i].LUNs, len(x.LUNs))
		for j, l := range x.LUNs {
			is := targets[i].LUNs[j]
			require.Equal(o.t, []any{l.Name, l.LUN, l.ReadOnly, sizeIn(l.Options), ""}, []any{is.Name, is.LUN, is.ReadOnly, is.Bytes, is.Failure})
		}
		d := o.now.Load().targets[i]
		require.Len(o.t, d.view.Load().luns, len(x.LUNs))
		require.Len(o.t, d.device.Ports(), len(want.Portals))
	}
	portals := portalsOf(want)
	open, err := o.client.Portals(o.t.Context())
	require.NoError(o.t, err)
	require.Len(o.t, open, len(portals))
	for i := range o.ports {
		configured := strings.Contains(string(yaml), o.ports[i])
		require.Equal(o.t, configured, o.server.Addr(o.ports[i]) != nil, "PORT%d", i)
	}
}
