package bridge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nldump"
)

// Attributes and flags of linux/fib_rules.h that the netlink library has no
// name for.
const (
	fraDSCP       = 25
	fraSportMask  = 28
	fraDportMask  = 29
	ruleInvert    = 0x2
	noSuppression = ^uint32(0)
)

// dump asks the kernel for all objects of one kind in the calling thread's
// network namespace.
//
// The netlink library's own lists leave out attributes it does not know, and
// what is not seen would be lost in a move.
func dump(request, answer uint16, header nl.NetlinkRequestData) ([][]byte, error) {
	return nldump.Retry(func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(int(request), unix.NLM_F_DUMP)
		req.AddData(header)
		return req.Execute(unix.NETLINK_ROUTE, answer)
	})
}

// send makes one change and waits for the kernel's answer.
func send(request uint16, flags int, header nl.NetlinkRequestData, attrs []nl.NetlinkRequestData) error {
	req := nl.NewNetlinkRequest(int(request), flags|unix.NLM_F_ACK)
	req.AddData(header)
	for _, a := range attrs {
		req.AddData(a)
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func familyOf(number int) uint8 {
	if number == 4 {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// captureRules reads the rules of both families that stand where one names a
// link of the scope.
func (s *State) captureRules() error {
	var all []Rule
	odd := make(map[int][]string) // by the rule's index: attributes that nothing is known of
	for _, family := range []int{4, 6} {
		msgs, err := dump(unix.RTM_GETRULE, unix.RTM_NEWRULE, nl.NewIfInfomsg(int(familyOf(family))))
		if err != nil {
			return fmt.Errorf("list rules: %w", err)
		}
		for _, m := range msgs {
			r, unknown, err := decodeRule(m)
			if err != nil {
				return err
			}
			if len(unknown) > 0 {
				odd[len(all)] = unknown
			}
			all = append(all, r)
		}
	}
	s.Rules = inPlaceOf(all, s.Scope)
	for i, r := range all {
		if unknown, ok := odd[i]; ok && slices.Contains(s.Rules, r) {
			s.Unsupported = append(s.Unsupported, fmt.Sprintf("the routing rule %q has a part that is not understood (%s)", r, strings.Join(unknown, ", ")))
		}
	}
	return nil
}

// decodeRule reads a RTM_NEWRULE message and lists what it does not know of.
func decodeRule(m []byte) (Rule, []string, error) {
	h := nl.DeserializeRtMsg(m)
	attrs, err := nl.ParseRouteAttr(m[h.Len():])
	if err != nil {
		return Rule{}, nil, fmt.Errorf("parse routing rule: %w", err)
	}
	r := Rule{Family: 6, Action: int(h.Type), Table: int(h.Table), TOS: int(h.Tos), Invert: h.Flags&ruleInvert != 0, DSCP: -1, SuppressPrefixLength: -1, SuppressGroup: -1}
	if h.Family == unix.AF_INET {
		r.Family = 4
	}
	var unknown []string
	for _, a := range attrs {
		if !r.decode(a, int(h.Src_len), int(h.Dst_len)) {
			unknown = append(unknown, fmt.Sprintf("attribute %d of %d octets", a.Attr.Type&^unix.NLA_F_NESTED, len(a.Value)))
		}
	}
	return r, unknown, nil
}

// decode reads one attribute; it returns false for one it does not know.
func (r *Rule) decode(a syscall.NetlinkRouteAttr, srcLen, dstLen int) bool {
	v := a.Value
	u32 := func() uint32 { return binary.NativeEndian.Uint32(v) }
	suppression := func() int {
		if u32() == noSuppression {
			return -1
		}
		return int(u32())
	}
	ports := func() [2]uint16 {
		return [2]uint16{binary.NativeEndian.Uint16(v), binary.NativeEndian.Uint16(v[2:])}
	}
	// The lengths are the kernel's promise; one that breaks it is not understood.
	switch typ := a.Attr.Type; typ {
	case nl.FRA_IIFNAME, nl.FRA_OIFNAME:
		name := strings.TrimRight(string(v), "\x00")
		if typ == nl.FRA_IIFNAME {
			r.Iif = name
		} else {
			r.Oif = name
		}
	case nl.FRA_SRC, nl.FRA_DST:
		ip, ok := netip.AddrFromSlice(v)
		if !ok {
			return false
		}
		if typ == nl.FRA_SRC {
			r.Src = netip.PrefixFrom(ip, srcLen)
		} else {
			r.Dst = netip.PrefixFrom(ip, dstLen)
		}
	case nl.FRA_PROTOCOL, nl.FRA_IP_PROTO, nl.FRA_L3MDEV, fraDSCP:
		if len(v) < 1 {
			return false
		}
		switch typ {
		case nl.FRA_PROTOCOL:
			r.Protocol = int(v[0])
		case nl.FRA_IP_PROTO:
			r.IPProto = int(v[0])
		case nl.FRA_L3MDEV:
			r.L3MDev = v[0] != 0
		case fraDSCP:
			r.DSCP = int(v[0])
		}
	case nl.FRA_TUN_ID, nl.FRA_UID_RANGE:
		if len(v) < 8 {
			return false
		}
		if typ == nl.FRA_TUN_ID {
			r.TunID = binary.BigEndian.Uint64(v)
		} else {
			r.HasUIDs, r.UIDs = true, [2]uint32{u32(), binary.NativeEndian.Uint32(v[4:])}
		}
	case fraSportMask, fraDportMask:
		if len(v) < 2 {
			return false
		}
		if typ == fraSportMask {
			r.SrcPortMask = binary.NativeEndian.Uint16(v)
		} else {
			r.DstPortMask = binary.NativeEndian.Uint16(v)
		}
	case nl.FRA_PAD:
	default:
		if len(v) < 4 {
			return false
		}
		switch typ {
		case nl.FRA_PRIORITY:
			r.Priority = int(u32())
		case nl.FRA_TABLE:
			r.Table = int(u32())
		case nl.FRA_GOTO:
			r.Goto = int(u32())
		case nl.FRA_FWMARK:
			r.Mark = u32()
		case nl.FRA_FWMASK:
			r.Mask = u32()
		case nl.FRA_FLOW:
			r.Realm = int(u32())
		case nl.FRA_SUPPRESS_PREFIXLEN:
			r.SuppressPrefixLength = suppression()
		case nl.FRA_SUPPRESS_IFGROUP:
			r.SuppressGroup = suppression()
		case nl.FRA_SPORT_RANGE:
			r.SrcPorts = ports()
		case nl.FRA_DPORT_RANGE:
			r.DstPorts = ports()
		default:
			return false
		}
	}
	return true
}

// encode writes the rule as decodeRule reads it.
func (r Rule) encode() (*nl.RtMsg, []nl.NetlinkRequestData) {
	h := &nl.RtMsg{RtMsg: unix.RtMsg{Family: familyOf(r.Family), Tos: uint8(r.TOS), Type: uint8(r.Action)}}
	if r.Invert {
		h.Flags = ruleInvert
	}
	var attrs []nl.NetlinkRequestData
	add := func(typ int, data []byte) { attrs = append(attrs, nl.NewRtAttr(typ, data)) }
	number := func(typ int, v uint32) { add(typ, nl.Uint32Attr(v)) }
	ports := func(typ int, p [2]uint16, maskType int, mask uint16) {
		if p != [2]uint16{} {
			add(typ, slices.Concat(nl.Uint16Attr(p[0]), nl.Uint16Attr(p[1])))
		}
		if mask != 0 {
			add(maskType, nl.Uint16Attr(mask))
		}
	}
	if r.Src.IsValid() {
		h.Src_len = uint8(r.Src.Bits())
		add(nl.FRA_SRC, r.Src.Addr().AsSlice())
	}
	if r.Dst.IsValid() {
		h.Dst_len = uint8(r.Dst.Bits())
		add(nl.FRA_DST, r.Dst.Addr().AsSlice())
	}
	number(nl.FRA_PRIORITY, uint32(r.Priority))
	if r.Table != 0 {
		number(nl.FRA_TABLE, uint32(r.Table))
	}
	if r.Action == actionGoto {
		number(nl.FRA_GOTO, uint32(r.Goto))
	}
	if r.Iif != "" {
		add(nl.FRA_IIFNAME, nl.ZeroTerminated(r.Iif))
	}
	if r.Oif != "" {
		add(nl.FRA_OIFNAME, nl.ZeroTerminated(r.Oif))
	}
	if r.DSCP >= 0 {
		add(fraDSCP, []byte{byte(r.DSCP)})
	}
	if r.Mark != 0 || r.Mask != 0 {
		number(nl.FRA_FWMARK, r.Mark)
		number(nl.FRA_FWMASK, r.Mask)
	}
	if r.TunID != 0 {
		add(nl.FRA_TUN_ID, binary.BigEndian.AppendUint64(nil, r.TunID))
	}
	if r.Realm != 0 {
		number(nl.FRA_FLOW, uint32(r.Realm))
	}
	if r.HasUIDs {
		add(nl.FRA_UID_RANGE, slices.Concat(nl.Uint32Attr(r.UIDs[0]), nl.Uint32Attr(r.UIDs[1])))
	}
	if r.IPProto != 0 {
		add(nl.FRA_IP_PROTO, []byte{byte(r.IPProto)})
	}
	ports(nl.FRA_SPORT_RANGE, r.SrcPorts, fraSportMask, r.SrcPortMask)
	ports(nl.FRA_DPORT_RANGE, r.DstPorts, fraDportMask, r.DstPortMask)
	if r.L3MDev {
		add(nl.FRA_L3MDEV, []byte{1})
	}
	if r.SuppressPrefixLength >= 0 {
		number(nl.FRA_SUPPRESS_PREFIXLEN, uint32(r.SuppressPrefixLength))
	}
	if r.SuppressGroup >= 0 {
		number(nl.FRA_SUPPRESS_IFGROUP, uint32(r.SuppressGroup))
	}
	if r.Protocol != 0 {
		add(nl.FRA_PROTOCOL, []byte{byte(r.Protocol)})
	}
	return h, attrs
}
