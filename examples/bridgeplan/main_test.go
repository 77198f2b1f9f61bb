package main

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/plan"
)

func TestParse(t *testing.T) {
	c, phases, err := parse(strings.Fields("-uplink enp2s0 -prefix 2001:db8:1:3::/64 -address slaac -static -apply"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := bridge.Config{Uplink: "enp2s0", Bridge: "br0", Prefix: netip.MustParsePrefix("2001:db8:1:3::/64"), Address: bridge.SLAACAddress(), Static: true}
	if c != want || len(phases) != 1 || phases[0] != plan.Apply {
		t.Errorf("parsed to %+v and phases %v", c, phases)
	}
	if c, phases, err := parse(nil, io.Discard); err != nil || c != (bridge.Config{Bridge: "br0"}) || phases != nil {
		t.Errorf("no arguments: %+v, %v, %v", c, phases, err)
	}
}

func TestParseRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"-prefix 2001:db8::":  "prefix:",
		"-address 192.0.2.1":  "address",
		"-nonsense":           "nonsense",
		"-uplink enp2s0 more": "argument more: is unknown",
	} {
		t.Run(args, func(t *testing.T) {
			_, _, err := parse(strings.Fields(args), io.Discard)
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), want) {
				t.Errorf("parse: %v, want a refusal with %q", err, want)
			}
		})
	}
}
