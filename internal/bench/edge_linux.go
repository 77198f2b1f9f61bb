package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/sysctl"
)

const (
	unitKpps = "kpps"
	unitGbit = "Gbit/s"
)

const (
	// udpRounds and tcpRounds are how often each variant takes its turn for each
	// of -runs: many short turns one after the other, so that what else the
	// machine does meets all of them alike.
	udpRounds, udpTurn = 24, 80 * time.Millisecond
	tcpRounds, tcpTurn = 2, 400 * time.Millisecond
	// smallPacket is the length of an IPv6 packet, of which 48 bytes are headers.
	smallPacket = 64
)

// edgeVariant is what stands at the edge while traffic runs.
type edgeVariant struct {
	what     string
	on, off  string // shell lines on the server
	needs    string // a program, "" where none but nft
	baseline bool
}

// edgeVariants come in the order of their turns. Chains without rules at the hooks
// that a guest's packet meets are the least that any table there costs. Each has
// something done to nftables before and after its turn, also where nothing comes of
// it: what it leaves of the caches is the same for all then. Between them there is no table
// that would do anything: fullhost's is dormant, its hooks unregistered.
func edgeVariants() []edgeVariant {
	// Debian's ebtables makes nftables of its rules, in tables of its own.
	const rule = "-t nat -A POSTROUTING -j snat --snat-target ACCEPT --to-source "
	return []edgeVariant{
		{what: "no table", on: nothing, off: nothing, baseline: true},
		{what: "two chains without rules", on: "nft 'table bridge floor { chain in { type filter hook prerouting priority -400; }; chain out { type filter hook postrouting priority 400; }; }'", off: "nft delete table bridge floor"},
		{what: "fullhost's table", on: "nft add table bridge sixhost_edge", off: dormant},
		{what: "the article's ebtables rule", on: "ebtables-nft " + rule + lab.ServerMAC().String(), off: "nft delete table bridge nat", needs: "ebtables-nft"},
		{what: "no table, once more", on: nothing, off: nothing},
	}
}

const nothing = "nft 'add table bridge nothing; delete table bridge nothing'"

const dormant = "nft 'add table bridge sixhost_edge { flags dormant; }'"

// edge measures what the edge's rules cost, for numbers of guests.
func (b *bench) edge(ctx context.Context) error {
	for _, n := range b.attached() {
		if err := b.inSite(ctx, n, func(s *site) error { return b.edgeOf(ctx, s, n) }); err != nil {
			return fmt.Errorf("%s: %w", guestsText(n), err)
		}
	}
	return nil
}

func (b *bench) edgeOf(ctx context.Context, s *site, n int) error {
	fmt.Fprintf(os.Stderr, "edge: setting up %s\n", guestsText(n))
	if err := s.finish(ctx); err != nil {
		return err
	}
	p, err := s.serve(ctx)
	if err != nil {
		return err
	}
	if _, _, err := s.addGuests(ctx, n); err != nil {
		return err
	}
	// It would put its table back. Killed, it can't tell the guests that their
	// router is gone.
	p.program.Kill()
	if err := s.shell(ctx, dormant); err != nil {
		return err
	}
	var variants []edgeVariant
	for _, v := range edgeVariants() {
		if v.needs != "" && !installed(v.needs) {
			if err := b.note("edge: %s is left out, as %s is not installed", v.what, v.needs); err != nil {
				return err
			}
			continue
		}
		variants = append(variants, v)
	}
	from, to := s.Guests()[n-1], s.Node(lab.Web6)
	// Without a table the host redirects its guests to the provider's router,
	// whose port security then drops what they send.
	if err := from.Do(func() error {
		return sysctl.Write("net/ipv6/conf/"+lab.GuestLink+"/accept_redirects", "0")
	}); err != nil {
		return err
	}
	for _, load := range []struct {
		what, unit string
		rounds     int
		start      func(context.Context, *lab.Node, *lab.Node) (edgeLoad, error)
	}{
		{"packets of 64 bytes", unitKpps, udpRounds, startUDP},
		{"one TCP stream", unitGbit, tcpRounds, startTCP},
	} {
		samples, err := b.turns(ctx, s, variants, from.Node, to, load.rounds, load.start)
		if err != nil {
			return fmt.Errorf("%s: %w", load.what, err)
		}
		for i, v := range variants {
			f := row{Group: benchEdge, What: fmt.Sprintf("%s, %s: %s", load.what, guestsText(n), v.what), Unit: load.unit, Samples: samples[i]}
			if !v.baseline {
				f.Beside = &peer{What: variants[0].what, Samples: samples[0]}
			}
			if err := b.emit(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// edgeLoad is traffic from a guest to a host beyond the provider.
type edgeLoad interface {
	// turn sends for a while and returns how much arrived, by its unit.
	turn(time.Duration) (float64, error)
	length() time.Duration
	close()
}

// turns lets the variants take turns and returns each one's samples.
func (b *bench) turns(ctx context.Context, s *site, variants []edgeVariant, from, to *lab.Node, rounds int,
	start func(context.Context, *lab.Node, *lab.Node) (edgeLoad, error)) ([][]float64, error) {
	load, err := start(ctx, from, to)
	if err != nil {
		return nil, err
	}
	defer load.close()
	if err := warmUp(ctx, load); err != nil {
		return nil, err
	}
	samples := make([][]float64, len(variants))
	for r := range b.runs * rounds {
		for k := range variants {
			// Whoever comes first pays for what the round before has left.
			i := (k + r) % len(variants)
			if err := ctx.Err(); err != nil {
				return nil, context.Cause(ctx)
			}
			v := variants[i]
			if v.on != "" {
				if err := s.shell(ctx, v.on); err != nil {
					return nil, err
				}
			}
			// The first packets pay for what the change has left.
			got, err := load.turn(load.length() / 4)
			if err == nil {
				got, err = load.turn(load.length())
			}
			if v.off != "" {
				err = errors.Join(err, s.shell(ctx, v.off))
			}
			if err != nil {
				return nil, err
			}
			if got == 0 {
				return nil, fmt.Errorf("%s: nothing arrives", v.what)
			}
			samples[i] = append(samples[i], got)
		}
	}
	return samples, nil
}

// calm is how long the start of hundreds of guests may keep the queues full: each
// of their multicasts is copied to each port, and what does not fit the queue of a
// CPU is lost, whoever sent it.
const calm = 30 * time.Second

// warmUp lets traffic run until some of it arrives in two turns together.
func warmUp(ctx context.Context, load edgeLoad) error {
	for limit, good := time.Now().Add(calm), 0; good < 2; {
		got, err := load.turn(load.length())
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case got > 0:
			good++
		case time.Now().After(limit):
			return fmt.Errorf("nothing arrives within %s", calm)
		default:
			good = 0
		}
	}
	return nil
}

// udpLoad sends small packets from one thread on one CPU. All of a packet's way
// through the namespaces is then done on that CPU by that thread before the next is
// sent, so that the rate for each second of the thread's own time tells what the
// way costs, also while others use the machine.
type udpLoad struct {
	conn *net.UDPConn
	sink net.PacketConn
	to   *lab.Node
}

func startUDP(_ context.Context, from, to *lab.Node) (edgeLoad, error) {
	u := &udpLoad{to: to}
	at := netip.AddrPortFrom(to.IPv6(), 9)
	err := to.Do(func() (err error) {
		// Nobody reads: what does not fit its buffer is dropped there.
		u.sink, err = net.ListenUDP("udp6", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the packets' end: %w", err)
	}
	if err := from.Do(func() (err error) {
		u.conn, err = net.DialUDP("udp6", nil, net.UDPAddrFromAddrPort(at))
		return err
	}); err != nil {
		u.sink.Close()
		return nil, fmt.Errorf("open the packets' start: %w", err)
	}
	return u, nil
}

func (u *udpLoad) length() time.Duration { return udpTurn }

func (u *udpLoad) close() {
	u.conn.Close()
	u.sink.Close()
}

func (u *udpLoad) turn(d time.Duration) (kpps float64, err error) {
	messages := make([]ipv6.Message, 64)
	for i := range messages {
		messages[i].Buffers = [][]byte{make([]byte, smallPacket-48)}
	}
	p := ipv6.NewPacketConn(u.conn)
	done := make(chan error, 1)
	go func() {
		// The thread is not given back with its CPU fixed: it ends with this.
		runtime.LockOSThread()
		var one unix.CPUSet
		one.Set(runtime.NumCPU() - 1)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			done <- fmt.Errorf("keep to one CPU: %w", err)
			return
		}
		before, err := received(u.to)
		if err != nil {
			done <- err
			return
		}
		var took time.Duration
		for start := threadTime(); took < d; took = threadTime() - start {
			if _, err := p.WriteBatch(messages, 0); err != nil {
				done <- fmt.Errorf("send packets: %w", err)
				return
			}
		}
		after, err := received(u.to)
		kpps = float64(after-before) / took.Seconds() / 1000
		done <- err
	}()
	err = <-done
	return kpps, err
}

// threadTime is how long the calling thread has had a CPU.
func threadTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// received is how many packets have come to a node by its link.
func received(n *lab.Node) (uint64, error) {
	h, err := n.NS().Handle()
	if err != nil {
		return 0, err
	}
	defer h.Close()
	l, err := h.LinkByName("eth0")
	if err != nil {
		return 0, fmt.Errorf("find eth0 of %s: %w", n.Name(), err)
	}
	return l.Attrs().Statistics.RxPackets, nil
}

// tcpLoad is one connection that is kept full.
type tcpLoad struct {
	conn, peer net.Conn
	arrived    atomic.Int64
	wg         sync.WaitGroup
}

func startTCP(ctx context.Context, from, to *lab.Node) (edgeLoad, error) {
	t := &tcpLoad{}
	at := netip.AddrPortFrom(to.IPv6(), 9)
	var ls net.Listener
	if err := to.Do(func() (err error) {
		ls, err = net.Listen("tcp6", at.String())
		return err
	}); err != nil {
		return nil, fmt.Errorf("open the stream's end: %w", err)
	}
	defer ls.Close()
	if err := from.Do(func() (err error) {
		t.conn, err = net.DialTimeout("tcp6", at.String(), 5*time.Second)
		return err
	}); err != nil {
		return nil, fmt.Errorf("open the stream: %w", err)
	}
	var err error
	if t.peer, err = ls.Accept(); err != nil {
		t.conn.Close()
		return nil, fmt.Errorf("open the stream's end: %w", err)
	}
	t.wg.Go(func() {
		buf := make([]byte, 1<<20)
		for {
			n, err := t.peer.Read(buf)
			t.arrived.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	t.wg.Go(func() {
		_, _ = io.Copy(t.conn, zeros{})
	})
	return t, nil
}

// zeros never ends.
type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func (t *tcpLoad) length() time.Duration { return tcpTurn }

func (t *tcpLoad) close() {
	t.conn.Close()
	t.peer.Close()
	t.wg.Wait()
}

func (t *tcpLoad) turn(d time.Duration) (float64, error) {
	before, start := t.arrived.Load(), time.Now()
	time.Sleep(d)
	return float64(t.arrived.Load()-before) * 8 / time.Since(start).Seconds() / 1e9, nil
}
