// Package proxy is the way from IPv4 clients to guests that have IPv6 only: it
// takes connections on the host's IPv4 address and leads them to the guest
// that serves the name asked for.
//
// TLS is passed through: the name is read from the ClientHello (RFC 6066, 3),
// then every byte goes to the guest as it came, and the certificate is the
// guest's own. HTTP/1.x is led request by request, by Host, so that several
// names on one connection find their guests; bodies stream, upgrades work, and
// the guest learns the client's address from X-Forwarded-For and Forwarded
// (RFC 7239).
//
// Only configured guests are ever dialled. A name nobody serves gets the alert
// unrecognized_name, or status 421. A client has limited time and memory to
// say which name it wants, and limited connections.
//
// Opening ports below 1024 needs CAP_NET_BIND_SERVICE; nothing else here needs
// privileges. Each connection takes two file descriptors, and up to four more
// while it moves bulk data by splice on Linux. A configuration that can't be
// served is a [*plan.Refusal]; everything else is the system's error, wrapped.
package proxy
