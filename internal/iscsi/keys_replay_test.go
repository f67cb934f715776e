package iscsi

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"nas-target/internal/iscsi/pdu"
)

// The offers of real initiators and our answers, with DefaultLimits. A line is
// a stage, an offered pair (>), a replied pair (<) or a field of Params (=).
func TestKeyRecordings(t *testing.T) {
	files, err := filepath.Glob("testdata/keys/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { keyReplay(t, file) })
	}
}

func keyReplay(t *testing.T, file string) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()

	st := newKeyState(DefaultLimits())
	var stage pdu.Stage
	var offer, want pdu.Text
	requests := 0
	step := func() {
		if len(offer) == 0 {
			return
		}
		// Through the bytes, as it arrives.
		parsed, err := pdu.ParseText(offer.Append(nil), pdu.TextLimits{})
		require.NoError(t, err)
		reply, kerr := negotiate(parsed, &st, stage)
		require.Nil(t, kerr)
		require.Equal(t, want, reply)
		if requests == 0 {
			require.Nil(t, st.named())
		}
		requests++
		offer, want = nil, nil
	}
	fields := 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		kind, rest, _ := strings.Cut(lines.Text(), " ")
		key, value, _ := strings.Cut(rest, "=")
		switch kind {
		case "#", "":
		case "security", "operational", "full-feature":
			step()
			stage = map[string]pdu.Stage{"security": keySec, "operational": keyOp, "full-feature": keyFF}[kind]
		case ">":
			offer.Add(key, value)
		case "<":
			want.Add(key, value)
		case "=":
			step()
			name, value, _ := strings.Cut(rest, " ")
			field := reflect.ValueOf(st.params).FieldByName(name)
			require.True(t, field.IsValid(), name)
			require.Equal(t, value, fmt.Sprint(field.Interface()), name)
			fields++
		default:
			t.Fatalf("%s: %q", file, lines.Text())
		}
	}
	require.NoError(t, lines.Err())
	step()
	require.Nil(t, st.complete())
	require.NotZero(t, fields)
}

// keyCheck holds for every negotiation, whatever was offered.
func keyCheck(t require.TestingT, before, after keyState, offer, reply pdu.Text, err *keyError, stage pdu.Stage) {
	if err != nil {
		require.Nil(t, reply)
		require.Equal(t, before, after)
		require.Contains(t, keyStatus, err.Reason)
		require.NotEmpty(t, err.Key)
		return
	}
	p, l := after.params, after.limits
	require.LessOrEqual(t, p.FirstBurstLength, p.MaxBurstLength)
	require.LessOrEqual(t, p.MaxBurstLength, l.MaxBurstLength)
	require.LessOrEqual(t, p.FirstBurstLength, max(l.FirstBurstLength, 65536))
	require.LessOrEqual(t, p.MaxConnections, l.MaxConnections)
	require.LessOrEqual(t, p.MaxOutstandingR2T, l.MaxOutstandingR2T)
	require.LessOrEqual(t, p.DefaultTime2Retain, uint32(20))
	require.GreaterOrEqual(t, p.DefaultTime2Wait, uint32(2))
	require.GreaterOrEqual(t, p.MaxSend, uint32(512))
	require.LessOrEqual(t, p.MaxSend, uint32(1<<24-1))
	require.LessOrEqual(t, p.ProtocolLevel, l.ProtocolLevel)
	require.Zero(t, p.ErrorRecoveryLevel)
	require.True(t, p.DataPDUInOrder && p.DataSequenceInOrder)

	_, dup := reply.Duplicate()
	require.False(t, dup)
	expected := 0
	for _, o := range offer {
		i, known := keyIndex[o.Key]
		answered := !known || keyTable[i].rule <= keyList || keyTable[i].rule == keyObsolete
		v, ok := reply.Get(o.Key)
		if o.Key != "MaxRecvDataSegmentLength" {
			require.Equal(t, answered, ok, o.Key)
		}
		if answered {
			expected++
		}
		switch {
		case !known:
			require.Equal(t, pdu.ValueNotUnderstood, v)
		case answered:
			require.NotEqual(t, pdu.ValueNotUnderstood, v, "%s is of the RFC", o.Key)
		}
	}
	if stage == keyOp && !before.declared {
		expected++
	}
	require.Len(t, reply, expected)
	if len(reply) > 0 {
		parsed, perr := pdu.ParseText(reply.Append(nil), pdu.TextLimits{Pairs: pdu.DefaultPairs + 1})
		require.NoError(t, perr)
		require.Equal(t, reply, parsed)
	}
}

func TestKeyRandomOffers(t *testing.T) {
	names := make([]string, 0, len(keyTable)+1)
	for _, r := range keyTable {
		if r.rule <= keyObsolete && r.stage != keySecurity && r.use != keyFFPO {
			names = append(names, r.name)
		}
	}
	names = append(names, "X-com.example")
	key := rapid.SampledFrom(names)
	value := rapid.OneOf(
		rapid.SampledFrom([]string{
			"Yes", "No", "None", "CRC32C", "None,CRC32C", "Normal", "Discovery", "iqn.a", "iqn.b", "", "RFC3720",
			"512", "4096", "8192", "65536", "262144", "16776192", "16777215", "16777216",
		}),
		rapid.Custom(func(t *rapid.T) string { return fmt.Sprint(rapid.Uint32Max(1<<25).Draw(t, "n")) }),
	)
	l := DefaultLimits()
	l.MaxConnections = 32
	rapid.Check(t, func(t *rapid.T) {
		st := newKeyState(l)
		for range rapid.IntRange(1, 4).Draw(t, "requests") {
			var offer pdu.Text
			for range rapid.IntRange(0, 12).Draw(t, "pairs") {
				offer.Add(key.Draw(t, "key"), value.Draw(t, "value"))
			}
			before := st
			reply, err := negotiate(offer, &st, keyOp)
			keyCheck(t, before, st, offer, reply, err, keyOp)

			// The same again, from the same state, gives the same.
			twin := before
			reply2, err2 := negotiate(offer, &twin, keyOp)
			require.Equal(t, reply, reply2)
			require.Equal(t, err, err2)
			require.Equal(t, st, twin)
		}
	})
}

func FuzzNegotiate(f *testing.F) {
	files, err := filepath.Glob("testdata/keys/*.txt")
	require.NoError(f, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		var text []byte
		for line := range strings.Lines(string(b)) {
			if pair, ok := strings.CutPrefix(line, "> "); ok {
				text = append(append(text, strings.TrimSuffix(pair, "\n")...), 0)
			}
		}
		f.Add(text, []byte{}, uint8(1), false)
	}
	for _, c := range keyRefusals {
		f.Add(keyText(c.earlier).Append(nil), keyText(c.offer).Append(nil), uint8(c.stage), true)
	}
	session := newKeyState(DefaultLimits()).params
	f.Fuzz(func(t *testing.T, first, second []byte, stage uint8, join bool) {
		st := newKeyState(DefaultLimits())
		if join {
			st = joinKeyState(DefaultLimits(), session)
		}
		for _, b := range [][]byte{first, second} {
			offer, err := pdu.ParseText(b, pdu.TextLimits{})
			if err != nil {
				var te *pdu.TextError
				require.True(t, errors.As(err, &te))
				continue
			}
			before := st
			reply, kerr := negotiate(offer, &st, pdu.Stage(stage&3))
			keyCheck(t, before, st, offer, reply, kerr, pdu.Stage(stage&3))
			_ = st.named()
			_ = st.complete()
		}
	})
}
