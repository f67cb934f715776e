package daemon

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
)

// The policy for digests binds logins, and a new one binds the next of them.
func TestDigestPolicy(t *testing.T) {
	o := operate(t, base)
	login := func(header, data string) (initiator.Params, error) {
		s, err := initiator.Dial(t.Context(), initiator.Config{
			Addr: o.ports[0], Target: testTarget, InitiatorName: "iqn.2026-11.test:b", HeaderDigest: header, DataDigest: data,
		})
		if err != nil {
			return initiator.Params{}, err
		}
		u := s.Unit(1)
		_, err = u.DrainUA(t.Context())
		require.NoError(t, err)
		require.NoError(t, u.Write(t.Context(), 0, make([]byte, 4096)))
		return s.Params(), s.Logout(t.Context())
	}
	const either = "None,CRC32C"
	apply := func(policy string) error {
		return o.apply(strings.Replace(base, "    initiators:", "    "+policy+"\n    initiators:", 1))
	}

	p, err := login("None", either)
	require.NoError(t, err)
	require.False(t, p.HeaderDigest || p.DataDigest, "the initiator decides")
	p, err = login("CRC32C", "CRC32C")
	require.NoError(t, err)
	require.True(t, p.HeaderDigest && p.DataDigest, "the initiator decides")

	_, before := o.unit("a", 0, 0)
	require.NoError(t, apply("data_digest: required"))
	still(t, before) // although it has no digests
	_, err = login("CRC32C", "None")
	var refused *initiator.LoginError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, uint8(2), refused.Class())
	p, err = login("None", either)
	require.NoError(t, err)
	require.True(t, p.DataDigest)

	require.NoError(t, apply("header_digest: refused"))
	p, err = login("CRC32C,None", "CRC32C,None")
	require.NoError(t, err)
	require.False(t, p.HeaderDigest)
	require.True(t, p.DataDigest)

	require.ErrorContains(t, apply("data_digest: CRC32C"), "is none of offered, required, refused")
}
