package guest

import (
	"fmt"
	"strings"

	"libvirt.org/go/libvirtxml"
)

// Domain returns the guest as a libvirt domain, for a caller that wants to
// change it before it is defined: a q35 machine with virtio disks, network
// interface on the host's bridge, random numbers, guest agent channel and a
// serial console. The error is a [*ConfigError].
func (g Guest) Domain(h Host) (*libvirtxml.Domain, error) {
	if err := h.Validate(); err != nil {
		return nil, err
	}
	if err := g.Validate(); err != nil {
		return nil, err
	}
	d := &libvirtxml.Domain{
		Type:   "kvm",
		Name:   g.Name,
		UUID:   g.UUID(),
		Memory: &libvirtxml.DomainMemory{Value: uint(or(g.MemoryMiB, defaultMemoryMiB)), Unit: "MiB"},
		VCPU:   &libvirtxml.DomainVCPU{Value: uint(or(g.VCPUs, defaultVCPUs))},
		OS:     g.boot(h),
		Features: &libvirtxml.DomainFeatureList{
			ACPI: &libvirtxml.DomainFeature{},
			APIC: &libvirtxml.DomainFeatureAPIC{},
		},
		CPU:        &libvirtxml.DomainCPU{Mode: "host-model"},
		Clock:      &libvirtxml.DomainClock{Offset: "utc"},
		OnPoweroff: "destroy",
		OnReboot:   "restart",
		OnCrash:    "destroy",
		Devices:    g.devices(h),
	}
	if h.Emulate {
		// There is no host model without KVM; maximum is all that QEMU emulates.
		d.Type = "qemu"
		d.CPU.Mode = "maximum"
	}
	return d, nil
}

// XML returns the domain as libvirt's XML. The error is a [*ConfigError].
func (g Guest) XML(h Host) (string, error) {
	d, err := g.Domain(h)
	if err != nil {
		return "", err
	}
	x, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("marshal domain of guest %s: %w", g.Name, err)
	}
	return x + "\n", nil
}

func (g Guest) boot(h Host) *libvirtxml.DomainOS {
	os := &libvirtxml.DomainOS{
		Type: &libvirtxml.DomainOSType{Arch: "x86_64", Machine: or(h.Machine, defaultMachine), Type: "hvm"},
	}
	if g.Kernel != "" {
		os.Kernel, os.Initrd, os.Cmdline = g.Kernel, g.Initrd, g.Cmdline
		return os
	}
	if len(g.Disks) > 0 {
		os.BootDevices = append(os.BootDevices, libvirtxml.DomainBootDevice{Dev: "hd"})
	}
	if g.ISO != "" {
		os.BootDevices = append(os.BootDevices, libvirtxml.DomainBootDevice{Dev: "cdrom"})
	}
	return os
}

func (g Guest) devices(h Host) *libvirtxml.DomainDeviceList {
	port := func() *uint { return new(uint) }
	list := &libvirtxml.DomainDeviceList{
		Emulator: h.Emulator,
		Interfaces: []libvirtxml.DomainInterface{{
			MAC: &libvirtxml.DomainInterfaceMAC{Address: g.LinkAddr().String()},
			Source: &libvirtxml.DomainInterfaceSource{
				Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: or(h.Bridge, defaultBridge)},
			},
			Target: &libvirtxml.DomainInterfaceTarget{Dev: g.Port()},
			Model:  &libvirtxml.DomainInterfaceModel{Type: "virtio"},
		}},
		Serials: []libvirtxml.DomainSerial{{
			Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
			Target: &libvirtxml.DomainSerialTarget{Type: "isa-serial", Port: port()},
			Log:    g.consoleLog(),
		}},
		Consoles: []libvirtxml.DomainConsole{{
			Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
			Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: port()},
			// libvirt reports the first console as the serial port it is, with
			// all that belongs to it.
			Log: g.consoleLog(),
		}},
		Channels: []libvirtxml.DomainChannel{{
			Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
			Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: "org.qemu.guest_agent.0"}},
		}},
		MemBalloon: &libvirtxml.DomainMemBalloon{Model: "virtio"},
		RNGs: []libvirtxml.DomainRNG{{
			Model:   "virtio",
			Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}},
		}},
	}
	for i, d := range g.Disks {
		list.Disks = append(list.Disks, d.device(i))
	}
	if g.ISO != "" {
		list.Disks = append(list.Disks, cdrom(g.ISO, "sda"))
		list.Graphics = []libvirtxml.DomainGraphic{{VNC: &libvirtxml.DomainGraphicVNC{
			Port: -1, AutoPort: "yes", Listen: "127.0.0.1",
			Listeners: []libvirtxml.DomainGraphicListener{{Address: &libvirtxml.DomainGraphicListenerAddress{Address: "127.0.0.1"}}},
		}}}
		list.Videos = []libvirtxml.DomainVideo{{Model: libvirtxml.DomainVideoModel{Type: "virtio", Heads: 1, Primary: "yes"}}}
	}
	if g.CloudInit != nil {
		list.Disks = append(list.Disks, seedDisk(g.CloudInit.Image))
	}
	return list
}

func cdrom(path, dev string) libvirtxml.DomainDisk {
	return libvirtxml.DomainDisk{
		Device:   "cdrom",
		Driver:   &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "raw"},
		Source:   source(path),
		Target:   &libvirtxml.DomainDiskTarget{Dev: dev, Bus: "sata"},
		ReadOnly: &libvirtxml.DomainDiskReadOnly{},
	}
}

// seedDisk is a disk for virtio, behind all others, and no CD-ROM: the kernels of
// cloud images have no driver for the SATA controller of q35 (Debian's has not),
// and cloud-init looks for the label on every block device.
func seedDisk(path string) libvirtxml.DomainDisk {
	return libvirtxml.DomainDisk{
		Device:   "disk",
		Driver:   &libvirtxml.DomainDiskDriver{Name: "qemu", Type: string(Raw)},
		Source:   source(path),
		Target:   &libvirtxml.DomainDiskTarget{Dev: diskName(mostDisks), Bus: "virtio"},
		ReadOnly: &libvirtxml.DomainDiskReadOnly{},
	}
}

// diskName is vda for 0 and so on.
func diskName(i int) string { return "vd" + string(rune('a'+i)) }

func (g Guest) consoleLog() *libvirtxml.DomainChardevLog {
	if g.ConsoleLog == "" {
		return nil
	}
	return &libvirtxml.DomainChardevLog{File: g.ConsoleLog, Append: "on"}
}

func (d Disk) device(i int) libvirtxml.DomainDisk {
	x := libvirtxml.DomainDisk{
		Device: "disk",
		// The guest's trims give space back to the host.
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: string(d.format()), Discard: "unmap"},
		Source: source(d.Path),
		Target: &libvirtxml.DomainDiskTarget{Dev: diskName(i), Bus: "virtio"},
	}
	if d.ReadOnly {
		x.ReadOnly = &libvirtxml.DomainDiskReadOnly{}
	}
	return x
}

func (d Disk) format() Format {
	if d.Format == "" && strings.HasSuffix(d.Path, ".qcow2") {
		return QCOW2
	}
	return or(d.Format, Raw)
}

func source(path string) *libvirtxml.DomainDiskSource {
	if strings.HasPrefix(path, "/dev/") {
		return &libvirtxml.DomainDiskSource{Block: &libvirtxml.DomainDiskSourceBlock{Dev: path}}
	}
	return &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}}
}

// or is v, or def where v is the zero value.
func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
