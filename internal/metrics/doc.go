// Package metrics tells Prometheus what the daemon does.
//
// Two kinds of figures: those that the live objects keep anyway (commands,
// bytes, latency, registrations, sessions) are read from a [Snapshot] when
// somebody scrapes, so counting costs the data path nothing here; those that
// only happen (a login refused, a reservation command, a conflict) are counted
// by the methods of [Metrics] when the daemon tells of them.
//
// Names begin with nas_target_, units are base units, counters end in _total.
// Every label is bounded: LUNs, targets and portals by the configuration,
// classes, actions and reasons by constants, initiators by a limit beyond which
// they count together as "other".
package metrics
