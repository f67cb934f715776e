// Package fence holds the campaigns about rights that are taken away: races of
// a flood of writes with every reservation command that fences, mutual
// preemption, atomicity under contention, media that are stuck, nexuses that
// are replaced, storms of aborts and resets.
//
// The sentence they all try to break: once the answer is sent, nothing of who
// lost its right reaches the medium. The witness is the medium's own log, and
// its content.
package fence
