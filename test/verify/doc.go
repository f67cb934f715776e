// Package verify asks other targets what `nas-target verify` asks, and pins
// the verdicts: whoever runs the suite against tgt or gotgt sees the same, with
// the clause and the reason. It also breaks our own target on purpose, one
// behaviour at a time, and sees that the case about it fails.
package verify
