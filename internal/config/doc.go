// Package config reads the daemon's configuration: one YAML file in, one plain,
// validated Config out. It is the only package that knows viper.
//
// Reading is strict. Load parses the file once as a YAML tree and looks at
// every key: an unknown one is an error that names the file, the line and the
// nearest key that exists. Then viper reads the values, laying the environment
// (NAS_TARGET_DATA_DIR, NAS_TARGET_LOG_LEVEL, NAS_TARGET_LOG_FORMAT) over the
// file and the file over the defaults, and Validate looks at what the values
// mean together. All that is wrong is reported at once, each with its line.
//
// viper lower-cases keys and gives dots in them a meaning. Names of targets and
// initiators are therefore always values in lists, never keys.
//
// Merge adds what operators made through the API (Managed) and judges both
// together; With edits that part, YAML writes it, Diff tells two configurations
// apart in words. CHAP secrets are no part of a configuration: LoadSecrets
// fetches them from where they are.
//
// The package has no goroutines and writes no file: the operator's is the
// operator's.
package config
