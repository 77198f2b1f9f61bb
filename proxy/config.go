package proxy

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/sixhost/sixhost/plan"
)

// Route leads to a guest.
type Route struct {
	// Addr is the guest's address. Required.
	Addr netip.Addr
	// HTTPPort and TLSPort are the guest's ports; default 80 and 443.
	HTTPPort, TLSPort uint16
}

func (r Route) http() netip.AddrPort { return netip.AddrPortFrom(r.Addr, orDefault(r.HTTPPort, 80)) }
func (r Route) tls() netip.AddrPort  { return netip.AddrPortFrom(r.Addr, orDefault(r.TLSPort, 443)) }

// Config says where to listen and where to lead. HTTP or TLS, and Routes or
// Default, are required; the zero value of every other field means its default.
type Config struct {
	// HTTP and TLS are the addresses to listen on. Port 0 lets the system
	// choose one.
	HTTP, TLS []netip.AddrPort
	// Routes by name: "www.example.com", or "*.example.com" for every name
	// below. An exact name goes before a wildcard, a longer wildcard before a
	// shorter one. [Server.SetRoutes] changes them.
	Routes map[string]Route
	// Default serves names that have no route, and clients that send none; nil
	// refuses them.
	Default *Route

	// HelloTimeout bounds how long a client may take to say which name it
	// wants: the whole ClientHello, the whole header of a request; default
	// 10 s.
	HelloTimeout time.Duration
	// DialTimeout bounds connecting to a guest; default 5 s.
	DialTimeout time.Duration
	// IdleTimeout ends a connection on which nothing moves either way; default
	// 1 h. KeepAlive ends an HTTP connection without a request; default 60 s.
	IdleTimeout, KeepAlive time.Duration
	// DrainTimeout is how long connections may go on after Run was told to end;
	// default 5 s.
	DrainTimeout time.Duration
	// MaxConns bounds the connections, MaxConnsPerClient those of one address;
	// defaults 4096 and 512. More are closed at once.
	MaxConns, MaxConnsPerClient int
	// HelloMemory bounds the memory for ClientHellos that are not complete
	// yet; default 16 MiB.
	HelloMemory int
	// MaxHeaderBytes bounds the header of an HTTP request; default 64 KiB.
	MaxHeaderBytes int
	// Logger is told about guests that can't be reached; nil discards.
	Logger *slog.Logger
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (c Config) withDefaults() Config {
	c.HelloTimeout = orDefault(c.HelloTimeout, 10*time.Second)
	c.DialTimeout = orDefault(c.DialTimeout, 5*time.Second)
	c.IdleTimeout = orDefault(c.IdleTimeout, time.Hour)
	c.KeepAlive = orDefault(c.KeepAlive, time.Minute)
	c.DrainTimeout = orDefault(c.DrainTimeout, 5*time.Second)
	c.MaxConns = orDefault(c.MaxConns, 4096)
	c.MaxConnsPerClient = orDefault(c.MaxConnsPerClient, 512)
	c.HelloMemory = orDefault(c.HelloMemory, 16<<20)
	c.MaxHeaderBytes = orDefault(c.MaxHeaderBytes, 64<<10)
	c.Logger = orDefault(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Validate returns a [*plan.Refusal] for the first field that can't be served.
// New calls it.
func (c Config) Validate() error {
	refuse := func(subject, format string, args ...any) error {
		return &plan.Refusal{Subject: "proxy: " + subject, Reason: fmt.Sprintf(format, args...)}
	}
	listen := slices.Concat(c.HTTP, c.TLS)
	if len(listen) == 0 {
		return refuse("listen", "no address to listen on")
	}
	for _, l := range listen {
		if !l.IsValid() {
			return refuse("listen", "an address is missing")
		}
	}
	if len(c.Routes) == 0 && c.Default == nil {
		return refuse("routes", "no name leads to a guest")
	}
	check := func(name string, r Route) error {
		switch a := r.Addr; {
		case !a.IsValid():
			return refuse("route "+name, "has no address")
		case a.IsUnspecified() || a.IsMulticast():
			return refuse("route "+name, "%s is no address of a guest", a)
		}
		for _, to := range []netip.AddrPort{r.http(), r.tls()} {
			if slices.Contains(listen, to) {
				return refuse("route "+name, "leads back here: %s is where the proxy listens", to)
			}
		}
		return nil
	}
	if _, err := newRoutes(c.Routes, c.Default); err != nil {
		return refuse("routes", "%v", err)
	}
	for name, r := range c.Routes {
		if err := check(name, r); err != nil {
			return err
		}
	}
	if c.Default != nil {
		if err := check("default", *c.Default); err != nil {
			return err
		}
	}
	for _, n := range []int64{int64(c.HelloTimeout), int64(c.DialTimeout), int64(c.IdleTimeout), int64(c.KeepAlive), int64(c.DrainTimeout), int64(c.MaxConns), int64(c.MaxConnsPerClient), int64(c.HelloMemory), int64(c.MaxHeaderBytes)} {
		if n < 0 {
			return refuse("limits", "must not be negative")
		}
	}
	return nil
}
