package bridge

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Routes are read and written as rtnetlink(7) messages and not through the
// library's Route, which has no router preference and no source prefix: what is
// not read is lost on the way back.

// kernelRoute is a route as the kernel tells it.
type kernelRoute struct {
	Route
	oif    int
	hops   []kernelHop // of a route with several
	cloned bool        // a cached one
	// odd says what about it can't be moved.
	odd string
}

type kernelHop struct {
	oif    int
	via    netip.Addr
	onlink bool
}

// attrNextHopID is RTA_NH_ID of linux/rtnetlink.h.
const attrNextHopID = 30

// Attributes of RTA_METRICS that Route has fields for.
const (
	metricMTU      = unix.RTAX_MTU
	metricAdvMSS   = unix.RTAX_ADVMSS
	metricHopLimit = unix.RTAX_HOPLIMIT
)

// listRoutes reads the routes of all tables of a family, in the calling
// thread's network namespace.
func listRoutes(family int) ([]kernelRoute, error) {
	messages, err := retry(func() ([][]byte, error) {
		req := nl.NewNetlinkRequest(unix.RTM_GETROUTE, unix.NLM_F_DUMP)
		req.AddData(&nl.RtMsg{RtMsg: unix.RtMsg{Family: uint8(family)}})
		return req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE)
	})
	if err != nil {
		return nil, err
	}
	var list []kernelRoute
	for _, m := range messages {
		r, err := parseRoute(m)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func parseRoute(m []byte) (kernelRoute, error) {
	if len(m) < unix.SizeofRtMsg {
		return kernelRoute{}, fmt.Errorf("a route message has %d octets", len(m))
	}
	h := nl.DeserializeRtMsg(m)
	r := kernelRoute{Route: Route{
		Family: 6, Table: int(h.Table), Type: int(h.Type), TOS: int(h.Tos), Scope: int(h.Scope), Protocol: int(h.Protocol),
		OnLink: h.Flags&unix.RTNH_F_ONLINK != 0, Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	}, cloned: h.Flags&unix.RTM_F_CLONED != 0}
	if h.Family == unix.AF_INET {
		r.Family, r.Dst = 4, netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	attrs, err := attributes(m[unix.SizeofRtMsg:])
	if err != nil {
		return kernelRoute{}, fmt.Errorf("parse route: %w", err)
	}
	for _, a := range attrs {
		switch a.kind {
		case unix.RTA_DST:
			r.Dst = prefixFrom(a.value, h.Dst_len)
		case unix.RTA_SRC:
			r.From = prefixFrom(a.value, h.Src_len)
		case unix.RTA_OIF:
			r.oif = int(number(a.value))
		case unix.RTA_GATEWAY:
			r.Via, _ = netip.AddrFromSlice(a.value)
		case unix.RTA_VIA: // a gateway of the other family
			if len(a.value) > 2 {
				r.Via, _ = netip.AddrFromSlice(a.value[2:])
			}
		case unix.RTA_PREFSRC:
			r.Source, _ = netip.AddrFromSlice(a.value)
		case unix.RTA_PRIORITY:
			r.Metric = int(number(a.value))
		case unix.RTA_TABLE:
			r.Table = int(number(a.value))
		case unix.RTA_FLOW:
			r.Realms = number(a.value)
		case unix.RTA_PREF:
			if len(a.value) > 0 {
				r.Preference = int(a.value[0])
			}
		case unix.RTA_METRICS:
			if err := r.parseMetrics(a.value); err != nil {
				return kernelRoute{}, err
			}
		case unix.RTA_CACHEINFO: // struct rta_cacheinfo, rta_expires in hundredths of a second
			if len(a.value) >= 12 {
				r.Expires = time.Duration(max(0, int32(number(a.value[8:])))) * time.Second / 100
			}
		case unix.RTA_MULTIPATH:
			if err := r.parseHops(a.value); err != nil {
				return kernelRoute{}, err
			}
		case unix.RTA_ENCAP:
			r.odd = "has an encapsulation"
		case attrNextHopID:
			r.odd = fmt.Sprintf("uses the next hop object %d", number(a.value))
		}
	}
	return r, nil
}

func (r *kernelRoute) parseMetrics(b []byte) error {
	attrs, err := attributes(b)
	if err != nil {
		return fmt.Errorf("parse route metrics: %w", err)
	}
	var other []byte
	for _, a := range attrs {
		switch a.kind {
		case metricMTU:
			r.MTU = int(number(a.value))
		case metricAdvMSS:
			r.AdvMSS = int(number(a.value))
		case metricHopLimit:
			r.HopLimit = int(number(a.value))
		default:
			other = append(other, nl.NewRtAttr(int(a.kind), a.value).Serialize()...)
		}
	}
	r.OtherMetrics = hex.EncodeToString(other)
	return nil
}

func (r *kernelRoute) parseHops(b []byte) error {
	for len(b) >= unix.SizeofRtNexthop {
		h := nl.DeserializeRtNexthop(b)
		n := int(h.RtNexthop.Len)
		if n < unix.SizeofRtNexthop || n > len(b) {
			return fmt.Errorf("parse route: a next hop of %d octets in %d", n, len(b))
		}
		hop := kernelHop{oif: int(h.Ifindex), onlink: h.Flags&unix.RTNH_F_ONLINK != 0}
		attrs, err := attributes(b[unix.SizeofRtNexthop:n])
		if err != nil {
			return fmt.Errorf("parse next hop: %w", err)
		}
		for _, a := range attrs {
			if a.kind == unix.RTA_GATEWAY {
				hop.via, _ = netip.AddrFromSlice(a.value)
			}
		}
		r.hops = append(r.hops, hop)
		b = b[min(len(b), (n+3)&^3):]
	}
	return nil
}

// number reads an attribute of 32 bits.
func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func prefixFrom(b []byte, bits uint8) netip.Prefix {
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(a, int(bits))
}

// sendRoute asks the kernel to set or remove a route.
func sendRoute(message, flags int, r kernelRoute) error {
	metrics, err := hex.DecodeString(r.OtherMetrics)
	if err != nil {
		return fmt.Errorf("decode route metrics: %w", err)
	}
	h := &nl.RtMsg{RtMsg: unix.RtMsg{
		Family: unix.AF_INET6, Dst_len: uint8(r.Dst.Bits()), Tos: uint8(r.TOS), Protocol: uint8(r.Protocol), Scope: uint8(r.Scope), Type: uint8(r.Type),
	}}
	if r.Family == 4 {
		h.Family = unix.AF_INET
	}
	if r.OnLink {
		h.Flags |= unix.RTNH_F_ONLINK
	}
	req := nl.NewNetlinkRequest(message, flags|unix.NLM_F_ACK)
	attr := func(kind int, b []byte) { req.AddData(nl.NewRtAttr(kind, b)) }
	req.AddData(h)
	if r.Table < 256 {
		h.Table = uint8(r.Table)
	} else {
		attr(unix.RTA_TABLE, nl.Uint32Attr(uint32(r.Table)))
	}
	if r.Dst.Bits() > 0 {
		attr(unix.RTA_DST, r.Dst.Addr().AsSlice())
	}
	if r.From.IsValid() {
		h.Src_len = uint8(r.From.Bits())
		attr(unix.RTA_SRC, r.From.Addr().AsSlice())
	}
	switch {
	case !r.Via.IsValid():
	case r.Via.Is4() == (r.Family == 4):
		attr(unix.RTA_GATEWAY, r.Via.AsSlice())
	default:
		family := uint16(unix.AF_INET6)
		if r.Via.Is4() {
			family = unix.AF_INET
		}
		attr(unix.RTA_VIA, append(binary.NativeEndian.AppendUint16(nil, family), r.Via.AsSlice()...))
	}
	if r.Source.IsValid() {
		attr(unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	attr(unix.RTA_OIF, nl.Uint32Attr(uint32(r.oif)))
	if r.Metric != 0 {
		attr(unix.RTA_PRIORITY, nl.Uint32Attr(uint32(r.Metric)))
	}
	if r.Realms != 0 {
		attr(unix.RTA_FLOW, nl.Uint32Attr(r.Realms))
	}
	if r.Preference != 0 {
		attr(unix.RTA_PREF, []byte{byte(r.Preference)})
	}
	if r.Expires > 0 {
		attr(unix.RTA_EXPIRES, nl.Uint32Attr(uint32(r.Expires/time.Second)))
	}
	for kind, v := range map[int]int{metricMTU: r.MTU, metricAdvMSS: r.AdvMSS, metricHopLimit: r.HopLimit} {
		if v != 0 {
			metrics = append(metrics, nl.NewRtAttr(kind, nl.Uint32Attr(uint32(v))).Serialize()...)
		}
	}
	if len(metrics) > 0 {
		attr(unix.RTA_METRICS, metrics)
	}
	_, err = req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
