package audit

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a crash, a bad disk or an editor left in the files, the trail opens,
// goes on behind what it could read, and answers.
func FuzzOpen(f *testing.F) {
	for _, s := range []string{
		"", "\n", "{}\n", `{"kind":"head"}` + "\n" + `{"seq":1,"kind":"pr","result":"good"}` + "\n",
		`{"kind":"head","units":[{"unit":"u","registrations":[{"initiator":"a","key":"0x1","seq":9}],"departures":[{}]}]}` + "\n" +
			`{"seq":18446744073709551615,"kind":"pr","unit":"u","result":"good","pr":{"key":"0x1","added":[{"initiator":"a"}],"removed":[{"initiator":"a"}],"after":{"type":"x"}}}` + "\n{\"seq",
		`{"kind":"head","units":null}` + "\n" + `null` + "\n" + `{"seq":2,"kind":"admin","pr":{"key":"zz"}}` + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "trail-00000000000000000001.jsonl"), b, 0o600))
		tr, err := Open(Options{Dir: dir})
		require.NoError(t, err)
		tr.Note(Entry{Kind: KindAdmin, Action: "after", Result: Granted})
		found, _, err := tr.Find(Query{Limit: 1})
		require.NoError(t, err)
		require.NoError(t, tr.Close())
		if tr.seq != 0 { // numbers can end, after 2^64 entries
			require.Len(t, found, 1)
			require.Equal(t, "after", found[0].Action)
		}
		for _, e := range found {
			Words(e)
		}
		for _, o := range tr.units {
			require.NotNil(t, o.clone())
		}
	})
}
