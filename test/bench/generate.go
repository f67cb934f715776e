package main

import (
	"context"
	"errors"
	"time"

	"nas-target/test/peers"
)

type generator func(ctx context.Context, t *peers.Target, r row, d time.Duration) (load, error)

func generate(ctx context.Context, t *peers.Target, r row, d time.Duration) (load, error) {
	return load{}, errors.New("no generator")
}
