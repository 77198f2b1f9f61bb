package bridge

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/slaac"
)

// Attributes of linux/neighbour.h.
const (
	ndaDst      = 1
	ndaLLAddr   = 2
	ndaProtocol = 12
)

// captureNeighbors reads the neighbours of a link that are worth keeping, and
// those that the host answers for.
func (s *State) captureNeighbors(name string, index int) error {
	for _, family := range []int{4, 6} {
		for _, flags := range []uint8{0, netlink.NTF_PROXY} {
			msgs, err := dump(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, &netlink.Ndmsg{Family: familyOf(family), Index: uint32(index), Flags: flags})
			if err != nil {
				return fmt.Errorf("list neighbours of %s: %w", name, err)
			}
			for _, m := range msgs {
				n, err := netlink.NeighDeserialize(m)
				if err != nil {
					return fmt.Errorf("parse neighbour: %w", err)
				}
				if n.LinkIndex == index {
					s.captureNeighbor(name, *n, neighborProtocol(m))
				}
			}
		}
	}
	return nil
}

// neighborProtocol reads who made the entry, which the netlink library leaves
// out.
func neighborProtocol(m []byte) int {
	attrs, err := nl.ParseRouteAttr(m[unix.SizeofNdMsg:])
	if err != nil {
		return 0
	}
	for _, a := range attrs {
		if a.Attr.Type == ndaProtocol && len(a.Value) > 0 {
			return int(a.Value[0])
		}
	}
	return 0
}

func (s *State) captureNeighbor(link string, n netlink.Neigh, protocol int) {
	ip, ok := netip.AddrFromSlice(n.IP)
	if !ok || ip.Unmap().IsMulticast() {
		return
	}
	e := Neighbor{Link: link, IP: ip.Unmap(), Router: n.Flags&netlink.NTF_ROUTER != 0, Protocol: protocol}
	if n.Flags&netlink.NTF_PROXY != 0 {
		e.Permanent, e.Proxy = true, true
		s.Neighbors = append(s.Neighbors, e)
		return
	}
	mac, err := slaac.MACFrom(n.HardwareAddr)
	if err != nil {
		return
	}
	e.MAC = mac
	e.Permanent = n.State&netlink.NUD_PERMANENT != 0
	// An entry that was confirmed once is worth handing on.
	if e.Permanent || n.State&(netlink.NUD_REACHABLE|netlink.NUD_STALE|netlink.NUD_DELAY|netlink.NUD_PROBE) != 0 {
		s.Neighbors = append(s.Neighbors, e)
	}
}

// encode writes the entry. One that is not permanent counts as just confirmed.
func (n Neighbor) encode(link int) (*netlink.Ndmsg, []nl.NetlinkRequestData) {
	h := &netlink.Ndmsg{Family: familyOf(6), Index: uint32(link), State: netlink.NUD_REACHABLE}
	if n.IP.Is4() {
		h.Family = familyOf(4)
	}
	if n.Permanent {
		h.State = netlink.NUD_PERMANENT
	}
	if n.Router {
		h.Flags |= netlink.NTF_ROUTER
	}
	attrs := []nl.NetlinkRequestData{nl.NewRtAttr(ndaDst, n.IP.AsSlice())}
	if n.Proxy {
		h.Flags |= netlink.NTF_PROXY
	} else {
		attrs = append(attrs, nl.NewRtAttr(ndaLLAddr, n.MAC.HardwareAddr()))
	}
	if n.Protocol != 0 {
		attrs = append(attrs, nl.NewRtAttr(ndaProtocol, []byte{byte(n.Protocol)}))
	}
	return h, attrs
}
