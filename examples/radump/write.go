package main

import (
	"bytes"
	"encoding/json"
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
func write(w io.Writer, r ra.Received) error {
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
	_, err := b.WriteTo(w)
	return err
}

func writeJSON(w io.Writer, r ra.Received) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("print advertisement as JSON: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// writeRadvd prints a radvd.conf that says the same, with what radvd can't say as
// comments.
func writeRadvd(w io.Writer, r ra.Received) error {
	var b bytes.Buffer
	comment := func(format string, args ...any) { fmt.Fprintf(&b, "# "+format+"\n", args...) }
	comment("from %s at %s", r.From, r.At.Format(time.RFC3339))
	if r.Err != nil {
		comment("invalid: %v", r.Err)
	}
	if r.Message != nil {
		for _, o := range r.Message.Options {
			if raw, ok := o.(*ndp.RawOption); ok {
				comment("option %d is not understood: %x", raw.Type, raw.Value)
			}
		}
		text, err := ra.ConfigOf(r.Interface, r.Message).FormatRadvd()
		if err != nil {
			comment("no router should say this, so that it can't be written: %q", err)
		}
		b.WriteString(text)
	}
	_, err := b.WriteTo(w)
	return err
}

// event prints one of a monitor's.
func (o options) event(w io.Writer, e ra.Event) error {
	at := time.Now()
	if !o.json {
		_, err := fmt.Fprintf(w, "%s %s: %s\n", at.Format("2006-01-02 15:04:05.000"), o.iface, e)
		return err
	}
	b, err := json.Marshal(struct {
		At        time.Time  `json:"at"`
		Interface string     `json:"interface"`
		From      netip.Addr `json:"from"`
		Event     string     `json:"event"`
		Text      string     `json:"text"`
	}{at, o.iface, e.Source(), strings.TrimPrefix(fmt.Sprintf("%T", e), "*ra."), e.String()})
	if err != nil {
		return fmt.Errorf("print event as JSON: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
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
