package nft

import "fmt"

// known is what the expressions of a rule so far say about the packet.
type known struct {
	protocol uint16
	l4       uint8
	ether    bool
}

// start returns what a family says about every packet.
func start(f Family) known {
	switch f {
	case IP:
		return known{protocol: EthIPv4}
	case IP6:
		return known{protocol: EthIPv6}
	case Bridge:
		return known{ether: true}
	}
	return known{}
}

// needs returns the expressions that must come before e for its octets to be
// what e takes them for, in nft's order.
func (k known) needs(f Family, e Expr) ([]Expr, error) {
	var out []Expr
	if parts := e.Kind.parts(); len(parts) > 1 {
		for _, p := range parts {
			before, err := k.needs(f, Expr{Kind: p})
			if err != nil {
				return nil, err
			}
			for _, x := range before {
				out = append(out, x)
				k = k.learn(x)
			}
		}
		return out, nil
	}
	fd, ok := fields(e.Kind)
	if !ok {
		return nil, nil
	}
	if fd.base == LinkHeader && !k.ether {
		out = append(out, Expr{Kind: kindIIFType, Number: 1}) // ARPHRD_ETHER
	}
	if fd.protocol != 0 && k.protocol != fd.protocol {
		if k.protocol != 0 {
			return nil, fmt.Errorf("%s: the packet is of protocol %#04x", e.Kind, k.protocol)
		}
		out = append(out, Protocol(fd.protocol))
	}
	if fd.l4 != 0 && k.l4 != fd.l4 {
		if k.l4 != 0 {
			return nil, fmt.Errorf("%s: the packet is of transport protocol %d", e.Kind, k.l4)
		}
		out = append(out, L4Proto(fd.l4))
	}
	return out, nil
}

// learn adds what e says.
func (k known) learn(e Expr) known {
	if e.Not || e.Set != "" {
		return k
	}
	switch e.Kind {
	case KindProtocol, KindEtherType:
		k.protocol = uint16(e.Number)
	case KindL4Proto:
		k.l4 = uint8(e.Number)
	case kindIIFType:
		k.ether = true
	}
	return k
}

// implied reports whether e says what is known already.
func (k known) implied(e Expr) bool {
	if e.Not || e.Set != "" {
		return false
	}
	switch e.Kind {
	case KindProtocol:
		return k.protocol == uint16(e.Number)
	case KindL4Proto:
		return k.l4 == uint8(e.Number)
	case kindIIFType:
		return k.ether
	}
	return false
}

// expand writes out what the expressions imply: nft and the kernel look at an
// IPv6 address only after the protocol was compared.
func expand(f Family, in []Expr) ([]Expr, error) {
	k := start(f)
	var out []Expr
	for _, e := range in {
		if k.implied(e) {
			continue
		}
		if e.Kind == KindProtocol && !e.Not {
			if k.protocol != 0 {
				return nil, fmt.Errorf("%s: the packet is of protocol %#04x", e.Kind, k.protocol)
			}
			if f == INet && e.Number != uint32(EthIPv4) && e.Number != uint32(EthIPv6) {
				return nil, fmt.Errorf("%s %#04x: the inet family sees IPv4 and IPv6 only", e.Kind, e.Number)
			}
		}
		if e.Kind == KindProtocol && (f == IP || f == IP6) {
			return nil, fmt.Errorf("%s: family %s sees one protocol only", e.Kind, f)
		}
		before, err := k.needs(f, e)
		if err != nil {
			return nil, err
		}
		for _, x := range append(before, e) {
			out = append(out, x)
			k = k.learn(x)
		}
	}
	return out, nil
}

// reduce is the way back from expand: it leaves out whatever expand would put
// in again at the same place. Rules that can't be expanded stay as they are.
func reduce(f Family, in []Expr) []Expr {
	full, err := expand(f, in)
	if err != nil {
		return in
	}
	var out []Expr
	for i := 0; i < len(full); i++ {
		// The longest run of brought-along matches that some expression right
		// behind it would bring along by itself.
		skip := 0
		for n := 1; n <= 3 && i+n < len(full); n++ {
			before, err := after(f, out).needs(f, full[i+n])
			if err == nil && len(before) == n && equalExprs(before, full[i:i+n]) {
				skip = n
			}
		}
		i += skip
		out = append(out, full[i])
	}
	return out
}

// after returns what is known behind a rule's expressions, the implied ones
// included.
func after(f Family, exprs []Expr) known {
	k := start(f)
	for _, e := range exprs {
		before, err := k.needs(f, e)
		if err != nil {
			return k
		}
		for _, x := range append(before, e) {
			k = k.learn(x)
		}
	}
	return k
}

func equalExprs(a, b []Expr) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
