package admin

import (
	"cmp"
	"slices"
)

// atMost leaves out what is beyond so many rows of each list, 0 for none. What
// an operator looks for stays: who holds, who is registered and gone, who is
// refused.
func (r Reservations) atMost(rows int) Reservations {
	if rows <= 0 {
		return r
	}
	r.Registrations = first(rows, &r.LeftOut.Registrations, r.Registrations, func(g Registration) int {
		switch {
		case g.Holder:
			return 0
		case !g.Live:
			return 1
		case g.Conflicts > 0:
			return 2
		}
		return 3
	})
	r.Others = first(rows, &r.LeftOut.Others, r.Others, func(b Bystander) int {
		if b.Conflicts > 0 {
			return 0
		}
		return 1
	})
	return r
}

// first returns the n rows of the lowest rank, in their order, and counts the
// rest.
func first[T any](n int, left *int, all []T, rank func(T) int) []T {
	if len(all) <= n {
		return all
	}
	*left = len(all) - n
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b T) int { return cmp.Compare(rank(a), rank(b)) })
	return all[:n]
}
