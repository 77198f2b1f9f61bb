package lab

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/ifaddr"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// Node is one machine of the lab: a network namespace with a name.
type Node struct {
	name string
	// v4 and v6 are the addresses it is reached by, where it speaks the family.
	v4, v6 netip.Addr
	ns     *netns.NS
	nl     *netlink.Handle
	bound  string // the file that holds ns by name, if any
}

// newNode makes a namespace and, where names is not empty, holds it by name in
// that folder too.
func newNode(name, names string) (*Node, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("make node %s: %w", name, err)
	}
	n := &Node{name: name, ns: ns}
	if n.nl, err = ns.Handle(unix.NETLINK_ROUTE); err != nil {
		ns.Close()
		return nil, fmt.Errorf("make node %s: %w", name, err)
	}
	if names == "" {
		return n, nil
	}
	path := filepath.Join(names, name)
	err = os.WriteFile(path, nil, 0o444)
	if err == nil {
		n.bound = path
		err = unix.Mount(fmt.Sprintf("/proc/self/fd/%d", ns.File().Fd()), path, "", unix.MS_BIND, "")
	}
	if err != nil {
		n.close()
		return nil, fmt.Errorf("name node %s: %w", name, err)
	}
	return n, nil
}

func (n *Node) close() {
	if n.bound != "" {
		unix.Unmount(n.bound, unix.MNT_DETACH)
		os.Remove(n.bound)
	}
	n.nl.Close()
	n.ns.Close()
}

// Name is the node's name in the lab and, below ZoneName, in DNS.
func (n *Node) Name() string { return n.name }

// NS is the node's network namespace, the lab's own to close.
func (n *Node) NS() *netns.NS { return n.ns }

// Do runs fn in the node. Goroutines that fn starts don't run in it; sockets that
// fn opens stay in it.
func (n *Node) Do(fn func() error) error { return n.ns.Do(fn) }

// Start starts a program in the node.
func (n *Node) Start(cmd *exec.Cmd) error { return n.ns.Start(cmd) }

// IPv4 is the address the node is reached by, invalid where it has none. For the
// server and its guests it is what the provider gave to the server.
func (n *Node) IPv4() netip.Addr { return n.v4 }

// IPv6 is the address the node is reached by, invalid where it has none. For a
// guest it is the one expected of SLAAC.
func (n *Node) IPv6() netip.Addr { return n.v6 }

// sysctls sets kernel parameters in the node, given as key and value in turn.
func (n *Node) sysctls(pairs ...string) error {
	return n.Do(func() error {
		for i := 0; i < len(pairs); i += 2 {
			if err := sysctl.Write(pairs[i], pairs[i+1]); err != nil {
				return fmt.Errorf("set up node %s: %w", n.name, err)
			}
		}
		return nil
	})
}

// end is one end of a cable.
type end struct {
	node *Node
	link string
	mac  net.HardwareAddr // nil: the kernel's choice
}

// cable joins two nodes by a link that is down at both ends.
func cable(a, b end) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = a.link, a.mac
	v := netlink.NewVeth(attrs)
	v.PeerName, v.PeerHardwareAddr = b.link, b.mac
	v.PeerNamespace = netlink.NsFd(b.node.ns.File().Fd())
	if err := a.node.nl.LinkAdd(v); err != nil {
		return fmt.Errorf("join %s of %s to %s of %s: %w", a.link, a.node.name, b.link, b.node.name, err)
	}
	return nil
}

// link finds an interface of the node.
func (n *Node) link(name string) (netlink.Link, error) {
	l, err := n.nl.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find %s of %s: %w", name, n.name, err)
	}
	return l, nil
}

// upAtOnce sets a link up with addresses that can be used at once, without DAD,
// and none made by the kernel.
func (n *Node) upAtOnce(name string, addrs ...netip.Prefix) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	// 1 is IN6_ADDR_GEN_MODE_NONE. Loopback has no such mode, nor needs it.
	if err := n.nl.LinkSetIP6AddrGenMode(l, 1); err != nil && l.Attrs().Flags&net.FlagLoopback == 0 {
		return fmt.Errorf("stop %s of %s from making addresses: %w", name, n.name, err)
	}
	return n.addresses(name, addrs, func(l netlink.Link, a *netlink.Addr) error {
		return ifaddr.AddReady(context.Background(), n.nl, l, a)
	})
}

// up sets a link up and adds addresses, with which the kernel does what it does
// with new ones.
func (n *Node) up(name string, addrs ...netip.Prefix) error {
	return n.addresses(name, addrs, n.nl.AddrAdd)
}

func (n *Node) addresses(name string, addrs []netip.Prefix, add func(netlink.Link, *netlink.Addr) error) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	if err := n.nl.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s of %s up: %w", name, n.name, err)
	}
	for _, p := range addrs {
		if err := add(l, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
			return fmt.Errorf("add %v to %s of %s: %w", p, name, n.name, err)
		}
	}
	return nil
}

// route adds a route through a link; an invalid gateway means that dst is on
// the link itself.
func (n *Node) route(dst netip.Prefix, via netip.Addr, name string) error {
	l, err := n.link(name)
	if err != nil {
		return err
	}
	r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(dst), Protocol: unix.RTPROT_STATIC}
	switch {
	case !via.IsValid():
		r.Scope = netlink.SCOPE_LINK
	case via.Is4():
		r.Gw, r.Flags = via.AsSlice(), int(netlink.FLAG_ONLINK)
	default:
		r.Gw = via.AsSlice()
	}
	if err := n.nl.RouteAdd(r); err != nil {
		return fmt.Errorf("add route of %s to %v via %v: %w", n.name, dst, via, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func anywhere4() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 0) }

func anywhere6() netip.Prefix { return netip.PrefixFrom(netip.IPv6Unspecified(), 0) }
