package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
)

func listen(ns *netns.NS, a netip.Addr) (l net.Listener, err error) {
	err = ns.Do(func() error { l, err = net.Listen("tcp", netip.AddrPortFrom(a, 0).String()); return err })
	return l, err
}

func (s *stage) dial(port uint16) (c net.Conn, err error) {
	err = s.guest.Do(func() error {
		c, err = net.DialTimeout("tcp", netip.AddrPortFrom(s.near, port).String(), 5*time.Second)
		return err
	})
	return c, err
}

func port(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

// pairs returns connections between guest and Internet.
func (s *stage) pairs(n int) (guest, web []net.Conn, err error) {
	l, err := listen(s.web, s.far)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	for range n {
		c, err := s.dial(port(l.Addr()))
		if err != nil {
			return nil, nil, err
		}
		w, err := l.Accept()
		if err != nil {
			return nil, nil, err
		}
		guest, web = append(guest, c), append(web, w)
	}
	return guest, web, nil
}

func closeAll(c ...[]net.Conn) {
	for _, l := range c {
		for _, x := range l {
			x.Close()
		}
	}
}

// bulk returns Gbit/s received, up from the guest or down to it. rate limits
// it, in octets a second; 0 for as fast as can be.
func (s *stage) bulk(streams int, down bool, d time.Duration, rate float64) (float64, error) {
	guest, web, err := s.pairs(streams)
	if err != nil {
		return 0, err
	}
	from, to := guest, web
	if down {
		from, to = web, guest
	}
	var got atomic.Int64
	var wg sync.WaitGroup
	for i := range from {
		wg.Go(func() {
			b := make([]byte, 256<<10)
			start, sent := time.Now(), 0.0
			for {
				n, err := from[i].Write(b)
				if err != nil {
					return
				}
				if sent += float64(n); rate > 0 {
					time.Sleep(time.Until(start.Add(time.Duration(sent / rate * 1e9))))
				}
			}
		})
		wg.Go(func() {
			b := make([]byte, 256<<10)
			for {
				n, err := to[i].Read(b)
				got.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
	time.Sleep(d / 4) // slow start
	start, before := time.Now(), got.Load()
	time.Sleep(d)
	result := float64(got.Load()-before) * 8 / 1e9 / time.Since(start).Seconds()
	closeAll(guest, web)
	wg.Wait()
	return result, nil
}

// roundTrip is the median of many, in microseconds.
func (s *stage) roundTrip(n int) (float64, error) {
	guest, web, err := s.pairs(1)
	if err != nil {
		return 0, err
	}
	defer closeAll(guest, web)
	go io.Copy(web[0], web[0])
	var all []float64
	b := []byte{0}
	for range n {
		start := time.Now()
		if _, err := guest[0].Write(b); err != nil {
			return 0, err
		}
		if _, err := io.ReadFull(guest[0], b); err != nil {
			return 0, err
		}
		all = append(all, time.Since(start).Seconds()*1e6)
	}
	return median(all), nil
}

// connections returns how many a second are made, used and closed.
func (s *stage) connections(d time.Duration) (float64, error) {
	l, err := listen(s.web, s.far)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 1)
				if _, err := c.Read(b); err == nil {
					c.Write(b)
				}
			}()
		}
	}()
	var made atomic.Int64
	var wg sync.WaitGroup
	stop := make(chan struct{})
	errs := make(chan error, 8)
	for range 8 {
		wg.Go(func() {
			// Each on a thread of its own in the guest's namespace.
			errs <- s.guest.Do(func() error {
				b := make([]byte, 1)
				for {
					select {
					case <-stop:
						return nil
					default:
					}
					c, err := net.Dial("tcp", netip.AddrPortFrom(s.near, port(l.Addr())).String())
					if err != nil {
						return err
					}
					// No TIME-WAIT that would use up the ports.
					c.(*net.TCPConn).SetLinger(0)
					c.Write([]byte{1})
					_, err = io.ReadFull(c, b)
					c.Close()
					if err != nil {
						return err
					}
					made.Add(1)
				}
			})
		})
	}
	time.Sleep(d / 5)
	start, before := time.Now(), made.Load()
	time.Sleep(d)
	result := float64(made.Load()-before) / time.Since(start).Seconds()
	close(stop)
	wg.Wait()
	for range 8 {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	return result, nil
}

// datagrams sends at a rate (in packets a second) and returns how many of those
// sent arrived.
func (s *stage) datagrams(src, dst *net.UDPConn, rate float64, d time.Duration) (sent, got int, took time.Duration, err error) {
	const batch = 32
	out, in := ipv4.NewPacketConn(src), ipv4.NewPacketConn(dst)
	var received atomic.Int64
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		msgs := make([]ipv4.Message, 64)
		for i := range msgs {
			msgs[i].Buffers = [][]byte{make([]byte, 128)}
		}
		for {
			n, err := in.ReadBatch(msgs, 0)
			if err != nil {
				if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil {
					dst.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
					continue
				}
				return
			}
			received.Add(int64(n))
		}
	}()
	dst.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	msgs := make([]ipv4.Message, batch)
	for i := range msgs {
		msgs[i].Buffers = [][]byte{make([]byte, 64)}
	}
	start := time.Now()
	for time.Since(start) < d {
		due := int(time.Since(start).Seconds() * rate)
		if due-sent < batch {
			time.Sleep(20 * time.Microsecond)
			continue
		}
		n, err := out.WriteBatch(msgs, 0)
		if err != nil {
			stop()
			<-done
			return 0, 0, 0, fmt.Errorf("send datagrams: %w", err)
		}
		sent += n
	}
	took = time.Since(start)
	for limit := time.Now().Add(50 * time.Millisecond); time.Now().Before(limit) && int(received.Load()) < sent; {
		time.Sleep(time.Millisecond)
	}
	stop()
	dst.SetReadDeadline(time.Unix(1, 0))
	<-done
	return sent, int(received.Load()), took, nil
}

// noDrop looks for the highest rate at which nothing is lost, in thousands a
// second.
func (s *stage) noDrop(d time.Duration, tries int) (float64, error) {
	var dst, src *net.UDPConn
	err := s.web.Do(func() (err error) {
		dst, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.far, 0)))
		return err
	})
	if err != nil {
		return 0, err
	}
	defer dst.Close()
	err = s.guest.Do(func() (err error) {
		src, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.near, port(dst.LocalAddr()))))
		return err
	})
	if err != nil {
		return 0, err
	}
	defer src.Close()
	raw, err := dst.SyscallConn()
	if err != nil {
		return 0, err
	}
	// The receiver is not what is measured.
	raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) })
	if err != nil {
		return 0, err
	}
	low, high, best := 0.0, 800e3, 0.0
	for range tries {
		rate := (low + high) / 2
		sent, got, took, err := s.datagrams(src, dst, rate, d)
		if err != nil {
			return 0, err
		}
		real := float64(sent) / took.Seconds()
		if got < sent {
			high = rate
		} else {
			low, best = rate, max(best, real)
			// No use in asking for more than can be sent.
			high = min(high, real*1.3)
		}
		if high <= low {
			break
		}
	}
	return best / 1e3, nil
}

// busy returns the processors' busy time so far, in seconds.
func busy() float64 {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	var user, nice, system, idle, iowait, irq, softirq float64
	fmt.Sscanf(strings.SplitN(string(b), "\n", 2)[0], "cpu %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &iowait, &irq, &softirq)
	return (user + nice + system + irq + softirq) / 100
}

// cores are those busy while 1 Gbit/s flows up.
func (s *stage) cores(d time.Duration) (float64, error) {
	type result struct {
		rate float64
		err  error
	}
	done := make(chan result, 1)
	go func() {
		r, err := s.bulk(1, false, d, 125e6)
		done <- result{r, err}
	}()
	time.Sleep(d / 4)
	before := busy()
	time.Sleep(d * 8 / 10)
	used := (busy() - before) / (d.Seconds() * 0.8)
	r := <-done
	if r.err == nil && r.rate < 0.9 {
		return 0, fmt.Errorf("only %.2f Gbit/s of the one asked for", r.rate)
	}
	return used, r.err
}
