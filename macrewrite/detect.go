package macrewrite

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// DetectConfig says where [Detect] looks.
type DetectConfig struct {
	// Uplink is the NIC towards the provider, whether it is a port of a bridge or
	// not. Required.
	Uplink string
	// MAC is its hardware address. Required.
	MAC slaac.MAC
	// Prefix is the /64. Required.
	Prefix netip.Prefix
	// Gateway is the provider's router, as the default route names it. Required.
	Gateway netip.Addr
	// Destination is an address far away, whose packets the router would pass on;
	// nothing reaches it. The zero value means 2001:500:2f::f, a root server.
	Destination netip.Addr
	// Used reports addresses of the prefix that somebody has, which are not taken
	// for the question. May be nil.
	Used func(netip.Addr) bool
	// Wait is how long an answer may take, of each of three questions; 0 means
	// one second.
	Wait time.Duration

	// random gives the lower half of an address; a test sets it.
	random func() [8]byte
}

// Detection is what [Detect] found.
type Detection struct {
	// Kind is empty where it is not known: the configuration has to say then.
	Kind Kind `json:"kind,omitempty"`
	// How it is known, or why it is not, in a sentence.
	How string `json:"how"`
	// Probe is the address that was asked from.
	Probe netip.Addr `json:"probe,omitzero"`
}

func (c DetectConfig) check() error {
	refuse := func(subject, format string, args ...any) error {
		return &plan.Refusal{Subject: subject, Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case c.Uplink == "":
		return refuse("uplink", "is missing; name the interface towards the provider")
	case c.MAC.IsZero() || c.MAC.IsMulticast():
		return refuse("MAC", "%s is not that of %s", c.MAC, c.Uplink)
	case !c.Prefix.IsValid() || !c.Prefix.Addr().Is6() || c.Prefix.Bits() != 64:
		return refuse("prefix", "%s is not an IPv6 /64", c.Prefix)
	case !c.Gateway.Is6() || c.Gateway.IsMulticast() || c.Gateway.IsUnspecified():
		return refuse("gateway", "%s is not the IPv6 address of a router", c.Gateway)
	case c.Destination.IsValid() && !c.Destination.Is6():
		return refuse("destination", "%s is not an IPv6 address", c.Destination)
	}
	return nil
}

// probeAddr is a fresh address of the /64: no guest's, as its lower half is
// random and not made from a MAC.
func (c DetectConfig) probeAddr() netip.Addr {
	b := c.Prefix.Masked().Addr().As16()
	for {
		id := c.random()
		id[3] ^= 0x5a // ff fe stand in the middle of what is made from a MAC
		copy(b[8:], id[:])
		a := netip.AddrFrom16(b)
		if _, fromMAC := slaac.MACFromAddr(a); fromMAC || slaac.Reserved(id) || a == c.Gateway || c.Used != nil && c.Used(a) {
			continue
		}
		return a
	}
}

// question is an echo request that dies at the first router, which tells the
// address that it came from.
func (c DetectConfig) question(probe netip.Addr, gateway slaac.MAC, id uint16) packet {
	return packet{
		dstMAC: gateway, srcMAC: c.MAC, src: probe, dst: c.Destination, hops: 1,
		icmp: binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{typeEchoRequest, 0, 0, 0}, id), 1),
	}
}

// judge says what a frame says about the kind, if anything.
func (c DetectConfig) judge(f []byte, probe netip.Addr, id uint16) (Detection, bool) {
	p, ok := parsePacket(f)
	if !ok || p.srcMAC == c.MAC {
		return Detection{}, false
	}
	if target, ok := p.target(typeSolicitation); ok && target == probe {
		return Detection{Kind: OnLink, Probe: probe, How: fmt.Sprintf(
			"%s (%s) asked the segment who has %s, an address of the /64 that nobody has, to send the answer to a question from it", p.src, p.srcMAC, probe)}, true
	}
	// The packet in question stands behind four unused octets (RFC 4443, section
	// 3.3): its source and its echo's identifier are ours.
	const quoted = 8
	// A router without a way to the destination says so, as good an answer.
	if p.dstMAC != c.MAC || p.dst != probe || p.icmp[0] != typeTimeExceeded && p.icmp[0] != typeUnreachable || len(p.icmp) < quoted+ip6Header+6 {
		return Detection{}, false
	}
	q := p.icmp[quoted:]
	src, dst := probe.As16(), c.Destination.As16()
	if !slices.Equal(q[8:24], src[:]) || !slices.Equal(q[24:40], dst[:]) || q[40] != typeEchoRequest || binary.BigEndian.Uint16(q[44:]) != id {
		return Detection{}, false
	}
	return Detection{Kind: Routed, Probe: probe, How: fmt.Sprintf(
		"%s sent its answer for %s, an address of the /64 that nobody has, straight to %s and asked nobody for it", p.src, probe, c.MAC)}, true
}
