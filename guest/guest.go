package guest

import (
	"crypto/sha256"
	"fmt"
	"net/netip"

	"github.com/sixhost/sixhost/slaac"
)

// Guest describes one virtual machine. Its zero value plus Name works, though
// it has nothing to boot from.
type Guest struct {
	// Name is the host name: one label of lower-case letters, digits and
	// hyphens (RFC 1123, section 2.1), not of digits alone. Required.
	Name string
	// MAC of the guest's interface; zero means slaac.GuestMAC(Name).
	MAC slaac.MAC
	// MemoryMiB is the memory in MiB; default 1024.
	MemoryMiB int
	// VCPUs is the number of virtual processors; default 1.
	VCPUs int
	// Disks become vda, vdb and so on. The first is booted from.
	Disks []Disk
	// ISO is the path of a CD-ROM image, booted from where no disk can be. A
	// guest with one has a screen too, as installers want: VNC on the host's
	// loopback.
	ISO string
	// Kernel is the path of a Linux kernel to boot directly, Initrd that of its
	// initial RAM file system, Cmdline its command line. The latter two need
	// the first.
	Kernel, Initrd, Cmdline string
	// ConsoleLog is the path of a file that what the guest prints on its serial
	// console is appended to; "" for none.
	ConsoleLog string
	// Autostart says that the guest starts with the host. libvirt keeps this
	// outside of the domain's XML.
	Autostart bool
	// CloudInit configures the guest's system at its first boot; nil for none.
	CloudInit *CloudInit
	// ExtraIPv4 are addresses of the guest's own, which the provider leads to
	// the host: the host has a route to each, and the guest's gateway is the
	// host.
	ExtraIPv4 []netip.Addr
	// NoDNS64 says that the guest asks other name servers than the host's, as a
	// mail server with an IPv4 address of its own has to: what it resolves are
	// then the addresses that the world has.
	NoDNS64 bool
	// Serve are host names, fully qualified without the final dot, under which
	// the world reaches the guest: by IPv6 directly, and by IPv4 through the
	// host's proxy, or directly where the guest has an IPv4 address of its own.
	Serve []string
}

// CloudInit is what the NoCloud data source tells cloud-init: see
// [Guest.SeedFiles].
type CloudInit struct {
	// Image is the path of the seed image, which the guest has as a disk that it
	// can only read. Required.
	Image string
	// SSHKeys are lines of authorized_keys for the system's first user.
	SSHKeys []string
}

// Disk is a virtio disk.
type Disk struct {
	// Path of an image file, or of a block device below /dev. Absolute.
	Path string
	// Format is Raw or QCOW2; default QCOW2 for paths that end in .qcow2, else
	// Raw. It is never probed, because a guest could write another's header
	// into a raw disk.
	Format Format
	// ReadOnly keeps the guest from writing. Several guests may share such a
	// disk.
	ReadOnly bool
}

// Format of a disk image.
type Format string

// Formats.
const (
	Raw   Format = "raw"
	QCOW2 Format = "qcow2"
)

// Host is what guests have in common.
type Host struct {
	// Bridge that guests are plugged into; default br0.
	Bridge string
	// Emulate runs guests without KVM, in QEMU's own emulation (TCG).
	Emulate bool
	// Machine type; default q35.
	Machine string
	// Emulator is the path of the QEMU binary; default libvirt's choice.
	Emulator string
}

const (
	defaultMemoryMiB = 1024
	defaultVCPUs     = 1
	defaultBridge    = "br0"
	defaultMachine   = "q35"
)

// LinkAddr returns the MAC of the guest's interface: the one that is set, or
// the one made from its name.
func (g Guest) LinkAddr() slaac.MAC {
	if g.MAC.IsZero() {
		return slaac.GuestMAC(g.Name)
	}
	return g.MAC
}

// Addr returns the address that the guest will have in a /64, unless its
// system is set to use privacy or stable-opaque ones. The error is a
// [*ConfigError] about the guest, or slaac.Addr's about the prefix.
func (g Guest) Addr(prefix netip.Prefix) (netip.Addr, error) {
	if err := g.identity(); err != nil {
		return netip.Addr{}, err
	}
	a, err := slaac.Addr(prefix, g.LinkAddr())
	if err != nil {
		return netip.Addr{}, fmt.Errorf("address of guest %s: %w", g.Name, err)
	}
	return a, nil
}

// UUID returns the domain's UUID, of version 8 (RFC 9562, section 5.8): the
// first 16 octets of
//
//	SHA-256("sixhost guest UUID v1" || 0x00 || Name)
//
// with version and variant put in. It will never change.
func (g Guest) UUID() string {
	sum := sha256.Sum256([]byte("sixhost guest UUID v1\x00" + g.Name))
	sum[6] = sum[6]&0x0f | 0x80
	sum[8] = sum[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
