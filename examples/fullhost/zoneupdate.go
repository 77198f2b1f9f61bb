package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/plan"
)

// zoneUpdate says where records are brought.
type zoneUpdate struct {
	server  netip.AddrPort
	keyFile string
	dry     bool
}

// tsigKey is a shared secret (RFC 8945).
type tsigKey struct {
	name, algorithm, secret string
}

// readKey reads a key as tsig-keygen writes it and named takes it.
func readKey(path string) (tsigKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return tsigKey{}, &plan.Refusal{Subject: path, Reason: "can't be read: " + errText(err), Err: err}
	}
	var k tsigKey
	for _, f := range []struct {
		to      *string
		pattern string
	}{{&k.name, `key\s+"?([^"\s{]+)`}, {&k.algorithm, `algorithm\s+"?([A-Za-z0-9-]+)`}, {&k.secret, `secret\s+"([A-Za-z0-9+/=]+)"`}} {
		m := regexp.MustCompile(f.pattern).FindSubmatch(b)
		if m == nil {
			return tsigKey{}, &plan.Refusal{Subject: path, Reason: "is no key as tsig-keygen writes it: want key, algorithm and secret"}
		}
		*f.to = string(m[1])
	}
	k.name, k.algorithm = dns.Fqdn(strings.ToLower(k.name)), dns.Fqdn(strings.ToLower(k.algorithm))
	return k, nil
}

// updateZone brings the records to the server, where they differ: the plan is
// made of what the server has.
func (a app) updateZone(ctx context.Context, up zoneUpdate, sections []guest.Section) error {
	u := updater{server: up.server.String()}
	if up.keyFile != "" {
		k, err := readKey(up.keyFile)
		if err != nil {
			return err
		}
		u.key = k
	}
	p, err := u.plan(ctx, sections)
	if err != nil {
		return err
	}
	if up.dry || p.Empty() {
		return p.WriteText(a.stdout)
	}
	return p.Run(ctx, plan.Apply, func(n, of int, s plan.Step) {
		fmt.Fprintf(a.stdout, "[%d/%d] %s\n", n, of, s.Text)
	})
}

type updater struct {
	server string
	key    tsigKey
}

// plan has one step, which is one atomic message, for each zone that differs. A
// zone that the server is not the authority of is somebody else's to change, and
// only noted.
func (u updater) plan(ctx context.Context, sections []guest.Section) (plan.Plan, error) {
	var p plan.Plan
	for _, s := range sections {
		zone, err := u.zone(ctx, s.Apex)
		if err != nil {
			return plan.Plan{}, err
		}
		if zone == "" {
			p.Notes = append(p.Notes, fmt.Sprintf("%s is no authority for %s: enter its %d records where it is administered.", u.server, strings.TrimSuffix(s.Apex, "."), len(s.Records)))
			continue
		}
		m := new(dns.Msg)
		m.SetUpdate(zone)
		var names []string
		for _, set := range rrsets(s.Records) {
			want, err := parseSet(set)
			if err != nil {
				return plan.Plan{}, err
			}
			have, err := u.ask(ctx, want[0].Header().Name, want[0].Header().Rrtype)
			if err != nil {
				return plan.Plan{}, err
			}
			if sameSet(have.Answer, want) {
				continue
			}
			m.RemoveRRset(want[:1])
			m.Insert(want)
			names = append(names, strings.TrimSuffix(set[0].Name, ".")+" "+set[0].Type)
		}
		if len(names) == 0 {
			continue
		}
		p.Steps = append(p.Steps, plan.Step{
			Phase: plan.Apply, Part: "zone",
			Text: fmt.Sprintf("set in zone %s: %s", strings.TrimSuffix(zone, "."), strings.Join(names, ", ")),
			Do:   func(ctx context.Context) error { return u.send(ctx, zone, m) },
		})
	}
	return p, nil
}

// rrsets groups records by name and type, in their order.
func rrsets(records []guest.Record) (sets [][]guest.Record) {
	for _, r := range records {
		at := slices.IndexFunc(sets, func(s []guest.Record) bool { return s[0].Name == r.Name && s[0].Type == r.Type })
		if at < 0 {
			sets = append(sets, []guest.Record{r})
			continue
		}
		sets[at] = append(sets[at], r)
	}
	return sets
}

func parseSet(set []guest.Record) ([]dns.RR, error) {
	var list []dns.RR
	for _, r := range set {
		rr, err := dns.NewRR(r.String())
		if err != nil {
			return nil, fmt.Errorf("read record %s: %w", r, err)
		}
		list = append(list, rr)
	}
	return list, nil
}

// sameSet compares two sets of records, with their TTLs.
func sameSet(have, want []dns.RR) bool {
	if len(have) != len(want) {
		return false
	}
	for _, w := range want {
		if !slices.ContainsFunc(have, func(h dns.RR) bool { return dns.IsDuplicate(h, w) && h.Header().Ttl == w.Header().Ttl }) {
			return false
		}
	}
	return true
}

// zone finds the zone of the server's that a name is in, "" for none: the owner
// of the SOA record in an authoritative answer.
func (u updater) zone(ctx context.Context, name string) (string, error) {
	m, err := u.ask(ctx, name, dns.TypeSOA)
	if err != nil {
		return "", err
	}
	if !m.Authoritative {
		return "", nil
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		if soa, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(soa.Hdr.Name, name) {
			return soa.Hdr.Name, nil
		}
	}
	return "", nil
}

func (u updater) ask(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.RecursionDesired = false
	r, err := u.exchange(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s %s: %w", u.server, name, dns.TypeToString[qtype], err)
	}
	switch r.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeRefused:
		return r, nil
	}
	return nil, fmt.Errorf("ask %s for %s %s: it says %s", u.server, name, dns.TypeToString[qtype], dns.RcodeToString[r.Rcode])
}

func (u updater) send(ctx context.Context, zone string, m *dns.Msg) error {
	if u.key.name != "" {
		m.SetTsig(u.key.name, u.key.algorithm, 300, time.Now().Unix())
	}
	r, err := u.exchange(ctx, m)
	if err != nil {
		return fmt.Errorf("update zone %s at %s: %w", zone, u.server, err)
	}
	if r.Rcode != dns.RcodeSuccess {
		return fmt.Errorf("update zone %s at %s: it says %s", zone, u.server, dns.RcodeToString[r.Rcode])
	}
	return nil
}

func (u updater) exchange(ctx context.Context, m *dns.Msg) (*dns.Msg, error) {
	// Updates may be long, and TCP spares the question how long.
	c := &dns.Client{Net: "tcp", Timeout: 5 * time.Second}
	if u.key.name != "" {
		c.TsigSecret = map[string]string{u.key.name: u.key.secret}
	}
	r, _, err := c.ExchangeContext(ctx, m, u.server)
	return r, err
}
