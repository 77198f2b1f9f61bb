package proxy

import (
	"bufio"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// Routes change under connections that go on: a connection finds the new guest
// with its next request, and what can't be served changes nothing.
func TestSetRoutes(t *testing.T) {
	ns := namespace(t)
	serveHTTP(t, ns, guest1, "one", nil)
	serveHTTP(t, ns, guest2, "two", nil)
	s, _ := run(t, ns, Config{Routes: map[string]Route{"one.example": {Addr: netip.MustParseAddr(guest1)}}})
	c := dial(t, ns, s.HTTPAddrs()[0])
	r := bufio.NewReader(c)
	ask := func(name string) (int, string) {
		t.Helper()
		resp, body := exchange(t, c, r, "GET / HTTP/1.1\r\nHost: "+name+"\r\n\r\n")
		guest, _, _ := strings.Cut(body, " ")
		if resp.StatusCode != http.StatusOK {
			guest = ""
		}
		return resp.StatusCode, guest
	}
	expect := func(name string, status int, guest string) {
		t.Helper()
		if got, by := ask(name); got != status || by != guest {
			t.Errorf("%s: status %d by %q, want %d by %q", name, got, by, status, guest)
		}
	}
	expect("one.example", http.StatusOK, "one")
	expect("new.example", http.StatusMisdirectedRequest, "")
	if err := s.SetRoutes(map[string]Route{"new.example": {Addr: netip.MustParseAddr(guest2)}}, nil); err != nil {
		t.Fatal(err)
	}
	expect("new.example", http.StatusOK, "two")
	expect("one.example", http.StatusMisdirectedRequest, "")
	for name, routes := range map[string]map[string]Route{
		"no name":      nil,
		"no address":   {"new.example": {}},
		"no host name": {"a b": {Addr: netip.MustParseAddr(guest1)}},
	} {
		if err := s.SetRoutes(routes, nil); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	expect("new.example", http.StatusOK, "two")
}
