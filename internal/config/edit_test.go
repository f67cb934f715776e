package config

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// made runs edits one after the other, as a daemon would.
func made(t *testing.T, edits ...Edit) (*Config, error) {
	t.Helper()
	c, err := Parse("f.yaml", []byte(operators))
	require.NoError(t, err)
	for _, e := range edits {
		m, err := c.Managed.With(e, c)
		if err != nil {
			return c, err
		}
		text, err := YAML(m)
		require.NoError(t, err)
		next, err := Merge(Source{"f.yaml", []byte(operators)}, Source{"managed.yaml", text}, nil)
		if err != nil {
			return c, err
		}
		c = next
	}
	return c, nil
}

const (
	theirs = "iqn.2026-11.com.example:a"
	ours   = "iqn.2026-11.com.example:b"
)

type keys = map[string]any

func TestEdits(t *testing.T) {
	c, err := made(t,
		Edit{Verb: Create, Noun: Targets, Name: ours, Keys: keys{"alias": "second"}},
		Edit{Verb: Create, Noun: LUNs, Target: ours, Name: "csv", Keys: keys{"size": "1GiB"}},
		Edit{Verb: Create, Noun: LUNs, Target: ours, Name: "csv2", Keys: keys{"size": "1GiB", "write_cache": false}},
		Edit{Verb: Create, Noun: LUNs, Target: theirs, Name: "more", Keys: keys{"size": 4096, "backstore": "ram"}},
		Edit{Verb: Set, Noun: LUNs, Name: "csv", Keys: keys{"read_only": true, "size": "2GiB"}},
		Edit{Verb: Create, Noun: Initiators, Target: theirs, Name: "iqn.x.com.example:k", Keys: keys{}},
	)
	require.ErrorContains(t, err, `"iqn.x.com.example:k" is not an iSCSI name`)
	require.Len(t, c.Targets, 2)
	require.Equal(t, "second", c.Targets[1].Alias)
	require.Len(t, c.Targets[1].LUNs, 2)
	require.Equal(t, uint16(1), c.Targets[1].LUNs[1].LUN, "the next free number")
	require.True(t, c.Targets[1].LUNs[0].ReadOnly)
	require.Equal(t, "more", c.Targets[0].LUNs[1].Name)

	c, err = made(t,
		Edit{Verb: Create, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:k", Keys: keys{"networks": []any{"10.0.0.0/8"}, "chap": keys{"user": "k"}}},
		Edit{Verb: Set, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:k", Keys: keys{"networks": nil, "luns": []any{0}, "chap": keys{"mutual_user": "m"}}},
		Edit{Verb: Create, Noun: Portals, Name: "10.0.0.7:3260", Keys: keys{"group": 1}},
		Edit{Verb: Create, Noun: Portals, Name: "10.1.0.7:3260", Keys: keys{"group": 2}},
		Edit{Verb: Set, Noun: Portals, Name: "10.0.0.7:3260", Keys: keys{"group": 2}},
	)
	require.NoError(t, err)
	k := c.Targets[0].Initiators[1]
	require.Empty(t, k.Networks)
	require.Equal(t, []uint16{0}, k.LUNs)
	require.Equal(t, CHAPUsers{"k", "m"}, k.CHAP)
	require.Len(t, c.Portals, 2)
	require.Len(t, c.Portals[1].Listen, 2)

	c, err = made(t,
		Edit{Verb: Create, Noun: Targets, Name: ours},
		Edit{Verb: Create, Noun: LUNs, Target: ours, Name: "x", Keys: keys{"size": "1M"}},
		Edit{Verb: Create, Noun: Portals, Name: "10.0.0.7:3260", Keys: keys{"group": 2}},
		Edit{Verb: Create, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:k"},
		Edit{Verb: Delete, Noun: LUNs, Name: "x"},
		Edit{Verb: Delete, Noun: Targets, Name: ours},
		Edit{Verb: Delete, Noun: Portals, Name: "10.0.0.7:3260"},
		Edit{Verb: Delete, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:k"},
	)
	require.NoError(t, err)
	require.Equal(t, &Managed{}, c.Managed, "nothing is left")
}

func TestEditsThatAreRefused(t *testing.T) {
	for name, x := range map[string]struct {
		edits []Edit
		want  error
		text  string
	}{
		"a target of the file":             {[]Edit{{Verb: Set, Noun: Targets, Name: theirs, Keys: keys{"alias": "x"}}}, ErrOperators, ""},
		"a LUN of the file":                {[]Edit{{Verb: Delete, Noun: LUNs, Name: "witness"}}, ErrOperators, ""},
		"an initiator of the file":         {[]Edit{{Verb: Delete, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:i"}}, ErrOperators, ""},
		"a portal of the file":             {[]Edit{{Verb: Delete, Noun: Portals, Name: "10.0.0.5:3260"}}, ErrOperators, ""},
		"a target that exists":             {[]Edit{{Verb: Create, Noun: Targets, Name: theirs}}, ErrTaken, ""},
		"a LUN that exists":                {[]Edit{{Verb: Create, Noun: LUNs, Target: theirs, Name: "witness"}}, ErrTaken, ""},
		"an initiator that exists":         {[]Edit{{Verb: Create, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:i"}}, ErrTaken, ""},
		"a portal that exists":             {[]Edit{{Verb: Create, Noun: Portals, Name: "10.0.0.5:3260", Keys: keys{"group": 1}}}, ErrTaken, ""},
		"a LUN of no target":               {[]Edit{{Verb: Create, Noun: LUNs, Target: ours, Name: "x"}}, ErrUnknown, ""},
		"no such LUN":                      {[]Edit{{Verb: Delete, Noun: LUNs, Name: "x"}}, ErrUnknown, ""},
		"no such target":                   {[]Edit{{Verb: Delete, Noun: Targets, Name: ours}}, ErrUnknown, ""},
		"no such initiator":                {[]Edit{{Verb: Set, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:z"}}, ErrUnknown, ""},
		"no such portal":                   {[]Edit{{Verb: Delete, Noun: Portals, Name: "10.0.0.9:3260"}}, ErrUnknown, ""},
		"a target with LUNs":               {[]Edit{{Verb: Create, Noun: Targets, Name: ours}, {Verb: Create, Noun: LUNs, Target: ours, Name: "x", Keys: keys{"size": 4096}}, {Verb: Delete, Noun: Targets, Name: ours}}, ErrInUse, ""},
		"an unknown key":                   {[]Edit{{Verb: Create, Noun: LUNs, Target: theirs, Name: "x", Keys: keys{"sise": "1M"}}}, nil, "sise: unknown key; did you mean size?"},
		"a secret":                         {[]Edit{{Verb: Create, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:z", Keys: keys{"secret": canary}}}, nil, "never here"},
		"a wrong value":                    {[]Edit{{Verb: Create, Noun: LUNs, Target: theirs, Name: "x", Keys: keys{"read_only": "perhaps"}}}, nil, "perhaps is neither true nor false"},
		"LUNs inside a target":             {[]Edit{{Verb: Create, Noun: Targets, Name: ours, Keys: keys{"luns": []any{}}}}, nil, "is not to be given here"},
		"a portal that is no address":      {[]Edit{{Verb: Create, Noun: Portals, Name: "eth0", Keys: keys{"group": 1}}}, nil, "is not an address with a port"},
		"a number of the file":             {[]Edit{{Verb: Create, Noun: LUNs, Target: theirs, Name: "x", Keys: keys{"lun": 0, "size": "1M"}}}, nil, "0 is taken by targets[0].luns[0].lun"},
		"a LUN that an initiator is shown": {[]Edit{{Verb: Create, Noun: LUNs, Target: theirs, Name: "x", Keys: keys{"lun": 5, "size": "1M"}}, {Verb: Create, Noun: Initiators, Target: theirs, Name: "iqn.2026-11.com.example:z", Keys: keys{"luns": []any{5}}}, {Verb: Delete, Noun: LUNs, Name: "x"}}, nil, "the target has no LUN 5"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := made(t, x.edits...)
			require.Error(t, err)
			if x.want != nil {
				require.ErrorIs(t, err, x.want)
			}
			require.ErrorContains(t, err, x.text)
			require.NotContains(t, err.Error(), canary)
		})
	}
}
