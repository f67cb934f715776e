package pr

// Record tells one call of Unit.Apply: what was asked, granted or refused,
// and what it changed.
type Record struct {
	Unit    string
	Op      Op
	Verdict Verdict
	Effects []Effect
	Before  State
	After   State // as Before unless Verdict is Good, or the store belongs to somebody else
	Err     error // of the store, with Verdict StoreFailed or a lack of resources

	// Started, Drained, Saved and Done are readings of Config.Clock: when the
	// unit took up the request, when the last call of a nexus that lost its
	// right had left the medium, when the store had answered, when the new
	// state was in force. Without a drain or a save the reading before stands.
	Started, Drained, Saved, Done int64
}

// Events is what a Unit tells. A nil func is not called.
type Events struct {
	// Out is called for every Apply but the events that found nothing to do,
	// in the order the unit processed them, before Apply returns. It must not
	// block and must not call the unit.
	Out func(Record)
}
