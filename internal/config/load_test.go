package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"nas-target/configs"
	"nas-target/internal/backstore"
)

// Every file of configs/ loads.
func TestReadyConfigurations(t *testing.T) {
	names, err := fs.Glob(configs.Files, "*.yaml")
	require.NoError(t, err)
	require.Contains(t, names, LabFile)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			data, err := configs.Files.ReadFile(name)
			require.NoError(t, err)
			_, err = Parse(name, data)
			require.NoError(t, err)
		})
	}
}

// The commented reference mentions every key there is.
func TestReferenceIsComplete(t *testing.T) {
	data, err := configs.Files.ReadFile("nas-target.yaml")
	require.NoError(t, err)
	for _, key := range allKeys() {
		require.Regexp(t, `(?m)^[ -]*`+key+`:`, string(data), "configs/nas-target.yaml does not explain %s", key)
	}
}

func TestLabDefault(t *testing.T) {
	c, err := Lab()
	require.NoError(t, err)
	require.Equal(t, "./nas-data", c.DataDir)
	require.Len(t, c.Portals, 1)
	require.Len(t, c.Portals[0].Listen, 1)
	require.Equal(t, "127.0.0.1:3260", c.Portals[0].Listen[0].String())
	require.Len(t, c.Targets, 1)
	target := c.Targets[0]
	require.Equal(t, "iqn.2026-11.local.nas-target:lab", target.Name)
	require.Equal(t, AccessListed, target.Access)
	require.Len(t, target.LUNs, 2)
	require.Equal(t, int64(1<<30), target.LUNs[0].Options.(*backstore.FileOptions).Size)
	require.Equal(t, int64(10<<30), target.LUNs[1].Options.(*backstore.FileOptions).Size)
	for _, i := range target.Initiators {
		for _, n := range i.Networks {
			require.True(t, n.Addr().IsLoopback(), "the lab default lets %v in", n)
		}
	}
}

func TestDefaults(t *testing.T) {
	c, err := Parse("x.yaml", []byte("targets: []\n"))
	require.NoError(t, err)
	require.Equal(t, "/var/lib/nas-target", c.DataDir)
	require.Equal(t, Log{Level: "info", Format: "console"}, c.Log)

	require.Equal(t, Limits{PingInterval: 5 * time.Second, PingTimeout: 5 * time.Second}, c.Limits)

	c, err = Parse("x.yaml", []byte(`
limits: {ping_interval: 0s, ping_timeout: 2m}
portals: [{group: 1, listen: ["10.0.0.5:3260", "[fd00::5]:3260"]}]
targets:
  - name: iqn.2026-11.com.example:a
    luns: [{lun: 7, name: a, size: 1GiB}, {lun: 8, name: b, backstore: null, size: 4096}]
`))
	require.NoError(t, err)
	require.Equal(t, Limits{PingTimeout: 2 * time.Minute}, c.Limits)
	require.Equal(t, AccessListed, c.Targets[0].Access, "nobody gets in until told so")
	lun := c.Targets[0].LUNs[0]
	require.Equal(t, "file", lun.Backstore)
	require.Equal(t, 512, lun.BlockSize)
	require.True(t, lun.WriteCache)
	require.Equal(t, &backstore.FileOptions{Size: 1 << 30, LockWait: 15 * time.Second}, lun.Options)
	require.Equal(t, "null", c.Targets[0].LUNs[1].Backstore)
}

func TestEnvironmentStandsOverTheFile(t *testing.T) {
	t.Setenv("NAS_TARGET_DATA_DIR", "/elsewhere")
	t.Setenv("NAS_TARGET_LOG_LEVEL", "debug")
	c, err := Parse("x.yaml", []byte("data_dir: /here\nlog: {level: warn}\n"))
	require.NoError(t, err)
	require.Equal(t, "/elsewhere", c.DataDir)
	require.Equal(t, "debug", c.Log.Level)
}

// viper would take dots and capitals in keys apart; values are left alone.
func TestNamesKeepTheirLetters(t *testing.T) {
	c, err := Parse("x.yaml", []byte(`
portals: [{group: 1, listen: ["10.0.0.5:3260"]}]
targets:
  - name: iqn.2026-11.com.example:a.b:c-d
    alias: "Rack 3.A::Top"
    initiators: [{name: "iqn.1991-05.com.microsoft:node_1.example.com"}]
    luns: [{lun: 0, name: Witness.1, size: 1M}]
`))
	require.NoError(t, err)
	require.Equal(t, "iqn.2026-11.com.example:a.b:c-d", c.Targets[0].Name)
	require.Equal(t, "Rack 3.A::Top", c.Targets[0].Alias)
	require.Equal(t, "iqn.1991-05.com.microsoft:node_1.example.com", c.Targets[0].Initiators[0].Name)
	require.Equal(t, "Witness.1", c.Targets[0].LUNs[0].Name)
}

// Each testdata/*.bad.yaml begins with comments "# error: …": all that is said
// about the file, in order.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			var want []string
			for line := range strings.Lines(string(data)) {
				if text, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "# error: "); ok {
					want = append(want, text)
				}
			}
			require.NotEmpty(t, want, "say what is wrong with it")
			_, err = Load(path)
			require.Error(t, err)
			got := strings.ReplaceAll(err.Error(), path, filepath.Base(path))
			require.Equal(t, strings.Join(want, "\n"), got)
		})
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "512": 512, "512B": 512, "1KiB": 1024, "1K": 1024, "1kB": 1000, "1.5GiB": 3 << 29, " 2 TiB ": 2 << 40, "10GB": 1e10,
	} {
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "GiB", "-1", "-1GiB", "1XB", "9223372036854775808", "8388608TiB", "1e30GiB", "NaN", "Inf", "0x10"} {
		_, err := ParseSize(text)
		require.Error(t, err, text)
	}
}

func FuzzParse(f *testing.F) {
	for _, glob := range []string{"testdata/*.bad.yaml", "../../configs/*.yaml"} {
		files, err := filepath.Glob(glob)
		require.NoError(f, err)
		for _, path := range files {
			data, err := os.ReadFile(path)
			require.NoError(f, err)
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data)
		if err == nil {
			require.NotEmpty(t, c.DataDir)
			return
		}
		var all *Error
		require.ErrorAs(t, err, &all)
		require.NotEmpty(t, all.Problems)
		for _, p := range all.Problems {
			require.Positive(t, p.Line, p.String())
		}
	})
}
