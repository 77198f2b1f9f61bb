package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Errors of the decoders.
var (
	// ErrNotRA: well formed as far as looked at, but no router advertisement.
	ErrNotRA = errors.New("not a router advertisement")
	// ErrTruncated: a router advertisement that ends too early, or an option
	// whose length can't be.
	ErrTruncated = errors.New("truncated or malformed router advertisement")
)

// Infinity is how lifetimes of 0xffffffff seconds are given.
const Infinity = time.Duration(1<<63 - 1)

// RA is a router advertisement (RFC 4861 4.2) as it stood on the wire.
type RA struct {
	At time.Time `json:"at,omitzero"` // when it was caught

	// What carried it; zero values after ParseRA.
	From        MAC        `json:"from,omitzero"`
	Source      netip.Addr `json:"source,omitzero"`
	Destination netip.Addr `json:"destination,omitzero"`
	IPHopLimit  uint8      `json:"ip_hop_limit"` // must be 255
	ChecksumOK  bool       `json:"checksum_ok"`

	HopLimit       uint8         `json:"hop_limit"` // for hosts to use; 0: unspecified
	Managed        bool          `json:"managed"`
	Other          bool          `json:"other"`
	HomeAgent      bool          `json:"home_agent"`
	Proxy          bool          `json:"proxy"`      // RFC 4389
	Preference     int           `json:"preference"` // RFC 4191 2.1: 1 high, 0 medium, -1 low, -2 reserved
	RouterLifetime time.Duration `json:"router_lifetime"`
	Reachable      time.Duration `json:"reachable"`
	Retransmit     time.Duration `json:"retransmit"`

	SourceLLA MAC      `json:"source_lla,omitzero"` // zero where the option is missing
	MTU       uint32   `json:"mtu,omitempty"`       // 0 where the option is missing
	Prefixes  []Prefix `json:"prefixes,omitempty"`
	Routes    []Route  `json:"routes,omitempty"`
	RDNSS     []RDNSS  `json:"rdnss,omitempty"`
	DNSSL     []DNSSL  `json:"dnssl,omitempty"`
	PREF64    []PREF64 `json:"pref64,omitempty"`
	Unknown   []uint8  `json:"unknown,omitempty"` // types of options not decoded
}

// Prefix is a prefix information option (RFC 4861 4.6.2).
type Prefix struct {
	Prefix     netip.Prefix  `json:"prefix"`
	OnLink     bool          `json:"on_link"`
	Autonomous bool          `json:"autonomous"`
	RouterAddr bool          `json:"router_addr"` // RFC 6275
	Valid      time.Duration `json:"valid"`
	Preferred  time.Duration `json:"preferred"`
}

// Route is a route information option (RFC 4191 2.3).
type Route struct {
	Prefix     netip.Prefix  `json:"prefix"`
	Preference int           `json:"preference"`
	Lifetime   time.Duration `json:"lifetime"`
}

// RDNSS is a recursive DNS server option (RFC 8106 5.1).
type RDNSS struct {
	Servers  []netip.Addr  `json:"servers"`
	Lifetime time.Duration `json:"lifetime"`
}

// DNSSL is a DNS search list option (RFC 8106 5.2).
type DNSSL struct {
	Domains  []string      `json:"domains"` // without the final dot
	Lifetime time.Duration `json:"lifetime"`
}

// PREF64 is a NAT64 prefix option (RFC 8781 4).
type PREF64 struct {
	Prefix   netip.Prefix  `json:"prefix"`
	Lifetime time.Duration `json:"lifetime"` // a multiple of 8 s
}

// ParseRAFrame decodes a router advertisement in an Ethernet frame, behind VLAN
// tags and extension headers. Errors match ErrNotRA or ErrTruncated.
func ParseRAFrame(frame []byte) (RA, error) {
	e, ok := splitEthernet(frame)
	if !ok || e.typ != typeIPv6 {
		return RA{}, fmt.Errorf("frame without IPv6: %w", ErrNotRA)
	}
	p, ok := splitIPv6(e.payload)
	if !ok || !p.whole || p.later || p.proto != protoICMPv6 {
		return RA{}, fmt.Errorf("packet without ICMPv6: %w", ErrNotRA)
	}
	ra, err := ParseRA(p.payload)
	if err != nil {
		return RA{}, fmt.Errorf("from %v: %w", p.src, err)
	}
	ra.From, ra.Source, ra.Destination, ra.IPHopLimit = e.src, p.src, p.dst, p.hop
	ra.ChecksumOK = checksumOK(p)
	return ra, nil
}

// checksumOK sums up the pseudo-header (RFC 8200 8.1) and the message.
func checksumOK(p ipv6Packet) bool {
	var sum uint64
	add := func(b []byte) {
		for ; len(b) >= 2; b = b[2:] {
			sum += uint64(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			sum += uint64(b[0]) << 8
		}
	}
	src, dst := p.src.As16(), p.dst.As16()
	add(src[:])
	add(dst[:])
	add(p.payload)
	sum += uint64(len(p.payload)) + protoICMPv6
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return sum == 0xffff
}

// ParseRA decodes a router advertisement from its ICMPv6 header on. Errors
// match ErrNotRA or ErrTruncated.
func ParseRA(b []byte) (RA, error) {
	if len(b) < 2 || b[0] != icmpRA || b[1] != 0 {
		return RA{}, ErrNotRA
	}
	if len(b) < 16 {
		return RA{}, fmt.Errorf("%w: %d bytes", ErrTruncated, len(b))
	}
	ra := RA{
		HopLimit:       b[4],
		Managed:        b[5]&0x80 != 0,
		Other:          b[5]&0x40 != 0,
		HomeAgent:      b[5]&0x20 != 0,
		Preference:     preference(b[5]),
		Proxy:          b[5]&0x04 != 0,
		RouterLifetime: time.Duration(binary.BigEndian.Uint16(b[6:])) * time.Second,
		Reachable:      time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Millisecond,
		Retransmit:     time.Duration(binary.BigEndian.Uint32(b[12:])) * time.Millisecond,
	}
	var bad error
	ok := eachOption(b[16:], func(typ byte, body []byte) {
		if err := ra.option(typ, body); err != nil && bad == nil {
			bad = fmt.Errorf("%w: option %d: %v", ErrTruncated, typ, err)
		}
	})
	if !ok {
		return RA{}, fmt.Errorf("%w: option length", ErrTruncated)
	}
	if bad != nil {
		return RA{}, bad
	}
	return ra, nil
}

// option decodes one option, whose body starts behind type and length.
func (ra *RA) option(typ byte, b []byte) error {
	wrong := func() error { return fmt.Errorf("%d bytes", len(b)+2) }
	switch typ {
	case 1: // source link-layer address
		if len(b) != 6 {
			return wrong()
		}
		ra.SourceLLA = MAC(b)
	case 3: // prefix information
		if len(b) != 30 || b[0] > 128 {
			return wrong()
		}
		ra.Prefixes = append(ra.Prefixes, Prefix{
			Prefix:     netip.PrefixFrom(netip.AddrFrom16([16]byte(b[14:30])), int(b[0])),
			OnLink:     b[1]&0x80 != 0,
			Autonomous: b[1]&0x40 != 0,
			RouterAddr: b[1]&0x20 != 0,
			Valid:      seconds(b[2:]),
			Preferred:  seconds(b[6:]),
		})
	case 5: // MTU
		if len(b) != 6 {
			return wrong()
		}
		ra.MTU = binary.BigEndian.Uint32(b[2:])
	case 24: // route information, whose prefix may be cut to what is needed
		if len(b) > 22 || b[0] > 128 || len(b) < 6+(int(b[0])+63)/64*8 {
			return wrong()
		}
		var a [16]byte
		copy(a[:], b[6:])
		ra.Routes = append(ra.Routes, Route{
			Prefix:     netip.PrefixFrom(netip.AddrFrom16(a), int(b[0])),
			Preference: preference(b[1]),
			Lifetime:   seconds(b[2:]),
		})
	case 25: // recursive DNS servers
		if len(b) < 22 || (len(b)-6)%16 != 0 {
			return wrong()
		}
		o := RDNSS{Lifetime: seconds(b[2:])}
		for s := b[6:]; len(s) > 0; s = s[16:] {
			o.Servers = append(o.Servers, netip.AddrFrom16([16]byte(s[:16])))
		}
		ra.RDNSS = append(ra.RDNSS, o)
	case 31: // DNS search list
		if len(b) < 14 {
			return wrong()
		}
		names, err := searchList(b[6:])
		if err != nil {
			return err
		}
		ra.DNSSL = append(ra.DNSSL, DNSSL{Domains: names, Lifetime: seconds(b[2:])})
	case 38: // PREF64
		if len(b) != 14 {
			return wrong()
		}
		head := binary.BigEndian.Uint16(b)
		// RFC 8781 4: the prefix length code, and a lifetime in units of 8 s.
		lengths := []int{96, 64, 56, 48, 40, 32}
		plc := int(head & 7)
		if plc >= len(lengths) {
			return fmt.Errorf("prefix length code %d", plc)
		}
		var a [16]byte
		copy(a[:], b[2:14])
		ra.PREF64 = append(ra.PREF64, PREF64{
			Prefix:   netip.PrefixFrom(netip.AddrFrom16(a), lengths[plc]),
			Lifetime: time.Duration(head>>3) * 8 * time.Second,
		})
	default:
		ra.Unknown = append(ra.Unknown, typ)
	}
	return nil
}

// preference reads the two bits of RFC 4191 2.1 as a signed number.
func preference(flags byte) int { return int(int8(flags<<3) >> 6) }

func seconds(b []byte) time.Duration {
	n := binary.BigEndian.Uint32(b)
	if n == 0xffffffff {
		return Infinity
	}
	return time.Duration(n) * time.Second
}

// searchList reads names of RFC 1035 3.1 without compression, padded with zeros
// (RFC 8106 5.2).
func searchList(b []byte) ([]string, error) {
	var names []string
	var labels []string
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 {
			if len(labels) > 0 {
				names = append(names, strings.Join(labels, "."))
				labels = nil
			}
			b = b[1:]
			continue
		}
		if n > 63 || len(b) < 1+n {
			return nil, fmt.Errorf("label of %d bytes", n)
		}
		labels = append(labels, string(b[1:1+n]))
		b = b[1+n:]
	}
	if len(labels) > 0 {
		return nil, errors.New("name without an end")
	}
	return names, nil
}
