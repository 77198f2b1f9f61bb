package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/plan"
)

// zone prints the DNS records to enter where the domain and the addresses are
// administered.
func (a app) zone(ctx context.Context, args []string) error {
	var path, domain, name string
	if err := a.flags("zone", args, func(fs *flag.FlagSet) {
		configFlag(fs, &path)
		fs.StringVar(&domain, "domain", "", "the `domain` of host and guests; default the file's dns.domain")
		fs.StringVar(&name, "name", "host", "the host's own `name` in the domain")
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
	records, err := h.records(name, domain)
	if err != nil {
		return err
	}
	fmt.Fprint(a.stdout, guest.Text(records))
	return nil
}

// records of the host, its guests, and the names that IPv4 clients reach
// through the front door.
func (h host) records(name, domain string) ([]guest.Record, error) {
	own := name + "." + domain + "."
	list := []guest.Record{
		{Name: own, Type: "AAAA", TTL: guest.TTL, Value: h.address.String()},
		{Name: guest.ReverseName(h.address), Type: "PTR", TTL: guest.TTL, Value: own},
	}
	for _, a := range h.ipv4 {
		list = append(list,
			guest.Record{Name: own, Type: "A", TTL: guest.TTL, Value: a.String()},
			guest.Record{Name: guest.ReverseName(a), Type: "PTR", TTL: guest.TTL, Value: own})
	}
	for _, g := range h.guests {
		records, err := g.Records(domain, h.prefix)
		if err != nil {
			return nil, fmt.Errorf("records of guest %s: %w", g.Name, err)
		}
		list = append(list, records...)
		for _, served := range g.serve {
			for _, a := range h.ipv4 {
				list = append(list, guest.Record{Name: served + ".", Type: "A", TTL: guest.TTL, Value: a.String()})
			}
			if served != g.Name+"."+domain {
				list = append(list, guest.Record{Name: served + ".", Type: "AAAA", TTL: guest.TTL, Value: g.address.String()})
			}
		}
	}
	return list, nil
}
