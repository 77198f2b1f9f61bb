package dns64

import (
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/sixhost/sixhost/nat64"
	"github.com/sixhost/sixhost/plan"
)

// Config says whom to serve and how. Prefix, Clients, Upstreams and something
// to listen on are required; the zero value of every other field means its
// default.
type Config struct {
	// Prefix is the NAT64 prefix that AAAA records are made in. Required.
	Prefix nat64.Prefix
	// Listen are addresses and ports for UDP and TCP both. Port 0 lets the
	// system choose one, the same for both. The unspecified addresses are
	// refused: a guest takes an answer only from the address it asked, and
	// this server has no business on the provider's side.
	Listen []netip.AddrPort
	// PacketConns and Listeners are served in addition to Listen, made by the
	// caller, and closed by the server. Packet connections must be bound to
	// one address and deliver *net.UDPAddr.
	PacketConns []net.PacketConn
	Listeners   []net.Listener
	// Upstreams are recursive servers, the preferred one first; DNSSEC
	// validation is theirs. Required.
	Upstreams []netip.AddrPort
	// Clients are the addresses that get answers. Required: all others get
	// nothing, not even an error.
	Clients []netip.Prefix
	// NoSynthesis are those of the clients that get what the upstreams say as it
	// is: no AAAA records made of A records, no prefix for ipv4only.arpa. It is for
	// guests with an IPv4 address of their own.
	NoSynthesis []netip.Prefix
	// Hosts are names that the server answers for by itself: their A and AAAA
	// records, and the PTR records of their addresses, which lead to the first
	// name of each. Other records of theirs are the upstreams' to know. Clients
	// that validate by themselves get what the upstreams say in any case.
	// [Server.SetHosts] changes them.
	Hosts []Host

	// Exclude are ranges of AAAA records that are kept from the clients, and
	// in whose place A records are looked for; default ::ffff:0:0/96
	// (RFC 6147, 5.1.4).
	Exclude []netip.Prefix
	// Special are IPv4 ranges outside the public Internet whose A records are
	// synthesised nevertheless. By default none is: a name must not lead a
	// guest to private, loopback or link-local addresses around the host. The
	// well-known prefix never represents them (RFC 6052, 3.1).
	Special []netip.Prefix

	// CacheBytes bounds the memory for cached answers; default 8 MiB.
	CacheBytes int
	// Timeout bounds the work on one question; default 4 s, a little less
	// than the resolvers of most systems wait.
	Timeout time.Duration
	// AAAATimeout is how long an answer about AAAA records is waited for when
	// the A records are there; default 1.5 s.
	AAAATimeout time.Duration
	// MaxQueries bounds the queries being worked on, MaxQueriesPerClient those
	// of one client; defaults 1024 and 256. More are dropped. Answers from
	// the cache don't count. The second half is for clients with fewer than
	// eight queries being worked on, the last quarter for those with fewer than
	// two.
	MaxQueries, MaxQueriesPerClient int
	// MaxConns bounds the TCP connections, MaxConnsPerClient those of one
	// client; defaults 256 and 32. More are closed at once. Who has many gets
	// none of the last, as with queries.
	MaxConns, MaxConnsPerClient int
	// ClientID names the client behind an address, for these limits: the port of
	// a bridge that it is at, for example. It is asked for every query that is
	// not answered from the cache, by several goroutines, and must not wait. Nil
	// takes each address for a client, so that one which has hundreds can take
	// all there is from the others.
	ClientID func(netip.Addr) string
	// IdleTimeout closes a TCP connection without queries; default 10 s.
	IdleTimeout time.Duration
	// Logger is told about upstreams that fail and return; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	setDefault(&c.CacheBytes, 8<<20)
	setDefault(&c.Timeout, 4*time.Second)
	setDefault(&c.AAAATimeout, 1500*time.Millisecond)
	setDefault(&c.MaxQueries, 1024)
	setDefault(&c.MaxQueriesPerClient, 256)
	setDefault(&c.MaxConns, 256)
	setDefault(&c.MaxConnsPerClient, 32)
	setDefault(&c.IdleTimeout, 10*time.Second)
	if c.Exclude == nil {
		c.Exclude = defaultExclude()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Validate returns a [*plan.Refusal] for the first field that can't be served.
// New calls it.
func (c Config) Validate() error {
	refuse := func(subject, reason string) error {
		return &plan.Refusal{Subject: "dns64: " + subject, Reason: reason}
	}
	switch {
	case !c.Prefix.IsValid():
		return refuse("prefix", "is missing")
	case len(c.Listen)+len(c.PacketConns)+len(c.Listeners) == 0:
		return refuse("listen", "no address to listen on")
	case len(c.Upstreams) == 0:
		return refuse("upstreams", "no name server to ask")
	case len(c.Clients) == 0:
		return refuse("clients", "no prefix is allowed to ask")
	}
	for _, l := range c.Listen {
		if !l.IsValid() || l.Addr().IsUnspecified() {
			return refuse("listen", "want an address of the host's own, not "+l.String())
		}
	}
	for _, u := range c.Upstreams {
		switch {
		case !u.IsValid() || u.Addr().IsUnspecified() || u.Port() == 0:
			return refuse("upstreams", "want an address with a port, not "+u.String())
		case slices.Contains(c.Listen, u):
			return refuse("upstreams", u.String()+" is where this server itself listens")
		}
	}
	for _, lists := range [][]netip.Prefix{c.Clients, c.NoSynthesis, c.Exclude, c.Special} {
		for _, p := range lists {
			if !p.IsValid() {
				return refuse("clients, no synthesis, exclude, special", "an entry is no prefix")
			}
		}
	}
	if _, err := newHosts(c.Hosts); err != nil {
		return err
	}
	for _, n := range []int{c.CacheBytes, int(c.Timeout), int(c.AAAATimeout), c.MaxQueries, c.MaxQueriesPerClient, c.MaxConns, c.MaxConnsPerClient, int(c.IdleTimeout)} {
		if n < 0 {
			return refuse("limits", "must not be negative")
		}
	}
	return nil
}
