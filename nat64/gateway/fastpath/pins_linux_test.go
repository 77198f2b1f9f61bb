package fastpath

import (
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/nat64"
)

func (s *stage) find(t *testing.T) (f *Found) {
	t.Helper()
	nstest.Do(t, s.host, func() (err error) { f, err = Find(s.dir, s.device, s.link); return err })
	return f
}

func (s *stage) ping(t *testing.T) {
	t.Helper()
	h := head{src: s.guest6, dst: addr("64:ff9b::cb00:7209"), hops: 64, proto: 17}
	u, at := upper(17, 100)
	seal(h.src, h.dst, 17, u, at, false)
	packet := ipv6(h, u)
	if got := s.outcome(t, false, packet, vnet{}); got != Translated {
		t.Fatalf("to4: %s", got)
	}
	s.same(t, false, packet, vnet{})
	h = head{src: addr("203.0.114.9"), dst: s.pool, hops: 64, proto: 17, df: true}
	seal(h.src, h.dst, 17, u, at, false)
	packet = ipv4(h, u)
	if got := s.outcome(t, true, packet, vnet{}); got != Translated {
		t.Fatalf("to6: %s", got)
	}
	s.same(t, true, packet, vnet{})
}

// ways are those that this kernel has.
func ways() []string {
	if preferredWay() == wayTCX {
		return []string{wayTCX, wayClsact}
	}
	return []string{wayClsact}
}

func TestPins(t *testing.T) {
	for _, way := range ways() {
		t.Run(way, func(t *testing.T) { testPins(t, newStageBy(t, way, "64:ff9b::/96", false)) })
	}
}

func testPins(t *testing.T, s *stage) {
	byValue := cmp.Options{cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b nat64.Prefix) bool { return a == b })}
	if f := s.find(t); f == nil || !f.Attached || !cmp.Equal(f.Settings, s.settings, byValue) {
		t.Fatalf("found %+v", f)
	}
	s.ping(t)
	// The same again, as another version would: mappings and counts stay, also
	// for who had opened them.
	s.settings.Version = "another"
	s.settings.Denied = append(s.settings.Denied, netip.MustParsePrefix("250.0.0.0/8"))
	nstest.Do(t, s.host, s.attach)
	if f := s.find(t); f == nil || !f.Attached || !cmp.Equal(f.Settings, s.settings, byValue) {
		t.Fatalf("found %+v", f)
	}
	s.ping(t)
	if c, err := s.table.Counts(); err != nil || c.To4[Translated].Packets != 2 {
		t.Errorf("%+v %v", c, err)
	}
	if m, err := s.table.Mappings(); err != nil || len(m) != 1 || m[s.guest6] != s.pool {
		t.Errorf("%v %v", m, err)
	}
	if last := s.table.LastUsed(s.guest6, s.pool); last.IsZero() {
		t.Error("never used")
	}
	// Another namespace's devices are not ours.
	nstest.Do(t, s.guest, func() error {
		f, err := Find(s.dir, s.device, s.link)
		if f != nil || !errors.Is(err, ErrUnavailable) {
			t.Errorf("in another namespace: %+v, %v", f, err)
		}
		return nil
	})
	// A device that went and came again.
	s.sh(t, s.host, "ip link del nat64")
	if f := s.find(t); f == nil || f.Attached {
		t.Errorf("without a device: %+v", f)
	}
	nstest.Do(t, s.host, func() error { return Detach(s.dir) })
	if _, err := os.Lstat(s.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	if f := s.find(t); f != nil {
		t.Errorf("found %+v", f)
	}
}

// Half of the pins is found as something to be put right.
func TestHalfPinned(t *testing.T) {
	for _, way := range ways() {
		t.Run(way, func(t *testing.T) { testHalfPinned(t, newStageBy(t, way, "64:ff9b::/96", false)) })
	}
}

func testHalfPinned(t *testing.T, s *stage) {
	for _, name := range []string{"about", "link_to4", "link_to6", "link_given"} {
		if err := os.Remove(s.dir + "/" + name); err != nil {
			t.Fatal(err)
		}
		if f := s.find(t); f == nil || f.Attached {
			t.Errorf("without %s: %+v", name, f)
		}
		nstest.Do(t, s.host, s.attach)
		if f := s.find(t); f == nil || !f.Attached {
			t.Errorf("put right: %+v", f)
		}
		s.ping(t)
	}
}

func TestProbe(t *testing.T) {
	dir := nstest.BPFFS(t)
	if err := Probe(dir + "/nat64"); err != nil {
		t.Error(err)
	}
	if err := Probe(t.TempDir()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("not a BPF file system: %v", err)
	}
}
