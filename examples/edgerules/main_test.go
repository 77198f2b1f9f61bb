package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/plan"
)

func TestPrints(t *testing.T) {
	var out strings.Builder
	args := "-uplink enp2s0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8:1:3::/64 -host 2001:db8:1:3::2,203.0.113.10 -dns [2001:db8:1:3::2]:53" +
		" -provider on-link -isolate -guest vnet0=52:54:00:00:00:11,2001:db8:1:3::a,203.0.113.77 -guest vnet1=52:54:00:00:00:22,open"
	if err := run(context.Background(), strings.Fields(args), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"table bridge sixhost_edge {", `ether saddr != 90:1b:0e:12:34:56 counter name "foreign-source-to-uplink" drop`, "203.0.113.10/32", "2001:db8:1:3::2 . 17 . 53", `"vnet0" . 52:54:00:00:00:11 . 0x20010db800010003000000000000000a`, `"vnet0" . 52:54:00:00:00:11 . 203.0.113.77`, "guest-to-guest\" drop"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "uplink: is missing"},
		{"-uplink absent0 -prefix 2001:db8::/64", "uplink absent0: is not on this machine"},
		{"-uplink e0 -mac 90:1b:0e:12:34:56", "prefix: is missing"},
		{"-uplink e0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8::", "prefix:"},
		{"-uplink e0 -mac nonsense -prefix 2001:db8::/64", "MAC:"},
		{"-uplink e0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8::/64 -host x", "host address:"},
		{"-uplink e0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8::/64 more", "argument more: is unknown"},
		{"-nonsense", "nonsense"},
		{"-uplink e0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8::/64 -provider bridged", "provider:"},
		{"-uplink e0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8::/64 -unlisted pass", "unlisted:"},
		{"-guest vnet0", "want PORT=MAC"},
		{"-guest vnet0=52", "guest"},
		{"-guest vnet0=52:54:00:00:00:11,closed", "guest"},
		{"-uplink e0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8::/64 -guest e0=52:54:00:00:00:11", "guest e0:"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			err := run(context.Background(), strings.Fields(tt.args), io.Discard, io.Discard)
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("run: %v, want a refusal with %q", err, tt.want)
			}
		})
	}
}
