package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
	"github.com/sixhost/sixhost/plan/rollback/health"
)

const (
	// beforePatience is what a check is given to hold before the change, and
	// afterPatience after it: a port of the provider's may need a moment.
	beforePatience = 2 * time.Second
	afterPatience  = 5 * time.Second
	// healthyFor is how long the checks must hold where they confirm.
	healthyFor = 10 * time.Second
)

// checkup is what is checked before and after a change.
type checkup struct {
	checks []health.Check // after it, those that held before
	before health.Report
}

// checks are what must hold on this host: that its gateways answer, its own and
// its guests' name servers, and the operator's session.
func (h host) checks(ctx context.Context) []health.Check {
	var list []health.Check
	seen := map[netip.Addr]bool{}
	for _, r := range h.wanted.Routes {
		for _, via := range r.Gateways() {
			if r.Dst.Bits() == 0 && !seen[via] {
				seen[via] = true
				list = append(list, health.Gateway(via, h.bridgeName, h.uplink))
			}
		}
	}
	var servers []netip.AddrPort
	if f, err := os.Open(resolvConf); err == nil {
		// A file that can't be read to its end names no more.
		servers, _ = nameServers(f)
		f.Close()
	}
	for _, u := range h.config.DNS.Upstreams {
		servers = append(servers, u.AddrPort)
	}
	for i, s := range servers {
		if !slices.Contains(servers[:i], s) {
			list = append(list, health.DNS(s))
		}
	}
	// Without a session over the network there is none to watch.
	if session, err := health.SessionOf(ctx, os.Getpid()); err == nil {
		list = append(list, health.Session(session))
	}
	return list
}

// begin runs the checks on the host as it is.
func (c *checkup) begin(ctx context.Context, w io.Writer) {
	fmt.Fprintln(w, "Checks before the change:")
	c.before = health.Run(ctx, c.checks, beforePatience)
	var count []health.Check
	for i, r := range c.before {
		if r.Err != nil {
			fmt.Fprintf(w, "  not held, so it will not count: %s (%v)\n", r.Name, r.Err)
			continue
		}
		fmt.Fprintf(w, "  held: %s\n", r.Name)
		count = append(count, c.checks[i])
	}
	c.checks = count
}

// again runs them on the changed host. The error names what broke.
func (c *checkup) again(ctx context.Context, w io.Writer, patience time.Duration) error {
	after := health.Run(ctx, c.checks, patience)
	if ctx.Err() != nil {
		return nil // the change is over already, and says why itself
	}
	if w != nil {
		for _, r := range after {
			if r.Err != nil {
				fmt.Fprintf(w, "  not held: %s (%v)\n", r.Name, r.Err)
				continue
			}
			fmt.Fprintf(w, "  held: %s\n", r.Name)
		}
	}
	broken := c.before.Broken(after)
	if len(broken) == 0 {
		return nil
	}
	more := ""
	if n := len(broken) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more checks)", n)
	}
	return fmt.Errorf("held before the change and not after it: %s: %w%s", broken[0].Name, broken[0].Err, more)
}

// enough refuses to let the checks confirm where they can't tell.
func (c *checkup) enough(h host) error {
	any := false
	for _, four := range []bool{true, false} {
		wanted, held := false, false
		for _, r := range h.wanted.Routes {
			if r.Dst.Bits() != 0 || (r.Family == 4) != four {
				continue
			}
			wanted = true
			for _, via := range r.Gateways() {
				name := health.Gateway(via).Name
				held = held || slices.ContainsFunc(c.before, func(b health.Result) bool { return b.Name == name && b.Err == nil })
			}
		}
		any = any || held
		if family := map[bool]string{true: "IPv4", false: "IPv6"}[four]; wanted && !held {
			return &plan.Refusal{Subject: "-confirm-if-healthy", Reason: fmt.Sprintf("no %s gateway answers before the change, so its answer can't confirm it", family)}
		}
	}
	if !any {
		return &plan.Refusal{Subject: "-confirm-if-healthy", Reason: "no gateway answers before the change, so nothing can confirm it"}
	}
	return nil
}

// confirmIfHealthy keeps the change once the checks have held for a while.
// confirmed is false where the change has ended in another way.
func (a app) confirmIfHealthy(ctx context.Context, open *rollback.Change, c config, checks *checkup) (confirmed bool, err error) {
	// The countdown goes on meanwhile.
	watch := min(healthyFor, c.ConfirmWithin/2)
	fmt.Fprintf(a.stdout, "Confirmed by itself if that holds for %v.\n", watch.Round(time.Millisecond))
	for end := time.Now().Add(watch); time.Now().Before(end); {
		select {
		case <-open.Context().Done():
			return false, nil
		case <-time.After(min(time.Second, watch/4)):
		}
		if err := checks.again(open.Context(), nil, min(afterPatience, c.ConfirmWithin/4)); err != nil {
			return false, err
		}
	}
	switch err := open.Confirm(ctx); {
	case errors.Is(err, rollback.ErrNoChange), errors.Is(err, rollback.ErrRestoring):
		return false, nil
	case err != nil:
		return false, err
	}
	fmt.Fprintln(a.stdout, "Confirmed, as all that held before holds.")
	return true, nil
}
