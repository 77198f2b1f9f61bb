package nft

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/slaac"
)

// decode is the way back from encode. It is careful by construction: what it
// returns encodes to exactly what it was given, else ok is false.
func decode(f Family, in []expr.Any) (out []Expr, ok bool) {
	k := start(f)
	for rest := in; len(rest) > 0; {
		e, n := decodeOne(f, k, rest)
		if n == 0 {
			return nil, false
		}
		k = k.learn(e)
		out = append(out, e)
		rest = rest[n:]
	}
	out = reduce(f, out)
	again, err := encode(f, out)
	return out, err == nil && len(again) == len(in) && (len(in) == 0 || reflect.DeepEqual(again, in))
}

// decodeOne reads one match or statement and says of how many of the kernel's
// expressions it was made; 0 means it is none of ours.
func decodeOne(f Family, k known, in []expr.Any) (Expr, int) {
	switch x := in[0].(type) {
	case *expr.Verdict:
		for kind, v := range map[Kind]expr.VerdictKind{
			KindAccept: expr.VerdictAccept, KindDrop: expr.VerdictDrop, KindReturn: expr.VerdictReturn,
			KindJump: expr.VerdictJump, KindGoto: expr.VerdictGoto,
		} {
			if v == x.Kind {
				return Expr{Kind: kind, Name: x.Chain}, 1
			}
		}
		return Expr{}, 0
	case *expr.Reject:
		return Reject(), 1
	case *expr.Masq:
		return Masquerade(), 1
	case *expr.Objref:
		return CountIn(x.Name), 1
	case *expr.Limit:
		for _, unit := range []string{"second", "minute", "hour", "day", "week"} {
			if s, _ := limitSeconds(unit); s == uint64(x.Unit) {
				return Expr{Kind: KindLimit, Not: x.Over, Rate: x.Rate, Unit: unit, Burst: x.Burst}, 1
			}
		}
		return Expr{}, 0
	case *expr.Immediate:
		if len(in) > 1 && len(x.Data) == 4 {
			switch y := in[1].(type) {
			case *expr.Meta:
				if y.SourceRegister && y.Key == expr.MetaKeyMARK {
					return SetMark(binary.NativeEndian.Uint32(x.Data)), 2
				}
			case *expr.NAT:
				return DNAT(netip.AddrFrom4([4]byte(x.Data)), 0), 2
			case *expr.Immediate:
				if len(in) > 2 && len(y.Data) == 2 {
					if _, ok := in[2].(*expr.NAT); ok {
						return DNAT(netip.AddrFrom4([4]byte(x.Data)), binary.BigEndian.Uint16(y.Data)), 3
					}
				}
			case *expr.Dup:
				return DupTo(binary.NativeEndian.Uint32(x.Data)), 2
			}
		}
		return Expr{}, 0
	}

	if m, ok := in[0].(*expr.Meta); ok && len(in) > 1 && m.Key == expr.MetaKeyIIF {
		if w, ok := in[1].(*expr.Payload); ok && w.OperationType == expr.PayloadWrite && w.Base == expr.PayloadBaseNetworkHeader && w.Len == 2 {
			return StampIIF(NetworkHeader, w.Offset), 2
		}
	}

	if e, n := decodeLookup(f, k, in); n > 0 {
		return e, n
	}
	// What is left is load, perhaps mask, and compare.
	n := 1
	var mask []byte
	if n < len(in) {
		if b, ok := in[n].(*expr.Bitwise); ok {
			mask = b.Mask
			n++
		}
	}
	if n == len(in) {
		return Expr{}, 0
	}
	var e Expr
	var data []byte
	switch x := in[n].(type) {
	case *expr.Cmp:
		e.Not, data = x.Op == expr.CmpOpNeq, x.Data
	default:
		return Expr{}, 0
	}
	n++
	var ok bool
	switch x := in[0].(type) {
	case *expr.Meta:
		ok = e.fromMeta(f, x, mask, data)
	case *expr.Payload:
		ok = e.fromPayload(k, x, mask, data)
	case *expr.Fib:
		e.Kind = KindFibDaddr
		for _, t := range []string{"unspec", "unicast", "local", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit"} {
			if num, _ := fibNumber(t); bytes.Equal(native(num), data) {
				e.Name, ok = t, true
			}
		}
	case *expr.Ct:
		if len(mask) == 4 && x.Key == expr.CtKeySTATUS {
			e.Kind, e.Number, ok = KindCTStatus, binary.NativeEndian.Uint32(mask), true
			e.Not = !e.Not
		} else if len(mask) == 4 {
			e.Kind, e.Number, ok = KindCTState, binary.NativeEndian.Uint32(mask), true
			e.Not = !e.Not
		}
	}
	if !ok {
		return Expr{}, 0
	}
	return e, n
}

// decodeLookup reads loads that end in a lookup, or in a change of a set.
func decodeLookup(f Family, k known, in []expr.Any) (Expr, int) {
	var e Expr
	n := slices.IndexFunc(in, func(x expr.Any) bool {
		switch x.(type) {
		case *expr.Meta, *expr.Payload:
			return false
		}
		return true
	})
	if n < 1 {
		return Expr{}, 0
	}
	switch x := in[n].(type) {
	case *expr.Lookup:
		e.Not, e.Set = x.Invert, x.SetName
	case *expr.Dynset:
		e.Set = x.SetName
		switch x.Operation {
		case unix.NFT_DYNSET_OP_ADD:
			e.Op = "add"
		case unix.NFT_DYNSET_OP_UPDATE:
			e.Op = "update"
		default:
			return Expr{}, 0
		}
		if len(x.Exprs) > 1 {
			return Expr{}, 0
		}
		for _, y := range x.Exprs {
			l, ok := y.(*expr.Limit)
			if !ok {
				return Expr{}, 0
			}
			limit, n := decodeOne(f, k, []expr.Any{l})
			if n == 0 {
				return Expr{}, 0
			}
			e.Not, e.Rate, e.Unit, e.Burst = limit.Not, limit.Rate, limit.Unit, limit.Burst
		}
	default:
		return Expr{}, 0
	}
	var kinds []Kind
	for _, x := range in[:n] {
		part := Expr{Set: e.Set}
		ok := false
		switch x := x.(type) {
		case *expr.Meta:
			ok = part.fromMeta(f, x, nil, nil)
		case *expr.Payload:
			ok = part.fromPayload(k, x, nil, nil)
		}
		if !ok {
			return Expr{}, 0
		}
		kinds = append(kinds, part.Kind)
	}
	e.Kind = Fields(kinds...)
	return e, n + 1
}

func (e *Expr) fromMeta(f Family, x *expr.Meta, mask, data []byte) bool {
	switch x.Key {
	case expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME:
		e.Kind = KindIIFName
		if x.Key == expr.MetaKeyOIFNAME {
			e.Kind = KindOIFName
		}
		switch {
		case e.Set != "":
			return true
		case len(data) == ifNameSize:
			e.Name = strings.TrimRight(string(data), "\x00")
		default:
			e.Name = string(data) + "*"
		}
		return true
	case expr.MetaKeyL4PROTO:
		e.Kind = KindL4Proto
		if e.Set != "" {
			return true
		}
		return e.number(data)
	case expr.MetaKeyPROTOCOL:
		e.Kind = KindProtocol
		return e.number(data)
	case expr.MetaKeyNFPROTO:
		e.Kind = KindProtocol
		switch {
		case f != INet || len(data) != 1:
			return false
		case data[0] == unix.NFPROTO_IPV4:
			e.Number = uint32(EthIPv4)
			return true
		case data[0] == unix.NFPROTO_IPV6:
			e.Number = uint32(EthIPv6)
			return true
		}
	case expr.MetaKeyIIFTYPE:
		if len(data) == 2 {
			e.Kind, e.Number = kindIIFType, uint32(binary.NativeEndian.Uint16(data))
			return true
		}
	case expr.MetaKeyMARK:
		if len(data) == 4 {
			e.Kind, e.Number = KindMark, binary.NativeEndian.Uint32(data)
			if len(mask) == 4 {
				e.Mask = binary.NativeEndian.Uint32(mask)
			}
			return true
		}
	}
	return false
}

func (e *Expr) fromPayload(k known, x *expr.Payload, mask, data []byte) bool {
	var base Base
	switch x.Base {
	case expr.PayloadBaseLLHeader:
		base = LinkHeader
	case expr.PayloadBaseNetworkHeader:
		base = NetworkHeader
	case expr.PayloadBaseTransportHeader:
		base = TransportHeader
	default:
		return false
	}
	for _, kind := range fieldKinds() {
		fd, _ := fields(kind)
		if fd.base != base || fd.offset != x.Offset || fd.protocol != 0 && fd.protocol != k.protocol || fd.l4 != 0 && fd.l4 != k.l4 {
			continue
		}
		isAddr := kind == KindIPSaddr || kind == KindIPDaddr || kind == KindIP6Saddr || kind == KindIP6Daddr
		if fd.len != x.Len && !(isAddr && x.Len < fd.len) {
			continue
		}
		if kind.placed() && e.Set == "" {
			continue
		}
		e.Kind = kind
		switch {
		case e.Set != "":
			return x.Len == fd.len
		case isAddr:
			return e.prefix(int(fd.len), mask, data)
		case fd.len == 6 && mask == nil && len(data) == 6:
			e.MAC = slaac.MAC(data)
			return true
		case fd.len < 6 && mask == nil:
			return e.number(data)
		}
		break
	}
	if e.Set != "" {
		return false
	}
	e.Kind, e.Base, e.Offset = KindPayload, base, x.Offset
	e.Data, e.DataMask = hex.EncodeToString(data), hex.EncodeToString(mask)
	return true
}

// prefix takes an address comparison apart: data alone of fewer octets than
// the address has, or data with a mask.
func (e *Expr) prefix(length int, mask, data []byte) bool {
	bits := len(data) * 8
	if mask != nil {
		if bits = leadingOnes(mask); bits < 0 {
			return false
		}
	}
	full := make([]byte, length)
	copy(full, data)
	a, ok := netip.AddrFromSlice(full)
	e.Prefix = netip.PrefixFrom(a, bits)
	return ok && e.Prefix.IsValid()
}

// leadingOnes counts them, or returns -1 if ones follow a zero.
func leadingOnes(mask []byte) int {
	n, ended := 0, false
	for i := range len(mask) * 8 {
		switch one := mask[i/8]&(0x80>>(i%8)) != 0; {
		case one && ended:
			return -1
		case one:
			n++
		default:
			ended = true
		}
	}
	return n
}

func (e *Expr) number(data []byte) bool {
	switch len(data) {
	case 1:
		e.Number = uint32(data[0])
	case 2:
		e.Number = uint32(binary.BigEndian.Uint16(data))
	default:
		return false
	}
	return true
}
