package daemon

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"nas-target/internal/config"
	"nas-target/internal/initiator"
	"nas-target/internal/iscsi"
	"nas-target/internal/scsi"
)

const (
	nodeSecret    = "the-secret-of-node1"
	storageSecret = "the-secret-of-storage"
	scoutSecret   = "the-secret-of-scout"
	chapTarget    = `
  - name: ` + testTarget + `
    initiators:
      - {name: iqn.2026-11.test:one, chap: {user: node1}}
      - {name: iqn.2026-11.test:both, chap: {user: node1, mutual_user: storage}}
      - {name: iqn.2026-11.test:none}
    luns: [{lun: 0, name: a, size: 1MiB}]
`
)

func writeSecrets(t *testing.T, dir, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, config.SecretsName), []byte(text), 0o600))
}

func startCHAP(t *testing.T, chap string) *Daemon {
	t.Helper()
	dir := t.TempDir()
	writeSecrets(t, dir, "node1 "+nodeSecret+"\nstorage "+storageSecret+"\nscout "+scoutSecret+"\nother the-secret-of-other\n")
	return startTest(t, parse(t, dir, chapTarget+chap))
}

func TestCHAP(t *testing.T) {
	d := startCHAP(t, "")
	login := func(name string, c *initiator.CHAP) error {
		conf := dialConfig(d, "iqn.2026-11.test:"+name)
		conf.CHAP = c
		s, err := initiator.Dial(t.Context(), conf)
		if err != nil {
			return err
		}
		return s.Logout(t.Context())
	}
	for _, algorithm := range []int{5, 6, 7, 8} {
		only := []int{algorithm}
		require.NoError(t, login("one", &initiator.CHAP{User: "node1", Secret: nodeSecret, Algorithms: only}), algorithm)
		require.NoError(t, login("both", &initiator.CHAP{User: "node1", Secret: nodeSecret, MutualUser: "storage", MutualSecret: storageSecret, Algorithms: only}), algorithm)
	}
	require.NoError(t, login("both", &initiator.CHAP{User: "node1", Secret: nodeSecret}), "an initiator need not ask who we are")
	require.NoError(t, login("none", nil))

	// Who somebody proved to be is told.
	for name, c := range map[string]*initiator.CHAP{"one": {User: "node1", Secret: nodeSecret}, "none": nil} {
		conf := dialConfig(d, "iqn.2026-11.test:"+name)
		conf.CHAP = c
		s, err := initiator.Dial(t.Context(), conf)
		require.NoError(t, err)
		defer s.Close()
	}
	require.Eventually(t, func() bool { // those from before may still be ending
		users := map[string]string{}
		for _, s := range d.sessions().list {
			users[s.Host] = s.User
		}
		return maps.Equal(users, map[string]string{"one": "node1", "none": ""})
	}, 10*time.Second, time.Millisecond)

	for name, x := range map[string]struct {
		who  string
		chap *initiator.CHAP
	}{
		"no proof":                       {"one", nil},
		"wrong secret":                   {"one", &initiator.CHAP{User: "node1", Secret: "the-secret-of-node2"}},
		"empty secret":                   {"one", &initiator.CHAP{User: "node1"}},
		"unknown user":                   {"one", &initiator.CHAP{User: "nobody", Secret: nodeSecret}},
		"another's user":                 {"one", &initiator.CHAP{User: "other", Secret: "the-secret-of-other"}},
		"the target's own user":          {"both", &initiator.CHAP{User: "storage", Secret: storageSecret}},
		"wrong secret of the target":     {"both", &initiator.CHAP{User: "node1", Secret: nodeSecret, MutualUser: "storage", MutualSecret: "something else"}},
		"the target has no user":         {"one", &initiator.CHAP{User: "node1", Secret: nodeSecret, MutualUser: "storage", MutualSecret: storageSecret}},
		"its own challenge sent back":    {"both", &initiator.CHAP{User: "node1", Secret: nodeSecret, MutualUser: "storage", MutualSecret: storageSecret, Reflect: true}},
		"a stranger with a good secret":  {"stranger", &initiator.CHAP{User: "node1", Secret: nodeSecret}},
		"an algorithm that is not known": {"one", &initiator.CHAP{User: "node1", Secret: nodeSecret, Algorithms: []int{99}}},
	} {
		require.Error(t, login(x.who, x.chap), name)
	}
}

func TestCHAPAlgorithmsAreAPolicy(t *testing.T) {
	core, seen := observer.New(zapcore.WarnLevel)
	dir := t.TempDir()
	writeSecrets(t, dir, "node1 "+nodeSecret+"\nstorage "+storageSecret)
	conf := parse(t, dir, chapTarget+"chap: {algorithms: [sha3-256, sha-256]}\n")
	d, err := Start(t.Context(), conf, Options{Log: zap.New(core)})
	require.NoError(t, err)
	defer stopTest(t, d)
	require.Zero(t, seen.FilterMessageSnippet("MD5").Len())
	c := dialConfig(d, "iqn.2026-11.test:one")
	for algorithm, allowed := range map[int]bool{5: false, 6: false, 7: true, 8: true} {
		c.CHAP = &initiator.CHAP{User: "node1", Secret: nodeSecret, Algorithms: []int{algorithm}}
		s, err := initiator.Dial(t.Context(), c)
		if !allowed {
			require.Error(t, err, algorithm)
			continue
		}
		require.NoError(t, err, algorithm)
		require.NoError(t, s.Logout(t.Context()))
	}
}

// A proof that is asked for after a login began, and before it is in, is asked
// for: nobody slips in between two configurations.
func TestProofAskedForMeanwhile(t *testing.T) {
	const open = "\n  - name: " + testTarget + "\n    initiators: [{name: iqn.2026-11.test:one%s}]\n"
	view := func(proof string) *view {
		conf := parse(t, t.TempDir(), fmt.Sprintf(open, proof))
		return newView(&conf.Targets[0], conf, nil, proofs{})
	}
	home := newTarget(view(""))
	who := iscsi.InitiatorInfo{ConnInfo: iscsi.ConnInfo{TPGT: 1}, Name: "iqn.2026-11.test:one"}
	owed, refused := home.node().Authorize(who)
	require.Nil(t, refused)
	require.Nil(t, owed)
	home.show(view(", chap: {user: node1}"))
	nexus := scsi.Nexus{Initiator: "i", Target: home.device.Ports()[0].Name}
	_, err := home.attach(nexus, who)
	require.Error(t, err)
	who.User = "node1"
	g, err := home.attach(nexus, who)
	require.NoError(t, err)
	g.Detach()
}

// MD5 is allowed because Windows needs it, and said to be.
func TestMD5IsWarnedOf(t *testing.T) {
	core, seen := observer.New(zapcore.WarnLevel)
	dir := t.TempDir()
	writeSecrets(t, dir, "node1 "+nodeSecret+"\nstorage "+storageSecret)
	d, err := Start(t.Context(), parse(t, dir, chapTarget), Options{Log: zap.New(core)})
	require.NoError(t, err)
	defer stopTest(t, d)
	require.Equal(t, 1, seen.FilterMessageSnippet("MD5").Len())
	o, err := ask(t, dir).Overview(t.Context())
	require.NoError(t, err)
	require.Contains(t, codes(o.Problems), "weak_chap")
}

// Discovery asks for a proof of its own, if it does.
func TestDiscoveryCHAP(t *testing.T) {
	d := startCHAP(t, "chap: {discovery: {user: scout, mutual_user: storage}}\n")
	discover := func(c *initiator.CHAP) ([]initiator.TargetRecord, error) {
		s, err := initiator.Dial(t.Context(), initiator.Config{
			Addr: d.Portals()[0].String(), InitiatorName: "iqn.2026-11.test:one", Discovery: true, CHAP: c,
		})
		if err != nil {
			return nil, err
		}
		defer s.Close()
		return s.SendTargets(t.Context(), "All")
	}
	all, err := discover(&initiator.CHAP{User: "scout", Secret: scoutSecret, MutualUser: "storage", MutualSecret: storageSecret})
	require.NoError(t, err)
	require.Len(t, all, 1)
	_, err = discover(nil)
	require.Error(t, err)
	_, err = discover(&initiator.CHAP{User: "node1", Secret: nodeSecret})
	require.Error(t, err, "who may log in to a target may not therefore look for others")
}

func TestMissingSecretStopsTheStart(t *testing.T) {
	dir := t.TempDir()
	writeSecrets(t, dir, "node1 "+nodeSecret)
	_, err := Start(t.Context(), parse(t, dir, chapTarget), Options{})
	require.ErrorContains(t, err, "the CHAP user storage has no secret")
}

// The same with somebody else's initiator.
func TestCHAPWithLibiscsi(t *testing.T) {
	tool, err := exec.LookPath("iscsi-inq")
	require.NoError(t, err, "needs libiscsi-bin")
	d := startCHAP(t, "chap: {discovery: {user: scout}}\n")
	portal := d.Portals()[0].String()
	run := func(tool, name, url string) (string, error) {
		args := []string{url}
		if name != "" {
			args = []string{"-i", "iqn.2026-11.test:" + name, url}
		}
		out, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
		return string(out), err
	}
	path := "/" + testTarget + "/0"
	for url, want := range map[string]bool{
		"iscsi://node1%" + nodeSecret + "@" + portal + path: true,
		"iscsi://node1%wrong-wrong-wrong@" + portal + path:  false,
		"iscsi://" + portal + path:                          false,
		"iscsi://node1%" + nodeSecret + "@" + portal + path + "?target_user=storage&target_password=" + storageSecret:         true,
		"iscsi://node1%" + nodeSecret + "@" + portal + path + "?target_user=storage&target_password=not-what-the-target-says": false,
	} {
		out, err := run(tool, "both", url)
		if want {
			require.NoError(t, err, "%s: %s", url, out)
			require.Contains(t, out, "VIRTUAL DISK", url)
		} else {
			require.Error(t, err, "%s: %s", url, out)
		}
	}
	ls := filepath.Join(filepath.Dir(tool), "iscsi-ls")
	out, err := run(ls, "none", "iscsi://scout%"+scoutSecret+"@"+portal)
	require.NoError(t, err, out)
	require.Contains(t, out, testTarget)
	out, err = run(ls, "none", "iscsi://"+portal)
	require.Error(t, err, out)
	require.False(t, strings.Contains(out, testTarget))
}
