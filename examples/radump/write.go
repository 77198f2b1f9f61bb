package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/mdlayher/ndp"

	"github.com/sixhost/sixhost/ra"
)

// write prints one advertisement in one piece, so that the output of several
// programs doesn't mix.
func write(w io.Writer, r ra.Received) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s: router advertisement from %s, hop limit %d, %d octets\n",
		r.At.Format("2006-01-02 15:04:05.000"), r.Interface, r.From, r.HopLimit, len(r.Raw))
	if r.Err != nil {
		fmt.Fprintf(&b, "  INVALID: %v\n", r.Err)
	}
	if m := r.Message; m == nil {
		fmt.Fprintf(&b, "  %x\n", r.Raw)
	} else {
		writeMessage(&b, m)
	}
	b.WriteTo(w)
}

func writeMessage(b *bytes.Buffer, m *ndp.RouterAdvertisement) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	if m.RouterLifetime == 0 {
		line("router lifetime", "0 s: not a default router")
	} else {
		line("router lifetime", "%s, preference %s", lifetime(m.RouterLifetime), preference(m.RouterSelectionPreference))
	}
	line("hop limit", "%s", orUnspecified(int64(m.CurrentHopLimit), ""))
	line("flags", "%s", flags(
		named("managed (M)", m.ManagedConfiguration), named("other (O)", m.OtherConfiguration),
		named("home agent (H)", m.MobileIPv6HomeAgent), named("ND proxy (P)", m.NeighborDiscoveryProxy)))
	line("reachable time", "%s", orUnspecified(m.ReachableTime.Milliseconds(), " ms"))
	line("retransmission timer", "%s", orUnspecified(m.RetransmitTimer.Milliseconds(), " ms"))
	for _, o := range m.Options {
		switch o := o.(type) {
		case *ndp.LinkLayerAddress:
			name := "source link-layer"
			if o.Direction == ndp.Target {
				name = "target link-layer"
			}
			line(name, "%s", o.Addr)
		case *ndp.MTU:
			line("MTU", "%d", o.MTU)
		case *ndp.PrefixInformation:
			line("prefix", "%s: %s; valid %s, preferred %s", netip.PrefixFrom(o.Prefix, int(o.PrefixLength)),
				flags(named("on-link (L)", o.OnLink), named("autonomous (A)", o.AutonomousAddressConfiguration)),
				lifetime(o.ValidLifetime), lifetime(o.PreferredLifetime))
		case *ndp.RouteInformation:
			line("route", "%s, preference %s, lifetime %s", netip.PrefixFrom(o.Prefix, int(o.PrefixLength)), preference(o.Preference), lifetime(o.RouteLifetime))
		case *ndp.RecursiveDNSServer:
			line("name servers", "%s, lifetime %s", join(o.Servers), lifetime(o.Lifetime))
		case *ndp.DNSSearchList:
			// What came over the wire must not drive the terminal.
			line("search domains", "%q, lifetime %s", o.DomainNames, lifetime(o.Lifetime))
		case *ndp.PREF64:
			line("NAT64 prefix", "%s, lifetime %s", o.Prefix, lifetime(o.Lifetime))
		case *ndp.CaptivePortal:
			line("captive portal", "%q", o.URI)
		case *ndp.RAFlagsExtension:
			line("further flags", "%x", []byte(o.Flags))
		case *ndp.Nonce:
			line("nonce", "%s", o)
		case *ndp.RawOption:
			line(fmt.Sprintf("option %d", o.Type), "%x, not understood", o.Value)
		default:
			line(fmt.Sprintf("option %d", o.Code()), "%+v", o)
		}
	}
}

func lifetime(d time.Duration) string {
	if d == ra.Infinity {
		return "infinite"
	}
	return fmt.Sprintf("%d s", int64(d/time.Second))
}

func preference(p ra.Preference) string {
	switch p {
	case ra.Low:
		return "low"
	case ra.High:
		return "high"
	}
	return "medium"
}

func orUnspecified(v int64, unit string) string {
	if v == 0 {
		return "unspecified"
	}
	return fmt.Sprintf("%d%s", v, unit)
}

func named(name string, set bool) string {
	if set {
		return name
	}
	return ""
}

func flags(all ...string) string {
	var set []string
	for _, f := range all {
		if f != "" {
			set = append(set, f)
		}
	}
	if len(set) == 0 {
		return "none"
	}
	return strings.Join(set, ", ")
}

func join(addrs []netip.Addr) string {
	s := make([]string, len(addrs))
	for i, a := range addrs {
		s[i] = a.String()
	}
	return strings.Join(s, " ")
}
