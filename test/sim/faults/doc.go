// Package faults does to a target what broken networks and hostile peers do, and
// looks at what becomes of the data, of the memory, and of everybody else. Which
// fault is tested where says docs/security.md; a test here holds that page to
// its word.
package faults
