//go:build man

package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"nas-target/internal/daemon"
)

// The tag keeps what writes manual pages out of the program that serves disks.
func init() {
	buildOnly = append(buildOnly, newMan)
}

func newMan() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the manual pages", Hidden: true, Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			root := c.Root()
			root.DisableAutoGenTag = true // has the date of the build
			return doc.GenManTree(root, &doc.GenManHeader{
				Section: "1", Source: "nas-target " + daemon.Version, Manual: "nas-target",
			}, args[0])
		},
	}
}
