package proof

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/slaac"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func config() Config {
	return Config{Uplink: "enp2s0", MAC: slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}, Host: []netip.Addr{ip("2001:db8:1:3::2")}}
}

// frame is IPv6 with these headers in front of its ICMPv6 type, which is
// missing if typ is 0.
func frame(src slaac.MAC, from, to netip.Addr, typ byte, headers ...byte) []byte {
	var payload []byte
	for i := range headers {
		next := byte(58)
		if i+1 < len(headers) {
			next = headers[i+1]
		}
		payload = append(payload, next, 0, 0, 0, 0, 0, 0, 0)
	}
	if typ != 0 {
		payload = append(payload, typ, 0, 0, 0, 0, 0, 0, 0)
	}
	first := byte(58)
	if len(headers) > 0 {
		first = headers[0]
	}
	return slices.Concat(make([]byte, 6), src[:], []byte{0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(payload)), first, 255}, from.AsSlice(), to.AsSlice(), payload)
}

// network is a namespace with the uplink and one more link, on which frames
// arrive; the other ends are in another.
type network struct {
	ns, other  *netns.NS
	up, inside int // packet sockets on the uplink and on the other end of the inner link
}

func newNetwork(t *testing.T) network {
	n := network{ns: nstest.NS(t), other: nstest.NS(t)}
	for _, ns := range []*netns.NS{n.ns, n.other} {
		nstest.Do(t, ns, func() error { return sysctl.Write("net/ipv6/conf/default/disable_ipv6", "1") })
	}
	nstest.Do(t, n.ns, func() error {
		for _, l := range [][2]string{{"enp2s0", "prov0"}, {"in0", "out0"}} {
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l[0]}, PeerName: l[1], PeerNamespace: netlink.NsFd(n.other.File().Fd())}); err != nil {
				return fmt.Errorf("add %s: %w", l[0], err)
			}
			link, err := netlink.LinkByName(l[0])
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(link); err != nil {
				return err
			}
		}
		return nil
	})
	socket := func(ns *netns.NS, name string) (fd int) {
		nstest.Do(t, ns, func() error {
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(link); err != nil {
				return err
			}
			all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
			if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
				return err
			}
			return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index})
		})
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	nstest.Do(t, n.other, func() error {
		l, err := netlink.LinkByName("prov0")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
	n.inside = socket(n.other, "out0")
	n.up = socket(n.ns, "enp2s0")
	return n
}

func (n network) counter(t *testing.T, way string) *Counter {
	t.Helper()
	var c *Counter
	nstest.Do(t, n.ns, func() (err error) { c, err = newCounter(config(), way); return err })
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// read reads the counts, but for what a link sends by itself.
func read(t *testing.T, c *Counter) Counts {
	t.Helper()
	got, err := c.Read(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (n network) send(t *testing.T, fd int, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if err := unix.Send(fd, f, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCounts: each way counts each kind of frame.
func TestCounts(t *testing.T) {
	nstest.RequireRoot(t)
	mac, foreign := config().MAC, slaac.MAC{0x52, 0x54, 0, 0, 0, 1}
	own, ll, guest, all := ip("2001:db8:1:3::2"), slaac.LinkLocal(mac), ip("2001:db8:1:3::99"), ip("ff02::1")
	for _, way := range []string{tcx, clsact, byNft} {
		t.Run(way, func(t *testing.T) {
			n := newNetwork(t)
			c := n.counter(t, way)
			if (c.Partial() != nil) != (way == byNft) {
				t.Errorf("partial: %v", c.Partial())
			}
			clean := [][]byte{
				frame(mac, own, ip("2001:db8:2::9"), 128), frame(mac, ll, all, 135), frame(mac, own, all, 143, 0), frame(mac, ip("::"), all, 135),
				append(append(make([]byte, 6), mac[:]...), append([]byte{8, 6}, make([]byte, 28)...)...),
			}
			n.send(t, n.up, clean...)
			if got := read(t, c); !got.Clean() || got.Frames != uint64(len(clean)) {
				t.Errorf("of %d clean frames: %s", len(clean), got)
			}
			for _, x := range []struct {
				name  string
				frame []byte
				want  Counts
			}{
				{"foreign source", frame(foreign, own, ip("2001:db8:2::9"), 128), Counts{Frames: 1, ForeignSource: 1}},
				{"RA", frame(mac, ll, all, 134), Counts{Frames: 1, RouterAdverts: 1}},
				{"RA behind hop-by-hop", frame(mac, ll, all, 134, 0), Counts{Frames: 1, RouterAdverts: 1}},
				{"RA behind three headers", frame(mac, ll, all, 134, 0, 60, 44), Counts{Frames: 1, RouterAdverts: 1}},
				{"redirect", frame(mac, ll, own, 137), Counts{Frames: 1, Redirects: 1}},
				{"guest's multicast", frame(mac, guest, all, 143), Counts{Frames: 1, GuestMulticast: 1}},
			} {
				before := read(t, c)
				n.send(t, n.up, x.frame)
				got := read(t, c)
				got.Frames -= before.Frames
				got.ForeignSource -= before.ForeignSource
				got.RouterAdverts -= before.RouterAdverts
				got.Redirects -= before.Redirects
				got.GuestMulticast -= before.GuestMulticast
				got.Unread -= before.Unread
				if got != x.want || got.Clean() {
					t.Errorf("%s: %s", x.name, got)
				}
			}
			if way != byNft {
				before := read(t, c)
				n.send(t, n.up, frame(mac, ll, all, 0, 0), frame(mac, ll, all, 134, slices.Repeat([]byte{60}, 9)...))
				if got := read(t, c); got.Unread != before.Unread+2 {
					t.Errorf("what can't be read: %s", got)
				}
			}
			// The guest's address becomes one of the host's.
			if err := c.Host([]netip.Addr{guest}); err != nil {
				t.Fatal(err)
			}
			before := read(t, c)
			n.send(t, n.up, frame(mac, guest, all, 143), frame(mac, own, all, 143))
			if got := read(t, c); got.GuestMulticast != before.GuestMulticast+1 {
				t.Errorf("after the host's address changed: %s", got)
			}
		})
	}
}

// TestRedirected sends frames to the uplink the way NAT64's fast path does, by
// bpf_redirect: BPF at the end of egress sees them, nftables does not, which is
// why it is called partial.
func TestRedirected(t *testing.T) {
	nstest.RequireRoot(t)
	for way, sees := range map[string]bool{tcx: true, clsact: true, byNft: false} {
		t.Run(way, func(t *testing.T) {
			n := newNetwork(t)
			c := n.counter(t, way)
			nstest.Do(t, n.ns, func() error {
				up, err := net.InterfaceByName("enp2s0")
				if err != nil {
					return err
				}
				in, err := net.InterfaceByName("in0")
				if err != nil {
					return err
				}
				p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "Apache-2.0", Instructions: asm.Instructions{
					asm.Mov.Imm(asm.R1, int32(up.Index)), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return(),
				}})
				if err != nil {
					return err
				}
				t.Cleanup(func() { p.Close() })
				l, err := link.AttachTCX(link.TCXOptions{Interface: in.Index, Program: p, Attach: ebpf.AttachTCXIngress})
				if err != nil {
					return err
				}
				t.Cleanup(func() { l.Close() })
				return nil
			})
			const sent = 5
			for range sent {
				n.send(t, n.inside, frame(slaac.MAC{0x52, 0x54, 0, 0, 0, 1}, ip("2001:db8:1:3::99"), ip("2001:db8:2::9"), 128))
			}
			got := read(t, c)
			if sees && (got.Frames != sent || got.ForeignSource != sent) || !sees && got.Frames != 0 {
				t.Errorf("of %d redirected frames: %s", sent, got)
			}
		})
	}
}

// What is not there is an error that names it, and nothing is left behind.
func TestNoUplink(t *testing.T) {
	ns := nstest.NS(t)
	if err := ns.Do(func() error { _, err := New(config()); return err }); err == nil {
		t.Error("counted on a link that is not there")
	}
}

// A kernel without BPF counts by nftables, and says what is in the way.
func TestFallsBack(t *testing.T) {
	n := newNetwork(t)
	var c *Counter
	nstest.Do(t, n.ns, func() (err error) {
		c, err = newCounter(config(), "something this kernel lacks", byNft)
		return err
	})
	defer c.Close()
	if c.Method() != byNft || c.Partial() == nil {
		t.Errorf("method %q, partial %v", c.Method(), c.Partial())
	}
}
