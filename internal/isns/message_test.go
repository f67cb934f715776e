package isns

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Written by hand from RFC 4171 §5.1, §5.6.5.1 and §6.
func TestRegistrationBytes(t *testing.T) {
	m := registration(Entity{
		ID:      "nas",
		Portals: []Portal{{netip.MustParseAddrPort("192.0.2.5:3260"), 2}},
		Targets: []Target{{Name: "iqn.a", Alias: "x", Groups: []uint16{2}}, {Name: "iqn.b", Groups: []uint16{3}}},
	}, map[netip.AddrPort]uint16{netip.MustParseAddrPort("192.0.2.5:3260"): 0x1234}, 5*time.Minute)
	m.Transaction = 7
	b, err := m.Append(nil)
	require.NoError(t, err)
	require.Equal(t, unhex(`
		0001 0001 0144 9c00 0007 0000
		00000020 00000008 69716e2e 61000000
		00000001 00000004 6e617300
		00000000 00000000
		00000001 00000004 6e617300
		00000002 00000004 00000002
		00000006 00000004 0000012c
		00000010 00000010 00000000 00000000 0000ffff c0000205
		00000011 00000004 00000cbc
		00000013 00000004 0000003c
		00000014 00000004 00001234
		00000020 00000008 69716e2e 61000000
		00000021 00000004 00000001
		00000022 00000004 78000000
		00000020 00000008 69716e2e 62000000
		00000021 00000004 00000001
		00000030 00000008 69716e2e 61000000
		00000031 00000010 00000000 00000000 0000ffff c0000205
		00000032 00000004 00000cbc
		00000033 00000004 00000002
		00000030 00000008 69716e2e 62000000
		00000031 00000010 00000000 00000000 0000ffff c0000205
		00000032 00000004 00000cbc
		00000033 00000000`), b)

	m = deregistration(Entity{ID: "nas", Targets: []Target{{Name: "iqn.a"}}})
	b, err = m.Append(nil)
	require.NoError(t, err)
	require.Equal(t, unhex(`
		0001 0004 0024 8c00 0000 0000
		00000020 00000008 69716e2e 61000000
		00000000 00000000
		00000001 00000004 6e617300`), b)
}

func parse(b []byte) (Message, error) {
	if len(b) < headerLen {
		return Message{}, ErrTooLong
	}
	return Parse([headerLen]byte(b), b[headerLen:])
}

func TestParse(t *testing.T) {
	m, err := parse(unhex("0001 800d 0010 8c00 0003 0000 00000000 00000001 00000004 6e617300"))
	require.NoError(t, err)
	require.Equal(t, Message{Function: ESI | Response, Flags: FlagClient | FlagFirst | FlagLast, Transaction: 3, Attrs: []Attr{Text(TagEntityID, "nas")}}, m)
	a, ok := m.Get(TagEntityID)
	require.True(t, ok)
	require.Equal(t, "nas", a.Text())
	_, ok = m.Get(TagNodeName)
	require.False(t, ok)

	m, err = parse(unhex("0001 8001 0004 4c00 0001 0000 00000008"))
	require.NoError(t, err)
	require.ErrorContains(t, m.Status, "source unauthorized")
	require.ErrorContains(t, Status(77), "status 77")

	for what, s := range map[string]string{
		"version":                "0002 0001 0000 8c00 0000 0000",
		"length":                 "0001 0001 0002 8c00 0000 0000 0000",
		"other length":           "0001 0001 0004 8c00 0000 0000",
		"first of several":       "0001 0001 0000 8400 0000 0000",
		"second of several":      "0001 0001 0000 8c00 0000 0001",
		"no status":              "0001 8001 0000 8c00 0000 0000",
		"attribute cut off":      "0001 0001 0004 8c00 0000 0000 00000001",
		"attribute leads out":    "0001 0001 0008 8c00 0000 0000 00000001 00000004",
		"attribute of odd size":  "0001 0001 000c 8c00 0000 0000 00000001 00000003 00000000",
		"attribute of huge size": "0001 0001 0008 8c00 0000 0000 00000001 fffffffc",
	} {
		_, err := parse(unhex(s))
		require.Error(t, err, what)
	}
}

func TestTooMuchForOnePDU(t *testing.T) {
	_, err := Message{Attrs: []Attr{Text(TagNodeName, strings.Repeat("x", 1<<16))}}.Append(nil)
	require.ErrorIs(t, err, ErrTooLong)
}

func TestMessagesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Message{
			Function: Function(rapid.Uint16().Draw(t, "function")), Flags: rapid.Uint16().Draw(t, "flags") | FlagFirst | FlagLast,
			Transaction: rapid.Uint16().Draw(t, "transaction"),
		}
		if m.Function&Response != 0 {
			m.Status = Status(rapid.Uint32().Draw(t, "status"))
		}
		for range rapid.IntRange(0, 5).Draw(t, "attrs") {
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				s := rapid.StringMatching(`[ -~]{0,40}`).Draw(t, "text")
				a := Text(TagNodeName, s)
				require.Equal(t, s, a.Text())
				m.Attrs = append(m.Attrs, a)
			case 1:
				n := rapid.Uint32().Draw(t, "number")
				a := Number(TagPeriod, n)
				require.Equal(t, n, a.Number())
				m.Attrs = append(m.Attrs, a)
			default:
				m.Attrs = append(m.Attrs, Attr{Tag: TagDelimiter})
			}
		}
		b, err := m.Append(nil)
		require.NoError(t, err)
		got, err := parse(b)
		require.NoError(t, err)
		require.Equal(t, m, got)
		_, err = parse(b[:len(b)-1])
		require.Error(t, err)
	})
}

func FuzzParse(f *testing.F) {
	f.Add(unhex("0001 800d 0010 8c00 0003 0000 00000000 00000001 00000004 6e617300"))
	f.Add(unhex("0001 000d 0008 4c00 0001 0000 00000004 00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(b)
		if err != nil {
			return
		}
		for _, a := range m.Attrs {
			_, _ = a.Text(), a.Number()
		}
		again, err := m.Append(nil)
		require.NoError(t, err)
		require.Equal(t, b[headerLen:], again[headerLen:])
	})
}
