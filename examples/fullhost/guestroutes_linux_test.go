package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// TestGuestRoutesHaveOneOwner: a guest's own IPv4 address is led to it, put back
// when it is lost, with the bridge or alone, and gone with its entry in the file.
func TestGuestRoutesHaveOneOwner(t *testing.T) {
	t.Parallel()
	s := serveHost(t)
	s.stop(t)
	s.configure(t, "guests: [{name: www, ipv4: [203.0.113.77]}]\n")
	s.applyAndConfirm(t)
	led := func() bool {
		return strings.Contains(nstest.Output(t, s.ns, "ip", "-4", "route", "show", "proto", "143"), "203.0.113.77")
	}
	if !led() {
		t.Fatal("apply leads nothing to the guest")
	}
	s.again(t)
	for _, line := range []string{"link set br0 down", "route del 203.0.113.77 dev br0"} {
		nstest.Output(t, s.ns, "ip", strings.Fields(line)...)
		eventually(t, "the route after ip "+line, led)
	}
	// It is not written into the files of the host's network.
	dir := t.TempDir()
	written := filepath.Join(dir, "host.yaml")
	if err := os.WriteFile(written, []byte("persist: {format: networkd, root: "+dir+"}\ndns: {upstreams: [192.0.2.53]}\nguests: [{name: www, ipv4: [203.0.113.77]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := program(t, s.ns, nil, "persist", "-diff", "-f", written)
	if _, network, ok := strings.Cut(stdout, "05-sixhost-br0.network"); status != 0 || !ok || strings.Contains(network, "Destination=203.0.113.77") {
		t.Errorf("persist: status %d, says %s, shows\n%s", status, stderr, stdout)
	}
	// It ends with its entry.
	s.stop(t)
	s.configure(t, "guests: [{name: www}]\n")
	if _, stdout, _ := program(t, s.ns, nil, "doctor", "-f", s.file); !strings.Contains(stdout, "no longer lead 203.0.113.77 to br0") {
		t.Errorf("doctor does not say that the route is to go:\n%s", stdout)
	}
	s.applyAndConfirm(t)
	if led() {
		t.Error("what the file names no more is led to the guest")
	}
	if _, stdout, _ := program(t, s.ns, nil, "plan", "-f", s.file); !strings.Contains(stdout, "Nothing to do") {
		t.Errorf("the plan is not empty:\n%s", stdout)
	}
}
