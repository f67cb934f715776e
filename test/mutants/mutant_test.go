package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every mutant still finds its place in the source: a list that has rotted
// proves nothing. Killing them takes minutes and is not done here.
func TestEveryMutantApplies(t *testing.T) {
	root, err := moduleRoot()
	require.NoError(t, err)
	all, err := load(".")
	require.NoError(t, err)
	require.NotEmpty(t, all)
	names := map[string]bool{}
	for _, m := range all {
		require.False(t, names[m.name], "%s: a second mutant named %q", m.list, m.name)
		names[m.name] = true
		source, err := os.ReadFile(filepath.Join(root, m.file))
		require.NoError(t, err, m.list)
		_, err = m.apply(string(source))
		require.NoError(t, err)
	}
}

func TestParseRefusesWhatItCannotRead(t *testing.T) {
	good := "== a\nfile f\ntest ./x -run Y\n<<<<\nold\n====\nnew\n>>>>\n"
	ms, err := parse("l", "# comment\n\n"+good+"\n"+good)
	require.NoError(t, err)
	require.Len(t, ms, 2)
	require.Equal(t, mutant{name: "a", file: "f", test: "./x -run Y", old: "old", new: "new", list: "l:3"}, ms[0])
	for _, bad := range []string{
		"file f\n",
		"== a\nfile f\ntest t\n<<<<\nold\n====\nnew\n",
		"== a\nfile f\n<<<<\nold\n====\nnew\n>>>>\n",
		"== a\nfile f\ntest t\n",
		"== a\nnonsense\n",
	} {
		_, err := parse("l", bad)
		require.Error(t, err, "%q", bad)
	}
	_, err = mutant{old: "x\n", new: "y\n"}.apply("x\nx\n")
	require.Error(t, err)
	_, err = mutant{old: "z\n", new: "y\n"}.apply("x\n")
	require.Error(t, err)
	_, err = mutant{old: "x\n", new: "x\n"}.apply("x\n")
	require.Error(t, err)
}
