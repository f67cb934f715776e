// Package nohome keeps gotgt's package config from running a program.
//
// When that package is initialized in a process without HOME it runs getent, and
// a shell, to find out where its own configuration might be, which nobody here
// asks for: a daemon started with an empty environment would fork before its
// first line. It does not if GOSTOR_CONFIG is set.
//
// What is done here comes first because packages are initialized in the order of
// their import paths, each as soon as all that it imports is ("Package
// initialization" in the Go specification): this one imports os alone, while
// gotgt's waits for os/exec, which sorts behind it. A test of the command sees
// whether that holds.
package nohome
