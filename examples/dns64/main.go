// Command dns64 is a name server for IPv6-only machines: it makes AAAA records
// for names that have A records only.
//
//	dns64 -listen [2001:db8:1:3::53]:53 -client 2001:db8:1:3::/64 -upstream 192.0.2.53:53
//
// It serves until it is interrupted and then prints what it did. Exit status:
// 0, 1 if it fails, 2 for what can't be served.
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
	"syscall"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/nat64/dns64"
	"github.com/sixhost/sixhost/plan"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	cfg := dns64.Config{Logger: slog.New(slog.NewTextHandler(errOut, nil))}
	fs := flag.NewFlagSet("dns64", flag.ContinueOnError)
	fs.SetOutput(errOut)
	fs.TextVar(&cfg.Prefix, "prefix", nat64.WellKnown(), "NAT64 `prefix`")
	addrs := func(into *[]netip.AddrPort) func(string) error {
		return func(s string) error {
			a, err := netip.ParseAddrPort(s)
			*into = append(*into, a)
			return err
		}
	}
	fs.Func("listen", "`address:port` to serve on; may stand more than once", addrs(&cfg.Listen))
	fs.Func("upstream", "`address:port` of a recursive server; may stand more than once", addrs(&cfg.Upstreams))
	fs.Func("client", "`prefix` that gets answers; may stand more than once", func(s string) error {
		p, err := netip.ParsePrefix(s)
		cfg.Clients = append(cfg.Clients, p)
		return err
	})
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(errOut, "dns64: %q is no option\n", fs.Arg(0))
		return 2
	}
	server, err := dns64.New(cfg)
	if err == nil {
		err = server.Run(ctx)
	}
	var refusal *plan.Refusal
	switch {
	case errors.As(err, &refusal):
		fmt.Fprintln(errOut, refusal)
		return 2
	case err != nil:
		fmt.Fprintf(errOut, "dns64: %v\n", err)
		return 1
	}
	s := server.Stats()
	fmt.Fprintf(out, "%d queries by UDP, %d by TCP; %d from the cache, %d synthesised, %d failed, %d dropped, %d from strangers\n",
		s.UDPQueries, s.TCPQueries, s.CacheHits, s.Synthesised, s.Failed, s.Dropped, s.Strangers)
	return 0
}
