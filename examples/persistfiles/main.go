// Command persistfiles prints the files by which the next boot would have the
// uplink's addresses on a bridge, and the steps that put them in place. It
// writes nothing, unless it is given a root.
//
//	persistfiles
//	persistfiles -uplink enp2s0 -address slaac -format networkd
//	persistfiles -uplink enp2s0 -capture >server.json
//	persistfiles -state server.json -format netplan
//	persistfiles -state server.json -root /mnt
//
// It goes by this machine's network and files, or, with -state, by a network
// that -capture printed elsewhere and no files. With -root it goes by the files
// below that folder, a mounted root file system for example, and changes them.
// Nothing is reloaded: the files are for the next boot. What is edited or
// replaced is kept beside, where fullhost persist -undo finds it again.
//
// Reading needs no privileges beyond access to the files. It exits with status
// 2 if what it is told can't be served, else with 1 if it fails.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/persist"
	"github.com/sixhost/sixhost/plan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	var refusal *plan.Refusal
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.As(err, &refusal):
		fmt.Fprintln(os.Stderr, refusal)
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "persistfiles:", err)
		os.Exit(1)
	}
}

// options are what the arguments say.
type options struct {
	network bridge.Config
	files   persist.Config
	state   string // file with a captured network
	root    string
	capture bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	network, err := o.readNetwork(ctx)
	if err != nil {
		return err
	}
	if o.capture {
		enc := json.NewEncoder(stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(network)
	}
	o.network.Uplink, o.network.Bridge = network.Uplink, network.Bridge
	if o.files.Bridge, err = o.network.State(network); err != nil {
		return err
	}
	there := persist.State{Scope: o.files.Scope()}
	if o.state == "" || o.root != "" {
		if there, err = persist.Capture(ctx, o.files.Scope()); err != nil {
			return err
		}
	}
	want, err := o.files.State(there)
	if err != nil {
		return err
	}
	p, err := persist.Plan(there, want)
	if err != nil {
		return err
	}
	if err := p.WriteText(stdout); err != nil {
		return err
	}
	if o.root != "" {
		return p.Run(ctx, plan.Confirm, nil)
	}
	return show(stdout, there, want)
}

// readNetwork reads the network from the state file, or from this machine.
func (o options) readNetwork(ctx context.Context) (bridge.State, error) {
	if o.state == "" {
		if o.network.Uplink == "" {
			uplink, err := bridge.DefaultUplink(ctx)
			if err != nil {
				return bridge.State{}, err
			}
			o.network.Uplink = uplink
		}
		return bridge.Capture(ctx, o.network.Scope())
	}
	var s bridge.State
	b, err := os.ReadFile(o.state)
	if err != nil {
		return s, &plan.Refusal{Subject: "state", Reason: err.Error(), Err: err}
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, &plan.Refusal{Subject: "state " + o.state, Reason: "is not what -capture prints: " + err.Error(), Err: err}
	}
	return s, nil
}

// show prints the files that are new or different.
func show(w io.Writer, there, want persist.State) error {
	for _, f := range want.Files {
		was, ok := there.File(f.Path)
		if f.Target != "" || strings.Contains(filepath.Base(f.Path), ".sixhost-saved") || ok && string(was.Content) == string(f.Content) {
			continue
		}
		if strings.HasPrefix(filepath.Ext(f.Path), ".network") && strings.Contains(filepath.Ext(f.Path), "NO") {
			continue // an original, set aside
		}
		if _, err := fmt.Fprintf(w, "\n==> /%s (%04o)\n%s", f.Path, f.Mode, f.Content); err != nil {
			return err
		}
	}
	return nil
}

// parse reads the arguments.
func parse(args []string, stderr io.Writer) (o options, err error) {
	var prefix, servers string
	o.files.Format = persist.FormatAuto
	fs := flag.NewFlagSet("persistfiles", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.network.Uplink, "uplink", "", "`interface` towards the provider (default: that of the default routes)")
	fs.StringVar(&o.network.Bridge, "bridge", bridge.DefaultName, "`name` of the bridge")
	fs.StringVar(&prefix, "prefix", "", "the guests' `/64` (default: the only one on the uplink)")
	fs.TextVar(&o.network.Address, "address", bridge.KeepAddress(), "the host's own `address` in the /64: keep, slaac, or one")
	fs.BoolVar(&o.network.Static, "static", false, "make addresses that have a lifetime permanent")
	fs.TextVar(&o.files.Format, "format", persist.FormatAuto, "`format` of the files: auto, netplan, networkd")
	fs.StringVar(&servers, "dns", "", "the host's name `servers`, separated by commas (default: those in the files that are there)")
	fs.StringVar(&o.files.Executable, "exec", "", "absolute `path` of fullhost, to have a systemd unit for it")
	fs.StringVar(&o.files.ConfigFile, "config", "", "absolute `path` of its configuration file")
	fs.StringVar(&o.state, "state", "", "`file` with a network that -capture printed, instead of this machine's")
	fs.StringVar(&o.root, "root", "", "`folder` below which files are read, and written")
	fs.BoolVar(&o.capture, "capture", false, "print the network as JSON and do nothing else")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, &plan.Refusal{Reason: err.Error(), Err: err}
	}
	if fs.NArg() > 0 {
		return o, &plan.Refusal{Subject: "argument " + fs.Arg(0), Reason: "is unknown"}
	}
	if prefix != "" {
		if o.network.Prefix, err = netip.ParsePrefix(prefix); err != nil {
			return o, &plan.Refusal{Subject: "prefix", Reason: err.Error(), Err: err}
		}
	}
	for s := range strings.FieldsFuncSeq(servers, func(r rune) bool { return r == ',' }) {
		a, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			return o, &plan.Refusal{Subject: "name server", Reason: err.Error(), Err: err}
		}
		o.files.NameServers = append(o.files.NameServers, a)
	}
	if o.root != "" {
		info, err := os.Stat(o.root)
		if err != nil || !info.IsDir() {
			return o, &plan.Refusal{Subject: "root " + o.root, Reason: "is not a folder", Err: err}
		}
		o.files.Root = o.root
	}
	return o, nil
}
