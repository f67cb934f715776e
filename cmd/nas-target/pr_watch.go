package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
	"nas-target/internal/plain"
)

func newPRWatch() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "watch",
		Short: "What happens to the reservations, as it happens",
		Long: `What happened to the reservations lately, and what happens from now on, until
Ctrl-C. With -o json each event is one line.`,
		Args: usage(cobra.NoArgs),
	}
	daemonFlag(c)
	form := outputFlag(c)
	c.Flags().BoolVar(&all, "all", false, "everything: logins, sessions, operators' changes too")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *form == formYAML {
			return &codedError{exitUsage, fmt.Errorf("a stream is a table or json")}
		}
		return onDaemon(c, func(ctx context.Context, client *admin.Client) error {
			return client.Watch(ctx, func(e admin.Event) error {
				if !all && !slices.Contains([]string{"pr", "conflict", "lun"}, e.Kind) {
					return nil
				}
				return eventLine(c.OutOrStdout(), *form, e, time.Now())
			})
		})
	}
	return c
}

func eventLine(w io.Writer, f form, e admin.Event, now time.Time) error {
	if f == formJSON {
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, err = w.Write(append(plain.JSON(b), '\n'))
		return err
	}
	mark := map[admin.Severity]string{admin.Critical: "!!", admin.Warning: "! "}[e.Severity]
	wrap(w, fmt.Sprintf("%-12s %-2s ", when(e.Time, now), mark), e.Text)
	return nil
}
