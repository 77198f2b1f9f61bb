package guest

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"libvirt.org/go/libvirtxml"

	"github.com/sixhost/sixhost/slaac"
)

func examples() map[string]struct {
	g Guest
	h Host
} {
	return map[string]struct {
		g Guest
		h Host
	}{
		"least": {Guest{Name: "web"}, Host{}},
		"disks": {Guest{
			Name: "mail", MAC: slaac.MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}, MemoryMiB: 4096, VCPUs: 4,
			Disks: []Disk{{Path: "/var/lib/libvirt/images/mail.qcow2"}, {Path: "/dev/vg0/mail"}, {Path: "/srv/shared.img", ReadOnly: true}},
			ISO:   "/srv/iso/debian.iso",
		}, Host{Bridge: "br1"}},
		"direct": {Guest{
			Name: "direct", MemoryMiB: 256, Kernel: "/boot/vmlinuz", Initrd: "/boot/initrd.img", Cmdline: "console=ttyS0 quiet x=\"<&>'\"",
			ConsoleLog: "/run/test/console & <log>",
			CloudInit:  &CloudInit{Image: "/var/lib/sixhost/seeds/direct's <seed>.iso", SSHKeys: []string{"ssh-ed25519 AAAAC3Nz me@example.com"}},
		}, Host{Emulate: true, Emulator: "/usr/bin/qemu-system-x86_64", Machine: "pc-q35-7.2"}},
	}
}

// -update writes the golden files anew.
func TestGolden(t *testing.T) {
	for name, e := range examples() {
		t.Run(name, func(t *testing.T) {
			got, err := e.g.XML(e.h)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".xml", got)
		})
	}
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if updating() {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got)\n%s", name, d)
	}
}

func updating() bool { return flag.Lookup("update").Value.String() == "true" }

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	os.Exit(m.Run())
}

// said are the strings and numbers that a domain holds of a guest.
func said(d *libvirtxml.Domain) map[string]any {
	mem := d.Memory.Value
	if d.Memory.Unit == "KiB" {
		mem /= 1024
	}
	m := map[string]any{
		"name": d.Name, "uuid": d.UUID, "memory": mem, "vcpus": d.VCPU.Value,
		"kernel": d.OS.Kernel, "initrd": d.OS.Initrd, "cmdline": d.OS.Cmdline,
		"mac": d.Devices.Interfaces[0].MAC.Address, "bridge": d.Devices.Interfaces[0].Source.Bridge.Bridge,
		"port":       d.Devices.Interfaces[0].Target.Dev,
		"interfaces": len(d.Devices.Interfaces), "serials": len(d.Devices.Serials), "channels": len(d.Devices.Channels),
	}
	var disks []string
	for _, x := range d.Devices.Disks {
		s := x.Device + " " + x.Driver.Type + " " + x.Target.Dev + " "
		switch {
		case x.Source.File != nil:
			s += x.Source.File.File
		case x.Source.Block != nil:
			s += "block " + x.Source.Block.Dev
		}
		if x.ReadOnly != nil {
			s += " read-only"
		}
		disks = append(disks, s)
	}
	m["disks"] = disks
	if l := d.Devices.Serials[0].Log; l != nil {
		m["log"] = l.File
	}
	return m
}

// Nothing that a guest holds breaks out of its place: what is accepted reads
// back as the same strings, and as nothing else.
func FuzzXML(f *testing.F) {
	f.Add("web", "/a.img", "/b.iso", "/vmlinuz", "quiet", "br0", "/log", "/seed")
	f.Add("web", "/a\"/><x/>", "/]]>", "/&amp;&lt;", "<!-- -->", "br\"<", "/\u0085", "/'\"")
	f.Add("a-b", "/ sp ace ", "/\u2028", "/\U0001F600", " x ", "br'0", "/\xff", "/../x")
	f.Fuzz(func(t *testing.T, name, disk, iso, kernel, cmdline, bridge, log, seed string) {
		g := Guest{Name: name, Disks: []Disk{{Path: disk}}, ISO: iso, Kernel: kernel, Cmdline: cmdline, ConsoleLog: log, CloudInit: &CloudInit{Image: seed}}
		x, err := g.XML(Host{Bridge: bridge})
		if err != nil {
			if ce := (*ConfigError)(nil); !errors.As(err, &ce) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		var d libvirtxml.Domain
		if err := d.Unmarshal(x); err != nil {
			t.Fatalf("%v\n%s", err, x)
		}
		meant, err := g.Domain(Host{Bridge: bridge})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(said(meant), said(&d)); diff != "" {
			t.Fatalf("(-meant +read)\n%s", diff)
		}
		again, err := d.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if again+"\n" != x {
			t.Fatalf("written again (-first +second)\n%s", cmp.Diff(x, again+"\n"))
		}
	})
}
