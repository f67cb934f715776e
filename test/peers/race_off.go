//go:build !race

package peers

var buildFlags []string
