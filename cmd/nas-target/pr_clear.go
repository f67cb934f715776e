package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/admin"
)

func newPRClear() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "clear LUN",
		Short: "Remove every registration and the reservation of a LUN",
		Long: `Remove every registration and the reservation of a LUN, as CLEAR does, without
being registered. It says what it will do and asks. What you confirm is what is
done: if the reservations change meanwhile, nothing is.`,
		Args:              usage(cobra.ExactArgs(1)),
		ValidArgsFunction: names(lunNames),
	}
	daemonFlag(c)
	form := outputFlag(c)
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.RunE = func(c *cobra.Command, args []string) error {
		// A program reads what is left from stdout; the talk is for people.
		talk := c.OutOrStdout()
		if *form != formTable {
			talk = c.ErrOrStderr()
		}
		return onDaemon(c, func(ctx context.Context, client *admin.Client) error {
			r, err := client.ReservationsOf(ctx, args[0])
			if err != nil {
				return err
			}
			if nothingToClear(r) {
				return form.print(c.OutOrStdout(), r, func(w io.Writer) {
					fmt.Fprintf(w, "%s has no registrations and no reservation: nothing to do.\n", r.LUN)
				})
			}
			clearPlan(talk, r, time.Now())
			if !yes && !confirmed(c.InOrStdin(), talk, "Clear "+r.LUN+"?") {
				return &codedError{exitRefused, fmt.Errorf("nothing was changed")}
			}
			if err := client.ClearReservations(ctx, r.LUN, r.Version); err != nil {
				return err
			}
			if r, err = client.ReservationsOf(ctx, r.LUN); err != nil {
				return err
			}
			return form.print(c.OutOrStdout(), r, func(w io.Writer) { fmt.Fprintf(w, "%s is cleared.\n", r.LUN) })
		})
	}
	return c
}

func nothingToClear(r admin.Reservations) bool {
	return r.Condition == "normal" && len(r.Registrations) == 0 && r.Type == "" && r.Legacy == ""
}

// clearPlan says what a clear takes from whom.
func clearPlan(w io.Writer, r admin.Reservations, now time.Time) {
	wrap(w, "", r.LUN+": "+holding(r, now)+".")
	fmt.Fprintln(w, "This removes:")
	if r.Type != "" {
		wrap(w, "  - ", "the reservation, "+r.Type)
	}
	if r.Legacy != "" {
		wrap(w, "  - ", "the SPC-2 reservation")
	}
	if r.Condition == "information-lost" {
		wrap(w, "  - ", "what is left of the lost reservation information")
	}
	alive := map[string]bool{}
	hosts := map[string]int{}
	var order []string
	for _, g := range r.Registrations {
		if hosts[g.Host] == 0 {
			order = append(order, g.Host)
		}
		hosts[g.Host]++
		alive[g.Host] = alive[g.Host] || g.Live
	}
	const most = 10
	for i, h := range order {
		if i == most {
			wrap(w, "  - ", fmt.Sprintf("and those of %d more machines", len(order)-most))
			break
		}
		state := "no session"
		if alive[h] {
			state = "logged in now"
		}
		wrap(w, "  - ", fmt.Sprintf("%s of %s (%s)", count(hosts[h], "registration", "registrations"), h, state))
	}
	wrap(w, "", "Afterwards every initiator that sees the LUN may write, those that were fenced too. Two machines that write at the same time destroy a file system.")
}

// confirmed asks; the end of input is no.
func confirmed(in io.Reader, out io.Writer, question string) bool {
	fmt.Fprintf(out, "%s [y/N] ", question)
	line, _ := bufio.NewReader(io.LimitReader(in, 64)).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true
	}
	if !strings.HasSuffix(line, "\n") {
		fmt.Fprintln(out)
	}
	return false
}
