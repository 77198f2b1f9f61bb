package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
)

// resolver answers every question at the provider until the returned function
// is called.
func (s *stage) resolver(t *testing.T) (stop func()) {
	t.Helper()
	var conn *net.UDPConn
	nstest.Do(t, s.provider, func() (err error) {
		conn, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("[2001:db8:2::1]:53")))
		return err
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			buf[2] |= 0x80 // a response, to the question as it came
			conn.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	stop = func() { conn.Close(); <-ended }
	t.Cleanup(stop)
	return stop
}

// login is a TCP connection from the provider's side to the server, which
// tells apply's environment of it as sshd would.
func (s *stage) login(t *testing.T) {
	t.Helper()
	var l net.Listener
	var peer net.Conn
	nstest.Do(t, s.server, func() (err error) { l, err = net.Listen("tcp", ":22"); return err })
	defer l.Close()
	nstest.Do(t, s.provider, func() (err error) {
		peer, err = net.Dial("tcp", "203.0.113.10:22")
		return err
	})
	own, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, peer)
	t.Cleanup(func() { own.Close(); peer.Close() })
	a := peer.LocalAddr().(*net.TCPAddr)
	s.env = append(s.env, fmt.Sprintf("SSH_CONNECTION=%s %d 203.0.113.10 22", a.IP, a.Port))
}

// checked is a stage with all that is checked.
func checked(t *testing.T) (s *stage, stopResolver func()) {
	t.Parallel()
	s = newStage(t)
	s.login(t)
	return s, s.resolver(t)
}

func wantPrinted(t *testing.T, lines []string, want ...string) {
	t.Helper()
	out := strings.Join(lines, "")
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("does not print %q:\n%s", w, out)
		}
	}
}

// allHeld is what -check prints where all is well.
func allHeld() []string {
	return []string{
		"  held: gateway 203.0.113.1 answers\n", "  held: gateway fe80::1 answers\n",
		"  held: name server [2001:db8:2::1]:53 answers\n", "  held: the session with 203.0.113.1:",
	}
}

func TestCheckHolds(t *testing.T) {
	s, _ := checked(t)
	before := dumpHost(t, s.server)
	a := s.apply(t, s.yaml(t, "soon.yaml", "confirm_within: 2s\n"), nil, "-check")
	wantPrinted(t, a.until(t, "[1/"), allHeld()...)
	wantPrinted(t, a.until(t, "Applied."), allHeld()...)
	// The checks do not decide for it.
	out, status := a.rest(t)
	wantPrinted(t, out, "Not confirmed: the network from before the change is back.\n")
	if status != 1 {
		t.Errorf("status %d", status)
	}
	s.unchanged(t, before)
}

// TestCheckBreaks: what answered before is gone in the middle of the steps.
func TestCheckBreaks(t *testing.T) {
	remove6, remove4 := "addr del fe80::1/64 dev srv\n", "addr del 203.0.113.1/32 dev srv\n"
	for _, tc := range []struct {
		name, check string
		take        func(t *testing.T, s *stage, stopResolver func())
		full        bool
	}{
		{"IPv6 gateway", "gateway fe80::1 answers: ask on br0: no answer", func(t *testing.T, s *stage, _ func()) { s.batch(t, s.provider, remove6) }, false},
		{"IPv4 gateway", "gateway 203.0.113.1 answers: ask on br0: no answer", func(t *testing.T, s *stage, _ func()) { s.batch(t, s.provider, remove4) }, true},
		{"name server", "name server [2001:db8:2::1]:53 answers: ", func(_ *testing.T, _ *stage, stop func()) { stop() }, true},
	} {
		if tc.full && !fullTier() {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			s, stop := checked(t)
			before := dumpHost(t, s.server)
			a := s.apply(t, s.yaml(t, "long.yaml", "confirm_within: 60s\n"), nil, "-check")
			a.until(t, "[15/")
			a.hangs(t)
			tc.take(t, s, stop)
			begun := time.Now()
			out, status := a.rest(t)
			name, _, _ := strings.Cut(tc.check, " answers: ")
			wantPrinted(t, out, "  not held: "+name+" answers (", "Everything is taken back.\n")
			stderr := a.stderr.String()
			if status != 1 || !strings.HasPrefix(stderr, "fullhost: held before the change and not after it: "+tc.check) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("status %d, says %q", status, stderr)
			}
			if took := time.Since(begun); took > 20*time.Second {
				t.Errorf("taken back after %v", took)
			}
			s.unchanged(t, before)
		})
	}
}

// TestCheckCountsOnlyWhatHeld: a gateway that never answered is no reason to
// take a change back, and none to confirm it by.
func TestCheckCountsOnlyWhatHeld(t *testing.T) {
	s, _ := checked(t)
	s.batch(t, s.provider, "addr del fe80::1/64 dev srv\n")
	before := dumpHost(t, s.server)
	long := s.yaml(t, "long.yaml", "confirm_within: 60s\n")
	a := s.apply(t, long, nil, "-check")
	wantPrinted(t, a.until(t, "[1/"), "  not held, so it will not count: gateway fe80::1 answers (ask on enp2s0: no answer)\n", "  held: gateway 203.0.113.1 answers\n")
	a.until(t, "Applied.")
	if status, _, stderr := program(t, s.server, nil, "undo", "-f", long); status != 0 {
		t.Errorf("undo: %s", stderr)
	}
	a.rest(t)
	s.unchanged(t, before)

	before = dumpHost(t, s.server)
	a = s.apply(t, long, nil, "-confirm-if-healthy")
	_, status := a.rest(t)
	if want := "fullhost: -confirm-if-healthy: no IPv6 gateway answers before the change, so its answer can't confirm it\n"; status != 2 || a.stderr.String() != want {
		t.Errorf("status %d, says %q, want 2 and %q", status, a.stderr.String(), want)
	}
	s.unchanged(t, before)
}

func TestConfirmIfHealthy(t *testing.T) {
	s, _ := checked(t)
	file := s.yaml(t, "short.yaml", "confirm_within: 6s\n")
	if fullTier() {
		before := dumpHost(t, s.server)
		a := s.apply(t, file, nil, "-confirm-if-healthy")
		a.until(t, "Confirmed by itself if that holds for 3s.")
		s.batch(t, s.provider, "addr del fe80::1/64 dev srv\n")
		out, status := a.rest(t)
		s.batch(t, s.provider, "addr add fe80::1/64 dev srv nodad\n")
		wantPrinted(t, out, "Everything is taken back.\n")
		if status != 1 || !strings.HasPrefix(a.stderr.String(), "fullhost: held before the change and not after it: gateway fe80::1 answers: ") {
			t.Errorf("lost while it is watched: status %d, says %q", status, a.stderr.String())
		}
		s.unchanged(t, before)

		// Its end is not a confirmation.
		before = dumpHost(t, s.server)
		a = s.apply(t, file, nil, "-confirm-if-healthy")
		a.until(t, "Confirmed by itself")
		killProcess(t, s, a, nil)
		a.rest(t)
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, _, _, open := s.open(); !open {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the countdown does not end")
			}
		}
		s.unchanged(t, before)
	}
	a := s.apply(t, file, nil, "-confirm-if-healthy")
	out, status := a.rest(t)
	wantPrinted(t, out, append(allHeld(), "Confirmed, as all that held before holds.\n")...)
	if status != 0 {
		t.Errorf("status %d, says %q", status, a.stderr.String())
	}
	status, stdout, stderr := program(t, s.server, nil, "plan", "-f", file)
	if status != 0 || !strings.Contains(stdout, "Nothing to do: the host is as wanted.") {
		t.Errorf("plan afterwards: status %d, %s%s", status, stdout, stderr)
	}
}
