// Radump prints the router advertisements that arrive on an interface, in full.
//
//	radump [-n COUNT] INTERFACE
//
// It needs CAP_NET_RAW, and sees what other machines (or other network
// namespaces) send, not what its own does. Invalid advertisements are printed
// too, with the reason why a host discards them. It runs until it is
// interrupted or has seen COUNT advertisements.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/sixhost/sixhost/ra"
)

func main() {
	count := flag.Int("n", 0, "end after this many advertisements; 0 for never")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: radump [-n COUNT] INTERFACE")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 || *count < 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dump(ctx, flag.Arg(0), *count)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "radump:", err)
		if errors.Is(err, os.ErrPermission) {
			fmt.Fprintln(os.Stderr, "radump: run it as root, or with CAP_NET_RAW")
		}
		os.Exit(1)
	}
}

func dump(ctx context.Context, iface string, count int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l, err := ra.NewListener(iface)
	if err != nil {
		return err
	}
	seen := 0
	return l.Run(ctx, func(r ra.Received) {
		if count > 0 && seen == count {
			return
		}
		write(os.Stdout, r)
		if seen++; seen == count {
			stop()
		}
	})
}
