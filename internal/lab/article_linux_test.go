package lab

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/internal/nstest"
)

// TestArticleFailsTheJudge is the proof that the judge can see what it is there
// for: the article's own recipe, with its own tools, keeps source MACs clean and
// betrays the guest in other ways.
func TestArticleFailsTheJudge(t *testing.T) {
	nstest.Tool(t, "ebtables-nft")
	nstest.Tool(t, "radvd")
	l, ctx := newLab(t)

	from := l.Node(Provider).NS()
	sessions := map[string]*probe.Session{}
	for family, to := range map[string]netip.Addr{"IPv4": ServerIPv4().Addr(), "IPv6": ServerIPv6().Addr()} {
		s, err := probe.StartSession(ctx, from, probe.SessionConfig{To: netip.AddrPortFrom(to, ServiceTCP)})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		if err := s.WaitEcho(ctx); err != nil {
			t.Fatal(err)
		}
		sessions[family] = s
	}
	if r := l.Judge().Report(); r.Offences() != 0 {
		t.Fatalf("before anything was done: %v", r.Findings)
	}
	begin := time.Now()
	if err := Article(ctx, l); err != nil {
		t.Fatal(err)
	}
	t.Logf("recipe done after %v", time.Since(begin).Round(time.Millisecond))
	for family, s := range sessions {
		if err := s.WaitEcho(ctx); err != nil {
			t.Errorf("%s: %v", family, err)
		}
		r := s.Stop()
		t.Log(family, r)
		if r.Total.Stall < 100*time.Millisecond {
			t.Errorf("%s stalled for %v only: this is not the naive order", family, r.Total.Stall)
		}
	}

	g, err := l.AddGuest(ctx, "guest1", wire.MAC{0x52, 0x54, 0x00, 0x12, 0x34, 0x01}, ArticleBridge)
	if err != nil {
		t.Fatal(err)
	}
	took, err := g.WaitAddress(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("guest has %v after %v", g.IPv6(), took.Round(time.Millisecond))
	// The guest does talk to the outside, which is why people live with it.
	wait(t, ctx, "the guest reaches the IPv6 Internet", func() bool {
		_, err := probe.Fetch(ctx, g.NS(), "http://["+l.Node(Web6).IPv6().String()+"]"+PathSmall, probe.FetchOptions{})
		return err == nil
	})
	if seen := g.Advertisements().Seen(); len(seen) == 0 {
		t.Error("the guest caught no router advertisement")
	} else if ra := seen[0]; len(ra.Prefixes) != 1 || ra.Prefixes[0].Prefix != ServerIPv6().Masked() {
		t.Errorf("the guest caught %+v", ra)
	}

	roots := x509.NewCertPool()
	roots.AddCert(g.Certificate())
	for _, scheme := range []string{"http", "https"} {
		r, err := probe.Fetch(ctx, l.Node(Client6).NS(), scheme+"://guest1.example"+PathLarge, probe.FetchOptions{
			Resolver: &probe.Resolver{Server: l.Resolvers()[1]},
			Roots:    roots,
		})
		if err != nil || !bytes.Equal(r.Body, Page("guest1", PathLarge)) {
			t.Errorf("%s page of the guest from outside: %v", scheme, err)
		}
	}

	wait(t, ctx, "the judge sees it all", func() bool {
		r := l.Judge().Report()
		for _, k := range []wire.Kind{wire.RouterAdvertisement, wire.ForeignInside, wire.GuestMulticast} {
			if r.Counts[k] == 0 {
				return false
			}
		}
		return true
	})
	r := l.Judge().Report()
	for _, f := range r.Findings {
		t.Log(f)
	}
	if n := r.Counts[wire.ForeignSource]; n != 0 {
		t.Errorf("%d foreign source MACs: ebtables did not do its work", n)
	}
	if n, err := l.Dropped(); n != 0 || err != nil {
		t.Errorf("port security dropped %d frames, %v", n, err)
	}
	if s := l.Watched(); s.Lost != 0 {
		t.Errorf("the judge missed %d frames", s.Lost)
	}
}

func TestFindProgram(t *testing.T) {
	_, err := findProgram("no-such-program-as-this", "nowhere")
	var missing *MissingProgramError
	if !errors.As(err, &missing) || missing.Program != "no-such-program-as-this" || missing.Package != "nowhere" {
		t.Errorf("got %v", err)
	}
	t.Setenv("PATH", "/nowhere")
	if path, err := findProgram("radvd", "radvd"); err != nil && !errors.As(err, &missing) {
		t.Errorf("got %q, %v", path, err)
	}
}
