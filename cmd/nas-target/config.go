package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"nas-target/internal/config"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Look at configuration files",
		Args:  usage(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(&cobra.Command{
		Use:   "validate FILE",
		Short: "Say what is wrong with a file, line by line",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := config.Load(args[0])
			if err != nil {
				return err
			}
			luns := 0
			for _, t := range conf.Targets {
				luns += len(t.LUNs)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: valid: %d targets with %d LUNs\n", args[0], len(conf.Targets), luns)
			return nil
		},
	})
	c.AddCommand(newConfigImport())
	return c
}
