package gateway

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A port that invents addresses gets its share, slowly, and nobody else is
// refused on its account.
func TestOnePortAgainstTheOthers(t *testing.T) {
	tab := newTable(netip.MustParsePrefix("10.9.0.0/22"), nil) // 1,021 addresses
	tab.quota = 400
	now := int64(1000)
	tab.now.Store(now)
	const attacker, other = origin(7), origin(8)
	invented := uint64(1 << 40)
	flood := func(n int) (got int) {
		for range n {
			invented++
			if _, ok := tab.assign(guestN(invented), attacker, false); ok {
				got++
			}
		}
		return got
	}
	if got := flood(10000); got != newAtOnce {
		t.Errorf("%d mappings at once", got)
	}
	now++
	tab.now.Store(now)
	if got := flood(10000); got != newPerSecond {
		t.Errorf("%d in a second", got)
	}
	for range 100 {
		now++
		tab.now.Store(now)
		flood(1000)
		// Another guest, new each time.
		if _, ok := tab.assign(guestN(uint64(now)), other, false); !ok {
			t.Fatalf("the other was refused at %d", now)
		}
	}
	if len(tab.shares[attacker].own) != 400 || len(tab.shares[other].own) != 100 {
		t.Errorf("attacker has %d, the other %d", len(tab.shares[attacker].own), len(tab.shares[other].own))
	}
	// What is idle goes round within the share.
	tab.now.Store(now + 601)
	if got := flood(10); got != 1 || len(tab.shares[attacker].own) != 400 {
		t.Errorf("%d new after ten minutes, %d in all", got, len(tab.shares[attacker].own))
	}
}

// Attackers together fill the pool; a port with less than a fair share gets one
// all the same, and then no more than that.
func TestFullPoolIsShared(t *testing.T) {
	var ended []netip.Addr
	tab := newTable(netip.MustParsePrefix("10.9.8.0/24"), func(a netip.Addr) { ended = append(ended, a) }) // 253 addresses
	tab.now.Store(1000)
	for n := range uint64(253) {
		tab.assign(guestN(n), origin(1+n%2), false)
	}
	if tab.count() != 253 {
		t.Fatalf("%d mappings", tab.count())
	}
	got := 0
	for now := int64(2000); now < 2600; now++ {
		tab.now.Store(now)
		for n := range uint64(253) {
			tab.lookup4(guestN(n)) // all in use
		}
		if _, ok := tab.assign(guestN(uint64(now)), 3, false); ok {
			got++
		}
	}
	if fair := 253 / 3; got != fair || len(ended) != fair || tab.count() != 253 {
		t.Errorf("the newcomer got %d, %d ended, %d in all", got, len(ended), tab.count())
	}
}

// A guest seen before anybody knew its port is charged to it with its first
// packet, once.
func TestChargedLater(t *testing.T) {
	tab := newTable(DefaultPool(), nil)
	a, _ := tab.assign(guestN(1), 0, false)
	for range 3 {
		if b, ok := tab.assign(guestN(1), 5, false); !ok || a != b {
			t.Fatal(b, ok)
		}
	}
	if len(tab.shares[5].own) != 1 {
		t.Errorf("%d mappings", len(tab.shares[5].own))
	}
}

// spy is a second translator.
type spy struct {
	have  map[netip.Addr]netip.Addr
	after int64
}

func (s *spy) mapped(m Mapping)        { s.have[m.Guest] = m.Pool }
func (s *spy) unmapped(m Mapping)      { delete(s.have, m.Guest) }
func (s *spy) charged(Mapping, origin) {}
func (s *spy) lastUsed(Mapping) int64  { return s.after }
func (s *spy) addTo(st *Stats)         { st.Path = PathFast }

// A second translator has what the table has, and what it uses is not idle.
func TestSecondFollows(t *testing.T) {
	tab := newTable(netip.MustParsePrefix("10.9.8.0/28"), nil)
	tab.now.Store(1000)
	tab.assign(guestN(0), 0, false)
	s := &spy{have: map[netip.Addr]netip.Addr{}}
	tab.attach(s)
	for n := range uint64(13) {
		tab.assign(guestN(n), 0, false)
	}
	if len(s.have) != 13 {
		t.Errorf("%d mappings", len(s.have))
	}
	tab.now.Store(2000)
	s.after = 1900
	if _, ok := tab.assign(guestN(50), 0, false); ok {
		t.Error("a mapping was given away that the other path uses")
	}
	tab.now.Store(3000)
	a, ok := tab.assign(guestN(50), 0, false)
	if !ok || len(s.have) != 13 || s.have[guestN(50)] != a {
		t.Errorf("%s %v, %d mappings", a, ok, len(s.have))
	}
}

// Whoever comes first after a restart, collisions are as they were.
func TestKeptMappings(t *testing.T) {
	pool := netip.MustParsePrefix("10.9.0.0/22")
	first := newTable(pool, nil)
	for n := range uint64(500) {
		first.assign(guestN(n), 0, false)
	}
	file := filepath.Join(t.TempDir(), "new", "nat64.json")
	kept := first.keptMappings()
	if len(kept) == 0 || len(kept) == 500 {
		t.Fatalf("%d kept", len(kept))
	}
	if err := writeMappings(file, kept); err != nil {
		t.Fatal(err)
	}
	again, err := readMappings(file)
	if err != nil || !slices.Equal(again, kept) {
		t.Fatalf("read %d of %d: %v", len(again), len(kept), err)
	}
	second := newTable(pool, nil)
	second.restore(again, func(m Mapping) bool { return pool.Contains(m.Pool) })
	for n := uint64(500); n > 0; n-- {
		was, _ := first.lookup4(guestN(n - 1))
		if now, ok := second.assign(guestN(n-1), 0, false); !ok || now != was {
			t.Errorf("guest %d: %s, was %s", n-1, now, was)
		}
	}
	if left, _ := filepath.Glob(filepath.Dir(file) + "/.*"); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What doesn't fit is left out, and a file of rubbish is an error that names it.
func TestKeptMappingsThatDoNotFit(t *testing.T) {
	tab := newTable(netip.MustParsePrefix("10.9.8.0/28"), nil)
	m := func(guest uint64, pool string) Mapping { return Mapping{guestN(guest), netip.MustParseAddr(pool)} }
	tab.restore([]Mapping{
		m(1, "10.9.8.5"), m(2, "10.9.8.5"), m(1, "10.9.8.6"), m(3, "10.9.8.0"), m(4, "10.9.8.1"), m(5, "10.9.8.15"), m(6, "10.9.9.1"),
		m(7, "2001:db8::1"), {},
	}, func(Mapping) bool { return true })
	if a, ok := tab.lookup4(guestN(1)); tab.count() != 1 || !ok || a.String() != "10.9.8.5" {
		t.Errorf("%d mappings, %s", tab.count(), a)
	}
	file := filepath.Join(t.TempDir(), "nat64.json")
	if got, err := readMappings(file); got != nil || err != nil {
		t.Errorf("no file: %v %v", got, err)
	}
	if err := os.WriteFile(file, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readMappings(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Error(err)
	}
}
