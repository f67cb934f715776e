package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nas-target/internal/config"
	"nas-target/internal/verify"
)

// verifyFlags are the command line of verify.
type verifyFlags struct {
	suites, profiles, cases []string
	list, verbose           bool
	destructive             bool
	clearRegistered         bool
	span, offset            string
	initiators              []string
	secrets                 string
	restartHook             string
	powerCycle              bool
	patience                time.Duration
	rounds, nodes           int
	junit, html             string
}

func newVerify() *cobra.Command {
	f := verifyFlags{}
	c := &cobra.Command{
		Use:   "verify URL…",
		Short: "Ask a LUN of any target whether it keeps the rules of SCSI and iSCSI",
		Long: `Ask a LUN of any iSCSI target whether it keeps the rules: reservations above
all, with the clause behind each answer.

A URL is iscsi://[user@]host[:port]/target/lun. Several URLs are several paths to
the same LUN. The secret of the user comes from a file (--secrets), from
$NAS_TARGET_CHAP_SECRETS or from a systemd credential, never from the command
line.

Without --destructive only cases run that change nothing. With it cases register,
reserve, write (in one range, which is put back) and reset; a LUN on which others
have registered is refused.

Exit codes: 0 nothing that is required failed; 1 something did, or could not be
judged; 2 wrong usage; 4 refused; 5 the target cannot be reached.`,
		Example: `  nas-target verify iscsi://192.0.2.7/iqn.2026-11.example:disks/1
  nas-target verify iscsi://192.0.2.7/iqn.2026-11.example:disks/1 --destructive --html report.html
  nas-target verify iscsi://192.0.2.7/iqn.2026-11.example:disks/1 --destructive --profile windows-cluster
  nas-target verify --list --suite pr`,
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.suites, "suite", nil, "run these suites: "+strings.Join(verify.Suites(), ", ")+" (default all)")
	fl.StringSliceVar(&f.profiles, "profile", nil, "replay what clusters send: "+strings.Join(verify.Profiles(), ", "))
	fl.StringArrayVar(&f.cases, "case", nil, "run the cases that match, e.g. 'pr.preempt*'")
	fl.BoolVar(&f.list, "list", false, "list the cases and ask nobody")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "show every case, and every step of those that did not pass")
	fl.BoolVar(&f.destructive, "destructive", false, "reservations, resets and writes may happen on the LUN")
	fl.BoolVar(&f.clearRegistered, "clear-registered", false, "remove the registrations of others first")
	fl.StringVar(&f.span, "range", size1(verify.DefaultRange), "how much of the LUN may be written")
	fl.StringVar(&f.offset, "offset", "", "where that begins (default: the end of the LUN)")
	fl.StringSliceVar(&f.initiators, "initiator", nil, "initiator names to log in with, in turn")
	secretsFlag(c, &f.secrets)
	fl.StringVar(&f.restartHook, "restart-hook", "", "a shell command that restarts the target, for the suite durability")
	fl.BoolVar(&f.powerCycle, "power-cycle", false, "that command takes the target's power away")
	fl.DurationVar(&f.patience, "timeout", verify.DefaultPatience, "how long an answer may take")
	fl.IntVar(&f.rounds, "rounds", verify.DefaultRounds, "of each race")
	fl.IntVar(&f.nodes, "nodes", verify.DefaultNodes, "of the simulated cluster")
	fl.StringVar(&f.junit, "junit", "", "write the results to this file as JUnit XML")
	fl.StringVar(&f.html, "html", "", "write the results to this file as a page")
	form := outputFlag(c)
	_ = c.RegisterFlagCompletionFunc("suite", cobra.FixedCompletions(verify.Suites(), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("profile", cobra.FixedCompletions(verify.Profiles(), cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("case", cobra.FixedCompletions(caseIDs(), cobra.ShellCompDirectiveNoFileComp))
	c.Args = usage(func(c *cobra.Command, args []string) error {
		if f.list {
			return cobra.NoArgs(c, args)
		}
		return cobra.MinimumNArgs(1)(c, args)
	})
	c.RunE = func(c *cobra.Command, urls []string) error {
		cases, err := verify.Select(f.suites, f.profiles, f.cases)
		if err != nil {
			return &codedError{exitUsage, err}
		}
		if f.list {
			listed := listedCases(cases)
			return form.print(c.OutOrStdout(), listed, func(w io.Writer) { caseTable(w, listed) })
		}
		opt, err := f.options(urls, cases)
		if err != nil {
			return err
		}
		p := verifyProgress{newLiveLine(c.ErrOrStderr())}
		opt.Began, opt.Ended = p.began, p.ended
		report, err := verify.Run(c.Context(), opt)
		p.end()
		if err != nil {
			return verifyError(err)
		}
		if err := f.files(report); err != nil {
			return err
		}
		if err := form.print(c.OutOrStdout(), report, func(w io.Writer) { verifyTable(w, report, f.verbose) }); err != nil {
			return err
		}
		return verdictError(report)
	}
	return c
}

// size1 writes a size as flags take it.
func size1(n int64) string { return strings.ReplaceAll(size(n), " ", "") }

func caseIDs() []string {
	var ids []string
	for _, c := range verify.Cases() {
		ids = append(ids, c.ID)
	}
	return ids
}

// options turns the flags into a run.
func (f *verifyFlags) options(urls []string, cases []verify.Case) (verify.Options, error) {
	bad := func(format string, args ...any) (verify.Options, error) {
		return verify.Options{}, &codedError{exitUsage, fmt.Errorf(format, args...)}
	}
	opt := verify.Options{
		Cases: cases, Initiators: f.initiators, Destructive: f.destructive, ClearRegistered: f.clearRegistered,
		Offset: -1, PowerCycle: f.powerCycle, Patience: f.patience, Rounds: f.rounds, Nodes: f.nodes,
	}
	var err error
	if opt.Range, err = config.ParseSize(f.span); err != nil {
		return bad("--range: %w", err)
	}
	if f.offset != "" {
		if opt.Offset, err = config.ParseSize(f.offset); err != nil {
			return bad("--offset: %w", err)
		}
	}
	switch {
	case f.rounds < 1, f.nodes < 2, f.nodes > 48:
		return bad("--rounds is at least 1, --nodes 2 to 48")
	case f.patience <= 0:
		return bad("--timeout: longer than nothing")
	case f.clearRegistered && !f.destructive:
		return bad("--clear-registered changes reservations: it needs --destructive")
	}
	if f.restartHook != "" {
		opt.RestartHook = shellHook(f.restartHook)
	}
	all, err := lunURLs(urls, f.secrets)
	if err != nil {
		return bad("%w", err)
	}
	for _, u := range all {
		opt.Paths = append(opt.Paths, verify.Path{URL: u.name, LUN: u.lun, Login: u.login})
	}
	return opt, nil
}

// shellHook runs a command of the operator's, with its output where ours goes.
func shellHook(line string) func(context.Context) error {
	return func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // ^C is for us, to clean up
		cmd.WaitDelay = time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
		}
		return nil
	}
}

// verifyError gives the ways in which a run cannot begin their exit codes.
func verifyError(err error) error {
	for what, code := range map[error]int{verify.ErrUsage: exitUsage, verify.ErrRefused: exitRefused, verify.ErrUnreachable: exitUnreachable} {
		if errors.Is(err, what) {
			return &codedError{code, err}
		}
	}
	return err
}

// verdictError is the exit code of a report.
func verdictError(r *verify.Report) error {
	switch {
	case r.Stopped != "":
		return fmt.Errorf("stopped %s", r.Stopped)
	case r.Required.Fail > 0:
		return fmt.Errorf("%s failed", count(r.Required.Fail, "required case", "required cases"))
	case r.Required.Error > 0:
		return fmt.Errorf("%s could not be judged", count(r.Required.Error, "required case", "required cases"))
	}
	return nil
}

// files writes the reports that were asked for.
func (f *verifyFlags) files(r *verify.Report) error {
	for path, write := range map[string]func(io.Writer) error{f.junit: r.JUnit, f.html: r.HTML} {
		if path == "" {
			continue
		}
		if err := writeFile(path, write); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}
