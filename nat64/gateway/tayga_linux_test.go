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

// tayga on the same cases: the yardstick.
func TestTayga(t *testing.T) {
	s := natcases.NewSite(t)
	s.Patience = 2 * time.Second
	serveTayga(t, s)
	for _, c := range natcases.Cases() {
		began := time.Now()
		err := c.Run(s)
		t.Logf("%-40s %v %v", c.Name, time.Since(began), err)
	}
}
