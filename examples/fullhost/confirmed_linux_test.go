package main

import (
	"os"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// TestRestartLeavesUnconfirmed: what the file has come to want since the last
// confirmation is not put in force by a new start, nor by confirm, nor by a boot.
func TestRestartLeavesUnconfirmed(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	led := func(port string) bool {
		return strings.Contains(nstest.Output(t, s.ns, "nft", "list", "ruleset"), "dport "+port+" dnat")
	}
	expose := func(ports ...string) {
		t.Helper()
		text := "guests: [{name: www}]\nexpose:\n"
		for _, p := range ports {
			text += "  - {guest: www, protocol: tcp, port: " + p + "}\n"
		}
		s.configure(t, text)
	}
	restarted := func(warns bool) {
		t.Helper()
		s.stop(t)
		s.again(t)
		if got := strings.Contains(s.said(), "fullhost apply first"); got != warns {
			t.Errorf("it says that the file is to be applied: %v, want %v\n%s", got, warns, s.said())
		}
	}
	expose("8443")
	restarted(true)
	if led("8443") {
		t.Error("a start of run led a port to a guest that nobody has confirmed")
	}
	// The services are those of a host that run keeps.
	nstest.Output(t, s.ns, "ip", "addr", "del", "203.0.113.10/32", "dev", "br0")
	s.until(t, "was changed and is put back")

	s.stop(t)
	s.applyAndConfirm(t)
	if !led("8443") {
		t.Fatal("apply did not lead the port to the guest")
	}
	s.again(t)

	expose("8443", "9443")
	const want = "fullhost: confirm: the file wants what was not applied and confirmed (the first step: put the gateway's rules in place"
	if status, _, stderr := program(t, s.ns, nil, "confirm", "-f", s.file); status != 2 || !strings.HasPrefix(stderr, want) {
		t.Errorf("confirm: status %d, says %q, want %q", status, stderr, want)
	}
	// As after a boot, when none of the rules is there.
	s.stop(t)
	nstest.Output(t, s.ns, "nft", "flush", "ruleset")
	nstest.Output(t, s.ns, "ip", "link", "del", "nat64")
	s.again(t)
	if !led("8443") || led("9443") {
		t.Errorf("port 8443 is led to the guest: %v, port 9443: %v; only the first was confirmed", led("8443"), led("9443"))
	}

	// What takes nothing from anybody needs no confirmation, and a file that can't
	// be read is one that was not applied.
	s.configure(t, "guests: [{name: www, serve: [www.example.org]}]\nexpose: [{guest: www, protocol: tcp, port: 8443}]\n")
	restarted(false)
	if err := os.WriteFile(s.file, []byte("guests: [\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.stop(t)
	s.again(t)
	if want := "serving what was confirmed last"; !strings.Contains(s.said(), want) {
		t.Errorf("it does not say %q", want)
	}
}
