package main

import (
	"errors"
	"net/netip"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/slaac"
)

// guestMore are the keys of a guest that describe its virtual machine and what
// it has beside its address in the /64.
type guestMore struct {
	// DiskFormat is raw or qcow2; default qcow2 for a disk that ends in .qcow2, else
	// raw.
	DiskFormat guest.Format `yaml:"disk_format"`
	// ISO is a CD-ROM image to install from.
	ISO string `yaml:"iso"`
	// Kernel, Initrd and Cmdline boot a Linux directly.
	Kernel  string `yaml:"kernel"`
	Initrd  string `yaml:"initrd"`
	Cmdline string `yaml:"cmdline"`
	// ConsoleLog is a file that the serial console is written to.
	ConsoleLog string `yaml:"console_log"`
	// Autostart starts the guest with the host.
	Autostart bool `yaml:"autostart"`
	// CloudInit configures the guest's system at its first boot.
	CloudInit cloudInitConfig `yaml:"cloud_init"`
	// IPv4 are addresses of the guest's own, which the provider leads to the host.
	IPv4 []netip.Addr `yaml:"ipv4"`
	// NoDNS64 has the guest ask dns.upstreams itself.
	NoDNS64 bool `yaml:"no_dns64"`
}

// givenMAC is the MAC that the file gives a guest; zero where it gives none.
type givenMAC struct{ slaac.MAC }

// UnmarshalText refuses the zero MAC, which would pass for none.
func (m *givenMAC) UnmarshalText(b []byte) error {
	if err := m.MAC.UnmarshalText(b); err != nil {
		return err
	}
	if m.IsZero() {
		return errors.New("is all zero, which no interface has; leave it out to have it made from the name")
	}
	return nil
}

type cloudInitConfig struct {
	// Image is where the seed is written; without it there is none.
	Image string `yaml:"image"`
	// SSHKeys may log in.
	SSHKeys []string `yaml:"ssh_keys"`
}

type libvirtConfig struct {
	// Socket is libvirtd's; default /run/libvirt/libvirt-sock.
	Socket string `yaml:"socket"`
	// Emulate runs guests without KVM.
	Emulate bool `yaml:"emulate"`
	// Emulator is the path of QEMU; default libvirt's choice.
	Emulator string `yaml:"emulator"`
}

// guest is the entry as package guest has it.
func (g guestConfig) guest() guest.Guest {
	entry := guest.Guest{
		Name: g.Name, MAC: g.MAC.MAC, MemoryMiB: g.MemoryMiB, VCPUs: g.VCPUs, Serve: g.Serve,
		ISO: g.ISO, Kernel: g.Kernel, Initrd: g.Initrd, Cmdline: g.Cmdline, ConsoleLog: g.ConsoleLog,
		Autostart: g.Autostart, ExtraIPv4: g.IPv4, NoDNS64: g.NoDNS64,
	}
	if g.Disk != "" {
		entry.Disks = []guest.Disk{{Path: g.Disk, Format: g.DiskFormat}}
	}
	if c := g.CloudInit; c.Image != "" || len(c.SSHKeys) > 0 {
		entry.CloudInit = &guest.CloudInit{Image: c.Image, SSHKeys: c.SSHKeys}
	}
	return entry
}
