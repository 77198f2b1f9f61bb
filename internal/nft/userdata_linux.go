package nft

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// What nft keeps as a set's user data, to list the set by: a list of type,
// length, value (libnftnl/udata.h, and the parse and build functions of nft's
// expressions).
const (
	udataByteOrder = 0 // of the key: 0 none, 1 the host's, 2 network order
	udataTypeOf    = 3 // the expression whose type the key has

	exprPayload = 7
	exprMeta    = 9
	exprConcat  = 13

	baseLink      = 1
	baseNetwork   = 2
	baseTransport = 3
)

// userData describes keys of the type for nft.
func (t SetType) userData() []byte {
	u32 := func(typ byte, n uint32) []byte { return tlv(typ, binary.NativeEndian.AppendUint32(nil, n)) }
	order := uint32(2)
	switch parts := t.parts(); {
	case t == IfName:
		return u32(udataByteOrder, 1)
	case len(parts) == 1 && !t.unnamed():
		return u32(udataByteOrder, order)
	case len(parts) == 1:
		return append(u32(udataByteOrder, order), tlv(udataTypeOf, t.typeOf())...)
	}
	var list []byte
	if t.unnamed() {
		for i, p := range t.parts() {
			list = append(list, tlv(byte(i), p.typeOf())...)
		}
	}
	return append(u32(udataByteOrder, 0), tlv(udataTypeOf, append(u32(0, exprConcat), tlv(1, list)...))...)
}

// typeOf describes the field whose type a part of a key has.
func (t SetType) typeOf() []byte {
	u32 := func(typ byte, n uint32) []byte { return tlv(typ, binary.NativeEndian.AppendUint32(nil, n)) }
	list := func(words ...[]byte) (out []byte) {
		for _, w := range words {
			out = append(out, w...)
		}
		return out
	}
	switch t {
	case IfName:
		return list(u32(0, exprMeta), tlv(1, u32(0, unix.NFT_META_IIFNAME)))
	case EtherAddr:
		// nft's protocol 17 is Ethernet, whose field 2 is the source.
		return list(u32(0, exprPayload), tlv(1, list(u32(0, 17), u32(1, 2))))
	}
	f, _ := fields(Kind(t))
	base := uint32(baseTransport)
	switch f.base {
	case LinkHeader:
		base = baseLink
	case NetworkHeader:
		base = baseNetwork
	}
	return list(u32(0, exprPayload), tlv(1, list(u32(0, 0), u32(1, 0), u32(2, base), u32(3, f.offset*8), u32(4, f.len*8))))
}

// typeOfKey is the way back from number and userData; it returns "" for what is
// none of ours. Keys that are only a number for nft are told by where they stand
// in a packet.
func typeOfKey(number uint32, length int, user []byte) SetType {
	candidates := []SetType{""}
	for shift := 24; shift >= 0; shift -= 6 {
		n := number >> shift & 0x3f
		if n == 0 && candidates[0] == "" {
			continue
		}
		var next []SetType
		for _, p := range []SetType{EtherAddr, IPv4Addr, IPv6Addr, IfName, INetProto, INetService, ICMPv6Types, NDTargets, NDOptionMAC, RSOptionMAC, EtherFrom, IP6From} {
			if p.partNumber() != n {
				continue
			}
			for _, c := range candidates {
				if c == "" {
					next = append(next, p)
				} else {
					next = append(next, Concat(c, p))
				}
			}
		}
		if len(next) == 0 {
			return ""
		}
		candidates = next
	}
	for _, t := range candidates {
		if t.number() == number && t.keyLen() == length && (!t.unnamed() || bytes.Equal(user, t.userData())) {
			return t
		}
	}
	return ""
}

func tlv(typ byte, value []byte) []byte { return append([]byte{typ, byte(len(value))}, value...) }
