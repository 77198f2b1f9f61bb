package macrewrite

import (
	"fmt"
	"os"
	"testing"

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
	guest3
	host // br0 in the server
	places
)

func (p place) String() string {
	return [...]string{"provider", "guest1", "guest2", "guest3", "host"}[p]
}

// network is a provider, a server with br0 and uplink, and three guests.
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
		iface: [places]string{"prov0", "eth0", "eth0", "eth0", "br0"},
		mac: [places]slaac.MAC{
			{0x02, 0, 0, 0, 0, 1}, {0x52, 0x54, 0, 0, 0, 0x11}, {0x52, 0x54, 0, 0, 0, 0x22}, {0x52, 0x54, 0, 0, 0, 0x33}, sample().MAC,
		},
	}
	for p := range places {
		n.ns[p] = nstest.NS(t)
	}
	ports := [...]string{provider: "enp2s0", guest1: "vnet0", guest2: "vnet1", guest3: "vnet2"}
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
			if !quiet {
				continue
			}
			// Where the bridge believes everybody to be does not change, so that one
			// mutant leaves nothing behind for the next.
			if err := h.NeighAdd(&netlink.Neigh{
				Family: unix.AF_BRIDGE, LinkIndex: l.Attrs().Index, State: netlink.NUD_NOARP,
				Flags: netlink.NTF_MASTER | netlink.NTF_STICKY, HardwareAddr: n.mac[p].HardwareAddr(),
			}); err != nil {
				return fmt.Errorf("tell br0 where %s is: %w", place(p), err)
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
