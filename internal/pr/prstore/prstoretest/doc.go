// Package prstoretest is the contract of pr.Store as a test suite. Every store
// calls Run once.
package prstoretest
