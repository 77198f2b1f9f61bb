package guest

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/sixhost/sixhost/internal/nstest"
)

func zoneExample() Zone {
	a := netip.MustParseAddr
	return Zone{
		Domain: "Example.com.", Host: "host",
		Addrs:  []netip.Addr{a("2001:db8:1:3:921b:eff:fe12:3456"), a("203.0.113.10")},
		Rescue: a("2001:db8:1:3::2"),
		Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"),
		Guests: []Guest{
			{Name: "web", Serve: []string{"www.example.com", "web.example.com", "example.org", "shop.Example.net"}},
			{Name: "mail", ExtraIPv4: []netip.Addr{a("203.0.113.77")}, Serve: []string{"smtp.example.com"}, NoDNS64: true},
		},
		Known: map[string][]netip.Addr{"windows": {a("2001:db8:1:3:5054:ff:fe99:9999")}},
	}
}

func TestZoneText(t *testing.T) {
	got, err := zoneExample().Text()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "zone.txt", got)
	list, err := zoneExample().List()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "zone-list.txt", list)
	// Both say the same to a DNS library that isn't ours.
	parse := func(text string) (all []string) {
		zp := dns.NewZoneParser(strings.NewReader(text), "", "")
		zp.SetDefaultTTL(300)
		for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
			if rr.Header().Ttl != 300 {
				t.Errorf("TTL of %s", rr)
			}
			all = append(all, strings.ToLower(rr.String()))
		}
		if err := zp.Err(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	var dotted strings.Builder
	for line := range strings.Lines(list) {
		f := strings.Fields(line)
		if f[1] == "PTR" {
			f[2] += "."
		}
		dotted.WriteString(f[0] + ". " + f[1] + " " + f[2] + "\n")
	}
	whole, listed := parse(got), parse(dotted.String())
	if d := cmp.Diff(whole, listed); d != "" {
		t.Errorf("(-zone +list)\n%s", d)
	}
	if len(whole) != 23 {
		t.Errorf("%d records:\n%s", len(whole), strings.Join(whole, "\n"))
	}
}

// Every section is loaded as a part of its zone by BIND's own reader.
func TestNamedCheckzone(t *testing.T) {
	tool := nstest.Tool(t, "named-checkzone")
	sections, err := zoneExample().Sections()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	check := func(s Section) (string, error) {
		snippet, zone := filepath.Join(dir, "snippet"), filepath.Join(dir, "zone")
		text := "$TTL 3600\n" + s.Apex + " SOA ns.invalid. hostmaster.invalid. 1 7200 3600 604800 300\n" + s.Apex + " NS ns.invalid.\n$INCLUDE " + snippet + "\n"
		for name, content := range map[string]string{snippet: Text(s.Records), zone: text} {
			if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(tool, "-i", "local", s.Apex, zone).CombinedOutput()
		return string(out), err
	}
	for _, s := range sections {
		out, err := check(s)
		if err != nil || strings.Contains(out, "ignoring") {
			t.Errorf("zone %s: %v\n%s", s.Apex, err, out)
		}
	}
	// The judge must be able to say no: a record of another zone is ignored.
	wrong := sections[0]
	wrong.Apex = "other.example."
	if out, err := check(wrong); err == nil && !strings.Contains(out, "ignoring") {
		t.Errorf("records of another zone pass: %s", out)
	}
}

func TestZoneRefusals(t *testing.T) {
	for name, change := range map[string]func(*Zone){
		"no domain":               func(z *Zone) { z.Domain = "" },
		"no host":                 func(z *Zone) { z.Host = "" },
		"host in upper case":      func(z *Zone) { z.Host = "Host" },
		"guest named as host":     func(z *Zone) { z.Guests[0].Name = "host" },
		"guest named as rescue":   func(z *Zone) { z.Guests[0].Name = "host-rescue" },
		"known named as guest":    func(z *Zone) { z.Known["web"] = z.Addrs },
		"known with a bad label":  func(z *Zone) { z.Known["a b"] = z.Addrs },
		"prefix of another size":  func(z *Zone) { z.Prefix = netip.MustParsePrefix("2001:db8::/48") },
		"served name with spaces": func(z *Zone) { z.Guests[0].Serve = []string{"a b.example"} },
		"name served twice":       func(z *Zone) { z.Guests[1].Serve = []string{"WWW.example.com"} },
	} {
		z := zoneExample()
		change(&z)
		if text, err := z.Text(); err == nil {
			t.Errorf("%s: got %s", name, text)
		}
	}
}
