package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/hostile"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/slaac"
)

// maxStrays is how many neighbour entries for absent addresses one guest may
// cause at a time: what is left of the kernel's 1,024 has to do for all others.
const maxStrays = 64

// attackRun lets the last guest, then somebody on the provider's side, send all
// attacks, and watches the provider's port and the other guests.
type attackRun struct {
	run     *labRun
	victims []*lab.Guest
	hostile *lab.Guest
	stage   hostile.Stage

	hostLocal netip.Addr
	rdnss     netip.Addr              // what the guests were told before, if anything
	owners    map[netip.Addr]wire.MAC // who has which address

	port, guests hostile.Tally
	fetched      atomic.Int64
	failed       atomic.Int64
	failure      atomic.Value // the first error's text
}

// attack runs the attacks under each recipe that is asked for.
func attack(ctx context.Context, o labOptions, out *progress) (*attackTable, error) {
	t := &attackTable{Provider: o.provider.String(), Seed: o.seed}
	recipes := []string{recipeArticle, recipeFullhost}
	if o.only != "" {
		recipes = []string{o.only}
	}
	for _, recipe := range recipes {
		o.recipe = recipe
		rows, sums, err := attackRecipe(ctx, o, out)
		var missing *lab.MissingProgramError
		if o.only == "" && errors.As(err, &missing) {
			out.step("Recipe %q is left out: %v", recipe, missing)
			continue
		}
		if err != nil {
			return t, err
		}
		t.add(recipe, rows, sums)
	}
	return t, nil
}

// attackRecipe does the whole job with one recipe and returns its rows.
func attackRecipe(ctx context.Context, o labOptions, out *progress) (rows []attackRow, sums *table, err error) {
	r := &labRun{options: o, out: out}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.setUp(ctx); err != nil {
		return nil, nil, err
	}
	a, err := newAttackRun(r)
	if err != nil {
		return nil, nil, err
	}
	return a.all(ctx)
}

// setUp brings the server and its guests to where the checks begin.
func (r *labRun) setUp(ctx context.Context) error {
	if err := r.build(ctx); err != nil {
		return err
	}
	r.out.step("Moving the server onto its bridge: recipe %q.", r.options.recipe)
	if err := r.recipe.move(ctx); err != nil {
		return fmt.Errorf("set the server up: %w", err)
	}
	if err := r.recipe.settle(ctx); err != nil {
		return err
	}
	return r.startGuests(ctx)
}

func newAttackRun(r *labRun) (*attackRun, error) {
	guests := r.lab.Guests()
	if len(guests) < 3 {
		return nil, fmt.Errorf("the attacks want three guests at least, not %d", len(guests))
	}
	v, err := r.view(labBridge)
	if err != nil {
		return nil, err
	}
	if len(v.global) == 0 {
		return nil, fmt.Errorf("%s has no address in the /64", labBridge)
	}
	a := &attackRun{
		run: r, victims: guests[:len(guests)-1], hostile: guests[len(guests)-1],
		hostLocal: slaac.LinkLocal(serverMAC()), owners: make(map[netip.Addr]wire.MAC),
	}
	a.stage = hostile.Stage{
		Attacker: a.hostile.MAC(), Victim: guests[0].MAC(), Other: guests[1].MAC(),
		Server: lab.ServerMAC(), Router: lab.ProviderMAC(), Prefix: lab.ServerIPv6().Masked(),
		Host: v.global[0].Addr(), HostIPv4: lab.ServerIPv4().Addr(),
		Gateway: r.lab.Gateway6(), GatewayIPv4: lab.GatewayIPv4(),
		Outside:  r.lab.Node(lab.Web6).IPv6(),
		Outside4: nat64.WellKnown().Embed(r.lab.Node(lab.Web4).IPv4()),
	}
	if told := guests[0].RDNSS(); len(told) > 0 {
		a.rdnss = told[0]
	}
	for _, g := range guests {
		a.owners[g.IPv6()], a.owners[slaac.LinkLocal(slaac.MAC(g.MAC()))] = g.MAC(), g.MAC()
	}
	a.owners[a.stage.Host], a.owners[a.hostLocal] = lab.ServerMAC(), lab.ServerMAC()
	a.owners[lab.GatewayIPv4()], a.owners[r.lab.Gateway6()] = lab.ProviderMAC(), lab.ProviderMAC()
	return a, nil
}

// all runs the attacks of both sides, and sums up what the provider's port and
// the other guests have seen.
func (a *attackRun) all(ctx context.Context) ([]attackRow, *table, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	var background sync.WaitGroup
	defer background.Wait()
	watchCtx, stop := context.WithCancel(ctx)
	defer stop()
	if err := a.watch(watchCtx, &background); err != nil {
		return nil, nil, err
	}
	for _, g := range a.victims {
		background.Go(func() { a.behave(watchCtx, g) })
	}
	if err := a.jumbo(); err != nil {
		return nil, nil, err
	}
	seed := a.run.options.seed
	done := a.run.out.wait("Attacking from %s and from the provider's side, seed %d", a.hostile.Name(), seed)
	defer done()
	rows, err := a.side(ctx, a.hostile.Node, lab.GuestLink, "guest", hostile.FromGuest(a.stage, seed))
	if err != nil {
		return nil, nil, err
	}
	// What the host does about absent neighbours takes three seconds (RFC 4861
	// section 10).
	if err := sleep(ctx, 3*time.Second); err != nil {
		return nil, nil, err
	}
	sums := &table{}
	for _, c := range a.run.portChecks() {
		ok, measured := c.run(ctx)
		sums.Checks = append(sums.Checks, check{Name: c.name + " (guest's attacks)", OK: ok, Measured: measured})
	}
	from := lab.ProviderMAC()
	if a.run.options.provider == lab.OnLink {
		from = lab.NeighbourMAC()
	}
	// Straight out of the server's port, as if the provider's switch checked
	// nothing on the other ones.
	outside, err := a.side(ctx, a.run.lab.Node(lab.Provider), lab.Port, "provider", hostile.FromProvider(a.stage, seed, from))
	if err != nil {
		return nil, nil, err
	}
	stop()
	background.Wait()
	n, bad := a.fetched.Load(), a.failed.Load()
	measured := fmt.Sprintf("%d of %d", n-bad, n)
	if text, ok := a.failure.Load().(string); ok {
		measured += "; first: " + text
	}
	sums.Checks = append(sums.Checks, check{Name: "the other guests' look-ups and fetches meanwhile", OK: n > 0 && bad == 0, Measured: measured})
	return append(rows, outside...), sums, ctx.Err()
}

// watch captures what arrives at the provider's port and at the guests that
// behave, until ctx ends.
func (a *attackRun) watch(ctx context.Context, wg *sync.WaitGroup) error {
	capture := func(n *lab.Node, link string, t *hostile.Tally) error {
		var c *wire.Capture
		if err := n.Do(func() (err error) {
			c, err = wire.NewCapture(wire.CaptureConfig{Interface: link, Frame: t.Frame})
			return err
		}); err != nil {
			return fmt.Errorf("watch %s of %s: %w", link, n.Name(), err)
		}
		wg.Go(func() { c.Run(ctx) })
		return nil
	}
	if err := capture(a.run.lab.Node(lab.Provider), lab.Port, &a.port); err != nil {
		return err
	}
	for _, g := range a.victims {
		if err := capture(g.Node, lab.GuestLink, &a.guests); err != nil {
			return err
		}
	}
	return nil
}

// behave looks names up and fetches pages, one after the other.
func (a *attackRun) behave(ctx context.Context, g *lab.Guest) {
	at := netip.AddrPortFrom(a.stage.Outside, 80)
	for ctx.Err() == nil {
		err := same(ctx, g.Node, "http://"+lab.NameV6Only+lab.PathSmall, lab.Web6, lab.PathSmall, probe.FetchOptions{Addr: at})
		if err == nil && a.rdnss.IsValid() {
			dns := &probe.Resolver{Server: netip.AddrPortFrom(a.rdnss, 53)}
			err = same(ctx, g.Node, "http://"+lab.NameV4Only+lab.PathSmall, lab.Web4, lab.PathSmall, probe.FetchOptions{Resolver: dns})
		}
		if ctx.Err() != nil {
			return
		}
		a.fetched.Add(1)
		if err != nil {
			a.failed.Add(1)
			a.failure.CompareAndSwap(nil, g.Name()+": "+err.Error())
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// jumbo lets the hostile guest send frames as long as it likes.
func (a *attackRun) jumbo() error {
	h, err := a.hostile.NS().Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(lab.GuestLink)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", lab.GuestLink, a.hostile.Name(), err)
	}
	if err := h.LinkSetMTU(l, 9000); err != nil {
		return fmt.Errorf("raise the MTU of %s: %w", a.hostile.Name(), err)
	}
	return nil
}

// side sends one side's attacks, one after the other, and says what each did.
func (a *attackRun) side(ctx context.Context, n *lab.Node, link, from string, attacks []hostile.Attack) ([]attackRow, error) {
	var s *hostile.Sender
	if err := n.Do(func() (err error) {
		s, err = hostile.NewSender(link)
		return err
	}); err != nil {
		return nil, err
	}
	defer s.Close()
	var rows []attackRow
	for _, attack := range attacks {
		if !strings.Contains(attack.Name, a.run.options.attacks) {
			continue
		}
		if err := a.heal(ctx); err != nil {
			return nil, err
		}
		before, err := a.wrongs()
		if err != nil {
			return nil, err
		}
		straysBefore, err := a.strays()
		if err != nil {
			return nil, err
		}
		judged := a.run.lab.Judge().Report()
		sent, err := s.Send(ctx, attack)
		if err != nil {
			return nil, err
		}
		if err := a.quiet(ctx, attack); err != nil {
			return nil, err
		}
		res := attackResult{Sent: sent, AtProvider: a.port.Seen(attack), AtGuests: a.guests.Seen(attack), Offences: map[string]uint64{}}
		report := a.run.lab.Judge().Report()
		for k, v := range report.Counts {
			if d := v - judged.Counts[k]; d > 0 {
				res.Offences[k.String()] = d
			}
		}
		res.Findings = newFindings(judged, report)
		now, err := a.wrongs()
		if err != nil {
			return nil, err
		}
		now = append(now, a.cutOff(ctx)...)
		res.Harm = fresh(before, now)
		if res.Neighbours, err = a.strays(); err != nil {
			return nil, err
		}
		res.Neighbours = max(0, res.Neighbours-straysBefore)
		if from == "provider" && attack.MayPass {
			// The host answers, and sends back where it came from, what a segment's
			// host has made up, MACs and addresses included.
			for _, k := range []wire.Kind{wire.ForeignDestination, wire.ForeignInside, wire.GuestSolicited, wire.Opaque} {
				delete(res.Offences, k.String())
			}
		}
		res.Leaks = len(res.Offences) > 0 || len(res.Harm) > 0 || res.Neighbours > maxStrays ||
			res.AtProvider > 0 && !attack.MayPass || res.AtGuests > 0 && !attack.MayReach && !attack.MayPass
		rows = append(rows, attackRow{From: from, Attack: attack.Name, Frames: len(attack.Frames), Results: map[string]attackResult{a.run.options.recipe: res}})
	}
	return rows, nil
}

// newFindings are the first few, of each kind, that a report has more than the one
// before.
func newFindings(before, now wire.Report) []string {
	const few = 3
	had := make(map[wire.Kind]int)
	for _, f := range before.Findings {
		had[f.Kind]++
	}
	var list []string
	told := make(map[wire.Kind]int)
	for _, f := range now.Findings {
		if had[f.Kind]--; had[f.Kind] < 0 && told[f.Kind] < few {
			told[f.Kind]++
			list = append(list, f.String())
		}
	}
	return list
}

// cutOff says which of the guests that behave reach the Internet no more.
func (a *attackRun) cutOff(ctx context.Context) []string {
	var (
		list []string
		mu   sync.Mutex
		wg   sync.WaitGroup
	)
	for _, g := range a.victims {
		wg.Go(func() {
			if p := probe.TryPing(ctx, g.NS(), a.stage.Outside, patience/2); p.Outcome != probe.Answered {
				mu.Lock()
				defer mu.Unlock()
				list = append(list, g.Name()+" is cut off")
			}
		})
	}
	wg.Wait()
	return list
}

// quiet waits until nothing more of an attack arrives anywhere.
func (a *attackRun) quiet(ctx context.Context, attack hostile.Attack) error {
	const (
		still = 120 * time.Millisecond
		most  = 1500 * time.Millisecond
	)
	seen := func() uint64 {
		return uint64(a.port.Seen(attack)+a.guests.Seen(attack)) + a.run.lab.Judge().Report().Offences()
	}
	last, since, begun := seen(), time.Now(), time.Now()
	for time.Since(since) < still && time.Since(begun) < most {
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		if n := seen(); n != last {
			last, since = n, time.Now()
		}
	}
	return nil
}
