package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/slaac"
)

func inventoryHost(t *testing.T, guests ...guestConfig) host {
	t.Helper()
	h := host{
		config:     config{Guests: guests},
		bridgeName: "br0",
		mac:        slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56},
		prefix:     netip.MustParsePrefix("2001:db8:1:3::/64"),
		address:    netip.MustParseAddr("2001:db8:1:3::2"),
		ipv4:       []netip.Addr{netip.MustParseAddr("203.0.113.10")},
	}
	if err := h.addGuests(); err != nil {
		t.Fatal(err)
	}
	return h
}

func TestInventoryJoinsByMAC(t *testing.T) {
	h := inventoryHost(t, guestConfig{Name: "web"}, guestConfig{Name: "mail"})
	domain := func(name, mac, port string, running bool) libvirtguests.Domain {
		m, err := slaac.ParseMAC(mac)
		if err != nil {
			t.Fatal(err)
		}
		return libvirtguests.Domain{Name: name, NICs: []libvirtguests.NIC{{MAC: m, Port: port}}, Running: running}
	}
	got := h.inventory(libvirtguests.State{Bridge: "br0", Domains: []libvirtguests.Domain{
		domain("Windows 11", "52:54:00:00:00:01", "vnet3", true),
		domain("old-web", slaac.GuestMAC("web").String(), "vnet0", true), // by virt-manager
		domain("mail", "52:54:00:00:00:02", "", false),                   // not ours
		domain("copy", h.mac.String(), "vnet5", true),
	}})
	addr := func(s string) netip.Addr { return netip.MustParseAddr("2001:db8:1:3:5054:ff:fe" + s) }
	want := []inventoryGuest{
		{Name: "web", MAC: slaac.GuestMAC("web"), Addr: addr("b0:727b"), Port: "vnet0", Listed: true, Defined: true, Running: true, Note: "libvirt calls it old-web"},
		{Name: "mail", MAC: slaac.GuestMAC("mail"), Addr: addr("3b:a9a8"), Port: "g-mail", Listed: true},
		{Name: "copy", MAC: h.mac, Port: "vnet5", Defined: true, Running: true, Note: "it has the MAC of the host's NIC; give it another"},
		{Name: "mail-000002", MAC: slaac.MAC{0x52, 0x54, 0, 0, 0, 2}, Addr: addr("00:2"), Defined: true, Note: "host.yaml has a guest of this name with another MAC; set mac: 52:54:00:00:00:02 there"},
		{Name: "windows-11", MAC: slaac.MAC{0x52, 0x54, 0, 0, 0, 1}, Addr: addr("00:1"), Port: "vnet3", Defined: true, Running: true},
	}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	// What only libvirt knows is in the zone too.
	z := h.withFound(libvirtguests.State{Domains: []libvirtguests.Domain{domain("Windows 11", "52:54:00:00:00:01", "vnet3", true)}}).zoneOf("host", "example.com")
	if text, err := z.Text(); err != nil || !strings.Contains(text, "windows-11.example.com.\t300\tIN\tAAAA\t"+addr("00:1").String()+"\n") {
		t.Errorf("zone has %s, %v", text, err)
	}
}

func FuzzLabel(f *testing.F) {
	f.Add("Windows 11", 0)
	f.Add("", 1)
	f.Add("--ä--", 2)
	f.Add("12345", 0)
	f.Fuzz(func(t *testing.T, name string, nic int) {
		h := host{prefix: netip.MustParsePrefix("2001:db8:1:3::/64"), address: netip.MustParseAddr("2001:db8:1:3::2")}
		nics := make([]libvirtguests.NIC, min(max(nic, 0), 3)+1)
		for i := range nics {
			nics[i].MAC = slaac.MAC{0x52, 0x54, 0, 0, 0, byte(i)}
		}
		h = h.withFound(libvirtguests.State{Domains: []libvirtguests.Domain{{Name: name, NICs: nics}}})
		if len(h.guests) != len(nics) {
			t.Errorf("%q gives %v", name, h.guests)
		}
		if _, err := h.zoneOf(hostName, "example.com").Text(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	})
}

func TestMispredicted(t *testing.T) {
	h := inventoryHost(t, guestConfig{Name: "web"}, guestConfig{Name: "mail"}, guestConfig{Name: "off"})
	list := h.inventory(libvirtguests.State{})
	web, mail := slaac.GuestMAC("web"), slaac.GuestMAC("mail")
	other := netip.MustParseAddr("2001:db8:1:3:1234:5678:9abc:def0")
	got := mispredicted(h.prefix, list, []neighbor{
		{slaac.LinkLocal(web), web}, {list[0].Addr, web}, {other, web},
		{netip.MustParseAddr("fe80::1234"), mail}, {other.Next(), mail}, {other.Next().Next(), mail},
	})
	want := []misprediction{{"web", list[0].Addr, other, true}, {"mail", list[1].Addr, other.Next(), false}}
	if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if got := mispredicted(h.prefix, list, []neighbor{{list[0].Addr, web}}); got != nil {
		t.Errorf("as predicted, and yet %v", got)
	}
}

// What the file says of MACs: the zero one is refused where it is read, a group's
// and the host's where guests are looked at together, and one of a real card's is
// only worth a word, in the plan and in the list.
func TestGivenMACs(t *testing.T) {
	read := func(mac string) (guestConfig, error) {
		var c config
		err := decodeStrict("f", strings.NewReader("guests: [{name: web, mac: \""+mac+"\"}]\n"), &c)
		if err != nil {
			return guestConfig{}, err
		}
		return c.Guests[0], nil
	}
	if _, err := read("00:00:00:00:00:00"); err == nil || !strings.Contains(err.Error(), "is all zero, which no interface has") {
		t.Errorf("zero: %v", err)
	}
	for mac, want := range map[string]string{
		"53:54:00:00:00:01": "is a group address",
		"90:1b:0e:12:34:56": "is that of the host's NIC",
		"fe:54:00:00:00:01": "libvirt keeps for the host's end",
	} {
		g, err := read(mac)
		if err != nil {
			t.Fatal(err)
		}
		h := host{config: config{Guests: []guestConfig{g}}, mac: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, prefix: netip.MustParsePrefix("2001:db8:1:3::/64")}
		if err := h.addGuests(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", mac, err)
		}
	}
	g, err := read("00:1b:21:00:00:01")
	if err != nil {
		t.Fatal(err)
	}
	h := inventoryHost(t, g)
	if list := h.inventory(libvirtguests.State{}); !strings.Contains(list[0].Note, "universally administered") {
		t.Errorf("the list has %+v", list)
	}
}
