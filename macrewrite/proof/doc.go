// Package proof counts what leaves by the uplink, last of all: frames with
// another source MAC than the NIC's, router advertisements, redirects, and
// multicast that is not the host's. All but the number of frames should stay at
// zero; that they do is the proof that the edge's rules hold, whatever else is
// configured on the host.
//
// Where BPF loads, a program at the end of the uplink's tcx egress counts, or on
// older kernels at the end of its clsact egress: it sees what the host sends in
// any way, also what another program redirects to the uplink (NAT64's fast
// path). It looks behind up to eight extension headers; what it can't look into
// is counted as unread. Only packet sockets that ask to bypass the queueing
// discipline, and hardware, send without it.
//
// Else an nftables chain on the uplink's egress counts, in the table netdev
// sixhost_proof. That is partial, and [Counter.Partial] says so: nftables' egress
// hook runs before tc's and does not see what BPF redirects to the uplink. NAT64's
// fast path does not do that, it leaves the way to the uplink to the host's
// routing; a test sends traffic of every path and finds each frame counted, in
// all three ways.
//
// A [Counter] attaches in the network namespace of the goroutine that makes it,
// lives as long as its process, and changes nothing of what passes. It needs
// CAP_BPF and CAP_NET_ADMIN, in the machine's first user namespace for BPF; with
// CAP_NET_ADMIN of another one it counts by nftables. What neither can do fails
// with an error matching errors.ErrUnsupported.
package proof
