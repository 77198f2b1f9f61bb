package fastpath

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/nat64"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

const (
	guestMAC = "52:54:00:00:00:01"
	hostMAC  = "52:54:00:00:00:02"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// stage is a host with the gateway's device and one guest, with the programs in
// place: what they do can be seen on both sides.
type stage struct {
	host, guest      *netns.NS
	dir, way         string
	settings         Settings
	device, link     int
	table            *Table
	atGuest, atHost  int // packet sockets
	guest6           netip.Addr
	pool             netip.Addr
	header           bool // packets carry a virtio-net header
	guestMAC, hostMC net.HardwareAddr
}

func newStage(t *testing.T, prefix string, header bool) *stage {
	return newStageBy(t, preferredWay(), prefix, header)
}

func newStageBy(t *testing.T, way, prefix string, header bool) *stage {
	s := &stage{way: way, dir: nstest.BPFFS(t) + "/nat64", header: header, guest6: addr("2001:db8:1:3::10"), pool: addr("10.64.0.5")}
	s.host, s.guest = nstest.NS(t), nstest.NS(t)
	s.guestMAC, _ = net.ParseMAC(guestMAC)
	s.hostMC, _ = net.ParseMAC(hostMAC)
	p, err := nat64.ParsePrefix(prefix)
	if err != nil {
		t.Fatal(err)
	}
	s.settings = Settings{Version: Version(), Prefix: p, MTU6: 1500, Denied: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("224.0.0.0/3")}}
	s.sh(t, s.host, "ip tuntap add nat64 mode tun multi_queue", "ip link set nat64 up mtu 1500",
		"ip link add vnet0 address "+hostMAC+" type veth peer name eth0 address "+guestMAC,
		"ip link set vnet0 up", "ip neigh add "+s.guest6.String()+" lladdr "+guestMAC+" dev vnet0 nud permanent")
	// The name is needed for `ip link set netns`; the descriptor's path does.
	s.sh(t, s.host, "ip link set eth0 netns /proc/"+pid()+"/fd/"+fd(s.guest))
	s.sh(t, s.guest, "ip link set eth0 up")
	nstest.Do(t, s.host, func() error {
		nat, err := net.InterfaceByName("nat64")
		if err != nil {
			return err
		}
		vnet, err := net.InterfaceByName("vnet0")
		if err != nil {
			return err
		}
		s.device, s.link = nat.Index, vnet.Index
		if err := s.attach(); err != nil {
			return err
		}
		s.atHost, err = packetSocket(s.device, header)
		return err
	})
	t.Cleanup(func() { unix.Close(s.atHost) })
	nstest.Do(t, s.guest, func() error {
		eth, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		s.atGuest, err = packetSocket(eth.Index, header)
		return err
	})
	t.Cleanup(func() { unix.Close(s.atGuest) })
	if s.table, err = Open(s.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.table.Close() })
	if err := s.table.Put(s.guest6, s.pool); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stage) attach() error { return attach(s.dir, s.settings, s.device, s.link, s.way) }

func (s *stage) sh(t *testing.T, ns *netns.NS, lines ...string) {
	t.Helper()
	for _, l := range lines {
		f := strings.Fields(l)
		nstest.Output(t, ns, f[0], f[1:]...)
	}
}

// packetSocket sees and sends everything on a device of the calling thread's
// namespace.
func packetSocket(index int, header bool) (int, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if header {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
			return -1, err
		}
	}
	tv := unix.NsecToTimeval((5 * time.Second).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		return -1, err
	}
	return fd, unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: swap(unix.ETH_P_ALL), Ifindex: index})
}

func swap(v uint16) uint16 { return v<<8 | v>>8 }

// vnet is a virtio-net header, empty where the stage has none.
type vnet struct {
	flags, gso                         uint8
	headers, size, sumStart, sumOffset uint16
}

func (v vnet) bytes() []byte {
	b := make([]byte, 10)
	b[0], b[1] = v.flags, v.gso
	for i, w := range []uint16{v.headers, v.size, v.sumStart, v.sumOffset} {
		binary.NativeEndian.PutUint16(b[2+2*i:], w)
	}
	return b
}

func parseVnet(b []byte) vnet {
	w := func(i int) uint16 { return binary.NativeEndian.Uint16(b[2+2*i:]) }
	return vnet{b[0], b[1], w(0), w(1), w(2), w(3)}
}

// send gives a packet to a program: to4 from the guest's end, to6 as routed into
// the device.
func (s *stage) send(t *testing.T, to6 bool, packet []byte, v vnet) {
	t.Helper()
	var b []byte
	if s.header {
		if !to6 && v.flags != 0 {
			v.sumStart, v.headers = v.sumStart+14, v.headers+14
		}
		b = v.bytes()
	}
	fd, at := s.atHost, &unix.SockaddrLinklayer{Protocol: swap(unix.ETH_P_IP), Ifindex: s.device}
	if !to6 {
		b = append(append(append(b, s.hostMC...), s.guestMAC...), 0x86, 0xdd)
		fd, at = s.atGuest, nil
	}
	b = append(b, packet...)
	var err error
	if at != nil {
		err = unix.Sendto(fd, b, 0, at)
	} else {
		_, err = unix.Write(fd, b)
	}
	if err != nil {
		t.Fatalf("send %d octets: %v", len(b), err)
	}
}

// receive returns the next packet that a program translated, none if it does not
// come.
func (s *stage) receive(t *testing.T, to6 bool) ([]byte, vnet) {
	t.Helper()
	buf := make([]byte, 70000)
	for {
		fd := s.atHost
		if to6 {
			fd = s.atGuest
		}
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err == unix.EAGAIN {
			return nil, vnet{}
		}
		if err != nil {
			t.Fatalf("receive what was translated: %v", err)
		}
		l := from.(*unix.SockaddrLinklayer)
		b := buf[:n]
		var v vnet
		if s.header {
			v, b = parseVnet(b), b[10:]
		}
		if l.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if to6 {
			if l.Protocol != swap(unix.ETH_P_IPV6) || !s.settings.Prefix.Contains(netip.AddrFrom16([16]byte(b[14+8:14+24]))) {
				continue
			}
			if net.HardwareAddr(b[:6]).String() != guestMAC || net.HardwareAddr(b[6:12]).String() != hostMAC {
				t.Errorf("frame to %x from %x", b[:6], b[6:12])
			}
			if v.flags != 0 {
				v.sumStart, v.headers = v.sumStart-14, v.headers-14
			}
			return b[14:], v
		}
		if l.Protocol == swap(unix.ETH_P_IP) {
			return b, v
		}
	}
}

// outcome sends a packet and returns what the program says became of it.
func (s *stage) outcome(t *testing.T, to6 bool, packet []byte, v vnet) Outcome {
	t.Helper()
	counts := func() [Outcomes]Count {
		c, err := s.table.Counts()
		if err != nil {
			t.Fatal(err)
		}
		if to6 {
			return c.To6
		}
		return c.To4
	}
	before := counts()
	s.send(t, to6, packet, v)
	for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit); {
		now := counts()
		for o := range Outcomes {
			if now[o].Packets != before[o].Packets {
				// The two are not written as one.
				if now = counts(); now[o].Octets-before[o].Octets != uint64(len(packet)) {
					t.Errorf("%d octets counted for a packet of %d", now[o].Octets-before[o].Octets, len(packet))
				}
				return o
			}
		}
	}
	return Outcomes
}
