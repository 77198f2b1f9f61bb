package dns64

import (
	"net"
	"net/netip"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// Names that are answered here and never asked upstream (RFC 8880, 7.1 and
// 7.2): every DNS64 has to know the prefix it hands out.
const (
	ipv4only        = "ipv4only.arpa."
	ipv4onlyPTR170  = "170.0.0.192.in-addr.arpa."
	ipv4onlyPTR171  = "171.0.0.192.in-addr.arpa."
	ipv4onlyTTL     = 86400 // as in the zone itself
	ipv4onlyNameTTL = 3600  // how long the absence of other records holds
)

// ipv4onlyAddrs are the well-known addresses (RFC 7050, 2.2).
func ipv4onlyAddrs() [2]netip.Addr {
	return [2]netip.Addr{netip.AddrFrom4([4]byte{192, 0, 0, 170}), netip.AddrFrom4([4]byte{192, 0, 0, 171})}
}

// local answers a question about ipv4only.arpa and the names of its addresses;
// it returns nil for any other. The question's name is in lower case. A plain
// client is told of no prefix, as it shall make no addresses in it.
func (r rules) local(q dnsmsg.Question, plain bool) *dnsmsg.Msg {
	var apex string
	for _, zone := range []string{ipv4only, ipv4onlyPTR170, ipv4onlyPTR171} {
		if q.Name == zone || dnsmsg.IsBelow(q.Name, zone) {
			apex = zone
		}
	}
	if apex == "" {
		return nil
	}
	m := &dnsmsg.Msg{Question: []dnsmsg.Question{q}}
	m.Response = true
	soa := &dnsmsg.SOA{
		Hdr: dnsmsg.RRHeader{Name: apex, Rrtype: dnsmsg.TypeSOA, Class: dnsmsg.ClassINET, Ttl: ipv4onlyTTL},
		Ns:  apex, Mbox: "nobody.invalid.",
		Serial: 1, Refresh: 7200, Retry: 3600, Expire: 604800, Minttl: ipv4onlyNameTTL,
	}
	if q.Name != apex {
		m.Rcode = dnsmsg.RcodeNameError
		m.Ns = []dnsmsg.RR{soa}
		return m
	}
	header := func(t uint16) dnsmsg.RRHeader {
		return dnsmsg.RRHeader{Name: apex, Rrtype: t, Class: dnsmsg.ClassINET, Ttl: ipv4onlyTTL}
	}
	var all []dnsmsg.RR
	if apex == ipv4only {
		for _, v4 := range ipv4onlyAddrs() {
			all = append(all, &dnsmsg.A{Hdr: header(dnsmsg.TypeA), A: net.IP(v4.AsSlice())})
		}
		for _, v4 := range ipv4onlyAddrs() {
			if plain {
				break
			}
			// Not asked of represent: these are not global and yet must be
			// given, under the well-known prefix too (RFC 7050, 3).
			all = append(all, &dnsmsg.AAAA{Hdr: header(dnsmsg.TypeAAAA), AAAA: net.IP(r.prefix.Embed(v4).AsSlice())})
		}
	} else {
		all = append(all, &dnsmsg.PTR{Hdr: header(dnsmsg.TypePTR), Ptr: ipv4only})
	}
	all = append(all, soa, &dnsmsg.NS{Hdr: header(dnsmsg.TypeNS), Ns: apex})
	for _, rr := range all {
		if rr.Header().Rrtype == q.Qtype || q.Qtype == dnsmsg.TypeANY {
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer) == 0 {
		m.Ns = []dnsmsg.RR{soa}
	}
	return m
}
