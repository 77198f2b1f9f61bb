package guest

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/sixhost/sixhost/slaac"
)

func TestValidateList(t *testing.T) {
	nic := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	local := slaac.MAC{0x52, 0x54, 0x00, 1, 2, 3}
	one := func(fn func(*Guest)) []Guest {
		g := Guest{Name: "web"}
		fn(&g)
		return []Guest{g}
	}
	disk := func(d ...Disk) func(*Guest) { return func(g *Guest) { g.Disks = d } }
	for _, tt := range []struct {
		name     string
		guests   []Guest
		field    string // "" for valid
		warnings int
	}{
		{"none", nil, "", 0},
		{"two", []Guest{{Name: "web"}, {Name: "mail"}}, "", 0},
		{"longest name", []Guest{{Name: strings.Repeat("x", 63)}}, "", 0},
		{"digits and letters", []Guest{{Name: "3com"}}, "", 0},

		{"no name", []Guest{{}}, "Name", 0},
		{"long name", []Guest{{Name: strings.Repeat("x", 64)}}, "Name", 0},
		{"upper case", []Guest{{Name: "Web"}}, "Name", 0},
		{"digits", []Guest{{Name: "12"}}, "Name", 0},
		{"dot", []Guest{{Name: "web.example"}}, "Name", 0},
		{"underscore", []Guest{{Name: "a_b"}}, "Name", 0},
		{"hyphen first", []Guest{{Name: "-a"}}, "Name", 0},
		{"hyphen last", []Guest{{Name: "a-"}}, "Name", 0},
		{"slash", []Guest{{Name: "../x"}}, "Name", 0},
		{"script", []Guest{{Name: "bücher"}}, "Name", 0},
		{"name twice", []Guest{{Name: "web"}, {Name: "web", MAC: local}}, "Name", 0},

		{"group MAC", one(func(g *Guest) { g.MAC = slaac.MAC{0x33, 0x33, 0, 0, 0, 1} }), "MAC", 0},
		{"broadcast MAC", one(func(g *Guest) { g.MAC = slaac.MAC{255, 255, 255, 255, 255, 255} }), "MAC", 0},
		{"libvirt's own MAC", one(func(g *Guest) { g.MAC = slaac.MAC{0xfe, 0x54, 0, 0, 0, 1} }), "MAC", 0},
		{"the NIC's MAC", one(func(g *Guest) { g.MAC = nic }), "MAC", 0},
		{"MAC twice", []Guest{{Name: "a", MAC: local}, {Name: "b", MAC: local}}, "MAC", 0},
		{"MAC of another's name", []Guest{{Name: "a"}, {Name: "b", MAC: slaac.GuestMAC("a")}}, "MAC", 0},
		{"universal MAC", one(func(g *Guest) { g.MAC = slaac.MAC{0, 0x16, 0x3e, 0, 0, 1} }), "", 1},

		{"memory", one(func(g *Guest) { g.MemoryMiB = 16 }), "", 0},
		{"little memory", one(func(g *Guest) { g.MemoryMiB = 15 }), "MemoryMiB", 0},
		{"negative memory", one(func(g *Guest) { g.MemoryMiB = -1 }), "MemoryMiB", 0},
		{"much memory", one(func(g *Guest) { g.MemoryMiB = 16<<20 + 1 }), "MemoryMiB", 0},
		{"processors", one(func(g *Guest) { g.VCPUs = 255 }), "", 0},
		{"many processors", one(func(g *Guest) { g.VCPUs = 256 }), "VCPUs", 0},
		{"negative processors", one(func(g *Guest) { g.VCPUs = -1 }), "VCPUs", 0},

		{"disk", one(disk(Disk{Path: "/a"}, Disk{Path: "/b.qcow2", Format: Raw})), "", 0},
		{"disk without path", one(disk(Disk{})), "Disks[0].Path", 0},
		{"relative", one(disk(Disk{Path: "a.img"})), "Disks[0].Path", 0},
		{"root", one(disk(Disk{Path: "/"})), "Disks[0].Path", 0},
		{"dots", one(disk(Disk{Path: "/a"}, Disk{Path: "/a/../b"})), "Disks[1].Path", 0},
		{"slash at the end", one(disk(Disk{Path: "/a/"})), "Disks[0].Path", 0},
		{"NUL", one(disk(Disk{Path: "/a\x00b"})), "Disks[0].Path", 0},
		{"line break", one(disk(Disk{Path: "/a\nb"})), "Disks[0].Path", 0},
		{"not UTF-8", one(disk(Disk{Path: "/a\xff"})), "Disks[0].Path", 0},
		{"long path", one(disk(Disk{Path: "/" + strings.Repeat("x", 4096)})), "Disks[0].Path", 0},
		{"format", one(disk(Disk{Path: "/a", Format: "vmdk"})), "Disks[0].Format", 0},
		{"many disks", one(disk(make([]Disk, 25)...)), "Disks", 0},
		{"one's disk twice", one(disk(Disk{Path: "/a"}, Disk{Path: "/a"})), "Disks[1].Path", 0},
		{"another's disk", []Guest{{Name: "a", Disks: []Disk{{Path: "/a"}}}, {Name: "b", Disks: []Disk{{Path: "/a", ReadOnly: true}}}}, "Disks[0].Path", 0},
		{"shared read-only disk", []Guest{{Name: "a", Disks: []Disk{{Path: "/a", ReadOnly: true}}}, {Name: "b", Disks: []Disk{{Path: "/a", ReadOnly: true}}}}, "", 0},

		{"ISO", one(func(g *Guest) { g.ISO = "x.iso" }), "ISO", 0},
		{"kernel", one(func(g *Guest) { g.Kernel = "vmlinuz" }), "Kernel", 0},
		{"initrd alone", one(func(g *Guest) { g.Initrd = "/initrd" }), "Initrd", 0},
		{"command line alone", one(func(g *Guest) { g.Cmdline = "quiet" }), "Cmdline", 0},
		{"command line", one(func(g *Guest) { g.Kernel, g.Cmdline = "/vmlinuz", "a\nb" }), "Cmdline", 0},
		{"long command line", one(func(g *Guest) { g.Kernel, g.Cmdline = "/vmlinuz", strings.Repeat("x", 2048) }), "Cmdline", 0},
		{"log", one(func(g *Guest) { g.ConsoleLog = "log" }), "ConsoleLog", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			warnings, err := Validate(tt.guests, nic)
			if tt.field == "" {
				if err != nil || len(warnings) != tt.warnings {
					t.Errorf("got %v, %v", warnings, err)
				}
				return
			}
			var ce *ConfigError
			if !errors.As(err, &ce) || ce.Field != tt.field {
				t.Errorf("got %v, want a ConfigError about %s", err, tt.field)
			}
		})
	}
}

func TestHostValidate(t *testing.T) {
	for _, h := range []Host{{Bridge: "a/b"}, {Bridge: strings.Repeat("x", 16)}, {Bridge: ".."}, {Machine: "q35<"}, {Emulator: "qemu"}} {
		var ce *ConfigError
		if _, err := (Guest{Name: "web"}).XML(h); !errors.As(err, &ce) || ce.Guest != "" {
			t.Errorf("%+v: got %v", h, err)
		}
	}
}

func TestUUID(t *testing.T) {
	// It must never change.
	const want = "2960cbc9-e5e8-8c5c-b38b-a23e24d16397"
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	got := Guest{Name: "web"}.UUID()
	if got != want || !form.MatchString(got) {
		t.Errorf("got %s, want %s", got, want)
	}
	if got == (Guest{Name: "mail"}).UUID() {
		t.Error("two guests have one UUID")
	}
}

func TestAddrFollowsMAC(t *testing.T) {
	p := netip.MustParsePrefix("2001:db8:1:3::/64")
	g := Guest{Name: "web", MAC: slaac.MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}}
	if a, err := g.Addr(p); err != nil || a != netip.MustParseAddr("2001:db8:1:3:5054:ff:fe12:3456") {
		t.Errorf("got %s, %v", a, err)
	}
	if _, err := g.Addr(netip.MustParsePrefix("2001:db8::/56")); !errors.Is(err, slaac.ErrPrefixLength) {
		t.Errorf("got %v", err)
	}
	var ce *ConfigError
	if _, err := (Guest{Name: "No"}).Addr(p); !errors.As(err, &ce) {
		t.Errorf("got %v", err)
	}
}

// A DNS library that isn't ours reads the records, and finds the way back from
// address to name.
func TestRecordsReadBack(t *testing.T) {
	p := netip.MustParsePrefix("2001:db8:1:3::/64")
	for _, domain := range []string{"example.com", "example.com."} {
		records, err := Guest{Name: "web"}.Records(domain, p)
		if err != nil {
			t.Fatal(err)
		}
		zp := dns.NewZoneParser(strings.NewReader(Text(records)), "", "")
		var aaaa *dns.AAAA
		var ptr *dns.PTR
		for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
			if rr.Header().Ttl != 300 || rr.Header().Class != dns.ClassINET {
				t.Errorf("read %s", rr)
			}
			switch rr := rr.(type) {
			case *dns.AAAA:
				aaaa = rr
			case *dns.PTR:
				ptr = rr
			default:
				t.Errorf("read %s", rr)
			}
		}
		if err := zp.Err(); err != nil {
			t.Fatal(err)
		}
		if aaaa == nil || ptr == nil {
			t.Fatalf("read %v and %v", aaaa, ptr)
		}
		want, err := dns.ReverseAddr(aaaa.AAAA.String())
		if err != nil {
			t.Fatal(err)
		}
		if ptr.Hdr.Name != want || ptr.Ptr != aaaa.Hdr.Name || ptr.Ptr != "web.example.com." {
			t.Errorf("PTR %s, want one at %s", ptr, want)
		}
		if a, ok := netip.AddrFromSlice(aaaa.AAAA); !ok || !p.Contains(a) {
			t.Errorf("AAAA %s", aaaa)
		}
	}
	for _, domain := range []string{"", ".", "a..b", "exa mple", "x\ny", strings.Repeat("a", 64), strings.Repeat("a.", 130), "bücher.example"} {
		var ce *ConfigError
		if _, err := (Guest{Name: "web"}).Records(domain, p); !errors.As(err, &ce) || ce.Field != "domain" {
			t.Errorf("domain %q: got %v", domain, err)
		}
	}
}

func FuzzReverseName(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1})
	f.Add(make([]byte, 16))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok || a.Is4In6() {
			return // the library takes mapped addresses for IPv4
		}
		want, err := dns.ReverseAddr(a.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := ReverseName(a); got != want {
			t.Errorf("%s: got %s, want %s", a, got, want)
		}
	})
}
