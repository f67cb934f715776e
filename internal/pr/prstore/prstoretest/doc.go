// Package prstoretest is the contract of pr.Store as tests: what every kind of
// reservation store must do, whatever it keeps its states in.
package prstoretest
