package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Config says what a Judge lets pass.
type Config struct {
	// Server is the only MAC that the port may see as a source. Required.
	Server MAC
	// Provider lists the MACs of the provider's own end. They are no offence
	// inside payloads (the target of an ARP reply) and as destinations. Empty:
	// every MAC inside payloads but the server's is foreign, and only known
	// guests' MACs are foreign destinations.
	Provider []MAC
	// Guests lists guests' MACs as far as known. Every MAC that is not allowed
	// is foreign anyway; these are called guests in findings.
	Guests []MAC
	// Prefix is the server's /64. Required.
	Prefix netip.Prefix
	// Host lists the server's own addresses of both families. Its EUI-64
	// link-local address, its EUI-64 address in Prefix and Prefix's
	// subnet-router anycast address are its own without being listed. Without an
	// IPv4 address here IPv4 sources are not judged.
	Host []netip.Addr
	// Gateways lists the provider's routers' addresses, which the server may
	// solicit even where they are inside Prefix.
	Gateways []netip.Addr
	// OnLink: the provider asks for each address of Prefix on the segment, so the
	// server has to answer for its guests, in its own name and with its own MAC,
	// and to listen to their solicited-node groups. That is no offence while the
	// guest is known (AddGuest); answers for anybody else are. It may ask for
	// addresses of Prefix that are no known guest's, which others may have.
	OnLink bool
	// Examples is how many findings are kept for each kind. Default 5.
	Examples int
}

// Finding describes one offending frame.
type Finding struct {
	Kind Kind      `json:"kind"`
	At   time.Time `json:"at"`
	Text string    `json:"text"` // one line: MACs, then what it was
}

// String returns one line for a reader.
func (f Finding) String() string { return f.Kind.String() + ": " + f.Text }

// Report is what a Judge has seen so far.
type Report struct {
	Frames    uint64 `json:"frames"`    // all frames handed in
	Bytes     uint64 `json:"bytes"`     // their lengths as handed in
	Multicast uint64 `json:"multicast"` // those to group addresses, the server's own included
	// Counts has every kind, also those at 0.
	Counts map[Kind]uint64 `json:"counts"`
	// Findings holds the first offenders of each kind, in the order of Kinds.
	Findings []Finding `json:"findings,omitempty"`
}

// Offences adds up the counts of the given kinds, all kinds if none is given.
func (r Report) Offences(of ...Kind) uint64 {
	if len(of) == 0 {
		of = Kinds()
	}
	var n uint64
	for _, k := range of {
		n += r.Counts[k]
	}
	return n
}

// First returns the first finding of a kind, if there is one.
func (r Report) First(k Kind) (Finding, bool) {
	for _, f := range r.Findings {
		if f.Kind == k {
			return f, true
		}
	}
	return Finding{}, false
}

// Judge counts what the server must not have sent. Its methods may be called
// from several goroutines.
type Judge struct {
	mu       sync.Mutex
	cfg      Config
	provider map[MAC]bool
	guests   map[MAC]bool
	host     map[netip.Addr]bool
	gateways map[netip.Addr]bool
	hostIPv4 bool

	frames, bytes, multicast uint64
	counts                   [kinds]uint64
	findings                 [kinds][]Finding
}

// NewJudge makes a judge with all counters at 0.
func NewJudge(cfg Config) (*Judge, error) {
	if cfg.Server.IsZero() || cfg.Server.IsMulticast() {
		return nil, fmt.Errorf("judge: server's MAC %v is not one a NIC can have", cfg.Server)
	}
	if !cfg.Prefix.Addr().Is6() || cfg.Prefix.Bits() != 64 {
		return nil, fmt.Errorf("judge: prefix %v is not an IPv6 /64", cfg.Prefix)
	}
	if cfg.Examples < 0 {
		return nil, errors.New("judge: negative number of examples")
	}
	if cfg.Examples == 0 {
		cfg.Examples = 5
	}
	cfg.Prefix = cfg.Prefix.Masked()
	j := &Judge{
		cfg:      cfg,
		provider: map[MAC]bool{},
		guests:   map[MAC]bool{},
		host:     map[netip.Addr]bool{},
		gateways: map[netip.Addr]bool{},
	}
	for _, m := range cfg.Provider {
		j.provider[m] = true
		j.gateways[m.linkLocal()] = true
	}
	j.AddGuest(cfg.Guests...)
	j.AddHost(cfg.Host...)
	j.AddHost(
		cfg.Server.linkLocal(),
		cfg.Server.eui64(cfg.Prefix),
		// Routers hold the subnet-router anycast address (RFC 4291 2.6.1) and
		// Linux joins its solicited-node group as soon as it forwards.
		cfg.Prefix.Addr(),
	)
	for _, a := range cfg.Gateways {
		j.gateways[a.WithZone("").Unmap()] = true
	}
	return j, nil
}

// AddGuest makes guests known from now on.
func (j *Judge) AddGuest(macs ...MAC) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range macs {
		j.guests[m] = true
	}
}

// RemoveGuest makes guests unknown from now on: at an on-link provider nobody
// may answer for them any more.
func (j *Judge) RemoveGuest(macs ...MAC) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range macs {
		delete(j.guests, m)
	}
}

// AddHost adds addresses that are the server's own from now on.
func (j *Judge) AddHost(addrs ...netip.Addr) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, a := range addrs {
		a = a.WithZone("").Unmap()
		j.host[a] = true
		j.hostIPv4 = j.hostIPv4 || a.Is4()
	}
}

// Report returns the counts so far.
func (j *Judge) Report() Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := Report{Frames: j.frames, Bytes: j.bytes, Multicast: j.multicast, Counts: make(map[Kind]uint64, kinds)}
	for k := range kinds {
		r.Counts[k] = j.counts[k]
		r.Findings = append(r.Findings, j.findings[k]...)
	}
	return r
}

// Frame judges one Ethernet frame, without its checksum, that arrived from the
// server. Frames cut to a capture's length are judged by what is there. It does
// not keep b.
func (j *Judge) Frame(at time.Time, b []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.frames++
	j.bytes += uint64(len(b))
	c := opened{judge: j, at: at}
	eth, ok := splitEthernet(b)
	if !ok {
		c.hit(Opaque, "frame of %d bytes ends inside its header", len(b))
		return
	}
	c.eth = eth
	if c.eth.dst.IsMulticast() {
		j.multicast++
	}
	c.ethernet()
}

// opened is one frame on the table.
type opened struct {
	judge *Judge
	at    time.Time
	eth   ethernet
	done  [kinds]bool
}

// hit counts the frame for a kind, once. The text is made only while it will
// be kept.
func (c *opened) hit(k Kind, format string, args ...any) {
	if c.done[k] {
		return
	}
	c.done[k] = true
	j := c.judge
	j.counts[k]++
	if len(j.findings[k]) >= j.cfg.Examples {
		return
	}
	text := fmt.Sprintf("%s > %s", j.name(c.eth.src), j.name(c.eth.dst))
	for _, v := range c.eth.vlans {
		text += fmt.Sprintf(" VLAN %d", v)
	}
	j.findings[k] = append(j.findings[k], Finding{Kind: k, At: c.at, Text: text + ": " + fmt.Sprintf(format, args...)})
}

// name writes a MAC with its role.
func (j *Judge) name(m MAC) string {
	switch {
	case m == j.cfg.Server:
		return "server"
	case j.provider[m]:
		return "provider"
	case j.guests[m]:
		return "guest " + m.String()
	}
	return m.String()
}

// foreign tells MACs that must not stand in a payload. Zero and group
// addresses are placeholders there.
func (j *Judge) foreign(m MAC) bool {
	return m != j.cfg.Server && !m.IsZero() && !m.IsMulticast() && !j.provider[m]
}

// own tells the server's addresses.
func (j *Judge) own(a netip.Addr) bool { return j.host[a] }

// betrays tells addresses that say something about guests when the server asks
// or answers for them.
func (j *Judge) betrays(a netip.Addr) bool {
	if j.host[a] || j.gateways[a] {
		return false
	}
	if a.IsLinkLocalUnicast() {
		// fe80::1 and its like say nothing about a guest; an address made of a
		// MAC does.
		m, ok := macInside(a)
		return ok && j.foreign(m)
	}
	return j.cfg.Prefix.Contains(a)
}

// answered tells addresses of known guests, for which the server answers at an
// on-link provider: link-local ones too, as one interface of its has both sides.
func (j *Judge) answered(a netip.Addr) bool {
	if !j.cfg.OnLink || !j.cfg.Prefix.Contains(a) && !a.IsLinkLocalUnicast() {
		return false
	}
	m, ok := macInside(a)
	return ok && j.guests[m]
}

// owner writes an address with the guest it was made for, where known.
func (j *Judge) owner(a netip.Addr) string {
	if m, ok := macInside(a); ok && j.guests[m] {
		return a.String() + " (guest " + m.String() + ")"
	}
	return a.String()
}

// ownGroup tells the solicited-node groups (RFC 4291 2.7.1) of the server's
// addresses, at an on-link provider those of known guests, and all groups that
// are not solicited-node ones.
func (j *Judge) ownGroup(g netip.Addr) bool {
	b := g.As16()
	solicited := [13]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff}
	if [13]byte(b[:13]) != solicited {
		return true
	}
	for a := range j.host {
		if !a.Is6() {
			continue
		}
		if h := a.As16(); slices.Equal(h[13:], b[13:]) {
			return true
		}
	}
	if j.cfg.OnLink {
		for m := range j.guests {
			if slices.Equal(m[3:], b[13:]) {
				return true
			}
		}
	}
	return false
}
