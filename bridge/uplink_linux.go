package bridge

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/plan"
)

// DefaultUplink finds the link of the default routes. If that is a bridge with
// a single port of its own MAC, which this package's plan leaves behind, the
// port is meant.
//
// It refuses, matching ErrNoUplink or ErrAmbiguousUplink, where there is no
// default route, where the best ones of a family leave through different
// links, or IPv4 and IPv6 do.
func DefaultUplink(ctx context.Context) (string, error) {
	s, err := Capture(ctx, Scope{})
	if err != nil {
		return "", err
	}
	name, err := chooseUplink(s.Elsewhere)
	if err != nil {
		return "", err
	}
	return portOf(name)
}

// portOf returns the port that gave a bridge its MAC, or the link itself.
func portOf(name string) (string, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return "", fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	link, err := h.LinkByName(name)
	if err != nil {
		return "", fmt.Errorf("read link %s: %w", name, err)
	}
	if link.Type() != "bridge" {
		return name, nil
	}
	links, err := retry(h.LinkList)
	if err != nil {
		return "", fmt.Errorf("list links: %w", err)
	}
	for _, l := range links {
		if l.Attrs().MasterIndex == link.Attrs().Index && l.Attrs().HardwareAddr.String() == link.Attrs().HardwareAddr.String() {
			return l.Attrs().Name, nil
		}
	}
	return "", &plan.Refusal{Subject: "uplink " + name, Reason: "is a bridge without a port of its own MAC; name the NIC", Err: ErrEnslaved}
}

// CheckPrivilege refuses, matching ErrPrivilege, where the calling process may
// not configure its network.
func CheckPrivilege() error {
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return &plan.Refusal{Subject: "privileges", Reason: "reading and changing the network's set-up needs CAP_NET_ADMIN; run this as root", Err: ErrPrivilege}
	}
	return nil
}

// isWireless asks nl80211 whether it knows the interface. Kernels without
// wireless support know none.
func isWireless(index int) (bool, error) {
	if index <= 0 || index > math.MaxInt32 {
		return false, nil
	}
	family, err := netlink.GenlFamilyGet("nl80211")
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find nl80211: %w", err)
	}
	const (
		getInterface = 5 // NL80211_CMD_GET_INTERFACE
		attrIfindex  = 3 // NL80211_ATTR_IFINDEX
	)
	req := nl.NewNetlinkRequest(int(family.ID), 0)
	req.AddData(&nl.Genlmsg{Command: getInterface})
	req.AddData(nl.NewRtAttr(attrIfindex, nl.Uint32Attr(uint32(index))))
	_, err = req.Execute(unix.NETLINK_GENERIC, 0)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	return err == nil, err
}
