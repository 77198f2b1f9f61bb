package ra

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/sixhost/sixhost/slaac"
)

// Link is what an advertisement says of the interface it is sent on. It is
// comparable.
type Link struct {
	// Index of the interface.
	Index int
	// MTU in octets, without link-layer headers.
	MTU int
	// MAC is zero where the link layer isn't Ethernet's.
	MAC slaac.MAC
	// Address is the link-local address that advertisements are sent from,
	// without zone.
	Address netip.Addr
	// Forwarding reports whether the kernel forwards IPv6 packets that arrive
	// on the interface.
	Forwarding bool
	// NoUplink: the host forwards, but has nowhere to forward to. It is no
	// default router then, and still a router.
	NoUplink bool
}

// leads reports whether the host is a default router on the link.
func (l Link) leads() bool { return l.Forwarding && !l.NoUplink }

const (
	// headerLen is the length of an advertisement before its options: the
	// ICMPv6 header and 12 octets (RFC 4861, section 4.2).
	headerLen = 16
	// ipv6HeaderLen is RFC 8200's, section 3.
	ipv6HeaderLen = 40
	// longestOption is the longest option that package ndp can write, 31 units
	// of 8 octets. Name servers and domains beyond it go into a further option.
	longestOption = 31 * 8
	// twoHours is how long a host keeps at least an address whose prefix is
	// withdrawn (RFC 4862, section 5.5.3 e).
	twoHours = 2 * time.Hour
)

// Messages returns what the Config advertises on a link at a time: one message,
// or several of which each carries some of the options where one would exceed
// the MTU (RFC 4861, section 6.2.3; RFC 6980 forbids fragments). What the state
// holds as withdrawn is taken back in them. The error is that of
// [Config.Validate].
func (c Config) Messages(l Link, s State, now time.Time) ([]*ndp.RouterAdvertisement, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return c.messages(l, s, now), nil
}

func (c Config) messages(l Link, s State, now time.Time) []*ndp.RouterAdvertisement {
	e := c.effective().countedDown(now).takeBack(s, now)
	return e.split(l, e.header(l), e.options(l))
}

// FinalMessages returns what takes back all that hosts hold by the state, for a
// router that ceases to be one (RFC 4861, section 6.2.5): lifetime 0 for the
// router, name servers, domains, NAT64 prefixes and routes; prefixes are
// deprecated and stay valid for two hours at most. The error is that of
// [Config.Validate].
func (c Config) FinalMessages(l Link, s State, now time.Time) ([]*ndp.RouterAdvertisement, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	e := c.effective()
	e.RouterLifetime = 0
	// What is configured but not in the state may have been said all the same.
	s = c.State(s, now).Withdraw(now)
	e.Prefixes, e.RDNSS, e.DNSSL, e.PREF64, e.Routes = nil, nil, nil, nil, nil
	e = e.takeBack(s, now)
	return e.split(l, e.header(l), e.options(l)), nil
}

// header, options and split work on an effective Config.

func (c Config) header(l Link) ndp.RouterAdvertisement {
	h := ndp.RouterAdvertisement{
		CurrentHopLimit:           uint8(c.HopLimit),
		ManagedConfiguration:      c.Managed,
		OtherConfiguration:        c.Other,
		RouterSelectionPreference: c.Preference,
		RouterLifetime:            c.RouterLifetime,
		ReachableTime:             c.ReachableTime,
		RetransmitTimer:           c.RetransTimer,
	}
	if !l.leads() {
		// What does not forward is no default router (RFC 4861, section 6.2.5).
		h.RouterLifetime = 0
	}
	if h.RouterLifetime == 0 {
		// RFC 4191, section 2.2.
		h.RouterSelectionPreference = Medium
	}
	return h
}

func (c Config) options(l Link) []ndp.Option {
	var o []ndp.Option
	if !c.NoSourceLLA && !l.MAC.IsZero() {
		o = append(o, &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: l.MAC.HardwareAddr()})
	}
	if c.MTU != 0 {
		o = append(o, ndp.NewMTU(uint32(c.mtu(l))))
	}
	for _, p := range c.Prefixes {
		o = append(o, &ndp.PrefixInformation{
			PrefixLength:                   uint8(p.Prefix.Bits()),
			OnLink:                         !p.OffLink,
			AutonomousAddressConfiguration: !p.NoSLAAC,
			ValidLifetime:                  p.Valid,
			PreferredLifetime:              p.Preferred,
			Prefix:                         p.Prefix.Addr(),
		})
	}
	for _, r := range c.Routes {
		lifetime := r.Lifetime
		if !l.Forwarding || r.Prefix.Bits() == 0 && l.NoUplink {
			lifetime = 0 // it is the default route, or none leads anywhere
		}
		o = append(o, &ndp.RouteInformation{
			PrefixLength:  uint8(r.Prefix.Bits()),
			Preference:    r.Preference,
			RouteLifetime: lifetime,
			Prefix:        r.Prefix.Addr(),
		})
	}
	for _, r := range c.RDNSS {
		for servers := r.Servers; len(servers) > 0; {
			n := min(len(servers), (longestOption-8)/16)
			o = append(o, &ndp.RecursiveDNSServer{Lifetime: r.Lifetime, Servers: servers[:n]})
			servers = servers[n:]
		}
	}
	for _, d := range c.DNSSL {
		o = append(o, searchLists(d)...)
	}
	for _, p := range c.PREF64 {
		o = append(o, &ndp.PREF64{Lifetime: p.Lifetime, Prefix: p.Prefix})
	}
	if c.CaptivePortal != "" {
		o = append(o, &ndp.CaptivePortal{URI: c.CaptivePortal})
	}
	return o
}

// mtu is the MTU option's value: never more than the link carries.
func (c Config) mtu(l Link) int {
	if l.MTU >= leastMTU {
		return min(c.MTU, l.MTU)
	}
	return c.MTU
}

// searchLists spreads domains over as many options as they need.
func searchLists(d DNSSL) []ndp.Option {
	var o []ndp.Option
	var names []string
	room := 0
	for _, name := range d.Domains {
		name = strings.TrimSuffix(name, ".")
		// A name takes one octet more than its labels and dots before it, and
		// one after it (RFC 1035, section 3.1).
		need := len(name) + 2
		if need > room || len(names) == 0 {
			if len(names) > 0 {
				o = append(o, &ndp.DNSSearchList{Lifetime: d.Lifetime, DomainNames: names})
			}
			names, room = nil, longestOption-8
		}
		names = append(names, name)
		room -= need
	}
	return append(o, &ndp.DNSSearchList{Lifetime: d.Lifetime, DomainNames: names})
}

// split deals options out to messages that fit the link. Every message has the
// same header.
func (c Config) split(l Link, header ndp.RouterAdvertisement, options []ndp.Option) []*ndp.RouterAdvertisement {
	mtu := leastMTU
	if l.MTU > leastMTU {
		mtu = l.MTU
	}
	if c.MTU != 0 {
		mtu = c.mtu(l)
	}
	limit := mtu - ipv6HeaderLen - headerLen
	var all []*ndp.RouterAdvertisement
	room := -1
	for _, o := range options {
		need := optionLen(o)
		if need > room {
			all = append(all, &ndp.RouterAdvertisement{})
			*all[len(all)-1] = header
			room = limit
		}
		last := all[len(all)-1]
		last.Options = append(last.Options, o)
		room -= need
	}
	if all == nil {
		all = []*ndp.RouterAdvertisement{&header}
	}
	return all
}

// optionLen is an option's length on the wire in octets.
func optionLen(o ndp.Option) int {
	b, err := ndp.MarshalMessage(&ndp.RouterSolicitation{Options: []ndp.Option{o}})
	if err != nil {
		// Validate has seen to it that every option can be written.
		return longestOption
	}
	return len(b) - solicitationLen
}

// marshalAll writes messages as the kernel wants them, with the checksum left
// to it.
func marshalAll(messages []*ndp.RouterAdvertisement) ([][]byte, error) {
	out := make([][]byte, len(messages))
	for i, m := range messages {
		b, err := ndp.MarshalMessage(m)
		if err != nil {
			return nil, fmt.Errorf("marshal router advertisement: %w", err)
		}
		out[i] = b
	}
	return out, nil
}
