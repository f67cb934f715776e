package pr

// Access is an immutable picture of who may do what, derived from one State.
// The I/O path loads it through one atomic pointer and asks it nothing it has
// asked before: callers cache Rights per nexus and compare the pointer.
type Access struct {
	others  Rights           // nexuses that are not named below
	special map[Nexus]Rights // nexuses with more or fewer rights than others
}

// Rights returns what n may do. It allocates nothing.
func (a *Access) Rights(n Nexus) Rights {
	if r, ok := a.special[n]; ok {
		return r
	}
	return a.others
}
