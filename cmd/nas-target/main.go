package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitRefused     = 4
	exitUnreachable = 5
)

// codedError gives an error its exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(executeTo(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func executeTo(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return executeRoot(ctx, newRoot(), args, stdout, stderr)
}

func executeRoot(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, "nas-target:", err)
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitError
}

// buildOnly are commands that only builds with a tag have.
var buildOnly []func() *cobra.Command

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "nas-target",
		Short: "Shared storage for failover clusters over iSCSI",
		Long: `Serve disks over iSCSI with complete SCSI-3 persistent reservations ("serve"), and
ask a running daemon who holds what and why.

Exit codes: 0 ok; 1 error; 2 wrong usage; 3 not found; 4 refused, or in conflict
with what is; 5 the daemon cannot be reached.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usage(knownCommand),
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return &codedError{exitUsage, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
	})
	root.AddCommand(newServe(), newVerify(), newBench(), newDecode(), newConfig(), newVersion(),
		newStatus(), newPR(), newSession(), newTarget(), newLUN(), newPortal(), newInitiator(), newLog())
	for _, c := range buildOnly {
		root.AddCommand(c())
	}
	return root
}

// knownCommand names the commands nearest to one that does not exist.
func knownCommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	near := c.SuggestionsFor(args[0])
	if len(near) == 0 {
		return fmt.Errorf("unknown command %q", args[0])
	}
	return fmt.Errorf("unknown command %q, did you mean %s?", args[0], strings.Join(near, " or "))
}

// usage makes what is wrong with the arguments a usage error.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return &codedError{exitUsage, fmt.Errorf("%w; see %s --help", err, c.CommandPath())}
		}
		return nil
	}
}
