package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/renameio/v2"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/guest/seed"
	"github.com/sixhost/sixhost/plan"
)

// guestVerb is what can be done with guests.
type guestVerb struct {
	name, summary string
	named         bool // wants a guest's name
	run           func(g *guestCommand, ctx context.Context) error
}

func guestVerbs() []guestVerb {
	return []guestVerb{
		{"list", "list the guests of host.yaml and of libvirt, with their addresses", false, (*guestCommand).list},
		{"xml", "print a guest's libvirt domain", true, (*guestCommand).xml},
		{"inside", "print the network configuration for inside a guest", true, (*guestCommand).inside},
		{"define", "define a guest of host.yaml in libvirt, and write its seed image", true, (*guestCommand).define},
		{"start", "define and start a guest", true, (*guestCommand).start},
		{"stop", "shut a guest down", true, (*guestCommand).stop},
		{"undefine", "stop a guest and make libvirt forget it; its disks stay", true, (*guestCommand).undefine},
		{"autostart", "start a guest with the host from now on; -off no longer", true, (*guestCommand).autostart},
		{"wait", "wait until a guest answers at its address", true, (*guestCommand).wait},
	}
}

// guestCommand is one run of fullhost guest.
type guestCommand struct {
	app
	h    host
	name string

	dry, json, off bool
	format         string
	within         time.Duration
}

// guest manages guests by libvirt.
func (a app) guest(ctx context.Context, args []string) error {
	var names []string
	for _, v := range guestVerbs() {
		names = append(names, v.name)
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		tw := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
		for _, v := range guestVerbs() {
			fmt.Fprintf(tw, "  fullhost guest %s\t%s\n", v.name, v.summary)
		}
		tw.Flush()
		if len(args) == 0 {
			return usageError{"guest: want one of " + strings.Join(names, ", ")}
		}
		return flag.ErrHelp
	}
	at := slices.Index(names, args[0])
	if at < 0 {
		return usageError{fmt.Sprintf("guest: want one of %s, not %q", strings.Join(names, ", "), args[0])}
	}
	v, args := guestVerbs()[at], args[1:]
	g := &guestCommand{app: a}
	if v.named {
		if n := len(args); n > 0 && !strings.HasPrefix(args[n-1], "-") {
			g.name, args = args[n-1], args[:n-1]
		}
	}
	var path string
	if err := a.flags("guest "+v.name, args, func(fs *flag.FlagSet) {
		configFlag(fs, &path)
		switch v.name {
		case "list":
			fs.BoolVar(&g.json, "json", false, "print JSON")
		case "inside":
			fs.StringVar(&g.format, "format", "netplan", "netplan, networkd or cloud-init")
		case "wait":
			fs.DurationVar(&g.within, "within", 2*time.Minute, "give up after this `time`")
		case "autostart":
			fs.BoolVar(&g.off, "off", false, "no longer start it with the host")
			fallthrough
		case "define", "start", "stop", "undefine":
			fs.BoolVar(&g.dry, "n", false, "only print the steps")
		}
	}); err != nil {
		return err
	}
	if v.named && g.name == "" {
		return usageError{fmt.Sprintf("guest %s: want the name of a guest after the flags", v.name)}
	}
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	if g.h, err = newHost(ctx, c); err != nil {
		return err
	}
	return v.run(g, ctx)
}

// listed finds the guest in host.yaml.
func (g *guestCommand) listed() (hostGuest, error) {
	for _, e := range g.h.listed() {
		if e.Name == g.name {
			return e, nil
		}
	}
	return hostGuest{}, &plan.Refusal{Subject: "guest " + g.name, Reason: "is not in host.yaml"}
}

func (g *guestCommand) list(ctx context.Context) error {
	found, err := g.h.found(ctx)
	if err != nil {
		return err
	}
	list := g.h.inventory(found)
	odd, err := g.h.mispredictions(ctx, list)
	if err != nil {
		return err
	}
	quiet, err := g.h.silent(ctx, list)
	if err != nil {
		return err
	}
	for i, e := range list {
		if slices.ContainsFunc(quiet, func(q inventoryGuest) bool { return q.MAC == e.MAC }) && !slices.ContainsFunc(odd, func(m misprediction) bool { return m.Guest == e.Name }) {
			list[i].note(unansweredText(e))
		}
		for _, m := range odd {
			if m.Guest == e.Name {
				list[i].note(m.String())
			}
		}
	}
	if g.json {
		enc := json.NewEncoder(g.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	tw := tabwriter.NewWriter(g.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tSTATE\tMAC\tADDRESS\tPORT\tNOTE")
	for _, e := range list {
		state := "not defined"
		switch {
		case e.Running:
			state = "running"
		case e.Defined:
			state = "stopped"
		}
		if e.Autostart {
			state += ", autostart"
		}
		note := e.Note
		if !e.Listed {
			note = strings.TrimPrefix(note+"; not in host.yaml", "; ")
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, state, e.MAC, e.Addr, e.Port, note)
	}
	return tw.Flush()
}

func (g *guestCommand) xml(context.Context) error {
	e, err := g.listed()
	if err != nil {
		return err
	}
	x, err := e.XML(g.h.guestHost())
	if err != nil {
		return err
	}
	_, err = io.WriteString(g.stdout, x)
	return err
}

func (g *guestCommand) inside(context.Context) error {
	e, err := g.listed()
	if err != nil {
		return err
	}
	s, err := g.h.surroundings()
	if err != nil {
		return err
	}
	var text string
	switch g.format {
	case "netplan":
		text, err = e.Netplan(s)
	case "networkd":
		text, err = e.Networkd(s)
	case "cloud-init":
		if e.CloudInit == nil {
			return &plan.Refusal{Subject: "guest " + g.name, Reason: "has no cloud_init in host.yaml"}
		}
		files, seedErr := e.SeedFiles(s)
		err = seedErr
		for _, f := range files {
			text += "# " + f.Name + "\n" + strings.TrimRight(f.Content, "\n") + "\n"
		}
	default:
		return usageError{fmt.Sprintf("guest inside: -format: want netplan, networkd or cloud-init, not %q", g.format)}
	}
	if err != nil {
		return &plan.Refusal{Subject: "guest " + g.name, Reason: err.Error(), Err: err}
	}
	_, err = io.WriteString(g.stdout, text)
	return err
}

// change takes the steps from the domains there to those that edit makes.
func (g *guestCommand) change(ctx context.Context, before plan.Plan, edit func(*libvirtguests.State) error) error {
	conn, err := libvirtguests.Dial(ctx, g.h.config.Libvirt.Socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	there, err := conn.Capture(g.h.bridgeName)
	if err != nil {
		return err
	}
	want := there
	want.Domains = slices.Clone(there.Domains)
	if err := edit(&want); err != nil {
		return err
	}
	p, err := conn.Plan(there, want)
	if err != nil {
		return err
	}
	p = plan.Join(before, p)
	if g.dry || p.Empty() {
		return p.WriteText(g.stdout)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(g.stdout, n)
	}
	return p.Run(ctx, plan.Apply, func(n, of int, s plan.Step) { fmt.Fprintf(g.stdout, "[%d/%d] %s\n", n, of, s.Text) })
}

// find is the index of the guest's domain in a state: by libvirt's name, or by
// the MAC of the one that the list has by that name, which libvirt may call
// otherwise.
func (g *guestCommand) find(s libvirtguests.State) int {
	if at := slices.IndexFunc(s.Domains, func(d libvirtguests.Domain) bool { return d.Name == g.name }); at >= 0 {
		return at
	}
	list := g.h.inventory(s)
	at := slices.IndexFunc(list, func(e inventoryGuest) bool { return e.Name == g.name })
	if at < 0 {
		return -1
	}
	return slices.IndexFunc(s.Domains, func(d libvirtguests.Domain) bool {
		return slices.ContainsFunc(d.NICs, func(n libvirtguests.NIC) bool { return n.MAC == list[at].MAC })
	})
}

func (g *guestCommand) there(s libvirtguests.State) (*libvirtguests.Domain, error) {
	at := g.find(s)
	if at < 0 {
		return nil, &plan.Refusal{Subject: "guest " + g.name, Reason: "libvirt has no such domain on " + g.h.bridgeName}
	}
	return &s.Domains[at], nil
}

func (g *guestCommand) define(ctx context.Context) error { return g.bringUp(ctx, false) }

func (g *guestCommand) start(ctx context.Context) error {
	if _, err := g.listed(); err == nil {
		return g.bringUp(ctx, true)
	}
	return g.change(ctx, plan.Plan{}, func(s *libvirtguests.State) error {
		d, err := g.there(*s)
		if err == nil {
			d.Running = true
		}
		return err
	})
}

// bringUp defines a guest of host.yaml and starts it, if that is wanted.
func (g *guestCommand) bringUp(ctx context.Context, start bool) error {
	e, err := g.listed()
	if err != nil {
		return err
	}
	x, err := e.XML(g.h.guestHost())
	if err != nil {
		return &plan.Refusal{Subject: "guest " + g.name, Reason: err.Error(), Err: err}
	}
	before, err := g.seedPlan(e)
	if err != nil {
		return err
	}
	return g.change(ctx, before, func(s *libvirtguests.State) error {
		d, err := libvirtguests.Read(x, s.Bridge)
		if err != nil {
			return err
		}
		d.Autostart, d.Running = e.Autostart, start
		at := g.find(*s)
		if at < 0 {
			s.Domains = append(s.Domains, d)
			return nil
		}
		if old := s.Domains[at]; old.Name != d.Name {
			return &plan.Refusal{Subject: "guest " + g.name, Reason: fmt.Sprintf("its MAC %s is that of libvirt's domain %s; undefine that first", e.LinkAddr(), old.Name)}
		}
		d.Running = start || s.Domains[at].Running
		s.Domains[at] = d
		return nil
	})
}

// seedPlan writes the seed image where it differs from the one there.
func (g *guestCommand) seedPlan(e hostGuest) (plan.Plan, error) {
	if e.CloudInit == nil {
		return plan.Plan{}, nil
	}
	s, err := g.h.surroundings()
	if err != nil {
		return plan.Plan{}, err
	}
	files, err := e.SeedFiles(s)
	if err != nil {
		return plan.Plan{}, &plan.Refusal{Subject: "guest " + g.name, Reason: err.Error(), Err: err}
	}
	var image bytes.Buffer
	if err := seed.Write(&image, files); err != nil {
		return plan.Plan{}, err
	}
	path := e.CloudInit.Image
	if same, err := sameFile(path, image.Bytes()); err != nil || same {
		return plan.Plan{}, err
	}
	return plan.Plan{Steps: []plan.Step{{
		Phase: plan.Apply, Part: libvirtguests.Part, Text: "write the seed image " + path,
		Do: func(context.Context) error {
			if err := renameio.WriteFile(path, image.Bytes(), 0o600); err != nil {
				return fmt.Errorf("write seed image %s: %w", path, err)
			}
			return nil
		},
	}}}, nil
}

func (g *guestCommand) stop(ctx context.Context) error {
	return g.change(ctx, plan.Plan{}, func(s *libvirtguests.State) error {
		d, err := g.there(*s)
		if err == nil {
			d.Running = false
		}
		return err
	})
}

func (g *guestCommand) undefine(ctx context.Context) error {
	return g.change(ctx, plan.Plan{}, func(s *libvirtguests.State) error {
		at := g.find(*s)
		if at >= 0 {
			s.Domains = slices.Delete(s.Domains, at, at+1)
		}
		return nil
	})
}

func (g *guestCommand) autostart(ctx context.Context) error {
	return g.change(ctx, plan.Plan{}, func(s *libvirtguests.State) error {
		d, err := g.there(*s)
		if err == nil {
			d.Autostart = !g.off
		}
		return err
	})
}

// wait asks the kernel to find the guest's address on the bridge again and
// again, until the guest answers for it, with its own MAC.
func (g *guestCommand) wait(ctx context.Context) error {
	found, err := g.h.found(ctx)
	if err != nil {
		return err
	}
	list := g.h.inventory(found)
	at := slices.IndexFunc(list, func(e inventoryGuest) bool { return e.Name == g.name })
	if at < 0 || !list[at].Addr.IsValid() {
		return &plan.Refusal{Subject: "guest " + g.name, Reason: "is not known, so neither is its address"}
	}
	e := list[at]
	ctx, cancel := context.WithTimeoutCause(ctx, g.within, errors.New("time is up"))
	defer cancel()
	for {
		if err := solicit(e.Addr); err != nil {
			return err
		}
		seen, err := g.h.neighbors(ctx)
		if err != nil {
			return err
		}
		if slices.Contains(seen, neighbor{e.Addr, e.MAC}) {
			fmt.Fprintf(g.stdout, "%s answers at %s.\n", e.Name, e.Addr)
			return nil
		}
		select {
		case <-ctx.Done():
			text := fmt.Sprintf("guest %s does not answer at %s", e.Name, e.Addr)
			for _, m := range mispredicted(g.h.prefix, list, seen) {
				if m.Guest == e.Name {
					text = m.String()
				}
			}
			return fmt.Errorf("%s: %w", text, context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}
