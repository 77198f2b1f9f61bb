package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/plan"
)

// zone prints the DNS records to enter where the domain and the addresses are
// administered, or brings them to a name server.
func (a app) zone(ctx context.Context, args []string) error {
	var (
		path, domain, name string
		list               bool
		up                 zoneUpdate
	)
	if err := a.flags("zone", args, func(fs *flag.FlagSet) {
		configFlag(fs, &path)
		fs.StringVar(&domain, "domain", "", "the `domain` of host and guests; default the file's dns.domain")
		fs.StringVar(&name, "name", hostName, "the host's own `name` in the domain")
		fs.BoolVar(&list, "list", false, "print plain columns in place of zone files")
		fs.Func("update", "bring the records to the name `server` at an address (and port) by dynamic update (RFC 2136), in place of printing them; records of guests that are gone stay there", func(s string) error {
			var u upstream
			err := u.UnmarshalText([]byte(s))
			up.server = u.AddrPort
			return err
		})
		fs.StringVar(&up.keyFile, "key", "", "a `file` with the update's TSIG key, as tsig-keygen writes it")
		fs.BoolVar(&up.dry, "n", false, "only say what -update would change")
	}); err != nil {
		return err
	}
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	if domain == "" {
		domain = c.DNS.Domain
	}
	if domain == "" {
		return &plan.Refusal{Subject: "dns.domain", Reason: "is not given, here nor with -domain"}
	}
	h, err := newHost(ctx, c)
	if err != nil {
		return err
	}
	found, err := h.found(ctx)
	if err != nil {
		return err
	}
	z := h.withFound(found).zoneOf(name, domain)
	if up.server != (netip.AddrPort{}) {
		sections, err := z.Sections()
		if err != nil {
			return &plan.Refusal{Subject: "zone", Reason: err.Error(), Err: err}
		}
		return a.updateZone(ctx, up, sections)
	}
	text := z.Text
	if list {
		text = z.List
	}
	out, err := text()
	if err != nil {
		return &plan.Refusal{Subject: "zone", Reason: err.Error(), Err: err}
	}
	_, err = fmt.Fprint(a.stdout, strings.TrimLeft(out, "\n"))
	return err
}

// found asks libvirt for the domains on the bridge; where there is no libvirt,
// there are none.
func (h host) found(ctx context.Context) (libvirtguests.State, error) {
	conn, err := libvirtguests.Dial(ctx, h.config.Libvirt.Socket)
	if errors.Is(err, fs.ErrNotExist) && h.config.Libvirt.Socket == "" {
		return libvirtguests.State{Bridge: h.bridgeName}, nil
	}
	if err != nil {
		return libvirtguests.State{}, err
	}
	defer conn.Close()
	return conn.Capture(h.bridgeName)
}
