package proxy_test

import (
	"fmt"
	"net/netip"

	"github.com/sixhost/sixhost/proxy"
)

// A front door for two guests. What can't be served is said before anything is
// opened.
func ExampleConfig_Validate() {
	cfg := proxy.Config{
		HTTP: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.10:80")},
		TLS:  []netip.AddrPort{netip.MustParseAddrPort("203.0.113.10:443")},
		Routes: map[string]proxy.Route{
			"www.example.com":    {Addr: netip.MustParseAddr("2001:db8:1:3:5054:ff:fe12:3456")},
			"*.dev.example.com":  {Addr: netip.MustParseAddr("2001:db8:1:3:5054:ff:fe65:4321"), HTTPPort: 8080},
			"http://example.com": {Addr: netip.MustParseAddr("2001:db8:1:3:5054:ff:fe65:4321")},
		},
	}
	fmt.Println(cfg.Validate())
	delete(cfg.Routes, "http://example.com")
	fmt.Println(cfg.Validate())
	// Output:
	// proxy: routes: "http://example.com" is no host name, nor one behind "*."
	// <nil>
}
