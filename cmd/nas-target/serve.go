package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"nas-target/internal/config"
	"nas-target/internal/daemon"
	"nas-target/internal/service"
)

// stopPatience is how long commands under way may take when the daemon is
// asked to end.
const stopPatience = 10 * time.Second

func newServe() *cobra.Command {
	var file string
	var over overrides
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve disks until told to stop",
		Long: `Serve the disks of a configuration until SIGTERM or Ctrl-C.

Without --config the lab default runs: a witness disk and a shared disk on
127.0.0.1:3260, kept in ./nas-data, open to this machine and to nobody else.`,
		Args: usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if over.logLevel != "" && !slices.Contains(logLevels, over.logLevel) {
				return &codedError{exitUsage, fmt.Errorf("--log-level %q is none of %s", over.logLevel, strings.Join(logLevels, ", "))}
			}
			return serve(c.Context(), file, over, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&file, "config", "", "configuration file (default: the lab)")
	c.Flags().StringVar(&over.dataDir, "data-dir", "", "stands over data_dir of the configuration")
	c.Flags().StringVar(&over.logLevel, "log-level", "", "stands over log.level of the configuration; \"nas-target log level\" changes it later")
	_ = c.RegisterFlagCompletionFunc("config", yamlFiles)
	_ = c.MarkFlagDirname("data-dir")
	_ = c.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions(logLevels, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// overrides are what flags say instead of the configuration.
type overrides struct{ dataDir, logLevel string }

func (o overrides) apply(c *config.Config) {
	c.DataDir, c.Log.Level = cmp.Or(o.dataDir, c.DataDir), cmp.Or(o.logLevel, c.Log.Level)
}

func serve(ctx context.Context, file string, over overrides, stdout, stderr io.Writer) error {
	conf, operators, err := loadConfig(file, over)
	if err != nil {
		return err
	}
	log, level, format, err := newLogger(conf.Log, stderr)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }()
	manager, err := service.Find()
	if err != nil {
		return err
	}
	d, err := daemon.Start(ctx, conf, daemon.Options{Log: log, LogLevel: level, LogFormat: format, Operators: operators, Sockets: listeners(manager)})
	if err != nil {
		var inUse *daemon.InUseError
		if errors.As(err, &inUse) {
			return &codedError{exitRefused, err}
		}
		return err
	}
	if file == "" {
		showLab(stdout, conf, d)
	}
	unheard(log, manager.Ready(serving(d)))
	defer watch(manager, d, log)() // a daemon that waits for logouts is alive
	if operators.Read != nil {     // else a closed terminal ends the lab
		reloadOnHangup(ctx, manager, d, log)
	}
	<-ctx.Done()
	log.Info("stopping")
	unheard(log, manager.Stopping(2*stopPatience))
	stop, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if err := d.Stop(stop); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	log.Info("stopped")
	return nil
}

// loadConfig reads the file, or the lab default, and says how to read it anew.
func loadConfig(file string, over overrides) (*config.Config, daemon.Operators, error) {
	o := daemon.Operators{Override: over.apply}
	var err error
	if file == "" {
		o.Source, err = config.LabSource()
	} else {
		o.Read = func() (config.Source, error) { return config.ReadSource(file) }
		o.Source, err = o.Read()
	}
	if err != nil {
		return nil, o, err
	}
	conf, err := config.Parse(o.Source.Name, o.Source.Data)
	if err == nil {
		o.Override(conf)
	}
	return conf, o, err
}

// reloadOnHangup reads the configuration anew at every SIGHUP, until ctx ends.
// What comes of it is in the log; a bad one changes nothing.
func reloadOnHangup(ctx context.Context, m *service.Manager, d *daemon.Daemon, log *zap.Logger) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			unheard(log, m.Reloading())
			_ = d.Reload(ctx) // it tells the log itself
			unheard(log, m.Ready(serving(d)))
		}
	}
}

// newLogger writes one line per event: for people, or as JSON for programs. Its
// level and its format can be changed.
func newLogger(c config.Log, w io.Writer) (log *zap.Logger, level zap.AtomicLevel, format func(string), err error) {
	if level, err = zap.ParseAtomicLevel(c.Level); err != nil {
		return nil, level, nil, err
	}
	e := zap.NewProductionEncoderConfig()
	e.EncodeTime = zapcore.ISO8601TimeEncoder
	e.EncodeDuration = zapcore.StringDurationEncoder
	forPeople := e
	forPeople.EncodeLevel = zapcore.CapitalLevelEncoder
	forPeople.ConsoleSeparator = "  "
	var console atomic.Bool
	format = func(f string) { console.Store(f == "console") }
	format(c.Format)
	out := zapcore.Lock(zapcore.AddSync(w))
	core := func(e zapcore.Encoder, when bool) zapcore.Core {
		return zapcore.NewCore(e, out, zap.LevelEnablerFunc(func(l zapcore.Level) bool { return console.Load() == when && level.Enabled(l) }))
	}
	return zap.New(zapcore.NewTee(core(zapcore.NewConsoleEncoder(forPeople), true), core(zapcore.NewJSONEncoder(e), false))), level, format, nil
}

// showLab tells a newcomer what runs and what to try next.
func showLab(w io.Writer, c *config.Config, d *daemon.Daemon) {
	portal, target := d.Portals()[0].String(), c.Targets[0]
	fmt.Fprintf(w, "\nServing %s on %s, for this machine only; data in %s:\n", target.Name, portal, c.DataDir)
	for _, l := range target.LUNs {
		fmt.Fprintf(w, "  LUN %d  %s\n", l.LUN, l.Name)
	}
	url := fmt.Sprintf("iscsi://%s/%s/%d", portal, target.Name, target.LUNs[len(target.LUNs)-1].LUN)
	fmt.Fprintf(w, `
Try in another terminal:
  iscsi-ls -s iscsi://%s
  iscsi-inq %s
  qemu-img info %s
  %s bench %s
  %s
  %s
`, portal, url, url, self(), url, ask("status", c.DataDir), ask("pr show", c.DataDir))
	if page := d.Page(); page != "" {
		fmt.Fprintf(w, "or look at %s\n", page)
	}
	fmt.Fprint(w, "\nCtrl-C stops it; the disks stay.\n\n")
}

// ask is the command line that asks the daemon on this data directory.
func ask(command, dataDir string) string {
	line := self() + " " + command
	if filepath.Clean(dataDir) != "nas-data" {
		line += " --data-dir " + dataDir
	}
	return line
}

// self is how this program is called, as a person would type it.
func self() string {
	if exe, err := os.Executable(); err == nil && strings.Contains(exe, "/go-build") {
		return "go run ./cmd/nas-target"
	}
	return os.Args[0]
}
