package nft

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// reg is the register every comparison goes through, as nft does it.
const reg = unix.NFT_REG_1

// objCounter is NFT_OBJECT_COUNTER.
const objCounter = 1

// encode returns the kernel's expressions of a rule.
func encode(f Family, in []Expr) ([]expr.Any, error) {
	full, err := expand(f, in)
	if err != nil {
		return nil, err
	}
	var out []expr.Any
	for _, e := range full {
		x, err := e.encode(f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Kind, err)
		}
		out = append(out, x...)
	}
	return out, nil
}

func (e Expr) encode(f Family) ([]expr.Any, error) {
	verdict := func(k expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: k, Chain: e.Name}} }
	switch e.Kind {
	case KindAccept:
		return verdict(expr.VerdictAccept), nil
	case KindDrop:
		return verdict(expr.VerdictDrop), nil
	case KindReturn:
		return verdict(expr.VerdictReturn), nil
	case KindJump:
		return verdict(expr.VerdictJump), nil
	case KindGoto:
		return verdict(expr.VerdictGoto), nil
	case KindReject:
		switch f {
		case IP:
			return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 13}}, nil
		case IP6:
			return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 1}}, nil
		}
		return []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}}, nil
	case KindMasquerade:
		return []expr.Any{&expr.Masq{}}, nil
	case KindDNAT:
		a := e.Prefix.Addr().As4()
		out := []expr.Any{&expr.Immediate{Register: reg, Data: a[:]}}
		// As the kernel gives it back: a range of one.
		nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: reg, RegAddrMax: reg}
		if e.Number != 0 {
			out = append(out, &expr.Immediate{Register: reg + 1, Data: big16(e.Number)})
			nat.RegProtoMin, nat.RegProtoMax, nat.Specified = reg+1, reg+1, true
		}
		return append(out, nat), nil
	case KindDup:
		return []expr.Any{&expr.Immediate{Register: reg, Data: native(e.Number)}, &expr.Dup{RegDev: reg, IsRegDevSet: true}}, nil
	case KindCounter:
		return []expr.Any{&expr.Objref{Type: objCounter, Name: e.Name}}, nil
	case KindSetMark:
		return []expr.Any{
			&expr.Immediate{Register: reg, Data: native(e.Number)},
			&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: reg},
		}, nil
	case KindStampIIF:
		write := payload(e.Base, e.Offset, 2)
		write.OperationType, write.DestRegister, write.SourceRegister = expr.PayloadWrite, 0, reg
		return []expr.Any{&expr.Meta{Key: expr.MetaKeyIIF, Register: reg}, write}, nil
	case KindLimit:
		secs, ok := limitSeconds(e.Unit)
		if !ok {
			return nil, fmt.Errorf("unit %q: unknown", e.Unit)
		}
		return []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: e.Rate, Over: e.Not, Unit: expr.LimitTime(secs), Burst: e.Burst}}, nil
	}

	if e.Set != "" {
		out, err := e.loads(f)
		if err != nil {
			return nil, err
		}
		if e.Op == "" {
			return append(out, &expr.Lookup{SourceRegister: reg, SetName: e.Set, Invert: e.Not}), nil
		}
		d := &expr.Dynset{SrcRegKey: reg, SetName: e.Set, Operation: unix.NFT_DYNSET_OP_ADD}
		if e.Op == "update" {
			d.Operation = unix.NFT_DYNSET_OP_UPDATE
		}
		if e.Rate != 0 {
			secs, ok := limitSeconds(e.Unit)
			if !ok {
				return nil, fmt.Errorf("unit %q: unknown", e.Unit)
			}
			d.Exprs = []expr.Any{&expr.Limit{Type: expr.LimitTypePkts, Rate: e.Rate, Over: e.Not, Unit: expr.LimitTime(secs), Burst: e.Burst}}
		}
		return append(out, d), nil
	}
	c, err := e.compare(f)
	if err != nil {
		return nil, err
	}
	out := []expr.Any{c.load}
	if c.mask != nil {
		out = append(out, &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: uint32(len(c.mask)), Mask: c.mask, Xor: make([]byte, len(c.mask))})
	}
	op := expr.CmpOpEq
	// "Any of these bits" is "masked is not zero".
	if e.Not != (e.Kind == KindCTState || e.Kind == KindCTStatus) {
		op = expr.CmpOpNeq
	}
	return append(out, &expr.Cmp{Op: op, Register: reg, Data: c.data}), nil
}

// loads returns what brings a field, or those of a tuple, into the registers
// from the first on.
func (e Expr) loads(f Family) ([]expr.Any, error) {
	var out []expr.Any
	at := uint32(0) // in registers of four octets
	for _, k := range e.Kind.parts() {
		c, err := Expr{Kind: k, Set: e.Set}.compare(f)
		if err != nil {
			return nil, err
		}
		octets := uint32(0)
		switch l := c.load.(type) {
		case *expr.Meta:
			l.Register = register(at)
			octets = uint32(Expr{Kind: k}.lookupType().partLen())
		case *expr.Payload:
			l.DestRegister = register(at)
			octets = l.Len
		default:
			return nil, fmt.Errorf("%s can't be looked up", k)
		}
		out = append(out, c.load)
		at += (octets + 3) / 4
	}
	return out, nil
}

// register is the kernel's number of the register of four octets that is so many
// behind the first: every fourth has the number of one of sixteen octets.
func register(at uint32) uint32 {
	if at%4 == 0 {
		return unix.NFT_REG_1 + at/4
	}
	return unix.NFT_REG32_00 + at
}

// comparison is the kernel's view of a match.
type comparison struct {
	load       expr.Any
	mask, data []byte
}

func (e Expr) compare(f Family) (comparison, error) {
	meta := func(k expr.MetaKey, data []byte) (comparison, error) {
		return comparison{load: &expr.Meta{Key: k, Register: reg}, data: data}, nil
	}
	switch e.Kind {
	case KindIIFName:
		return meta(expr.MetaKeyIIFNAME, ifNameData(e.Name))
	case KindOIFName:
		return meta(expr.MetaKeyOIFNAME, ifNameData(e.Name))
	case KindL4Proto:
		return meta(expr.MetaKeyL4PROTO, []byte{uint8(e.Number)})
	case kindIIFType:
		return meta(expr.MetaKeyIIFTYPE, binary.NativeEndian.AppendUint16(nil, uint16(e.Number)))
	case KindProtocol:
		if f != INet {
			return meta(expr.MetaKeyPROTOCOL, big16(e.Number))
		}
		nfproto := byte(unix.NFPROTO_IPV4)
		if e.Number == uint32(EthIPv6) {
			nfproto = unix.NFPROTO_IPV6
		}
		return meta(expr.MetaKeyNFPROTO, []byte{nfproto})
	case KindMark:
		c, err := meta(expr.MetaKeyMARK, native(e.Number))
		if e.Mask != 0 {
			c.mask = native(e.Mask)
		}
		return c, err
	case KindFibDaddr:
		n, ok := fibNumber(e.Name)
		if !ok {
			return comparison{}, fmt.Errorf("type %q: unknown", e.Name)
		}
		return comparison{load: &expr.Fib{Register: reg, ResultADDRTYPE: true, FlagDADDR: true}, data: native(n)}, nil
	case KindCTState:
		return comparison{load: &expr.Ct{Register: reg, Key: expr.CtKeySTATE}, mask: native(e.Number), data: native(0)}, nil
	case KindCTStatus:
		return comparison{load: &expr.Ct{Register: reg, Key: expr.CtKeySTATUS}, mask: native(e.Number), data: native(0)}, nil
	case KindPayload:
		data, err := hex.DecodeString(e.Data)
		if err != nil {
			return comparison{}, err
		}
		c := comparison{load: payload(e.Base, e.Offset, uint32(len(data))), data: data}
		if e.DataMask != "" {
			if c.mask, err = hex.DecodeString(e.DataMask); err != nil {
				return comparison{}, err
			}
		}
		return c, nil
	}

	fd, ok := fields(e.Kind)
	if !ok {
		return comparison{}, fmt.Errorf("unknown kind")
	}
	c := comparison{load: payload(fd.base, fd.offset, fd.len)}
	switch {
	case e.Set != "":
	case e.Kind == KindEtherSaddr || e.Kind == KindEtherDaddr:
		c.data = e.MAC[:]
	case e.Prefix.IsValid():
		// A prefix of whole octets is compared by these alone, as nft does it.
		c.data = e.Prefix.Masked().Addr().AsSlice()
		switch bits := e.Prefix.Bits(); {
		case bits == int(fd.len)*8:
		case bits%8 == 0:
			c.load = payload(fd.base, fd.offset, uint32(bits/8))
			c.data = c.data[:bits/8]
		default:
			c.mask = make([]byte, fd.len)
			for i := range bits {
				c.mask[i/8] |= 0x80 >> (i % 8)
			}
		}
	case fd.len == 1:
		c.data = []byte{uint8(e.Number)}
	case fd.len == 2:
		c.data = big16(e.Number)
	}
	return c, nil
}

func payload(b Base, offset, length uint32) *expr.Payload {
	p := &expr.Payload{OperationType: expr.PayloadLoad, DestRegister: reg, Offset: offset, Len: length}
	switch b {
	case LinkHeader:
		p.Base = expr.PayloadBaseLLHeader
	case NetworkHeader:
		p.Base = expr.PayloadBaseNetworkHeader
	case TransportHeader:
		p.Base = expr.PayloadBaseTransportHeader
	}
	return p
}

// ifNameData is the whole name with its padding, or what stands before the
// wildcard.
func ifNameData(name string) []byte {
	if s, ok := strings.CutSuffix(name, "*"); ok {
		return []byte(s)
	}
	return ifNameKey(name)
}

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
func big16(v uint32) []byte  { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
