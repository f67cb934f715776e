package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"

	"nas-target/test/conformance"
	"nas-target/test/peers"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	target := flag.String("target", peers.NAS.Name, "target to start: nas-target, tgt or gotgt")
	url := flag.String("url", "", "test this LUN instead of starting a target; its data is lost")
	only := flag.String("run", "", "run the tests whose Suite.Test matches this expression")
	save := flag.String("save", "", "write the results to this file, in the form of libiscsi.expected")
	limit := flag.Duration("limit", 0, "time limit for one test")
	verbose := flag.Bool("v", false, "print every test, and what the tool said about those that failed")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	tool, err := conformance.Find()
	if err != nil {
		return err
	}
	if *limit > 0 {
		tool.Limit = *limit
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	tests, err := tool.List(ctx)
	if err != nil {
		return err
	}
	chosen := tests[:0]
	for _, test := range tests {
		if match.MatchString(test) {
			chosen = append(chosen, test)
		}
	}

	show := func(r conformance.Result) {
		if *verbose || r.Status != conformance.Passed {
			fmt.Println(r.Line())
		}
		if *verbose && r.Status == conformance.Failed {
			fmt.Println(r.Output)
		}
	}
	var all []conformance.Result
	if *url != "" {
		for _, test := range chosen {
			r := tool.Run(ctx, test, *url, *url)
			show(r)
			all = append(all, r)
		}
	} else {
		kind, err := peers.ByName(*target)
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp("", "libiscsi")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		suite := conformance.Suite{Tool: tool, Kind: kind, Dir: dir, Observed: show}
		if all, err = suite.Run(ctx, chosen); err != nil {
			return err
		}
	}
	fmt.Println(conformance.Summary(all))
	if *save != "" {
		return conformance.Save(*save, all)
	}
	return nil
}
