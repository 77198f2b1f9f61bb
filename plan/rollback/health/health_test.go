package health

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestRunRepeatsWhatFails(t *testing.T) {
	calls := map[string]int{}
	check := func(name string, from int) Check {
		return Check{Name: name, Run: func(context.Context) error {
			calls[name]++
			if calls[name] < from {
				return errors.New("not yet")
			}
			return nil
		}}
	}
	report := Run(context.Background(), []Check{check("at once", 1), check("at third", 3)}, 5*time.Second)
	for _, r := range report {
		if r.Err != nil {
			t.Errorf("%s: %v", r.Name, r.Err)
		}
	}
	if calls["at once"] != 1 || calls["at third"] != 3 {
		t.Errorf("calls: %v", calls)
	}
}

func TestRunEnds(t *testing.T) {
	never := Check{Name: "never", Run: func(context.Context) error { return errors.New("its own words") }}
	hangs := Check{Name: "hangs", Run: func(ctx context.Context) error { <-ctx.Done(); return errors.New("no answer") }}
	panics := Check{Name: "panics", Run: func(context.Context) error { panic("oops") }}
	start := time.Now()
	report := Run(context.Background(), []Check{never, hangs, panics}, 300*time.Millisecond)
	if took := time.Since(start); took < 300*time.Millisecond || took > 2*time.Second {
		t.Errorf("took %v", took)
	}
	for i, want := range []string{"its own words", "no answer", "the check panicked: oops"} {
		if report[i].Err == nil || report[i].Err.Error() != want {
			t.Errorf("%s: %v, want %q", report[i].Name, report[i].Err, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if report := Run(ctx, []Check{never}, time.Hour); report[0].Err == nil {
		t.Error("held though ctx had ended")
	}
}

func TestBroken(t *testing.T) {
	bad := errors.New("bad")
	before := Report{{"kept", nil}, {"lost", nil}, {"never held", bad}, {"forgotten", nil}, {"repaired", bad}}
	after := Report{{"kept", nil}, {"lost", bad}, {"never held", bad}, {"repaired", nil}, {"new", bad}}
	var names []string
	for _, r := range before.Broken(after) {
		names = append(names, r.Name)
	}
	if got := strings.Join(names, ", "); got != "lost, forgotten" {
		t.Errorf("broken: %s", got)
	}
}

func TestParseSSHConnection(t *testing.T) {
	for _, tc := range []struct {
		text, local, peer string
	}{
		{"198.51.100.7 50022 203.0.113.10 22", "203.0.113.10:22", "198.51.100.7:50022"},
		{"2001:db8::7 50022 2001:db8:1:3::2 2222", "[2001:db8:1:3::2]:2222", "[2001:db8::7]:50022"},
		{"::ffff:198.51.100.7 1 203.0.113.10 22", "203.0.113.10:22", "198.51.100.7:1"},
		{"fe80::1%enp2s0 1 fe80::2%enp2s0 22", "[fe80::2%enp2s0]:22", "[fe80::1%enp2s0]:1"},
		{"UNKNOWN 65535 UNKNOWN 65535", "", ""},
		{"198.51.100.7 70000 203.0.113.10 22", "", ""},
		{"198.51.100.7 0 203.0.113.10 22", "", ""},
		{"198.51.100.7 1 203.0.113.10", "", ""},
		{"", "", ""},
	} {
		c, ok := parseSSHConnection(tc.text)
		if ok != (tc.peer != "") || ok && (c.Local != netip.MustParseAddrPort(tc.local) || c.Peer != netip.MustParseAddrPort(tc.peer)) {
			t.Errorf("%q: %v, %t", tc.text, c, ok)
		}
	}
}

func FuzzAnswerTo(f *testing.F) {
	query := rootQuery(0x1234)
	f.Add(query)
	f.Add(append([]byte{0x12, 0x34, 0x81, 0x82}, query[4:]...))
	f.Fuzz(func(t *testing.T, m []byte) {
		rcode, ok := answerTo(query, m)
		if ok && (rcode < 0 || rcode > 15 || m[0] != 0x12 || m[1] != 0x34 || m[2] < 0x80) {
			t.Errorf("%x taken for an answer with code %d", m, rcode)
		}
	})
}
