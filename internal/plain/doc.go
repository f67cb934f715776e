// Package plain makes text that others chose fit to be shown: initiator names,
// aliases and addresses reach logs, terminals, metric labels and web pages, and
// must stay text there.
package plain
