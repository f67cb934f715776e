// Package oracletest says what SPC-4 demands of persistent reservations, a
// second time: as the tables of the standard, row by row, with types of its
// own. It shares no code with package pr, not even names, so that the two can
// only agree by both being right or by misreading the standard the same way.
// It is slow and allocates freely.
//
// Every PERSISTENT RESERVE OUT goes through rows that are tried in order; the
// first whose condition holds gives the answer and changes the world. A row
// carries the clause it comes from and counts how often it decided, so that a
// test can require that every row did.
package oracletest
