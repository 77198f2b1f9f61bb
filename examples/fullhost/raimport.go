package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/ra"
)

// raImport prints the host.yaml that has guests told what a radvd.conf tells
// them.
func (a app) raImport(_ context.Context, args []string) error {
	var path, iface string
	if err := a.flags("ra-import", args, func(fs *flag.FlagSet) {
		fs.StringVar(&path, "from", "/etc/radvd.conf", "the `file` to read")
		fs.StringVar(&iface, "interface", "", "the bridge's `name` in it, where it advertises on several")
	}); err != nil {
		return err
	}
	text, err := importRadvd(path, iface, time.Now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.stdout, text)
	return err
}

func importRadvd(path, iface string, now time.Time) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", &plan.Refusal{Subject: path, Reason: "can't be read: " + errText(err), Err: err}
	}
	defer f.Close()
	list, err := ra.ParseRadvd(path, f, now)
	var re *ra.RadvdError
	if errors.As(err, &re) {
		return "", &plan.Refusal{Subject: fmt.Sprintf("%s:%d", re.File, re.Line), Reason: re.Reason, Err: err}
	}
	if err != nil {
		return "", err
	}
	var names []string
	for _, c := range list {
		if c.Interface == iface || iface == "" && len(list) == 1 {
			return radvdYAML(path, c), nil
		}
		names = append(names, c.Interface)
	}
	switch {
	case len(list) == 0:
		return "", &plan.Refusal{Subject: path, Reason: "radvd advertises on no interface by it, as none says AdvSendAdvert on"}
	case iface == "":
		return "", &plan.Refusal{Subject: path, Reason: "it is for several interfaces; name the bridge by -interface: " + strings.Join(names, ", ")}
	}
	return "", &plan.Refusal{Subject: path, Reason: fmt.Sprintf("radvd does not advertise on %s by it, only on %s", iface, strings.Join(names, ", "))}
}

// radvdYAML writes what differs from the defaults.
func radvdYAML(path string, c ra.Config) string {
	var b strings.Builder
	line := func(depth int, format string, args ...any) {
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat("  ", depth), fmt.Sprintf(format, args...))
	}
	duration := func(depth int, key string, d time.Duration) {
		if d != 0 {
			text, _ := raTime(d).MarshalText() // has no way to fail
			line(depth, "%s: %s", key, text)
		}
	}
	preference := func(depth int, p ra.Preference) {
		if p != ra.Medium {
			text, _ := raPreference(p).MarshalText()
			line(depth, "preference: %s", text)
		}
	}
	yes := func(depth int, key string, is bool) {
		if is {
			line(depth, "%s: true", key)
		}
	}
	line(0, "# Made by fullhost ra-import from %q.", path)
	line(0, "# Stop radvd before fullhost run begins.")
	line(0, "bridge: %s", yamlWord(c.Interface))
	if p, ok := guestPrefix(c); ok {
		line(0, "prefix: %s", yamlWord(p.String()))
	}
	line(0, "ra:")
	duration(1, "max_interval", c.MaxInterval)
	duration(1, "min_interval", c.MinInterval)
	duration(1, "router_lifetime", c.RouterLifetime)
	preference(1, c.Preference)
	if c.HopLimit != 0 {
		line(1, "hop_limit: %d", c.HopLimit)
	}
	yes(1, "managed", c.Managed)
	yes(1, "other", c.Other)
	duration(1, "reachable_time", c.ReachableTime)
	duration(1, "retrans_timer", c.RetransTimer)
	if c.MTU != 0 {
		line(1, "mtu: %d", c.MTU)
	}
	yes(1, "no_source_address", c.NoSourceLLA)
	if c.CaptivePortal != "" {
		line(1, "captive_portal: %s", yamlWord(c.CaptivePortal))
	}
	if len(c.Prefixes) > 0 {
		line(1, "prefixes:")
	}
	for _, p := range c.Prefixes {
		line(1, "- prefix: %s", yamlWord(p.Prefix.String()))
		yes(2, "off_link", p.OffLink)
		yes(2, "no_slaac", p.NoSLAAC)
		duration(2, "preferred", p.Preferred)
		duration(2, "valid", p.Valid)
		if !p.ValidUntil.IsZero() {
			line(2, "preferred_until: %s", yamlWord(p.PreferredUntil.UTC().Format(time.RFC3339)))
			line(2, "valid_until: %s", yamlWord(p.ValidUntil.UTC().Format(time.RFC3339)))
		}
	}
	if len(c.RDNSS) > 0 {
		line(1, "# In place of the host's own DNS64, which is what guests use without these.")
		line(1, "rdnss:")
	}
	for _, r := range c.RDNSS {
		line(1, "- servers:")
		for _, a := range r.Servers {
			line(2, "- %s", yamlWord(a.String()))
		}
		duration(2, "lifetime", r.Lifetime)
	}
	if len(c.DNSSL) > 0 {
		line(1, "dnssl:")
	}
	for _, d := range c.DNSSL {
		line(1, "- domains:")
		for _, name := range d.Domains {
			line(2, "- %s", yamlWord(name))
		}
		duration(2, "lifetime", d.Lifetime)
	}
	if len(c.PREF64) > 0 {
		line(1, "# In place of the host's own NAT64, as above.")
		line(1, "pref64:")
	}
	for _, p := range c.PREF64 {
		line(1, "- prefix: %s", yamlWord(p.Prefix.String()))
		duration(2, "lifetime", p.Lifetime)
	}
	if len(c.Routes) > 0 {
		line(1, "routes:")
	}
	for _, r := range c.Routes {
		line(1, "- prefix: %s", yamlWord(r.Prefix.String()))
		preference(2, r.Preference)
		duration(2, "lifetime", r.Lifetime)
	}
	// A key with nothing below it asks for the defaults.
	return b.String()
}

// guestPrefix is what guests make their addresses from, if that is one.
func guestPrefix(c ra.Config) (found netip.Prefix, ok bool) {
	for _, p := range c.Prefixes {
		if p.NoSLAAC || p.Preferred == ra.Zero {
			continue
		}
		if ok {
			return netip.Prefix{}, false
		}
		found, ok = p.Prefix, true
	}
	return found, ok
}

// yamlWord is a value in quotes, in which everything stands for itself: what is
// quoted has been checked to be of printable ASCII.
func yamlWord(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
