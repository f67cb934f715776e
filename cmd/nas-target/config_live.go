package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
	"nas-target/internal/config"
)

func newConfigShow() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "show", Short: "The configuration that runs, every default written out", Args: usage(cobra.NoArgs),
	}, func(ctx context.Context, c *admin.Client, _ []string) (admin.Config, error) {
		return c.Config(ctx)
	}, func(w io.Writer, c admin.Config) {
		fmt.Fprintf(w, "# %s, and what was made beside it.\n%s", c.File, c.Text())
	})
}

const candidateHelp = `
Without FILE the daemon reads its own configuration file anew. With one, that is
what is meant, until the daemon starts again with its own.`

func newConfigDiff() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "diff [FILE]", Short: "What a configuration would change",
		Long: "Say what config apply would change, and what is wrong with the file.\n" + candidateHelp,
		Args: usage(cobra.MaximumNArgs(1)),
	}, func(ctx context.Context, c *admin.Client, args []string) (admin.ConfigChange, error) {
		in, err := candidate(args)
		if err != nil {
			return admin.ConfigChange{}, err
		}
		return c.DiffConfig(ctx, in)
	}, changeTable)
}

func newConfigApply() *cobra.Command {
	return newQuery(&cobra.Command{
		Use: "apply [FILE]", Short: "Make a configuration what runs",
		Long: `Make a configuration what runs. Only what is different is touched: sessions whose
disks are the same notice nothing. If anything fails, what ran goes on.
` + candidateHelp,
		Args: usage(cobra.MaximumNArgs(1)),
	}, func(ctx context.Context, c *admin.Client, args []string) (admin.ConfigChange, error) {
		in, err := candidate(args)
		if err != nil {
			return admin.ConfigChange{}, err
		}
		var change admin.ConfigChange
		err = newWaiting(os.Stderr).while(ctx, workOf(c), func() (err error) {
			change, err = c.ApplyConfig(ctx, "", in)
			return err
		})
		return change, err
	}, changeTable)
}

func candidate(args []string) (admin.Candidate, error) {
	if len(args) == 0 {
		return admin.Candidate{}, nil
	}
	s, err := config.ReadSource(args[0])
	return admin.Candidate{Name: s.Name, Text: string(s.Data)}, err
}

// changeTable writes what is, or would be, different.
func changeTable(w io.Writer, c admin.ConfigChange) {
	if len(c.Changes) == 0 {
		fmt.Fprintln(w, "Nothing is different.")
	}
	for _, line := range c.Changes {
		wrap(w, "", line)
	}
}
