package main

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/sixhost/sixhost/internal/lab"
)

// hostFile is a host.yaml for the lab's server with so many guests. What the
// server writes goes below dir.
func hostFile(dir string, upstreams []netip.AddrPort, guests int) string {
	zone := strings.TrimSuffix(lab.ZoneName, ".")
	var b strings.Builder
	fmt.Fprintf(&b, "address: slaac\nstate_dir: %s\npersist:\n  format: netplan\n  root: %s\n", filepath.Join(dir, "state"), filepath.Join(dir, "root"))
	fmt.Fprintf(&b, "dns:\n  domain: %s\n  upstreams:\n", zone)
	for _, u := range upstreams {
		fmt.Fprintf(&b, "  - %q\n", u)
	}
	b.WriteString("guests:\n")
	for i := range guests {
		fmt.Fprintf(&b, "- name: %s\n  serve: [%s.%s]\n", guestName(i), guestName(i), zone)
	}
	return b.String()
}

func guestName(i int) string { return fmt.Sprintf("guest%d", i+1) }

// guestsText is "1 guest", "10 guests".
func guestsText(n int) string {
	if n == 1 {
		return "1 guest"
	}
	return fmt.Sprintf("%d guests", n)
}
