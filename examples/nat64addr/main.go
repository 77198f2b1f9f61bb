// Command nat64addr converts addresses of NAT64 (RFC 6052) both ways: an IPv4
// address into the IPv6 one that represents it, and back.
//
//	nat64addr 8.8.4.4                               64:ff9b::808:404
//	nat64addr 64:ff9b::808:404                      8.8.4.4
//	nat64addr -prefix 2001:db8:64::/96 8.8.4.4      2001:db8:64::808:404
//	nat64addr -discover 8.8.4.4                     under this network's prefix
//
// It prints one line per argument, or per line of standard input where there
// are no arguments. Exit status: 0, 1 if something could not be converted, 2
// for bad usage.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/sixhost/sixhost/nat64"
)

func main() {
	resolver := func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip6", host)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, resolver))
}

func run(args []string, in io.Reader, out, errOut io.Writer, lookup func(context.Context, string) ([]netip.Addr, error)) int {
	prefix := nat64.WellKnown()
	fs := flag.NewFlagSet("nat64addr", flag.ContinueOnError)
	fs.SetOutput(errOut)
	fs.TextVar(&prefix, "prefix", prefix, "NAT64 `prefix` of 32, 40, 48, 56, 64 or 96 bits")
	discover := fs.Bool("discover", false, "ask the resolver for this network's prefix (RFC 7050)")
	fs.Usage = func() {
		fmt.Fprintln(errOut, "usage: nat64addr [-prefix prefix | -discover] [address ...]")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		return 2
	}
	if !prefix.IsValid() {
		fmt.Fprintln(errOut, "nat64addr: -prefix is empty")
		return 2
	}
	if *discover {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		found, err := nat64.Discover(ctx, lookup)
		if err != nil {
			fmt.Fprintf(errOut, "nat64addr: discover the NAT64 prefix: %v\n", err)
			return 1
		}
		prefix = found[0]
	}

	status := 0
	convertOne := func(s string) {
		a, err := convert(prefix, s)
		if err != nil {
			fmt.Fprintf(errOut, "nat64addr: %v\n", err)
			status = 1
			return
		}
		fmt.Fprintln(out, a)
	}
	if fs.NArg() > 0 {
		for _, s := range fs.Args() {
			convertOne(s)
		}
		return status
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if s := strings.TrimSpace(lines.Text()); s != "" {
			convertOne(s)
		}
	}
	if err := lines.Err(); err != nil {
		fmt.Fprintf(errOut, "nat64addr: read standard input: %v\n", err)
		return 1
	}
	return status
}

// convert goes the way the address asks for.
func convert(p nat64.Prefix, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", s)
	}
	if a = a.Unmap(); a.Is4() {
		if !p.MayRepresent(a) {
			return netip.Addr{}, fmt.Errorf("%s is not a global address, %s must not represent it (RFC 6052, section 3.1)", a, p)
		}
		return p.Embed(a), nil
	}
	v4, ok := p.Extract(a)
	if !ok {
		return netip.Addr{}, fmt.Errorf("%s does not represent an IPv4 address under %s", a, p)
	}
	return v4, nil
}
