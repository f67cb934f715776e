package scsi

// Unit attentions are queued per I_T_L nexus, reported once each, at most one
// per command. SAM-5 5.14, 6.3.4.

// raise queues a unit attention. A condition already pending is not queued
// again; a reset condition replaces older, lesser ones of its family.
// x.mu must not be held.
func (x *itl) raise(c *Check) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range x.ua {
		if p == c {
			return
		}
	}
	if rank := uaRank(c); rank < uaOrdinary {
		at := 0
		for at < len(x.ua) && uaRank(x.ua[at]) <= rank {
			at++
		}
		x.ua = append(x.ua, nil)
		copy(x.ua[at+1:], x.ua[at:])
		x.ua[at] = c
	} else {
		x.ua = append(x.ua, c)
	}
	x.uaPending.Store(int32(len(x.ua)))
}

const uaOrdinary = 5

// uaRank orders conditions: the power-on and reset family comes first.
func uaRank(c *Check) int {
	if c.ASC != 0x29 {
		return uaOrdinary
	}
	switch c.ASCQ {
	case 0x00:
		return 0
	case 0x01:
		return 1
	case 0x02:
		return 2
	case 0x03, 0x04:
		return 3
	}
	return 4
}

// firstUA returns the condition to report now, removing it if take. With
// resetOnly it looks at the power-on and reset family only, which precedes a
// reservation conflict; the others come after it.
func (x *itl) firstUA(take, resetOnly bool) *Check {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.ua) == 0 || resetOnly && uaRank(x.ua[0]) == uaOrdinary {
		return nil
	}
	c := x.ua[0]
	if take {
		x.ua = append(x.ua[:0], x.ua[1:]...)
		x.uaPending.Store(int32(len(x.ua)))
	}
	return c
}

// dropUA removes one condition, wherever it stands.
func (x *itl) dropUA(c *Check) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, p := range x.ua {
		if p == c {
			x.ua = append(x.ua[:i], x.ua[i+1:]...)
			x.uaPending.Store(int32(len(x.ua)))
			return
		}
	}
}

// raiseOthers raises a unit attention at every nexus but one; nil spares none.
func (u *Unit) raiseOthers(but *itl, c *Check) {
	for _, x := range u.live() {
		if x != but {
			x.raise(c)
		}
	}
}
