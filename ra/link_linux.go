package ra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/slaac"
)

// linkWatcher asks the kernel about one interface by route netlink: unlike
// /proc and /sys its sockets stay in the network namespace they were made in.
type linkWatcher struct {
	name   string
	ask    *netlink.Conn
	events *netlink.Conn
	// cur is the interface's index as last seen, for telling which events
	// matter; 0 is none.
	cur    atomic.Int32
	chosen netip.Addr
}

var _ watcher = &linkWatcher{}

func newWatcher(name string) (*linkWatcher, error) {
	// Where the kernel knows no strict checks it sends more than was asked for,
	// and what is too much is left out here.
	ask, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Strict: true})
	if err != nil {
		ask, err = netlink.Dial(unix.NETLINK_ROUTE, nil)
	}
	if err != nil {
		return nil, fmt.Errorf("open route netlink: %w", err)
	}
	events, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		ask.Close()
		return nil, fmt.Errorf("open route netlink: %w", err)
	}
	for _, group := range []uint32{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV6_NETCONF} {
		if err := events.JoinGroup(group); err != nil {
			ask.Close()
			events.Close()
			return nil, fmt.Errorf("join route netlink group %d: %w", group, err)
		}
	}
	return &linkWatcher{name: name, ask: ask, events: events}, nil
}

func (w *linkWatcher) close() error { return errors.Join(w.ask.Close(), w.events.Close()) }

// wait returns at the first event about the interface.
func (w *linkWatcher) wait() error {
	for {
		msgs, err := w.events.Receive()
		if errors.Is(err, unix.ENOBUFS) {
			return nil // events were lost: look
		}
		if err != nil {
			return fmt.Errorf("receive route netlink event: %w", err)
		}
		for _, m := range msgs {
			if w.concerns(m) {
				return nil
			}
		}
	}
}

func (w *linkWatcher) concerns(m netlink.Message) bool {
	cur := w.cur.Load()
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Data) < unix.SizeofIfInfomsg {
			return false
		}
		if nativeInt32(m.Data[4:]) == cur {
			return true
		}
		return attributes(m.Data[unix.SizeofIfInfomsg:]).text(unix.IFLA_IFNAME) == w.name
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return len(m.Data) >= unix.SizeofIfAddrmsg && nativeInt32(m.Data[4:]) == cur
	case unix.RTM_NEWNETCONF:
		if len(m.Data) < netconfLen {
			return false
		}
		index, ok := attributes(m.Data[netconfLen:]).int32(netconfIndex)
		return ok && (index == cur || index < 0) // below zero: all interfaces
	}
	return false
}

// link describes the interface if it is ready to be advertised on.
func (w *linkWatcher) link() (Link, error) {
	l, flags, err := w.read()
	if err != nil {
		w.cur.Store(0)
		return Link{}, err
	}
	w.cur.Store(int32(l.Index))
	if flags&unix.IFF_UP == 0 {
		return Link{}, fmt.Errorf("interface %s is down", w.name)
	}
	if l.Address, err = w.linkLocal(l); err != nil {
		return Link{}, err
	}
	w.chosen = l.Address
	if l.Forwarding, err = w.forwarding(l.Index); err != nil {
		return Link{}, err
	}
	return l, nil
}

func (w *linkWatcher) index() (int, error) {
	l, _, err := w.read()
	return l.Index, err
}

// gone reports whether an error says that there is no such interface, or was none
// any more by the time it was to be used.
func gone(err error) bool { return errors.Is(err, unix.ENODEV) }

// read asks for the link itself.
func (w *linkWatcher) read() (Link, uint32, error) {
	e := netlink.NewAttributeEncoder()
	e.String(unix.IFLA_IFNAME, w.name)
	body, err := e.Encode()
	if err != nil {
		return Link{}, 0, fmt.Errorf("ask for interface %s: %w", w.name, err)
	}
	msgs, err := w.ask.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request},
		Data:   append(make([]byte, unix.SizeofIfInfomsg), body...),
	})
	if errors.Is(err, unix.ENODEV) {
		return Link{}, 0, fmt.Errorf("interface %s does not exist: %w", w.name, unix.ENODEV)
	}
	if err != nil {
		return Link{}, 0, fmt.Errorf("ask for interface %s: %w", w.name, err)
	}
	if len(msgs) != 1 || len(msgs[0].Data) < unix.SizeofIfInfomsg {
		return Link{}, 0, fmt.Errorf("ask for interface %s: %d answers", w.name, len(msgs))
	}
	d := msgs[0].Data
	a := attributes(d[unix.SizeofIfInfomsg:])
	l := Link{Index: int(nativeInt32(d[4:]))}
	if mtu, ok := a.int32(unix.IFLA_MTU); ok {
		l.MTU = int(mtu)
	}
	if binary.NativeEndian.Uint16(d[2:]) == unix.ARPHRD_ETHER {
		if mac, err := slaac.MACFrom(net.HardwareAddr(a[unix.IFLA_ADDRESS])); err == nil {
			l.MAC = mac
		}
	}
	return l, binary.NativeEndian.Uint32(d[8:]), nil
}

// linkLocal picks the address to send from: the one in use if it is still
// there, as hosts know the router by it, else the one made from the MAC, else
// the first.
func (w *linkWatcher) linkLocal(l Link) (netip.Addr, error) {
	req := make([]byte, unix.SizeofIfAddrmsg)
	req[0] = unix.AF_INET6
	binary.NativeEndian.PutUint32(req[4:], uint32(l.Index))
	msgs, err := w.ask.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETADDR, Flags: netlink.Request | netlink.Dump},
		Data:   req,
	})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("ask for addresses of %s: %w", w.name, err)
	}
	var best netip.Addr
	tentative := false
	for _, m := range msgs {
		if len(m.Data) < unix.SizeofIfAddrmsg || m.Data[0] != unix.AF_INET6 || nativeInt32(m.Data[4:]) != int32(l.Index) {
			continue
		}
		a := attributes(m.Data[unix.SizeofIfAddrmsg:])
		addr, ok := netip.AddrFromSlice(a[unix.IFA_ADDRESS])
		if !ok || !addr.IsLinkLocalUnicast() {
			continue
		}
		flags := uint32(m.Data[2])
		if f, ok := a.int32(unix.IFA_FLAGS); ok {
			flags = uint32(f)
		}
		// An optimistic address is tentative too; nothing is sent from it that
		// has a source link-layer address option (RFC 4429, section 3.3).
		if flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
			tentative = true
			continue
		}
		if !best.IsValid() || addr == w.chosen || best != w.chosen && addr == slaac.LinkLocal(l.MAC) {
			best = addr
		}
	}
	switch {
	case best.IsValid():
		return best, nil
	case tentative:
		return netip.Addr{}, fmt.Errorf("interface %s: link-local address is still tentative", w.name)
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no link-local address", w.name)
}

// linux/netconf.h, which x/sys lacks.
const (
	netconfLen        = 4 // struct netconfmsg, padded
	netconfIndex      = 1 // NETCONFA_IFINDEX
	netconfForwarding = 2 // NETCONFA_FORWARDING
)

// forwarding asks for what the sysctl net.ipv6.conf.<interface>.forwarding
// says.
func (w *linkWatcher) forwarding(index int) (bool, error) {
	e := netlink.NewAttributeEncoder()
	e.Int32(netconfIndex, int32(index))
	body, err := e.Encode()
	if err != nil {
		return false, fmt.Errorf("ask whether %s forwards: %w", w.name, err)
	}
	msgs, err := w.ask.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETNETCONF, Flags: netlink.Request},
		Data:   append([]byte{unix.AF_INET6, 0, 0, 0}, body...),
	})
	if err != nil {
		return false, fmt.Errorf("ask whether %s forwards: %w", w.name, err)
	}
	for _, m := range msgs {
		if len(m.Data) < netconfLen {
			continue
		}
		if v, ok := attributes(m.Data[netconfLen:]).int32(netconfForwarding); ok {
			return v != 0, nil
		}
	}
	return false, fmt.Errorf("ask whether %s forwards: no answer", w.name)
}

// attrs are netlink attributes by type.
type attrs map[uint16][]byte

// attributes reads what can be read.
func attributes(b []byte) attrs {
	a := make(attrs)
	d, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return a
	}
	for d.Next() {
		a[d.Type()] = d.Bytes()
	}
	return a
}

func (a attrs) int32(t uint16) (int32, bool) {
	b, ok := a[t]
	if !ok || len(b) != 4 {
		return 0, false
	}
	return nativeInt32(b), true
}

func (a attrs) text(t uint16) string {
	b := a[t]
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}

func nativeInt32(b []byte) int32 { return int32(binary.NativeEndian.Uint32(b)) }
