// Command frontdoor leads IPv4 clients to IPv6-only servers by the name they
// ask for: TLS passed through by server name, HTTP by Host.
//
//	frontdoor -http 203.0.113.10:80 -tls 203.0.113.10:443 \
//	    www.example.com=2001:db8:1:3:5054:ff:fe12:3456 \
//	    '*.dev.example.com=2001:db8:1:3:5054:ff:fe65:4321'
//
// It serves until it is interrupted, then lets connections finish for a few
// seconds. Exit status: 0, 1 if it fails, 2 for what can't be served.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/proxy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

func run(ctx context.Context, args []string, errOut io.Writer) int {
	cfg := proxy.Config{
		Routes: make(map[string]proxy.Route),
		Logger: slog.New(slog.NewTextHandler(errOut, nil)),
	}
	fs := flag.NewFlagSet("frontdoor", flag.ContinueOnError)
	fs.SetOutput(errOut)
	addrs := func(into *[]netip.AddrPort) func(string) error {
		return func(s string) error {
			a, err := netip.ParseAddrPort(s)
			*into = append(*into, a)
			return err
		}
	}
	fs.Func("http", "`address:port` to serve HTTP on; may stand more than once", addrs(&cfg.HTTP))
	fs.Func("tls", "`address:port` to serve TLS on; may stand more than once", addrs(&cfg.TLS))
	fs.Usage = func() {
		fmt.Fprintln(errOut, "usage: frontdoor -http address:port -tls address:port name=address ...")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return 2
	}
	for _, arg := range fs.Args() {
		name, addr, ok := strings.Cut(arg, "=")
		a, err := netip.ParseAddr(addr)
		if !ok || err != nil {
			fmt.Fprintf(errOut, "frontdoor: %q is not of the form name=address\n", arg)
			return 2
		}
		cfg.Routes[name] = proxy.Route{Addr: a}
	}
	server, err := proxy.New(cfg)
	if err == nil {
		err = server.Run(ctx)
	}
	var refusal *plan.Refusal
	switch {
	case errors.As(err, &refusal):
		fmt.Fprintf(errOut, "frontdoor: %v\n", refusal)
		return 2
	case err != nil:
		fmt.Fprintf(errOut, "frontdoor: %v\n", err)
		return 1
	}
	return 0
}
