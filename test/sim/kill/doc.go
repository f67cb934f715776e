// Package kill runs the real daemon and kills it: at random moments under a
// load of reservation commands and writes, and asks afterwards whether what it
// acknowledged is there.
//
// The log of what was acknowledged is kept here, where the kill does not reach.
package kill
