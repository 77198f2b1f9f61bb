package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/probe"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/slaac"
)

// The windows' names in the probes' reports.
const (
	windowControl = "control"
	windowMove    = "move"
)

// recipe is a way to set up the server in the lab.
type recipe interface {
	// window is how long the provider's probes are counted during the move, and
	// before it without a move: longer than the move and the stall it causes.
	window() time.Duration
	// move puts the server's addresses onto the bridge and everything else
	// in place.
	move(ctx context.Context) error
	// settle makes the move final and starts to serve.
	settle(ctx context.Context) error
	// repeat tells what a second run of the recipe would change; "" is nothing.
	repeat(ctx context.Context) string
	// close ends what the recipe started.
	close() error
}

// labRun is one run of the lab.
type labRun struct {
	options labOptions
	lab     *lab.Lab
	out     *progress
	recipe  recipe

	pings    map[string]*probe.Pinger
	sessions map[string]*probe.Session
	// retired is the report of the IPv6 session, taken before the address it
	// uses is given up.
	retired probe.SessionReport
}

// families in the order the table shows them.
func families() []string { return []string{"IPv4", "IPv6"} }

// reporter is what a run found.
type reporter interface {
	writeText(w io.Writer) error
	writeJSON(w io.Writer) error
	failed() int
}

// labInner is the inner half of fullhost lab.
func labInner() int {
	in, ctx, err := lab.Init(context.Background())
	if err != nil {
		fmt.Fprintf(os.Stderr, "fullhost: %v\n", refuseLab(err))
		return 2
	}
	defer in.Close()
	a := app{stdout: os.Stdout, stderr: os.Stderr}
	o, err := a.labOptions(os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "fullhost: %v\n", err)
		return 2
	}
	report := os.Stdout
	if o.json {
		report = os.Stderr
	}
	r := &labRun{options: o, out: newProgress(report, isTerminal(report))}
	for _, n := range in.Notes() {
		r.out.step("Note: %s", n)
	}
	var t reporter
	if o.attack {
		t, err = attack(ctx, o, r.out)
	} else {
		t, err = r.run(ctx)
	}
	status := 0
	switch {
	case ctx.Err() != nil:
		r.out.step("Stopped; the lab is taken down.")
		return 1 // the outer half knows the signal
	case err != nil:
		fmt.Fprintf(os.Stderr, "fullhost: lab: %v\n", err)
		var missing *lab.MissingProgramError
		if errors.As(err, &missing) {
			return 2
		}
		status = 1
	case o.json:
		err = t.writeJSON(os.Stdout)
	default:
		fmt.Fprintln(report)
		err = t.writeText(os.Stdout)
	}
	if err != nil || t.failed() > 0 {
		status = 1
	}
	if o.keep {
		if err := in.Keep(ctx, status); err != nil {
			fmt.Fprintf(os.Stderr, "fullhost: lab: %v\n", err)
		}
	}
	// A kept lab, or one that was not, ends here with its namespaces; the
	// programs in it first.
	if err := r.close(); err != nil && status == 0 {
		fmt.Fprintf(os.Stderr, "fullhost: lab: %v\n", err)
		status = 1
	}
	return status
}

// run does the whole job and returns the table.
func (r *labRun) run(ctx context.Context) (reporter, error) {
	var t table
	if err := r.build(ctx); err != nil {
		return &t, err
	}
	if err := r.startProbes(ctx); err != nil {
		return &t, err
	}
	done := r.out.wait("Counting pings and one TCP session of each family without a move, for %.1f s", r.recipe.window().Seconds())
	r.mark(windowControl)
	err := sleep(ctx, r.recipe.window())
	r.mark("")
	done()
	if err != nil {
		return &t, err
	}

	r.out.step("Moving the server onto its bridge: recipe %q.", r.options.recipe)
	r.mark(windowMove)
	begun := time.Now()
	if err := r.recipe.move(ctx); err != nil {
		return &t, fmt.Errorf("set the server up: %w", err)
	}
	moved := time.Since(begun)
	if err := sleep(ctx, max(0, r.recipe.window()-moved)); err != nil {
		return &t, err
	}
	r.mark("")
	r.stopProbes()
	r.out.step("Moved in %d ms.", moved.Milliseconds())

	if err := r.recipe.settle(ctx); err != nil {
		return &t, err
	}
	if err := r.startGuests(ctx); err != nil {
		return &t, err
	}
	checking := r.out.wait("Checking")
	t = r.checks(ctx)
	checking()
	return &t, ctx.Err()
}

// build makes the practice provider, and the recipe that is asked for.
func (r *labRun) build(ctx context.Context) error {
	r.out.step("Building the practice provider (%s): router with port security, two web servers, DNS, clients, the server.", r.options.provider)
	l, err := lab.New(ctx, lab.Config{
		Names: lab.NamesDir, Dir: lab.RunDir, Provider: r.options.provider,
		Ports: func(name string) string { return guest.Guest{Name: name}.Port() },
	})
	if err != nil {
		return err
	}
	r.lab = l
	if r.options.recipe == recipeArticle {
		r.recipe = &articleRecipe{lab: l}
		return nil
	}
	r.recipe, err = newProductRecipe(l, r.out, r.options.guests)
	return err
}

// close ends everything, in the order in which it depends on each other.
func (r *labRun) close() error {
	var errs []error
	for _, p := range r.pings {
		p.Stop()
	}
	for _, s := range r.sessions {
		s.Stop()
	}
	if r.recipe != nil {
		errs = append(errs, r.recipe.close())
	}
	if r.lab != nil {
		errs = append(errs, r.lab.Close())
	}
	return errors.Join(errs...)
}

// startProbes opens a TCP session and starts pings at 1 kHz from the provider
// to the server, in both families.
func (r *labRun) startProbes(ctx context.Context) error {
	from := r.lab.Node(lab.Provider).NS()
	r.pings, r.sessions = make(map[string]*probe.Pinger), make(map[string]*probe.Session)
	for family, to := range map[string]netip.Addr{"IPv4": lab.ServerIPv4().Addr(), "IPv6": lab.ServerIPv6().Addr()} {
		s, err := probe.StartSession(ctx, from, probe.SessionConfig{To: netip.AddrPortFrom(to, lab.ServiceTCP)})
		if err != nil {
			return fmt.Errorf("open a TCP session to the server over %s: %w", family, err)
		}
		r.sessions[family] = s
		p, err := probe.StartPinger(ctx, from, probe.PingConfig{To: to})
		if err != nil {
			return fmt.Errorf("ping the server over %s: %w", family, err)
		}
		r.pings[family] = p
		if err := p.WaitAnswer(ctx); err != nil {
			return fmt.Errorf("ping the server over %s: %w", family, err)
		}
	}
	return nil
}

func (r *labRun) mark(window string) {
	for _, f := range families() {
		r.pings[f].Mark(window)
		r.sessions[f].Mark(window)
	}
}

// stopProbes ends the pings, and the IPv6 session, whose address may be given
// up next. The IPv4 session goes on.
func (r *labRun) stopProbes() {
	var wg sync.WaitGroup
	for _, p := range r.pings {
		wg.Go(func() { p.Stop() })
	}
	r.retired = r.sessions["IPv6"].Stop()
	wg.Wait()
}

// startGuests starts all guests at once and waits for their addresses.
func (r *labRun) startGuests(ctx context.Context) error {
	n := r.options.guests
	done := r.out.wait("Starting %d %s and waiting for their addresses (the kernel's duplicate address detection takes most of it)", n, plural(n, "guest", "guests"))
	defer done()
	// Guests that get no address are the table's to report, not an error here.
	wait, cancel := context.WithTimeout(ctx, 10*time.Second+time.Duration(n)*100*time.Millisecond)
	defer cancel()
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
	)
	for i := range n {
		name := guestName(i)
		g, err := r.lab.AddGuest(ctx, name, wire.MAC(slaac.GuestMAC(name)), "br0")
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		wg.Go(func() {
			if _, err := g.WaitAddress(wait); err != nil && ctx.Err() != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func guestName(i int) string { return fmt.Sprintf("guest%d", i+1) }

// labRefusal extracts the lab's own sentence on why it can't start here.
func labRefusal(err error) (string, bool) {
	var refusal *lab.Refusal
	if errors.As(err, &refusal) {
		return refusal.Sentence, true
	}
	return "", false
}
