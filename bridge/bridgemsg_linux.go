package bridge

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// captureTree reads what the netlink library leaves out of a bridge.
func (l *Link) captureTree(index int) error {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	req.AddData(header)
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return fmt.Errorf("read bridge %s: %w", l.Name, err)
	}
	for _, m := range msgs {
		attrs, err := nl.ParseRouteAttr(m[header.Len():])
		for _, nested := range []uint16{unix.IFLA_LINKINFO, nl.IFLA_INFO_DATA} {
			var inner []byte
			for _, a := range attrs {
				if a.Attr.Type&^unix.NLA_F_NESTED == nested {
					inner = a.Value
				}
			}
			if err == nil {
				attrs, err = nl.ParseRouteAttr(inner)
			}
		}
		if err != nil {
			return fmt.Errorf("parse bridge %s: %w", l.Name, err)
		}
		for _, a := range attrs {
			switch {
			case len(a.Value) < 4:
			case a.Attr.Type == nl.IFLA_BR_STP_STATE:
				l.STP = binary.NativeEndian.Uint32(a.Value) != 0
			case a.Attr.Type == nl.IFLA_BR_FORWARD_DELAY:
				l.ForwardDelay = time.Duration(binary.NativeEndian.Uint32(a.Value)) * (time.Second / userHZ)
			}
		}
	}
	return nil
}

// setTree switches the spanning tree of a bridge. A delay that is too short for
// it is taken only while it is off.
func setTree(name string, on bool, delay time.Duration) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	set := func(attr int, value uint32) error {
		return setBridge(link.Attrs().Index, attr, nl.Uint32Attr(value))
	}
	ticks := uint32(delay / (time.Second / userHZ))
	if on {
		if err := set(nl.IFLA_BR_FORWARD_DELAY, ticks); err != nil {
			return fmt.Errorf("set forward delay: %w", err)
		}
		return set(nl.IFLA_BR_STP_STATE, 1)
	}
	if err := set(nl.IFLA_BR_STP_STATE, 0); err != nil {
		return err
	}
	return wrap(set(nl.IFLA_BR_FORWARD_DELAY, ticks), "set forward delay")
}

// setGroups changes what group addresses a bridge forwards.
func setGroups(name string, mask uint16) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	return setBridge(link.Attrs().Index, nl.IFLA_BR_GROUP_FWD_MASK, nl.Uint16Attr(mask))
}

// setBridge changes one of a bridge's settings.
func setBridge(index, attr int, value []byte) error {
	header := nl.NewIfInfomsg(unix.AF_UNSPEC)
	header.Index = int32(index)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("bridge"))
	info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(attr, value)
	return send(unix.RTM_NEWLINK, 0, header, []nl.NetlinkRequestData{info})
}
