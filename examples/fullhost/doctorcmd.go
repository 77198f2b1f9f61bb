package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/bridge/handover"
	"github.com/sixhost/sixhost/guest/hostroute"
	"github.com/sixhost/sixhost/macrewrite"
	"github.com/sixhost/sixhost/nat64/gateway"
	"github.com/sixhost/sixhost/persist"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/plan/rollback"
)

// doctor reports whether the host is as wanted, and changes nothing.
func (a app) doctor(ctx context.Context, args []string) error {
	var asJSON bool
	c, _, err := a.hostCommand("doctor", args, func(fs *flag.FlagSet) {
		fs.BoolVar(&asJSON, "json", false, "print the table as JSON")
	})
	if err != nil {
		return err
	}
	ch, err := prepare(ctx, c)
	if err != nil {
		return err
	}
	d := doctor{host: ch.host}
	d.drift(ch.plan)
	if err := d.open(c); err != nil {
		return err
	}
	if err := d.manager(ctx); err != nil {
		return err
	}
	d.services(ctx)
	d.kernel(ctx)
	for _, n := range ch.plan.Notes {
		d.note("worth knowing", "%s", n)
	}
	show := d.writeText
	if asJSON {
		show = d.writeJSON
	}
	if err := show(a.stdout); err != nil {
		return err
	}
	if d.failed() > 0 {
		return statusError(1)
	}
	return nil
}

// doctor collects findings about a host.
type doctor struct {
	host host
	table
}

// finding adds a check that holds if err is nil; measured is what was seen then.
func (d *doctor) finding(name string, err error, measured string, args ...any) {
	c := check{Name: name, OK: err == nil, Measured: fmt.Sprintf(measured, args...)}
	if err != nil {
		c.Measured = err.Error()
	}
	d.Checks = append(d.Checks, c)
}

func (d *doctor) note(name, format string, args ...any) {
	d.Checks = append(d.Checks, check{Name: name, OK: true, Note: true, Measured: fmt.Sprintf(format, args...)})
}

// drift has a line for every step between the host and what it is to be.
func (d *doctor) drift(p plan.Plan) {
	for _, part := range []struct{ name, running string }{
		{bridge.Part, "bridge and addresses are as wanted"},
		{macrewrite.Part, "edge rules are as wanted"},
		{gateway.Part, "NAT64 device and rules are as wanted"},
		{hostroute.Part, "guests' own IPv4 addresses are led to them"},
		{handover.Part, "network manager is off or on as wanted"},
		{persist.Part, "next boot has the same network"},
	} {
		clean := true
		for _, s := range p.Steps {
			if s.Part != part.name {
				continue
			}
			clean = false
			command := "fullhost apply"
			if s.Phase == plan.Confirm {
				command = "fullhost confirm"
			}
			d.finding(part.running, fmt.Errorf("to do, by %s: %s", command, s.Text), "")
		}
		switch {
		case part.name == persist.Part && d.host.config.Persist.Format == persist.FormatNone:
			d.note(part.running, "persist.format is none: the files of the next boot are yours to write")
		case clean:
			d.finding(part.running, nil, "no steps to go")
		}
	}
}

// open tells whether a change can still be taken back.
func (d *doctor) open(c config) error {
	const name = "no change is open"
	switch s, err := rollback.Status(c.StateDir); {
	case errors.Is(err, rollback.ErrNoChange):
		d.finding(name, nil, "none")
	case err != nil:
		return fmt.Errorf("look for an open change: %w", err)
	case !s.Live:
		d.finding(name, errors.New("a change was cut off with its watchdog; fullhost undo takes it back"), "")
	case s.Phase == rollback.Waiting:
		d.finding(name, fmt.Errorf("a change is taken back in %s unless somebody runs fullhost confirm", s.Remaining.Round(time.Second)), "")
	default:
		d.finding(name, fmt.Errorf("a change is %s, by process %d", s.Phase, s.PID), "")
	}
	return nil
}

// manager tells who else configures the two links.
func (d *doctor) manager(ctx context.Context) error {
	for _, link := range []string{d.host.uplink, d.host.bridgeName} {
		who, err := bridge.Manager(ctx, link)
		if err != nil {
			return err
		}
		if who == "" {
			who = "nobody"
		}
		d.note("manager of "+link, "%s", who)
	}
	return nil
}
