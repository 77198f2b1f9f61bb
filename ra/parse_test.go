package ra

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/ndp"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseSolicitation(t *testing.T) {
	guest, nobody := "fe80::5054:ff:fe12:3456", "::"
	for _, tt := range []struct {
		name, from, b string
		want          error
	}{
		{"plain", guest, "8500000000000000", nil},
		{"with link-layer address", guest, "8500000000000000 0101525400123456", nil},
		{"global source", "2001:db8::1", "8500000000000000", nil},
		{"from nobody", nobody, "8500000000000000", nil},
		{"from nobody with nonce", nobody, "8500000000000000 0e01000102030405", nil},
		{"reserved bits are ignored", guest, "85000000ffffffff", nil},
		{"unknown option is ignored", guest, "8500000000000000 fe01000000000000", nil},
		// RFC 4861, section 6.1.1, in its order.
		{"code", guest, "8501000000000000", ErrMalformed},
		{"type", guest, "8600000000000000", ErrMalformed},
		{"empty", guest, "", ErrMalformed},
		{"7 octets", guest, "85000000000000", ErrMalformed},
		{"option of length 0", guest, "8500000000000000 0100525400123456", ErrMalformed},
		{"option beyond the end", guest, "8500000000000000 0102525400123456", ErrMalformed},
		{"half an option", guest, "8500000000000000 01", ErrMalformed},
		{"from nobody with link-layer address", nobody, "8500000000000000 0101525400123456", ErrUnspecifiedLLA},
		{"from nobody with it behind another", nobody, "8500000000000000 0e01000102030405 0101525400123456", ErrUnspecifiedLLA},
		{"multicast source", "ff02::1", "8500000000000000", ErrSource},
		{"loopback source", "::1", "8500000000000000", ErrSource},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := ParseSolicitation(unhex(t, tt.b), netip.MustParseAddr(tt.from)); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestCheckSolicitationPacket(t *testing.T) {
	from := netip.MustParseAddr("fe80::1")
	buf := unhex(t, "8500000000000000")
	for _, tt := range []struct {
		p    packet
		want error
	}{
		{packet{n: 8, from: from, hopLimit: 255}, nil},
		{packet{n: 8, from: from, hopLimit: 64}, ErrHopLimit},
		{packet{n: 8, from: from, hopLimit: -1}, ErrHopLimit},
		{packet{n: 8, from: from, hopLimit: 255, fragmented: true}, ErrFragmented}, // RFC 6980, section 5
		{packet{n: 8, from: from, hopLimit: 255, truncated: true}, ErrMalformed},
	} {
		if err := checkSolicitation(tt.p, buf); !errors.Is(err, tt.want) {
			t.Errorf("%+v: got %v, want %v", tt.p, err, tt.want)
		}
	}
}

func TestParse(t *testing.T) {
	const header = "86000000 40000708 00000000 00000000"
	t.Run("one bad option hides no other", func(t *testing.T) {
		// A prefix option of the wrong length, an unknown one, one of 32 units
		// and more than package ndp reads, then an MTU.
		m, err := Parse(unhex(t, header+"0301000000000000"+"fd01010203040506"+"2520"+strings.Repeat("61", 254)+"0501000000000500"))
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Options) != 4 {
			t.Fatalf("%d options", len(m.Options))
		}
		for i := range 3 {
			if _, ok := m.Options[i].(*ndp.RawOption); !ok {
				t.Errorf("option %d is a %T", i, m.Options[i])
			}
		}
		if mtu, ok := m.Options[3].(*ndp.MTU); !ok || mtu.MTU != 1280 {
			t.Errorf("last option is %+v", m.Options[3])
		}
	})
	t.Run("reserved router preference is medium, RFC 4191 2.2", func(t *testing.T) {
		m, err := Parse(unhex(t, "86000000 40d00708 00000000 00000000"))
		if err != nil {
			t.Fatal(err)
		}
		if m.RouterSelectionPreference != Medium || !m.ManagedConfiguration || !m.OtherConfiguration {
			t.Errorf("got %+v", m)
		}
	})
	t.Run("routes of every length, RFC 4191 2.3", func(t *testing.T) {
		for _, tt := range []struct{ option, want string }{
			{"1801 00 00 00000708", "::/0"},
			{"1802 2c 00 00000708 20010db80ff00000", "2001:db8:ff0::/44"},
			{"1803 2c 00 00000708 20010db80ff000000000000000000000", "2001:db8:ff0::/44"},
			{"1802 2c 00 00000708 20010db80fffffff", "2001:db8:ff0::/44"}, // the bits beyond are ignored
			{"1803 80 00 00000708 20010db8000000000000000000000001", "2001:db8::1/128"},
			{"1803 6c 08 00000708 20010db80000000000000000abc00000", "2001:db8::abc0:0/108"},
		} {
			m, err := Parse(unhex(t, header+tt.option))
			if err != nil {
				t.Fatal(err)
			}
			r, ok := m.Options[0].(*ndp.RouteInformation)
			if !ok {
				t.Errorf("%s: read as %T", tt.option, m.Options[0])
				continue
			}
			if got := netip.PrefixFrom(r.Prefix, int(r.PrefixLength)).String(); got != tt.want || r.RouteLifetime != 1800*time.Second {
				t.Errorf("%s: got %s for %s", tt.option, got, r.RouteLifetime)
			}
		}
		for _, bad := range []string{
			"1801 01 00 00000708", // too short for one bit
			"1802 41 00 00000708 20010db80ff00000",
			"1803 81 00 00000708 20010db8000000000000000000000001",
			"1802 2c 10 00000708 20010db80ff00000", // reserved preference
		} {
			m, err := Parse(unhex(t, header+bad))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := m.Options[0].(*ndp.RawOption); !ok {
				t.Errorf("%s: read as %T", bad, m.Options[0])
			}
		}
	})
	for _, bad := range []string{
		"", "86", "86000000 40000708 00000000 000000", "85000000 40000708 00000000 00000000",
		"86010000 40000708 00000000 00000000", header + "0500000000000000", header + "05", header + "0502000000000000",
	} {
		if _, err := Parse(unhex(t, bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: got %v, want ErrMalformed", bad, err)
		}
	}
}

func FuzzParseSolicitation(f *testing.F) {
	for _, s := range []string{"", "8500000000000000", "8500000000000000 0101525400123456", "8500000000000000 0100525400123456", "8500000000000000 01ff"} {
		f.Add(unhex(f, s), false)
		f.Add(unhex(f, s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, unspecified bool) {
		from := netip.MustParseAddr("fe80::1")
		if unspecified {
			from = netip.IPv6Unspecified()
		}
		if err := ParseSolicitation(b, from); err != nil {
			return
		}
		// What is accepted has a whole header, and options that fill the rest.
		if len(b) < 8 || len(b)%8 != 0 || b[0] != 133 || b[1] != 0 {
			t.Fatalf("accepted %x", b)
		}
		for rest := b[8:]; len(rest) > 0; rest = rest[int(rest[1])*8:] {
			if rest[0] == 1 && unspecified {
				t.Fatalf("accepted a link-layer address from nobody: %x", b)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	ms, err := fullConfig().Messages(testLink(), State{}, clockStart())
	if err != nil {
		f.Fatal(err)
	}
	frames, err := marshalAll(ms)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(frames[0])
	f.Add(unhex(f, "86000000 40d00708 00000000 00000000 1802 2c 10 00000708 20010db80ff00000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > longestMessage {
			return // the fuzzer's time is for what can arrive
		}
		m, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error of another kind: %v", err)
			}
			return
		}
		n := 0
		if err := eachOption(b[headerLen:], func([]byte) { n++ }); err != nil || n != len(m.Options) {
			t.Fatalf("%d options of %d: %v", len(m.Options), n, err)
		}
	})
}

// FuzzReceive hands whole messages, as the socket gives them, to a server and a
// listener: neither may fall over, the server's answer never depends on more
// than the source, and what is kept stays bounded.
func FuzzReceive(f *testing.F) {
	f.Add(unhex(f, "8500000000000000"), byte(255), uint16(1), false)
	f.Add(unhex(f, "8500000000000000 0101525400123456"), byte(255), uint16(0), false)
	f.Add(unhex(f, "8500000000000000 0100525400123456"), byte(64), uint16(2), true)
	f.Add(unhex(f, "8f00000000000001 04000000 ff0200000000000000000001ff123456"), byte(1), uint16(0), false)
	edge := newFakeEdge()
	s := newServer(Config{Interface: "br0", SolicitedDelay: Zero, Greet: true}, nullEdge{edge}, edge, uniform)
	s.work(time.Now())
	buf := make([]byte, longestMessage)
	f.Fuzz(func(t *testing.T, b []byte, hops byte, source uint16, fragmented bool) {
		if len(b) > len(buf) {
			return
		}
		from := netip.IPv6Unspecified()
		if source > 0 {
			from = netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte(source >> 8), 15: byte(source)})
		}
		p := packet{n: copy(buf, b), from: from, index: testLink().Index, hopLimit: int(hops), fragmented: fragmented}
		before := s.Stats()
		s.receive(time.Now(), p, buf)
		after := s.Stats()
		valid := hops == 255 && !fragmented && ParseSolicitation(b, from) == nil
		if taken := after.Solicitations - before.Solicitations; (taken == 1) != valid {
			t.Fatalf("taken %d, valid %t", taken, valid)
		}
		if greeted := after.Greetings > before.Greetings; greeted && (b[0] != typeReport || hops != 1 || source != 0) {
			t.Fatalf("greets because of %x", b)
		}
		if len(s.sched.queue) > maxPending || len(s.sched.waiting) > maxPending {
			t.Fatalf("%d wait", len(s.sched.queue))
		}
		if r := received("br0", p, buf); r.Err == nil && (hops != 255 || fragmented || r.Message == nil) {
			t.Fatalf("a listener takes %+v", r)
		}
		s.work(time.Now())
	})
}

// nullEdge sends nowhere.
type nullEdge struct{ conn }

func (nullEdge) send([]byte, netip.Addr) error { return nil }
