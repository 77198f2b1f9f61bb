package nft

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/sixhost/sixhost/slaac"
)

// Kind says what an [Expr] is. Those that compare a field are spelled as nft
// spells the field.
type Kind string

// The kinds.
const (
	KindIIFName    Kind = "iifname"
	KindOIFName    Kind = "oifname"
	KindEtherSaddr Kind = "ether saddr"
	KindEtherDaddr Kind = "ether daddr"
	KindEtherType  Kind = "ether type"
	KindProtocol   Kind = "meta protocol"
	KindL4Proto    Kind = "meta l4proto"
	KindIPSaddr    Kind = "ip saddr"
	KindIPDaddr    Kind = "ip daddr"
	KindIP6Saddr   Kind = "ip6 saddr"
	KindIP6Daddr   Kind = "ip6 daddr"
	KindICMPType   Kind = "icmp type"
	KindICMPv6Type Kind = "icmpv6 type"
	KindUDPSport   Kind = "udp sport"
	KindUDPDport   Kind = "udp dport"
	KindTCPSport   Kind = "tcp sport"
	KindTCPDport   Kind = "tcp dport"
	KindIP6Nexthdr Kind = "ip6 nexthdr"
	KindIP6Length  Kind = "ip6 length"
	KindARPSMAC    Kind = "arp saddr ether"
	KindARPSIP     Kind = "arp saddr ip"
	KindARPOp      Kind = "arp operation"
	KindTHDport    Kind = "th dport"
	KindPayload    Kind = "payload"
	KindFibDaddr   Kind = "fib daddr type"
	KindCTState    Kind = "ct state"
	KindCTStatus   Kind = "ct status"
	KindMark       Kind = "meta mark"
	KindLimit      Kind = "limit"

	KindCounter    Kind = "counter"
	KindSetMark    Kind = "meta mark set"
	KindAccept     Kind = "accept"
	KindDrop       Kind = "drop"
	KindReturn     Kind = "return"
	KindJump       Kind = "jump"
	KindGoto       Kind = "goto"
	KindReject     Kind = "reject"
	KindMasquerade Kind = "masquerade"
	KindDNAT       Kind = "dnat ip to"
	KindDup        Kind = "dup to"
	KindStampIIF   Kind = "stamp iif"

	// Fields of neighbour discovery that nft has no name for: the target (RFC
	// 4861, section 4.3), the hardware address in an option right behind it, and
	// that in a router solicitation's option (section 4.1).
	KindNDTarget Kind = "@th,64,128"
	KindNDOption Kind = "@th,208,48"
	KindRSOption Kind = "@th,80,48"

	// Fields of the headers below it, by their place, for lookups that decide
	// everything at once: who sent a frame and of what type it is, which no tag
	// hides (octets 6 to 13 of the Ethernet header), and the source of an IPv6
	// packet, the type being known from elsewhere.
	KindEtherFrom Kind = "@ll,48,64"
	KindIP6From   Kind = "@nh,64,128"

	// KindUnknown is what Read found and can't hold, described in Name.
	KindUnknown Kind = "unknown"

	// kindIIFType is what nft puts before link-layer matches in netdev chains.
	kindIIFType Kind = "meta iiftype"
)

// Ethertypes (IEEE 802 numbers) for [Protocol] and [EtherType].
const (
	EthIPv4 uint16 = 0x0800
	EthARP  uint16 = 0x0806
	EthVLAN uint16 = 0x8100
	EthIPv6 uint16 = 0x86dd
	EthQinQ uint16 = 0x88a8
)

// Transport protocols (IANA protocol numbers) for [L4Proto].
const (
	ICMP   uint8 = 1
	TCP    uint8 = 6
	UDP    uint8 = 17
	ICMPv6 uint8 = 58
)

// ICMPv6 types (RFC 4861, section 4; RFC 4443, section 4).
const (
	EchoRequest6   uint8 = 128
	RouterSolicit  uint8 = 133
	RouterAdvert   uint8 = 134
	NeighbrSolicit uint8 = 135
	NeighbrAdvert  uint8 = 136
	Redirect6      uint8 = 137
)

// Base is where a [Payload] match counts its offset from.
type Base string

// The bases.
const (
	LinkHeader      Base = "ll"
	NetworkHeader   Base = "nh"
	TransportHeader Base = "th"
)

// CT is a set of connection tracking states (NF_CT_STATE_BIT).
type CT uint32

// The states.
const (
	Invalid     CT = 1
	Established CT = 2
	Related     CT = 4
	New         CT = 8
)

// Expr is one match or statement. Make it with the functions of this package;
// which fields count depends on the kind. Values compare with ==.
type Expr struct {
	Kind Kind `json:"kind"`
	// Not inverts a match.
	Not bool `json:"not,omitempty"`
	// Set, if not empty, names the set that the field is looked up in.
	Set string `json:"set,omitempty"`
	// Op, if not empty, says that the set is not looked up but changed: "add" or
	// "update". With a rate it matches by how often the same element came.
	Op string `json:"op,omitempty"`
	// Name is an interface, a counter, a chain, or a fib type.
	Name   string       `json:"name,omitempty"`
	MAC    slaac.MAC    `json:"mac,omitzero"`
	Prefix netip.Prefix `json:"prefix,omitzero"`
	// Number is a type, port, protocol, mark, index, or set of states.
	Number uint32 `json:"number,omitempty"`
	// Mask of a mark; 0 means all bits.
	Mask uint32 `json:"mask,omitempty"`
	// Base, Offset in octets, Data and DataMask (hexadecimal; no mask means all
	// bits) of a payload match.
	Base     Base   `json:"base,omitempty"`
	Offset   uint32 `json:"offset,omitempty"`
	Data     string `json:"data,omitempty"`
	DataMask string `json:"data_mask,omitempty"`
	// Rate per Unit, and Burst, of a limit in packets.
	Rate  uint64 `json:"rate,omitempty"`
	Unit  string `json:"unit,omitempty"`
	Burst uint32 `json:"burst,omitempty"`
}

// Invert returns a match that holds where e doesn't.
func Invert(e Expr) Expr { e.Not = !e.Not; return e }

// IIFName matches the interface a packet came in by; in the bridge family, the
// port.
func IIFName(name string) Expr { return Expr{Kind: KindIIFName, Name: name} }

// OIFName matches the interface a packet goes out by.
func OIFName(name string) Expr { return Expr{Kind: KindOIFName, Name: name} }

// In looks a field up in a named set: nft.In(nft.KindEtherSaddr, "guests").
func In(field Kind, set string) Expr { return Expr{Kind: field, Set: set} }

// Fields joins fields to look a tuple up: nft.In(nft.Fields(nft.KindIIFName,
// nft.KindEtherSaddr), "guests").
func Fields(kinds ...Kind) Kind {
	var words []string
	for _, k := range kinds {
		words = append(words, string(k))
	}
	return Kind(strings.Join(words, between))
}

// parts takes a kind apart.
func (k Kind) parts() []Kind {
	var out []Kind
	for w := range strings.SplitSeq(string(k), between) {
		out = append(out, Kind(w))
	}
	return out
}

// Remember puts a field's value into a dynamic set, or makes it stay longer. It
// doesn't match where the set is full.
func Remember(field Kind, set string) Expr { return Expr{Kind: field, Set: set, Op: "update"} }

// OverPer matches what is over the rate for the field's value, as [Limit] does for
// all packets together; a dynamic set keeps account. It doesn't match where the
// set is full.
func OverPer(field Kind, set string, rate uint64, unit string, burst uint32) Expr {
	return Expr{Kind: field, Set: set, Op: "add", Not: true, Rate: rate, Unit: unit, Burst: burst}
}

// EtherSaddr matches the source hardware address. Bridge and netdev only.
func EtherSaddr(m slaac.MAC) Expr { return Expr{Kind: KindEtherSaddr, MAC: m} }

// EtherDaddr matches the destination hardware address.
func EtherDaddr(m slaac.MAC) Expr { return Expr{Kind: KindEtherDaddr, MAC: m} }

// EtherType matches the ethertype as it stands on the wire, EthVLAN in tagged
// frames. Bridge and netdev only.
func EtherType(t uint16) Expr { return Expr{Kind: KindEtherType, Number: uint32(t)} }

// Protocol matches the packet's protocol behind one VLAN tag; in the inet
// family only EthIPv4 and EthIPv6. Matches that need it bring it themselves.
func Protocol(t uint16) Expr { return Expr{Kind: KindProtocol, Number: uint32(t)} }

// L4Proto matches the transport protocol, behind IPv6 extension headers too.
func L4Proto(p uint8) Expr { return Expr{Kind: KindL4Proto, Number: uint32(p)} }

// Saddr matches the source address, of IPv4 or IPv6 as the prefix is.
func Saddr(p netip.Prefix) Expr {
	if p.Addr().Is4() {
		return Expr{Kind: KindIPSaddr, Prefix: p.Masked()}
	}
	return Expr{Kind: KindIP6Saddr, Prefix: p.Masked()}
}

// Daddr matches the destination address, of IPv4 or IPv6 as the prefix is.
func Daddr(p netip.Prefix) Expr {
	if p.Addr().Is4() {
		return Expr{Kind: KindIPDaddr, Prefix: p.Masked()}
	}
	return Expr{Kind: KindIP6Daddr, Prefix: p.Masked()}
}

// SaddrIs matches one source address.
func SaddrIs(a netip.Addr) Expr { return Saddr(netip.PrefixFrom(a, a.BitLen())) }

// DaddrIs matches one destination address.
func DaddrIs(a netip.Addr) Expr { return Daddr(netip.PrefixFrom(a, a.BitLen())) }

// IP6Nexthdr matches the first next header field, whatever comes behind.
func IP6Nexthdr(p uint8) Expr { return Expr{Kind: KindIP6Nexthdr, Number: uint32(p)} }

// IP6Length matches the length of what follows the IPv6 header.
func IP6Length(n uint16) Expr { return Expr{Kind: KindIP6Length, Number: uint32(n)} }

// ICMPType matches ICMP over IPv4 by type.
func ICMPType(t uint8) Expr { return Expr{Kind: KindICMPType, Number: uint32(t)} }

// ICMPv6Type matches ICMPv6 by type.
func ICMPv6Type(t uint8) Expr { return Expr{Kind: KindICMPv6Type, Number: uint32(t)} }

// UDPSport matches the source port of UDP.
func UDPSport(p uint16) Expr { return Expr{Kind: KindUDPSport, Number: uint32(p)} }

// UDPDport matches the destination port of UDP.
func UDPDport(p uint16) Expr { return Expr{Kind: KindUDPDport, Number: uint32(p)} }

// TCPSport matches the source port of TCP.
func TCPSport(p uint16) Expr { return Expr{Kind: KindTCPSport, Number: uint32(p)} }

// TCPDport matches the destination port of TCP.
func TCPDport(p uint16) Expr { return Expr{Kind: KindTCPDport, Number: uint32(p)} }

// Payload matches octets at an offset. mask is nil or as long as data, at most
// 16 octets. For fields that have a function of their own use that: nft knows
// the field by its place, and so Read does.
func Payload(base Base, offset uint32, data, mask []byte) Expr {
	return Expr{Kind: KindPayload, Base: base, Offset: offset, Data: hex.EncodeToString(data), DataMask: hex.EncodeToString(mask)}
}

// NDTarget matches the target address of a neighbour solicitation or
// advertisement or a redirect; it goes behind [ICMPv6Type] (RFC 4861, section
// 4.3: octets 8 to 23 of the message).
func NDTarget(p netip.Prefix) Expr {
	p = p.Masked()
	addr := p.Addr().As16()
	whole := (p.Bits() + 7) / 8
	mask := make([]byte, whole)
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	if p.Bits()%8 == 0 {
		mask = nil
	}
	return Payload(TransportHeader, 8, addr[:whole], mask)
}

// FibDaddr matches what the routing table says of the destination: "local",
// "broadcast", "multicast", "unicast". The families inet, ip and ip6 only.
func FibDaddr(typ string) Expr { return Expr{Kind: KindFibDaddr, Name: typ} }

// CTState matches any of the connection tracking states.
func CTState(any CT) Expr { return Expr{Kind: KindCTState, Number: uint32(any)} }

// Mark matches the packet mark; mask 0 means all bits.
func Mark(value, mask uint32) Expr { return Expr{Kind: KindMark, Number: value, Mask: mask} }

// Limit matches while there are at most so many packets per unit ("second",
// "minute", "hour", "day", "week"), with a burst on top; inverted, those over
// it. nft's own default burst is 5.
func Limit(rate uint64, unit string, burst uint32) Expr {
	return Expr{Kind: KindLimit, Rate: rate, Unit: unit, Burst: burst}
}

// CountIn counts the packet in a named counter of the table.
func CountIn(counter string) Expr { return Expr{Kind: KindCounter, Name: counter} }

// SetMark sets the packet mark.
func SetMark(v uint32) Expr { return Expr{Kind: KindSetMark, Number: v} }

// Accept ends this hook's chain for the packet; other tables still see it.
func Accept() Expr { return Expr{Kind: KindAccept} }

// Drop ends the packet.
func Drop() Expr { return Expr{Kind: KindDrop} }

// Return goes back to the chain that jumped here; in a base chain to its
// policy.
func Return() Expr { return Expr{Kind: KindReturn} }

// Jump goes to a chain and comes back.
func Jump(chain string) Expr { return Expr{Kind: KindJump, Name: chain} }

// Goto goes to a chain and doesn't come back.
func Goto(chain string) Expr { return Expr{Kind: KindGoto, Name: chain} }

// Reject drops the packet and answers "administratively prohibited": ICMP code
// 13 (RFC 1812, section 5.2.7.1), ICMPv6 code 1 (RFC 4443, section 3.1). The
// families inet, ip and ip6 only.
func Reject() Expr { return Expr{Kind: KindReject} }

// CTDNAT matches packets of connections whose destination was replaced.
func CTDNAT() Expr { return Expr{Kind: KindCTStatus, Number: statusDNAT} }

// statusDNAT is IPS_DST_NAT.
const statusDNAT = 1 << 5

// DNAT replaces the destination by an IPv4 address, and the port unless it is 0.
// Chains of type nat at prerouting or output only.
func DNAT(to netip.Addr, port uint16) Expr {
	return Expr{Kind: KindDNAT, Prefix: netip.PrefixFrom(to, to.BitLen()), Number: uint32(port)}
}

// Masquerade replaces the source by the outgoing interface's address. Chains of
// type nat only.
func Masquerade() Expr { return Expr{Kind: KindMasquerade} }

// DupTo sends a copy of the packet out of the link with that index; netdev
// chains only.
func DupTo(index uint32) Expr { return Expr{Kind: KindDup, Number: index} }

// StampIIF writes the number of the interface a packet came in by, as far as
// two octets hold it and in the machine's order, to an offset in the packet. No
// checksum is touched: it is for fields that none covers. nft's language has no
// words for it.
func StampIIF(base Base, offset uint32) Expr {
	return Expr{Kind: KindStampIIF, Base: base, Offset: offset}
}

// field describes a kind that compares octets of the packet.
type field struct {
	base        Base
	offset, len uint32
	protocol    uint16  // that must be matched before; 0 is none
	l4          uint8   // likewise
	set         SetType // whose elements the field's values are
}

// fields is the table of all of them.
func fields(k Kind) (field, bool) {
	switch k {
	case KindEtherDaddr:
		return field{base: LinkHeader, offset: 0, len: 6, set: EtherAddr}, true
	case KindEtherSaddr:
		return field{base: LinkHeader, offset: 6, len: 6, set: EtherAddr}, true
	case KindEtherType:
		return field{base: LinkHeader, offset: 12, len: 2}, true
	case KindIPSaddr:
		return field{base: NetworkHeader, offset: 12, len: 4, protocol: EthIPv4, set: IPv4Addr}, true
	case KindIPDaddr:
		return field{base: NetworkHeader, offset: 16, len: 4, protocol: EthIPv4, set: IPv4Addr}, true
	case KindIP6Saddr:
		return field{base: NetworkHeader, offset: 8, len: 16, protocol: EthIPv6, set: IPv6Addr}, true
	case KindIP6Daddr:
		return field{base: NetworkHeader, offset: 24, len: 16, protocol: EthIPv6, set: IPv6Addr}, true
	case KindIP6Nexthdr:
		return field{base: NetworkHeader, offset: 6, len: 1, protocol: EthIPv6, set: INetProto}, true
	case KindIP6Length:
		return field{base: NetworkHeader, offset: 4, len: 2, protocol: EthIPv6}, true
	case KindARPOp:
		return field{base: NetworkHeader, offset: 6, len: 2, protocol: EthARP}, true
	case KindARPSMAC:
		return field{base: NetworkHeader, offset: 8, len: 6, protocol: EthARP, set: EtherAddr}, true
	case KindARPSIP:
		return field{base: NetworkHeader, offset: 14, len: 4, protocol: EthARP, set: IPv4Addr}, true
	case KindTHDport:
		return field{base: TransportHeader, offset: 2, len: 2, set: INetService}, true
	case KindNDTarget:
		return field{base: TransportHeader, offset: 8, len: 16, set: NDTargets}, true
	case KindNDOption:
		return field{base: TransportHeader, offset: 26, len: 6, set: NDOptionMAC}, true
	case KindRSOption:
		return field{base: TransportHeader, offset: 10, len: 6, set: RSOptionMAC}, true
	case KindEtherFrom:
		return field{base: LinkHeader, offset: 6, len: 8, set: EtherFrom}, true
	case KindIP6From:
		return field{base: NetworkHeader, offset: 8, len: 16, set: IP6From}, true
	case KindICMPType:
		return field{base: TransportHeader, offset: 0, len: 1, protocol: EthIPv4, l4: ICMP}, true
	case KindICMPv6Type:
		return field{base: TransportHeader, offset: 0, len: 1, protocol: EthIPv6, l4: ICMPv6, set: ICMPv6Types}, true
	case KindUDPSport:
		return field{base: TransportHeader, offset: 0, len: 2, l4: UDP}, true
	case KindUDPDport:
		return field{base: TransportHeader, offset: 2, len: 2, l4: UDP}, true
	case KindTCPSport:
		return field{base: TransportHeader, offset: 0, len: 2, l4: TCP}, true
	case KindTCPDport:
		return field{base: TransportHeader, offset: 2, len: 2, l4: TCP}, true
	}
	return field{}, false
}

// fieldKinds lists the kinds that fields knows.
func fieldKinds() []Kind {
	return []Kind{
		KindEtherDaddr, KindEtherSaddr, KindEtherType, KindIPSaddr, KindIPDaddr, KindIP6Saddr, KindIP6Daddr,
		KindIP6Nexthdr, KindIP6Length, KindARPOp, KindARPSMAC, KindARPSIP,
		KindICMPType, KindICMPv6Type, KindUDPSport, KindUDPDport, KindTCPSport, KindTCPDport,
		KindTHDport, KindNDTarget, KindNDOption, KindRSOption, KindEtherFrom, KindIP6From, // last, as others may be at their place
	}
}

// placed reports whether a kind is a field known by its place, and so only good
// for looking up.
func (k Kind) placed() bool { return k == KindTHDport || strings.HasPrefix(string(k), "@") }

// lookupType is the set type a kind may be looked up in; empty if none.
func (e Expr) lookupType() SetType {
	var types []SetType
	for _, k := range e.Kind.parts() {
		t := IfName
		switch k {
		case KindIIFName, KindOIFName:
		case KindL4Proto:
			t = INetProto
		default:
			f, _ := fields(k)
			t = f.set
		}
		if t == "" {
			return ""
		}
		types = append(types, t)
	}
	return Concat(types...)
}

// check looks at one expression by itself and in its table.
func (e Expr) check(t *Table) error {
	if e.Set != "" {
		i := slices.IndexFunc(t.Sets, func(s Set) bool { return s.Name == e.Set })
		switch {
		case i < 0:
			return fmt.Errorf("set %s is not in the table", e.Set)
		case e.lookupType() != t.Sets[i].Type:
			return fmt.Errorf("set %s is of type %s", e.Set, t.Sets[i].Type)
		case e.Op != "" && !t.Sets[i].Dynamic:
			return fmt.Errorf("set %s is not dynamic", e.Set)
		case !slices.Contains([]string{"", "add", "update"}, e.Op):
			return fmt.Errorf("operation %q: unknown", e.Op)
		}
		if _, ok := limitSeconds(e.Unit); e.Rate != 0 && (!ok || e.Op == "") {
			return fmt.Errorf("%d/%q: want a unit, and a set to keep account in", e.Rate, e.Unit)
		}
		if len(e.Kind.parts()) > 1 {
			for _, k := range e.Kind.parts() {
				if err := (Expr{Kind: k, Set: e.Set}).checkField(t); err != nil {
					return err
				}
			}
			return nil
		}
	} else if e.Kind.placed() {
		return errors.New("is only looked up in sets; compare it as a payload")
	}
	return e.checkField(t)
}

// checkField looks at the rest, of a tuple's field as well.
func (e Expr) checkField(t *Table) error {
	l3family := t.Family == INet || t.Family == IP || t.Family == IP6
	switch e.Kind {
	case KindIIFName, KindOIFName:
		// A trailing * is nft's wildcard.
		if e.Set == "" && !ValidIfName(strings.TrimSuffix(e.Name, "*")) {
			return fmt.Errorf("%q is not an interface name", e.Name)
		}
	case KindEtherSaddr, KindEtherDaddr, KindEtherType:
		if l3family {
			return fmt.Errorf("family %s has no link-layer header to look at", t.Family)
		}
	case KindIPSaddr, KindIPDaddr, KindIP6Saddr, KindIP6Daddr:
		f, _ := fields(e.Kind)
		if e.Set == "" && (!e.Prefix.IsValid() || e.Prefix.Addr().BitLen() != int(f.len)*8 || e.Prefix.Bits() == 0) {
			return fmt.Errorf("%s is not a prefix of its family longer than 0", e.Prefix)
		}
	case KindPayload:
		data, err1 := hex.DecodeString(e.Data)
		mask, err2 := hex.DecodeString(e.DataMask)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if len(data) == 0 || len(data) > 16 || len(mask) != 0 && len(mask) != len(data) {
			return errors.New("data must have 1 to 16 octets, the mask none or as many")
		}
		if !slices.Contains([]Base{LinkHeader, NetworkHeader, TransportHeader}, e.Base) {
			return fmt.Errorf("base %q: unknown", e.Base)
		}
	case KindFibDaddr:
		if _, ok := fibNumber(e.Name); !ok {
			return fmt.Errorf("%q: unknown", e.Name)
		}
		if !l3family {
			return fmt.Errorf("family %s does not route", t.Family)
		}
	case KindCTState:
		if e.Number == 0 || e.Number&^uint32(Invalid|Established|Related|New) != 0 {
			return fmt.Errorf("states %#x: unknown", e.Number)
		}
	case KindCTStatus:
		if e.Number != statusDNAT || e.Not {
			return fmt.Errorf("status %#x: unknown", e.Number)
		}
	case KindDNAT:
		if !e.Prefix.IsValid() || !e.Prefix.Addr().Is4() || !e.Prefix.IsSingleIP() || e.Number > 65535 || t.Family != INet && t.Family != IP {
			return fmt.Errorf("wants an IPv4 address and a port, in family inet or ip, not %s and %d in %s", e.Prefix, e.Number, t.Family)
		}
	case KindLimit:
		if _, ok := limitSeconds(e.Unit); !ok || e.Rate == 0 {
			return fmt.Errorf("%d/%q: want a rate above 0 and a unit", e.Rate, e.Unit)
		}
	case KindCounter:
		if !slices.Contains(t.Counters, e.Name) {
			return fmt.Errorf("%s is not in the table", e.Name)
		}
	case KindJump, KindGoto:
		if !slices.ContainsFunc(t.Chains, func(c Chain) bool { return c.Name == e.Name && c.Hook == "" }) {
			return fmt.Errorf("%s is not a chain without hook in the table", e.Name)
		}
	case KindReject:
		if !l3family {
			return fmt.Errorf("family %s does not answer", t.Family)
		}
	case KindDup:
		if t.Family != NetDev || e.Number == 0 {
			return fmt.Errorf("wants family netdev and a link's index, not family %s and %d", t.Family, e.Number)
		}
	case KindStampIIF:
		if e.Base != NetworkHeader {
			return fmt.Errorf("base %q: want the network header", e.Base)
		}
	case KindIP6Nexthdr, KindIP6Length, KindARPOp, KindARPSMAC, KindARPSIP, KindTHDport, KindNDTarget, KindNDOption, KindRSOption, KindEtherFrom, KindIP6From:
	case KindProtocol, KindL4Proto, KindICMPType, KindICMPv6Type, KindUDPSport, KindUDPDport, KindTCPSport, KindTCPDport,
		KindMark, KindSetMark, KindAccept, KindDrop, KindReturn, KindMasquerade, kindIIFType:
	case KindUnknown:
		return fmt.Errorf("can't write what is not understood: %s", e.Name)
	default:
		return errors.New("unknown kind")
	}
	return nil
}

// fibNumber is the kernel's RTN_* number of a route type.
func fibNumber(name string) (uint32, bool) {
	i := slices.Index([]string{"unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit"}, name)
	return uint32(i), i >= 0
}

func limitSeconds(unit string) (uint64, bool) {
	switch unit {
	case "second":
		return 1, true
	case "minute":
		return 60, true
	case "hour":
		return 60 * 60, true
	case "day":
		return 24 * 60 * 60, true
	case "week":
		return 7 * 24 * 60 * 60, true
	}
	return 0, false
}
