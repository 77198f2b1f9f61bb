package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sixhost/sixhost/nat64/gateway"
)

// answerWithin is how long a service on this very host may take.
const answerWithin = 3 * time.Second

// services asks everything that fullhost run serves.
func (d *doctor) services(ctx context.Context) {
	h := d.host
	answer, err := askDNS(ctx, h.dnsListen())
	if err == nil && !slices.ContainsFunc(answer, h.config.NAT64.Prefix.Prefix().Contains) {
		err = fmt.Errorf("%s answers for ipv4only.arpa with %v, none of it in %s", h.dnsListen(), answer, h.config.NAT64.Prefix)
	}
	d.finding("DNS64 answers", err, "%s", h.dnsListen())

	heard, err := solicitationsHeard(h.bridgeName)
	if err == nil && !heard {
		err = fmt.Errorf("nobody on %s listens for router solicitations", h.bridgeName)
	}
	d.finding("router advertiser listens", err, "on %s", h.bridgeName)

	d.finding("NAT64 translates", carrier(gateway.DefaultDevice), "a program serves %s", gateway.DefaultDevice)

	d.fastPath(ctx)

	if door, wanted := h.proxyConfig(nil); wanted {
		for _, a := range slices.Concat(door.HTTP, door.TLS) {
			d.finding("IPv4 front door takes connections", dial(ctx, a), "%s", a)
		}
	}
}

// askDNS asks a name server for the addresses of ipv4only.arpa (RFC 7050).
func askDNS(ctx context.Context, server netip.AddrPort) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.String())
	}}
	return r.LookupNetIP(ctx, "ip6", "ipv4only.arpa.")
}

func dial(ctx context.Context, a netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// solicitationsHeard tells whether a program has joined the all-routers group
// (ff02::2) on a link, where the kernel is a member itself while it forwards.
func solicitationsHeard(link string) (bool, error) {
	b, err := os.ReadFile("/proc/thread-self/net/igmp6")
	if err != nil {
		return false, fmt.Errorf("read multicast groups: %w", err)
	}
	return groupUsers(b, link, netip.MustParseAddr("ff02::2")) > 1, nil
}

// groupUsers reads how many users a multicast group has on a link from
// /proc/net/igmp6: index, link, group, users, flags, timer.
func groupUsers(igmp6 []byte, link string, group netip.Addr) int {
	b := group.As16()
	for scan := bufio.NewScanner(bytes.NewReader(igmp6)); scan.Scan(); {
		f := strings.Fields(scan.Text())
		if len(f) < 4 || f[1] != link || f[2] != fmt.Sprintf("%x", b[:]) {
			continue
		}
		if n, err := strconv.Atoi(f[3]); err == nil {
			return n
		}
	}
	return 0
}

// carrier tells whether a program serves a TUN device: a persistent one has no
// carrier otherwise.
func carrier(name string) error {
	l, err := net.InterfaceByName(name)
	switch {
	case err != nil:
		return fmt.Errorf("there is no %s", name)
	case l.Flags&net.FlagRunning == 0:
		return fmt.Errorf("no program serves %s", name)
	}
	return nil
}

// kernel probes what the host's kernel has. How it is set is the plan's business.
func (d *doctor) kernel(ctx context.Context) {
	switch err := d.probeEdge(ctx); {
	case errors.Is(err, errNoNamespace):
		d.note("kernel takes the edge's rules", "%v", err)
	default:
		d.finding("kernel takes the edge's rules", err, "all of them, tried in a namespace of their own")
	}
	tun, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0)
	if err == nil {
		tun.Close()
	}
	d.finding("kernel has TUN devices", err, "/dev/net/tun")
}

// errNoNamespace means that there is no place to try things out in.
var errNoNamespace = errors.New("can't be tried here without a network namespace to do it in")
