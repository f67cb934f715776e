// Command libiscsi runs libiscsi's tests against a target that it starts, ours
// or a peer, prints a line per test that did not simply pass, and counts.
//
//	go run ./test/conformance/libiscsi                  # our daemon
//	go run ./test/conformance/libiscsi -target tgt
//	go run ./test/conformance/libiscsi -run 'Write.*' -v
package main
