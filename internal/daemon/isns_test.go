package daemon

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The iSNS server of the configuration hears of targets and portals at the
// start, and at the end that they are gone.
func TestNamesAreRegistered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	heard := make(chan []byte, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			h := make([]byte, 12)
			io.ReadFull(nc, h)
			p := make([]byte, int(h[4])<<8|int(h[5]))
			io.ReadFull(nc, p)
			heard <- append(h, p...)
			// An answer without attributes: success.
			nc.Write([]byte{0, 1, h[2] | 0x80, h[3], 0, 4, 0x4c, 0, h[8], h[9], 0, 0, 0, 0, 0, 0})
			nc.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	hear := func() []byte {
		select {
		case m := <-heard:
			return m
		case <-time.After(time.Minute):
			t.Fatal("nothing came")
			return nil
		}
	}
	c := parse(t, t.TempDir(), openTarget)
	c.ISNS.Server = l.Addr().String()
	d, err := Start(t.Context(), c, Options{})
	require.NoError(t, err)
	m := hear()
	require.Equal(t, []byte{0, 1, 0, 1}, m[:4], "DevAttrReg")
	require.True(t, bytes.Contains(m, []byte(testTarget)))
	port := d.Portals()[0].Port()
	require.True(t, bytes.Contains(m, []byte{0xff, 0xff, 127, 0, 0, 1, 0, 0, 0, 17, 0, 0, 0, 4, 0, 0, byte(port >> 8), byte(port)}))
	stopTest(t, d)
	require.Equal(t, []byte{0, 1, 0, 4}, hear()[:4], "DevDereg")
}

// A server that is away is in the status until it is back.
func TestNamesThatCannotBeRegisteredAreInTheStatus(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := l.Addr().String()
	require.NoError(t, l.Close())
	o := operate(t, "isns: {server: \""+at+"\"}\n"+base)
	problem := func() string {
		s, err := o.client.Overview(t.Context())
		require.NoError(t, err)
		for _, p := range s.Problems {
			if p.Code == "isns_failing" {
				return p.Text
			}
		}
		return ""
	}
	require.Eventually(t, func() bool { return problem() != "" }, time.Minute, 10*time.Millisecond)
	require.Contains(t, problem(), "The iSNS server "+at+" does not know what is served here: ")
	require.NoError(t, o.apply(base))
	require.Empty(t, problem(), "nobody has to know")
}

// A server that is away keeps nobody waiting.
func TestServesWithoutTheNames(t *testing.T) {
	c := parse(t, t.TempDir(), openTarget)
	c.ISNS.Server = "127.0.0.1:1"
	d := startTest(t, c)
	s := dial(t, d, "iqn.2026-11.test:host")
	require.NoError(t, s.Ping(t.Context(), nil))
}
