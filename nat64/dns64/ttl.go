package dns64

import (
	"time"

	"github.com/sixhost/sixhost/internal/dnsmsg"
)

// How long answers are kept, whatever their records say.
const (
	// maxPositive bounds what one wrong TTL can do.
	maxPositive = 24 * time.Hour
	// maxNegative: RFC 2308, 5 suggests one to three hours.
	maxNegative = 3 * time.Hour
	// failureTTL: RFC 9520, 3.2 wants failures kept for at least 1 s and at
	// most 5 min.
	failureTTL = 5 * time.Second
	// maxStandIn bounds an answer made of A records because nothing was heard
	// about AAAA: the native address is taken up soon after it can be had.
	maxStandIn = 30 * time.Second
)

// negativeTTL is how long the absence that a response states may be believed:
// the lesser of its SOA record's TTL and MINIMUM field (RFC 2308, 3). ok is
// false if there is no SOA record.
func negativeTTL(m *dnsmsg.Msg) (seconds uint32, ok bool) {
	for _, rr := range m.Ns {
		if soa, isSOA := rr.(*dnsmsg.SOA); isSOA {
			return min(soa.Hdr.Ttl, soa.Minttl), true
		}
	}
	return 0, false
}

// lifetime is how long a response may be kept; 0 means not at all.
func lifetime(m *dnsmsg.Msg) time.Duration {
	switch m.Rcode {
	case dnsmsg.RcodeSuccess, dnsmsg.RcodeNameError:
	default:
		return failureTTL
	}
	if len(m.Question) != 1 {
		return 0
	}
	seconds := uint32(maxPositive / time.Second)
	answered := false
	for i, section := range [][]dnsmsg.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			h := rr.Header()
			if h.Rrtype == dnsmsg.TypeOPT {
				continue
			}
			seconds = min(seconds, h.Ttl)
			if t := m.Question[0].Qtype; i == 0 && (h.Rrtype == t || t == dnsmsg.TypeANY) {
				answered = true
			}
		}
	}
	if !answered || m.Rcode == dnsmsg.RcodeNameError {
		neg, ok := negativeTTL(m)
		if !ok {
			return 0 // RFC 2308, 5
		}
		seconds = min(seconds, neg, uint32(maxNegative/time.Second))
	}
	return time.Duration(seconds) * time.Second
}
