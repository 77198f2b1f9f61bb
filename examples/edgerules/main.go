// Command edgerules prints the nftables rules that part guests from their
// provider, for one uplink, as text for `nft -f`; with -apply it puts them in
// place instead, in one transaction. Of a change in the list of guests that
// leaves all counters as they are.
//
//	edgerules -uplink enp2s0 -prefix 2001:db8:1:3::/64 -gateway fe80::1
//	edgerules -uplink enp2s0 -prefix 2001:db8:1:3::/64 -guest vnet0=52:54:00:00:00:11 -guest vnet1=52:54:00:00:00:22,open
//	edgerules -uplink enp2s0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8:1:3::/64 -host 2001:db8:1:3::2,203.0.113.10 -apply
//
// Printing needs no privileges; -apply needs CAP_NET_ADMIN. It exits with
// status 2 if what it is told can't be served, else with 1 if it fails.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"

	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	var refusal *plan.Refusal
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.As(err, &refusal):
		fmt.Fprintln(os.Stderr, refusal)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "edgerules:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c macrewrite.Config
	var mac, prefix, nat64, dns, host, gateways string
	fs := flag.NewFlagSet("edgerules", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&c.Uplink, "uplink", "", "`interface` towards the provider (required)")
	fs.StringVar(&c.Bridge, "bridge", "br0", "the guests' bridge")
	fs.StringVar(&mac, "mac", "", "`MAC` of the uplink (default: that of the interface)")
	fs.StringVar(&prefix, "prefix", "", "the guests' `/64` (required)")
	fs.StringVar(&nat64, "nat64", "64:ff9b::/96", "NAT64 `prefixes`, separated by commas")
	fs.StringVar(&dns, "dns", "", "`address:port`s of the guests' DNS server, separated by commas")
	fs.StringVar(&host, "host", "", "the host's own `addresses`, separated by commas")
	fs.StringVar(&gateways, "gateway", "fe80::1", "the provider's routers' `addresses`, separated by commas")
	provider := fs.String("provider", string(macrewrite.Routed), "how the provider reaches the /64: `kind` routed or on-link; on-link needs somebody who answers for the guests, as fullhost run does")
	unlisted := fs.String("unlisted", string(macrewrite.UnlistedStrict), "what becomes of ports without a -guest: `policy` strict or drop")
	fs.BoolVar(&c.Isolate, "isolate", false, "bridge nothing between guests; their router advertisements must say L=0 then")
	fs.Func("guest", "a guest that is there, `PORT=MAC[,open][,address]...`; may be given again", func(s string) error {
		g, err := parseGuest(s)
		c.Guests = append(c.Guests, g)
		return err
	})
	apply := fs.Bool("apply", false, "put the rules in place instead of printing them")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return &plan.Refusal{Reason: err.Error(), Err: err}
	}
	if fs.NArg() > 0 {
		return &plan.Refusal{Subject: "argument " + fs.Arg(0), Reason: "is unknown"}
	}

	c.Kind, c.Unlisted = macrewrite.Kind(*provider), macrewrite.Unlisted(*unlisted)
	var err error
	if prefix != "" {
		if c.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			return &plan.Refusal{Subject: "prefix", Reason: err.Error(), Err: err}
		}
	}
	if mac == "" && c.Uplink != "" {
		nic, err := net.InterfaceByName(c.Uplink)
		if err != nil {
			return &plan.Refusal{Subject: "uplink " + c.Uplink, Reason: "is not on this machine; give its -mac if it is on another", Err: err}
		}
		mac = nic.HardwareAddr.String()
	}
	if mac != "" {
		if c.MAC, err = slaac.ParseMAC(mac); err != nil {
			return &plan.Refusal{Subject: "MAC", Reason: err.Error(), Err: err}
		}
	}
	if c.NAT64, err = list("NAT64 prefix", nat64, netip.ParsePrefix); err != nil {
		return err
	}
	if c.GuestDNS, err = list("guest DNS", dns, netip.ParseAddrPort); err != nil {
		return err
	}
	if c.Host, err = list("host address", host, netip.ParseAddr); err != nil {
		return err
	}
	if c.Gateways, err = list("gateway", gateways, netip.ParseAddr); err != nil {
		return err
	}
	want, err := c.State()
	if err != nil {
		return err
	}
	if !*apply {
		_, err := io.WriteString(stdout, want.String())
		return err
	}

	there, err := macrewrite.Capture(ctx)
	if err != nil {
		return err
	}
	p, err := macrewrite.Plan(there, want)
	if err != nil {
		return err
	}
	if err := p.WriteText(stdout); err != nil {
		return err
	}
	return p.Run(ctx, plan.Apply, nil)
}

// parseGuest reads PORT=MAC, "open", and addresses of either family.
func parseGuest(s string) (g macrewrite.Guest, err error) {
	words := strings.Split(s, ",")
	port, mac, ok := strings.Cut(words[0], "=")
	if !ok {
		return g, fmt.Errorf("want PORT=MAC, not %q", words[0])
	}
	g.Name, g.Port = port, port
	if g.MAC, err = slaac.ParseMAC(mac); err != nil {
		return g, err
	}
	for _, w := range words[1:] {
		if w == "open" {
			g.Open = true
			continue
		}
		a, err := netip.ParseAddr(w)
		switch {
		case err != nil:
			return g, err
		case a.Is4():
			g.ExtraIPv4 = append(g.ExtraIPv4, a)
		default:
			g.Addrs = append(g.Addrs, a)
		}
	}
	return g, nil
}

// list parses values separated by commas.
func list[T any](what, s string, parse func(string) (T, error)) ([]T, error) {
	var out []T
	for f := range strings.SplitSeq(s, ",") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		v, err := parse(f)
		if err != nil {
			return nil, &plan.Refusal{Subject: what, Reason: err.Error(), Err: err}
		}
		out = append(out, v)
	}
	return out, nil
}
