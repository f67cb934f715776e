//go:build race

package peers

// A test under the race detector gets a daemon under it, too.
var buildFlags = []string{"-race"}
