package daemon

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/initiator"
)

// A target that has moved sends logins away and leaves sessions alone; who may
// not log in learns nothing of where it went.
func TestMovedTarget(t *testing.T) {
	o := operate(t, base)
	login := func(name string) error {
		s, err := initiator.Dial(t.Context(), initiator.Config{Addr: o.ports[0], Target: testTarget, InitiatorName: name})
		if err != nil {
			return err
		}
		return s.Logout(t.Context())
	}
	apply := func(to string) error {
		return o.apply(strings.Replace(base, "    initiators:", "    moved_to: \""+to+"\"\n    initiators:", 1))
	}
	require.NoError(t, login("iqn.2026-11.test:b"))
	_, before := o.unit("a", 0, 0)
	require.NoError(t, apply("192.0.2.9:3260"))
	still(t, before)

	var sent *initiator.LoginError
	require.ErrorAs(t, login("iqn.2026-11.test:b"), &sent)
	require.Equal(t, uint8(1), sent.Class())
	require.Equal(t, []string{"192.0.2.9:3260"}, sent.Addresses)
	require.ErrorAs(t, login("iqn.2026-11.test:stranger"), &sent)
	require.Equal(t, uint8(2), sent.Class())
	require.Empty(t, sent.Addresses)

	require.ErrorContains(t, apply("storage2"), "is not an address with a port")
	require.NoError(t, o.apply(base))
	require.NoError(t, login("iqn.2026-11.test:b"))
}
