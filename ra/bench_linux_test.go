package ra

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkKernelAnswer measures the time from a solicitation to its unicast
// answer, with the solicited delay off.
func BenchmarkKernelAnswer(b *testing.B) {
	n := newTestNet(b)
	n.guestUp(b, true)
	s, _ := n.serve(b, kernelConfig())
	<-s.Ready()
	c := n.guestSocket(b)
	to := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 15: 2})
	rs := []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}
	buf := make([]byte, longestMessage)
	times := make([]time.Duration, 0, b.N)
	for b.Loop() {
		begun := time.Now()
		if err := c.send(rs, to); err != nil {
			b.Fatal(err)
		}
		if _, err := c.receive(buf, begun.Add(10*time.Second)); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(times[len(times)*99/100].Nanoseconds()), "p99-ns")
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err == nil {
		b.ReportMetric(float64(use.Maxrss), "maxrss-KiB")
	}
}

// BenchmarkServerReceive is the server's work for one solicitation from
// receive to send, without the kernel's.
func BenchmarkServerReceive(b *testing.B) {
	f := newFakeEdge()
	cfg := kernelConfig()
	cfg.Interface = routerLink
	s := newServer(cfg, nullEdge{f}, f, uniform)
	s.refresh(time.Now())
	s.sendDue(time.Now())
	p := packet{n: 8, from: netip.MustParseAddr("fe80::a"), index: testLink().Index, hopLimit: hopLimit}
	buf := []byte{typeSolicitation, 0, 0, 0, 0, 0, 0, 0}
	b.ReportAllocs()
	for b.Loop() {
		now := time.Now()
		s.receive(now, p, buf)
		s.sendDue(now)
	}
}
