package ra

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/mdlayher/ndp"
)

// Inconsistencies compares what two routers advertise on one link by the rules
// of RFC 4861, section 6.2.7: hop limit, timers and MTU unless one of the two
// leaves them open, the M and O flags, and the lifetimes of the same prefixes.
// The same is done for routes to the same prefix (RFC 4191: their lifetimes are
// each router's own, so that only ones that are taken back by one and given by
// the other differ) and for NAT64 prefixes, of which a host uses one set on a
// link (RFC 8781, section 5). Received is not set in what is returned.
func Inconsistencies(ours, theirs *ndp.RouterAdvertisement) []Inconsistency {
	var list []Inconsistency
	differ := func(field string, their, our any) {
		if their != our {
			list = append(list, Inconsistency{Field: field, Theirs: fmt.Sprint(their), Ours: fmt.Sprint(our)})
		}
	}
	if a, b := theirs.CurrentHopLimit, ours.CurrentHopLimit; a != 0 && b != 0 {
		differ("hop limit", a, b)
	}
	differ("managed flag (M)", theirs.ManagedConfiguration, ours.ManagedConfiguration)
	differ("other flag (O)", theirs.OtherConfiguration, ours.OtherConfiguration)
	if a, b := theirs.ReachableTime, ours.ReachableTime; a != 0 && b != 0 {
		differ("reachable time", a, b)
	}
	if a, b := theirs.RetransmitTimer, ours.RetransmitTimer; a != 0 && b != 0 {
		differ("retransmission timer", a, b)
	}
	our, their := contents(ours), contents(theirs)
	if our.mtu != 0 && their.mtu != 0 {
		differ("MTU", their.mtu, our.mtu)
	}
	for p, a := range their.prefixes {
		b, both := our.prefixes[p]
		if !both {
			continue
		}
		if !closeEnough(a.ValidLifetime, b.ValidLifetime) {
			differ(fmt.Sprintf("prefix %s: valid lifetime", p), seconds(a.ValidLifetime), seconds(b.ValidLifetime))
		}
		if !closeEnough(a.PreferredLifetime, b.PreferredLifetime) {
			differ(fmt.Sprintf("prefix %s: preferred lifetime", p), seconds(a.PreferredLifetime), seconds(b.PreferredLifetime))
		}
	}
	for p, a := range their.routes {
		if b, both := our.routes[p]; both && (a.RouteLifetime == 0) != (b.RouteLifetime == 0) {
			differ(fmt.Sprintf("route %s: lifetime", p), seconds(a.RouteLifetime), seconds(b.RouteLifetime))
		}
	}
	if len(our.pref64) > 0 {
		for p, a := range their.pref64 {
			if _, both := our.pref64[p]; !both && a.Lifetime > 0 {
				differ("NAT64 prefix", p.String(), joined(our.pref64))
			}
		}
	}
	for p, a := range their.pref64 {
		if b, both := our.pref64[p]; both && (a.Lifetime == 0) != (b.Lifetime == 0) {
			differ(fmt.Sprintf("NAT64 prefix %s: lifetime", p), seconds(a.Lifetime), seconds(b.Lifetime))
		}
	}
	return list
}

// driftAllowed is how far lifetimes that count down may be apart, as two
// advertisements are not made at the same time (RFC 4861, section 6.2.7, leaves
// it open).
const driftAllowed = 5 * time.Second

func closeEnough(a, b time.Duration) bool { return max(a-b, b-a) <= driftAllowed }

func seconds(d time.Duration) string {
	if d == Infinity {
		return "infinite"
	}
	return fmt.Sprintf("%d s", int64(d/time.Second))
}

// options are an advertisement's, by what they are about.
type options struct {
	mtu      uint32
	prefixes map[netip.Prefix]*ndp.PrefixInformation
	routes   map[netip.Prefix]*ndp.RouteInformation
	pref64   map[netip.Prefix]*ndp.PREF64
}

func contents(m *ndp.RouterAdvertisement) options {
	c := options{
		prefixes: make(map[netip.Prefix]*ndp.PrefixInformation),
		routes:   make(map[netip.Prefix]*ndp.RouteInformation),
		pref64:   make(map[netip.Prefix]*ndp.PREF64),
	}
	for _, o := range m.Options {
		switch o := o.(type) {
		case *ndp.MTU:
			c.mtu = o.MTU
		case *ndp.PrefixInformation:
			c.prefixes[netip.PrefixFrom(o.Prefix, int(o.PrefixLength))] = o
		case *ndp.RouteInformation:
			c.routes[netip.PrefixFrom(o.Prefix, int(o.PrefixLength))] = o
		case *ndp.PREF64:
			c.pref64[o.Prefix] = o
		}
	}
	return c
}

func joined(m map[netip.Prefix]*ndp.PREF64) string {
	var words []string
	for p := range m {
		words = append(words, p.String())
	}
	return strings.Join(words, " or ")
}

// summary is what an advertisement says but for what changes with the time:
// lifetimes are only zero or not.
func summary(m *ndp.RouterAdvertisement) string {
	var b strings.Builder
	left := func(d time.Duration) string {
		if d == 0 {
			return "no"
		}
		return "yes"
	}
	fmt.Fprintf(&b, "%d %t %t %s %s %s %s", m.CurrentHopLimit, m.ManagedConfiguration, m.OtherConfiguration,
		m.RouterSelectionPreference, left(m.RouterLifetime), m.ReachableTime, m.RetransmitTimer)
	for _, o := range m.Options {
		switch o := o.(type) {
		case *ndp.PrefixInformation:
			fmt.Fprintf(&b, "\nprefix %s/%d %t %t %s %s", o.Prefix, o.PrefixLength, o.OnLink, o.AutonomousAddressConfiguration, left(o.ValidLifetime), left(o.PreferredLifetime))
		case *ndp.RouteInformation:
			fmt.Fprintf(&b, "\nroute %s/%d %s %s", o.Prefix, o.PrefixLength, o.Preference, left(o.RouteLifetime))
		case *ndp.RecursiveDNSServer:
			fmt.Fprintf(&b, "\nrdnss %s %s", o.Servers, left(o.Lifetime))
		case *ndp.DNSSearchList:
			fmt.Fprintf(&b, "\ndnssl %q %s", o.DomainNames, left(o.Lifetime))
		case *ndp.PREF64:
			fmt.Fprintf(&b, "\npref64 %s %s", o.Prefix, left(o.Lifetime))
		case *ndp.LinkLayerAddress:
			fmt.Fprintf(&b, "\nlla %s", o.Addr)
		default:
			fmt.Fprintf(&b, "\n%+v", o)
		}
	}
	return b.String()
}

func differs(a, b *ndp.RouterAdvertisement) bool { return summary(a) != summary(b) }
