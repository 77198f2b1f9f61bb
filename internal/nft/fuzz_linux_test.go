package nft

import (
	"slices"
	"testing"

	"github.com/google/nftables/expr"
)

// FuzzRule feeds a kernel's expression to the reader: it never panics, and what
// it understands it writes back as it was.
func FuzzRule(f *testing.F) {
	for _, t := range samples() {
		for _, c := range t.Chains {
			for _, r := range c.Rules {
				exprs, err := encode(t.Family, r.Exprs)
				if err != nil {
					f.Fatal(err)
				}
				for _, e := range exprs {
					data, err := expr.MarshalExprData(familyNumber(t.Family), e)
					if err != nil {
						f.Fatal(err)
					}
					f.Add(uint8(len(r.Exprs)), data, []byte{0, 3, 'a', 'b', 0})
				}
			}
		}
	}
	// The kernel compares fewer octets than were loaded, too.
	short, err := expr.MarshalExprData(familyNumber(Bridge), payload(LinkHeader, 6, 6))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(2), short, []byte{})
	names := []string{"meta", "cmp", "payload", "bitwise", "lookup", "objref", "limit", "fib", "ct", "reject", "masq", "immediate", "dynset"}
	f.Fuzz(func(t *testing.T, which uint8, data, user []byte) {
		comment(user)
		e, err := unmarshalExpr(familyNumber(Bridge), names[int(which)%len(names)], data)
		if err != nil {
			return
		}
		// In front of and behind a comparison, so that loads mean something.
		cmp := &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data[:min(len(data), 16)]}
		few := &expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data[:min(len(data), 3)]}
		for _, in := range [][]expr.Any{{e}, {e, cmp}, {e, few}, {&expr.Meta{Key: expr.MetaKeyMARK, Register: reg}, e, cmp}} {
			out, ok := decode(Bridge, in)
			if !ok {
				continue
			}
			if again, err := encode(Bridge, out); err != nil || len(again) != len(in) {
				t.Errorf("%v was read as %v, which is written as %v, %v", in, out, again, err)
			}
		}
	})
}

// FuzzIntervals reads arbitrary set elements; what has keys comes back from
// them.
func FuzzIntervals(f *testing.F) {
	f.Add("10.0.0.0/8", "11.0.0.0/8")
	f.Add("0.0.0.0/0", "255.255.255.255/32")
	f.Add("10.0.0.1-10.0.0.4", "10.0.0.5-10.0.0.5")
	f.Add("0.0.0.0/32", "128.0.0.0/1")
	f.Fuzz(func(t *testing.T, a, b string) {
		s := Set{Name: "s", Type: IPv4Addr, Interval: true, Elements: []string{a, b}}
		keys, err := s.keys()
		if err != nil {
			return
		}
		s.Elements, err = elementsOf(IPv4Addr, true, keys)
		if err != nil || len(s.Elements) != 2 {
			t.Fatalf("%q and %q come back as %q, %v", a, b, s.Elements, err)
		}
		again, err := s.keys()
		if err != nil || !slices.EqualFunc(again, keys, func(x, y element) bool { return x.end == y.end && string(x.key) == string(y.key) }) {
			t.Errorf("%q and %q: keys %v become %v, %v", a, b, keys, again, err)
		}
	})
}
