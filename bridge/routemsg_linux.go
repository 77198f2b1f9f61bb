package bridge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// userHZ is the unit of lifetimes in RTA_CACHEINFO, on every architecture that
// Go builds for.
const userHZ = 100

// rtaNextHopID is RTA_NH_ID of linux/rtnetlink.h.
const rtaNextHopID = 30

// routeMessage is a route as the kernel tells of it.
type routeMessage struct {
	Route
	// links are the indexes of the next hops' links; Route.Link and those of
	// Route.Hops are not set.
	links []int
	flags uint32
	// unknown lists what is not understood, and would be lost.
	unknown []string
}

// decodeRoute reads a RTM_NEWROUTE message.
func decodeRoute(m []byte) (routeMessage, error) {
	h := nl.DeserializeRtMsg(m)
	attrs, err := nl.ParseRouteAttr(m[h.Len():])
	if err != nil {
		return routeMessage{}, fmt.Errorf("parse route: %w", err)
	}
	r := routeMessage{flags: h.Flags, Route: Route{
		Family: 6, Table: int(h.Table), Type: int(h.Type), TOS: int(h.Tos), Scope: int(h.Scope), Protocol: int(h.Protocol),
		OnLink: h.Flags&unix.RTNH_F_ONLINK != 0, Dst: netip.PrefixFrom(netip.IPv6Unspecified(), 0),
	}}
	if h.Family == unix.AF_INET {
		r.Family, r.Dst = 4, netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	for _, a := range attrs {
		if !r.decode(a, int(h.Dst_len), int(h.Src_len)) {
			r.unknown = append(r.unknown, routeAttributeName(int(a.Attr.Type&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER))))
		}
	}
	return r, nil
}

// routeAttributeName is what ip-route(8) calls what can't be carried over.
func routeAttributeName(typ int) string {
	switch typ {
	case rtaNextHopID:
		return "nhid, a nexthop object"
	case unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE:
		return "encap, an encapsulation"
	case unix.RTA_MULTIPATH:
		return "next hops with parameters of their own"
	case unix.RTA_TTL_PROPAGATE:
		return "ttl-propagate"
	case unix.RTA_NEWDST:
		return "as, a new destination"
	}
	return fmt.Sprintf("attribute %d", typ)
}

// decode reads one attribute; it returns false for one that it can't keep.
func (r *routeMessage) decode(a syscall.NetlinkRouteAttr, dstLen, srcLen int) bool {
	v := a.Value
	switch typ := int(a.Attr.Type &^ unix.NLA_F_NESTED); typ {
	case unix.RTA_DST, unix.RTA_SRC, unix.RTA_GATEWAY, unix.RTA_PREFSRC:
		ip, ok := netip.AddrFromSlice(v)
		switch typ {
		case unix.RTA_DST:
			r.Dst = netip.PrefixFrom(ip, dstLen)
		case unix.RTA_SRC:
			r.From = netip.PrefixFrom(ip, srcLen)
		case unix.RTA_GATEWAY:
			r.Via = ip
		case unix.RTA_PREFSRC:
			r.Source = ip
		}
		return ok
	case unix.RTA_VIA:
		ip, ok := viaAddr(v)
		r.Via = ip
		return ok
	case unix.RTA_METRICS:
		return r.decodeMetrics(v)
	case unix.RTA_MULTIPATH:
		return r.decodeHops(v)
	case unix.RTA_PREF:
		if len(v) < 1 {
			return false
		}
		r.Preference = int(v[0])
		return true
	case unix.RTA_CACHEINFO:
		if len(v) >= 12 {
			if left := int32(binary.NativeEndian.Uint32(v[8:])); left > 0 {
				r.Expires = time.Duration(left) * (time.Second / userHZ)
			}
		}
		return true
	case unix.RTA_IIF, unix.RTA_PAD, unix.RTA_UID, unix.RTA_MARK:
		return true // of answers to a lookup
	case unix.RTA_OIF, unix.RTA_TABLE, unix.RTA_PRIORITY, unix.RTA_FLOW:
		if len(v) < 4 {
			return false
		}
		n := int(binary.NativeEndian.Uint32(v))
		switch typ {
		case unix.RTA_OIF:
			r.links = append(r.links, n)
		case unix.RTA_TABLE:
			r.Table = n
		case unix.RTA_PRIORITY:
			r.Metric = n
		case unix.RTA_FLOW:
			r.Realm = n
		}
		return true
	}
	return false
}

// viaAddr reads RTA_VIA: a gateway of another family than the route's.
func viaAddr(v []byte) (netip.Addr, bool) {
	if len(v) < 2 {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(v[2:])
}

func (r *routeMessage) decodeHops(v []byte) bool {
	var hops []Hop
	for len(v) >= unix.SizeofRtNexthop {
		h := nl.DeserializeRtNexthop(v)
		n := int(h.RtNexthop.Len)
		if n < unix.SizeofRtNexthop || n > len(v) {
			return false
		}
		attrs, err := nl.ParseRouteAttr(v[unix.SizeofRtNexthop:n])
		if err != nil {
			return false
		}
		hop := Hop{Weight: int(h.Hops) + 1, OnLink: h.Flags&unix.RTNH_F_ONLINK != 0}
		for _, a := range attrs {
			ok := false
			switch a.Attr.Type {
			case unix.RTA_GATEWAY:
				hop.Via, ok = netip.AddrFromSlice(a.Value)
			case unix.RTA_VIA:
				hop.Via, ok = viaAddr(a.Value)
			}
			if !ok {
				return false
			}
		}
		hops = append(hops, hop)
		r.links = append(r.links, int(h.Ifindex))
		if h.Flags&unix.RTNH_F_DEAD != 0 {
			r.unknown = append(r.unknown, "a next hop through a link that is down")
		}
		v = v[min(len(v), (n+3)&^3):]
	}
	// The flags of a route with several hops are each hop's own.
	r.Hops, r.OnLink = HopsOf(hops...), false
	return true
}

// name fills in the links' names.
func (r *routeMessage) name(names map[int]linkName) {
	if hops := r.Hops.List(); hops != nil {
		for i := range hops {
			hops[i].Link = names[r.links[i]].name
		}
		r.Hops = HopsOf(hops...)
		return
	}
	if len(r.links) > 0 {
		r.Link = names[r.links[0]].name
	}
}

// metricField is where a parameter of a route is kept, by the kernel's number.
type metricField struct {
	number int
	field  *int
}

func metricFields(r *Route) []metricField {
	return []metricField{
		{unix.RTAX_LOCK, &r.Metrics.Lock},
		{unix.RTAX_MTU, &r.MTU},
		{unix.RTAX_WINDOW, &r.Metrics.Window},
		{unix.RTAX_RTT, &r.Metrics.RTT},
		{unix.RTAX_RTTVAR, &r.Metrics.RTTVar},
		{unix.RTAX_SSTHRESH, &r.Metrics.SSThresh},
		{unix.RTAX_CWND, &r.Metrics.CWnd},
		{unix.RTAX_ADVMSS, &r.AdvMSS},
		{unix.RTAX_REORDERING, &r.Metrics.Reordering},
		{unix.RTAX_HOPLIMIT, &r.HopLimit},
		{unix.RTAX_INITCWND, &r.Metrics.InitCWnd},
		{unix.RTAX_FEATURES, &r.Metrics.Features},
		{unix.RTAX_RTO_MIN, &r.Metrics.RTOMin},
		{unix.RTAX_INITRWND, &r.Metrics.InitRWnd},
		{unix.RTAX_QUICKACK, &r.Metrics.QuickACK},
		{unix.RTAX_FASTOPEN_NO_COOKIE, &r.Metrics.FastOpenNoCookie},
	}
}

func (r *routeMessage) decodeMetrics(v []byte) bool {
	attrs, err := nl.ParseRouteAttr(v)
	if err != nil {
		return false
	}
	fields := metricFields(&r.Route)
	for _, a := range attrs {
		if int(a.Attr.Type) == unix.RTAX_CC_ALGO {
			r.Metrics.Congestion = strings.TrimRight(string(a.Value), "\x00")
			continue
		}
		i := slices.IndexFunc(fields, func(f metricField) bool { return f.number == int(a.Attr.Type) })
		if i < 0 || len(a.Value) < 4 {
			return false
		}
		*fields[i].field = int(binary.NativeEndian.Uint32(a.Value))
	}
	return true
}

// encode writes the route as decodeRoute reads it. index finds links.
func (r Route) encode(index func(name string) (int, error)) (*nl.RtMsg, []nl.NetlinkRequestData, error) {
	h := &nl.RtMsg{RtMsg: unix.RtMsg{
		Family: familyOf(r.Family), Dst_len: uint8(r.Dst.Bits()), Tos: uint8(r.TOS),
		Type: uint8(r.Type), Scope: uint8(r.Scope), Protocol: uint8(r.Protocol),
	}}
	if r.OnLink {
		h.Flags |= unix.RTNH_F_ONLINK
	}
	var attrs []nl.NetlinkRequestData
	add := func(typ int, data []byte) { attrs = append(attrs, nl.NewRtAttr(typ, data)) }
	number := func(typ, v int) {
		if v != 0 {
			add(typ, nl.Uint32Attr(uint32(v)))
		}
	}
	add(unix.RTA_DST, r.Dst.Addr().AsSlice())
	if r.From.IsValid() {
		h.Src_len = uint8(r.From.Bits())
		add(unix.RTA_SRC, r.From.Addr().AsSlice())
	}
	number(unix.RTA_TABLE, r.Table)
	number(unix.RTA_PRIORITY, r.Metric)
	number(unix.RTA_FLOW, r.Realm)
	if r.Source.IsValid() {
		add(unix.RTA_PREFSRC, r.Source.AsSlice())
	}
	if r.Preference != 0 {
		add(unix.RTA_PREF, []byte{byte(r.Preference)})
	}
	if r.Expires != 0 {
		add(unix.RTA_EXPIRES, nl.Uint32Attr(uint32(max(1, r.Expires/time.Second))))
	}
	if metrics := r.encodeMetrics(); metrics != nil {
		attrs = append(attrs, metrics)
	}
	if r.Hops.IsZero() {
		i, err := index(r.Link)
		if err != nil {
			return nil, nil, err
		}
		number(unix.RTA_OIF, i)
		if r.Via.IsValid() {
			attrs = append(attrs, gatewayAttr(r.Family, r.Via))
		}
		return h, attrs, nil
	}
	var hops []byte
	for _, hop := range r.Hops.List() {
		i, err := index(hop.Link)
		if err != nil {
			return nil, nil, err
		}
		n := nl.RtNexthop{RtNexthop: unix.RtNexthop{Hops: uint8(hop.Weight - 1), Ifindex: int32(i)}}
		if hop.OnLink {
			n.Flags = unix.RTNH_F_ONLINK
		}
		if hop.Via.IsValid() {
			n.Children = append(n.Children, gatewayAttr(r.Family, hop.Via))
		}
		hops = append(hops, n.Serialize()...)
	}
	add(unix.RTA_MULTIPATH, hops)
	return h, attrs, nil
}

// gatewayAttr is the gateway, of whichever family.
func gatewayAttr(family int, via netip.Addr) *nl.RtAttr {
	if via.Is4() == (family == 4) {
		return nl.NewRtAttr(unix.RTA_GATEWAY, via.AsSlice())
	}
	other := familyOf(6)
	if via.Is4() {
		other = familyOf(4)
	}
	return nl.NewRtAttr(unix.RTA_VIA, slices.Concat(nl.Uint16Attr(uint16(other)), via.AsSlice()))
}

func (r Route) encodeMetrics() *nl.RtAttr {
	list := nl.NewRtAttr(unix.RTA_METRICS, nil)
	some := false
	for _, f := range metricFields(&r) {
		if *f.field != 0 {
			list.AddRtAttr(f.number, nl.Uint32Attr(uint32(*f.field)))
			some = true
		}
	}
	if r.Metrics.Congestion != "" {
		list.AddRtAttr(unix.RTAX_CC_ALGO, nl.ZeroTerminated(r.Metrics.Congestion))
		some = true
	}
	if !some {
		return nil
	}
	return list
}
