package main

import "fmt"

// row is one workload.
type row struct {
	Block    int  `json:"block"` // bytes of one I/O
	Write    bool `json:"write"`
	Random   bool `json:"random"` // or sequential
	Sessions int  `json:"sessions"`
	Depth    int  `json:"depth"` // outstanding commands of one session
	Digests  bool `json:"digests,omitempty"`
}

const (
	k = 1 << 10
	m = 1 << 20
)

var rows = []row{
	{4 * k, false, true, 1, 1, false},
	{4 * k, false, true, 1, 4, false},
	{4 * k, false, true, 1, 32, false},
	{4 * k, false, true, 4, 32, false},
	{4 * k, false, true, 16, 4, false},
	{4 * k, false, true, 128, 4, false},
	{4 * k, true, true, 1, 1, false},
	{4 * k, true, true, 1, 32, false},
	{4 * k, true, true, 4, 32, false},
	{256 * k, false, false, 1, 8, false},
	{256 * k, true, false, 1, 8, false},
	{1 * m, false, false, 1, 8, false},
	{1 * m, true, false, 1, 8, false},
	{4 * k, false, true, 4, 32, true},
	{256 * k, false, false, 1, 8, true},
	{256 * k, true, false, 1, 8, true},
}

// Name is what the table and -rows call it, such as "4k random read 4x32".
func (r row) Name() string {
	size, dir, way := fmt.Sprintf("%dk", r.Block/k), "read", "sequential"
	if r.Block >= m {
		size = fmt.Sprintf("%dM", r.Block/m)
	}
	if r.Write {
		dir = "write"
	}
	if r.Random {
		way = "random"
	}
	name := fmt.Sprintf("%s %s %s %dx%d", size, way, dir, r.Sessions, r.Depth)
	if r.Digests {
		name += " digests"
	}
	return name
}
