package lab

import (
	"net"
	"net/netip"
	"strings"
	"sync"

	"github.com/miekg/dns"
)

// Names in the lab's DNS that are not those of nodes.
const (
	NameV4Only    = "v4only.example"    // A of web4
	NameV6Only    = "v6only.example"    // AAAA of web6
	NameDual      = "dual.example"      // A of web4, AAAA of web6
	NameAlias     = "alias.example"     // CNAME to v4only.example
	NameDocument  = "document.example"  // A in a documentation range (RFC 5737)
	NamePrivate   = "private.example"   // A in a private range (RFC 1918)
	NameLoopback  = "loopback.example"  // A in 127.0.0.0/8
	NameNone      = "none.example"      // exists, without an address
	NameMissing   = "missing.example"   // does not exist
	nameIPv4Only  = "ipv4only.arpa"     // RFC 7050 section 8.2
	answerTTL     = 60                  // seconds
	negativeTTL   = 60                  // seconds
	zoneAuthority = "ns." + ZoneName    // the name server's own name
	zoneMailbox   = "admin." + ZoneName // who to blame
)

// zone is what the lab's name server knows. As there is no other name server in
// this Internet, it answers for every name with authority.
type zone struct {
	mu    sync.RWMutex
	names map[string]entry // by canonical name
}

type entry struct {
	addrs []netip.Addr
	cname string
}

func newZone() *zone {
	z := &zone{names: map[string]entry{}}
	var web4, web6 netip.Addr
	for _, p := range internet() {
		z.set(p.name+"."+ZoneName, p.v4, p.v6)
		switch p.name {
		case Web4:
			web4 = p.v4
		case Web6:
			web6 = p.v6
		case DNS:
			z.set(zoneAuthority, p.v4, p.v6)
		}
	}
	z.set(ZoneName)
	z.set(Server+"."+ZoneName, ServerIPv4().Addr(), ServerIPv6().Addr())
	z.set(NameV4Only, web4)
	z.set(NameV6Only, web6)
	z.set(NameDual, web4, web6)
	z.set(NameDocument, netip.MustParseAddr("192.0.2.1"))
	z.set(NamePrivate, netip.MustParseAddr("10.0.0.1"))
	z.set(NameLoopback, netip.MustParseAddr("127.0.0.1"))
	z.set(NameNone)
	z.set(nameIPv4Only, netip.MustParseAddr("192.0.0.170"), netip.MustParseAddr("192.0.0.171"))
	z.names[dns.CanonicalName(NameAlias)] = entry{cname: dns.CanonicalName(NameV4Only)}
	return z
}

// set gives a name its addresses, in place of those it had; invalid ones are
// left out.
func (z *zone) set(name string, addrs ...netip.Addr) {
	var e entry
	for _, a := range addrs {
		if a.IsValid() {
			e.addrs = append(e.addrs, a)
		}
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[dns.CanonicalName(name)] = e
}

// ServeDNS makes a zone a dns.Handler.
func (z *zone) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	m := z.answer(q)
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
		size := dns.MinMsgSize
		if opt := q.IsEdns0(); opt != nil {
			size = max(size, int(opt.UDPSize()))
		}
		m.Truncate(size)
	}
	w.WriteMsg(m)
}

// inZone completes a name without a zone.
func inZone(name string) string {
	if name = strings.TrimSuffix(name, "."); !strings.Contains(name, ".") {
		return name + "." + ZoneName
	}
	return name
}

// answer answers a question.
func (z *zone) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	// It stands for the provider's resolver as well.
	m.Authoritative, m.RecursionAvailable = true, true
	if len(q.Question) != 1 || q.Opcode != dns.OpcodeQuery {
		return m.SetRcode(q, dns.RcodeNotImplemented)
	}
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(opt.UDPSize(), false)
	}
	z.mu.RLock()
	defer z.mu.RUnlock()
	name, qtype := dns.CanonicalName(q.Question[0].Name), q.Question[0].Qtype
	e, known := z.names[name]
	if known && e.cname != "" {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: header(q.Question[0].Name, dns.TypeCNAME), Target: e.cname})
		if qtype == dns.TypeCNAME {
			return m
		}
		name = e.cname
		e, known = z.names[name]
	}
	owner := name
	if len(m.Answer) == 0 {
		owner = q.Question[0].Name // in the case it was asked in
	}
	for _, a := range e.addrs {
		switch {
		case qtype == dns.TypeA && a.Is4():
			m.Answer = append(m.Answer, &dns.A{Hdr: header(owner, qtype), A: a.AsSlice()})
		case qtype == dns.TypeAAAA && a.Is6():
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: header(owner, qtype), AAAA: a.AsSlice()})
		}
	}
	if name == ZoneName {
		switch qtype {
		case dns.TypeSOA:
			m.Answer = append(m.Answer, soa(ZoneName))
		case dns.TypeNS:
			m.Answer = append(m.Answer, &dns.NS{Hdr: header(ZoneName, qtype), Ns: zoneAuthority})
		}
	}
	if !known {
		m.Rcode = dns.RcodeNameError
	}
	if !known || len(m.Answer) == 0 || m.Answer[len(m.Answer)-1].Header().Rrtype == dns.TypeCNAME && qtype != dns.TypeCNAME {
		// RFC 2308 section 3: negative answers carry the zone's SOA.
		apex := "."
		if strings.HasSuffix(name, "."+ZoneName) || name == ZoneName {
			apex = ZoneName
		}
		m.Ns = append(m.Ns, soa(apex))
	}
	return m
}

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: answerTTL}
}

func soa(apex string) dns.RR {
	return &dns.SOA{
		Hdr: header(apex, dns.TypeSOA), Ns: zoneAuthority, Mbox: zoneMailbox,
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negativeTTL,
	}
}
