//go:build race

package pr_test

const raceEnabled = true
