// Package importer turns the configurations of other targets into ours: gotgt's
// config.json, tgt's targets.conf and LIO's saveconfig.json.
//
// Import is a function of bytes: it opens no file, and what it cannot know
// without looking (the files that targets.conf includes, whether a path is a
// device) comes in through Options. Out comes the text of a configuration that
// config.Parse has accepted, the secrets that belong beside it, and a report of
// everything that the old target did and this one will not do, or will do
// otherwise, each with the line it comes from.
//
// What a disk is known by goes over exactly: the NAA identifier and the serial
// number are put together as the old target put them together (identity.go).
// Sizes do not go over: a disk that is missing after the move must be an error,
// not a new, empty disk that answers to the old name.
//
// Where something has no counterpart, the import lets fewer initiators in, or
// shows them less, never more.
//
// A draft (draft.go) is what each parser fills; finish makes text of it and
// lets package config judge it, so that no rule stands twice.
package importer
