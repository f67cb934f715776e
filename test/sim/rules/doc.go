// Package rules is what the standards say about reservations of one logical
// unit, for a handful of nexuses, as functions of values: the campaigns'
// opinion of what a target must answer.
//
// It was written from SPC-4 and SPC-2 alone and shares nothing with the
// target. A State is comparable, so that checkers can collect states in maps.
package rules
