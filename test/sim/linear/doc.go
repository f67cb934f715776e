// Package linear records concurrent histories of reservation commands, reads,
// writes and COMPARE AND WRITE, and asks whether there is one order, in
// keeping with the clock, in which package rules gives every answer that was
// given.
//
// A command without an answer may have had its effect or not: both states go
// on. When it can have it at latest is known for an aborted command (the end
// of the abort) and for one whose path was cut once the same nexus, logged in
// again, has touched the medium; otherwise it is never.
package linear
