package dns64

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/internal/dnsmsg"
	"github.com/sixhost/sixhost/plan"
)

// Host is a name that the server answers for by itself, such as a guest's.
type Host struct {
	// Name is fully qualified, with or without the final dot.
	Name string
	// Addrs are all the addresses it has.
	Addrs []netip.Addr
}

// hostTTL is how long clients may keep what they are told of hosts, in seconds:
// guests come and go.
const hostTTL = 10

// hosts are those that there are, never changed once made.
type hosts struct {
	names map[string][]netip.Addr // canonical, with the final dot
	back  map[netip.Addr]string   // the first name of each address
}

// newHosts takes a list in its order. The error is a [*plan.Refusal].
func newHosts(list []Host) (*hosts, error) {
	all := &hosts{names: make(map[string][]netip.Addr), back: make(map[netip.Addr]string)}
	for _, h := range list {
		name := dnsmsg.CanonicalName(h.Name)
		if why := badHost(name); why != "" {
			return nil, &plan.Refusal{Subject: "dns64: hosts", Reason: fmt.Sprintf("%q %s", h.Name, why)}
		}
		for _, a := range h.Addrs {
			a = a.Unmap()
			if !a.IsValid() || a.Zone() != "" {
				return nil, &plan.Refusal{Subject: "dns64: hosts", Reason: fmt.Sprintf("%s is no address that %s could have for everybody", a, h.Name)}
			}
			if !slices.Contains(all.names[name], a) {
				all.names[name] = append(all.names[name], a)
			}
			if all.back[a] == "" {
				all.back[a] = name
			}
		}
	}
	return all, nil
}

// badHost says what is wrong with a canonical name, or "".
func badHost(name string) string {
	if name == "." {
		return "is the root"
	}
	if len(name) > 254 { // of 255 octets in all (RFC 1035, 2.3.4)
		return "is too long"
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return "has a label that is empty or too long"
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "is not a host name"
			}
		}
	}
	return ""
}

// answer answers a question about a host's addresses, or about the name of one.
// It returns nil for what the upstreams have to say: names of others, and other
// records of hosts.
//
// A host with IPv4 addresses alone gets an address in the prefix, as one of the
// world would, unless the client is plain: one that wants nothing synthesised.
func (h *hosts) answer(r rules, q dnsmsg.Question, plain bool) *dnsmsg.Msg {
	if h == nil {
		return nil
	}
	header := func(t uint16) dnsmsg.RRHeader {
		return dnsmsg.RRHeader{Name: q.Name, Rrtype: t, Class: dnsmsg.ClassINET, Ttl: hostTTL}
	}
	m := &dnsmsg.Msg{Question: []dnsmsg.Question{q}}
	m.Response = true
	if q.Qtype == dnsmsg.TypePTR {
		a, ok := parseReverse(q.Name)
		if name := h.back[a]; ok && name != "" {
			m.Answer = []dnsmsg.RR{&dnsmsg.PTR{Hdr: header(dnsmsg.TypePTR), Ptr: name}}
			return m
		}
		return nil
	}
	addrs, ok := h.names[q.Name]
	if !ok || q.Qtype != dnsmsg.TypeA && q.Qtype != dnsmsg.TypeAAAA {
		return nil
	}
	for _, a := range addrs {
		switch {
		case a.Is4() && q.Qtype == dnsmsg.TypeA:
			m.Answer = append(m.Answer, &dnsmsg.A{Hdr: header(q.Qtype), A: net.IP(a.AsSlice())})
		case a.Is6() && q.Qtype == dnsmsg.TypeAAAA:
			m.Answer = append(m.Answer, &dnsmsg.AAAA{Hdr: header(q.Qtype), AAAA: net.IP(a.AsSlice())})
		}
	}
	if len(m.Answer) == 0 && q.Qtype == dnsmsg.TypeAAAA && !plain {
		for _, a := range addrs {
			if v6, ok := r.represent(a); ok {
				m.Answer = append(m.Answer, &dnsmsg.AAAA{Hdr: header(q.Qtype), AAAA: net.IP(v6.AsSlice())})
			}
		}
	}
	if len(m.Answer) == 0 {
		// It exists, and has none of this kind (RFC 2308, 2.2).
		m.Ns = []dnsmsg.RR{&dnsmsg.SOA{
			Hdr: header(dnsmsg.TypeSOA), Ns: q.Name, Mbox: "nobody.invalid.",
			Serial: 1, Refresh: 7200, Retry: 3600, Expire: 604800, Minttl: hostTTL,
		}}
	}
	return m
}

// exists turns "no such name" about a host into "no such record": a client may
// take the one for the end of the host's addresses too (RFC 8020).
func (h *hosts) exists(q dnsmsg.Question, m *dnsmsg.Msg) *dnsmsg.Msg {
	if h == nil || m.Rcode != dnsmsg.RcodeNameError || h.names[q.Name] == nil {
		return m
	}
	out := *m
	out.Rcode, out.AuthenticatedData = dnsmsg.RcodeSuccess, false
	return &out
}

// parseReverse reads an address from its name below ip6.arpa or in-addr.arpa.
func parseReverse(name string) (netip.Addr, bool) {
	if a, ok := parseIP6Arpa(name); ok {
		return a.Unmap(), true
	}
	octets, ok := strings.CutSuffix(name, ".in-addr.arpa.")
	if !ok {
		return netip.Addr{}, false
	}
	parts := strings.Split(octets, ".")
	slices.Reverse(parts)
	a, err := netip.ParseAddr(strings.Join(parts, "."))
	return a, err == nil && a.Is4()
}

// SetHosts replaces the hosts of [Config.Hosts], as a whole and at once: every
// question is answered from the old list or from the new one. It may be called
// at any time. The error is a [*plan.Refusal], and the old list stays then.
func (s *Server) SetHosts(list []Host) error {
	all, err := newHosts(list)
	if err != nil {
		return err
	}
	s.resolver.hosts.Store(all)
	return nil
}
