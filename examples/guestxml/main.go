// Guestxml prints the libvirt domain of a guest, or its DNS records.
//
//	guestxml -disk /var/lib/libvirt/images/web.qcow2 web | virsh define /dev/stdin
//	guestxml -dns -domain example.com -prefix 2001:db8:1:3::/64 web
//
// MAC and address follow from the name, unless -mac says otherwise. It touches
// nothing and needs no privileges.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/sixhost/sixhost/guest"
)

func main() {
	out, warnings, err := run(os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	for _, w := range warnings {
		fmt.Fprintln(os.Stderr, "guestxml: warning:", w)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "guestxml:", err)
		os.Exit(2)
	}
	fmt.Print(out)
}

// run returns what is to be printed. help is where the flags are explained to
// those who ask, with flag.ErrHelp returned.
func run(args []string, help io.Writer) (string, []guest.Warning, error) {
	var (
		g      guest.Guest
		h      guest.Host
		dns    bool
		domain string
		prefix netip.Prefix
	)
	fs := flag.NewFlagSet("guestxml", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints errors
	fs.Usage = func() {}
	fs.TextVar(&g.MAC, "mac", g.MAC, "MAC of the guest; all zero to make it from the name")
	fs.IntVar(&g.MemoryMiB, "memory", 1024, "memory in MiB")
	fs.IntVar(&g.VCPUs, "vcpus", 1, "virtual processors")
	fs.Func("disk", "path of a disk image or block device; repeat it for more", func(p string) error {
		g.Disks = append(g.Disks, guest.Disk{Path: p})
		return nil
	})
	fs.StringVar(&g.ISO, "iso", "", "path of a CD-ROM image")
	fs.StringVar(&g.Kernel, "kernel", "", "path of a kernel to boot directly")
	fs.StringVar(&g.Initrd, "initrd", "", "path of its initial RAM file system")
	fs.StringVar(&g.Cmdline, "cmdline", "", "its command line")
	fs.StringVar(&g.ConsoleLog, "console-log", "", "path of a file for the serial console's output")
	fs.StringVar(&h.Bridge, "bridge", "br0", "bridge on the host")
	fs.BoolVar(&h.Emulate, "emulate", false, "run without KVM")
	fs.BoolVar(&dns, "dns", false, "print AAAA and PTR records instead; needs -domain and -prefix")
	fs.StringVar(&domain, "domain", "", "domain of the guest's name")
	fs.TextVar(&prefix, "prefix", prefix, "the host's /64")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(help)
			fmt.Fprintln(help, "usage: guestxml [flags] NAME")
			fs.PrintDefaults()
		}
		return "", nil, err
	}
	if fs.NArg() != 1 {
		return "", nil, fmt.Errorf("want one name after the flags, not %d; -h explains", fs.NArg())
	}
	g.Name = fs.Arg(0)
	warnings, err := guest.Validate([]guest.Guest{g}, [6]byte{})
	if err != nil {
		return "", nil, err
	}
	if dns {
		records, err := g.Records(domain, prefix)
		return guest.Text(records), warnings, err
	}
	x, err := g.XML(h)
	return x, warnings, err
}
