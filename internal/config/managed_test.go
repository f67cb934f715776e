package config

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"nas-target/configs"
)

const operators = `data_dir: /data
portals: [{group: 1, listen: ["10.0.0.5:3260"]}]
targets:
  - name: iqn.2026-11.com.example:a
    initiators: [{name: iqn.2026-11.com.example:i}]
    luns: [{lun: 0, name: witness, size: 1GiB}]
`

func TestManagedIsAdded(t *testing.T) {
	c, err := Merge(Source{"f.yaml", []byte(operators)}, Source{"managed.yaml", []byte(`
portals:
  - {group: 1, listen: ["10.0.0.6:3260"]}
  - {group: 2, listen: ["10.1.0.6:3260"]}
targets:
  - name: iqn.2026-11.com.example:b
    luns: [{lun: 0, name: other, backstore: ram, size: 1MiB}]
additions:
  - name: iqn.2026-11.com.example:a
    initiators: [{name: iqn.2026-11.com.example:j, luns: [1]}]
    luns: [{lun: 1, name: csv, size: 1GiB}]
`)}, nil)
	require.NoError(t, err)
	require.Len(t, c.Portals, 2)
	require.Len(t, c.Portals[0].Listen, 2)
	require.Len(t, c.Targets, 2)
	require.Len(t, c.Targets[0].LUNs, 2)
	require.Equal(t, "csv", c.Targets[0].LUNs[1].Name)
	require.Len(t, c.Targets[0].Initiators, 2)
	require.NotNil(t, c.Targets[0].LUNs[1].Options)
	require.Equal(t, "other", c.Targets[1].LUNs[0].Name)
	require.Len(t, c.Managed.Additions, 1)
}

func TestManagedIsJudgedWithTheFile(t *testing.T) {
	for want, managed := range map[string]string{
		"managed.yaml:3: additions[0].luns[0].name: witness is taken by targets[0].luns[0].name":                                                      "additions:\n  - name: iqn.2026-11.com.example:a\n    luns: [{lun: 1, name: witness, size: 1M}]",
		"managed.yaml:3: additions[0].luns[0].lun: 0 is taken by targets[0].luns[0].lun":                                                              "additions:\n  - name: iqn.2026-11.com.example:a\n    luns: [{lun: 0, name: x, size: 1M}]",
		"managed.yaml:1: targets[0].name: iqn.2026-11.com.example:a is taken by targets[0].name":                                                      "targets: [{name: iqn.2026-11.com.example:a}]",
		"managed.yaml:1: portals[0].listen[1]: 10.0.0.5:3260 is taken by portals[0].listen[0]":                                                        `portals: [{group: 1, listen: ["10.0.0.9:3260", "10.0.0.5:3260"]}]`,
		"managed.yaml:1: additions[0].name: there is no target iqn.x in the configuration file any more; put it back, or remove what was added to it": "additions: [{name: iqn.x}]",
		"managed.yaml:1: additions[0].alias: is the configuration file's to say":                                                                      "additions: [{name: iqn.2026-11.com.example:a, alias: x}]",
		"managed.yaml:1: log: unknown key; known here: additions, portals, targets":                                                                   "log: {level: debug}",
		"managed.yaml:1: additions[0].initiators[0].name: iqn.2026-11.com.example:i, from the same networks, is taken by targets[0].initiators[0]":    "additions: [{name: iqn.2026-11.com.example:a, initiators: [{name: iqn.2026-11.com.example:i}]}]",
		"managed.yaml:1: additions[0].luns[0].size: \"big\" is not a size: write a number of bytes, or one with KiB, MiB, GiB, TiB":                   "additions: [{name: iqn.2026-11.com.example:a, luns: [{lun: 3, name: x, size: big}]}]",
		"f.yaml:6: targets[0].luns[0].name: \"bad name\" is not a name: up to 63 letters, digits, dots, dashes and underscores":                       "",
	} {
		file := operators
		if strings.HasPrefix(want, "f.yaml") {
			file = strings.Replace(file, "witness", "bad name", 1)
		}
		_, err := Merge(Source{"f.yaml", []byte(file)}, Source{"managed.yaml", []byte(managed)}, nil)
		require.EqualError(t, err, want, managed)
	}
}

// What is written is read as the same.
func TestYAMLRoundTrip(t *testing.T) {
	names, err := fs.Glob(configs.Files, "*.yaml")
	require.NoError(t, err)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			data, err := configs.Files.ReadFile(name)
			require.NoError(t, err)
			want, err := Parse(name, data)
			require.NoError(t, err)
			want.Page.Hosts = append([]string(nil), want.Page.Hosts...) // nil if there are none
			text, err := YAML(want)
			require.NoError(t, err)
			got, err := Parse(name, text)
			require.NoError(t, err, "%s", text)
			require.Equal(t, want, got, "%s", text)
		})
	}
	nowhere, err := Parse("x.yaml", []byte("page: {listen: \"\"}\nchap: {secrets_file: \"\"}"))
	require.NoError(t, err)
	text, err := YAML(nowhere)
	require.NoError(t, err)
	got, err := Parse("x.yaml", text)
	require.NoError(t, err)
	require.Equal(t, nowhere, got, "%s", text)
	text, err = YAML(Managed{})
	require.NoError(t, err)
	_, err = Merge(Source{"f.yaml", []byte(operators)}, Source{"m.yaml", text}, nil)
	require.NoError(t, err)
}

func TestFormatSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0", 512: "512", 1024: "1KiB", 1 << 20: "1MiB", 1536: "1536", 1 << 40: "1TiB", 3 << 29: "1536MiB", 1 << 50: "1PiB", 1<<50 + 512: "1125899906843136",
	} {
		require.Equal(t, want, FormatSize(n))
		back, err := ParseSize(want)
		require.NoError(t, err)
		require.Equal(t, n, back)
	}
}
