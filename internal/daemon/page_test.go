package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/internal/admin"
	"nas-target/internal/initiator"
)

// certify writes a certificate with a serial number, and its key.
func certify(t *testing.T, serial int64, cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(k)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
}

// The page comes, moves, gets a certificate and another one, and goes, while
// disks are served; what fails leaves the old one where it was.
func TestPageChangesAtRunTime(t *testing.T) {
	o := operate(t, base)
	_, a := o.unit("a", 0, 0)
	page := func(rest string) string {
		return strings.Replace(o.text(base), "page: {listen: \"\"}\n", "page: {"+rest+"}\n", 1)
	}
	apply := func(text string) error {
		require.NoError(t, os.WriteFile(o.file, []byte(text), 0o600))
		_, err := o.client.ApplyConfig(t.Context(), "", admin.Candidate{})
		return err
	}
	// get answers with the serial number of the certificate, 0 without one.
	get := func(url string) (int64, error) {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		resp, err := client.Get(url + "healthz")
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		if resp.TLS == nil {
			return 0, nil
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), nil
	}
	require.Empty(t, o.Page())

	require.NoError(t, apply(page(`listen: "`+o.ports[1]+`"`)))
	require.Equal(t, "http://"+o.ports[1]+"/", o.Page())
	_, err := get(o.Page())
	require.NoError(t, err)

	first := o.Page()
	require.NoError(t, apply(page(`listen: "`+o.ports[2]+`"`)))
	_, err = get(o.Page())
	require.NoError(t, err)
	require.Eventually(t, func() bool { _, err := get(first); return err != nil }, 10*time.Second, time.Millisecond, "nobody is at the old address")

	cert, key := filepath.Join(o.data, "page.crt"), filepath.Join(o.data, "page.key")
	secure := page(`listen: "` + o.ports[2] + `", certificate: ` + cert + `, key: ` + key)
	require.ErrorContains(t, apply(secure), "page.crt: no such file")
	_, err = get(o.Page())
	require.NoError(t, err, "the old one is back")
	certify(t, 1, cert, key)
	require.NoError(t, apply(secure))
	require.Equal(t, "https://"+o.ports[2]+"/", o.Page())
	serial, err := get(o.Page())
	require.NoError(t, err)
	require.EqualValues(t, 1, serial)
	certify(t, 2, cert, key)
	require.NoError(t, apply(secure), "the same file, and another certificate in it")
	serial, err = get(o.Page())
	require.NoError(t, err)
	require.EqualValues(t, 2, serial)

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	require.ErrorContains(t, apply(page(`listen: "`+taken.Addr().String()+`"`)), "address already in use")
	require.Equal(t, "https://"+o.ports[2]+"/", o.Page())
	const memory = "      - {lun: 2, name: memory, backstore: ram, size: SIZE}\n"
	require.NoError(t, apply(secure+strings.Replace(memory, "SIZE", "1MiB", 1)))
	_, err = a.DrainUA(t.Context())
	require.NoError(t, err)
	require.ErrorContains(t, apply(page(`listen: "`+o.ports[1]+`"`)+strings.Replace(memory, "SIZE", "1048576TiB", 1)), "LUN memory:", "what fails last")
	require.Equal(t, "https://"+o.ports[2]+"/", o.Page())
	_, err = get(o.Page())
	require.NoError(t, err)

	require.NoError(t, o.apply(base))
	require.Empty(t, o.Page())
	require.NoError(t, a.Write(t.Context(), 0, make([]byte, 4096)))
}

// A change that comes through the page's own door is answered, though it takes
// that door away.
func TestPageChangesThroughItself(t *testing.T) {
	o := operate(t, base)
	at := func(port int) string {
		return strings.Replace(o.text(base), "page: {listen: \"\"}\n", "page: {listen: \""+o.ports[port]+"\"}\n", 1)
	}
	require.NoError(t, os.WriteFile(o.file, []byte(at(1)), 0o600))
	_, err := o.client.ApplyConfig(t.Context(), "", admin.Candidate{})
	require.NoError(t, err)
	token, err := os.ReadFile(filepath.Join(o.data, "admin.token"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(o.file, []byte(at(2)), 0o600))
	req, err := http.NewRequestWithContext(t.Context(), "POST", o.Page()+"v1/config/apply", strings.NewReader("{}"))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("If-Match", "*")
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Equal(t, "http://"+o.ports[2]+"/", o.Page())
}

// How long initiators may be silent, and where names are registered, change
// without a start; where the data are does not.
func TestLimitsChangeAtRunTime(t *testing.T) {
	o := operate(t, "limits: {ping_interval: 0s}\n"+base)
	_, a := o.unit("a", 0, 0)
	deaf, err := initiator.Dial(t.Context(), initiator.Config{Addr: o.ports[0], Target: testTarget, InitiatorName: "iqn.2026-11.test:b", IgnoreNOPIn: true})
	require.NoError(t, err)
	defer deaf.Close()
	require.NoError(t, o.apply("limits: {ping_interval: 1s, ping_timeout: 1s}\n"+base))
	require.Eventually(t, func() bool {
		sessions, err := o.client.Sessions(t.Context())
		require.NoError(t, err)
		return len(sessions) == 1 && sessions[0].Initiator != "iqn.2026-11.test:b"
	}, time.Minute, 10*time.Millisecond, "who does not answer is cut off")
	still(t, a)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, o.apply("isns: {server: \""+l.Addr().String()+"\"}\n"+base))
	nc, err := l.Accept()
	require.NoError(t, err, "the server hears of it")
	require.NoError(t, nc.Close())
	require.NoError(t, o.apply(base))

	elsewhere := strings.Replace(o.text(base), o.data, o.data+"2", 1)
	require.NoError(t, os.WriteFile(o.file, []byte(elsewhere), 0o600))
	_, err = o.client.DiffConfig(t.Context(), admin.Candidate{})
	require.ErrorContains(t, err, "another one ("+o.data+"2) needs a start")
	still(t, a)
}
