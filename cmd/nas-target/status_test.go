package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
)

// However many disks there are, the status is one screen: what is not well is on
// it, and what is left out is counted.
func TestStatusIsOneScreen(t *testing.T) {
	now := time.Date(2026, 11, 20, 14, 0, 0, 0, time.Local)
	o := admin.Overview{Version: "1.2.3", Started: now.Add(-time.Hour), Ready: true, Health: admin.HealthCritical, Sessions: 2, Portals: make([]admin.Portal, 2)}
	for i := range 100 {
		o.LUNs = append(o.LUNs, admin.LUN{LUN: uint16(i), Name: fmt.Sprintf("disk%d", i), Bytes: 1 << 30})
	}
	o.LUNs[77].Absent, o.LUNs[88].Failure = true, "a flush failed"
	o.Problems = []admin.Problem{
		{Severity: admin.Critical, Text: "disk77 cannot be opened: no such file or directory."},
		{Severity: admin.Warning, Text: "The iSNS server 192.0.2.1:3205 does not know what is served here: connection refused."},
		{Severity: admin.Info, Text: "CHAP may use MD5: who hears a login can try out secrets at great speed."},
	}
	o.Work = []admin.Work{{LUN: "disk99", Done: 1 << 30, Total: 4 << 30, Since: now.Add(-time.Minute)}}
	var b bytes.Buffer
	statusTable(&b, o, now)
	out := b.String()
	require.Less(t, strings.Count(out, "\n"), 25, out)
	require.Regexp(t, `(?m)^77 +disk77 .* NOT READY$`, out)
	require.Regexp(t, `(?m)^88 +disk88 .* FAILED$`, out)
	require.Contains(t, out, "and 88 more that are ok: nas-target lun list\n")
	require.Contains(t, out, "Preallocating disk99: 25%, 1 GiB of 4 GiB, since 13:59:00.\n")
	require.Contains(t, out, "iSNS")
	require.Contains(t, out, "MD5")
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len([]rune(line)), 81, line)
	}
}
