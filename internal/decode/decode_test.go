package decode_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/decode"
	"nas-target/internal/iscsi/pdu"
)

// sample is a capture of the scene, for the command's tests and the guides.
// UPDATE=1 takes it anew.
const sample = "testdata/session.pcap"

func texts(all []decode.Field) string { return decode.Words(all) }

// find returns the records that have a word in their name or command.
func find(all []*decode.Record, word string) []*decode.Record {
	return slices.DeleteFunc(slices.Clone(all), func(r *decode.Record) bool {
		return !strings.Contains(r.PDU+": "+r.Command, word)
	})
}

func complaints(all []*decode.Record) []string {
	var c []string
	for _, r := range all {
		for _, x := range r.Complaints {
			c = append(c, r.PDU+": "+x)
		}
	}
	return c
}

// A whole session of our own initiator with our own daemon has nothing to
// complain of, however it is cut into segments and in whatever order they come.
func TestSession(t *testing.T) {
	addr := startDaemon(t)
	for _, digests := range []string{"CRC32C", "None"} {
		w := scene(t, addr, digests)
		whole := packets(w, 1460)
		if os.Getenv("UPDATE") != "" && digests == "CRC32C" {
			require.NoError(t, os.WriteFile(sample, pcap(whole), 0o644))
		}
		first := read(t, pcap(whole), decode.Options{})
		require.Empty(t, complaints(first))
		require.Len(t, find(first, "Login Request"), 4)
		require.Len(t, find(first, "R2T: WRITE(16)"), 3)
		require.Equal(t, "key 0x00000000000000a1", texts(find(first, "Data-In: PERSISTENT RESERVE IN/READ KEYS")[0].Parameters[1:]))
		reserve := find(first, "SCSI Command: PERSISTENT RESERVE OUT/RESERVE")[0]
		require.Equal(t, "list 24 bytes, scope 0, type write-exclusive-registrants-only", texts(reserve.CDBFields))
		require.Equal(t, "reservation key 0x00000000000000a1, service action key 0x0000000000000000", texts(reserve.Parameters))
		require.Equal(t, "5/21/00 (ILLEGAL REQUEST) info=0x40000000: LBA out of range", find(first, "SCSI Response: WRITE(16)")[1].Sense)
		require.Contains(t, texts(find(first, "READ FULL STATUS")[1].Parameters), testNode+",i,0x800102030405 key 0x00000000000000a1, holds write-exclusive-registrants-only")
		read16 := find(first, "Data-In: READ(16)")[0]
		require.Equal(t, 8192, read16.Data)
		require.InDelta(t, 0.001, read16.Took, 1e-9)
		require.Equal(t, time.Unix(began, 1e6).UTC(), first[0].Time.UTC())

		timeless := func(all []*decode.Record) string {
			var b strings.Builder
			for _, r := range all {
				x := *r
				x.Time, x.Took = time.Time{}, 0
				text, err := json.Marshal(x)
				require.NoError(t, err)
				fmt.Fprintf(&b, "%s\n", text)
			}
			return b.String()
		}
		same := func(what string, data []byte) {
			t.Helper()
			require.Equal(t, timeless(first), timeless(read(t, data, decode.Options{})), what)
		}
		same("small segments", pcap(packets(w, 97)))
		same("large segments", pcap(packets(w, 60000)))
		same("pcapng", pcapng(whole))
		twice := slices.Clone(whole)
		for i := len(twice) - 2; i > 4; i -= 3 {
			twice = slices.Insert(twice, i+1, twice[i-2])
		}
		same("some of them again", pcap(twice))
		swapped := slices.Clone(whole)
		side := func(p packet) byte { return p.frame[26+3] } // the last byte of the source address
		for i := 3; i+1 < len(swapped)-2; i += 2 {
			if side(swapped[i]) == side(swapped[i+1]) && swapped[i].ms == swapped[i+1].ms {
				swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			}
		}
		require.NotEqual(t, whole, swapped)
		same("out of order", pcap(swapped))
	}
}

// What proves an identity and what users write stay out of sight.
func TestSecretsAreNotShown(t *testing.T) {
	w := scene(t, startDaemon(t), "None")
	all := read(t, pcap(packets(w, 1460)), decode.Options{})
	text, err := json.Marshal(all)
	require.NoError(t, err)
	var stream []byte
	for _, p := range w.pieces {
		stream = append(stream, p.data...)
	}
	hidden := 0
	for _, key := range []string{"CHAP_R=", "CHAP_C="} {
		for rest := stream; ; {
			_, after, ok := bytes.Cut(rest, []byte(key))
			if !ok {
				break
			}
			value, _, _ := bytes.Cut(after, []byte{0})
			require.Greater(t, len(value), 16)
			require.NotContains(t, string(text), string(value))
			require.NotContains(t, strings.ToLower(string(text)), strings.ToLower(strings.TrimPrefix(string(value), "0x")))
			rest = after
			hidden++
		}
	}
	require.Equal(t, 4, hidden, "challenge and response, both ways")
	require.Equal(t, 4, strings.Count(string(text), `"***"`))
	for _, word := range []string{canary, canary2, "payload", hex.EncodeToString([]byte("payload"))} {
		require.NotContains(t, string(text), word)
	}
}

// frames are PDUs in hexadecimal text.
func frames(d pdu.Digests, all ...func() (pdu.PDU, []byte)) string {
	var out string
	for _, f := range all {
		p, data := f()
		var h pdu.BHS
		p.Encode(&h)
		h[5], h[6], h[7] = byte(len(data)>>16), byte(len(data)>>8), byte(len(data))
		out += fmt.Sprintf("%x\n", pdu.AppendFrame(nil, &h, nil, data, d))
	}
	return out
}

func one(p pdu.PDU, data ...byte) func() (pdu.PDU, []byte) {
	return func() (pdu.PDU, []byte) { return p, data }
}

func command(sn uint32, itt uint32, edtl uint32, write bool, cdb string) *pdu.SCSICommand {
	c := &pdu.SCSICommand{Final: true, Read: !write && edtl > 0, Write: write, ITT: itt, EDTL: edtl, CmdSN: pdu.Serial(sn), ExpStatSN: 1}
	b, err := hex.DecodeString(cdb)
	if err != nil {
		panic(err)
	}
	copy(c.CDB[:], b)
	return c
}

func done(itt, statSN uint32) *pdu.SCSIResponse {
	return &pdu.SCSIResponse{ITT: itt, StatSN: pdu.Serial(statSN), ExpCmdSN: 20, MaxCmdSN: 30}
}

const read10 = "28000000000000000800"

// Each thing that can be wrong is said of the PDU that it is wrong with.
func TestComplaints(t *testing.T) {
	none := pdu.Digests{}
	login := one(&pdu.LoginRequest{Immediate: true, CmdSN: 10, ITT: 1})
	bad := func(s string, at int) string { // another hexadecimal digit
		other := "0"
		if s[at] == '0' {
			other = "1"
		}
		return s[:at] + other + s[at+1:]
	}
	both := pdu.Digests{Header: true, Data: true}
	withData := frames(both, one(&pdu.NOPOut{ITT: 5, TTT: pdu.ReservedTag, CmdSN: 1}, []byte("ping data")...))
	for name, x := range map[string]struct {
		text string
		o    decode.Options
		want []string
	}{
		"CmdSN jumps": {text: frames(none, login, one(command(10, 2, 0, false, "00")), one(command(13, 3, 0, false, "00"))),
			want: []string{"SCSI Command: CmdSN 13 where 11 was expected: 2 missing"}},
		"CmdSN again": {text: frames(none, login, one(command(10, 2, 0, false, "00")), one(command(10, 3, 0, false, "00"))),
			want: []string{"SCSI Command: CmdSN 10 again; the next one is 11"}},
		"CmdSN beyond the window": {text: frames(none, login, one(command(10, 2, 0, false, "00")), one(&pdu.SCSIResponse{ITT: 2, StatSN: 1, ExpCmdSN: 11, MaxCmdSN: 10}), one(command(11, 3, 0, false, "00"))),
			want: []string{"SCSI Command: CmdSN 11 is beyond the window, which ends at MaxCmdSN 10"}},
		"StatSN jumps": {text: frames(none, login, one(command(10, 2, 0, false, "00")), one(command(11, 3, 0, false, "00")), one(done(2, 7)), one(done(3, 9))),
			want: []string{"SCSI Response: StatSN 9 where 8 was expected: 1 missing"}},
		"StatSN again": {text: frames(none, login, one(command(10, 2, 0, false, "00")), one(command(11, 3, 0, false, "00")), one(done(2, 7)), one(done(3, 7))),
			want: []string{"SCSI Response: StatSN 7 again; the next one is 8"}},
		"a task that is not there": {text: frames(none, login, one(done(9, 1))), want: []string{"SCSI Response: ITT 0x00000009 is no command that is under way"}},
		"a tag in use": {text: frames(none, login, one(command(10, 2, 4096, false, read10)), one(command(11, 2, 0, false, "00"))),
			want: []string{"SCSI Command: ITT 0x00000002 is in use by READ(10)"}},
		"Data-In leaves a hole": {text: frames(none, login, one(command(10, 2, 4096, false, read10)),
			one(&pdu.DataIn{ITT: 2, MaxCmdSN: 30}, make([]byte, 512)...), one(&pdu.DataIn{Final: true, ITT: 2, MaxCmdSN: 30, DataSN: 2, BufferOffset: 1024}, make([]byte, 512)...)),
			want: []string{"Data-In: DataSN 2 where 1 was expected", "Data-In: BufferOffset 1024 where 512 was expected"}},
		"Data-In without an end": {text: frames(none, login, one(command(10, 2, 512, false, read10)), one(&pdu.DataIn{ITT: 2, Final: true, MaxCmdSN: 30}, make([]byte, 1024)...)),
			want: []string{"Data-In: ends at byte 1024, and 512 are expected in all"}},
		"Data-Out that nobody asked for": {text: frames(none, login, one(command(10, 2, 512, true, "2a000000000000000100")), one(&pdu.DataOut{Final: true, ITT: 2, TTT: 7}, make([]byte, 512)...)),
			want: []string{"Data-Out: TTT 0x00000007: no R2T asked for this"}},
		"Data-Out that falls short": {text: frames(none, login, one(command(10, 2, 1024, true, "2a000000000000000200")),
			one(&pdu.R2T{ITT: 2, TTT: 7, StatSN: 1, MaxCmdSN: 30, DesiredLength: 1024}), one(&pdu.DataOut{Final: true, ITT: 2, TTT: 7}, make([]byte, 512)...)),
			want: []string{"Data-Out: the last of its burst ends at byte 512, and the R2T asked for bytes up to 1024"}},
		"an R2T too large": {text: frames(none, login, one(command(10, 2, 512, true, "2a000000000000000100")), one(&pdu.R2T{ITT: 2, TTT: 7, StatSN: 1, MaxCmdSN: 30, DesiredLength: 1024})),
			want: []string{"R2T: asks for bytes up to 1024, and 512 are expected in all"}},
		"no sense": {text: frames(none, login, one(command(10, 2, 0, false, "00")), one(&pdu.SCSIResponse{Status: 2, ITT: 2, StatSN: 1, MaxCmdSN: 30})),
			want: []string{"SCSI Response: CHECK CONDITION without sense data"}},
		"a short parameter list": {text: frames(none, login, one(command(10, 2, 8, true, "5f000000000000000800"), make([]byte, 8)...)),
			want: []string{"SCSI Command: a parameter list of 8 bytes; the shortest has 24"}},
		"text without an end": {text: frames(none, one(&pdu.LoginRequest{CmdSN: 10, ITT: 1}, []byte("InitiatorName=x")...)),
			want: []string{"text_no_final_nul"}},
		"unknown opcode": {text: "1f" + strings.Repeat("00", 47), want: []string{"unknown opcode 0x1f"}},
		"cut short":      {text: frames(none, login) + "0181" + strings.Repeat("00", 20), want: []string{"header: cut short after 22 of 48 bytes: the text ends"}},
		"data cut short": {text: withData[:len(withData)-11], o: decode.Options{Digests: &both},
			want: []string{"NOP-Out: cut short after 63 of 68 bytes: the text ends"}},
		"header digest": {text: bad(withData, 40), o: decode.Options{Digests: &both}, want: []string{"header digest"}},
		"data digest":   {text: bad(withData, 2*(48+4+3)), o: decode.Options{Digests: &both}, want: []string{"data digest"}},
		"nothing wrong": {text: withData, o: decode.Options{Digests: &both}},
	} {
		t.Run(name, func(t *testing.T) {
			got := complaints(read(t, []byte(x.text), x.o))
			require.Len(t, got, len(x.want), "%v", got)
			for i, want := range x.want {
				require.Contains(t, got[i], want)
			}
		})
	}
}

// What is missing in a capture is said, and what comes behind it is read.
func TestHolesInACapture(t *testing.T) {
	w := scene(t, startDaemon(t), "None")
	whole := packets(w, 1460)
	n := len(read(t, pcap(whole), decode.Options{}))

	// In the middle of the immediate data, and at their end.
	at := slices.IndexFunc(whole, func(p packet) bool { return bytes.Contains(p.frame, []byte("payload.")) })
	for i, want := range []string{"1460 bytes behind it are not in the capture", "what comes behind it is not in the capture"} {
		got := read(t, pcap(slices.Delete(slices.Clone(whole), at+1+i, at+2+i)), decode.Options{})
		said := strings.Join(complaints(got), "\n")
		require.Contains(t, said, "SCSI Command: cut short after ")
		require.Contains(t, said, want)
		if i == 0 {
			require.Contains(t, said, "bytes were skipped")
		}
		require.NotContains(t, said, "is no command that is under way", "it may have been in the hole")
		require.GreaterOrEqual(t, len(got), n-1)
		require.Contains(t, got[len(got)-1].PDU, "Logout Response")
	}

	// From the middle on, without SYN and login.
	got := read(t, pcap(whole[len(whole)/3:]), decode.Options{})
	require.NotEmpty(t, find(got, "Data-In: READ(16)"))
	require.Contains(t, got[len(got)-1].PDU, "Logout Response")

	for _, data := range [][]byte{pcap(nil), pcapng(nil), []byte("\n"), {}} {
		require.ErrorIs(t, decode.Read(bytes.NewReader(data), decode.Options{Emit: func(*decode.Record) {}}), decode.ErrNothing)
	}
	require.ErrorIs(t, decode.Read(bytes.NewReader(pcap(whole)), decode.Options{Port: 3261}), decode.ErrNothing)
	require.ErrorContains(t, decode.Read(strings.NewReader("what is this"), decode.Options{}), "line 1: \"what is this\" is no line of hexadecimal digits")
	cut := pcap(whole)
	require.ErrorContains(t, decode.Read(bytes.NewReader(cut[:len(cut)-7]), decode.Options{Emit: func(*decode.Record) {}}), fmt.Sprintf("packet %d: unexpected EOF", len(whole)))
}

// Hexadecimal text as people have it at hand.
func TestHexText(t *testing.T) {
	plainText := frames(pdu.Digests{}, one(command(10, 2, 4096, false, read10)))
	b, err := hex.DecodeString(strings.TrimSpace(plainText))
	require.NoError(t, err)
	var xxd, spaced string
	for i := 0; i < len(b); i += 16 {
		xxd += fmt.Sprintf("%08x: %x %x %x %x  ........\n", i, b[i:i+4], b[i+4:i+8], b[i+8:i+12], b[i+12:i+16])
		spaced += fmt.Sprintf("0x% x\n", b[i:i+16])
	}
	want := read(t, []byte(plainText), decode.Options{})
	require.Len(t, want, 1)
	require.Equal(t, "READ(10)", want[0].Command)
	require.Equal(t, "LBA 0, blocks 8", texts(want[0].CDBFields))
	for name, text := range map[string]string{"xxd": xxd, "hexdump -C": hex.Dump(b) + fmt.Sprintf("%08x\n", len(b)), "in bytes": spaced, "in capitals": strings.ToUpper(plainText)} {
		require.Equal(t, want, read(t, []byte(text), decode.Options{}), "%s:\n%s", name, text)
	}
}

// A capture of nothing but beginnings, and of names that would move a cursor.
func TestHostileCaptures(t *testing.T) {
	w := &wire{pieces: []piece{{false, nil}}}
	var all []packet
	for i := range 5000 {
		p := packets(w, 1460)[0]
		p.frame[34], p.frame[35] = byte(i>>8), byte(i)
		all = append(all, p)
	}
	require.NoError(t, decode.Read(bytes.NewReader(pcap(all)), decode.Options{Emit: func(*decode.Record) {}}))

	got := read(t, []byte(frames(pdu.Digests{}, one(&pdu.LoginRequest{ITT: 1}, []byte("InitiatorName=\x1b[2J\nroot\x00\x1b[31m=x\x00")...))), decode.Options{})
	text, err := json.Marshal(got)
	require.NoError(t, err)
	require.NotContains(t, string(text), "\\u001b")
	require.NotContains(t, string(text), "\\n")
}

func FuzzRead(f *testing.F) {
	b, err := os.ReadFile(sample)
	require.NoError(f, err)
	f.Add(b[:6000]) // larger ones take the fuzzer minutes to make smaller
	f.Add(b[:2000])
	f.Add(pcapng([]packet{{1, b[40:200]}}))
	f.Add([]byte(frames(pdu.Digests{}, one(command(1, 2, 24, true, "5f000000000000001800"), make([]byte, 24)...), one(done(2, 1)))))
	f.Add([]byte("00000000  01 81 00 00  |....|\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		size := 0
		err := decode.Read(bytes.NewReader(data), decode.Options{Emit: func(r *decode.Record) {
			text, err := json.Marshal(r)
			require.NoError(t, err)
			size += len(text)
		}})
		_ = err // whatever is wrong, it is said and it ends
		require.Less(t, size, 1<<20+400*len(data), "what is said is bounded by what was read")
	})
}
