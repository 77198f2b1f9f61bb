package persist

import (
	"fmt"
	"slices"
	"strings"
)

// kept is what our own files take over from the ones they replace, as far as
// the bridge's state doesn't tell it.
type kept struct {
	servers []string // name servers
	search  []string // their search domains
	// macaddress that the uplink is given instead of its own.
	macaddress string
	notes      []string
	// vlans that networkd makes on the uplink, where they stay.
	vlans []string
	// dynamic tells an uplink that asked for its configuration.
	dynamic bool
}

// renderedKeys are those that the bridge's state speaks for, or that don't
// matter any more.
func renderedKeys() []string {
	return []string{"addresses", "dhcp4", "dhcp6", "dhcp-identifier", "dhcp4-overrides", "dhcp6-overrides", "gateway4", "gateway6", "routes", "mtu",
		"accept-ra", "link-local", "renderer", "optional", "interfaces", "parameters", "ipv6-privacy", "ipv6-address-generation", "ipv6-mtu"}
}

// keepEntry collects what is to be taken over from an entry of netplan's. The
// uplink's keeps most of it itself, unless the file is ours.
func (k *kept) keepEntry(f File, e netplanEntry, n nic) error {
	isUplink := e.kind != "bridges"
	for _, key := range e.keys() {
		v := e.get(key.Value)
		k.dynamic = k.dynamic || (key.Value == "dhcp4" || key.Value == "dhcp6") && slices.Contains([]string{"true", "yes", "on", "y"}, v.Value)
		switch name := key.Value; {
		case name == "nameservers":
			ns := netplanEntry{node: v}
			for _, s := range scalars(ns.get("addresses")) {
				k.servers = appendNew(k.servers, s.Value)
			}
			for _, s := range scalars(ns.get("search")) {
				k.search = appendNew(k.search, s.Value)
			}
		case name == "routing-policy" && len(v.Content) > 0:
			return refuseAt(f, key.Line, ErrInexpressible, "routing-policy of %s can't be moved to %s yet", e, n.bridge)
		case !isUplink && name == "macaddress", name == "routing-policy", slices.Contains(renderedKeys(), name), isUplink && !f.own():
		default:
			k.notes = append(k.notes, fmt.Sprintf("%s in line %d of /%s is not carried over", name, key.Line, f.Path))
		}
	}
	return nil
}

// keepNetwork collects what is to be taken over from a file of networkd's that
// is about one of our links alone.
func (k *kept) keepNetwork(nf networkFile, n nic) error {
	for _, s := range nf.settings {
		switch s.section + "." + s.key {
		case "Network.DHCP":
			k.dynamic = k.dynamic || !slices.Contains([]string{"no", "false", "off", "0"}, s.value)
		case "Network.DNS":
			for _, w := range strings.Fields(s.value) {
				k.servers = appendNew(k.servers, w)
			}
		case "Network.Domains":
			for _, w := range strings.Fields(s.value) {
				k.search = appendNew(k.search, w)
			}
		case "Link.MACAddress":
			if nf.uplink != no {
				k.macaddress = s.value
			}
		case "Network.VLAN":
			if nf.uplink == no {
				return refuseAt(nf.file, s.line, ErrShared, "%s is made on %s, which is written anew", s.value, n.bridge)
			}
			k.vlans = appendNew(k.vlans, s.value)
		case "Network.Bond", "Network.VRF", "Network.MACVLAN", "Network.IPVLAN", "Network.VXLAN", "Network.Tunnel":
			return refuseAt(nf.file, s.line, ErrShared, "%s=%s is built on the interface, which is to be a port of %s", s.key, s.value, n.bridge)
		case "Network.Bridge":
			if s.value != n.bridge {
				return refuseAt(nf.file, s.line, ErrShared, "makes the interface a port of %s", s.value)
			}
		}
		if s.section == "RoutingPolicyRule" {
			return refuseAt(nf.file, s.line, ErrInexpressible, "routing policy rules can't be moved to %s yet", n.bridge)
		}
	}
	return nil
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}
