// Command gotest runs go test with the given arguments, shows the packages as
// they finish and the output of what failed, and ends with one line alone:
// "N passed, N failed". It counts top-level tests and their subtests' leaves; a
// package that does not build, dies or leaves a test unfinished is a failure.
package main
