package lab

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/internal/nstest"
)

// TestElsewhere plays the server on the wire: the provider asks for its IPv4
// address, its frames are judged, and those with another's MAC are refused.
func TestElsewhere(t *testing.T) {
	nstest.RequireTun(t)
	l, err := New(t.Context(), Config{Dir: t.TempDir(), Elsewhere: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Server() != nil || l.Node(Server) != nil {
		t.Error("there is a node for the server")
	}
	if _, err := l.AddGuest(t.Context(), "g", wire.MAC{0x52, 0x54}, "br0"); !errors.Is(err, errElsewhere) {
		t.Errorf("AddGuest: %v", err)
	}
	if err := Article(t.Context(), l); !errors.Is(err, errElsewhere) {
		t.Errorf("Article: %v", err)
	}

	w := l.Wire()
	go probe.TryPing(t.Context(), l.Node(Provider).NS(), ServerIPv4().Addr(), time.Second)
	if err := w.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	me, router := ServerMAC(), ProviderMAC()
	arp := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	for b := make([]byte, 2000); ; {
		n, err := w.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		// ARP requests come from the provider's MAC (octets 6 to 11).
		if f := b[:n]; n >= 42 && wire.MAC(f[6:12]) == router && binary.BigEndian.Uint16(f[12:]) == 0x0806 && string(f[14:22]) == string(arp) {
			break
		}
	}

	frame := func(src wire.MAC) []byte {
		f := append(append([]byte{}, router[:]...), src[:]...)
		f = append(f, 0x08, 0x06)
		f = append(f, arp...)
		f[21] = 2 // reply
		f = append(f, me[:]...)
		f = append(f, ServerIPv4().Addr().AsSlice()...)
		f = append(f, router[:]...)
		return append(append(f, GatewayIPv4().AsSlice()...), make([]byte, 18)...)
	}
	for _, src := range []wire.MAC{me, {0x52, 0x54, 0, 1, 2, 3}} {
		if _, err := w.Write(frame(src)); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(20 * time.Second); l.Watched().Frames < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the judge saw %v", l.Watched())
		}
	}
	if dropped, err := l.Dropped(); err != nil || dropped != 1 {
		t.Errorf("port security dropped %d, %v", dropped, err)
	}
	if r := l.Judge().Report(); r.Offences() != 1 || r.Counts[wire.ForeignSource] != 1 {
		t.Errorf("offences: %v", r.Findings)
	}
}
