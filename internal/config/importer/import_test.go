package importer

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/internal/config"
)

// samples are files as their tools and administrators write them. Beside each
// stand the configuration, the report and the secrets that come of it.
// UPDATE=1 writes them anew.
var samples = []struct{ format, file string }{
	{"tgt", "targets.conf"},
	{"gotgt", "gotgt.json"},
	{"lio", "saveconfig.json"},
	{"lio", "demo.json"},
}

func read(t testing.TB, name string) File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return File{name, data}
}

func sampleOptions(t testing.TB) Options {
	return Options{SecretsFile: "/etc/nas-target/chap-secrets", Include: func(pattern string) ([]File, error) {
		if pattern != "conf.d/*.conf" {
			return nil, os.ErrNotExist
		}
		return []File{read(t, "conf.d/backup.conf")}, nil
	}}
}

func TestSamples(t *testing.T) {
	for _, s := range samples {
		t.Run(s.file, func(t *testing.T) {
			r, err := Import(s.format, read(t, s.file), sampleOptions(t))
			require.NoError(t, err)
			var report strings.Builder
			for _, n := range r.Report {
				fmt.Fprintln(&report, n)
			}
			for ending, got := range map[string]string{
				".yaml": string(r.Text), ".report": report.String(), ".secrets": string(r.Secrets.Reveal()),
			} {
				path := filepath.Join("testdata", s.file+ending)
				if os.Getenv("UPDATE") != "" {
					require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
				}
				want, err := os.ReadFile(path)
				require.NoError(t, err)
				require.Equal(t, string(want), got, path)
			}
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", r, r, r.Secrets), "secret-of-the-storage")
		})
	}
}

func one(t *testing.T, format, text string) (*Result, error) {
	t.Helper()
	return Import(format, File{"f", []byte(text)}, Options{Portals: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:3260")}})
}

// What is wrong with a file is told with its line.
func TestRefused(t *testing.T) {
	for name, x := range map[string]struct{ format, text, want string }{
		"no such format": {"scst", "", `"scst" is none of gotgt, tgt, lio`},

		"gotgt: trailing comma":    {"gotgt", "{\n\"storages\":[\n{\"deviceID\":1,}]}", "f:3: invalid character '}'"},
		"gotgt: cut off":           {"gotgt", "{\n\"storages\":[", "f:2: the text ends too early"},
		"gotgt: more behind":       {"gotgt", "{}\n{}", "f:1: something follows"},
		"gotgt: twice":             {"gotgt", "{\"storages\":[],\n\"storages\":[]}", `f:2: "storages" stands twice`},
		"gotgt: twice in capitals": {"gotgt", "{\"storages\":[],\n\"Storages\":[]}", `f:2: "Storages" stands twice, the first time as "storages"`},
		"gotgt: kind":              {"gotgt", "{\"storages\":[\n{\"deviceID\":\"x\"}]}", "f:2: cannot unmarshal string"},
		"gotgt: device twice":      {"gotgt", "{\"storages\":[{\"deviceID\":1},\n{\"deviceID\":1}]}", "f:2: deviceID 1 stands twice"},
		"gotgt: no such device":    {"gotgt", "{\"iscsitargets\":{\"iqn.2026-11.a:b\":{\"luns\":{\n\"0\":5}}}}", "f:2: LUN 0 has deviceID 5, which no storage has"},
		"gotgt: no such portal":    {"gotgt", "{\"iscsitargets\":{\"iqn.2026-11.a:b\":{\"tpgts\":{\n\"1\":[3]}}}}", "f:2: there is no portal 3"},
		"gotgt: name":              {"gotgt", "{\"iscsitargets\":{\n\"iqn.2026-11.a:b_c\":{}}}", `f:2: targets[0].name: "iqn.2026-11.a:b_c" is not an iSCSI name`},
		"gotgt: empty":             {"gotgt", "{}", "f: there is no iSCSI target in it"},

		"tgt: end of nothing":  {"tgt", "\n</target>", "f:2: </target> ends a block that nothing begins"},
		"tgt: no end":          {"tgt", "<target iqn.2026-11.a:b>\n", "f:1: the block <target> has no end"},
		"tgt: crossed":         {"tgt", "<target a>\n<backing-store /x>\n</target>", "f:3: </target> ends the block <backing-store> of line 2"},
		"tgt: no block":        {"tgt", "<target a\nb", "f:1: <target a is not a block"},
		"tgt: deep":            {"tgt", "<target a>\n<backing-store /x>\n<b c>", "f:3: blocks nest two deep"},
		"tgt: C comment":       {"tgt", "/* x */", "f:1: C comments"},
		"tgt: here document":   {"tgt", "<target a>\nvendor_id <<EOF", "f:2: here documents"},
		"tgt: goes on":         {"tgt", "\ndefault-driver \\", "f:2: the last line says that it goes on"},
		"tgt: include":         {"tgt", "\ninclude x.conf", "f:2: include x.conf: other files are not read here"},
		"tgt: other block":     {"tgt", "<target iqn.2026-11.a:b>\n<store x>\n</store>\n</target>", "f:2: <store> is no block of a target"},
		"tgt: mixed":           {"tgt", "<target iqn.2026-11.a:b>\nbacking-store /a\n<backing-store /b>\n</backing-store>\n</target>", "f:3: lines and blocks of backing-store are mixed"},
		"tgt: LUN twice":       {"tgt", "<target iqn.2026-11.a:b>\n<backing-store /a>\nlun 3\n</backing-store>\n<backing-store /b>\nlun 3\n</backing-store>\n</target>", "f:6: LUN 3 is taken by the store of line 2"},
		"tgt: LUN":             {"tgt", "<target iqn.2026-11.a:b>\n<backing-store /a>\nlun 0\n</backing-store>\n</target>", `f:3: "0" is not a LUN of tgt`},
		"tgt: LUN out of ours": {"tgt", "<target iqn.2026-11.a:b>\n<backing-store /a>\nlun 20000\n</backing-store>\n</target>", "f:2: targets[0].luns[0].lun: must be 0 to 16383"},
		"tgt: serial twice":    {"tgt", "<target iqn.2026-11.a:b>\nscsi_sn a\nscsi_sn b\n</target>", "f:3: scsi_sn stands twice; the first is on line 2"},
		"tgt: target id":       {"tgt", "<target iqn.2026-11.a:b>\ncontroller_tid x\n</target>", `f:2: "x" is not a target id`},
		"tgt: no secret":       {"tgt", "<target iqn.2026-11.a:b>\nincominguser joe\n</target>", "f:2: incominguser needs a user and a secret"},
		"tgt: two secrets":     {"tgt", "<target iqn.2026-11.a:b>\nincominguser joe 123456789012\n</target>\n<target iqn.2026-11.a:c>\nincominguser joe 210987654321\n</target>", "f:5: the CHAP user joe has another secret elsewhere"},
		"tgt: block size":      {"tgt", "<target iqn.2026-11.a:b>\n<backing-store /a>\nblock-size big\n</backing-store>\n</target>", `f:3: "big" is not a block size`},

		"lio: no object":        {"lio", "[]", "f:1: an object in braces belongs here"},
		"lio: deep":             {"lio", strings.Repeat("[", 100), "f:1: nested more than 64 deep"},
		"lio: list":             {"lio", "{\"targets\":\n{}}", "f:2: a list in brackets belongs here"},
		"lio: no name":          {"lio", "{\"storage_objects\":[\n{\"plugin\":\"block\"}]}", "f:2: a storage object needs name and plugin"},
		"lio: no dev":           {"lio", "{\"storage_objects\":[\n{\"plugin\":\"block\",\"name\":\"a\"}]}", "f:2: a has no dev"},
		"lio: size":             {"lio", "{\"storage_objects\":[{\"plugin\":\"block\",\n\"size\":1.5}]}", "f:2: 1.5 is not a whole number"},
		"lio: truth":            {"lio", "{\"storage_objects\":[{\"plugin\":\"block\",\n\"write_back\":\"maybe\"}]}", "f:2: maybe is neither true nor false"},
		"lio: no storage":       {"lio", lioTarget1("\"luns\":[\n{\"index\":0,\"storage_object\":\"/backstores/block/a\"}]"), "f:2: there is no storage object /backstores/block/a"},
		"lio: no index":         {"lio", lioTarget1("\"luns\":[\n{}]"), `f:2: "index" is missing here`},
		"lio: portal":           {"lio", lioTarget1("\"portals\":[\n{\"ip_address\":\"nas\"}]"), "f:2: nas port 3260 is not an address and a port"},
		"lio: tag":              {"lio", lioTarget1("\n\"tag\":70000"), "f:1: the tag 70000 is not one of"},
		"lio: no such LUN":      {"lio", lioTarget1("\"node_acls\":[{\"node_wwn\":\"iqn.2026-11.a:i\",\"mapped_luns\":[\n{\"index\":0,\"tpg_lun\":4}],\"attributes\":{\"authentication\":0}}]"), "f:2: tpg_lun is 4, and the portal group has no such LUN"},
		"lio: control in names": {"lio", "{\"targets\":[{\"fabric\":\"iscsi\",\"wwn\":\"iqn.2026-11.a:\\u001b[31m\",\"tpgs\":[{}]}]}", `\x1b[31m`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := one(t, x.format, x.text)
			require.ErrorContains(t, err, x.want)
			require.NotContains(t, err.Error(), "\x1b")
		})
	}
}

func lioTarget1(tpg string) string {
	return `{"targets":[{"fabric":"iscsi","wwn":"iqn.2026-11.a:b","tpgs":[{` + tpg + `}]}]}`
}

// A disk that is missing after the move must not be made anew: no imported file
// has a size to make it with.
func TestMissingDisksAreNotMade(t *testing.T) {
	for _, s := range samples {
		r, err := Import(s.format, read(t, s.file), sampleOptions(t))
		require.NoError(t, err)
		for _, target := range r.Config.Targets {
			for _, l := range target.LUNs {
				if l.Backstore == "file" {
					require.NotContains(t, fmt.Sprintf("%+v", l.Options), "Size:1", "%s", l.Name)
					require.Contains(t, fmt.Sprintf("%+v", l.Options), "Size:0")
				}
			}
		}
	}
}

// What Look finds decides between file and device, and what it cannot find is
// told.
func TestLooksAtDisks(t *testing.T) {
	r, err := Import("tgt", File{"f", []byte("<target iqn.2026-11.a:b>\nbacking-store /srv/volume\nbacking-store /srv/away\n</target>")}, Options{
		Look: func(path string) (bool, error) {
			if path == "/srv/away" {
				return false, errors.New("stat /srv/away: not there")
			}
			return true, nil
		}})
	require.NoError(t, err)
	luns := r.Config.Targets[0].LUNs
	require.Equal(t, []string{"file", "block"}, []string{luns[0].Backstore, luns[1].Backstore}, "by path, as tgt-admin numbers them")
	require.Contains(t, fmt.Sprint(r.Report), "f:3: check: there is no disk here yet: stat /srv/away: not there")
}

func TestIncludesEnd(t *testing.T) {
	self := File{"f", []byte("include f\n")}
	_, err := Import("tgt", self, Options{Include: func(string) ([]File, error) { return []File{self}, nil }})
	require.ErrorContains(t, err, "does one include itself?")
}

// A serial number that cannot be taken over is told of, and the disk is served.
func TestUnfitSerial(t *testing.T) {
	r, err := one(t, "tgt", "<target iqn.2026-11.a:b>\nbacking-store /a\nscsi_sn two words\n</target>")
	require.NoError(t, err)
	require.Empty(t, r.Config.Targets[0].LUNs[0].Serial)
	require.Contains(t, fmt.Sprint(r.Report), "f:2: not carried over: the serial number of a: must be 1 to 64")
}

// What several LUNs of a target share in targets.conf stays with the first.
func TestIdentifiersAreUnique(t *testing.T) {
	r, err := one(t, "tgt", "<target iqn.2026-11.a:b>\nbacking-store /a\nbacking-store /b\nscsi_id shared\nscsi_sn SHARED\n</target>")
	require.NoError(t, err)
	luns := r.Config.Targets[0].LUNs
	require.Equal(t, "SHARED", luns[0].Serial)
	require.Equal(t, tgtNAA("shared"), luns[0].NAA)
	require.Empty(t, luns[1].Serial)
	require.Empty(t, luns[1].NAA)
	require.Contains(t, fmt.Sprint(r.Report), "f:3: not carried over: the NAA identifier of b, which a has")
}

// Two initiators may have one user with two secrets in LIO; here the second one
// stays out, rather than getting in with the first one's secret.
func TestOneUserTwoSecrets(t *testing.T) {
	r, err := one(t, "lio", `{"storage_objects":[{"name":"a","plugin":"fileio","dev":"/a","wwn":"1"}],
"targets":[{"fabric":"iscsi","wwn":"iqn.2026-11.a:b","tpgs":[{"attributes":{"authentication":1},
"luns":[{"index":0,"storage_object":"/backstores/fileio/a"}],"node_acls":[
{"node_wwn":"iqn.2026-11.a:i","chap_userid":"u","chap_password":"first-of-two-secrets","mapped_luns":[{"index":0,"tpg_lun":0}]},
{"node_wwn":"iqn.2026-11.a:j","chap_userid":"u","chap_password":"second-of-two-secrets","mapped_luns":[{"index":0,"tpg_lun":0}]}]}]}]}`)
	require.NoError(t, err)
	require.Len(t, r.Config.Targets[0].Initiators, 1)
	require.Equal(t, "iqn.2026-11.a:i", r.Config.Targets[0].Initiators[0].Name)
	require.Contains(t, fmt.Sprint(r.Report), "f:5: not carried over: the initiator iqn.2026-11.a:j: another secret stands elsewhere")
	require.Equal(t, "u first-of-two-secrets\n", string(r.Secrets.Reveal()))
}

// A digest that LIO insists on, or refuses, stays so.
func TestDigestPolicyOfLIO(t *testing.T) {
	group := func(tag int, header, data string) string {
		return fmt.Sprintf(`{"tag":%d,"parameters":{"HeaderDigest":%q,"DataDigest":%q},"attributes":{"authentication":0},
"portals":[{"ip_address":"192.0.2.%d","port":3260}],"luns":[{"index":0,"storage_object":"/backstores/fileio/a"}],
"node_acls":[{"node_wwn":"iqn.2026-11.a:i","mapped_luns":[{"index":0,"tpg_lun":0}]}]}`, tag, header, data, tag)
	}
	for name, c := range map[string]struct {
		groups       []string
		header, data config.Digest
		says         string
	}{
		"both sides choose": {[]string{group(1, "CRC32C,None", "None,CRC32C")}, config.DigestOffered, config.DigestOffered, ""},
		"required, refused": {[]string{group(1, "CRC32C", "None")}, config.DigestRequired, config.DigestRefused, ""},
		"groups agree":      {[]string{group(1, "CRC32C", "CRC32C"), group(2, "CRC32C", "CRC32C")}, config.DigestRequired, config.DigestRequired, ""},
		"groups differ": {[]string{group(1, "CRC32C", "CRC32C"), group(2, "CRC32C", "None")}, config.DigestRequired, config.DigestOffered,
			"changed: DataDigest differs between the portal groups"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := one(t, "lio", `{"storage_objects":[{"name":"a","plugin":"fileio","dev":"/a","wwn":"1"}],
"targets":[{"fabric":"iscsi","wwn":"iqn.2026-11.a:b","tpgs":[`+strings.Join(c.groups, ",")+`]}]}`)
			require.NoError(t, err)
			require.Equal(t, c.header, r.Config.Targets[0].HeaderDigest)
			require.Equal(t, c.data, r.Config.Targets[0].DataDigest)
			require.Contains(t, fmt.Sprint(r.Report), c.says)
			require.Equal(t, c.says != "", strings.Contains(fmt.Sprint(r.Report), "Digest"))
		})
	}
}

// An initiator that is left out does not come in by the row for everybody.
func TestWhoIsLeftOutStaysOut(t *testing.T) {
	for name, acl := range map[string]string{
		"a name that is none": `{"node_wwn":"iqn.2026-11.a:no+name","mapped_luns":[{"index":0,"tpg_lun":0}]}`,
		"without a disk":      `{"node_wwn":"iqn.2026-11.a:i","mapped_luns":[]}`,
		"without credentials": `{"node_wwn":"iqn.2026-11.a:i","attributes":{"authentication":1},"mapped_luns":[{"index":0,"tpg_lun":0}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			r, err := one(t, "lio", `{"storage_objects":[{"name":"a","plugin":"fileio","dev":"/a","wwn":"1"},{"name":"b","plugin":"fileio","dev":"/b","wwn":"2"}],
"targets":[{"fabric":"iscsi","wwn":"iqn.2026-11.a:b","tpgs":[{"attributes":{"authentication":0,"generate_node_acls":1,"demo_mode_write_protect":0},
"luns":[{"index":0,"storage_object":"/backstores/fileio/a"},{"index":1,"storage_object":"/backstores/fileio/b"}],"node_acls":[`+acl+`]}]}]}`)
			require.NoError(t, err)
			require.Equal(t, config.AccessListed, r.Config.Targets[0].Access)
			require.Empty(t, r.Config.Targets[0].Initiators)
		})
	}
}

// Import never fails in another way than by a message with a place, and what it
// returns is a configuration.
func fuzz(f *testing.F, format string) {
	for _, s := range samples {
		if s.format == format {
			f.Add(read(f, s.file).Data)
		}
	}
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Import(format, File{"fuzz", data}, Options{SecretsFile: "/s", Include: func(string) ([]File, error) {
			return []File{{"inner", []byte("<target iqn.2026-11.a:b>\nbacking-store /a\n</target>\n")}}, nil
		}})
		if err != nil {
			var all *config.Error
			require.ErrorAs(t, err, &all)
			require.NotEmpty(t, all.Problems)
			return
		}
		again, err := config.Parse("again", r.Text)
		require.NoError(t, err)
		require.Equal(t, r.Config, again)
		for _, n := range r.Report {
			require.NotEmpty(t, n.String())
		}
	})
}

func FuzzGOTGT(f *testing.F) { fuzz(f, "gotgt") }
func FuzzTGT(f *testing.F)   { fuzz(f, "tgt") }
func FuzzLIO(f *testing.F)   { fuzz(f, "lio") }
