package linear

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// explain lists what the longest order found leaves out, and its last steps.
func explain(info porcupine.LinearizationInfo, h []porcupine.Operation) (s string) {
	var longest []porcupine.Operation
	for _, part := range info.PartialLinearizationsOperations() {
		for _, l := range part {
			if len(l) > len(longest) {
				longest = l
			}
		}
	}
	type key struct {
		client int
		call   int64
	}
	placed := map[key]bool{}
	for i, o := range longest {
		placed[key{o.ClientId, o.Call}] = true
		if i >= len(longest)-25 {
			s += line("", o)
		}
	}
	for _, o := range h {
		if !placed[key{o.ClientId, o.Call}] {
			s += line("left: ", o)
		}
	}
	return s
}

func line(prefix string, o porcupine.Operation) string {
	return fmt.Sprintf("%s%9.3f–%9.3f ms client %d: %v → %v\n", prefix, float64(o.Call)/1e6, float64(o.Return)/1e6, o.ClientId, o.Input, o.Output)
}
