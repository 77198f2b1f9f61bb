package nft

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestSamplesPassCheckAndJSON(t *testing.T) {
	for _, want := range samples() {
		if err := want.Check(); err != nil {
			t.Errorf("%s: %v", want.Family, err)
		}
		b, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Table
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got, want) {
			t.Errorf("%s: JSON does not come back:\n%s", want.Family, b)
		}
	}
}

// Each sentence of Check, once.
func TestCheck(t *testing.T) {
	chain := func(rules ...Rule) []Chain {
		return []Chain{{Name: "c", Type: "filter", Hook: "forward", Policy: "accept", Rules: rules}}
	}
	for _, tt := range []struct {
		name string
		t    Table
		want string
	}{
		{"family", Table{Family: "arpa", Name: "t"}, `family "arpa": unknown`},
		{"name", Table{Family: IP, Name: "a b"}, "not a name nft takes"},
		{"twice", Table{Family: IP, Name: "t", Counters: []string{"a", "a"}}, "defined twice"},
		{"unknown", Table{Family: IP, Name: "t", Unknown: []string{"object x"}}, "can't write: object x"},
		{"set type", Table{Family: IP, Name: "t", Sets: []Set{{Name: "s", Type: "verdict"}}}, `type "verdict": unknown`},
		{"element", Table{Family: IP, Name: "t", Sets: []Set{{Name: "s", Type: IPv4Addr, Elements: []string{"::1"}}}}, `element "::1": not of type ipv4_addr`},
		{"overlap", Table{Family: IP, Name: "t", Sets: []Set{{Name: "s", Type: IPv4Addr, Interval: true, Elements: []string{"10.0.0.0/8", "10.1.0.0/16"}}}}, "overlap"},
		{"hook", Table{Family: Bridge, Name: "t", Chains: []Chain{{Name: "c", Type: "filter", Hook: "ingress", Policy: "accept"}}}, `hook "ingress"`},
		{"policy", Table{Family: Bridge, Name: "t", Chains: []Chain{{Name: "c", Type: "filter", Hook: "input"}}}, `policy ""`},
		{"type", Table{Family: Bridge, Name: "t", Chains: []Chain{{Name: "c", Type: "route", Hook: "input", Policy: "drop"}}}, `type "route"`},
		{"no hook", Table{Family: Bridge, Name: "t", Chains: []Chain{{Name: "c", Policy: "drop"}}}, "need a hook"},
		{"device", Table{Family: NetDev, Name: "t", Chains: []Chain{{Name: "c", Type: "filter", Hook: "ingress", Policy: "drop"}}}, "netdev chains have a device"},
		{"comment", Table{Family: Bridge, Name: "t", Chains: chain(NewRule(`say "no"`, Drop()))}, "without quotes"},
		{"counter", Table{Family: Bridge, Name: "t", Chains: chain(NewRule("", CountIn("x")))}, "x is not in the table"},
		{"set", Table{Family: Bridge, Name: "t", Chains: chain(NewRule("", In(KindIIFName, "x")))}, "set x is not in the table"},
		{"set of other type", Table{Family: Bridge, Name: "t", Sets: []Set{MACSet("x")}, Chains: chain(NewRule("", In(KindIIFName, "x")))}, "set x is of type ether_addr"},
		{"field without sets", Table{Family: Bridge, Name: "t", Sets: []Set{MACSet("x")}, Chains: chain(NewRule("", In(KindUDPDport, "x")))}, "set x is of type"},
		{"jump", Table{Family: Bridge, Name: "t", Chains: chain(NewRule("", Jump("c")))}, "not a chain without hook"},
		{"interface", Table{Family: Bridge, Name: "t", Chains: chain(NewRule("", IIFName("a/b")))}, "not an interface name"},
		{"two protocols", Table{Family: Bridge, Name: "t", Chains: chain(NewRule("", Saddr(pfx("10.0.0.0/8")), Daddr(pfx("2001:db8::/32"))))}, "is of protocol 0x0800"},
		{"two transports", Table{Family: Bridge, Name: "t", Chains: chain(NewRule("", UDPDport(1), TCPDport(1)))}, "transport protocol 17"},
		{"wrong family", Table{Family: IP, Name: "t", Chains: chain(NewRule("", Saddr(pfx("2001:db8::/32"))))}, "is of protocol 0x0800"},
		{"reject", Table{Family: Bridge, Name: "t", Chains: chain(NewRule("", Reject()))}, "does not answer"},
		{"fib", Table{Family: Bridge, Name: "t", Chains: chain(NewRule("", FibDaddr("local")))}, "does not route"},
		{"link", Table{Family: INet, Name: "t", Chains: chain(NewRule("", EtherSaddr([6]byte{})))}, "no link-layer header"},
		{"payload", Table{Family: INet, Name: "t", Chains: chain(NewRule("", Payload(LinkHeader, 0, make([]byte, 17), nil)))}, "1 to 16 octets"},
		{"limit", Table{Family: INet, Name: "t", Chains: chain(NewRule("", Limit(1, "fortnight", 1)))}, "a unit"},
		{"default route", Table{Family: IP6, Name: "t", Chains: chain(NewRule("", Saddr(pfx("::/0"))))}, "longer than 0"},
		{"what was read", Table{Family: IP6, Name: "t", Chains: chain(NewRule("", Expr{Kind: KindUnknown, Name: "osf"}))}, "not understood: osf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.t.Check(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check = %v, want %q in it", err, tt.want)
			}
		})
	}
}

// What a match brings along and what stands there already are the same table.
func TestEqualKnowsImpliedMatches(t *testing.T) {
	table := func(f Family, exprs ...Expr) *Table {
		return &Table{Family: f, Name: "t", Chains: []Chain{{Name: "c", Type: "filter", Hook: "forward", Policy: "accept", Rules: []Rule{NewRule("", exprs...)}}}}
	}
	a := Saddr(pfx("2001:db8::/64"))
	for _, f := range []Family{Bridge, INet} {
		if !Equal(table(f, a, ICMPv6Type(134)), table(f, Protocol(EthIPv6), a, Protocol(EthIPv6), L4Proto(ICMPv6), ICMPv6Type(134))) {
			t.Errorf("%s: implied matches make a difference", f)
		}
		if Equal(table(f, IIFName("x"), a), table(f, Protocol(EthIPv6), IIFName("x"), a)) {
			t.Errorf("%s: the order of matches makes none", f)
		}
	}
	if Equal(table(Bridge, a), table(Bridge, Invert(a))) {
		t.Error("an inverted match equals the plain one")
	}
	if !Equal(nil, nil) || Equal(nil, table(Bridge)) {
		t.Error("nil tables")
	}
}

func TestIntervals(t *testing.T) {
	s := PrefixSet("s", IPv4Addr, pfx("10.0.0.0/8"), pfx("10.1.0.0/16"), pfx("11.0.0.0/8"), pfx("255.0.0.0/8"), pfx("0.0.0.0/32"), pfx("10.0.0.0/8"))
	if want := []string{"0.0.0.0/32", "10.0.0.0/8", "11.0.0.0/8", "255.0.0.0/8"}; !slices.Equal(s.Elements, want) {
		t.Fatalf("elements %v, want %v", s.Elements, want)
	}
	keys, err := s.keys()
	if err != nil {
		t.Fatal(err)
	}
	back, err := elementsOf(IPv4Addr, true, keys)
	if err != nil || !slices.Equal(back, s.Elements) {
		t.Errorf("elementsOf(keys) = %v, %v", back, err)
	}
	if got := spanText(addr("10.0.0.1"), addr("10.0.0.4")); got != "10.0.0.1-10.0.0.4" {
		t.Errorf("a range that is no prefix: %s", got)
	}
}
