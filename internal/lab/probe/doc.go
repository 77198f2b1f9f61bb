// Package probe asks a network from the outside what works: pings and an open
// TCP session while something changes, web and DNS clients, and checks that
// something does not answer.
//
// Every client opens its sockets in the network namespace it is given; nil
// stands for that of the calling goroutine's thread. Clients make and read
// their packets by hand, or with the standard library, so that they share
// nothing with the servers they judge.
//
// Pinger and TryPing need CAP_NET_RAW over the namespace, entering one needs
// CAP_SYS_ADMIN. Errors match ErrNoAnswer where nothing came back in time and
// ErrRefused where somebody said no.
package probe

import "errors"

// Errors that callers match.
var (
	// ErrNoAnswer: nothing at all came back in time.
	ErrNoAnswer = errors.New("no answer")
	// ErrRefused: a TCP reset, or an ICMP error.
	ErrRefused = errors.New("refused")
	// ErrUnsent: the question never left the namespace, so that silence would
	// prove nothing.
	ErrUnsent = errors.New("not sent")
)
