package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
)

func newLog() *cobra.Command {
	return newNoun("log", "What the daemon writes to its log", newLogLevel())
}

var logLevels = []string{"debug", "info", "warn", "error"}

func newLogLevel() *cobra.Command {
	c := &cobra.Command{
		Use:   "level [debug|info|warn|error]",
		Short: "Show or change how much is logged",
		Long: `Show how much the daemon logs, or change it until the daemon ends. With debug
every refused command has its line, and every discovery session.`,
		Args: usage(cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs)), ValidArgs: logLevels,
	}
	daemonFlag(c)
	form := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return onDaemon(c, func(ctx context.Context, client *admin.Client) error {
			if len(args) == 1 {
				if err := client.SetLogLevel(ctx, admin.LogLevel{Level: args[0]}); err != nil {
					return err
				}
			}
			l, err := client.LogLevel(ctx)
			if err != nil {
				return err
			}
			return form.print(c.OutOrStdout(), l, func(w io.Writer) { fmt.Fprintln(w, l.Level) })
		})
	}
	return c
}
