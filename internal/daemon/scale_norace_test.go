//go:build !race

package daemon

const (
	// raceSlowdown is what the race detector may cost the limits of time.
	raceSlowdown = 1
	manyNexuses  = 10_000
)
