// Command gotgt serves one backing file through the gotgt library, as a peer
// for the comparison tests. It is a module of its own, so that none of its
// dependencies enter the daemon's, and a process of its own, because gotgt
// keeps its targets in package variables and because it may crash.
package main
