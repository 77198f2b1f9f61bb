package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/nstest"
)

// BenchmarkRealGuest measures one guest in QEMU's own emulation, from
// fullhost guest start until its first request, to a name that has IPv4 only, is
// answered:
//
//	go test -run '^$' -bench RealGuest -benchtime 5x ./examples/fullhost
//
// The parts add up to the whole: the command with libvirt's part of the start,
// QEMU and its firmware until the kernel runs, the kernel until its first
// process, drivers until the link is up, duplicate address detection of the
// link-local address, the router's answer, that of the global address, finding out
// the name server (rdisc6, which asks anew), the name's resolution, and the fetch.
func BenchmarkRealGuest(b *testing.B) {
	nstest.RequireRoot(b)
	nstest.RequireTun(b)
	nstest.Tool(b, "qemu-system-x86_64")
	parts := newGuestParts(b)
	b.Setenv(envProgram, "1") // for the server's commands
	ctx := b.Context()
	l, err := lab.New(ctx, lab.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	v := newVirtHost(b, l)
	p := guestServer(b, l, v, parts, netip.MustParseAddr("203.0.113.77"))
	p.stand(b, ctx)
	v.dial(b).Close()

	words := []struct{ word, unit string }{
		{"kernel", "kernel"}, {"link", "drivers"}, {"local", "DAD-local"}, {"route", "RA"}, {"address", "DAD-global"},
		{"resolver", "rdisc6"}, {"dns", "DNS"}, {"nat64", "fetch"},
	}
	sum := make(map[string]time.Duration)
	runs := 0
	for b.Loop() {
		console := console{filepath.Join(p.dir, "web.log")}
		if err := os.RemoveAll(console.path); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		p.say(b, "guest", "start", "-f", p.config, "web")
		command := time.Since(start)
		// What the guest says is stamped by its own clock. When that began is known
		// by the least time between a line's stamp and its being here.
		var begun time.Time
		s := make(map[string]said)
		for s["nat64"].word == "" {
			for _, line := range console.said(b) {
				if s[line.word].word != "" {
					continue
				}
				s[line.word] = line
				if at := time.Now().Add(-uptime(b, line)); begun.IsZero() || at.Before(begun) {
					begun = at
				}
			}
			if time.Since(start) > 3*time.Minute {
				b.Fatalf("the guest has said %v", s)
			}
			time.Sleep(2 * time.Millisecond)
		}
		b.StopTimer()
		sum["command"] += command
		sum["QEMU"] += begun.Sub(start) - command
		var before time.Duration
		for _, w := range words {
			at := uptime(b, s[w.word])
			sum[w.unit] += at - before
			before = at
		}
		sum["whole"] += begun.Add(before).Sub(start)
		runs++
		// It is not up far enough to shut down when it is asked to.
		conn := v.dial(b)
		if err := conn.Kill("web"); err != nil {
			b.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			b.Fatal(err)
		}
		p.say(b, "guest", "undefine", "-f", p.config, "web")
		b.StartTimer()
	}
	for unit, d := range sum {
		b.ReportMetric(d.Seconds()/float64(runs), unit+"-s")
	}
	b.ReportMetric(0, "ns/op") // it has the end of each guest in it
}

// uptime is when a guest said something, by its own clock.
func uptime(t testing.TB, s said) time.Duration {
	t.Helper()
	v, err := strconv.ParseFloat(s.uptime, 64)
	if err != nil {
		t.Fatalf("a guest's clock: %q: %v", s.uptime, err)
	}
	return time.Duration(v * float64(time.Second))
}
