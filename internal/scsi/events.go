package scsi

// Events is news going outward. Any func may be nil; none may block. A *Task
// is valid during the call only.
type Events struct {
	// Refused: a command ended with something other than GOOD.
	Refused func(t *Task)
	// Panicked: a handler panicked; the initiator got HARDWARE ERROR.
	Panicked func(t *Task, value any, stack []byte)
	// Aborted: n tasks of a nexus were aborted, and why.
	Aborted func(u *Unit, n Nexus, count int, why Reason)
	// FlushFailed: u answers no write until an operator clears the failure.
	FlushFailed func(u *Unit, err error)
}

func (e *Events) refused(t *Task) {
	if e.Refused != nil {
		e.Refused(t)
	}
}

func (e *Events) panicked(t *Task, v any, stack []byte) {
	if e.Panicked != nil {
		e.Panicked(t, v, stack)
	}
}

func (e *Events) aborted(u *Unit, n Nexus, count int, why Reason) {
	if e.Aborted != nil && count > 0 {
		e.Aborted(u, n, count, why)
	}
}
