// Package ra sends IPv6 router advertisements on one interface, and listens to
// those that others send.
//
// [New] takes a [Config] whose zero value plus an interface name already
// works; [Server.Run] advertises until its context ends. Timing, answers to
// solicitations and rate limits are those of RFC 4861; options cover prefixes
// (RFC 4861, with the default lifetimes of RFC 9096), name servers and search
// domains (RFC 8106), NAT64 prefixes (RFC 8781), routes and router preference
// (RFC 4191), MTU, captive portal (RFC 8910) and the source link-layer address.
//
// What is advertised is a pure function of the Config and the [Link]:
// [Config.Messages] and [Config.FinalMessages] build the messages as values of
// github.com/mdlayher/ndp without touching the system, on every OS. [Parse]
// and [ParseSolicitation] read messages, a [Listener] receives advertisements.
//
// # The way of what guests are told
//
// A [Config] is what is to be advertised, a [State] what guests were told and may
// still believe. [Config.State] leads from one State to the next: what the
// Config has is held, what it no longer has is withdrawn as of then, and what
// nobody can hold any more is left out. [Config.Messages] says both: what is
// configured, and lifetime 0 for what is withdrawn. [Server.Update] is such a
// step, and so is a server's start with another Config than the last one's, by
// [Config.StateFile]. [Server.Stop] withdraws everything, [Server.Handover]
// nothing.
//
// [Monitor] goes the other way: what a [Listener] hears becomes events by
// comparison with what was heard before and with the host's own Config.
// [ParseRadvd] makes a Config of a radvd.conf, [ConfigOf] of a message,
// [Config.FormatRadvd] writes one.
//
// # The link
//
// The server follows its interface: it waits for it to exist, to be up and to
// have a link-local address that passed duplicate address detection, and takes
// up its work again when the interface was down or was removed and made anew.
// While the interface doesn't forward, the router and its routes are advertised
// with lifetime zero, and the router while [Config.Uplink] says that the host has
// no way out. The router flag of the kernel's neighbour advertisements is another
// matter: the host is a router still, and hosts that read otherwise would forget
// all it told them. Changes of MAC address, link-local address, MTU and forwarding are advertised
// when they happen.
//
// # Hosts that come up
//
// A host solicits when it has an address, which takes a second of duplicate
// address detection. With [Config.Greet] the server hears the multicast listener
// report that the host sends before that, and advertises at once: the host has
// its route and name server within milliseconds of its link's coming up, and its
// global address a second earlier.
//
// # Privileges and errors
//
// New and NewListener need CAP_NET_RAW in the network namespace of the calling
// goroutine, where their sockets stay. The server needs no more than that to
// run. Anything wrong with a Config is a [*ConfigError], found before anything
// is opened. On systems other than Linux, New and NewListener return an error that
// matches errors.ErrUnsupported.
package ra
