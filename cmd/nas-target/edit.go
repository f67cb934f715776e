package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nas-target/internal/admin"
)

// A noun of the configuration, and its keys as flags. What is made by these
// commands stands in managed.yaml in the data directory, beside the operator's
// file, which is never written to.
type editNoun struct {
	noun   string // in the API
	use    string // what names it
	keys   []editKey
	target bool // it is named within a target
	names  func(context.Context, *admin.Client) ([]string, error)
	gone   string // what a delete leaves
}

// editKey is a key of the configuration as a flag. What its default is says
// what it takes.
type editKey struct {
	flag, key string // key may be "a.b"
	value     any
	help      string
	create    bool // cannot be changed later
}

var targetNoun = editNoun{
	noun: "target", use: "NAME", names: targetNames,
	keys: []editKey{
		{"alias", "alias", "", "what people call it", false},
		{"group", "portal_groups", []uint{}, "portal groups it is reached through (default all)", false},
		{"access", "access", "", "listed or open: open lets in whoever reaches a portal", false},
		{"header-digest", "header_digest", "", "offered, required or refused (default offered)", false},
		{"data-digest", "data_digest", "", "offered, required or refused (default offered)", false},
		{"moved-to", "moved_to", "", "address and port that initiators are sent to instead", false},
	},
	gone: "Its initiators are logged out.",
}

var lunNoun = editNoun{
	noun: "LUN", use: "NAME", names: lunNames,
	keys: []editKey{
		{"lun", "lun", uint(0), "number (default: the lowest that is free)", false},
		{"size", "size", "", "such as 500GiB; it only grows", false},
		{"backstore", "backstore", "", "file, block, ram or null (default file)", true},
		{"path", "path", "", "of the file or device (default: in the data directory)", true},
		{"block-size", "block_size", uint(0), "512 or 4096 bytes (default 512)", true},
		{"preallocate", "preallocate", false, "take all space at once", true},
		{"direct", "direct", false, "bypass the page cache", true},
		{"write-cache", "write_cache", true, "answer writes before they are durable, and say so", false},
		{"read-only", "read_only", false, "refuse writes", false},
		{"naa", "naa", "", "take over another target's identifier", true},
		{"serial", "serial", "", "take over another target's serial number", true},
		{"vendor", "vendor", "", "take over what INQUIRY said, up to 8 characters", true},
		{"product", "product", "", "the same, up to 16 characters", true},
		{"revision", "revision", "", "the same, up to 4 characters", true},
	},
	gone: "Its initiators lose it at once. Its data, identity and reservations stay in the data\ndirectory: a LUN that is created with this name again is the same disk.",
}

var initiatorNoun = editNoun{
	noun: "initiator", use: "NAME", target: true, names: initiatorNames,
	keys: []editKey{
		{"network", "networks", []string{}, "where it may come from, such as 10.0.0.0/24 (default anywhere)", false},
		{"lun", "luns", []uint{}, "numbers of the LUNs that it sees (default all)", false},
		{"chap-user", "chap.user", "", "CHAP user that it must prove to be; its secret stands in the secrets file", false},
		{"mutual-user", "chap.mutual_user", "", "CHAP user that the target proves to be", false},
	},
	gone: "Its sessions with the target end at once.",
}

var portalNoun = editNoun{
	noun: "portal", use: "ADDRESS", names: portalAddresses,
	keys: []editKey{
		{"group", "group", uint(0), "portal group tag, 1 to 65535", false},
	},
	gone: "Nobody can log in there any more; who came in through it stays, unless its group has no other address.",
}

func newCreate(n editNoun) *cobra.Command {
	c := n.command("create", "Make a "+n.noun, n.keys)
	c.ValidArgsFunction = cobra.NoFileCompletions // the name is a new one
	if n.noun == "LUN" {
		c.Flags().String("target", "", "name of the target it comes to")
		_ = c.RegisterFlagCompletionFunc("target", names(targetNames))
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.run(c, "create", args[0], "")
	}
	return c
}

func newSet(n editNoun) *cobra.Command {
	var keys []editKey
	for _, k := range n.keys {
		if !k.create {
			keys = append(keys, k)
		}
	}
	c := n.command("set", "Change a "+n.noun+" that was made by create", keys)
	c.ValidArgsFunction = names(n.names)
	c.RunE = func(c *cobra.Command, args []string) error {
		return n.run(c, "set", args[0], "")
	}
	return c
}

func newDelete(n editNoun) *cobra.Command {
	c := n.command("delete", "Remove a "+n.noun+" that was made by create", nil)
	c.ValidArgsFunction = names(n.names)
	yes := c.Flags().Bool("yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, args []string) error {
		question := ""
		if !*yes {
			question = fmt.Sprintf("%s\nRemove %s %s?", n.gone, n.noun, args[0])
		}
		return n.run(c, "delete", args[0], question)
	}
	return c
}

func (n editNoun) command(verb, short string, keys []editKey) *cobra.Command {
	c := &cobra.Command{
		Use: verb + " " + n.use, Short: short, Args: usage(cobra.ExactArgs(1)),
		Long: short + `, beside the configuration file, which is never written to: it is
kept in managed.yaml in the data directory.`,
	}
	daemonFlag(c)
	outputFlag(c)
	for _, k := range keys {
		switch v := k.value.(type) {
		case string:
			c.Flags().String(k.flag, v, k.help)
		case bool:
			c.Flags().Bool(k.flag, v, k.help)
		case uint:
			c.Flags().Uint(k.flag, v, k.help)
		case []uint:
			c.Flags().UintSlice(k.flag, v, k.help)
		case []string:
			c.Flags().StringSlice(k.flag, v, k.help)
		}
	}
	if n.target {
		c.Flags().String("target", "", "name of the target")
		_ = c.RegisterFlagCompletionFunc("target", names(targetNames))
	}
	return c
}

// run asks for the edit. question, if there is one, comes first.
func (n editNoun) run(c *cobra.Command, verb, name, question string) error {
	e := admin.ConfigEdit{Verb: verb, Noun: n.noun, Name: name, Keys: n.given(c.Flags())}
	if f := c.Flags().Lookup("target"); f != nil {
		if e.Target = f.Value.String(); e.Target == "" {
			return &codedError{exitUsage, fmt.Errorf("of which target? Name it with --target; see %s --help", c.CommandPath())}
		}
	}
	if verb == "set" && len(e.Keys) == 0 {
		return &codedError{exitUsage, fmt.Errorf("nothing to change was given; see %s --help", c.CommandPath())}
	}
	return onDaemon(c, func(ctx context.Context, client *admin.Client) error {
		now, err := client.Config(ctx)
		if err != nil {
			return err
		}
		if question != "" && !confirmed(c.InOrStdin(), c.OutOrStdout(), question) {
			return &codedError{exitRefused, fmt.Errorf("nothing was changed")}
		}
		var change admin.ConfigChange
		if err := newWaiting(c.ErrOrStderr()).while(ctx, workOf(client), func() (err error) {
			change, err = client.EditConfig(ctx, now.Version, e)
			return err
		}); err != nil {
			return err
		}
		form, _ := c.Flags().Lookup("output").Value.(*form)
		return form.print(c.OutOrStdout(), change, func(w io.Writer) { changeTable(w, change) })
	})
}

// given collects the keys whose flags were given. An empty one takes its key
// away.
func (n editNoun) given(flags *pflag.FlagSet) map[string]any {
	keys := map[string]any{}
	for _, k := range n.keys {
		if !flags.Changed(k.flag) {
			continue
		}
		var v any
		switch k.value.(type) {
		case string:
			s, _ := flags.GetString(k.flag)
			if s != "" {
				v = s
			}
		case bool:
			v, _ = flags.GetBool(k.flag)
		case uint:
			v, _ = flags.GetUint(k.flag)
		case []uint:
			if l, _ := flags.GetUintSlice(k.flag); len(l) > 0 {
				v = l
			}
		case []string:
			if l, _ := flags.GetStringSlice(k.flag); len(l) > 0 {
				v = l
			}
		}
		outer, inner, nested := strings.Cut(k.key, ".")
		if !nested {
			keys[k.key] = v
			continue
		}
		m, _ := keys[outer].(map[string]any)
		if m == nil {
			m = map[string]any{}
			keys[outer] = m
		}
		m[inner] = v
	}
	return keys
}
