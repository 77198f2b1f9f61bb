package bridge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Attributes of addresses (linux/if_addr.h) that the library's Addr does not
// have: the metric of the prefix route, and who made the address.
const (
	attrAddrMetric   = 9  // IFA_RT_PRIORITY
	attrAddrProtocol = 11 // IFA_PROTO
)

// listAddrs reads the addresses of a link in the calling thread's network
// namespace, in the kernel's order.
func listAddrs(name string, index int) ([]Addr, error) {
	var list []Addr
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		messages, err := retry(func() ([][]byte, error) {
			req := nl.NewNetlinkRequest(unix.RTM_GETADDR, unix.NLM_F_DUMP)
			req.AddData(&nl.IfAddrmsg{IfAddrmsg: unix.IfAddrmsg{Family: family}})
			return req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWADDR)
		})
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			if len(m) < unix.SizeofIfAddrmsg {
				return nil, fmt.Errorf("an address message has %d octets", len(m))
			}
			h := nl.DeserializeIfAddrmsg(m)
			if int(h.Index) != index || h.Family != family {
				continue
			}
			a, err := parseAddr(name, h, m[unix.SizeofIfAddrmsg:])
			if err != nil {
				return nil, err
			}
			list = append(list, a)
		}
	}
	return list, nil
}

func parseAddr(link string, h *nl.IfAddrmsg, b []byte) (Addr, error) {
	attrs, err := attributes(b)
	if err != nil {
		return Addr{}, fmt.Errorf("parse address: %w", err)
	}
	a := Addr{Link: link, Scope: int(h.Scope), Preferred: Forever, Valid: Forever}
	flags := uint32(h.Flags)
	// IFA_ADDRESS is the peer where IFA_LOCAL is there and another.
	var local, address netip.Addr
	for _, at := range attrs {
		switch at.kind {
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(at.value)
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(at.value)
		case unix.IFA_BROADCAST:
			a.Broadcast, _ = netip.AddrFromSlice(at.value)
		case unix.IFA_LABEL:
			a.Label = strings.TrimRight(string(at.value), "\x00")
		case unix.IFA_FLAGS:
			flags = number(at.value)
		case unix.IFA_CACHEINFO: // struct ifa_cacheinfo: preferred, valid, ...
			if len(at.value) >= 8 {
				a.Preferred, a.Valid = lifetime(int(number(at.value))), lifetime(int(number(at.value[4:])))
			}
		case attrAddrMetric:
			a.Metric = int(number(at.value))
		case attrAddrProtocol:
			if len(at.value) > 0 {
				a.Protocol = int(at.value[0])
			}
		}
	}
	if !local.IsValid() {
		local = address
	}
	if !local.IsValid() {
		return Addr{}, fmt.Errorf("an address of %s has none", link)
	}
	a.Prefix = netip.PrefixFrom(local, int(h.Prefixlen))
	if address.IsValid() && address != local {
		a.Peer = netip.PrefixFrom(address, int(h.Prefixlen))
	}
	a.NoPrefixRoute = flags&unix.IFA_F_NOPREFIXROUTE != 0
	if local.Is6() {
		a.ManageTempAddr = flags&unix.IFA_F_MANAGETEMPADDR != 0
		a.Temporary = flags&unix.IFA_F_TEMPORARY != 0
		a.NoDAD = flags&unix.IFA_F_NODAD != 0
		a.Home = flags&unix.IFA_F_HOMEADDRESS != 0
	}
	return a, nil
}

// sendAddr asks the kernel to add or replace an address, with the flag that
// spares it duplicate address detection where asked for.
func sendAddr(flags, index int, a Addr, noDAD bool) error {
	h := &nl.IfAddrmsg{IfAddrmsg: unix.IfAddrmsg{Family: unix.AF_INET6, Prefixlen: uint8(a.Prefix.Bits()), Scope: uint8(a.Scope), Index: uint32(index)}}
	ip := a.Prefix.Addr()
	if ip.Is4() {
		h.Family = unix.AF_INET
	}
	req := nl.NewNetlinkRequest(unix.RTM_NEWADDR, flags|unix.NLM_F_ACK)
	attr := func(kind int, b []byte) { req.AddData(nl.NewRtAttr(kind, b)) }
	req.AddData(h)
	attr(unix.IFA_LOCAL, ip.AsSlice())
	peer := ip
	if a.Peer.IsValid() {
		peer = a.Peer.Addr()
		h.Prefixlen = uint8(a.Peer.Bits())
	}
	attr(unix.IFA_ADDRESS, peer.AsSlice())
	var flag uint32
	for bit, on := range map[uint32]bool{
		unix.IFA_F_NOPREFIXROUTE: a.NoPrefixRoute, unix.IFA_F_MANAGETEMPADDR: a.ManageTempAddr, unix.IFA_F_HOMEADDRESS: a.Home,
		unix.IFA_F_NODAD: noDAD && ip.Is6(),
	} {
		if on {
			flag |= bit
		}
	}
	attr(unix.IFA_FLAGS, nl.Uint32Attr(flag))
	if a.Broadcast.IsValid() {
		attr(unix.IFA_BROADCAST, a.Broadcast.AsSlice())
	}
	if a.Label != "" {
		attr(unix.IFA_LABEL, nl.ZeroTerminated(a.Label))
	}
	if a.Metric != 0 {
		attr(attrAddrMetric, nl.Uint32Attr(uint32(a.Metric)))
	}
	if a.Protocol != 0 {
		attr(attrAddrProtocol, []byte{byte(a.Protocol)})
	}
	var cache []byte
	for _, v := range []uint32{uint32(lifetimeSeconds(a.Preferred)), uint32(lifetimeSeconds(a.Valid)), 0, 0} {
		cache = binary.NativeEndian.AppendUint32(cache, v)
	}
	attr(unix.IFA_CACHEINFO, cache)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// replaceAddr changes the flags and lifetimes of an address that is there, and
// nothing else: where IPv6 addresses share a prefix and not its route's metric,
// the kernel, asked to change one, removes the routes of the others.
func replaceAddr(index int, a Addr, noDAD bool) error {
	replace := func() error { return sendAddr(unix.NLM_F_CREATE|unix.NLM_F_REPLACE, index, a, noDAD) }
	if !a.Prefix.Addr().Is6() || a.NoPrefixRoute {
		return replace()
	}
	before, err := prefixRoutes(index, a.Prefix.Masked())
	if err != nil {
		return err
	}
	if err := replace(); err != nil {
		return err
	}
	if len(before) < 2 {
		return nil
	}
	for _, r := range before {
		if err := ignore(sendRoute(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, r), unix.EEXIST); err != nil {
			return fmt.Errorf("put the route to %s back: %w", r.Dst, err)
		}
	}
	return nil
}

// removeAddr removes an address with what the kernel made for its prefix. Where
// addresses of different metrics shared it, the kernel itself leaves a route
// behind, which would draw the guests' packets to the NIC.
func removeAddr(h *netlink.Handle, link netlink.Link, a Addr) error {
	if err := ignore(h.AddrDel(link, toNetlinkAddr(a)), unix.EADDRNOTAVAIL); err != nil {
		return err
	}
	if !a.Prefix.Addr().Is6() || a.NoPrefixRoute {
		return nil
	}
	index, prefix := link.Attrs().Index, a.Prefix.Masked()
	rest, err := listAddrs(a.Link, index)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(rest, func(o Addr) bool { return o.Prefix.Masked() == prefix }) {
		return nil
	}
	left, err := prefixRoutes(index, prefix)
	if err != nil {
		return err
	}
	for _, r := range left {
		if err := ignore(sendRoute(unix.RTM_DELROUTE, 0, r), unix.ESRCH); err != nil {
			return fmt.Errorf("remove the route to %s: %w", r.Dst, err)
		}
	}
	return nil
}

// prefixRoutes are the routes that the kernel made for an IPv6 prefix on a link.
func prefixRoutes(index int, p netip.Prefix) (list []kernelRoute, err error) {
	all, err := listRoutes(unix.AF_INET6)
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range all {
		if r.oif == index && r.Dst == p && r.Protocol == protocolKernel && r.Table == mainTable {
			list = append(list, r)
		}
	}
	return list, nil
}
