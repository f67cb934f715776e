// Package admintest is a daemon that is not there: a [Cluster] answers what the
// admin API may ask, with the disks, sessions and reservations of a small
// failover cluster, and changes as a real one does. Tests of the API, the
// command line and the page stand on it.
package admintest
