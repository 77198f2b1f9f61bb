package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/persist"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/ra"
)

// defaultFile is read where no -f is given, if it is there.
const defaultFile = "/etc/sixhost/host.yaml"

// config is host.yaml. Every key is optional.
type config struct {
	// Uplink is the NIC to the provider; default the link of the default route.
	Uplink string `yaml:"uplink"`
	// Bridge is made with the NIC's identity; default br0.
	Bridge string `yaml:"bridge"`
	// Prefix is the /64; default the only one on the uplink.
	Prefix netip.Prefix `yaml:"prefix"`
	// Address is the host's own in the prefix: keep (default), slaac, or one.
	Address bridge.HostAddress `yaml:"address"`
	// Static says that addresses with a lifetime (DHCP) may be made permanent.
	Static bool `yaml:"static"`

	SpanningTree treeConfig `yaml:"spanning_tree"`

	// Provider is routed (default), on-link, or auto, which finds out: see
	// macrewrite.Kind and macrewrite.Detect.
	Provider provider `yaml:"provider"`
	// IsolateGuests bridges nothing between guests; they reach each other through
	// the host.
	IsolateGuests bool `yaml:"isolate_guests"`
	// UnlistedGuests says what becomes of guests that are not listed: strict
	// (default) or drop.
	UnlistedGuests unlisted `yaml:"unlisted_guests"`

	NAT64  nat64Config   `yaml:"nat64"`
	DNS    dnsConfig     `yaml:"dns"`
	RA     raFile        `yaml:"ra"`
	Guests []guestConfig `yaml:"guests"`
	// Expose are ports and addresses of the host's IPv4 that lead to guests.
	Expose  []exposeConfig `yaml:"expose"`
	Persist persistConfig  `yaml:"persist"`
	Libvirt libvirtConfig  `yaml:"libvirt"`

	// StateDir holds captured states while a change is open; default /run/sixhost.
	StateDir string `yaml:"state_dir"`
	// ConfirmWithin is how long apply waits before it takes everything back;
	// default 120s.
	ConfirmWithin time.Duration `yaml:"confirm_within"`

	// Metrics is the address and port where run serves /metrics to Prometheus, like
	// 127.0.0.1:9364; default none.
	Metrics netip.AddrPort `yaml:"metrics"`

	// path is the file all this was read from, absolute; "" if there is none.
	path string
	// text is what it had in it.
	text []byte
}

type treeConfig struct {
	// Enabled makes the bridge take part in the spanning tree; default false.
	Enabled bool `yaml:"enabled"`
	// ForwardDelay is 2s to 30s; default 2s.
	ForwardDelay time.Duration `yaml:"forward_delay"`
	// AcceptDeadTime says that the host may be dead for twice the delay.
	AcceptDeadTime bool `yaml:"accept_dead_time"`
}

type nat64Config struct {
	// Prefix is the NAT64 prefix; default 64:ff9b::/96.
	Prefix nat64.Prefix `yaml:"prefix"`
	// FastPath is a folder on a BPF file system where the fast path's programs
	// are pinned, or off; default /sys/fs/bpf/sixhost/nat64.
	FastPath string `yaml:"fast_path"`
	// Pool is a private IPv4 range that stands for the guests inside the host.
	Pool netip.Prefix `yaml:"pool"`
}

type dnsConfig struct {
	// Upstreams answer what the guests ask; default those of /etc/resolv.conf.
	Upstreams []upstream `yaml:"upstreams"`
	// Domain is searched by guests and names them in the zone.
	Domain string `yaml:"domain"`
}

type guestConfig struct {
	// Name is a host name of one label; MAC and address follow from it.
	Name string `yaml:"name"`
	// MAC wins over the one made from the name.
	MAC givenMAC `yaml:"mac"`
	// Addresses of the /64 that the guest may use beside the one that follows from
	// its MAC; Open lets it take others by itself, such as privacy addresses.
	Addresses []netip.Addr `yaml:"addresses"`
	Open      bool         `yaml:"open"`
	// Serve lists the names under which IPv4 clients reach the guest.
	Serve []string `yaml:"serve"`
	// MemoryMiB, VCPUs and Disk describe the virtual machine.
	MemoryMiB int    `yaml:"memory_mib"`
	VCPUs     int    `yaml:"vcpus"`
	Disk      string `yaml:"disk"`

	guestMore
}

type persistConfig struct {
	// Format is auto (default), netplan, networkd or none.
	Format persist.Format `yaml:"format"`
	// Root is where the files go; default /.
	Root string `yaml:"root"`
}

// upstream is a name server: an address, or address and port.
type upstream struct{ netip.AddrPort }

// UnmarshalText accepts 192.0.2.53, 2001:db8::53, 192.0.2.53:5353 and [2001:db8::53]:5353.
func (u *upstream) UnmarshalText(b []byte) error {
	if a, err := netip.ParseAddr(string(b)); err == nil {
		u.AddrPort = netip.AddrPortFrom(a, 53)
		return nil
	}
	ap, err := netip.ParseAddrPort(string(b))
	if err != nil {
		return fmt.Errorf("want an IP address, with or without a port, not %q", b)
	}
	u.AddrPort = ap
	return nil
}

// loadConfig reads the file; path "" means the default file, if it exists.
func loadConfig(path string) (config, error) {
	if path == "" {
		if _, err := os.Stat(defaultFile); errors.Is(err, fs.ErrNotExist) {
			return config{}.withDefaults(), nil
		}
		path = defaultFile
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return config{}, &plan.Refusal{Subject: path, Reason: "can't be read: " + errText(err), Err: err}
	}
	c, err := parseConfig(path, text)
	if err != nil {
		return config{}, err
	}
	if c.path, err = filepath.Abs(path); err != nil {
		return config{}, fmt.Errorf("find %s: %w", path, err)
	}
	return c, nil
}

// parseConfig reads the text of a file of the given name.
func parseConfig(name string, text []byte) (config, error) {
	var c config
	if err := decodeStrict(name, bytes.NewReader(text), &c); err != nil {
		return config{}, err
	}
	c.text = text
	c = c.withDefaults()
	return c, c.validate(name)
}

// errText is an error without the path that the sentence names already.
func errText(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func (c config) withDefaults() config {
	if c.Bridge == "" {
		c.Bridge = "br0"
	}
	if c.NAT64.Prefix == (nat64.Prefix{}) {
		c.NAT64.Prefix = nat64.WellKnown()
	}
	if c.StateDir == "" {
		c.StateDir = "/run/sixhost"
	}
	if c.ConfirmWithin == 0 {
		c.ConfirmWithin = 120 * time.Second
	}
	if c.Persist.Root == "" {
		c.Persist.Root = "/"
	}
	return c
}

func (c config) validate(path string) error {
	refuse := func(key, format string, args ...any) error {
		return &plan.Refusal{Subject: path, Reason: key + ": " + fmt.Sprintf(format, args...)}
	}
	if c.Prefix.IsValid() && (!c.Prefix.Addr().Is6() || c.Prefix.Bits() != 64) {
		return refuse("prefix", "SLAAC needs an IPv6 /64, not %s", c.Prefix)
	}
	if c.Prefix.IsValid() && c.Prefix != c.Prefix.Masked() {
		return refuse("prefix", "%s has bits set beyond its length; did you mean %s?", c.Prefix, c.Prefix.Masked())
	}
	// What does not depend on the machine is found before anything is changed.
	var ce *ra.ConfigError
	if err := c.RA.over(ra.Config{Interface: c.Bridge}).Validate(); errors.As(err, &ce) {
		return refuse("ra", "%s", ce)
	}
	return nil
}
