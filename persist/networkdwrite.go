package persist

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sixhost/sixhost/bridge"
)

// ini writes files in systemd's syntax.
type ini struct{ b strings.Builder }

func newINI(comments ...string) *ini {
	w := new(ini)
	w.b.WriteString(header)
	for _, c := range comments {
		w.b.WriteString(c + "\n")
	}
	return w
}

func (w *ini) section(name string) { fmt.Fprintf(&w.b, "\n[%s]\n", name) }

// set writes a setting, unless its value is empty.
func (w *ini) set(key, value string) {
	if value != "" {
		fmt.Fprintf(&w.b, "%s=%s\n", key, value)
	}
}

// number writes a number, unless it is 0.
func (w *ini) number(key string, value int) {
	if value != 0 {
		w.set(key, strconv.Itoa(value))
	}
}

func (w *ini) bytes() []byte { return []byte(w.b.String()) }

// networkdNetdev makes the bridge.
func (n network) networkdNetdev() []byte {
	w := newINI()
	w.section("NetDev")
	w.set("Name", n.bridge)
	w.set("Kind", "bridge")
	w.set("MACAddress", n.bridgeMAC.String())
	w.number("MTUBytes", n.bridgeMTU)
	w.section("Bridge")
	w.set("STP", map[bool]string{true: "yes", false: "no"}[n.stp])
	w.set("ForwardDelaySec", strconv.Itoa(n.forwardDelay))
	w.set("MulticastSnooping", "no")
	w.number("GroupForwardMask", n.groupForward)
	return w.bytes()
}

// networkdUplink makes the NIC a port of the bridge, without addresses.
func (n network) networkdUplink(comments []string) []byte {
	w := newINI(comments...)
	w.section("Match")
	w.set("Name", n.uplink)
	w.section("Link")
	w.set("MACAddress", n.kept.macaddress)
	w.number("MTUBytes", n.uplinkMTU)
	w.section("Network")
	w.set("Bridge", n.bridge)
	for _, v := range n.kept.vlans {
		w.set("VLAN", v)
	}
	w.set("DHCP", "no")
	w.set("IPv6AcceptRA", "no")
	w.set("LinkLocalAddressing", "no")
	return w.bytes()
}

// networkdBridge is the network of the bridge.
func (n network) networkdBridge() []byte {
	w := newINI()
	w.section("Match")
	w.set("Name", n.bridge)
	w.section("Link")
	w.number("MTUBytes", n.bridgeMTU)
	w.section("Network")
	w.set("DHCP", "no")
	w.set("IPv6AcceptRA", "no")
	w.set("LinkLocalAddressing", "ipv6")
	w.set("IPv6LinkLocalAddressGenerationMode", "eui64")
	for _, s := range n.nameServers() {
		w.set("DNS", s)
	}
	w.set("Domains", strings.Join(n.kept.search, " "))
	for _, a := range n.addrs {
		w.address(a)
	}
	for _, r := range n.routes {
		w.route(r)
	}
	w.neighbors(n.neighbors)
	return w.bytes()
}

// networkdBridgeExtra is a drop-in of its own because until the NIC is a port
// of the bridge, the bridge has no carrier and must not take the addresses.
func (n network) networkdBridgeExtra() []byte {
	w := newINI("# The guests need the host also while the provider's wire is dead.")
	w.section("Network")
	w.set("ConfigureWithoutCarrier", "yes")
	return w.bytes()
}

func (w *ini) address(a bridge.Addr) {
	w.section("Address")
	w.set("Address", a.Prefix.Addr().String()+"/"+strconv.Itoa(a.Prefix.Bits()))
	if a.Peer.IsValid() {
		w.set("Peer", a.Peer.String())
	}
	if unusualBroadcast(a) {
		w.set("Broadcast", a.Broadcast.String())
	}
	w.set("Label", addrLabel(a))
	if unusualScope(a) {
		w.set("Scope", scopeName(a.Scope))
	}
	if a.Preferred == 0 {
		w.set("PreferredLifetime", "0")
	}
	if a.NoPrefixRoute {
		w.set("AddPrefixRoute", "no")
	}
	if a.ManageTempAddr {
		w.set("ManageTemporaryAddress", "yes")
	}
}

// scopeName is the word or number that networkd takes.
func scopeName(scope int) string {
	switch scope {
	case 0:
		return "global"
	case scopeSite:
		return "site"
	case scopeLink:
		return "link"
	}
	return strconv.Itoa(scope)
}

func (w *ini) route(r bridge.Route) {
	w.section("Route")
	w.set("Destination", r.Dst.String())
	if r.Via.IsValid() {
		w.set("Gateway", r.Via.String())
	}
	if r.OnLink {
		w.set("GatewayOnLink", "yes")
	}
	if r.Source.IsValid() {
		w.set("PreferredSource", r.Source.String())
	}
	if r.From.IsValid() {
		w.set("Source", r.From.String())
	}
	switch r.Preference { // RFC 4191, 2.1
	case 1:
		w.set("IPv6Preference", "high")
	case 3:
		w.set("IPv6Preference", "low")
	}
	w.number("Metric", r.Metric)
	if r.Table != mainTable {
		w.number("Table", r.Table)
	}
	if !r.Via.IsValid() && r.Dst.Addr().Is4() {
		w.set("Scope", scopeName(r.Scope))
	}
	switch routeType(r) {
	case typeUnicast:
	case 2:
		w.set("Type", "local")
	case 3:
		w.set("Type", "broadcast")
	case 4:
		w.set("Type", "anycast")
	}
	w.number("MTUBytes", r.MTU)
	w.number("TCPAdvertisedMaximumSegmentSize", r.AdvMSS)
	w.number("HopLimit", r.HopLimit)
}

func (w *ini) neighbors(list []bridge.Neighbor) {
	for _, e := range list {
		w.section("Neighbor")
		w.set("Address", e.IP.String())
		w.set("LinkLayerAddress", e.MAC.String())
	}
}
