// Package dnsmsg is the one door to the DNS library: the names of the message
// types the project uses, parsing that is strict where a server must be, and
// answers kept in wire form so that a cached one is sent without being parsed
// or built again.
//
// It needs no privileges, opens no sockets, and builds on every system.
package dnsmsg
