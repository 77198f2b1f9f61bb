package wire

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

var (
	server   = MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	provider = MAC{0x00, 0x00, 0x5e, 0x00, 0x53, 0x01}
	guest    = MAC{0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc}
	stranger = MAC{0x52, 0x54, 0x00, 0x11, 0x22, 0x33}
	everyone = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes = MAC{0x33, 0x33, 0, 0, 0, 1}

	prefix    = netip.MustParsePrefix("2001:db8:1:3::/64")
	host      = netip.MustParseAddr("2001:db8:1:3::2")
	hostLL    = netip.MustParseAddr("fe80::921b:eff:fe12:3456")
	gateway   = netip.MustParseAddr("fe80::1")
	guestAddr = netip.MustParseAddr("2001:db8:1:3:5054:ff:feaa:bbcc")
	guestLL   = netip.MustParseAddr("fe80::5054:ff:feaa:bbcc")
	nodes     = netip.MustParseAddr("ff02::1")
	routers   = netip.MustParseAddr("ff02::2")
	far       = netip.MustParseAddr("2001:db8:2::80")
	unset     = netip.IPv6Unspecified()
	host4     = netip.MustParseAddr("203.0.113.10")
	gateway4  = netip.MustParseAddr("203.0.113.1")
)

// cat joins bytes, byte slices, MACs, addresses and uint16s.
func cat(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case uint16:
			b = binary.BigEndian.AppendUint16(b, p)
		case uint32:
			b = binary.BigEndian.AppendUint32(b, p)
		case []byte:
			b = append(b, p...)
		case string:
			d, err := hex.DecodeString(strings.ReplaceAll(p, " ", ""))
			if err != nil {
				panic(err)
			}
			b = append(b, d...)
		case MAC:
			b = append(b, p[:]...)
		case netip.Addr:
			b = append(b, p.AsSlice()...)
		default:
			panic("cat: unknown type")
		}
	}
	return b
}

func frame(dst, src MAC, typ uint16, payload ...any) []byte {
	return cat(dst, src, typ, cat(payload...))
}

// groupMAC is RFC 2464 7.
func groupMAC(a netip.Addr) MAC {
	b := a.As16()
	return MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// solicited is RFC 4291 2.7.1.
func solicited(a netip.Addr) netip.Addr {
	b := a.As16()
	g := netip.MustParseAddr("ff02::1:ff00:0").As16()
	copy(g[13:], b[13:])
	return netip.AddrFrom16(g)
}

// ip6 builds a packet; next is the protocol of the payload's first header.
func ip6(src, dst netip.Addr, hop, next int, payload ...any) []byte {
	p := cat(payload...)
	return cat("60000000", uint16(len(p)), next, hop, src, dst, p)
}

// icmp6 builds a packet with a good checksum.
func icmp6(src, dst netip.Addr, body ...any) []byte {
	b := cat(body...)
	sum := uint32(protoICMPv6 + len(b))
	add := func(p []byte) {
		for i, c := range p {
			sum += uint32(c) << (8 * (1 - i%2))
		}
	}
	add(src.AsSlice())
	add(dst.AsSlice())
	add(b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return ip6(src, dst, 255, protoICMPv6, b)
}

func lla(typ int, m MAC) []byte { return cat(typ, 1, m) }

func ns(src, dst, target netip.Addr, opts ...any) []byte {
	return icmp6(src, dst, 135, 0, "0000 00000000", target, cat(opts...))
}

func na(src, dst, target netip.Addr, opts ...any) []byte {
	return icmp6(src, dst, 136, 0, "0000 60000000", target, cat(opts...))
}

func rs(src netip.Addr, opts ...any) []byte {
	return icmp6(src, routers, 133, 0, "0000 00000000", cat(opts...))
}

func ra(src, dst netip.Addr, opts ...any) []byte {
	return icmp6(src, dst, 134, 0, "0000 40 00 0708 00000000 00000000", cat(opts...))
}

func mld2(src netip.Addr, groups ...netip.Addr) []byte {
	body := cat(143, 0, "0000 0000", uint16(len(groups)))
	for _, g := range groups {
		body = cat(body, "04000000", g)
	}
	report := netip.MustParseAddr("ff02::16")
	p := icmp6(src, report, body)
	// A router alert in a hop-by-hop header, hop limit 1.
	return ip6(src, report, 1, protoHopByHop, protoICMPv6, 0, "0502 0000 0100", p[40:])
}

// behind puts extension headers between an IPv6 header and its payload.
func behind(p []byte, first int, headers ...any) []byte {
	h := cat(headers...)
	out := slices.Concat(p[:40], h, p[40:])
	out[6] = byte(first)
	binary.BigEndian.PutUint16(out[4:], uint16(len(out)-40))
	return out
}

func arp(op int, sha MAC, spa netip.Addr, tha MAC, tpa netip.Addr) []byte {
	return cat("0001 0800 06 04", uint16(op), sha, spa, tha, tpa)
}

func ip4(src, dst netip.Addr, proto int, payload ...any) []byte {
	p := cat(payload...)
	return cat("4500", uint16(20+len(p)), "0000 0000 40", proto, "0000", src, dst, p)
}

func udp(from, to uint16, payload ...any) []byte {
	p := cat(payload...)
	return cat(from, to, uint16(8+len(p)), "0000", p)
}

func dhcp(chaddr MAC, options ...any) []byte {
	b := make([]byte, 236)
	copy(b, cat(1, 1, 6, 0))
	copy(b[28:], chaddr[:])
	return cat(b, "63825363", cat(options...), 255)
}

func newJudge(t testing.TB, change func(*Config)) *Judge {
	t.Helper()
	cfg := Config{
		Server:   server,
		Provider: []MAC{provider},
		Guests:   []MAC{guest},
		Prefix:   prefix,
		Host:     []netip.Addr{host, host4},
		Gateways: []netip.Addr{gateway, gateway4},
	}
	if change != nil {
		change(&cfg)
	}
	j, err := NewJudge(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return j
}
