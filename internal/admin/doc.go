// Package admin is how people and programs talk to a running daemon: an HTTP
// API with an OpenAPI description, on a Unix socket that only the daemon's user
// can open, and the client that the command line uses.
//
// The package knows HTTP and its own JSON types. What it may ask of the daemon
// is Control, which it declares; the daemon implements it and hands it in. The
// types are values: an answer is a picture of one moment.
//
// Serve runs one goroutine that accepts, and net/http's for each request; Close
// ends them.
package admin
