package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/hostile"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/slaac"
)

const (
	// attackRounds is how often each kind of neighbour takes its turn for each of
	// -runs.
	attackRounds = 5
	// idleTurn is the length of a turn in which the neighbour sends nothing, about
	// that of one of the others.
	idleTurn = time.Second
	// askEvery is the pause between two questions of the guest that looks up names.
	askEvery = 2 * time.Millisecond
)

// neighbour is what a guest that is not measured does.
type neighbour struct {
	what  string
	sends func(hostile.Attack) *hostile.Attack // instead of this attack; nil is nothing
}

// attack measures what other guests have of an attacker: the throughput of one
// TCP stream to the Internet and the name server's answers, while their neighbour
// sends nothing, all attacks, or for each attack as many frames that it may send.
func (b *bench) attack(ctx context.Context) error {
	return b.inSite(ctx, 3, func(s *site) error { return b.attackOn(ctx, s) })
}

func (b *bench) attackOn(ctx context.Context, s *site) error {
	fmt.Fprintln(os.Stderr, "attack: setting up 3 guests")
	if err := s.finish(ctx); err != nil {
		return err
	}
	if _, err := s.serve(ctx); err != nil {
		return err
	}
	if _, _, err := s.addGuests(ctx, 3); err != nil {
		return err
	}
	guests := s.Guests()
	streams, asks, attacker := guests[0], guests[1], guests[2]
	host, err := slaac.Addr(lab.ServerIPv6().Masked(), slaac.MAC(lab.ServerMAC()))
	if err != nil {
		return fmt.Errorf("the host's address: %w", err)
	}
	stage := hostile.Stage{
		Attacker: attacker.MAC(), Victim: streams.MAC(), Other: asks.MAC(), Server: lab.ServerMAC(), Router: lab.ProviderMAC(),
		Prefix: lab.ServerIPv6().Masked(), Host: host, HostIPv4: lab.ServerIPv4().Addr(),
		Gateway: s.Gateway6(), GatewayIPv4: lab.GatewayIPv4(),
		Outside: s.Node(lab.Web6).IPv6(), Outside4: nat64.WellKnown().Embed(s.Node(lab.Web4).IPv4()),
	}
	resolvers := asks.RDNSS()
	if len(resolvers) == 0 {
		return fmt.Errorf("%s was told no name server", asks.Name())
	}
	load, err := startTCP(ctx, streams.Node, s.Node(lab.Web6))
	if err != nil {
		return err
	}
	defer load.close()
	stream, ok := load.(*tcpLoad)
	if !ok {
		return errors.New("the stream counts nothing")
	}
	var sender *hostile.Sender
	if err := attacker.Do(func() (err error) {
		sender, err = hostile.NewSender(lab.GuestLink)
		return err
	}); err != nil {
		return err
	}
	defer sender.Close()

	attacks := hostile.FromGuest(stage, 1)
	total := 0
	for _, a := range attacks {
		total += len(a.Frames)
	}
	kinds := []neighbour{
		{what: "nothing"},
		{"legal frames", func(a hostile.Attack) *hostile.Attack { legal := hostile.Legal(stage, len(a.Frames)); return &legal }},
		{"all attacks", func(a hostile.Attack) *hostile.Attack { return &a }},
	}
	got := make([]attackFigures, len(kinds))
	for r := range b.runs * attackRounds {
		for k := range kinds {
			i := (k + r) % len(kinds)
			if err := got[i].turn(ctx, kinds[i], attacks, sender, stream, asks, netip.AddrPortFrom(resolvers[0], 53)); err != nil {
				return fmt.Errorf("neighbour sends %s: %w", kinds[i].what, err)
			}
		}
	}
	for i, n := range kinds {
		row := func(what, unit string, of func(*attackFigures) []float64) row {
			f := row{Group: benchAttack, What: what + ", neighbour sends " + n.what, Unit: unit, Samples: of(&got[i])}
			if i > 0 {
				f.Beside = &peer{What: kinds[i-1].what, Samples: of(&got[i-1])}
			}
			return f
		}
		if err := b.emit(
			row("one TCP stream", unitGbit, func(f *attackFigures) []float64 { return f.throughput }),
			row("DNS answer, median", unitMillis, func(f *attackFigures) []float64 { return f.median }),
			row("DNS answer, 99 of 100 within", unitMillis, func(f *attackFigures) []float64 { return f.slow }),
			row("DNS questions without answer", unitLost, func(f *attackFigures) []float64 { return f.lost }),
			row("length of a turn", unitMillis, func(f *attackFigures) []float64 { return f.length }),
		); err != nil {
			return err
		}
	}
	return b.note("attack: %d frames in each turn of the attacker's, by a pause of 1 ms after each 64", total)
}

// attackFigures are those of the turns of one kind of neighbour.
type attackFigures struct{ throughput, median, slow, lost, length []float64 }

// turn lets the neighbour send once all that it sends, and measures meanwhile.
func (f *attackFigures) turn(ctx context.Context, n neighbour, attacks []hostile.Attack, sender *hostile.Sender, stream *tcpLoad, asks *lab.Guest, server netip.AddrPort) error {
	asking, stop := context.WithCancel(ctx)
	defer stop()
	var took []float64
	lost := 0
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for sleep(asking, askEvery) == nil {
			begun := time.Now()
			_, err := probe.Query(asking, asks.NS(), server, lab.NameV4Only, probe.TypeAAAA, false)
			switch {
			case asking.Err() != nil:
				return
			case err != nil:
				lost++
			default:
				took = append(took, millis(time.Since(begun)))
			}
		}
	})
	before, begun := stream.arrived.Load(), time.Now()
	if n.sends == nil {
		if err := sleep(ctx, idleTurn); err != nil {
			return err
		}
	} else {
		for _, a := range attacks {
			if _, err := sender.Send(ctx, *n.sends(a)); err != nil {
				return err
			}
		}
	}
	length := time.Since(begun)
	octets := stream.arrived.Load() - before
	stop()
	wg.Wait()
	if len(took) == 0 {
		return errors.New("the name server answers nothing")
	}
	f.throughput = append(f.throughput, float64(octets)*8/length.Seconds()/1e9)
	slices.Sort(took)
	f.median = append(f.median, summarize(took).Median)
	f.slow = append(f.slow, took[int(math.Ceil(0.99*float64(len(took))))-1])
	f.lost = append(f.lost, float64(lost))
	f.length = append(f.length, millis(length))
	return nil
}
