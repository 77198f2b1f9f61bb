// Radump prints the router advertisements that arrive on an interface, in full.
//
//	radump [-n COUNT] [-format text|radvd|json] INTERFACE
//	radump -watch [-router ADDRESS,...] [-format text|json] INTERFACE
//
// It needs CAP_NET_RAW, and sees what other machines (or other network
// namespaces) send, not what its own does. Invalid advertisements are printed
// too, with the reason why a host discards them; -format radvd, which prints the
// radvd.conf that would say the same, has them as comments, with what radvd has
// no words for. -format json prints one object a line.
//
// With -watch it prints what should not be there: routers that are none of those
// named by -router, advertisements that contradict each other (RFC 4861, section
// 6.2.7), invalid ones, and routers that change or go.
//
// It runs until it is interrupted or has printed COUNT advertisements or events.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sixhost/sixhost/ra"
)

// options is the command line.
type options struct {
	iface   string
	count   int
	watch   bool
	routers []netip.Addr
	print   func(io.Writer, ra.Received) error
	json    bool
}

func main() {
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "radump:", err)
		}
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = o.run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "radump:", err)
		if errors.Is(err, os.ErrPermission) {
			fmt.Fprintln(os.Stderr, "radump: run it as root, or with CAP_NET_RAW")
		}
		os.Exit(1)
	}
}

func parseOptions(args []string, help io.Writer) (options, error) {
	var o options
	var format, routers string
	fs := flag.NewFlagSet("radump", flag.ContinueOnError)
	fs.SetOutput(help)
	fs.IntVar(&o.count, "n", 0, "end after this `many`; 0 for never")
	fs.StringVar(&format, "format", "text", "text, radvd or json")
	fs.BoolVar(&o.watch, "watch", false, "print what should not be there in place of everything")
	fs.StringVar(&routers, "router", "", "link-local `addresses` of routers that may advertise, by commas")
	fs.Usage = func() {
		fmt.Fprintln(help, "usage: radump [-n COUNT] [-format text|radvd|json] [-watch [-router ADDRESS,...]] INTERFACE")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() != 1 {
		return o, errors.New("want one interface; radump -h shows how")
	}
	o.iface = fs.Arg(0)
	if o.count < 0 {
		return o, fmt.Errorf("-n: want a number from 0 on, not %d", o.count)
	}
	switch format {
	case "text":
		o.print = write
	case "radvd":
		o.print = writeRadvd
	case "json":
		o.print, o.json = writeJSON, true
	default:
		return o, fmt.Errorf("-format: want text, radvd or json, not %q", format)
	}
	if o.watch && format == "radvd" {
		return o, errors.New("-watch prints events, which -format radvd can't")
	}
	if routers != "" && !o.watch {
		return o, errors.New("-router goes with -watch")
	}
	for _, word := range strings.FieldsFunc(routers, func(r rune) bool { return r == ',' }) {
		a, err := netip.ParseAddr(word)
		if err != nil {
			return o, fmt.Errorf("-router: want link-local addresses, not %q", word)
		}
		o.routers = append(o.routers, a)
	}
	return o, nil
}

func (o options) run(ctx context.Context, w io.Writer) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	seen := 0
	var failed error
	note := func(print func() error) {
		if o.count > 0 && seen == o.count || failed != nil {
			return
		}
		if failed = print(); failed != nil {
			stop()
		}
		if seen++; seen == o.count {
			stop()
		}
	}
	if o.watch {
		m, err := ra.NewMonitor(ra.MonitorConfig{Interface: o.iface, Routers: o.routers, Handle: func(e ra.Event) {
			note(func() error { return o.event(w, e) })
		}})
		if err != nil {
			return err
		}
		return errors.Join(m.Run(ctx), failed)
	}
	l, err := ra.NewListener(o.iface)
	if err != nil {
		return err
	}
	return errors.Join(l.Run(ctx, func(r ra.Received) { note(func() error { return o.print(w, r) }) }), failed)
}
