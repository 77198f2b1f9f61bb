// Raserve sends router advertisements as a radvd.conf says.
//
//	raserve [-f FILE] [-state DIR] [-nodelay] [-greet] [-uplink]
//
// It takes radvd's place: the same file, the same interfaces (those with
// AdvSendAdvert on). What it can't do of the file it refuses, with the line.
// On SIGHUP it reads the file again; what a link's new block leaves out is taken
// back for as long as guests may hold it. On SIGTERM and SIGINT it tells guests
// that the host ceases to be their router; on SIGUSR2 it ends without a word,
// for a restart. It needs CAP_NET_RAW.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/sixhost/sixhost/ra"
)

// options is the command line.
type options struct {
	file, state     string
	noDelay, greet  bool
	uplink, verbose bool
}

func main() {
	// What lives is small, and nothing is allocated for an answer: there is little
	// to collect, and no reason to wait for 4 MB of it, as the runtime does.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(25)
	}
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "raserve:", err)
		}
		os.Exit(2)
	}
	if err := o.serve(); err != nil {
		fmt.Fprintln(os.Stderr, "raserve:", err)
		var re *ra.RadvdError
		if errors.As(err, &re) {
			os.Exit(2)
		}
		os.Exit(1)
	}
}

func parseOptions(args []string, help io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("raserve", flag.ContinueOnError)
	fs.SetOutput(help)
	fs.StringVar(&o.file, "f", "/etc/radvd.conf", "the `file` to read")
	fs.StringVar(&o.state, "state", "", "the `folder` that keeps what guests were told over a restart")
	fs.BoolVar(&o.noDelay, "nodelay", false, "answer solicitations at once, as radvd does; for the only router on a link")
	fs.BoolVar(&o.greet, "greet", false, "advertise to hosts that come up before they solicit")
	fs.BoolVar(&o.uplink, "uplink", false, "be no default router while the host has no default route")
	fs.BoolVar(&o.verbose, "v", false, "log what is discarded too")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return o, nil
}

// read returns what to advertise, by interface.
func (o options) read() ([]ra.Config, error) {
	f, err := os.Open(o.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := ra.ParseRadvd(o.file, f, time.Now())
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s advertises on no interface", o.file)
	}
	for i := range list {
		if o.noDelay {
			list[i].SolicitedDelay = ra.Zero
		}
		list[i].Greet = o.greet
		if o.state != "" {
			list[i].StateFile = filepath.Join(o.state, list[i].Interface+".json")
		}
	}
	return list, nil
}

func (o options) serve() (err error) {
	list, err := o.read()
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	var uplink ra.Uplink
	servers := make(map[string]*ra.Server)
	for _, c := range list {
		c.Logger = log
		if o.uplink { // one for each, as each waits by itself
			up, err := ra.NewDefaultRoute()
			if err != nil {
				return err
			}
			defer up.Close()
			uplink = up
		}
		c.Uplink = uplink
		if servers[c.Interface], err = ra.New(c); err != nil {
			return err
		}
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	ended := make(chan error, len(servers))
	var running sync.WaitGroup
	for _, s := range servers {
		running.Go(func() { ended <- s.Run(context.Background()) })
	}
	all := make(chan struct{})
	go func() { running.Wait(); close(all) }()
	for {
		select {
		case <-all:
			close(ended)
			for e := range ended {
				err = errors.Join(err, e)
			}
			return err
		case s := <-signals:
			switch s {
			case syscall.SIGHUP:
				if err := o.reload(servers); err != nil {
					log.Error("the file was read again and changes nothing more", "err", err)
				}
			case syscall.SIGUSR2:
				for _, s := range servers {
					s.Handover()
				}
			default:
				for _, s := range servers {
					s.Stop()
				}
			}
		}
	}
}

// reload puts the file's new text in place, on the interfaces that are served.
func (o options) reload(servers map[string]*ra.Server) error {
	list, err := o.read()
	if err != nil {
		return err
	}
	for _, c := range list {
		if servers[c.Interface] == nil {
			return fmt.Errorf("%s is new in the file; that wants a restart", c.Interface)
		}
	}
	if len(list) < len(servers) {
		return errors.New("an interface is no longer in the file; that wants a restart")
	}
	for _, c := range list {
		if err := servers[c.Interface].Update(c); err != nil {
			return err
		}
	}
	return nil
}
