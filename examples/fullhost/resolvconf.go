package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/sixhost/sixhost/plan"
)

const resolvConf = "/etc/resolv.conf"

// upstreams are the name servers the guests' questions are forwarded to: the
// file's, else the host's own.
func (h host) upstreams() ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	for _, u := range h.config.DNS.Upstreams {
		list = append(list, u.AddrPort)
	}
	if len(list) > 0 {
		return list, nil
	}
	f, err := os.Open(resolvConf)
	if err != nil {
		return nil, &plan.Refusal{Subject: "dns.upstreams", Reason: fmt.Sprintf("none given, and %s can't be read: %s", resolvConf, errText(err)), Err: err}
	}
	defer f.Close()
	list, err = nameServers(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", resolvConf, err)
	}
	if len(list) == 0 {
		return nil, &plan.Refusal{Subject: "dns.upstreams", Reason: fmt.Sprintf("none given, and %s names none", resolvConf)}
	}
	return list, nil
}

// nameServers reads the nameserver lines of a resolv.conf(5); lines that hold
// no address are passed over, as the C library does.
func nameServers(r io.Reader) ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		f := strings.Fields(scan.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			list = append(list, netip.AddrPortFrom(a, 53))
		}
	}
	return list, scan.Err()
}
