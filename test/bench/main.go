package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nas-target/test/peers"
)

func main() {
	var err error
	if os.Getenv(bareEnv) != "" {
		err = serveBare()
	} else {
		err = run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var (
		perRow     = flag.Duration("time", 5*time.Second, "how long each measurement runs")
		rounds     = flag.Int("rounds", 3, "how many times each is made; the table shows medians")
		size       = flag.Int64("size", 1024, "MiB of each target's disk")
		rowsLike   = flag.String("rows", "", "only rows whose name contains this text")
		only       = flag.String("only", "", "only these subjects: nas-target,tgt,gotgt,bare")
		scenesLike = flag.String("scenes", "", "only scenes whose title contains this text; none: no scene")
		jsonFile   = flag.String("json", "", "write all samples to this file")
		markdown   = flag.String("markdown", "", "put the table into this file, between its bench lines")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	var chosen []row
	for _, r := range rows {
		if strings.Contains(r.Name(), *rowsLike) {
			chosen = append(chosen, r)
		}
	}
	var scenery []scene
	for _, s := range scenes {
		if strings.Contains(s.title, *scenesLike) {
			scenery = append(scenery, s)
		}
	}
	if len(chosen)+len(scenery) == 0 {
		return fmt.Errorf("no row contains %q, no scene %q", *rowsLike, *scenesLike)
	}
	var kinds []peers.Kind
	withBare := false
	for _, name := range names(*only) {
		if name == "bare" {
			withBare = true
			continue
		}
		kind, err := peers.ByName(name)
		if err != nil {
			return err
		}
		kinds = append(kinds, kind)
	}

	dir, fs, err := workDir((int64(len(kinds))**size + sceneSpace) << 20)
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if peers.Binary, err = peers.Build(ctx, dir); err != nil {
		return err
	}
	r := report{Rows: chosen}
	r.describe(fs, *size<<20, *perRow, *rounds)
	var subjects []subject
	for _, kind := range kinds {
		disk, err := makeDisk(dir, kind.Name, *size<<20)
		if err != nil {
			return err
		}
		subjects = append(subjects, &target{kind: kind, dir: dir, disk: disk, gen: generate})
		r.Subjects = append(r.Subjects, kind.Name)
	}
	if withBare {
		subjects = append(subjects, &bare{})
		r.Subjects = append(r.Subjects, "bare")
	}
	r.Samples = runAll(ctx, subjects, chosen, *rounds, *perRow, os.Stderr)
	stage := &stage{dir: dir, time: *perRow, rounds: *rounds, kinds: kinds, progress: os.Stderr, seen: map[string]float64{}}
	for _, s := range scenery {
		r.Scenes = append(r.Scenes, stage.play(ctx, s))
	}
	r.Goals = judge(medians(r.Samples, r.Subjects, r.Rows), stage.seen)
	if err := r.text(os.Stdout); err != nil {
		return err
	}
	if *jsonFile != "" {
		if err := os.MkdirAll(filepath.Dir(*jsonFile), 0o755); err != nil {
			return err
		}
		if err := r.intoJSON(*jsonFile); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if *markdown != "" {
		return r.intoMarkdown(*markdown)
	}
	return nil
}

// names splits -only; all subjects when it is empty.
func names(only string) []string {
	if only != "" {
		return strings.Split(only, ",")
	}
	var all []string
	for _, kind := range peers.Kinds() {
		all = append(all, kind.Name)
	}
	return append(all, "bare")
}

func sortedKeys(of map[string]string) []string { return slices.Sorted(maps.Keys(of)) }

// listenFile opens a listener that a child process inherits.
func listenFile() (*os.File, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	return f, l.Addr().String(), err
}
