package persist

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sixhost/sixhost/bridge"
)

// quote makes a YAML string of a text that holds nothing unusual.
func quote(s string) string { return strconv.QuoteToASCII(s) }

// yamlWriter writes lines of YAML in a file's own style.
type yamlWriter struct {
	lines []string
	// base is the indentation of an entry's name, step that of a level more, dash
	// that of a list's items.
	base, step, dash int
	// comments of settings that are written here now.
	comments comments
}

// set writes a line of an entry: its name at level 0, its keys at level 1.
func (w *yamlWriter) set(level int, format string, args ...any) {
	w.line(w.base+level*w.step, format, args...)
}

// item writes the first line of a list's item below a key of level 1, more
// one of its other lines.
func (w *yamlWriter) item(format string, args ...any) {
	w.line(w.base+w.step+w.dash, "- "+format, args...)
}

func (w *yamlWriter) more(format string, args ...any) {
	w.line(w.base+w.step+w.dash+2, format, args...)
}

func (w *yamlWriter) line(indent int, format string, args ...any) {
	w.lines = append(w.lines, strings.Repeat(" ", indent)+fmt.Sprintf(format, args...))
}

// remarked writes what f does with the comments on it.
func (w *yamlWriter) remarked(about string, indent int, f func()) {
	r := w.comments.take(about)
	for _, l := range r.above {
		w.line(indent, "%s", l)
	}
	at := len(w.lines)
	f()
	if r.behind != "" {
		w.lines[at] += " " + r.behind
	}
}

// netplanYAML is the file for netplan where none has an entry for the uplink.
// What it can't say is in netplanNetdevExtra and netplanBridgeExtra.
//
// The keys are those of netplan 0.97 (Ubuntu 18.04) and later. The renderer is
// given for the two links alone, so that those of other files keep theirs.
func (n network) netplanYAML() []byte {
	w := yamlWriter{base: 4, step: 2}
	w.set(-2, "network:")
	w.set(-1, "version: 2")
	w.set(-1, "ethernets:")
	w.set(0, "%s:", quote(n.uplink))
	w.set(1, "renderer: networkd")
	if n.kept.macaddress != "" {
		w.set(1, "macaddress: %s", quote(n.kept.macaddress))
	}
	if n.uplinkMTU > 0 {
		w.set(1, "mtu: %d", n.uplinkMTU)
	}
	w.set(1, "dhcp4: false")
	w.set(1, "dhcp6: false")
	w.set(1, "accept-ra: false")
	w.set(1, "link-local: []")
	w.set(-1, "bridges:")
	w.set(0, "%s:", quote(n.bridge))
	n.netplanBridge(&w, n.uplink)
	return []byte(header + strings.Join(w.lines, "\n") + "\n")
}

// netplanBridge writes the bridge's entry, whose port netplan calls by id.
func (n network) netplanBridge(w *yamlWriter, id string) {
	w.set(1, "renderer: networkd")
	w.set(1, "interfaces: [%s]", quote(id))
	w.set(1, "macaddress: %s", quote(n.bridgeMAC.String()))
	if n.bridgeMTU > 0 {
		w.set(1, "mtu: %d", n.bridgeMTU)
	}
	w.set(1, "parameters:")
	w.set(2, "stp: %t", n.stp)
	w.set(2, "forward-delay: %d", n.forwardDelay)
	w.set(1, "dhcp4: false")
	w.set(1, "dhcp6: false")
	w.set(1, "accept-ra: false")
	w.set(1, "link-local: [ipv6]")
	n.netplanAddrs(w)
	n.netplanRoutes(w)
	if len(n.nameServers()) > 0 || len(n.kept.search) > 0 {
		w.remarked("nameservers", w.base+w.step, func() { w.set(1, "nameservers:") })
		if len(n.nameServers()) > 0 {
			w.set(2, "addresses: [%s]", quoteAll(n.nameServers()))
		}
		if len(n.kept.search) > 0 {
			w.set(2, "search: [%s]", quoteAll(n.kept.search))
		}
	}
}

func quoteAll(list []string) string {
	var q []string
	for _, s := range list {
		q = append(q, quote(s))
	}
	return strings.Join(q, ", ")
}

func (n network) netplanAddrs(w *yamlWriter) {
	head := false
	for _, a := range n.addrs {
		if !plainAddr(a) {
			continue
		}
		if !head {
			w.remarked("addresses", w.base+w.step, func() { w.set(1, "addresses:") })
			head = true
		}
		w.remarked(aboutAddr(a.Prefix), w.base+w.step+w.dash, func() {
			label := addrLabel(a)
			if label == "" && a.Preferred != 0 {
				w.item("%s", quote(a.Prefix.String()))
				return
			}
			w.item("%s:", quote(a.Prefix.String()))
			if label != "" {
				w.more("  label: %s", quote(label))
			}
			if a.Preferred == 0 {
				w.more("  lifetime: 0")
			}
		})
	}
}

// addrLabel is an address's label where that is not just its link's name.
func addrLabel(a bridge.Addr) string {
	if a.Label == a.Link || !plainName(a.Label) {
		return ""
	}
	return a.Label
}

func (n network) netplanRoutes(w *yamlWriter) {
	head := false
	for _, r := range n.routes {
		if !plainRoute(r) {
			continue
		}
		if !head {
			w.remarked("routes", w.base+w.step, func() { w.set(1, "routes:") })
			head = true
		}
		w.remarked(aboutRoute(r.Dst, r.Via), w.base+w.step+w.dash, func() {
			w.item("to: %s", quote(r.Dst.String()))
			if r.Via.IsValid() {
				w.more("via: %s", quote(r.Via.String()))
			} else {
				w.more("scope: link")
			}
			if r.OnLink {
				w.more("on-link: true")
			}
			if r.Source.IsValid() {
				w.more("from: %s", quote(r.Source.String()))
			}
			if r.Metric != 0 {
				w.more("metric: %d", r.Metric)
			}
			if r.Table != 0 && r.Table != mainTable {
				w.more("table: %d", r.Table)
			}
			if r.MTU != 0 {
				w.more("mtu: %d", r.MTU)
			}
		})
	}
}

// netplanNetdevExtra is a drop-in for the .netdev that netplan generates.
func (n network) netplanNetdevExtra() []byte {
	return fmt.Appendf(nil, "%s# netplan has no word for this.\n[Bridge]\nMulticastSnooping=no\nGroupForwardMask=%d\n", header, n.groupForward)
}

// netplanBridgeExtra is a drop-in for the bridge's .network that netplan
// generates.
func (n network) netplanBridgeExtra(comments []string) []byte {
	w := newINI(append(comments, "# netplan has no word for this.")...)
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
