package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
)

func newPortal() *cobra.Command {
	list := newQuery(&cobra.Command{
		Use: "list", Short: "Portals", Args: usage(cobra.NoArgs),
	}, func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Portal, error) { return c.Portals(ctx) }, portalTable)
	show := newQuery(&cobra.Command{
		Use: "show ADDRESS", Short: "One portal, and who came in through it", Args: usage(cobra.ExactArgs(1)),
		ValidArgsFunction: names(portalAddresses),
	}, portalOf, portalShow)
	return newNoun("portal", "Addresses that initiators connect to", list, show,
		newCreate(portalNoun), newSet(portalNoun), newDelete(portalNoun))
}

func portalAddresses(ctx context.Context, c *admin.Client) ([]string, error) {
	portals, err := c.Portals(ctx)
	var all []string
	for _, p := range portals {
		all = append(all, p.Address)
	}
	return all, err
}

// onePortal is a portal with its sessions.
type onePortal struct {
	admin.Portal
	Through []admin.Session `json:"through"`
}

func portalOf(ctx context.Context, c *admin.Client, args []string) (onePortal, error) {
	portals, err := c.Portals(ctx)
	if err != nil {
		return onePortal{}, err
	}
	i := slices.IndexFunc(portals, func(p admin.Portal) bool { return p.Address == args[0] })
	if i < 0 {
		return onePortal{}, fmt.Errorf("portal %s: %w", args[0], admin.ErrNotFound)
	}
	sessions, err := c.Sessions(ctx)
	sessions = slices.DeleteFunc(sessions, func(s admin.Session) bool { return s.Portal != args[0] })
	return onePortal{portals[i], sessions}, err
}

func portalShow(w io.Writer, p onePortal) {
	portalTable(w, []admin.Portal{p.Portal})
	if len(p.Through) > 0 {
		fmt.Fprintln(w)
		sessionTable(w, p.Through, time.Now())
	}
}

func portalTable(w io.Writer, all []admin.Portal) {
	t := newTable([]string{"GROUP", "ADDRESS", "SESSIONS", "STATE"}, "STATE")
	for _, p := range all {
		state := "open"
		if p.Error != "" {
			state = p.Error
		}
		t.row(fmt.Sprint(p.Group), p.Address, fmt.Sprint(p.Sessions), state)
	}
	t.print(w, "")
}
