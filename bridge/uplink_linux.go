package bridge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nldump"
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
	links, err := nldump.Retry(h.LinkList)
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
	family, err := genlFamily("nl80211")
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
	req := nl.NewNetlinkRequest(family, 0)
	req.AddData(genlHeader{getInterface})
	req.AddData(nl.NewRtAttr(attrIfindex, nl.Uint32Attr(uint32(index))))
	_, err = req.Execute(unix.NETLINK_GENERIC, 0)
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	return err == nil, err
}

// genlHeader is a struct genlmsghdr: command, version, two reserved octets. The
// library's own has two octets, and sends whatever lies behind them.
type genlHeader [4]byte

func (h genlHeader) Len() int          { return len(h) }
func (h genlHeader) Serialize() []byte { return h[:] }

// genlFamily asks for the number of a generic netlink family. The error of one
// that the kernel lacks matches unix.ENOENT.
func genlFamily(name string) (int, error) {
	req := nl.NewNetlinkRequest(nl.GENL_ID_CTRL, 0)
	req.AddData(genlHeader{nl.GENL_CTRL_CMD_GETFAMILY, nl.GENL_CTRL_VERSION})
	req.AddData(nl.NewRtAttr(nl.GENL_CTRL_ATTR_FAMILY_NAME, nl.ZeroTerminated(name)))
	answers, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return 0, err
	}
	for _, b := range answers {
		if len(b) < len(genlHeader{}) {
			continue
		}
		attrs, err := nl.ParseRouteAttr(b[len(genlHeader{}):])
		if err != nil {
			return 0, fmt.Errorf("parse the answer: %w", err)
		}
		for _, a := range attrs {
			if a.Attr.Type == nl.GENL_CTRL_ATTR_FAMILY_ID && len(a.Value) >= 2 {
				return int(binary.NativeEndian.Uint16(a.Value)), nil
			}
		}
	}
	return 0, errors.New("the answer has no number")
}
