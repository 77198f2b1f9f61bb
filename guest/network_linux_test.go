package guest

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/sixhost/sixhost/internal/nstest"
)

func surroundings() Surroundings {
	a := netip.MustParseAddr
	return Surroundings{Domain: "example.com", Gateway4: a("203.0.113.10"), Resolvers: []netip.Addr{a("203.0.113.53"), a("2001:db8:2::53")}}
}

func seeded() Guest {
	return Guest{
		Name: "mail", ExtraIPv4: []netip.Addr{netip.MustParseAddr("203.0.113.77")}, NoDNS64: true,
		CloudInit: &CloudInit{Image: "/srv/mail.iso", SSHKeys: []string{`ssh-ed25519 AAAAC3Nz "me": {x}`}},
	}
}

func TestInsideGolden(t *testing.T) {
	for name, g := range map[string]Guest{"plain": {Name: "web", CloudInit: &CloudInit{Image: "/srv/web.iso"}}, "own-ipv4": seeded()} {
		netplan, err := g.Netplan(surroundings())
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "inside-"+name+".netplan", netplan)
		networkd, err := g.Networkd(surroundings())
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "inside-"+name+".network", networkd)
		files, err := g.SeedFiles(surroundings())
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, f := range files {
			all.WriteString("==> " + f.Name + "\n" + f.Content)
		}
		golden(t, "inside-"+name+".seed", all.String())
	}
}

// netplan makes of the file for it what is said of it to networkd.
func TestNetplanGenerates(t *testing.T) {
	tool := nstest.Tool(t, "netplan")
	root := t.TempDir()
	text, err := seeded().Netplan(surroundings())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/netplan"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/netplan/lan.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(tool, "generate", "--root-dir", root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// The name is the one of which the drop-in's folder is made.
	got, err := os.ReadFile(filepath.Join(root, "run/systemd/network", strings.TrimSuffix(filepath.Base(filepath.Dir(netplanDropIn)), ".d")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Address=203.0.113.77/32\n", "DNS=203.0.113.53\n", "Gateway=203.0.113.10\nGatewayOnLink=true\n", "IPv6AcceptRA=yes\n"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	// Identifiers made from the MAC are networkd's default, so that netplan says
	// nothing.
	if strings.Contains(string(got), "DHCP=") || strings.Contains(string(got), "stable-privacy") {
		t.Errorf("not wanted in\n%s", got)
	}
}

func TestInsideRefusals(t *testing.T) {
	for name, change := range map[string]func(*Guest, *Surroundings){
		"ExtraIPv4":            func(g *Guest, s *Surroundings) { s.Gateway4 = netip.Addr{} },
		"NoDNS64":              func(g *Guest, s *Surroundings) { s.Resolvers = nil },
		"Resolvers":            func(g *Guest, s *Surroundings) { s.Resolvers[0] = netip.MustParseAddr("fe80::1%eth0") },
		"domain":               func(g *Guest, s *Surroundings) { s.Domain = "a b" },
		"CloudInit":            func(g *Guest, s *Surroundings) { g.CloudInit = nil },
		"CloudInit.Image":      func(g *Guest, s *Surroundings) { g.CloudInit.Image = "seed.iso" },
		"ExtraIPv4[0]":         func(g *Guest, s *Surroundings) { g.ExtraIPv4[0] = netip.MustParseAddr("224.0.0.1") },
		"CloudInit.SSHKeys[0]": func(g *Guest, s *Surroundings) { g.CloudInit.SSHKeys[0] = "ssh-ed25519 A\nB" },
	} {
		g, s := seeded(), surroundings()
		change(&g, &s)
		var ce *ConfigError
		if _, err := g.SeedFiles(s); !errors.As(err, &ce) || ce.Field != name {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What a key holds stays one value of user-data, whatever it is.
func FuzzSeedFiles(f *testing.F) {
	f.Add("ssh-ed25519 AAAA me", "example.com")
	f.Add("ssh-rsa AAAA \"]}\\", "a.b")
	f.Add("ssh-rsa AAAA \u2028 # - x: y", "x--y")
	f.Fuzz(func(t *testing.T, key, domain string) {
		g := Guest{Name: "web", CloudInit: &CloudInit{Image: "/x.iso", SSHKeys: []string{key}}}
		files, err := g.SeedFiles(Surroundings{Domain: domain})
		if err != nil {
			return
		}
		for _, file := range files {
			var got map[string]any
			if err := yaml.Unmarshal([]byte(file.Content), &got); err != nil {
				t.Fatalf("%s: %v\n%s", file.Name, err, file.Content)
			}
			if file.Name != "user-data" {
				continue
			}
			keys, _ := got["ssh_authorized_keys"].([]any)
			if len(keys) != 1 || keys[0] != key || got["hostname"] != "web" || len(got) > 3 {
				t.Fatalf("read %q of\n%s", got, file.Content)
			}
		}
	})
}
