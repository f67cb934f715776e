package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
)

// newNoun groups the verbs of one noun.
func newNoun(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: usage(knownCommand),
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(verbs...)
	return c
}

// daemonFlag adds the flag that says which daemon is meant.
func daemonFlag(c *cobra.Command) {
	c.Flags().String("data-dir", "", "data directory of the daemon (default $NAS_TARGET_DATA_DIR, ./nas-data or /var/lib/nas-target)")
	_ = c.MarkFlagDirname("data-dir")
}

// socketOf finds the daemon's socket: in the directory named, or in the first
// place where a daemon keeps one.
func socketOf(c *cobra.Command) string {
	dir, _ := c.Flags().GetString("data-dir")
	if dir == "" {
		dir = os.Getenv("NAS_TARGET_DATA_DIR")
	}
	if dir != "" {
		return filepath.Join(dir, admin.SocketName)
	}
	local := filepath.Join("nas-data", admin.SocketName)
	if _, err := os.Stat(local); err == nil {
		return local
	}
	return filepath.Join("/var/lib/nas-target", admin.SocketName)
}

// onDaemon runs f with a client of the daemon that c means, and gives errors
// their exit codes.
func onDaemon(c *cobra.Command, f func(context.Context, *admin.Client) error) error {
	client := admin.NewClient(socketOf(c))
	defer client.Close()
	err := f(c.Context(), client)
	var coded *codedError
	switch {
	case err == nil || errors.As(err, &coded):
		return err
	case errors.Is(err, admin.ErrUnreachable):
		return &codedError{exitUnreachable, err}
	case errors.Is(err, admin.ErrNotFound):
		return &codedError{exitNotFound, err}
	case errors.Is(err, admin.ErrRefused), errors.Is(err, admin.ErrStale):
		return &codedError{exitRefused, err}
	}
	return err
}

// newQuery is a verb that asks the daemon and prints the answer.
func newQuery[T any](c *cobra.Command, ask func(context.Context, *admin.Client, []string) (T, error), table func(io.Writer, T)) *cobra.Command {
	daemonFlag(c)
	form := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return onDaemon(c, func(ctx context.Context, client *admin.Client) error {
			v, err := ask(ctx, client, args)
			if err != nil {
				return err
			}
			return form.print(c.OutOrStdout(), v, func(w io.Writer) { table(w, v) })
		})
	}
	return c
}

// newAction is a verb that changes something. People read a sentence, programs
// what it concerned as it is afterwards.
func newAction[T any](c *cobra.Command, do func(context.Context, *admin.Client, []string) (after T, said string, err error)) *cobra.Command {
	daemonFlag(c)
	form := outputFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return onDaemon(c, func(ctx context.Context, client *admin.Client) error {
			after, said, err := do(ctx, client, args)
			if err != nil {
				return err
			}
			return form.print(c.OutOrStdout(), after, func(w io.Writer) { fmt.Fprintln(w, said) })
		})
	}
	return c
}

// names completes the first argument with the names of objects.
func names(list func(context.Context, *admin.Client) ([]string, error)) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		client := admin.NewClient(socketOf(c))
		defer client.Close()
		ctx, cancel := context.WithTimeout(c.Context(), time.Second)
		defer cancel()
		all, err := list(ctx, client)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

func lunNames(ctx context.Context, c *admin.Client) ([]string, error) {
	luns, err := c.LUNs(ctx)
	var all []string
	for _, l := range luns {
		all = append(all, cobra.CompletionWithDesc(l.Name, size(l.Bytes)))
	}
	return all, err
}

func sessionIDs(ctx context.Context, c *admin.Client) ([]string, error) {
	sessions, err := c.Sessions(ctx)
	var all []string
	for _, s := range sessions {
		all = append(all, cobra.CompletionWithDesc(s.ID, s.Host+" from "+s.Address))
	}
	return all, err
}

func targetNames(ctx context.Context, c *admin.Client) ([]string, error) {
	targets, err := c.Targets(ctx)
	var all []string
	for _, t := range targets {
		all = append(all, t.Name)
	}
	return all, err
}
