package dns64

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// reverse returns the in-addr.arpa name that a PTR question inside the NAT64
// prefix is an alias of (RFC 6147, 5.3.1, second way).
func (r rules) reverse(q dnsmsg.Question) (target string, ok bool) {
	if q.Qtype != dnsmsg.TypePTR {
		return "", false
	}
	v6, ok := parseIP6Arpa(q.Name)
	if !ok {
		return "", false
	}
	v4, ok := r.prefix.Extract(v6)
	if !ok {
		return "", false
	}
	return inAddrArpa(v4), true
}

// alias is the answer to a PTR question inside the NAT64 prefix: a CNAME record
// and what was found at its target.
func alias(q dnsmsg.Question, target string, found outcome) *dnsmsg.Msg {
	if found.msg == nil || found.bogus || found.msg.Rcode != dnsmsg.RcodeSuccess && found.msg.Rcode != dnsmsg.RcodeNameError {
		return failure(q, found.msg, dnsmsg.EDENoReachable)
	}
	m := *found.msg
	m.Question = []dnsmsg.Question{q}
	m.AuthenticatedData = false
	m.Answer = append([]dnsmsg.RR{&dnsmsg.CNAME{
		Hdr:    dnsmsg.RRHeader{Name: q.Name, Rrtype: dnsmsg.TypeCNAME, Class: dnsmsg.ClassINET, Ttl: ttlWithoutSOA},
		Target: target,
	}}, found.msg.Answer...)
	return &m
}

// parseIP6Arpa reads a whole address from its name below ip6.arpa: 32 nibbles,
// the last one first (RFC 3596, 2.5).
func parseIP6Arpa(name string) (netip.Addr, bool) {
	const suffix = "ip6.arpa."
	if len(name) != 64+len(suffix) || !strings.EqualFold(name[64:], suffix) {
		return netip.Addr{}, false
	}
	var b [16]byte
	for i := range 32 {
		n, ok := nibble(name[2*i])
		if !ok || name[2*i+1] != '.' {
			return netip.Addr{}, false
		}
		b[15-i/2] |= n << (i % 2 * 4)
	}
	return netip.AddrFrom16(b), true
}

func nibble(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

// inAddrArpa names an IPv4 address for its PTR record (RFC 1035, 3.5).
func inAddrArpa(v4 netip.Addr) string {
	b := v4.As4()
	return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa.", b[3], b[2], b[1], b[0])
}
