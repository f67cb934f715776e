package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"nas-target/internal/daemon"
)

// build is what this program is.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func newVersion() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  usage(cobra.NoArgs),
	}
	form := outputFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		b := build{Version: daemon.Version, Commit: commit(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
		return form.print(c.OutOrStdout(), b, func(w io.Writer) {
			from := ""
			if b.Commit != "" {
				from = " (" + b.Commit[:12] + ")"
			}
			fmt.Fprintf(w, "nas-target %s%s %s %s\n", b.Version, from, b.Go, b.Platform)
		})
	}
	return c
}

// commit is where the sources came from, if the build recorded it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return s.Value
		}
	}
	return ""
}
