package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/slaac"
)

func TestExpose(t *testing.T) {
	one, two := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.77")
	for _, tt := range []struct {
		name string
		ipv4 []netip.Addr
		c    exposeConfig
		says string // of the refusal, empty for none
	}{
		{"port", []netip.Addr{one}, exposeConfig{Guest: "mail", Protocol: "tcp", Port: 25}, ""},
		{"stranger", []netip.Addr{one}, exposeConfig{Guest: "nobody", Port: 25}, `no guest named "nobody"`},
		{"no port", []netip.Addr{one}, exposeConfig{Guest: "mail", Port: 65536 + 25}, "65561 is no port"},
		{"ssh", []netip.Addr{one}, exposeConfig{Guest: "mail", Port: 22}, "how you reach the host itself"},
		{"ssh elsewhere", []netip.Addr{one}, exposeConfig{Guest: "mail", Port: 2222, GuestPort: 22}, ""},
		{"front door", []netip.Addr{one}, exposeConfig{Guest: "mail", Port: 443}, "is the front door's"},
		{"front door by UDP", []netip.Addr{one}, exposeConfig{Guest: "mail", Port: 443, Protocol: "udp"}, ""},
		{"only address", []netip.Addr{one}, exposeConfig{Guest: "mail", Address: one}, "would lock you out"},
		{"second address", []netip.Addr{one, two}, exposeConfig{Guest: "mail", Address: two}, ""},
	} {
		h := host{ipv4: tt.ipv4}
		h.guests = []hostGuest{{Guest: guest.Guest{Name: "mail"}, address: netip.MustParseAddr("2001:db8:1:3::10"), serve: []string{"mail.example"}}}
		h.config.Expose = []exposeConfig{tt.c}
		err := h.addExposed()
		switch {
		case tt.says == "" && (err != nil || len(h.exposed) != 1):
			t.Errorf("%s: %v", tt.name, err)
		case tt.says != "" && (!errors.Is(err, gateway.ErrExpose) || !strings.Contains(err.Error(), tt.says)):
			t.Errorf("%s: %v", tt.name, err)
		}
		if door, _ := h.proxyConfig(nil); len(door.HTTP) != 1 || door.HTTP[0].Addr() != one {
			t.Errorf("%s: the front door is at %v", tt.name, door.HTTP)
		}
	}
}

// A guest that libvirt has told of serves a name where a port of the front door
// leads to another guest: the door is on the other port alone.
func TestFrontDoorBesideExposed(t *testing.T) {
	h := inventoryHost(t, guestConfig{Name: "web"})
	h.config.Expose = []exposeConfig{{Guest: "web", Protocol: "tcp", Port: 443}}
	if err := h.addExposed(); err != nil {
		t.Fatal(err)
	}
	if _, wanted := h.proxyConfig(nil); wanted {
		t.Error("a door for nobody")
	}
	h = h.withFound(libvirtguests.State{Domains: []libvirtguests.Domain{{
		Name: "shop", NICs: []libvirtguests.NIC{{MAC: slaac.MAC{0x52, 0x54, 0, 1, 2, 3}}}, Serve: []string{"shop.example.com"},
	}}})
	cfg, wanted := h.proxyConfig(nil)
	if !wanted || len(cfg.TLS) != 0 || len(cfg.HTTP) != 1 || cfg.Routes["shop.example.com"].Addr != h.guests[1].address {
		t.Errorf("wanted %v, %+v", wanted, cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
}
