package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fixed struct{ status Status }

func (f fixed) Status(context.Context) Status { return f.status }

func serve(t *testing.T, s Status) (string, *Client) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := Listen(path)
	require.NoError(t, err)
	server := Serve(l, Handler(fixed{s}, "1.2.3"))
	client := NewClient(path)
	t.Cleanup(func() {
		client.Close()
		require.NoError(t, server.Close(context.Background()))
	})
	return path, client
}

func TestStatusTravelsWhole(t *testing.T) {
	want := Status{
		Version: "1.2.3", PID: 7, Started: time.Date(2026, 11, 22, 14, 2, 0, 0, time.UTC), DataDir: "/d",
		Portals: []Portal{{1, "127.0.0.1:3260"}},
		Targets: []Target{{Name: "iqn.2026-11.com.example:a", Access: "listed", LUNs: []LUN{{
			LUN: 1, Name: "shared", Bytes: 10 << 30, BlockSize: 512, WriteCache: true,
			Reservations: Reservation{Condition: "normal", Generation: 3, Type: "write-exclusive", Holder: "iqn.x,i,0x1",
				Registrations: []Registration{{"iqn.x,i,0x1", "iqn.a,t,0x0001", "0x00000000deadbeef", true}}},
		}}}},
		Sessions: []Session{},
	}
	_, client := serve(t, want)
	got, err := client.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestSocketIsPrivate(t *testing.T) {
	path, _ := serve(t, Status{})
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
}

// The socket file of a daemon that was killed is no obstacle.
func TestListenInThePlaceOfADeadDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	require.FileExists(t, path)

	l, err = Listen(path)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestNoDaemonIsToldApart(t *testing.T) {
	dir := t.TempDir()
	for name, path := range map[string]string{"no socket": filepath.Join(dir, "none.sock"), "dead socket": filepath.Join(dir, "dead.sock")} {
		t.Run(name, func(t *testing.T) {
			if name == "dead socket" {
				l, err := net.Listen("unix", path)
				require.NoError(t, err)
				l.(*net.UnixListener).SetUnlinkOnClose(false)
				require.NoError(t, l.Close())
			}
			client := NewClient(path)
			defer client.Close()
			_, err := client.Status(t.Context())
			require.ErrorIs(t, err, ErrUnreachable)
			require.Contains(t, err.Error(), path)
		})
	}
}

func TestDescriptionIsServed(t *testing.T) {
	_, client := serve(t, Status{})
	resp, err := client.http.Get("http://nas-target/openapi.json")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&doc))
	require.Contains(t, doc.OpenAPI, "3.1")
	require.Contains(t, doc.Paths, "/v1/status")
}

func TestHealth(t *testing.T) {
	_, client := serve(t, Status{})
	resp, err := client.http.Get("http://nas-target/healthz")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "ok\n", string(body))
}
