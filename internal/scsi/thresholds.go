package scsi

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// Thin provisioning thresholds: a unit attention tells initiators, before
// writes fail, that the storage below runs short. SBC-4 r22 4.7.3.7.
//
// Resources are counted in threshold sets of 16 MiB. Asking the storage costs
// system calls, so it is asked once for every threshold set that was written,
// in the background.

const (
	thresholdCount = 2    // as many as are asked of a thin unit; SBC-4 r22 H
	thresholdShift = 24   // log2 of the bytes of a threshold set
	thresholdsAt   = 16   // where the descriptors begin in the mode page
	resourceFree   = 0x01 // available LBA mapping resources
	resourceUsed   = 0x02 // used LBA mapping resources
	countMax       = 1<<32 - 1
)

// threshold is one descriptor of the Logical Block Provisioning mode page.
type threshold struct {
	enabled  bool
	resource uint8
	count    uint32 // threshold sets
}

// defaultThresholds warn when the storage could not take another tenth of the
// unit. The second one is left to initiators.
func defaultThresholds(size uint64) [thresholdCount]threshold {
	return [thresholdCount]threshold{
		{enabled: true, resource: resourceFree, count: setsUp(size / 10)},
		{resource: resourceUsed, count: setsUp(size)},
	}
}

func setsUp(n uint64) uint32   { return uint32(min((n+1<<thresholdShift-1)>>thresholdShift, countMax)) }
func setsDown(n uint64) uint32 { return uint32(min(n>>thresholdShift, countMax)) }

// reached tells whether t is over, given the counts.
func (t threshold) reached(free, used uint32, freeKnown, usedKnown bool) bool {
	switch {
	case !t.enabled:
		return false
	case t.resource == resourceFree:
		return freeKnown && free <= t.count
	}
	return usedKnown && used >= t.count
}

func (u *Unit) counts() bool { return u.conf.Load().counted }

// thresholdExponent is log2 of a threshold set in blocks; zero says that there
// are no thresholds.
func (u *Unit) thresholdExponent() byte {
	if !u.counts() {
		return 0
	}
	return thresholdShift - u.conf.Load().shift
}

// free and used count resources in threshold sets. ok is false where the
// storage does not know.
func (u *Unit) free() (sets uint32, ok bool) {
	n, err := u.caps.account.Free()
	return setsDown(uint64(max(n, 0))), err == nil
}

func (u *Unit) used() (sets uint32, ok bool) {
	n, err := u.caps.account.Allocated()
	return setsUp(uint64(max(n, 0))), err == nil
}

// spaceWatch remembers how much was written since the storage was asked.
type spaceWatch struct {
	written atomic.Int64 // bytes

	mu       sync.Mutex
	checking bool
	fired    [thresholdCount]bool // reached, and not left since
}

// wrote counts n bytes; now and then it has the thresholds looked at.
func (u *Unit) wrote(n int) {
	if !u.conf.Load().counted {
		return
	}
	const every = 1 << thresholdShift
	if after := u.space.written.Add(int64(n)); (after-int64(n))/every != after/every {
		u.checkSpace()
	}
}

// checkSpace compares the thresholds with what the storage says and tells
// every nexus if one is newly reached. SBC-4 r22 4.7.3.7.3: it is armed again
// once the resources are on the other side.
func (u *Unit) checkSpace() {
	w := &u.space
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.checking || !u.counts() {
		return
	}
	w.checking = true
	u.behind.running.Go(func() {
		free, freeKnown := u.free()
		used, usedKnown := u.used()
		w.mu.Lock()
		w.checking = false
		told := false
		for i, t := range u.conf.Load().thresholds {
			now := t.reached(free, used, freeKnown, usedKnown)
			told = told || now && !w.fired[i]
			w.fired[i] = now
		}
		w.mu.Unlock()
		if told {
			u.raiseOthers(nil, UAThinThreshold)
		}
	})
}

func init() {
	const (
		bitEnabled = 0x80
		armUp      = 0x01 // armed by growing counts; 0: by shrinking ones
		body       = thresholdsAt - 4 + 8*thresholdCount
	)
	// Logical Block Provisioning mode page. SBC-4 r22 6.5.9. SITUA is 0: every
	// nexus is told.
	mask := make([]byte, thresholdsAt+8*thresholdCount)
	for i := range thresholdCount {
		d := mask[thresholdsAt+8*i:]
		d[0] = bitEnabled
		binary.BigEndian.PutUint32(d[4:], countMax)
	}
	registerMode(modePage{
		Page: 0x1c, Sub: 0x02, Name: "Logical Block Provisioning",
		Enabled: func(f *conf) bool { return f.counted },
		Mask:    mask,
		Bytes: func(f *conf) []byte {
			b := append(pageHeader(0x1c, 0x02, body), make([]byte, body)...)
			for i, t := range f.thresholds {
				d := b[thresholdsAt+8*i:]
				if t.enabled {
					d[0] |= bitEnabled
				}
				if t.resource == resourceUsed {
					d[0] |= armUp
				}
				d[1] = t.resource
				binary.BigEndian.PutUint32(d[4:], t.count)
			}
			return b
		},
		Apply: func(f *conf, p []byte) {
			for i := range f.thresholds {
				d := p[thresholdsAt+8*i:]
				f.thresholds[i].enabled = d[0]&bitEnabled != 0
				f.thresholds[i].count = binary.BigEndian.Uint32(d[4:])
			}
		},
	})
	// Logical Block Provisioning log page. SBC-4 r22 6.4.5: the space left is
	// shared with others, what is used is this unit's own.
	registerLog(logPage{Code: logProvisioning, Name: "Logical Block Provisioning", Enabled: (*Unit).counts,
		Append: func(b []byte, t *Task) ([]byte, error) {
			const dedicated, shared = 0x01, 0x02
			add := func(code uint16, sets uint32, scope byte) {
				b = binary.BigEndian.AppendUint32(logParameter(b, code, 8), sets)
				b = append(b, scope, 0, 0, 0)
			}
			if n, ok := t.unit.free(); ok {
				add(resourceFree, n, shared)
			}
			if n, ok := t.unit.used(); ok {
				add(resourceUsed, n, dedicated)
			}
			return b, nil
		}})
}
