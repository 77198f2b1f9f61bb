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

// Elements of sets of single values and tuples are all that may differ between
// tables that Update leads from one to the other.
func TestSameRules(t *testing.T) {
	table := func(change func(*Table)) *Table {
		t := &Table{Family: Bridge, Name: "t", Counters: []string{"hits"}, Sets: []Set{
			NewSet("tuples", Concat(IfName, EtherAddr), "vnet0 . 52:54:00:00:00:01"),
			PrefixSet("prefixes", IPv6Addr, pfx("2001:db8::/64")),
			DynamicSet("seen", IPv6Addr, 10, 0),
		}, Chains: []Chain{{Name: "c", Type: "filter", Hook: "forward", Policy: "accept"}}}
		change(t)
		return t
	}
	from := table(func(*Table) {})
	for name, tt := range map[string]struct {
		to   *Table
		same bool
	}{
		"itself":           {table(func(*Table) {}), true},
		"another tuple":    {table(func(t *Table) { t.Sets[0].Elements = []string{"vnet1 . 52:54:00:00:00:02"} }), true},
		"another prefix":   {table(func(t *Table) { t.Sets[1].Elements = []string{"2001:db8:1::/64"} }), false},
		"another size":     {table(func(t *Table) { t.Sets[2].Size = 11 }), false},
		"another set":      {table(func(t *Table) { t.Sets = t.Sets[:2] }), false},
		"another type":     {table(func(t *Table) { t.Sets[0] = NewSet("tuples", IfName, "vnet0") }), false},
		"another rule":     {table(func(t *Table) { t.Chains[0].Rules = []Rule{NewRule("", Accept())} }), false},
		"none":             {nil, false},
		"what is unknown":  {table(func(t *Table) { t.Unknown = []string{"quota"} }), false},
		"the other family": {table(func(t *Table) { t.Family = NetDev }), false},
	} {
		if got := SameRules(from, tt.to); got != tt.same {
			t.Errorf("%s: %v", name, got)
		}
	}
	if from.Sets[0].Elements == nil || len(from.Sets[0].Elements) != 1 {
		t.Error("comparing took the elements away")
	}
}

// Elements of tuples that are not what their type says.
func TestTupleElements(t *testing.T) {
	typ := Concat(IfName, EtherAddr, IPv6Addr)
	for _, e := range []string{"", "vnet0", "vnet0 . 52:54:00:00:00:01", "vnet0 . 52:54:00:00:00:01 . 192.0.2.1", "a/b . 52:54:00:00:00:01 . ::1", "vnet0 . 52 . ::1", "vnet0 . 52:54:00:00:00:01 . ::1 . ::1"} {
		s := NewSet("s", typ, e)
		if err := s.check(); err == nil {
			t.Errorf("%q passes as %s", e, typ)
		}
	}
	for _, s := range []Set{
		{Name: "s", Type: Concat(IPv6Addr, IPv6Addr, IPv6Addr, IPv6Addr, IPv4Addr)}, {Name: "s", Type: "ifname . nothing"},
		{Name: "s", Type: IfName, Dynamic: true}, {Name: "s", Type: IfName, Size: 5}, {Name: "s", Type: typ, Interval: true},
	} {
		if err := s.check(); err == nil {
			t.Errorf("%+v passes", s)
		}
	}
}
