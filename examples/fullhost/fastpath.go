package main

import (
	"context"

	"github.com/sixhost/sixhost/nat64/gateway"
)

// fastPathOff is the value of nat64.fast_path for none.
const fastPathOff = "off"

// pins is where the fast path is pinned, empty for none.
func (c nat64Config) pins() string {
	switch c.FastPath {
	case "":
		return gateway.DefaultPins()
	case fastPathOff:
		return ""
	}
	return c.FastPath
}

// fastPath tells which way translated packets go. The portable path is no
// fault: everything works by it.
func (d *doctor) fastPath(ctx context.Context) {
	const name = "NAT64 goes by the fast path"
	if d.host.config.NAT64.pins() == "" {
		d.note(name, "no: nat64.fast_path is off")
		return
	}
	s, err := gateway.Capture(ctx, d.host.gatewayConfig(nil).Scope())
	switch {
	case err != nil:
		d.finding(name, err, "")
	case s.Fast != nil && s.Fast.Attached:
		d.finding(name, nil, "programs on %s and %s, pinned in %s", s.GuestLink, s.Device, s.Pins)
	case s.NoFast != "":
		d.note(name, "no, by the portable one: %s", s.NoFast)
	default:
		d.note(name, "no, by the portable one: no programs in %s (fullhost apply puts them there)", s.Pins)
	}
}
