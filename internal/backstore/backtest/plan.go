package backtest

import "sync"

// plan counts calls and says which of them go wrong.
type plan struct {
	mu    sync.Mutex
	calls map[string]int
	total int
	rules []*rule
}

type rule struct {
	op    string // "" is any
	nth   int    // calls of op until it strikes, counted from 1; 0 or less: struck
	on    bool   // strikes from then on, not once
	err   error
	short int // bytes to move before err; -1: none are moved, the call is not made
	latch bool
}

func (p *plan) add(r rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, &r)
}

func (p *plan) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = nil
}

// count is how often op was called; "" counts all calls.
func (p *plan) count(op string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if op == "" {
		return p.total
	}
	return p.calls[op]
}

// next counts one call and returns the rule that strikes it, or nil.
func (p *plan) next(op string) *rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.calls == nil {
		p.calls = map[string]int{}
	}
	p.calls[op]++
	p.total++
	var hit *rule
	for _, r := range p.rules {
		if r.op != "" && r.op != op {
			continue
		}
		r.nth--
		if hit == nil && (r.nth == 0 || r.on && r.nth < 0) {
			hit = r
		}
	}
	return hit
}
