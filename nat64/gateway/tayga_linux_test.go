package gateway

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/natcases"
	"github.com/sixhost/sixhost/internal/nstest"
)

// serveTayga sets Debian's tayga up on a site, the way its manual does.
func serveTayga(t *testing.T, s *natcases.Site) {
	t.Helper()
	nstest.Tool(t, "tayga")
	dir := t.TempDir()
	conf := filepath.Join(dir, "tayga.conf")
	text := fmt.Sprintf("tun-device nat64\nipv4-addr 192.168.255.1\nipv6-addr 2001:db8:1:4::1\nprefix %s\ndynamic-pool 192.168.255.0/24\ndata-dir %s\n", natcases.Prefix, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Output(t, s.Host, "tayga", "-c", conf, "--mktun")
	for _, args := range []string{
		"link set nat64 up", "route add 192.168.255.0/24 dev nat64", "-6 route add " + natcases.Prefix + " dev nat64", "-6 route add 2001:db8:1:4::1/128 dev nat64",
	} {
		nstest.Output(t, s.Host, "ip", strings.Fields(args)...)
	}
	rules := filepath.Join(dir, "masquerade.nft")
	if err := os.WriteFile(rules, []byte("table ip t {\n chain p {\n type nat hook postrouting priority 100;\n oifname "+natcases.Uplink+" ip saddr 192.168.255.0/24 masquerade\n }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Output(t, s.Host, "nft", "-f", rules)
	cmd := exec.Command("tayga", "-c", conf, "-d")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := s.Host.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait(); log.Close() })
	// It serves when a ping gets through.
	for _, c := range natcases.Cases() {
		if c.Name != "ping of 0" {
			continue
		}
		for try := 0; ; try++ {
			if err := c.Run(s); err == nil {
				return
			} else if try == 20 {
				b, _ := os.ReadFile(log.Name())
				t.Fatalf("tayga does not serve: %v\n%s", err, b)
			}
		}
	}
}

// taygaDiffers are the cases in which tayga 0.9.2 differs from us, with the
// RFCs' word on each.
func taygaDiffers() map[string]string {
	const noChecksum = "RFC 7915, section 4.5, leaves the choice between calculating a checksum and dropping, with a log; tayga drops without a word"
	return map[string]string{
		"traceroute to the guest": "an error from an IPv6 router without an IPv4 address is translated, from an address of the translator's own " +
			"(RFC 7915, section 5.2; RFC 6791); tayga leaves the host's hop on the IPv6 side out",
		"ping of 10000": "fragments of ICMP can't be translated without state (RFC 7915, section 1.2), so tayga may drop them; we put them together",

		"UDP of 100 without a checksum":  noChecksum,
		"UDP of 1300 without a checksum": noChecksum,
		"UDP of 4096 without a checksum": "in fragments a translator without state has to drop it (RFC 7915, section 4.5); we put it together, and give it one",
	}
}

// tayga on the same cases is the yardstick: what it does we do, and where the
// two differ, it is known why.
func TestTayga(t *testing.T) {
	s := natcases.NewSite(t)
	serveTayga(t, s)
	differs := taygaDiffers()
	for _, c := range natcases.Cases() {
		why, expected := differs[c.Name]
		s.Patience = 10 * time.Second
		if expected {
			s.Patience = time.Second
		}
		switch err := c.Run(s); {
		case err != nil && !expected:
			t.Errorf("%s: tayga fails: %v", c.Name, err)
		case err == nil && expected:
			t.Errorf("%s: tayga does it, though: %s", c.Name, why)
		case expected:
			t.Logf("%s: %s (%v)", c.Name, why, err)
		}
		delete(differs, c.Name)
	}
	for name := range differs {
		t.Errorf("no case is called %q", name)
	}
}
