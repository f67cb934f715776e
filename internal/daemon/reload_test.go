package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"nas-target/internal/admin"
	"nas-target/internal/config"
	"nas-target/internal/initiator"
)

// operated is a daemon with a configuration file that a test rewrites.
type operated struct {
	*Daemon
	t      *testing.T
	client *admin.Client
	log    *observer.ObservedLogs
	file   string
	data   string
	ports  []string // free addresses
}

// freePorts finds addresses that nobody listens at.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// operate starts a daemon with the file that text makes of data directory and
// free addresses: DATA, PORT0, PORT1, PORT2.
func operate(t *testing.T, text string) *operated {
	t.Helper()
	dir := t.TempDir()
	o := &operated{t: t, file: filepath.Join(dir, "nas-target.yaml"), data: filepath.Join(dir, "data"), ports: freePorts(t, 3)}
	o.write(text)
	o.start()
	t.Cleanup(func() { stopTest(t, o.Daemon) })
	return o
}

func (o *operated) start() {
	o.t.Helper()
	core, seen := observer.New(zapcore.InfoLevel)
	o.log = seen
	read := func() (config.Source, error) { return config.ReadSource(o.file) }
	s, err := read()
	require.NoError(o.t, err)
	conf, err := config.Parse(s.Name, s.Data)
	require.NoError(o.t, err)
	o.Daemon, err = Start(o.t.Context(), conf, Options{Log: zap.New(core), Operators: Operators{Source: s, Read: read}})
	require.NoError(o.t, err)
	o.client = ask(o.t, o.data)
}

func (o *operated) text(text string) string {
	for i, p := range o.ports {
		text = strings.ReplaceAll(text, fmt.Sprintf("PORT%d", i), p)
	}
	return "data_dir: " + o.data + "\npage: {listen: \"\"}\n" + text
}

func (o *operated) write(text string) {
	o.t.Helper()
	require.NoError(o.t, os.WriteFile(o.file, []byte(o.text(text)), 0o600))
}

// apply rewrites the file and has it applied.
func (o *operated) apply(text string) error {
	o.t.Helper()
	o.write(text)
	_, err := o.client.ApplyConfig(o.t.Context(), "", admin.Candidate{})
	return err
}

// login returns a session of an initiator through the nth address.
func (o *operated) login(name string, port int) (*initiator.Session, error) {
	return initiator.Dial(o.t.Context(), initiator.Config{
		Addr: o.ports[port], Target: testTarget, InitiatorName: "iqn.2026-11.test:" + name, CHAP: nil,
	})
}

func (o *operated) unit(name string, port int, lun uint16) (*initiator.Session, *initiator.Unit) {
	o.t.Helper()
	s, err := o.login(name, port)
	require.NoError(o.t, err)
	o.t.Cleanup(func() { s.Close() })
	u := s.Unit(lun)
	_, err = u.DrainUA(o.t.Context())
	require.NoError(o.t, err)
	return s, u
}

const base = `
portals: [{group: 1, listen: ["PORT0"]}]
targets:
  - name: ` + testTarget + `
    initiators:
      - {name: iqn.2026-11.test:a, luns: [0]}
      - {name: iqn.2026-11.test:b}
    luns:
      - {lun: 0, name: zero, size: 4MiB}
      - {lun: 1, name: one, size: 4MiB}
`

// still asserts that a unit has nothing to tell and works.
func still(t *testing.T, u *initiator.Unit) {
	t.Helper()
	seen, err := u.DrainUA(t.Context())
	require.NoError(t, err)
	require.Empty(t, seen)
	require.NoError(t, u.Write(t.Context(), 0, make([]byte, 4096)))
}

// What a session does not see does not reach it.
func TestApplyTouchesWhatChanged(t *testing.T) {
	o := operate(t, base)
	ctx := t.Context()
	_, a := o.unit("a", 0, 0)
	_, b := o.unit("b", 0, 0)
	require.NoError(t, o.apply(base), "nothing is different")
	still(t, a)
	still(t, b)

	// A LUN comes: those who see it are told.
	more := base + "      - {lun: 2, name: two, size: 4MiB}\n"
	require.NoError(t, o.apply(more))
	still(t, a)
	seen, err := b.DrainUA(ctx)
	require.NoError(t, err)
	require.Equal(t, []initiator.ASC{0x3f0e}, seen)
	luns, err := b.S.ReportLUNs(ctx)
	require.NoError(t, err)
	require.Len(t, luns, 3)
	two := b.S.Unit(2)
	_, err = two.DrainUA(ctx)
	require.NoError(t, err)
	require.NoError(t, two.Write(ctx, 0, make([]byte, 512)))

	// It goes.
	require.NoError(t, o.apply(base))
	still(t, a)
	seen, err = b.DrainUA(ctx)
	require.NoError(t, err)
	require.Equal(t, []initiator.ASC{0x3f0e}, seen)
	_, err = two.Run(ctx, initiator.TestUnitReady())
	r, ok := initiator.AsStatus(err)
	require.True(t, ok)
	require.Equal(t, initiator.ASC(0x2500), r.Sense.ASC)

	// One grows: only its initiators are told.
	grown := strings.Replace(base, "name: one, size: 4MiB", "name: one, size: 8MiB", 1)
	one := b.S.Unit(1)
	_, err = one.DrainUA(ctx)
	require.NoError(t, err)
	require.NoError(t, o.apply(grown))
	still(t, a)
	still(t, b)
	seen, err = one.DrainUA(ctx)
	require.NoError(t, err)
	require.Equal(t, []initiator.ASC{0x2a09}, seen)
	blocks, err := one.LoadCapacity(ctx)
	require.NoError(t, err)
	require.Equal(t, uint64(8<<20/512), blocks)

	// One turns read-only, and its write cache off.
	tuned := strings.Replace(grown, "size: 8MiB", "size: 8MiB, read_only: true, write_cache: false", 1)
	require.NoError(t, o.apply(tuned))
	still(t, b)
	_, err = one.DrainUA(ctx)
	require.NoError(t, err)
	require.Error(t, one.Write(ctx, 0, make([]byte, 512)))
	wce, err := one.WriteCache(ctx)
	require.NoError(t, err)
	require.False(t, wce)
	require.NoError(t, o.apply(grown))
	_, err = one.DrainUA(ctx)
	require.NoError(t, err)
	require.NoError(t, one.Write(ctx, 0, make([]byte, 512)))
	still(t, b)

	// One changes what only an open medium can have: it comes back as itself.
	id, err := one.Identification(ctx)
	require.NoError(t, err)
	require.NoError(t, one.RegisterAndIgnore(ctx, 0x77, true))
	want := make([]byte, 4096)
	copy(want, "kept")
	require.NoError(t, one.Write(ctx, 64, want))
	require.NoError(t, o.apply(strings.Replace(grown, "size: 8MiB", "size: 8MiB, physical_block_size: 512", 1)))
	still(t, a)
	_, err = b.DrainUA(ctx)
	require.NoError(t, err)
	seen, err = one.DrainUA(ctx)
	require.NoError(t, err)
	require.Contains(t, seen, initiator.ASC(0x3f0e))
	again, err := one.Identification(ctx)
	require.NoError(t, err)
	require.Equal(t, id, again)
	got, err := one.Read(ctx, 64, 8)
	require.NoError(t, err)
	require.Equal(t, want, got)
	keys, err := one.ReadKeys(ctx)
	require.NoError(t, err)
	require.Equal(t, []uint64{0x77}, keys.Keys)
}

// Two disks never answer to one name, wherever one of them has it from.
func TestApplyRefusesNamesOfOtherDisks(t *testing.T) {
	o := operate(t, base)
	luns, err := o.client.LUNs(t.Context())
	require.NoError(t, err)
	require.Equal(t, "one", luns[1].Name)
	twin := base + "      - {lun: 2, name: two, size: 4MiB, naa: \"" + luns[1].NAA + "\"}\n"
	require.ErrorContains(t, o.apply(twin), "targets[0].luns[2].naa: "+luns[1].NAA+" is taken by the LUN one, which was given it")
	stopTest(t, o.Daemon)
	s, err := config.ReadSource(o.file)
	require.NoError(t, err)
	conf, err := config.Parse(s.Name, s.Data)
	require.NoError(t, err, "who cannot see the data directory cannot know")
	_, err = Start(t.Context(), conf, Options{Operators: Operators{Source: s}})
	require.ErrorContains(t, err, filepath.Base(o.file)+":13: targets[0].luns[2].naa: ")
	o.write(base)
	o.start()
}

func TestApplyAccess(t *testing.T) {
	o := operate(t, base)
	ctx := t.Context()
	_, a := o.unit("a", 0, 0)
	_, b := o.unit("b", 0, 0)
	_, err := o.login("c", 0)
	require.Error(t, err)

	require.NoError(t, o.apply(strings.Replace(base, "{name: iqn.2026-11.test:b}", "{name: iqn.2026-11.test:c}", 1)))
	still(t, a)
	_, err = b.Run(ctx, initiator.TestUnitReady())
	require.Error(t, err, "whoever is not listed any more is out")
	_, err = o.login("b", 0)
	require.Error(t, err)
	_, c := o.unit("c", 0, 1)
	still(t, c)

	// A narrower mask: the session stays, the disk goes.
	require.NoError(t, o.apply(strings.Replace(base, "{name: iqn.2026-11.test:b}", "{name: iqn.2026-11.test:c, luns: [0]}", 1)))
	_, err = c.Run(ctx, initiator.TestUnitReady())
	require.Error(t, err)
	luns, err := c.S.ReportLUNs(ctx)
	require.NoError(t, err)
	require.Len(t, luns, 1)

	// A proof that was not asked for at login ends the session, and is asked for.
	writeSecrets(t, o.data, "a the-secret-of-a-12\n")
	require.NoError(t, o.apply(strings.Replace(base, "test:a, luns: [0]", "test:a, luns: [0], chap: {user: a}", 1)))
	_, err = a.Run(ctx, initiator.TestUnitReady())
	require.Error(t, err)
	_, err = o.login("a", 0)
	require.Error(t, err)
}

func TestApplyPortals(t *testing.T) {
	o := operate(t, base)
	_, a := o.unit("a", 0, 0)
	_, err := o.login("b", 1)
	require.Error(t, err)

	more := strings.Replace(base, `["PORT0"]}]`, `["PORT0", "PORT1"]}, {group: 2, listen: ["PORT2"]}]`, 1)
	require.NoError(t, o.apply(more))
	still(t, a)
	_, b1 := o.unit("b", 1, 0)
	_, b2 := o.unit("b", 2, 0)
	still(t, b1)
	groups, err := b2.PortGroups(t.Context())
	require.NoError(t, err)
	require.Len(t, groups, 2)

	require.NoError(t, o.apply(base))
	still(t, a)
	still(t, b1) // its group has another address
	_, err = b2.Run(t.Context(), initiator.TestUnitReady())
	require.Error(t, err, "its group is gone")
	for _, port := range []int{1, 2} {
		_, err = o.login("b", port)
		require.Error(t, err)
	}
	// An address changes its group.
	require.NoError(t, o.apply(more))
	require.NoError(t, o.apply(strings.Replace(base, `["PORT0"]}]`, `["PORT0"]}, {group: 2, listen: ["PORT2", "PORT1"]}]`, 1)))
	still(t, a)
	_, b1 = o.unit("b", 1, 0)
	still(t, b1)
}

// A change that fails leaves what ran, and says why.
func TestApplyRollsBack(t *testing.T) {
	o := operate(t, base)
	ctx := t.Context()
	busy, err := net.Listen("tcp", o.ports[2])
	require.NoError(t, err)
	defer busy.Close()
	_, a := o.unit("a", 0, 0)
	_, b := o.unit("b", 0, 1)
	before, err := o.client.Config(ctx)
	require.NoError(t, err)
	for name, x := range map[string]struct{ text, want string }{
		"syntax":              {"targets: [", "nas-target.yaml"},
		"unknown key":         {base + "portal: []\n", "did you mean portals?"},
		"shrinks":             {strings.Replace(base, "zero, size: 4MiB", "zero, size: 2MiB", 1), "only grows"},
		"no such path":        {base + "      - {lun: 2, name: two, size: 4MiB, path: /nonexistent/x}\n", "no such file"},
		"an address in use":   {strings.Replace(base, `["PORT0"]}`, `["PORT0", "PORT1", "PORT2"]}`, 1) + "      - {lun: 2, name: three, size: 4MiB}\n", "address already in use"},
		"a reopen that fails": {strings.Replace(base, "one, size: 4MiB", "one, size: 4MiB, path: /nonexistent/x", 1), "no such file"},
		"no secret":           {strings.Replace(base, "test:a, luns: [0]", "test:a, luns: [0], chap: {user: a}", 1), "the CHAP user a has no secret"},
		"another data_dir":    {"data_dir: /elsewhere\n", "data_dir"},
	} {
		t.Run(name, func(t *testing.T) {
			err := o.apply(x.text)
			require.ErrorIs(t, err, admin.ErrRefused)
			require.ErrorContains(t, err, x.want)
			now, err := o.client.Config(ctx)
			require.NoError(t, err)
			require.Equal(t, before, now)
			still(t, a)
			if name == "a reopen that fails" { // it was away for a moment
				_, err := b.DrainUA(ctx)
				require.NoError(t, err)
				require.NoError(t, b.Write(ctx, 0, make([]byte, 512)))
				_, err = a.DrainUA(ctx)
				require.NoError(t, err)
			} else {
				still(t, b)
			}
			_, err = o.login("b", 1)
			require.Error(t, err, "an address of the refused configuration is open")
		})
	}
	o.write("targets: [")
	require.Error(t, o.Reload(ctx))
	require.NotZero(t, o.log.FilterMessageSnippet("was refused changing the configuration").Len())
	still(t, a)
	o.write(base + "      - {lun: 2, name: two, size: 4MiB}\n")
	require.NoError(t, o.Reload(ctx))
	still(t, a)
}

// What is made through the API is there after a restart; ten versions are kept.
func TestManagedSurvives(t *testing.T) {
	o := operate(t, base)
	ctx := t.Context()
	edit := func(e admin.ConfigEdit) error {
		c, err := o.client.Config(ctx)
		require.NoError(t, err)
		_, err = o.client.EditConfig(ctx, c.Version, e)
		return err
	}
	_, a := o.unit("a", 0, 0)
	_, b := o.unit("b", 0, 0)
	require.NoError(t, edit(admin.ConfigEdit{Verb: "create", Noun: "LUN", Name: "csv", Target: testTarget, Keys: admin.Keys{"size": "8MiB"}}))
	still(t, a)
	seen, err := b.DrainUA(ctx)
	require.NoError(t, err)
	require.Equal(t, []initiator.ASC{0x3f0e}, seen)
	require.NoError(t, edit(admin.ConfigEdit{Verb: "create", Noun: "initiator", Name: "iqn.2026-11.test:c", Target: testTarget}))
	require.NoError(t, edit(admin.ConfigEdit{Verb: "create", Noun: "portal", Name: o.ports[1], Keys: admin.Keys{"group": 1}}))
	require.NoError(t, edit(admin.ConfigEdit{Verb: "set", Noun: "LUN", Name: "csv", Keys: admin.Keys{"size": "16MiB"}}))
	_, c := o.unit("c", 1, 2)
	want := make([]byte, 4096)
	copy(want, "kept")
	require.NoError(t, c.Write(ctx, 8, want))

	for _, x := range []struct {
		e    admin.ConfigEdit
		want error
	}{
		{admin.ConfigEdit{Verb: "create", Noun: "LUN", Name: "csv", Target: testTarget}, admin.ErrRefused},
		{admin.ConfigEdit{Verb: "set", Noun: "LUN", Name: "csv", Keys: admin.Keys{"sise": "1M"}}, admin.ErrRefused},
		{admin.ConfigEdit{Verb: "set", Noun: "LUN", Name: "csv", Keys: admin.Keys{"size": "1M"}}, admin.ErrRefused},
		{admin.ConfigEdit{Verb: "delete", Noun: "LUN", Name: "zero"}, admin.ErrRefused},
		{admin.ConfigEdit{Verb: "delete", Noun: "LUN", Name: "nothing"}, admin.ErrNotFound},
	} {
		require.ErrorIs(t, edit(x.e), x.want, "%+v", x.e)
	}
	_, err = o.client.EditConfig(ctx, "0123456789abcdef", admin.ConfigEdit{Verb: "delete", Noun: "LUN", Name: "csv"})
	require.ErrorIs(t, err, admin.ErrStale)

	require.NoError(t, c.S.Close())
	stopTest(t, o.Daemon)
	o.start()
	_, c = o.unit("c", 1, 2)
	got, err := c.Read(ctx, 8, 8)
	require.NoError(t, err)
	require.Equal(t, want, got)
	blocks, err := c.LoadCapacity(ctx)
	require.NoError(t, err)
	require.Equal(t, uint64(16<<20/512), blocks)

	// A name in both is an error, wherever it comes last.
	require.ErrorContains(t, o.apply(base+"      - {lun: 7, name: csv, size: 8MiB}\n"), "csv is taken by")
	o.write(base)
	for i := range 15 {
		require.NoError(t, edit(admin.ConfigEdit{Verb: "set", Noun: "LUN", Name: "csv", Keys: admin.Keys{"read_only": i%2 == 0}}))
	}
	files, err := filepath.Glob(filepath.Join(o.data, "managed.yaml*"))
	require.NoError(t, err)
	require.Len(t, files, 11)
	for _, f := range files {
		st, err := os.Stat(f)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	}
	require.NoError(t, edit(admin.ConfigEdit{Verb: "delete", Noun: "LUN", Name: "csv"}))
	require.NoError(t, edit(admin.ConfigEdit{Verb: "delete", Noun: "portal", Name: o.ports[1]}))
	_, err = o.login("c", 1)
	require.Error(t, err)

	// A damaged one stops the start, and says where the one before is.
	c.S.Close()
	stopTest(t, o.Daemon)
	require.NoError(t, os.WriteFile(filepath.Join(o.data, "managed.yaml"), []byte("targets: {"), 0o600))
	s, err := config.ReadSource(o.file)
	require.NoError(t, err)
	conf, err := config.Parse(s.Name, s.Data)
	require.NoError(t, err)
	_, err = Start(ctx, conf, Options{Operators: Operators{Source: s}})
	require.ErrorContains(t, err, "managed.yaml:1")
	require.ErrorContains(t, err, "managed.yaml.1")
	require.NoError(t, os.Rename(filepath.Join(o.data, "managed.yaml.1"), filepath.Join(o.data, "managed.yaml")))
	o.start()
}

// Whoever is not concerned goes on writing and reading through changes.
func TestApplyUnderLoad(t *testing.T) {
	o := operate(t, base)
	_, a := o.unit("a", 0, 0)
	stop, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		for i := uint64(0); stop.Err() == nil; i++ {
			if err := a.Write(t.Context(), i%1024*8, make([]byte, 4096)); err != nil {
				failed = err
				return
			}
		}
	})
	for i := range 10 {
		text := base
		if i%2 == 0 {
			text += "      - {lun: 2, name: two, size: 4MiB}\n"
		}
		require.NoError(t, o.apply(text))
	}
	cancel()
	wg.Wait()
	require.NoError(t, failed)
}

// The API's answers as other clients see them: a change names the version it is
// meant for, and what is wrong comes one by one, with its place. RFC 9457.
func TestConfigurationOverHTTP(t *testing.T) {
	o := operate(t, base)
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(o.data, admin.SocketName))
	}}}
	defer client.CloseIdleConnections()
	do := func(method, path, ifMatch, body string) (int, http.Header, map[string]any) {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://nas-target"+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		if ifMatch != "" {
			req.Header.Set("If-Match", ifMatch)
		}
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		var v map[string]any
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&v))
		return resp.StatusCode, resp.Header, v
	}
	code, header, _ := do("GET", "/v1/config", "", "")
	require.Equal(t, 200, code)
	tag := header.Get("ETag")
	require.NotEmpty(t, tag)
	csv := "/v1/config/luns/csv?target=" + testTarget
	code, _, _ = do("PUT", csv, "", `{"size": "1MiB"}`)
	require.Equal(t, http.StatusPreconditionRequired, code)
	code, header, problem := do("PUT", csv, tag, `{"sise": "1MiB"}`)
	require.Equal(t, http.StatusConflict, code)
	require.Equal(t, "application/problem+json", header.Get("Content-Type"))
	first := problem["errors"].([]any)[0].(map[string]any)
	require.Contains(t, first["message"], "sise: unknown key; did you mean size?")
	require.Equal(t, "request:1", first["location"])
	code, _, change := do("PUT", csv, tag, `{"size": "1MiB"}`)
	require.Equal(t, 200, code)
	require.Len(t, change["changes"], 1)
	code, _, _ = do("DELETE", "/v1/config/luns/csv", tag, "")
	require.Equal(t, http.StatusPreconditionFailed, code, "it is another configuration now")
	code, _, _ = do("DELETE", "/v1/config/luns/csv", "*", "")
	require.Equal(t, 200, code)
	code, _, _ = do("DELETE", "/v1/config/luns/csv", "*", "")
	require.Equal(t, http.StatusNotFound, code)
	code, _, problem = do("POST", "/v1/config/diff", "", `{"name": "new.yaml", "text": "data_dir: `+o.data+`\nlogs: {}\nportal: []"}`)
	require.Equal(t, http.StatusConflict, code)
	require.Len(t, problem["errors"], 2)
	require.Equal(t, "new.yaml:2", problem["errors"].([]any)[0].(map[string]any)["location"])
}
