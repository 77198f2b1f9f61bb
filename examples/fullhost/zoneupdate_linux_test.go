package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/nstest"
)

const (
	updateKey = "key \"up\" {\n\talgorithm hmac-sha256;\n\tsecret \"c2l4aG9zdCBzaXhob3N0IHNpeGhvc3Qgc2l4aG9zdCE=\";\n};\n"
	wrongKey  = "key \"up\" {\n\talgorithm hmac-sha256;\n\tsecret \"d3JvbmcgIHdyb25nICB3cm9uZyAgd3JvbmcgIHdyb25nIQ==\";\n};\n"
)

// A real named takes the records with the right key, and with it alone.
func TestZoneUpdate(t *testing.T) {
	tool := nstest.Tool(t, "named")
	ns := nstest.NSWith(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("zone", "$TTL 300\n@ SOA ns.invalid. hostmaster.invalid. 1 7200 3600 604800 300\n@ NS ns.invalid.\nweb AAAA 2001:db8::bad\nother A 192.0.2.1\n")
	reverse := "3.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
	write("reverse", "$TTL 300\n@ SOA ns.invalid. hostmaster.invalid. 1 7200 3600 604800 300\n@ NS ns.invalid.\n")
	key := write("key", updateKey)
	conf := write("named.conf", fmt.Sprintf(`%soptions { directory %q; pid-file none; session-keyfile none; listen-on port 5300 { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; };
controls { };
zone "example.com" { type primary; file "zone"; allow-update { key up; }; };
zone %q { type primary; file "reverse"; allow-update { key up; }; };
`, updateKey, dir, reverse))
	cmd := exec.Command(tool, "-g", "-c", conf)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if b, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("named said:\n%s", b)
		}
	})
	ctx := t.Context()
	server := netip.MustParseAddrPort("127.0.0.1:5300")
	ask := func(name string, qtype uint16) probe.Answer {
		t.Helper()
		wait, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		for {
			a, err := probe.Query(wait, ns, server, name, qtype, false)
			if err == nil {
				return a
			}
			select {
			case <-wait.Done():
				t.Fatalf("named does not answer: %v", err)
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	ask("example.com", probe.TypeA)

	z := guest.Zone{
		Domain: "example.com", Host: "host", Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"),
		Addrs:  []netip.Addr{netip.MustParseAddr("2001:db8:1:3::2"), netip.MustParseAddr("203.0.113.10")},
		Guests: []guest.Guest{{Name: "web", Serve: []string{"www.example.com"}}},
	}
	sections, err := z.Sections()
	if err != nil {
		t.Fatal(err)
	}
	update := func(key string, dry bool) (string, error) {
		t.Helper()
		var out strings.Builder
		var err error
		nstest.Do(t, ns, func() error {
			// Dialling happens on this thread or on those made from it.
			err = app{stdout: &out}.updateZone(ctx, zoneUpdate{server: server, keyFile: key, dry: dry}, sections)
			return nil
		})
		return out.String(), err
	}
	if out, err := update(key, true); err != nil || !strings.Contains(out, "web.example.com AAAA") || !strings.Contains(out, "no authority for 113.0.203.in-addr.arpa") {
		t.Fatalf("dry: %v\n%s", err, out)
	}
	if out, err := update(write("wrong", wrongKey), false); err == nil {
		t.Fatalf("a wrong key is taken:\n%s", out)
	}
	if out, err := update("", false); err == nil {
		t.Fatalf("no key is taken:\n%s", out)
	}
	if a := ask("web.example.com", probe.TypeAAAA).Addrs("web.example.com", probe.TypeAAAA); len(a) != 1 || a[0] != netip.MustParseAddr("2001:db8::bad") {
		t.Fatalf("changed by somebody without the key: %v", a)
	}
	if out, err := update(key, false); err != nil || !strings.Contains(out, "[1/2]") {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, s := range sections[:2] {
		for _, r := range s.Records {
			qtype := map[string]uint16{"A": probe.TypeA, "AAAA": probe.TypeAAAA}[r.Type]
			if qtype == 0 {
				continue
			}
			if a := ask(strings.TrimSuffix(r.Name, "."), qtype).Addrs(r.Name, qtype); len(a) != 1 || a[0].String() != r.Value {
				t.Errorf("%s: named has %v", r, a)
			}
		}
	}
	if a := ask("other.example.com", probe.TypeA).Addrs("other.example.com", probe.TypeA); len(a) != 1 {
		t.Errorf("somebody else's record is gone: %v", a)
	}
	if out, err := update(key, false); err != nil || !strings.Contains(out, "Nothing to do") {
		t.Errorf("a second update: %v\n%s", err, out)
	}
}

func TestReadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	for text, ok := range map[string]bool{updateKey: true, "key up { algorithm hmac-sha256; };": false, "": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := readKey(path)
		if (err == nil) != ok {
			t.Errorf("%q: %v, %v", text, k, err)
		}
		if ok && (k.name != "up." || k.algorithm != "hmac-sha256.") {
			t.Errorf("read %+v", k)
		}
	}
}
