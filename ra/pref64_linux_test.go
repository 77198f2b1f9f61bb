package ra

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/siit"
	"github.com/sixhost/sixhost/slaac"
)

// clat is a guest's translator (RFC 6877): IPv4 programs of the guest reach the
// IPv4 Internet by the prefix that its kernel heard in a router advertisement.
// It learns that prefix from the kernel's notification alone.
type clat struct {
	tun    *os.File
	v6     netip.Addr
	prefix atomic.Pointer[nat64.Prefix] // nil: none
	told   chan string
}

func (c *clat) To6(v4 netip.Addr, role siit.Role) (netip.Addr, siit.Reason) {
	if role == siit.Source {
		return c.v6, siit.Translated
	}
	p := c.prefix.Load()
	if p == nil {
		return netip.Addr{}, siit.NotMapped
	}
	return p.Embed(v4), siit.Translated
}

func (c *clat) To4(v6 netip.Addr, role siit.Role) (netip.Addr, siit.Reason) {
	if role != siit.Source {
		return clatV4(), siit.Translated
	}
	p := c.prefix.Load()
	if p == nil {
		return netip.Addr{}, siit.NotMapped
	}
	v4, ok := p.Extract(v6)
	if !ok {
		return netip.Addr{}, siit.NotMapped
	}
	return v4, siit.Translated
}

// clatV4 is of the range that RFC 7335 has for this.
func clatV4() netip.Addr { return netip.MustParseAddr("192.0.0.1") }

// translate moves packets until the device is closed.
func (c *clat) translate() {
	t := &siit.Translator{Map: c}
	in, out := make([]byte, 1<<16), make([]byte, 1<<16)
	for {
		n, err := c.tun.Read(in)
		if err != nil {
			return
		}
		var size int
		if in[0]>>4 == 4 {
			size, _ = t.To6(out, in[:n], siit.Offload{})
		} else {
			size, _ = t.To4(out, in[:n], siit.Offload{})
		}
		if size > 0 {
			c.tun.Write(out[:size])
		}
	}
}

// listen reads what the kernel passes on of router advertisements
// (linux/rtnetlink.h, struct nduseroptmsg) until the socket is closed.
func (c *clat) listen(conn *netlink.Conn) {
	for {
		msgs, err := conn.Receive()
		if err != nil {
			return
		}
		for _, m := range msgs {
			const header = 16
			if len(m.Data) < header || m.Data[8] != typeAdvertisement {
				continue
			}
			o := m.Data[header:]
			// RFC 8781, section 4.
			if len(o) < 16 || o[0] != 38 || o[1] != 2 {
				continue
			}
			word := binary.BigEndian.Uint16(o[2:])
			bits := []int{96, 64, 56, 48, 40, 32}[word&7]
			var a [16]byte
			copy(a[:], o[4:16])
			p, err := nat64.PrefixFrom(netip.PrefixFrom(netip.AddrFrom16(a), bits))
			if err != nil {
				continue
			}
			seconds := int(word>>3) * 8
			if old := c.prefix.Load(); seconds > 0 {
				c.prefix.Store(&p)
			} else if old != nil && *old == p {
				c.prefix.Store(nil)
			}
			select {
			case c.told <- fmt.Sprintf("%s %d", p, seconds):
			default:
			}
		}
	}
}

// TestPREF64IsUsed: an IPv4-only program in an IPv6-only guest reaches an IPv4
// address by the prefix from the advertisement; when the prefix is replaced, by
// the new one, and the old is taken back.
func TestPREF64IsUsed(t *testing.T) {
	nstest.RequireTun(t)
	n := newTestNet(t)
	first, second := mustPrefix("2001:db8:64:1::/96"), mustPrefix("2001:db8:64:200::/56")
	v4 := netip.MustParseAddr("198.51.100.7")
	c := &clat{v6: netip.MustParseAddr("2001:db8:1:3::c1a7"), told: make(chan string, 100)}
	var events *netlink.Conn
	nstest.Do(t, n.guest, func() (err error) {
		for path, v := range map[string]string{"conf/all/forwarding": "1", "conf/" + guestLink + "/accept_ra": "2"} {
			if err := sysctl.Write("net/ipv6/"+path, v); err != nil {
				return err
			}
		}
		if events, err = netlink.Dial(unix.NETLINK_ROUTE, nil); err != nil {
			return err
		}
		if err := events.JoinGroup(unix.RTNLGRP_ND_USEROPT); err != nil {
			return err
		}
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq("clat")
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			unix.Close(fd)
			return fmt.Errorf("make TUN: %w", err)
		}
		c.tun = os.NewFile(uintptr(fd), "clat")
		return nil
	})
	go c.translate()
	go c.listen(events)
	t.Cleanup(func() { c.tun.Close(); events.Close() })
	n.guestUp(t, true)
	for _, args := range [][]string{
		{"link", "set", "clat", "up", "mtu", "1480"}, {"addr", "add", clatV4().String() + "/32", "dev", "clat"},
		{"route", "add", "default", "dev", "clat"}, {"-6", "route", "add", c.v6.String(), "dev", "clat"},
	} {
		nstest.Output(t, n.guest, "ip", args...)
	}
	// What stands for the IPv4 Internet behind a NAT64 is the router itself.
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"-6", "route", "add", c.v6.String(), "via", slaac.LinkLocal(n.guestMAC).String(), "dev", routerLink}} {
		nstest.Output(t, n.router, "ip", args...)
	}
	for _, p := range []netip.Prefix{first, second} {
		prefix, err := nat64.PrefixFrom(p)
		if err != nil {
			t.Fatal(err)
		}
		nstest.Output(t, n.router, "ip", "-6", "addr", "add", prefix.Embed(v4).String()+"/128", "dev", "lo")
	}
	var l net.Listener
	nstest.Do(t, n.router, func() (err error) {
		l, err = net.Listen("tcp6", "[::]:7")
		return err
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s to %s", conn.RemoteAddr().(*net.TCPAddr).IP, conn.LocalAddr().(*net.TCPAddr).IP)
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })

	cfg := kernelConfig()
	cfg.PREF64 = []PREF64{{Prefix: first}}
	s, _ := n.serve(t, cfg)
	reaches := func(p netip.Prefix) {
		t.Helper()
		prefix, err := nat64.PrefixFrom(p)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("%s to %s", c.v6, prefix.Embed(v4))
		eventually(t, 20*time.Second, func() (got string) {
			err := n.guest.Do(func() error {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", v4.String()+":7")
				if err != nil {
					got = err.Error()
					return nil
				}
				defer conn.Close()
				b, _ := io.ReadAll(conn)
				got = string(b)
				return nil
			})
			switch {
			case err != nil:
				return err.Error()
			case got != want:
				return fmt.Sprintf("%q, want %q", got, want)
			}
			return ""
		})
	}
	reaches(first)
	cfg = s.Config()
	cfg.PREF64 = []PREF64{{Prefix: second}}
	if err := s.Update(cfg); err != nil {
		t.Fatal(err)
	}
	for deadline := time.After(20 * time.Second); ; {
		select {
		case got := <-c.told:
			if got != first.String()+" 0" {
				continue
			}
		case <-deadline:
			t.Fatal("the old prefix isn't taken back")
		}
		break
	}
	reaches(second)
}
