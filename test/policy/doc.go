// Package policy holds the rules of this repository that a machine can check,
// as data, and the tests that compare them with the tree: who may import whom,
// which library stays behind which package, what every package owes its
// reader.
//
// A failing row is a question about the design, not about the row. Change
// layers.go only together with the map in docs/architecture.md, and say in the
// commit what the new edge is for.
package policy
