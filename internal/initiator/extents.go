package initiator

import "slices"

// extents is a set of byte ranges, kept sorted and merged.
type extents struct {
	list []extent
	sum  int
}

type extent struct{ from, to int }

// add puts [from, to) in and reports whether nothing of it was there before.
func (e *extents) add(from, to int) bool {
	if from >= to {
		return true
	}
	i, _ := slices.BinarySearchFunc(e.list, from, func(x extent, from int) int { return x.to - from })
	j, fresh := i, true
	merged := extent{from, to}
	for ; j < len(e.list) && e.list[j].from <= to; j++ {
		x := e.list[j]
		if x.from < to && from < x.to {
			fresh = false
		}
		merged.from, merged.to = min(merged.from, x.from), max(merged.to, x.to)
		e.sum -= x.to - x.from
	}
	e.list = slices.Replace(e.list, i, j, merged)
	e.sum += merged.to - merged.from
	return fresh
}

// end is the offset behind the last byte.
func (e *extents) end() int {
	if len(e.list) == 0 {
		return 0
	}
	return e.list[len(e.list)-1].to
}

// total is the number of bytes in the set.
func (e *extents) total() int { return e.sum }
