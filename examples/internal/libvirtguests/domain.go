package libvirtguests

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/sixhost/sixhost/slaac"
)

// State is the domains that have an interface on a bridge.
type State struct {
	Bridge  string   `json:"bridge"`
	Domains []Domain `json:"domains"`
}

// Domain is a virtual machine as far as it matters here.
type Domain struct {
	Name string `json:"name"`
	UUID string `json:"uuid"`
	// NICs are its interfaces on the bridge.
	NICs []NIC `json:"nics"`
	// Machine is what else is compared to know whether a domain is defined as
	// it is wanted.
	Machine Machine `json:"machine"`

	Running   bool `json:"running"`
	Autostart bool `json:"autostart"`

	// Serve are the host names that the domain's metadata says it serves: see
	// [MetadataURI].
	Serve []string `json:"serve,omitempty"`

	// xml defines the domain; "" for one that was found.
	xml string
}

// NIC is an interface of a domain.
type NIC struct {
	MAC slaac.MAC `json:"mac"`
	// Port is the host's end, "" where libvirt gives it a name at the start.
	Port string `json:"port,omitempty"`
}

// Machine is a domain's hardware and boot.
type Machine struct {
	MemoryKiB uint     `json:"memory_kib"`
	VCPUs     uint     `json:"vcpus"`
	Disks     []string `json:"disks,omitempty"` // device, format, path
	Kernel    string   `json:"kernel,omitempty"`
	Initrd    string   `json:"initrd,omitempty"`
	Cmdline   string   `json:"cmdline,omitempty"`
	Console   string   `json:"console,omitempty"` // the log's path
}

// Read reads a domain's XML and keeps it as the definition. Interfaces that
// are not on the bridge are left out.
func Read(x, bridge string) (Domain, error) {
	d, err := read(x, bridge)
	d.xml = x
	return d, err
}

func read(x, bridge string) (Domain, error) {
	var l libvirtxml.Domain
	if err := l.Unmarshal(x); err != nil {
		return Domain{}, fmt.Errorf("read domain: %w", err)
	}
	d := Domain{Name: l.Name, UUID: l.UUID, Serve: served(l.Metadata)}
	if l.Memory != nil {
		d.Machine.MemoryKiB = l.Memory.Value * perUnit(l.Memory.Unit) / 1024
	}
	if l.VCPU != nil {
		d.Machine.VCPUs = l.VCPU.Value
	}
	if l.OS != nil {
		d.Machine.Kernel, d.Machine.Initrd, d.Machine.Cmdline = l.OS.Kernel, l.OS.Initrd, l.OS.Cmdline
	}
	if l.Devices == nil {
		return d, nil
	}
	for _, i := range l.Devices.Interfaces {
		if i.Source == nil || i.Source.Bridge == nil || i.Source.Bridge.Bridge != bridge || i.MAC == nil {
			continue
		}
		mac, err := slaac.ParseMAC(i.MAC.Address)
		if err != nil {
			return Domain{}, fmt.Errorf("read domain %s: %w", d.Name, err)
		}
		n := NIC{MAC: mac}
		if i.Target != nil {
			n.Port = i.Target.Dev
		}
		d.NICs = append(d.NICs, n)
	}
	for _, k := range l.Devices.Disks {
		words := []string{k.Device}
		if k.Driver != nil {
			words = append(words, k.Driver.Type)
		}
		switch {
		case k.Source == nil:
		case k.Source.File != nil:
			words = append(words, k.Source.File.File)
		case k.Source.Block != nil:
			words = append(words, k.Source.Block.Dev)
		}
		if k.ReadOnly != nil {
			words = append(words, "read-only")
		}
		words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
		d.Machine.Disks = append(d.Machine.Disks, strings.Join(words, " "))
	}
	for _, s := range l.Devices.Serials {
		if s.Log != nil {
			d.Machine.Console = s.Log.File
		}
	}
	return d, nil
}

// perUnit is how many octets a unit of libvirt's has; KiB is its default.
func perUnit(unit string) uint {
	switch strings.ToLower(unit) {
	case "b", "bytes":
		return 1
	case "", "k", "kib":
		return 1 << 10
	case "m", "mib":
		return 1 << 20
	case "g", "gib":
		return 1 << 30
	case "t", "tib":
		return 1 << 40
	case "kb":
		return 1e3
	case "mb":
		return 1e6
	case "gb":
		return 1e9
	}
	return 1 << 10
}

// same reports whether two domains are defined alike. A port that libvirt is to
// name, or has named, makes no difference.
func (d Domain) same(o Domain) bool {
	ports := func(n NIC) NIC {
		if strings.HasPrefix(n.Port, "vnet") {
			n.Port = ""
		}
		return n
	}
	return d.Name == o.Name && (d.UUID == "" || o.UUID == "" || d.UUID == o.UUID) &&
		slices.EqualFunc(d.NICs, o.NICs, func(a, b NIC) bool { return ports(a) == ports(b) }) &&
		slices.Equal(d.Machine.Disks, o.Machine.Disks) &&
		d.Machine.MemoryKiB == o.Machine.MemoryKiB && d.Machine.VCPUs == o.Machine.VCPUs &&
		d.Machine.Kernel == o.Machine.Kernel && d.Machine.Initrd == o.Machine.Initrd &&
		d.Machine.Cmdline == o.Machine.Cmdline && d.Machine.Console == o.Machine.Console
}

// find returns the domain with a name.
func (s State) find(name string) (Domain, bool) {
	for _, d := range s.Domains {
		if d.Name == name {
			return d, true
		}
	}
	return Domain{}, false
}
