package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"nas-target/internal/initiator"
)

func main() {
	name := flag.String("name", "node1", "the node")
	url := flag.String("lun", "iscsi://127.0.0.1:3260/iqn.2026-11.local.nas-target:lab/1", "the disk")
	flag.Parse()
	if err := act(context.Background(), *name, *url, flag.Args()); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", *name, err)
		os.Exit(1)
	}
}

// verbs are what a node can do, with the number of keys that each needs.
var verbs = map[string]struct {
	keys int
	run  func(ctx context.Context, u *initiator.Unit, key ...uint64) error
}{
	"register": {1, func(ctx context.Context, u *initiator.Unit, k ...uint64) error {
		return u.RegisterAndIgnore(ctx, k[0], true)
	}},
	"reserve": {1, func(ctx context.Context, u *initiator.Unit, k ...uint64) error {
		return u.Reserve(ctx, k[0], initiator.WriteExclusiveRegistrantsOnly)
	}},
	"preempt": {2, func(ctx context.Context, u *initiator.Unit, k ...uint64) error {
		return u.PreemptAndAbort(ctx, k[0], k[1], initiator.WriteExclusiveRegistrantsOnly)
	}},
	"clear": {1, func(ctx context.Context, u *initiator.Unit, k ...uint64) error { return u.Clear(ctx, k[0]) }},
	"write": {0, func(ctx context.Context, u *initiator.Unit, _ ...uint64) error {
		if _, err := u.LoadCapacity(ctx); err != nil {
			return err
		}
		return u.Write(ctx, 0, make([]byte, 512))
	}},
	"stay": {1, nil},
}

func act(ctx context.Context, name, url string, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: register, reserve, preempt, clear, write or stay")
	}
	verb, known := verbs[args[0]]
	if !known || len(args) != 1+verb.keys {
		return fmt.Errorf("%v: register KEY, reserve KEY, preempt KEY VICTIM, clear KEY, write or stay TIME", args)
	}
	to, err := initiator.ParseURL(url)
	if err != nil {
		return err
	}
	id := sha256.Sum256([]byte(name))
	s, err := initiator.Dial(ctx, initiator.Config{
		Addr: to.Addr, Target: to.Target, InitiatorName: "iqn.2026-11.local.nas-target:" + name,
		ISID: [6]byte{0x80, id[0], id[1], id[2], 0, 1}, // the random format, RFC 7143 §11.12.5
	})
	if err != nil {
		return err
	}
	if args[0] == "stay" {
		return errors.Join(stay(ctx, s, args[1]), s.Close())
	}
	u := s.Unit(to.LUN)
	news, err := u.DrainUA(ctx)
	for _, what := range news {
		fmt.Printf("%s: told first: unit attention %02X/%02X\n", name, uint16(what)>>8, uint8(what))
	}
	var keys []uint64
	for _, a := range args[1:] {
		k, bad := strconv.ParseUint(a, 16, 64)
		err = errors.Join(err, bad)
		keys = append(keys, k)
	}
	if err == nil {
		err = verb.run(ctx, u, keys...)
	}
	if err == nil {
		fmt.Printf("%s: %v: GOOD\n", name, args)
	}
	return errors.Join(err, s.Close())
}

// stay keeps the session until the time is over or the target ends it.
func stay(ctx context.Context, s *initiator.Session, long string) error {
	d, err := time.ParseDuration(long)
	if err != nil {
		return err
	}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if len(s.Conns()) == 0 {
			return errors.New("the target ended the session")
		}
	}
	return ctx.Err()
}
