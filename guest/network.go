package guest

import (
	"fmt"
	"strings"
)

// netplanDropIn keeps networkd from the name servers of the router
// advertisements, where netplan (before 1.1) has no word for it.
const netplanDropIn = "/etc/systemd/network/10-netplan-lan.network.d/resolvers.conf"

func dropIn() string { return "[IPv6AcceptRA]\nUseDNS=no\n" }

// surrounded checks that what the guest needs of its host is there.
func (g Guest) surrounded(s Surroundings) error {
	if err := g.identity(); err != nil {
		return err
	}
	if err := g.network(); err != nil {
		return err
	}
	if len(g.ExtraIPv4) > 0 && !s.Gateway4.Is4() {
		return &ConfigError{g.Name, "ExtraIPv4", "needs an IPv4 address of the host's as gateway"}
	}
	if g.NoDNS64 && len(s.Resolvers) == 0 {
		return &ConfigError{g.Name, "NoDNS64", "needs name servers to ask in place of the host"}
	}
	for _, r := range s.Resolvers {
		if !r.IsValid() || r.Zone() != "" {
			return &ConfigError{g.Name, "Resolvers", fmt.Sprintf("%s is no address to ask from anywhere", r)}
		}
	}
	return nil
}

// Netplan returns the netplan file for inside the guest: addresses by SLAAC,
// made from the MAC, no DHCP, and the IPv4 addresses of its own with the host as
// gateway. The error is a [*ConfigError].
func (g Guest) Netplan(s Surroundings) (string, error) {
	if err := g.surrounded(s); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `network:
  version: 2
  ethernets:
    lan:
      match: {macaddress: "%s"}
      dhcp4: false
      dhcp6: false
      accept-ra: true
      ipv6-address-generation: eui64
`, g.LinkAddr())
	if len(g.ExtraIPv4) > 0 {
		b.WriteString("      addresses:\n")
		for _, a := range g.ExtraIPv4 {
			fmt.Fprintf(&b, "      - \"%s/32\"\n", a)
		}
		fmt.Fprintf(&b, "      routes:\n      - {to: \"0.0.0.0/0\", via: \"%s\", on-link: true}\n", s.Gateway4)
	}
	if g.NoDNS64 {
		b.WriteString("      nameservers:\n        addresses:\n")
		for _, r := range s.Resolvers {
			fmt.Fprintf(&b, "        - \"%s\"\n", r)
		}
	}
	return b.String(), nil
}

// Networkd returns the same as [Guest.Netplan] as a .network file of
// systemd-networkd.
func (g Guest) Networkd(s Surroundings) (string, error) {
	if err := g.surrounded(s); err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "[Match]\nMACAddress=%s\n\n[Network]\nDHCP=no\nIPv6AcceptRA=yes\nIPv6PrivacyExtensions=no\nIPv6LinkLocalAddressGenerationMode=eui64\n", g.LinkAddr())
	for _, a := range g.ExtraIPv4 {
		fmt.Fprintf(&b, "Address=%s/32\n", a)
	}
	if g.NoDNS64 {
		for _, r := range s.Resolvers {
			fmt.Fprintf(&b, "DNS=%s\n", r)
		}
	}
	if len(g.ExtraIPv4) > 0 {
		fmt.Fprintf(&b, "\n[Route]\nGateway=%s\nGatewayOnLink=yes\n", s.Gateway4)
	}
	if g.NoDNS64 {
		b.WriteString("\n" + dropIn())
	}
	return b.String(), nil
}
