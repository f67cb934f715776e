package nohome

import "os"

const variable = "GOSTOR_CONFIG"

var set bool

func init() {
	if os.Getenv("HOME") == "" && os.Getenv(variable) == "" {
		set = os.Setenv(variable, "/nonexistent") == nil
	}
}

// Done takes the environment back to what it was.
func Done() {
	if set {
		os.Unsetenv(variable)
	}
}
