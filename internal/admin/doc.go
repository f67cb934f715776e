// Package admin is how people and programs talk to a running daemon: an HTTP
// API with an OpenAPI description, a live page, and the client that the command
// line uses.
//
// The package knows HTTP and its own JSON types. What it may ask of the daemon
// is [Control], which it declares; the daemon implements it and hands it in.
// The types are values: an answer is a picture of one moment.
//
// # Two doors
//
// [API.Socket] is for the Unix socket in the data directory: mode 0600, and the
// kernel says who is at the other end; the daemon's own user and root may do
// everything, profiles and dumps of its insides included.
//
// [API.Web] is for TCP: the page and the API. On loopback everybody on the
// machine may look, and changes need the token; beyond loopback TLS is needed
// and the token for every request. It answers only to its own host names, takes
// no request from another site's page, and sets no cookie.
//
// # The life of a request
//
// The guard of the door looks at who asks ▸ huma decodes and validates ▸ the
// operation asks Control for a Status and picks its part, or hands Control a
// Change ▸ the answer is encoded, and whatever names initiators chose for
// themselves becomes plain text in one place (package plain).
//
// A change carries the version of what its sender saw (If-Match), and is refused
// if that changed meanwhile: what an operator confirmed is what is done.
//
// # Goroutines
//
// [Serve] runs one that accepts, and net/http's for each connection; [Server.Close]
// ends them. [Feed] runs none: a publisher wakes the followers, and each takes what
// it has not seen; who is too slow learns of the gap.
package admin
