package bridge

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// decodeAddr reads a RTM_NEWADDR message; link is the index of its link.
func decodeAddr(m []byte) (a Addr, link int, err error) {
	h := nl.DeserializeIfAddrmsg(m)
	attrs, err := nl.ParseRouteAttr(m[h.Len():])
	if err != nil {
		return Addr{}, 0, fmt.Errorf("parse address: %w", err)
	}
	a = Addr{Scope: int(h.Scope), Preferred: Forever, Valid: Forever}
	flags := uint32(h.Flags)
	var local, address netip.Addr
	for _, at := range attrs {
		v := at.Value
		switch at.Attr.Type {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(v)
		case unix.IFA_BROADCAST:
			a.Broadcast, _ = netip.AddrFromSlice(v)
		case unix.IFA_LABEL:
			a.Label = strings.TrimRight(string(v), "\x00")
		case ifaProto:
			if len(v) > 0 {
				a.Protocol = int(v[0])
			}
		case unix.IFA_FLAGS:
			if len(v) >= 4 {
				flags = binary.NativeEndian.Uint32(v)
			}
		case unix.IFA_RT_PRIORITY:
			if len(v) >= 4 {
				a.Metric = int(binary.NativeEndian.Uint32(v))
			}
		case unix.IFA_CACHEINFO:
			if len(v) >= 8 {
				a.Preferred = lifetime(binary.NativeEndian.Uint32(v))
				a.Valid = lifetime(binary.NativeEndian.Uint32(v[4:]))
			}
		}
	}
	if !local.IsValid() {
		local, address = address, netip.Addr{}
	}
	if !local.IsValid() {
		return Addr{}, 0, fmt.Errorf("parse address: it has none")
	}
	// With a peer, the length is that of the peer's prefix.
	a.Prefix = netip.PrefixFrom(local, int(h.Prefixlen))
	if address.IsValid() && address != local {
		a.Peer = netip.PrefixFrom(address, int(h.Prefixlen))
		a.Prefix = netip.PrefixFrom(local, local.BitLen())
	}
	is6 := local.Is6()
	a.NoPrefixRoute = flags&unix.IFA_F_NOPREFIXROUTE != 0
	a.ManageTempAddr = flags&unix.IFA_F_MANAGETEMPADDR != 0
	a.AutoJoin = flags&unix.IFA_F_MCAUTOJOIN != 0
	// The same bit is "secondary" for IPv4, which follows from the order.
	a.Temporary = is6 && flags&unix.IFA_F_TEMPORARY != 0
	a.NoDAD = is6 && flags&unix.IFA_F_NODAD != 0
	a.Home = is6 && flags&unix.IFA_F_HOMEADDRESS != 0
	return a, int(h.Index), nil
}

// encode writes the address as decodeAddr reads it.
func (a Addr) encode(link int) (*nl.IfAddrmsg, []nl.NetlinkRequestData) {
	bits := a.Prefix.Bits()
	address := a.Prefix.Addr()
	if a.Peer.IsValid() {
		bits, address = a.Peer.Bits(), a.Peer.Addr()
	}
	family := 6
	if a.Prefix.Addr().Is4() {
		family = 4
	}
	h := &nl.IfAddrmsg{IfAddrmsg: unix.IfAddrmsg{Family: familyOf(family), Prefixlen: uint8(bits), Scope: uint8(a.Scope), Index: uint32(link)}}
	var flags uint32
	for _, f := range []struct {
		set  bool
		flag uint32
	}{
		{a.NoPrefixRoute, unix.IFA_F_NOPREFIXROUTE}, {a.ManageTempAddr, unix.IFA_F_MANAGETEMPADDR}, {a.AutoJoin, unix.IFA_F_MCAUTOJOIN},
		{a.NoDAD, unix.IFA_F_NODAD}, {a.Home, unix.IFA_F_HOMEADDRESS},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	var attrs []nl.NetlinkRequestData
	add := func(typ int, data []byte) { attrs = append(attrs, nl.NewRtAttr(typ, data)) }
	add(unix.IFA_LOCAL, a.Prefix.Addr().AsSlice())
	add(unix.IFA_ADDRESS, address.AsSlice())
	add(unix.IFA_FLAGS, nl.Uint32Attr(flags))
	if a.Broadcast.IsValid() {
		add(unix.IFA_BROADCAST, a.Broadcast.AsSlice())
	}
	if a.Label != "" {
		add(unix.IFA_LABEL, nl.ZeroTerminated(a.Label))
	}
	if a.Metric != 0 {
		add(unix.IFA_RT_PRIORITY, nl.Uint32Attr(uint32(a.Metric)))
	}
	if a.Protocol != 0 {
		add(ifaProto, []byte{byte(a.Protocol)})
	}
	life := nl.IfaCacheInfo{IfaCacheinfo: unix.IfaCacheinfo{Prefered: lifetimeSeconds(a.Preferred), Valid: lifetimeSeconds(a.Valid)}}
	add(unix.IFA_CACHEINFO, life.Serialize())
	return h, attrs
}

// captureAddrs reads the addresses of a link in the kernel's order.
func (s *State) captureAddrs(name string, index int) error {
	for _, family := range []int{4, 6} {
		msgs, err := dump(unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfInfomsg(int(familyOf(family))))
		if err != nil {
			return fmt.Errorf("list addresses of %s: %w", name, err)
		}
		for _, m := range msgs {
			a, link, err := decodeAddr(m)
			if err != nil {
				return err
			}
			if link == index {
				a.Link = name
				s.Addrs = append(s.Addrs, a)
			}
		}
	}
	return nil
}

// lifetimeSeconds is a lifetime as rtnetlink has it: whole seconds, never
// rounded up, 2^32-1 for ever.
func lifetimeSeconds(d time.Duration) uint32 {
	if d == Forever {
		return foreverSeconds
	}
	return uint32(d / time.Second)
}

func lifetime(seconds uint32) time.Duration {
	if seconds == foreverSeconds {
		return Forever
	}
	return time.Duration(seconds) * time.Second
}

const (
	foreverSeconds = ^uint32(0)
	ifaProto       = 11 // IFA_PROTO of linux/if_addr.h
)
