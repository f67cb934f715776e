// Command sbom writes what a Go program is made of as a CycloneDX bill of
// materials: the modules that its build information names, so that the list is
// that of the binary and not that of a go.mod.
package main
