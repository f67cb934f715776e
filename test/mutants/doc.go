// Command mutants plants one deliberate defect at a time into the source and runs the
// tests that must notice. A test suite that cannot fail proves nothing; this
// shows that ours can.
//
//	go run ./test/mutants                 every mutant, a few minutes
//	go run ./test/mutants -run 'drain'    those whose name matches
//	go run ./test/mutants -list           only their names
//
// It ends with status 1 if a mutant survives, that is, if the tests named for
// it pass although the defect is there.
//
// The mutants are data: *.txt beside this file, one file per package. See
// parse for their form. The tree is never changed: the go command is given the
// mutated file by -overlay.
package main
