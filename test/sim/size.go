package sim

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Size is how many rounds a campaign runs: short, unless the environment
// variable name holds another number.
func Size(t testing.TB, name string, short int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return short
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is not a number of rounds", name, v)
	}
	return n
}

// Seed is SIM_SEED or a random number, and is printed with a failure.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if v := os.Getenv("SIM_SEED"); v != "" {
		var err error
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("SIM_SEED=%q is not a number", v)
		}
	}
	t.Logf("SIM_SEED=%d", seed)
	return seed
}

// Rand is the source of round n of a campaign.
func Rand(seed uint64, n int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(n))) }

// Quiet reports whether the machine does nothing else, so that times can be
// held against the figures we promise: SIM_QUIET is set. Otherwise a limit only
// tells slow from stuck.
func Quiet() bool { return os.Getenv("SIM_QUIET") != "" }

// Limit is d on a quiet machine and much more on a busy one.
func Limit(d time.Duration) time.Duration {
	if Quiet() {
		return d
	}
	return max(10*d, 5*time.Second)
}

// Bound says what a campaign without a failure proves: with 95 % confidence
// the rate of failures is below 3/n.
func Bound(t testing.TB, what string, n int) {
	t.Helper()
	t.Logf("%d %s, no violation: the rate is below %.4g %% (95 %%, 3/N)", n, what, 300/float64(n))
}
