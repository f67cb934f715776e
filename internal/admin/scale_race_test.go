//go:build race

package admin_test

// raceSlowdown is what the race detector may cost the limits of time.
const raceSlowdown = 15
