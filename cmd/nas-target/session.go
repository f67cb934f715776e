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

func newSession() *cobra.Command {
	return newNoun("session", "Initiators that are logged in", newSessionList(), newSessionShow(), newSessionKill())
}

func newSessionList() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "list", Short: "Sessions, the one that waits longest first", Args: usage(cobra.NoArgs),
	}, func(ctx context.Context, c *admin.Client, _ []string) ([]admin.Session, error) {
		return c.Sessions(ctx)
	}, func(w io.Writer, s []admin.Session) { sessionTable(w, s, time.Now()) })
}

func sessionTable(w io.Writer, all []admin.Session, now time.Time) {
	header := []string{"ID", "HOST", "FROM", "TO", "SINCE", "BUSY", "OLDEST COMMAND"}
	// Room is scarce: who proved to be whom has a column where anybody had to.
	proven := slices.ContainsFunc(all, func(s admin.Session) bool { return s.User != "" })
	if proven {
		header = slices.Insert(header, 2, "USER")
	}
	t := newTable(header, "HOST", "USER", "FROM", "OLDEST COMMAND")
	for _, s := range all {
		cells := []string{s.ID, s.Host, s.Address, to(s), when(s.Since, now), fmt.Sprint(s.Commands), oldest(s.Oldest)}
		if proven {
			cells = slices.Insert(cells, 2, dash(s.User))
		}
		t.row(cells...)
	}
	t.print(w, "")
}

func to(s admin.Session) string {
	if s.Target == "" {
		return "discovery"
	}
	return fmt.Sprintf("group %d", groupIn(s.Target))
}

func oldest(c *admin.Command) string {
	if c == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f s %s", c.Seconds, c.Name)
}

func newSessionShow() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "show ID", Short: "One session", Args: usage(cobra.ExactArgs(1)), ValidArgsFunction: names(sessionIDs),
	}, func(ctx context.Context, c *admin.Client, args []string) (admin.Session, error) {
		return c.Session(ctx, args[0])
	}, func(w io.Writer, s admin.Session) { sessionShow(w, s, time.Now()) })
}

func sessionShow(w io.Writer, s admin.Session, now time.Time) {
	fields(w,
		"session", s.ID,
		"host", s.Host,
		"initiator", s.Initiator,
		"alias", s.Alias,
		"user", s.User,
		"target", s.Target,
		"from", s.Address,
		"portal", s.Portal,
		"since", fmt.Sprintf("%s, for %s", when(s.Since, now), ago(s.Since, now)),
		"connections", fmt.Sprint(s.Connections),
		"commands", fmt.Sprintf("%d under way, oldest %s", s.Commands, oldest(s.Oldest)),
		"read", size(int64(s.ReadBytes)),
		"written", size(int64(s.WriteBytes)),
		"refused", fmt.Sprintf("%d by reservation, %d for other reasons", s.Conflicts, s.Errors),
	)
}

// fields writes pairs of name and value, without those that are empty.
func fields(w io.Writer, pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			wrap(w, fmt.Sprintf("%-12s ", pairs[i]), pairs[i+1])
		}
	}
}

func newSessionKill() *cobra.Command {
	return newAction(&cobra.Command{
		Use:   "kill ID",
		Short: "End a session; its commands are aborted, its initiator may log in again",
		Args:  usage(cobra.ExactArgs(1)), ValidArgsFunction: names(sessionIDs),
	}, func(ctx context.Context, client *admin.Client, args []string) (ended admin.Session, said string, err error) {
		if ended, err = client.Session(ctx, args[0]); err != nil {
			return ended, "", err
		}
		return ended, fmt.Sprintf("Session %s is ended.", args[0]), client.KillSession(ctx, args[0])
	})
}
