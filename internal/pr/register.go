package pr

import "slices"

// register is REGISTER and REGISTER AND IGNORE EXISTING KEY. SPC-4 r36f
// 5.13.7, tables 67 to 69.
func (s State) register(env Env, op Op) (State, []Effect, Verdict) {
	ports := op.targetPorts(env)
	at := s.byNexus()
	own := 0 // of the nexuses this request is about, how many are registered
	for _, p := range ports {
		i, registered := at[Nexus{op.From.Initiator, p}]
		if registered {
			own++
		}
		if op.Action == RegisterAndIgnore {
			continue
		}
		// ALL_TG_PT acts as if the request came through every port, so its key
		// has to be right at every port, or it is refused as a whole.
		switch {
		case registered && op.Key != s.Registrations[i].Key:
			return s, nil, conflict(ReasonKey)
		case !registered && op.Key != 0:
			return s, nil, conflict(ReasonNotRegistered)
		}
	}
	if op.SpecIPt && (op.Action == RegisterAndIgnore || own > 0) {
		return s, nil, badList(ReasonSpecIPt, atSpecIPt)
	}
	switch {
	case op.ServiceKey != 0:
		return s.registerAll(env, op, ports, at)
	case own > 0:
		return s.unregister(op, ports)
	}
	// Nobody is registered and nobody will be: nothing happens, APTPL
	// included, but the command counts (6.15.2).
	s.Generation++
	return s, nil, Verdict{}
}

// registerAll registers the sender, and with SPEC_I_PT every port listed, at
// every one of the target ports, or nobody.
func (s State) registerAll(env Env, op Op, ports []string, at map[Nexus]int) (State, []Effect, Verdict) {
	initiators := []string{op.From.Initiator}
	if op.SpecIPt {
		listed, v := op.listed(env, ports, at)
		if !v.OK() {
			return s, nil, v
		}
		initiators = append(initiators, listed...)
	}
	regs := slices.Clone(s.Registrations)
	for _, ini := range initiators {
		for _, port := range ports {
			n := Nexus{ini, port}
			if !n.storable() {
				return s, nil, unstorable
			}
			r := Registration{Nexus: n, Key: op.ServiceKey, AllTargetPorts: op.AllTargetPorts}
			if i, ok := at[n]; ok {
				regs[i] = r
				continue
			}
			if len(regs) >= env.max() {
				return s, nil, full
			}
			at[n] = len(regs)
			regs = append(regs, r)
		}
	}
	s.Registrations, s.APTPL = regs, op.APTPL
	s.Generation++
	return s, nil, Verdict{}
}

var (
	full       = Verdict{Status: InsufficientRegistrationResources, Reason: ReasonFull}
	unstorable = Verdict{Status: InsufficientRegistrationResources, Reason: ReasonPortName}
)

// listed resolves the TransportIDs of SPEC_I_PT to initiator port names.
func (op Op) listed(env Env, ports []string, at map[Nexus]int) ([]string, Verdict) {
	var out []string
	for _, id := range op.Transports {
		names := id.resolve(env)
		if len(names) == 0 {
			return nil, badList(ReasonTransportID, Pointer{id.Offset, WholeByte})
		}
		for _, name := range names {
			for _, p := range ports {
				if _, ok := at[Nexus{name, p}]; ok {
					return nil, badList(ReasonPortRegistered, Pointer{id.Offset, WholeByte})
				}
			}
		}
		out = append(out, names...)
	}
	return out, Verdict{}
}

// resolve returns the initiator ports id stands for, none if it is no good.
func (id TransportID) resolve(env Env) []string {
	switch {
	case id.Malformed || id.Node == "" || len(id.Node) > maxNodeName:
		return nil
	case id.Port:
		return []string{InitiatorPort(id.Node, id.ISID)}
	}
	var out []string
	for _, name := range env.InitiatorPorts {
		if Node(name) == id.Node && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// unregister removes the sender's registration, with ALL_TG_PT at every port.
// SPC-4 r36f 5.13.11.2.3.
func (s State) unregister(op Op, ports []string) (State, []Effect, Verdict) {
	gone := make(map[Nexus]bool, len(ports))
	for _, p := range ports {
		gone[Nexus{op.From.Initiator, p}] = true
	}
	next := s.without(gone)
	var fx []Effect
	if next.Reservation != s.Reservation && s.Reservation.Type.Shared() {
		fx = raise(fx, ReservationsReleased, next.registeredExcept(op.From))
	}
	next.APTPL = op.APTPL
	next.Generation++
	return next, fx, Verdict{}
}

// targetPorts lists the target ports a registering action is for: the one it
// came through, with ALL_TG_PT every port of the device.
func (op Op) targetPorts(env Env) []string {
	ports := []string{op.From.Target}
	if op.AllTargetPorts {
		for _, p := range env.TargetPorts {
			if !slices.Contains(ports, p.Name) {
				ports = append(ports, p.Name)
			}
		}
	}
	return ports
}

func (s State) byNexus() map[Nexus]int {
	at := make(map[Nexus]int, len(s.Registrations)+1)
	for i, r := range s.Registrations {
		at[r.Nexus] = i
	}
	return at
}
