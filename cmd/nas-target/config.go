package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nas-target/internal/config"
)

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Look at configurations, and change the one that runs",
		Args:  usage(cobra.NoArgs),
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newConfigValidate())
	c.AddCommand(newConfigImport(), newConfigShow(), newConfigDiff(), newConfigApply())
	return c
}

// validated is what config validate found.
type validated struct {
	File    string `json:"file"`
	Targets int    `json:"targets"`
	LUNs    int    `json:"luns"`
}

func newConfigValidate() *cobra.Command {
	c := &cobra.Command{
		Use:               "validate FILE",
		Short:             "Say what is wrong with a file, line by line",
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: yamlFiles,
	}
	form := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		conf, err := config.Load(args[0])
		if err != nil {
			return err
		}
		v := validated{File: args[0], Targets: len(conf.Targets)}
		for _, t := range conf.Targets {
			v.LUNs += len(t.LUNs)
		}
		return form.print(c.OutOrStdout(), v, func(w io.Writer) {
			fmt.Fprintf(w, "%s: valid: %d targets with %d LUNs\n", v.File, v.Targets, v.LUNs)
		})
	}
	return c
}

// yamlFiles completes the names of configuration files.
func yamlFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}
