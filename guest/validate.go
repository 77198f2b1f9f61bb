package guest

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sixhost/sixhost/slaac"
)

// ConfigError says which field of which guest is wrong, and why.
type ConfigError struct {
	// Guest is the name as given; "" where the field isn't a guest's.
	Guest string
	// Field as a Go expression below Guest or Host: "MAC", "Disks[0].Path".
	Field string
	// Reason completes the sentence "Field: Reason".
	Reason string
}

// Error returns the sentence.
func (e *ConfigError) Error() string {
	if e.Guest == "" {
		return e.Field + ": " + e.Reason
	}
	return fmt.Sprintf("guest %q: %s: %s", e.Guest, e.Field, e.Reason)
}

// Warning is something about a guest that works but is most likely not meant.
type Warning struct {
	// Guest is its name.
	Guest string
	// Text is a sentence without full stop.
	Text string
}

// String names the guest and says the sentence.
func (w Warning) String() string { return "guest " + w.Guest + ": " + w.Text }

// Bounds. The upper ones are QEMU's on q35, rounded to what can be meant.
const (
	leastMemoryMiB = 16
	mostMemoryMiB  = 16 << 20
	mostVCPUs      = 255
	mostDisks      = 24 // vda to vdx
	longestPath    = 4096
	longestCmdline = 2047 // of x86 kernels, with a NUL after it
)

// Validate checks all guests of a host: each by itself, and that no two have
// the same name, MAC, port, IPv4 address, served name or writable disk, and none the MAC of the host's NIC,
// which the zero MAC leaves out. It returns the first error, a [*ConfigError],
// or else warnings.
func Validate(guests []Guest, nic slaac.MAC) ([]Warning, error) {
	var warnings []Warning
	names := make(map[string]bool)
	macs := make(map[slaac.MAC]string)
	type use struct {
		guest    string
		readOnly bool
	}
	disks := make(map[string]use)
	ports := make(map[string]string)
	extra := make(map[netip.Addr]string)
	served := make(map[string]string)
	for _, g := range guests {
		if err := g.Validate(); err != nil {
			return nil, err
		}
		if names[g.Name] {
			return nil, &ConfigError{g.Name, "Name", "is another guest's too"}
		}
		names[g.Name] = true

		m := g.LinkAddr()
		made := ""
		if g.MAC.IsZero() {
			made = ", made from the name"
		}
		if m == nic && !nic.IsZero() {
			return nil, &ConfigError{g.Name, "MAC", fmt.Sprintf("%s%s is that of the host's NIC", m, made)}
		}
		if other, ok := macs[m]; ok {
			return nil, &ConfigError{g.Name, "MAC", fmt.Sprintf("%s%s is that of guest %q too; set another", m, made, other)}
		}
		macs[m] = g.Name
		if !m.IsLocal() {
			warnings = append(warnings, Warning{g.Name, fmt.Sprintf("MAC %s is universally administered and may be the address of a real card", m)})
		}

		if other, ok := ports[g.Port()]; ok {
			return nil, &ConfigError{g.Name, "Name", fmt.Sprintf("gives the port %s on the bridge, as %q does; choose another", g.Port(), other)}
		}
		ports[g.Port()] = g.Name
		for i, a := range g.ExtraIPv4 {
			if other, ok := extra[a]; ok {
				return nil, &ConfigError{g.Name, fmt.Sprintf("ExtraIPv4[%d]", i), fmt.Sprintf("%s is that of guest %q too", a, other)}
			}
			extra[a] = g.Name
		}
		for i, name := range g.Serve {
			name = strings.ToLower(name)
			if other, ok := served[name]; ok {
				return nil, &ConfigError{g.Name, fmt.Sprintf("Serve[%d]", i), fmt.Sprintf("%s is served by guest %q too", name, other)}
			}
			served[name] = g.Name
		}
		if g.NoDNS64 && len(g.ExtraIPv4) == 0 {
			warnings = append(warnings, Warning{g.Name, "without DNS64 and without an IPv4 address of its own it reaches nothing that has IPv4 only"})
		}

		// A seed is a disk that others must not write to either.
		all := g.Disks
		if g.CloudInit != nil {
			all = append(slices.Clip(all), Disk{Path: g.CloudInit.Image})
		}
		for i, d := range all {
			field := fmt.Sprintf("Disks[%d].Path", i)
			if i == len(g.Disks) {
				field = "CloudInit.Image"
			}
			if other, ok := disks[d.Path]; ok && !(other.readOnly && d.ReadOnly) {
				return nil, &ConfigError{g.Name, field, fmt.Sprintf("%s is a disk of guest %q too, and two can't write to one", d.Path, other.guest)}
			}
			disks[d.Path] = use{g.Name, d.ReadOnly}
		}
	}
	return warnings, nil
}

// Validate checks the guest by itself and returns a [*ConfigError] for the
// first field that is wrong, or nil.
func (g Guest) Validate() error {
	if err := g.identity(); err != nil {
		return err
	}
	fail := func(field, format string, args ...any) error {
		return &ConfigError{g.Name, field, fmt.Sprintf(format, args...)}
	}
	if m := g.MemoryMiB; m != 0 && (m < leastMemoryMiB || m > mostMemoryMiB) {
		return fail("MemoryMiB", "%d is not within %d to %d", m, leastMemoryMiB, mostMemoryMiB)
	}
	if n := g.VCPUs; n < 0 || n > mostVCPUs {
		return fail("VCPUs", "%d is not within 1 to %d", n, mostVCPUs)
	}
	if len(g.Disks) > mostDisks {
		return fail("Disks", "are %d, more than %d", len(g.Disks), mostDisks)
	}
	for i, d := range g.Disks {
		if why := badPath(d.Path); why != "" {
			return fail(fmt.Sprintf("Disks[%d].Path", i), "%s", why)
		}
		switch d.Format {
		case "", Raw, QCOW2:
		default:
			return fail(fmt.Sprintf("Disks[%d].Format", i), "want raw or qcow2, not %q", d.Format)
		}
	}
	for _, p := range []struct{ field, path string }{
		{"ISO", g.ISO}, {"Kernel", g.Kernel}, {"Initrd", g.Initrd}, {"ConsoleLog", g.ConsoleLog},
	} {
		if p.path == "" {
			continue
		}
		if why := badPath(p.path); why != "" {
			return fail(p.field, "%s", why)
		}
	}
	if err := g.network(); err != nil {
		return err
	}
	if g.CloudInit != nil {
		if why := badPath(g.CloudInit.Image); why != "" {
			return fail("CloudInit.Image", "%s", why)
		}
		for i, k := range g.CloudInit.SSHKeys {
			if why := badKey(k); why != "" {
				return fail(fmt.Sprintf("CloudInit.SSHKeys[%d]", i), "%s", why)
			}
		}
	}
	if g.Kernel == "" && g.Initrd != "" {
		return fail("Initrd", "needs a Kernel")
	}
	if g.Kernel == "" && g.Cmdline != "" {
		return fail("Cmdline", "needs a Kernel")
	}
	if len(g.Cmdline) > longestCmdline {
		return fail("Cmdline", "is %d octets long, more than %d", len(g.Cmdline), longestCmdline)
	}
	if why := badText(g.Cmdline); why != "" {
		return fail("Cmdline", "%s", why)
	}
	return nil
}

// identity checks what a guest is known by.
func (g Guest) identity() error {
	if why := badLabel(g.Name); why != "" {
		return &ConfigError{g.Name, "Name", why}
	}
	if strings.Trim(g.Name, "0123456789") == "" {
		return &ConfigError{g.Name, "Name", "has only digits, which libvirt's tools take for an id"}
	}
	m := g.LinkAddr()
	switch {
	case m.IsMulticast():
		return &ConfigError{g.Name, "MAC", fmt.Sprintf("%s is a group address (IEEE 802, the lowest bit of the first octet); no interface can have it", m)}
	case m[0] == 0xfe:
		return &ConfigError{g.Name, "MAC", fmt.Sprintf("%s begins with fe, which libvirt keeps for the host's end of the link", m)}
	}
	return nil
}

// network checks addresses and names of the guest's own.
func (g Guest) network() error {
	for i, a := range g.ExtraIPv4 {
		if !a.Is4() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
			return &ConfigError{g.Name, fmt.Sprintf("ExtraIPv4[%d]", i), fmt.Sprintf("%s is no IPv4 address of a machine", a)}
		}
		if slices.Contains(g.ExtraIPv4[:i], a) {
			return &ConfigError{g.Name, fmt.Sprintf("ExtraIPv4[%d]", i), fmt.Sprintf("%s stands twice", a)}
		}
	}
	for i, name := range g.Serve {
		if why := badDomain(name); why != "" {
			return &ConfigError{g.Name, fmt.Sprintf("Serve[%d]", i), why}
		}
	}
	return nil
}

// Validate returns a [*ConfigError] for the first field that is wrong, or nil.
func (h Host) Validate() error {
	if h.Bridge != "" && !isInterfaceName(h.Bridge) {
		return &ConfigError{"", "Bridge", fmt.Sprintf("%q is not the name of an interface", h.Bridge)}
	}
	for _, c := range []byte(h.Machine) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return &ConfigError{"", "Machine", fmt.Sprintf("%q is not a machine type", h.Machine)}
		}
	}
	if h.Emulator != "" {
		if why := badPath(h.Emulator); why != "" {
			return &ConfigError{"", "Emulator", why}
		}
	}
	return nil
}

// isInterfaceName follows the kernel: IFNAMSIZ with its final NUL, neither "."
// nor "..", no slash, colon or space. Only printable ASCII is taken here.
func isInterfaceName(name string) bool {
	if name == "" || len(name) > 15 || name == "." || name == ".." {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' || c == '/' || c == ':' {
			return false
		}
	}
	return true
}

// badLabel says what is wrong with a host name of one label, or "".
func badLabel(name string) string {
	switch {
	case name == "":
		return "is required"
	case len(name) > 63:
		return fmt.Sprintf("is %d octets long, more than 63", len(name))
	case name[0] == '-' || name[len(name)-1] == '-':
		return "begins or ends with a hyphen"
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-':
		case c >= 'A' && c <= 'Z':
			// The same name to DNS, another one to libvirt and GuestMAC.
			return fmt.Sprintf("has upper-case letters; did you mean %q?", strings.ToLower(name))
		case c == '.':
			return "is more than one label; the domain is given elsewhere"
		default:
			return "may have lower-case letters, digits and hyphens only"
		}
	}
	return ""
}

// badPath says what is wrong with the path of a file, or "".
func badPath(p string) string {
	switch {
	case p == "":
		return "is missing"
	case len(p) > longestPath:
		return fmt.Sprintf("is %d octets long, more than %d", len(p), longestPath)
	case p[0] != '/':
		return fmt.Sprintf("%q is not absolute", p)
	case p == "/":
		return "is not a file"
	}
	if why := badText(p); why != "" {
		return why
	}
	if clean := path.Clean(p); clean != p {
		return fmt.Sprintf("%q is a roundabout way of saying %q", p, clean)
	}
	return ""
}

// badKey says what is wrong with a line of authorized_keys, or "".
func badKey(k string) string {
	if why := badText(k); why != "" {
		return why
	}
	if len(strings.Fields(k)) < 2 {
		return fmt.Sprintf("%q is not a public key; want a line like \"ssh-ed25519 AAAA... name\"", k)
	}
	if strings.Contains(k, "PRIVATE KEY") {
		return "is a private key; the public one belongs here"
	}
	return ""
}

// badText says why a string can't stand in XML 1.0 and be read back the same
// (its section 2.2), or "". Line breaks and tabs could, but mean nothing good
// in paths and command lines.
func badText(s string) string {
	if !utf8.ValidString(s) {
		return fmt.Sprintf("%q is not valid UTF-8", s)
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff || r >= 0x80 && r <= 0x9f {
			return fmt.Sprintf("%q has the control character %U", s, r)
		}
	}
	return ""
}
