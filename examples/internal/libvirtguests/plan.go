package libvirtguests

import (
	"context"
	"fmt"
	"time"

	"github.com/digitalocean/go-libvirt"

	"github.com/sixhost/sixhost/plan"
)

// Part is the name of this package in plans.
const Part = "guests"

// Grace is how long a guest may take to shut down before its plug is pulled.
const Grace = 60 * time.Second

// Plan returns the steps from one state to another. Domains that are in neither
// are not looked at. Defining needs a domain that came from [Read].
func (c *Conn) Plan(from, to State) (plan.Plan, error) {
	var p plan.Plan
	add := func(text string, do func(context.Context) error) {
		p.Steps = append(p.Steps, plan.Step{Phase: plan.Apply, Part: Part, Text: text, Do: do})
	}
	for _, old := range from.Domains {
		if _, stays := to.find(old.Name); stays {
			continue
		}
		if old.Running {
			add("stop guest "+old.Name, func(ctx context.Context) error { return c.stop(ctx, old.Name) })
		}
		add("undefine guest "+old.Name+"; its disks stay", func(context.Context) error {
			return c.do("undefine", old.Name, func(d libvirt.Domain) error {
				// Firmware variables and saved memory are of no use without it.
				return c.l.DomainUndefineFlags(d, libvirt.DomainUndefineManagedSave|libvirt.DomainUndefineNvram)
			})
		})
	}
	for _, want := range to.Domains {
		there, exists := from.find(want.Name)
		if !exists || !there.same(want) {
			if want.xml == "" {
				return plan.Plan{}, &plan.Refusal{Subject: "guest " + want.Name, Reason: "is not defined as wanted, and nothing says how it is to be"}
			}
			text := "define guest " + want.Name
			if exists {
				text = "define guest " + want.Name + " anew"
				if there.Running {
					p.Notes = append(p.Notes, "Guest "+want.Name+" runs: its new definition counts from its next start.")
				}
			}
			add(text, func(context.Context) error {
				if _, err := c.l.DomainDefineXML(want.xml); err != nil {
					return fmt.Errorf("define domain %s: %w", want.Name, err)
				}
				return nil
			})
		}
		if want.Autostart != there.Autostart {
			text, value := "start guest "+want.Name+" with the host", int32(1)
			if !want.Autostart {
				text, value = "no longer start guest "+want.Name+" with the host", 0
			}
			add(text, func(context.Context) error {
				return c.do("set autostart of", want.Name, func(d libvirt.Domain) error { return c.l.DomainSetAutostart(d, value) })
			})
		}
		switch {
		case want.Running && !there.Running:
			add("start guest "+want.Name, func(context.Context) error { return c.do("start", want.Name, c.l.DomainCreate) })
		case !want.Running && there.Running:
			add("stop guest "+want.Name, func(ctx context.Context) error { return c.stop(ctx, want.Name) })
		}
	}
	return p, nil
}

// stop asks the guest to shut down, and pulls its plug where it does not.
func (c *Conn) stop(ctx context.Context, name string) error {
	if err := c.do("shut down", name, c.l.DomainShutdown); err != nil {
		return err
	}
	grace := time.After(Grace)
	for {
		d, err := c.l.DomainLookupByName(name)
		if isGone(err) {
			return nil // it was not to outlive its run
		}
		if err != nil {
			return fmt.Errorf("stop domain %s: %w", name, err)
		}
		active, err := c.l.DomainIsActive(d)
		if isGone(err) || err == nil && active == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("stop domain %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for domain %s to stop: %w", name, context.Cause(ctx))
		case <-grace:
			return c.Kill(name)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
