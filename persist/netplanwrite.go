package persist

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sixhost/sixhost/bridge"
)

// quote makes a YAML string of a text that holds nothing unusual.
func quote(s string) string { return strconv.QuoteToASCII(s) }

// netplanYAML is the file for netplan. What it can't say is in
// netplanNetdevExtra and netplanBridgeExtra.
//
// The keys are those of netplan 0.97 (Ubuntu 18.04) and later. The renderer is
// given for the two links alone, so that those of other files keep theirs.
func (n network) netplanYAML() []byte {
	var b strings.Builder
	b.WriteString(header)
	line := func(indent int, format string, args ...any) {
		b.WriteString(strings.Repeat("  ", indent))
		fmt.Fprintf(&b, format, args...)
		b.WriteByte('\n')
	}
	line(0, "network:")
	line(1, "version: 2")
	line(1, "ethernets:")
	line(2, "%s:", quote(n.uplink))
	line(3, "renderer: networkd")
	if n.kept.setName != "" && len(n.kept.match) > 0 {
		line(3, "match:")
		for _, m := range n.kept.match {
			line(4, "%s", m)
		}
		line(3, "set-name: %s", quote(n.kept.setName))
	}
	if n.kept.macaddress != "" {
		line(3, "macaddress: %s", quote(n.kept.macaddress))
	}
	for _, h := range n.kept.hardware {
		line(3, "%s", h)
	}
	if n.uplinkMTU > 0 {
		line(3, "mtu: %d", n.uplinkMTU)
	}
	line(3, "dhcp4: false")
	line(3, "dhcp6: false")
	line(3, "accept-ra: false")
	line(3, "link-local: []")
	line(1, "bridges:")
	line(2, "%s:", quote(n.bridge))
	line(3, "renderer: networkd")
	line(3, "interfaces: [%s]", quote(n.uplink))
	line(3, "macaddress: %s", quote(n.bridgeMAC.String()))
	if n.bridgeMTU > 0 {
		line(3, "mtu: %d", n.bridgeMTU)
	}
	line(3, "parameters:")
	line(4, "stp: false")
	line(4, "forward-delay: 0")
	line(3, "dhcp4: false")
	line(3, "dhcp6: false")
	line(3, "accept-ra: false")
	line(3, "link-local: [ipv6]")
	n.netplanAddrs(line)
	n.netplanRoutes(line)
	if len(n.nameServers()) > 0 || len(n.kept.search) > 0 {
		line(3, "nameservers:")
		if len(n.nameServers()) > 0 {
			line(4, "addresses: [%s]", quoteAll(n.nameServers()))
		}
		if len(n.kept.search) > 0 {
			line(4, "search: [%s]", quoteAll(n.kept.search))
		}
	}
	return []byte(b.String())
}

func quoteAll(list []string) string {
	var q []string
	for _, s := range list {
		q = append(q, quote(s))
	}
	return strings.Join(q, ", ")
}

func (n network) netplanAddrs(line func(int, string, ...any)) {
	head := false
	for _, a := range n.addrs {
		if !plainAddr(a) {
			continue
		}
		if !head {
			line(3, "addresses:")
			head = true
		}
		label := addrLabel(a)
		if label == "" && a.Preferred != 0 {
			line(3, "- %s", quote(a.Prefix.String()))
			continue
		}
		line(3, "- %s:", quote(a.Prefix.String()))
		if label != "" {
			line(5, "label: %s", quote(label))
		}
		if a.Preferred == 0 {
			line(5, "lifetime: 0")
		}
	}
}

// addrLabel is an address's label where that is not just its link's name.
func addrLabel(a bridge.Addr) string {
	if a.Label == a.Link || !plainName(a.Label) {
		return ""
	}
	return a.Label
}

func (n network) netplanRoutes(line func(int, string, ...any)) {
	head := false
	for _, r := range n.routes {
		if !plainRoute(r) {
			continue
		}
		if !head {
			line(3, "routes:")
			head = true
		}
		line(3, "- to: %s", quote(r.Dst.String()))
		if r.Via.IsValid() {
			line(4, "via: %s", quote(r.Via.String()))
		} else {
			line(4, "scope: link")
		}
		if r.OnLink {
			line(4, "on-link: true")
		}
		if r.Source.IsValid() {
			line(4, "from: %s", quote(r.Source.String()))
		}
		if r.Metric != 0 {
			line(4, "metric: %d", r.Metric)
		}
		if r.Table != 0 && r.Table != mainTable {
			line(4, "table: %d", r.Table)
		}
		if r.MTU != 0 {
			line(4, "mtu: %d", r.MTU)
		}
	}
}

// netplanNetdevExtra is a drop-in for the .netdev that netplan generates.
func (n network) netplanNetdevExtra() []byte {
	return []byte(header + "# netplan has no word for this.\n[Bridge]\nMulticastSnooping=no\n")
}

// netplanBridgeExtra is a drop-in for the bridge's .network that netplan
// generates.
func (n network) netplanBridgeExtra() []byte {
	w := newINI("# netplan has no word for this.")
	w.section("Network")
	w.set("IPv6LinkLocalAddressGenerationMode", "eui64")
	for _, a := range n.addrs {
		if !plainAddr(a) {
			w.address(a)
		}
	}
	for _, r := range n.routes {
		if !plainRoute(r) {
			w.route(r)
		}
	}
	w.neighbors(n.neighbors)
	return w.bytes()
}
