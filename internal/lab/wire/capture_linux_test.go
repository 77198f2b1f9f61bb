package wire

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// pair joins two namespaces by a wire that is otherwise quiet: "server0" in the
// first, "port0" in the second.
func pair(t *testing.T) (srv, port *netns.NS) {
	t.Helper()
	srv, port = nstest.NS(t), nstest.NS(t)
	for ns, name := range map[*netns.NS]string{srv: "server0", port: "port0"} {
		nstest.Do(t, ns, func() error { return sysctl.Write("net/ipv6/conf/default/disable_ipv6", "1") })
		if ns == srv {
			nstest.Do(t, ns, func() error {
				return netlink.LinkAdd(&netlink.Veth{
					LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "port0", PeerNamespace: netlink.NsFd(port.File().Fd()),
				})
			})
		}
	}
	for ns, name := range map[*netns.NS]string{srv: "server0", port: "port0"} {
		up(t, ns, name)
	}
	return srv, port
}

func up(t *testing.T, ns *netns.NS, name string) {
	t.Helper()
	nstest.Do(t, ns, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	})
}

// injector sends raw frames out of an interface.
func injector(t *testing.T, ns *netns.NS, name string) func([]byte) error {
	t.Helper()
	fd := -1
	nstest.Do(t, ns, func() error {
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Index})
	})
	t.Cleanup(func() { unix.Close(fd) })
	return func(b []byte) error {
		_, err := unix.Write(fd, b)
		return err
	}
}

// heard collects what a Capture hands on.
type heard struct {
	mu     sync.Mutex
	frames [][]byte
}

func (h *heard) frame(_ time.Time, b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames = append(h.frames, bytes.Clone(b))
}

func (h *heard) has(b []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.frames {
		if bytes.Equal(f, b) {
			return true
		}
	}
	return false
}

// listen captures on an interface until the returned function is called.
func listen(t *testing.T, ns *netns.NS, cfg CaptureConfig) (c *Capture, stop func()) {
	t.Helper()
	nstest.Do(t, ns, func() (err error) {
		c, err = NewCapture(cfg)
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return c, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

// TestCaptureHearsFirst has nft drop all that arrives: the capture hears it
// nevertheless, whatever MAC it is for, tags included, and nothing that leaves.
func TestCaptureHearsFirst(t *testing.T) {
	srv, port := pair(t)
	nstest.Output(t, port, "nft", `add table netdev t; add chain netdev t in { type filter hook ingress device "port0" priority -500; policy drop; }; add rule netdev t in counter drop`)
	var h heard
	c, stop := listen(t, port, CaptureConfig{Interface: "port0", Frame: h.frame})
	send, sendBack := injector(t, srv, "server0"), injector(t, port, "port0")

	long := frame(provider, server, 0x88b5, bytes.Repeat([]byte{7}, 1486))
	own := frame(server, provider, 0x88b5, "0bad", make([]byte, 44))
	frames := map[string][]byte{
		"to another's MAC": frame(guest, server, 0x88b5, "01", make([]byte, 45)),
		"to a group":       frame(allNodes, guest, 0x88b5, "02", make([]byte, 45)),
		"tagged":           frame(provider, guest, typeVLAN, uint16(0x6fff), uint16(0x88b5), make([]byte, 46)),
		"tagged twice":     frame(provider, guest, typeQinQ, uint16(4), uint16(typeVLAN), uint16(5), uint16(0x88b5), make([]byte, 46)),
		"full length":      long,
	}
	for name, f := range frames {
		// Until the carrier is there frames get lost.
		eventually(t, name, func() bool {
			if err := send(f); err != nil {
				t.Error(err)
			}
			return h.has(f)
		})
	}
	if err := sendBack(own); err != nil {
		t.Error(err)
	}
	// What comes after has been handed on, so what left before would have been.
	last := frame(provider, server, 0x88b5, "1a57", make([]byte, 44))
	if err := send(last); err != nil {
		t.Error(err)
	}
	stop() // hands on what has arrived
	if !h.has(last) {
		t.Error("a frame that arrived before the end is missing")
	}
	if h.has(own) {
		t.Error("a leaving frame was captured")
	}
	if s := c.Stats(); s.Frames < uint64(len(frames)+1) || s.Lost != 0 {
		t.Errorf("%v", s)
	}
	if out := nstest.Output(t, port, "nft", "list", "ruleset"); strings.Contains(out, "packets 0 ") {
		t.Errorf("nft dropped nothing, so that this proves nothing:\n%s", out)
	}
}

// TestCaptureCountsLost floods a small ring that nobody reads.
func TestCaptureCountsLost(t *testing.T) {
	srv, port := pair(t)
	var seen int
	const slots = 128
	var c *Capture
	nstest.Do(t, port, func() (err error) {
		c, err = NewCapture(CaptureConfig{Interface: "port0", Frame: func(time.Time, []byte) { seen++ }, Frames: slots})
		return err
	})
	send := injector(t, srv, "server0")
	f := frame(provider, server, 0x88b5, make([]byte, 46))
	sent := 0
	eventually(t, "loss", func() bool {
		for range 50 {
			if err := send(f); err != nil {
				t.Error(err)
			}
			sent++
		}
		return c.Stats().Lost >= 100
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
	s := c.Stats()
	if seen != slots || s.Frames != slots || s.Lost < 100 || int(s.Frames+s.Lost) > sent {
		t.Errorf("%d seen, %v of %d sent", seen, s, sent)
	}
}

// TestCaptureOutgoing hears both directions.
func TestCaptureOutgoing(t *testing.T) {
	_, port := pair(t)
	var h heard
	listen(t, port, CaptureConfig{Interface: "port0", Frame: h.frame, Outgoing: true})
	send := injector(t, port, "port0")
	f := frame(server, provider, 0x88b5, make([]byte, 46))
	eventually(t, "leaving frame", func() bool {
		if err := send(f); err != nil {
			t.Error(err)
		}
		return h.has(f)
	})
}

// TestCaptureOutlivesDown sets the link down and up again.
func TestCaptureOutlivesDown(t *testing.T) {
	srv, port := pair(t)
	var h heard
	listen(t, port, CaptureConfig{Interface: "port0", Frame: h.frame})
	send := injector(t, srv, "server0")
	for i := range 2 {
		f := frame(provider, server, 0x88b5, i, make([]byte, 45))
		eventually(t, "frame", func() bool {
			_ = send(f) // fails while the link is down
			return h.has(f)
		})
		nstest.Do(t, port, func() error {
			link, err := netlink.LinkByName("port0")
			if err != nil {
				return err
			}
			return netlink.LinkSetDown(link)
		})
		up(t, port, "port0")
	}
}

func TestCaptureEnds(t *testing.T) {
	_, port := pair(t)
	var c *Capture
	open := func() {
		nstest.Do(t, port, func() (err error) {
			c, err = NewCapture(CaptureConfig{Interface: "port0", Frame: func(time.Time, []byte) {}})
			return err
		})
	}
	open()
	if err := errors.Join(c.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	if err := c.Run(context.Background()); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}
	open()
	done := make(chan error, 1)
	go func() { done <- c.Run(context.Background()) }()
	eventually(t, "Run", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.running
	})
	c.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Run ended by Close: %v", err)
	}
	c.Stats()
	for name, cfg := range map[string]CaptureConfig{
		"no function":  {Interface: "port0"},
		"no interface": {Frame: func(time.Time, []byte) {}},
		"missing":      {Interface: "nothere0", Frame: func(time.Time, []byte) {}},
	} {
		if _, err := NewCapture(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestJudgeOnTheWire lets the kernel speak: an address put on the server's side
// with a MAC that isn't the judge's makes offences, those of the judge's none.
func TestJudgeOnTheWire(t *testing.T) {
	for name, mac := range map[string]MAC{"allowed": server, "foreign": guest} {
		t.Run(name, func(t *testing.T) {
			srv, port := pair(t)
			j := newJudge(t, nil)
			listen(t, port, CaptureConfig{Interface: "port0", Frame: j.Frame})
			nstest.Do(t, srv, func() error {
				link, err := netlink.LinkByName("server0")
				if err != nil {
					return err
				}
				if err := netlink.LinkSetDown(link); err != nil {
					return err
				}
				if err := netlink.LinkSetHardwareAddr(link, mac[:]); err != nil {
					return err
				}
				if err := sysctl.Write("net/ipv6/conf/server0/disable_ipv6", "0"); err != nil {
					return err
				}
				return netlink.LinkSetUp(link)
			})
			// Listener reports, duplicate address detection, then a router
			// solicitation.
			eventually(t, "the kernel's start-up", func() bool { return j.Report().Multicast >= 3 })
			eventually(t, "judgement", func() bool {
				r := j.Report()
				return mac == server || r.Counts[ForeignSource] >= 3 && r.Counts[GuestMulticast] >= 3
			})
			if r := j.Report(); mac == server && r.Offences() != 0 {
				t.Errorf("offences: %v", r.Findings)
			}
		})
	}
}

// TestCatcher hears radvd, which is nobody's here.
func TestCatcher(t *testing.T) {
	radvd := nstest.Tool(t, "radvd")
	srv, port := pair(t)
	var c *Catcher
	nstest.Do(t, port, func() (err error) {
		c, err = NewCatcher("port0")
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	// By hand first: one good, one malformed.
	send := injector(t, srv, "server0")
	good := frame(allNodes, server, typeIPv6, ra(hostLL, nodes, lla(1, server)))
	bad := frame(allNodes, server, typeIPv6, ra(hostLL, nodes, "0100"))
	eventually(t, "both", func() bool {
		if err := errors.Join(send(good), send(bad)); err != nil {
			t.Error(err)
		}
		return len(c.Seen()) > 0 && len(c.Malformed()) > 0
	})
	if !errors.Is(c.Malformed()[0], ErrTruncated) {
		t.Errorf("malformed: %v", c.Malformed()[0])
	}
	short, cancelShort := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancelShort()
	if _, err := c.Wait(short, func(ra RA) bool { return len(ra.RDNSS) > 0 }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Wait for what doesn't come: %v", err)
	}

	nstest.Do(t, srv, func() error { return sysctl.Write("net/ipv6/conf/server0/disable_ipv6", "0") })
	startRadvd(t, srv, radvd, `interface server0 {
	AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultPreference high; AdvLinkMTU 1480;
	AdvManagedFlag on; AdvDefaultLifetime 900;
	prefix 2001:db8:1:3::/64 { AdvValidLifetime 5400; AdvPreferredLifetime 2700; };
	route 2001:db8:9::/48 { AdvRouteLifetime 600; AdvRoutePreference low; };
	RDNSS 2001:db8:1:3::2 { AdvRDNSSLifetime 12; };
	DNSSL lab.example { AdvDNSSLLifetime 24; };
};
`)
	wait, cancelWait := context.WithTimeout(ctx, 20*time.Second)
	defer cancelWait()
	ra, err := c.Wait(wait, func(ra RA) bool { return len(ra.RDNSS) > 0 })
	if err != nil {
		t.Fatal(err)
	}
	if ra.At.IsZero() || !ra.ChecksumOK || ra.IPHopLimit != 255 || ra.Source != ra.From.linkLocal() || ra.SourceLLA != ra.From ||
		!ra.Managed || ra.Preference != 1 || ra.MTU != 1480 || ra.RouterLifetime != 900*time.Second ||
		len(ra.Prefixes) != 1 || ra.Prefixes[0].Prefix != prefix || ra.Prefixes[0].Valid != 5400*time.Second || !ra.Prefixes[0].Autonomous ||
		len(ra.Routes) != 1 || ra.Routes[0].Preference != -1 || ra.Routes[0].Lifetime != 600*time.Second ||
		ra.RDNSS[0].Servers[0] != host || ra.RDNSS[0].Lifetime != 12*time.Second ||
		len(ra.DNSSL) != 1 || ra.DNSSL[0].Domains[0] != "lab.example" || ra.DNSSL[0].Lifetime != 24*time.Second {
		t.Errorf("%+v", ra)
	}
}

func TestTagIsRestored(t *testing.T) {
	var h heard
	c := &Capture{cfg: CaptureConfig{Frame: h.frame}}
	slot := make([]byte, ringFrame)
	f := frame(provider, server, 0x88b5, "aabb")
	copy(slot[80:], f)
	c.hand(slot, &unix.Tpacket2Hdr{Mac: 80, Snaplen: uint32(len(f)), Vlan_tci: 0x6004}, unix.TP_STATUS_USER|unix.TP_STATUS_VLAN_VALID)
	c.hand(slot, &unix.Tpacket2Hdr{Mac: 80, Snaplen: uint32(len(f)), Vlan_tci: 4, Vlan_tpid: typeQinQ}, unix.TP_STATUS_USER|unix.TP_STATUS_VLAN_VALID|unix.TP_STATUS_VLAN_TPID_VALID)
	if want := frame(provider, server, typeVLAN, uint16(0x6004), uint16(0x88b5), "aabb"); !h.has(want) {
		t.Errorf("%x, want %x", h.frames, want)
	}
	if want := frame(provider, server, typeQinQ, uint16(4), uint16(0x88b5), "aabb"); !h.has(want) {
		t.Errorf("%x, want %x", h.frames, want)
	}
}
