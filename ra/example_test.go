package ra_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/sixhost/sixhost/ra"
	"github.com/sixhost/sixhost/slaac"
)

func ExampleConfig_Messages() {
	cfg := ra.Config{
		Interface: "br0",
		Prefixes:  []ra.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1:3::/64")}},
		RDNSS:     []ra.RDNSS{{Servers: []netip.Addr{netip.MustParseAddr("2001:db8:1:3::2")}}},
		PREF64:    []ra.PREF64{{Prefix: netip.MustParsePrefix("64:ff9b::/96")}},
	}
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	link := ra.Link{Index: 2, MTU: 1500, MAC: mac, Address: slaac.LinkLocal(mac), Forwarding: true}
	messages, err := cfg.Messages(link, ra.State{}, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range messages {
		fmt.Println("router for", m.RouterLifetime)
		for _, o := range m.Options {
			switch o := o.(type) {
			case *ndp.PrefixInformation:
				fmt.Printf("prefix %s/%d, preferred for %s\n", o.Prefix, o.PrefixLength, o.PreferredLifetime)
			case *ndp.RecursiveDNSServer:
				fmt.Println("name server", o.Servers[0])
			case *ndp.PREF64:
				fmt.Println("NAT64 at", o.Prefix)
			}
		}
	}
	// Output:
	// router for 30m0s
	// prefix 2001:db8:1:3::/64, preferred for 45m0s
	// name server 2001:db8:1:3::2
	// NAT64 at 64:ff9b::/96
}

func ExampleConfig_Validate() {
	err := ra.Config{
		Interface: "br0",
		Prefixes:  []ra.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1:3::2/64")}},
	}.Validate()
	fmt.Println(err)
	// Output:
	// Prefixes[0].Prefix: 2001:db8:1:3::2/64 has bits set beyond its length; did you mean 2001:db8:1:3::/64?
}

// A server needs CAP_NET_RAW and an interface, so that this example isn't run.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	server, err := ra.New(ra.Config{
		Interface: "br0",
		Prefixes:  []ra.Prefix{{Prefix: netip.MustParsePrefix("2001:db8:1:3::/64")}},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := server.Run(ctx); err != nil {
		log.Fatal(err)
	}
}

func ExampleParse() {
	m, err := ra.Parse([]byte(strings.Join([]string{
		"\x86\x00\x00\x00\x40\x00\x07\x08\x00\x00\x00\x00\x00\x00\x00\x00",
		"\x05\x01\x00\x00\x00\x00\x05\xdc",
	}, "")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.RouterLifetime, m.Options[0].(*ndp.MTU).MTU)
	// Output: 30m0s 1500
}
