package verify

import (
	"bytes"
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
)

// hostile is a report about a target whose names are markup.
func hostile() *Report {
	const name = `</script><script>alert("x")</script>` + "\x1b[31m"
	r := &Report{Began: time.Unix(1795400000, 0), Suites: map[string]Count{}, Target: Target{
		URLs: []string{"iscsi://" + name}, Name: name, Vendor: name, Product: name, Designators: []string{`"><img src=x onerror=alert(1)>`},
	}, Notes: []string{name}}
	r.add(Result{ID: "pr.a", Suite: "pr", Title: "A", Clause: "C", Level: Required, Expected: "E", Verdict: Fail, Reason: name,
		Steps: []Step{{Nexus: "A", Did: name, Got: name, Want: "GOOD", Wrong: true}, {Did: "a remark"}}})
	r.add(Result{ID: "pr.b", Suite: "pr", Level: Required, Verdict: Pass})
	r.add(Result{ID: "scsi.c", Suite: "scsi", Level: Recommended, Verdict: Fail, Reason: "R"})
	r.add(Result{ID: "scsi.d", Suite: "scsi", Level: Required, Verdict: Errored, Reason: "R"})
	r.add(Result{ID: "scsi.e", Suite: "scsi", Level: Required, Verdict: Skipped, Reason: "R"})
	return r
}

// What a target calls itself stays text.
func TestHTMLIsInert(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, hostile().HTML(&b))
	page := b.String()
	require.NotContains(t, page, "<script")
	require.NotContains(t, page, "<img")
	require.Contains(t, page, "&lt;/script&gt;")
	require.Contains(t, page, "default-src 'none'")
	require.Contains(t, page, `<span class="v fail">fail</span><code>pr.a</code>`)
	require.Contains(t, page, "a remark")
	require.Contains(t, page, "1 passed, 1 failed, 0 not judged, 0 skipped")
}

// JUnit knows failures, errors and skipped tests; what is not required fails
// nobody's build.
func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, hostile().JUnit(&b))
	var all junitSuites
	require.NoError(t, xml.Unmarshal(b.Bytes(), &all), b.String())
	require.Equal(t, []int{5, 1, 1, 2}, []int{all.Tests, all.Failures, all.Errors, all.Skipped})
	require.Len(t, all.Suites, 2)
	require.Equal(t, "pr.a", all.Suites[0].Cases[0].Name)
	require.Contains(t, all.Suites[0].Cases[0].Failure.Text, "must be GOOD")
	require.Nil(t, all.Suites[0].Cases[1].Failure)
	require.Contains(t, all.Suites[1].Cases[0].Skipped.Message, "recommended")
	require.NotContains(t, b.String(), "\x1b")
}

func TestReportOK(t *testing.T) {
	r := hostile()
	require.Equal(t, Count{Pass: 1, Fail: 1, Error: 1, Skipped: 1}, r.Required)
	require.Equal(t, Count{Fail: 1}, r.Rest)
	require.False(t, r.OK())
	r.Required = Count{Pass: 1, Skipped: 9}
	require.True(t, r.OK(), "neither what is recommended nor what was skipped is a failure")
	r.Stopped = "interrupted"
	require.False(t, r.OK())
}

func TestSelect(t *testing.T) {
	ids := func(suite, profile, globs []string) string {
		cases, err := Select(suite, profile, globs)
		require.NoError(t, err)
		var list []string
		for _, c := range cases {
			list = append(list, c.ID)
		}
		return strings.Join(list, " ")
	}
	everything := ids(nil, nil, nil)
	require.NotContains(t, everything, "esxi.", "a profile is asked for")
	require.Contains(t, ids(nil, []string{"esxi"}, nil), "esxi.lock")
	require.NotContains(t, ids(nil, []string{"esxi"}, nil), "pr.clear")
	require.Equal(t, "pr.clear", ids(nil, nil, []string{"pr.cl*"}))
	require.Equal(t, "esxi.lock", ids(nil, nil, []string{"esxi.lock"}), "a glob finds the cases of profiles, too")
	require.Equal(t, "iscsi.nop.echo pr.clear iscsi.pdu.rules", ids(nil, nil, []string{"pr.clear", "iscsi.pdu.rules", "iscsi.nop.echo"}), "what judges the others comes last")
	for _, bad := range [][3][]string{{{"x"}, nil, nil}, {nil, {"x"}, nil}, {nil, nil, {"x"}}, {nil, nil, {"["}}, {{"scsi"}, nil, {"pr.clear"}}} {
		_, err := Select(bad[0], bad[1], bad[2])
		require.Error(t, err, bad)
	}
}

// Every case says what it asks, and where the answer stands.
func TestCasesAreDescribed(t *testing.T) {
	for _, c := range Cases() {
		require.Regexp(t, `^[a-z-]+(\.[a-z0-9-]+)+$`, c.ID)
		require.NotEmpty(t, c.Title, c.ID)
		require.NotEmpty(t, c.Demand, c.ID)
		require.Regexp(t, `RFC 71|SPC-|SBC-|SAM-|MS-CSVP`, c.Clause, c.ID)
		require.Contains(t, []Level{Required, Recommended, Optional}, c.Level, c.ID)
		require.NotNil(t, c.run, c.ID)
		require.True(t, !c.data || c.Destructive, "%s writes", c.ID)
		require.True(t, !c.Restart || c.Destructive, "%s restarts the target", c.ID)
	}
}

func TestCommandsInWords(t *testing.T) {
	key := uint64(keyPrefix)<<32 | 7<<16
	id := initiator.TransportID{Name: "iqn.a:b", ISID: [6]byte{0x80, 0, 0, 0, 0, 1}, HasISID: true}
	for want, c := range map[string]initiator.Cmd{
		"TEST UNIT READY":                                               initiator.TestUnitReady(),
		"READ (10) LBA 5, 2 blocks":                                     initiator.Read10(5, 2, 512, 0),
		"WRITE (16) LBA 5, 1 blocks, byte 1 08h":                        initiator.Write16(5, make([]byte, 512), 512, initiator.FUA),
		"COMPARE AND WRITE LBA 9, 1 blocks":                             initiator.CompareAndWrite(9, make([]byte, 512), make([]byte, 512), 512, 0),
		"INQUIRY page 83h":                                              initiator.InquiryVPD(0x83, 255),
		"READ CAPACITY (16), allocation length 32":                      initiator.ReadCapacity16(32),
		"PERSISTENT RESERVE IN READ KEYS, allocation length 8":          initiator.PRIn(0, 8),
		"PERSISTENT RESERVE IN service action 1Fh, allocation length 8": initiator.PRIn(0x1f, 8),
		"PERSISTENT RESERVE OUT PREEMPT, Write Exclusive, key K1, service action key 0x00000000000000a1": preempt(key|1, 0xa1, writeExclusive),
		"PERSISTENT RESERVE OUT REGISTER, key 0, service action key K1, SPEC_I_PT, APTPL with iqn.a:b,i,0x800000000001": out(0, 0,
			initiator.PRParams{ServiceKey: key | 1, APTPL: true, SpecIPT: []initiator.TransportID{id}}),
		"PERSISTENT RESERVE OUT REGISTER AND MOVE, key K1, service action key K2, UNREG, to relative port 3 of iqn.a:b,i,0x800000000001": move(
			initiator.PRMove{Key: key | 1, ServiceKey: key | 2, Unregister: true, RelativePort: 3, Destination: id}),
		"PERSISTENT RESERVE OUT REGISTER, parameter list of 8 bytes": initiator.PROut(0, 0, 0, make([]byte, 8)),
		"opcode FFh (CDB ff0000000000)":                              initiator.NoData(0xff, 0, 0, 0, 0, 0),
		"an empty CDB":                                               {},
	} {
		require.Equal(t, want, describe(c))
	}
	require.Equal(t, "RESERVATION CONFLICT", answer(initiator.Response{Status: initiator.ReservationConflict}))
	require.Equal(t, "CHECK CONDITION 5/26/04 (ILLEGAL REQUEST, invalid release of persistent reservation)", answer(initiator.Response{
		Status: initiator.CheckCondition, SenseData: []byte{1}, Sense: initiator.Sense{Key: initiator.IllegalRequest, ASC: initiator.ASCInvalidRelease}}))
}
