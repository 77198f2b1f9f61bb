package macrewrite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/slaac"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// place is where a frame is sent or seen.
type place int

const (
	provider place = iota // the provider's end of the NIC's cable
	guest1
	guest2
	host // br0 in the server
	places
)

func (p place) String() string { return [...]string{"provider", "guest1", "guest2", "host"}[p] }

// network is a provider, a server with br0 and uplink, and two guests.
type network struct {
	ns    [places]*netns.NS
	iface [places]string
	mac   [places]slaac.MAC
}

// newNetwork builds it, with the rules in place before the first port is on
// br0. Quiet means without IPv6, so that only frames of the test are about.
// Links are down but for the server's.
func newNetwork(t *testing.T, quiet bool, rules State) *network {
	n := &network{
		iface: [places]string{"prov0", "eth0", "eth0", "br0"},
		mac: [places]slaac.MAC{
			{0x02, 0, 0, 0, 0, 1}, {0x52, 0x54, 0, 0, 0, 0x11}, {0x52, 0x54, 0, 0, 0, 0x22}, sample().MAC,
		},
	}
	for p := range places {
		n.ns[p] = nstest.NS(t)
	}
	ports := [...]string{provider: "enp2s0", guest1: "vnet0", guest2: "vnet1"}
	for p := range places {
		nstest.Do(t, n.ns[p], func() error {
			for _, k := range []string{"all", "default"} {
				if err := sysctl.Write("net/ipv6/conf/"+k+"/disable_ipv6", map[bool]string{true: "1", false: "0"}[quiet]); err != nil {
					return err
				}
			}
			if p == provider || p == host {
				return sysctl.Write("net/ipv6/conf/default/accept_ra", "0")
			}
			return nil
		})
	}
	if err := n.apply(rules); err != nil {
		t.Fatal(err)
	}
	nstest.Do(t, n.ns[host], func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		off := false
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", HardwareAddr: n.mac[host].HardwareAddr()}, MulticastSnooping: &off}
		if err := h.LinkAdd(br); err != nil {
			return fmt.Errorf("add br0: %w", err)
		}
		// br0 has the addresses it is given, no others.
		if err := sysctl.Write("net/ipv6/conf/br0/addr_gen_mode", "1"); err != nil {
			return err
		}
		for p, port := range ports {
			hw := slaac.MAC{0xfe, 0, 0, 0, 0, byte(p + 1)}
			if place(p) == provider {
				hw = n.mac[host]
			}
			if err := h.LinkAdd(&netlink.Veth{
				LinkAttrs: netlink.LinkAttrs{Name: port, HardwareAddr: hw.HardwareAddr()},
				PeerName:  n.iface[p], PeerHardwareAddr: n.mac[p].HardwareAddr(),
				PeerNamespace: netlink.NsFd(n.ns[p].File().Fd()),
			}); err != nil {
				return fmt.Errorf("add %s: %w", port, err)
			}
			// A port has no addresses of its own.
			if err := sysctl.Write("net/ipv6/conf/"+port+"/disable_ipv6", "1"); err != nil {
				return err
			}
			l, err := h.LinkByName(port)
			if err != nil {
				return err
			}
			if err := h.LinkSetMaster(l, br); err != nil {
				return fmt.Errorf("put %s on br0: %w", port, err)
			}
			if err := h.LinkSetUp(l); err != nil {
				return err
			}
		}
		return h.LinkSetUp(br)
	})
	return n
}

// up sets the outer ends of all ports up.
func (n *network) up(t *testing.T) {
	t.Helper()
	for p := range host {
		nstest.Do(t, n.ns[p], func() error {
			h, err := netlink.NewHandle()
			if err != nil {
				return err
			}
			defer h.Close()
			l, err := h.LinkByName(n.iface[p])
			if err != nil {
				return err
			}
			return h.LinkSetUp(l)
		})
	}
}

// socket opens a packet socket on the place's interface.
func (n *network) socket(t *testing.T, p place) int {
	t.Helper()
	var fd int
	nstest.Do(t, n.ns[p], func() error {
		h, err := netlink.NewHandle()
		if err != nil {
			return err
		}
		defer h.Close()
		l, err := h.LinkByName(n.iface[p])
		if err != nil {
			return err
		}
		const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, all); err != nil {
			return fmt.Errorf("open packet socket: %w", err)
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: l.Attrs().Index})
	})
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// prober sends frames and sees where they arrive.
type prober struct {
	n    *network
	fd   [places]int
	next uint32
}

func newProber(t *testing.T, n *network) *prober {
	// Frames are worked on by the CPU that sends them; on one CPU they keep
	// their order, so that what has not come before a later frame never comes.
	runtime.LockOSThread()
	var one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	for cpu, found := 0, false; cpu < 1024; cpu++ {
		if one.IsSet(cpu) && found {
			one.Clear(cpu)
		}
		found = found || one.IsSet(cpu)
	}
	// The thread stays locked, and ends with the test's goroutine.
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	pr := &prober{n: n}
	for p := range places {
		pr.fd[p] = n.socket(t, p)
	}
	return pr
}

// broadcast is a frame that nobody else ever sent.
func (pr *prober) broadcast(from place) []byte {
	pr.next++
	// 0x88b5 is IEEE 802's local experimental ethertype.
	return eth(slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, pr.n.mac[from], 0x88b5, binary.BigEndian.AppendUint32(make([]byte, 56), pr.next))
}

// probe sends one frame and, behind it, a broadcast from every place, and
// returns where the frame arrived once the broadcasts have.
func (pr *prober) probe(from place, frame []byte) (arrived [places]bool, err error) {
	var broadcasts [places][]byte
	if err := unix.Send(pr.fd[from], frame, 0); err != nil {
		return arrived, fmt.Errorf("send: %w", err)
	}
	for p := range places {
		broadcasts[p] = pr.broadcast(p)
		if err := unix.Send(pr.fd[p], broadcasts[p], 0); err != nil {
			return arrived, fmt.Errorf("send broadcast: %w", err)
		}
	}
	// Who hears whose broadcast, whatever the rules that are tested say.
	hears := [places][]place{provider: {host}, guest1: {guest2, host}, guest2: {guest1, host}, host: {provider, guest1, guest2}}
	deadline := time.Now().Add(5 * time.Second)
	buf := make([]byte, 2048)
	for p := range places {
		waiting := map[place]bool{}
		for _, q := range hears[p] {
			waiting[q] = true
		}
		for len(waiting) > 0 {
			k, from, err := unix.Recvfrom(pr.fd[p], buf, 0)
			if err == unix.EAGAIN {
				if time.Now().After(deadline) {
					return arrived, fmt.Errorf("%s does not hear %v", p, waiting)
				}
				unix.Poll([]unix.PollFd{{Fd: int32(pr.fd[p]), Events: unix.POLLIN}}, 100)
				continue
			}
			if err != nil && err != unix.EINTR {
				return arrived, fmt.Errorf("receive: %w", err)
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if bytes.Contains(buf[:k], mark()) {
				arrived[p] = true
			}
			for q := range waiting {
				if bytes.Equal(buf[:k], broadcasts[q]) {
					delete(waiting, q)
				}
			}
		}
	}
	return arrived, nil
}
