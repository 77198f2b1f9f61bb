package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
)

// TestExposeTakesNothing: a port that a program of the host's own listens on is not
// led to a guest, nor an address that the host itself uses.
func TestExposeTakesNothing(t *testing.T) {
	t.Parallel()
	nstest.RequireTun(t)
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error {
		_, err := rented()
		return err
	})
	nstest.Output(t, ns, "ip", "link", "set", "lo", "up")
	nstest.Output(t, ns, "ip", "addr", "add", "203.0.113.77/32", "dev", "enp2s0")
	only6 := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1) })
	}}
	nstest.Do(t, ns, func() error {
		for _, at := range []string{"0.0.0.0:2222", "[::]:2223", "127.0.0.1:2225", "203.0.113.77:2226"} {
			l, err := net.Listen("tcp", at)
			if err != nil {
				return err
			}
			t.Cleanup(func() { l.Close() })
		}
		l, err := only6.Listen(context.Background(), "tcp6", "[::]:2224")
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		p, err := net.ListenPacket("udp4", "203.0.113.10:51820")
		if err != nil {
			return err
		}
		t.Cleanup(func() { p.Close() })
		return nil
	})
	file := filepath.Join(t.TempDir(), "host.yaml")
	before := snapshot(t, ns)
	for _, tt := range []struct {
		expose, says string // "" if it is not refused
	}{
		{"{guest: www, port: 2222}", "listens on tcp port 2222 of 203.0.113.10, and leading it to www would take that away"},
		{"{guest: www, port: 2222, protocol: udp}", ""},
		{"{guest: www, port: 2222, address: 203.0.113.77}", "listens on tcp port 2222 of 203.0.113.77"},
		{"{guest: www, port: 2223, protocol: tcp}", "listens on tcp port 2223"},
		{"{guest: www, port: 2224}", ""},
		{"{guest: www, port: 2225}", ""},
		{"{guest: www, port: 2226}", "listens on tcp port 2226 of 203.0.113.77"},
		{"{guest: www, port: 2226, address: 203.0.113.10}", ""},
		{"{guest: www, port: 51820}", "listens on udp port 51820"},
		{"{guest: www, port: 51820, protocol: tcp}", ""},
		{"{guest: www, address: 203.0.113.10}", "203.0.113.10 is the address that the host itself uses"},
		{"{guest: www, address: 203.0.113.77}", "listens on tcp port 2226 of 203.0.113.77, and leading all of the address"},
	} {
		text := "persist: {format: none}\ndns: {upstreams: [192.0.2.53]}\nstate_dir: " + filepath.Join(filepath.Dir(file), "state") + "\nguests: [{name: www}]\nexpose: [" + tt.expose + "]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		commands := []string{"plan"}
		want := 0
		if tt.says != "" {
			commands, want = append(commands, "apply"), 2
		}
		for _, command := range commands {
			status, _, stderr := program(t, ns, nil, command, "-f", file)
			if status != want || !strings.Contains(stderr, tt.says) {
				t.Errorf("%s: %s: status %d, says %q, want %d and %q", tt.expose, command, status, stderr, want, tt.says)
			}
			if name, err := os.ReadFile("/proc/self/comm"); tt.says != "" && strings.Contains(tt.says, "listens") && (err != nil || !strings.Contains(stderr, strings.TrimSpace(string(name))+" (process ")) {
				t.Errorf("%s: %s does not name the program: %s", tt.expose, command, stderr)
			}
		}
	}
	if now := snapshot(t, ns); now != before {
		t.Errorf("something changed:\n%s\nbefore:\n%s", now, before)
	}
}
