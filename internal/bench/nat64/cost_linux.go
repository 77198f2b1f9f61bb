package main

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"runtime"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// perPacket is the processor time that a datagram of 64 octets takes from the
// guest's socket to the Internet's, in nanoseconds: in the kernel, all of it is
// done by the sender's thread. The best of many short runs, so that it says
// something on a busy machine too.
func (s *stage) perPacket(tries int) (float64, error) {
	var dst, src *net.UDPConn
	err := s.web.Do(func() (err error) {
		dst, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.far, 0)))
		return err
	})
	if err != nil {
		return 0, err
	}
	defer dst.Close()
	err = s.guest.Do(func() error {
		src, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.near, port(dst.LocalAddr()))))
		return err
	})
	if err != nil {
		return 0, err
	}
	defer src.Close()
	if _, err := src.Write([]byte{1}); err != nil {
		return 0, err
	}
	dst.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := dst.Read(make([]byte, 100)); err != nil {
		return 0, fmt.Errorf("first datagram: %w", err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out := ipv4.NewPacketConn(src)
	msgs := make([]ipv4.Message, 32)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, 64)}
	}
	best := math.Inf(1)
	clock := func() float64 {
		var t unix.Timespec
		unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
		return float64(t.Nano())
	}
	for range tries {
		start, sent := clock(), 0
		for range 16 {
			n, err := out.WriteBatch(msgs, 0)
			if err != nil {
				return 0, err
			}
			sent += n
		}
		best = min(best, (clock()-start)/float64(sent))
	}
	return best, nil
}

// perMiB is the processor time that the process takes for a MiB of TCP, in
// microseconds.
func (s *stage) perMiB(tries int, down bool) (float64, error) {
	guest, web, err := s.pairs(1)
	if err != nil {
		return 0, err
	}
	from, to := guest[0], web[0]
	if down {
		from, to = to, from
	}
	go func() {
		b := make([]byte, 256<<10)
		for {
			if _, err := from.Write(b); err != nil {
				return
			}
		}
	}()
	defer closeAll(guest, web)
	clock := func() float64 {
		var u unix.Rusage
		unix.Getrusage(unix.RUSAGE_SELF, &u)
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e3
	}
	b := make([]byte, 256<<10)
	best := math.Inf(1)
	for range tries {
		start, got := clock(), 0
		for got < 64<<20 {
			n, err := to.Read(b)
			if err != nil {
				return 0, err
			}
			got += n
		}
		best = min(best, (clock()-start)/float64(got>>20))
	}
	return best, nil
}
