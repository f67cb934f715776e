package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
)

func newInitiator() *cobra.Command {
	list := newQuery(&cobra.Command{
		Use: "list", Short: "Initiators that may log in, and to what", Args: usage(cobra.NoArgs),
	}, func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Initiator, error) {
		return c.Initiators(ctx)
	}, initiatorTable)
	show := newQuery(&cobra.Command{
		Use: "show NAME", Short: "What one initiator may do, and its sessions", Args: usage(cobra.ExactArgs(1)),
		ValidArgsFunction: names(initiatorNames),
	}, initiatorOf, initiatorShow)
	return newNoun("initiator", "Who may log in", list, show,
		newCreate(initiatorNoun), newSet(initiatorNoun), newDelete(initiatorNoun))
}

func initiatorNames(ctx context.Context, c *admin.Client) ([]string, error) {
	rows, err := c.Initiators(ctx)
	var all []string
	for _, i := range rows {
		if !slices.Contains(all, i.Name) {
			all = append(all, i.Name)
		}
	}
	return all, err
}

// oneInitiator is what is configured for an initiator, and its sessions.
type oneInitiator struct {
	Rows     []admin.Initiator `json:"rows"`
	Sessions []admin.Session   `json:"sessions"`
}

// initiatorOf finds an initiator by its iSCSI name or host.
func initiatorOf(ctx context.Context, c *admin.Client, args []string) (o oneInitiator, err error) {
	if o.Rows, err = c.Initiators(ctx); err != nil {
		return o, err
	}
	o.Rows = slices.DeleteFunc(o.Rows, func(i admin.Initiator) bool {
		_, host, _ := strings.Cut(i.Name, ":")
		return i.Name != args[0] && host != args[0]
	})
	if o.Sessions, err = c.Sessions(ctx); err != nil {
		return o, err
	}
	o.Sessions = slices.DeleteFunc(o.Sessions, func(s admin.Session) bool {
		return s.Host != args[0] && !strings.HasPrefix(s.Initiator, args[0]+",")
	})
	if len(o.Rows)+len(o.Sessions) == 0 {
		return o, fmt.Errorf("initiator %s: %w", args[0], admin.ErrNotFound)
	}
	return o, nil
}

func initiatorShow(w io.Writer, o oneInitiator) {
	initiatorTable(w, o.Rows)
	if len(o.Sessions) > 0 {
		fmt.Fprintln(w)
		sessionTable(w, o.Sessions, time.Now())
	}
}

func initiatorTable(w io.Writer, all []admin.Initiator) {
	t := newTable([]string{"INITIATOR", "TARGET", "FROM", "LUNS", "USER", "SESSIONS"}, "INITIATOR", "TARGET", "FROM", "USER")
	for _, i := range all {
		from, luns := "anywhere", "all"
		if len(i.Networks) > 0 {
			from = strings.Join(i.Networks, ",")
		}
		if len(i.LUNs) > 0 {
			luns = numbers(i.LUNs)
		}
		t.row(i.Name, i.Target, from, luns, dash(i.User), fmt.Sprint(i.Sessions))
	}
	t.print(w, "")
}
