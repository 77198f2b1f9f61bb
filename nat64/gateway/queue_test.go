package gateway

import (
	"bytes"
	"encoding/binary"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/siit"
)

// tape is a device that gives one packet after the other and keeps the answers.
type tape struct {
	in      [][]byte
	out     [][]byte
	headers []vnet
}

func (d *tape) Read(b []byte, idle func()) (int, error) {
	idle()
	if len(d.in) == 0 {
		return 0, io.EOF
	}
	clear(b[:vnetLen])
	n := copy(b[vnetLen:], d.in[0])
	d.in = d.in[1:]
	return vnetLen + n, nil
}

func (d *tape) Write(b []byte) (int, error) {
	d.headers = append(d.headers, readVnet(b))
	d.out = append(d.out, bytes.Clone(b[vnetLen:]))
	return len(b), nil
}

func udp6(src, dst string, n int) []byte {
	b := make([]byte, 48+n)
	b[0], b[6], b[7] = 0x60, 17, 64
	binary.BigEndian.PutUint16(b[4:], uint16(8+n))
	s, d := netip.MustParseAddr(src).As16(), netip.MustParseAddr(dst).As16()
	copy(b[8:], s[:])
	copy(b[24:], d[:])
	binary.BigEndian.PutUint16(b[44:], uint16(8+n))
	b[46] = 1 // any checksum will do
	return b
}

func newTestQueue(dev device, c Config) *queue {
	c = c.withDefaults()
	t := newTable(c.Pool, nil)
	t.now.Store(time.Now().Unix())
	m := newMapper(c, t)
	m.setOwn6(netip.MustParseAddr("2001:db8:1:3::1"))
	return newQueue(dev, m)
}

// take handles a packet as if it had been read.
func (q *queue) take(h vnet, p []byte) {
	h.put(q.buf[headroom:])
	q.handle(vnetLen + copy(q.buf[headroom+vnetLen:], p))
}

func TestQueue(t *testing.T) {
	const guest = "2001:db8:1:3::10"
	dev := &tape{in: [][]byte{
		udp6(guest, "64:ff9b::203.0.114.9", 4),
		udp6("2001:db8:9::1", "64:ff9b::203.0.114.9", 4), // not a guest
		udp6(guest, "64:ff9b::10.0.0.1", 4),
		udp6(guest, "64:ff9b::127.0.0.1", 4),
		udp6(guest, "64:ff9b::192.0.2.1", 4),
		udp6("2001:db8:9::1", "64:ff9b::10.0.0.1", 4), // not a guest: no answer either
		udp6(guest, "2001:db8::1", 4),                 // not in the prefix
		{0x10},
		{},
	}}
	q := newTestQueue(dev, sampleConfig())
	if err := q.serve(); err != io.EOF {
		t.Fatal(err)
	}
	if len(dev.out) != 4 {
		t.Fatalf("%d packets written", len(dev.out))
	}
	pool, _ := q.m.table.lookup4(netip.MustParseAddr(guest))
	if p := dev.out[0]; p[0] != 0x45 || p[8] != 64 || netip.AddrFrom4([4]byte(p[12:])) != pool || netip.AddrFrom4([4]byte(p[16:])).String() != "203.0.114.9" {
		t.Errorf("translated: % x", p)
	}
	for _, p := range dev.out[1:] {
		if p[6] != 58 || p[40] != 1 || p[41] != 1 || netip.AddrFrom16([16]byte(p[8:])).String() != "2001:db8:1:3::1" || netip.AddrFrom16([16]byte(p[24:])).String() != guest {
			t.Errorf("not an administratively prohibited: % x", p)
		}
	}
	var s Stats
	q.counts.addTo(&s)
	if s.To4.Packets != 1 || s.To4.Octets != 52 || s.To4.Dropped[siit.NotMapped] != 2 || s.To4.Dropped[siit.Denied] != 4 || s.Answered != 3 || s.Unknown != 2 {
		t.Errorf("%+v", s)
	}
	if q.m.table.count() != 1 {
		t.Errorf("%d mappings", q.m.table.count())
	}
}

func TestErrorSources(t *testing.T) {
	q := newTestQueue(&tape{}, sampleConfig())
	for src, want := range map[string]string{
		"203.0.114.1":  "64:ff9b::cb00:7201",
		"10.0.0.1":     "2001:db8:1:3::1", // a router with a private address
		"203.0.113.10": "2001:db8:1:3::1",
		"10.64.0.1":    "2001:db8:1:3::1", // our own
	} {
		if got, r := q.m.To6(netip.MustParseAddr(src), siit.ErrorSource); r != siit.Translated || got.String() != want {
			t.Errorf("error from %s: %s %v, want %s", src, got, r, want)
		}
		if _, r := q.m.To6(netip.MustParseAddr(src), siit.Source); (r == siit.Translated) != (src == "203.0.114.1") {
			t.Errorf("packet from %s: %v", src, r)
		}
	}
	// A router's error about a guest's packet, and one of a guest without mapping.
	if a, r := q.m.To4(netip.MustParseAddr("fe80::1"), siit.ErrorSource); r != siit.Translated || a != q.m.table.own() {
		t.Errorf("error from a router: %s %v", a, r)
	}
	if a, r := q.m.To4(guestN(9), siit.InnerDestination); r != siit.NotMapped {
		t.Errorf("packet that was for a guest without mapping: %s %v", a, r)
	}
	if q.m.table.count() != 0 {
		t.Error("an error made a mapping")
	}
}

// What guests must not reach can't be named inside ICMP errors either, the
// host's own IPv4 address included.
func TestRefusedInsideErrors(t *testing.T) {
	q := newTestQueue(&tape{}, sampleConfig())
	own := []netip.Addr{netip.MustParseAddr("203.0.114.77")}
	q.m.own4.Store(&own)
	for _, a := range []string{"203.0.114.77", "10.1.1.1", "127.0.0.1", "10.64.9.9", "192.0.2.1"} {
		v4 := netip.MustParseAddr(a)
		for _, role := range []siit.Role{siit.Destination, siit.InnerSource} {
			if _, r := q.m.To4(q.m.prefix.Embed(v4), role); r != siit.Denied {
				t.Errorf("%s as %s: %v", a, role, r)
			}
		}
		for _, role := range []siit.Role{siit.Source, siit.InnerDestination} {
			if _, r := q.m.To6(v4, role); r != siit.NotMapped {
				t.Errorf("%s as %s: %v", a, role, r)
			}
		}
	}
}

func TestQueueAllocs(t *testing.T) {
	q := newTestQueue(discard{}, sampleConfig())
	for name, p := range map[string][]byte{
		"translated": udp6("2001:db8:1:3::10", "64:ff9b::203.0.114.9", 1000),
		"refused":    udp6("2001:db8:1:3::10", "64:ff9b::10.0.0.1", 1000),
	} {
		q.take(vnet{}, p)
		if n := testing.AllocsPerRun(100, func() { q.take(vnet{}, p) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

type discard struct{}

func (discard) Read([]byte, func()) (int, error) { return 0, io.EOF }
func (discard) Write(b []byte) (int, error)      { return len(b), nil }

func BenchmarkQueue(b *testing.B) {
	q := newTestQueue(discard{}, Config{Prefix: nat64.WellKnown(), Guests: netip.MustParsePrefix("2001:db8:1:3::/64")})
	p := udp6("2001:db8:1:3::10", "64:ff9b::203.0.114.9", 1400)
	for b.Loop() {
		q.take(vnet{}, p)
	}
}
