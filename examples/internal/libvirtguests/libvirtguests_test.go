package libvirtguests

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// byHand is a domain as virt-manager writes it, cut short.
const byHand = `<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>Windows 11</name>
  <uuid>0f0e0d0c-0b0a-4908-8706-050403020100</uuid>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo="http://libosinfo.org/xmlns/libvirt/domain/1.0"><serve>not.ours</serve></libosinfo:libosinfo>
    <sixhost:guest xmlns:sixhost="https://github.com/sixhost/sixhost">
      <sixhost:serve> www.example.com </sixhost:serve>
      <serve>example.com</serve>
      <serve/>
      <other><serve>deeper.example.com</serve></other>
    </sixhost:guest>
    <x:other xmlns:x="https://github.com/sixhost/sixhost"><serve>no.guest</serve></x:other>
  </metadata>
  <memory unit='GiB'>4</memory>
  <vcpu placement='static'>2</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/win.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/vg/data'/><target dev='vdb'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <interface type='bridge'><mac address='52:54:00:AA:BB:CC'/><source bridge='br0'/><target dev='vnet7'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='br1'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:03'/><source network='default'/></interface>
    <serial type='pty'><log file='/var/log/win.log' append='on'/><target port='0'/></serial>
  </devices>
</domain>`

func TestReadsWhatOthersMade(t *testing.T) {
	got, err := Read(byHand, "br0")
	if err != nil {
		t.Fatal(err)
	}
	want := Domain{
		Name: "Windows 11", UUID: "0f0e0d0c-0b0a-4908-8706-050403020100",
		NICs: []NIC{{MAC: slaac.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 0xcc}, Port: "vnet7"}},
		Machine: Machine{
			MemoryKiB: 4 << 20, VCPUs: 2, Console: "/var/log/win.log",
			Disks: []string{"disk qcow2 /images/win.qcow2", "disk raw /dev/vg/data read-only", "cdrom"},
		},
		Serve: []string{"www.example.com", "example.com"},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Domain{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	// What is written down is read back the same.
	b, err := json.Marshal(State{Bridge: "br0", Domains: []Domain{got}})
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(State{Bridge: "br0", Domains: []Domain{want}}, s, cmpopts.IgnoreUnexported(Domain{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for _, bad := range []string{"", "<domain", "<domain><devices><interface type='bridge'><mac address='52:54'/><source bridge='br0'/></interface></devices></domain>"} {
		if d, err := Read(bad, "br0"); err == nil {
			t.Errorf("%q: %+v", bad, d)
		}
	}
}

func TestUnitsOfMemory(t *testing.T) {
	for unit, want := range map[string]uint{"": 1 << 10, "KiB": 1 << 10, "k": 1 << 10, "MiB": 1 << 20, "M": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40, "b": 1, "bytes": 1, "KB": 1000, "MB": 1e6, "GB": 1e9} {
		if got := perUnit(unit); got != want {
			t.Errorf("%q is %d octets, want %d", unit, got, want)
		}
	}
}

// ours is a guest as it is defined from here.
func ours(t testing.TB, change func(*guest.Guest)) Domain {
	t.Helper()
	g := guest.Guest{Name: "web", Disks: []guest.Disk{{Path: "/images/web.qcow2"}}, MemoryMiB: 512}
	if change != nil {
		change(&g)
	}
	x, err := g.XML(guest.Host{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Read(x, "br0")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestPlan(t *testing.T) {
	state := func(list ...Domain) State { return State{Bridge: "br0", Domains: list} }
	set := func(d Domain, change func(*Domain)) Domain {
		d.NICs, d.Machine.Disks = slices.Clone(d.NICs), slices.Clone(d.Machine.Disks)
		change(&d)
		return d
	}
	web := ours(t, nil)
	running := set(web, func(d *Domain) { d.Running = true })
	foreign, err := Read(byHand, "br0")
	if err != nil {
		t.Fatal(err)
	}
	foreign.xml = "" // found, not made here
	for name, tt := range map[string]struct {
		from, to State
		want     []string
	}{
		"nothing":           {state(web, foreign), state(web, foreign), nil},
		"new":               {state(), state(web), []string{"define guest web"}},
		"new, and started":  {state(foreign), state(foreign, running), []string{"define guest web", "start guest web"}},
		"with the host too": {state(), state(set(running, func(d *Domain) { d.Autostart = true })), []string{"define guest web", "start guest web with the host", "start guest web"}},
		"stopped":           {state(running), state(web), []string{"stop guest web"}},
		"no longer with it": {state(set(web, func(d *Domain) { d.Autostart = true })), state(web), []string{"no longer start guest web with the host"}},
		"gone":              {state(web), state(), []string{"undefine guest web; its disks stay"}},
		"gone while it ran": {state(running, foreign), state(foreign), []string{"stop guest web", "undefine guest web; its disks stay"}},
		"more memory":       {state(web), state(ours(t, func(g *guest.Guest) { g.MemoryMiB = 1024 })), []string{"define guest web anew"}},
		"another disk":      {state(web), state(ours(t, func(g *guest.Guest) { g.Disks[0].ReadOnly = true })), []string{"define guest web anew"}},
		"another MAC":       {state(web), state(ours(t, func(g *guest.Guest) { g.MAC = slaac.MAC{2} })), []string{"define guest web anew"}},
		"somebody else's":   {state(foreign), state(set(foreign, func(d *Domain) { d.Running = true })), []string{"start guest Windows 11"}},
		"a port libvirt has named": {
			state(set(web, func(d *Domain) { d.NICs[0].Port = "vnet3" })), state(set(web, func(d *Domain) { d.NICs[0].Port = "" })), nil,
		},
	} {
		p, err := (&Conn{}).Plan(tt.from, tt.to)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, s := range p.Steps {
			got = append(got, s.Text)
			if s.Phase != plan.Apply || s.Part != Part || s.Do == nil {
				t.Errorf("%s: step %+v", name, s)
			}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", name, d)
		}
	}
	// Who runs is told that it has to start anew.
	p, err := (&Conn{}).Plan(state(running), state(set(ours(t, func(g *guest.Guest) { g.VCPUs = 2 }), func(d *Domain) { d.Running = true })))
	if err != nil || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "counts from its next start") {
		t.Errorf("notes %q, %v", p.Notes, err)
	}
	// What was found can't be defined otherwise.
	var refusal *plan.Refusal
	if _, err := (&Conn{}).Plan(state(foreign), state(set(foreign, func(d *Domain) { d.Machine.VCPUs = 8 }))); !errors.As(err, &refusal) {
		t.Errorf("got %v, want a refusal", err)
	}
}

// FuzzRead: whatever stands in a domain, reading it ends, and what was read
// survives being written down.
func FuzzRead(f *testing.F) {
	f.Add(byHand)
	f.Add("<domain><metadata><a><b></a></b></metadata></domain>")
	f.Add("<domain><metadata>&lt;<!-- --><![CDATA[<guest/>]]></metadata><memory unit='EiB'>18446744073709551615</memory></domain>")
	f.Fuzz(func(t *testing.T, x string) {
		d, err := Read(x, "br0")
		if err != nil {
			return
		}
		if !d.same(d) {
			t.Errorf("%q differs from itself", x)
		}
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var again Domain
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
	})
}
