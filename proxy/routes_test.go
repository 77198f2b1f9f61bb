package proxy

import (
	"errors"
	"net/http"
	"net/netip"
	"testing"

	"github.com/sixhost/sixhost/plan"
)

func TestLookup(t *testing.T) {
	to := func(last byte) Route {
		return Route{Addr: netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: last})}
	}
	byName := map[string]Route{"www.Example.com": to(1), "*.example.com": to(2), "*.deep.example.com.": to(3), "*.com": to(4)}
	table, err := newRoutes(byName, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]byte{
		"www.example.com": 1, "ftp.example.com": 2, "a.b.example.com": 2, "x.deep.example.com": 3,
		"deep.example.com": 2, "example.com": 4, "com": 0, "example.net": 0, "": 0,
	} {
		got, ok := table.lookup(name)
		if ok != (want != 0) || ok && got != to(want) {
			t.Errorf("%q leads to %v, %v, want %d", name, got.Addr, ok, want)
		}
	}
	other := to(9)
	table.other = &other
	if got, ok := table.lookup(""); !ok || got != other {
		t.Errorf("no name leads to %v, %v, want the default", got, ok)
	}
}

func TestValidate(t *testing.T) {
	at := netip.MustParseAddrPort("203.0.113.10:80")
	good := Route{Addr: netip.MustParseAddr("2001:db8::1")}
	for name, cfg := range map[string]Config{
		"proxy: listen: no address to listen on":                    {Routes: map[string]Route{"a": good}},
		"proxy: routes: no name leads to a guest":                   {HTTP: []netip.AddrPort{at}},
		`proxy: routes: "a b" is no host name, nor one behind "*."`: {HTTP: []netip.AddrPort{at}, Routes: map[string]Route{"a b": good}},
		"proxy: route a: has no address":                            {HTTP: []netip.AddrPort{at}, Routes: map[string]Route{"a": {}}},
		"proxy: route a: :: is no address of a guest":               {HTTP: []netip.AddrPort{at}, Routes: map[string]Route{"a": {Addr: netip.IPv6Unspecified()}}},
		"proxy: route a: leads back here: 203.0.113.10:80 is where the proxy listens": {
			HTTP: []netip.AddrPort{at}, Routes: map[string]Route{"a": {Addr: at.Addr()}}},
		"proxy: limits: must not be negative": {HTTP: []netip.AddrPort{at}, Routes: map[string]Route{"a": good}, MaxConns: -1},
	} {
		_, err := New(cfg)
		var refusal *plan.Refusal
		if !errors.As(err, &refusal) || err.Error() != name {
			t.Errorf("got %v, want %s", err, name)
		}
	}
	if err := (Config{HTTP: []netip.AddrPort{at}, Default: &good}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestForwarded(t *testing.T) {
	for _, tt := range []struct{ remote, host, want string }{
		{"192.0.2.1:99", "a.example", "for=192.0.2.1;host=a.example;proto=http"},
		{"[::ffff:192.0.2.1]:99", "A.example:8080", `for=192.0.2.1;host="a.example:8080";proto=http`},
		{"[2001:db8::1]:99", "a.example:", `for="[2001:db8::1]";host=a.example;proto=http`},
		{"pipe", `"; evil`, "proto=http"},
		{"192.0.2.1:99", "[2001:db8::2]:80", "for=192.0.2.1;proto=http"},
	} {
		if got := forwarded(tt.remote, tt.host); got != tt.want {
			t.Errorf("%s, %s: %s, want %s", tt.remote, tt.host, got, tt.want)
		}
	}
}

func TestLoops(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "me": true, "foo, me; abc=123; bar": true, "foo,me2": false, "me2; x=me": false,
	} {
		h := make(http.Header)
		h.Add(loopHeader, "first")
		h.Add(loopHeader, value)
		if got := loops(h, "me"); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}
