// Package health asks, before and after a change of the host's network, what
// must hold in both: that the gateways answer, that the name servers answer, and
// that the operator's own session is still there.
//
//	before := health.Run(ctx, checks, 2*time.Second)
//	// plan/rollback: Begin, the steps, Applied
//	if broken := before.Broken(health.Run(ctx, checks, 5*time.Second)); len(broken) > 0 {
//		change.Undo(ctx)
//	}
//
// What did not hold before says nothing about the change: it is reported, and
// never counted. So a check that fails can only shorten the countdown of a
// change, and a wrong one can't keep a good change from being confirmed by a
// person.
//
// # What a check proves
//
// That [Gateway] holds means that frames reach the provider's router and its
// answers come back, in one family. [DNS] proves a way into the Internet, or to
// a name server on the way; a stub resolver on the host itself may answer from
// its cache. [Session] proves that one TCP connection is there and that what was
// sent over it is acknowledged; where nothing is sent it proves no more than
// that nobody has closed it. None of them proves that a new login is possible: a
// packet filter, routes of the provider's or the login service itself may be in
// the way. That is what a confirmation from a new login is for.
//
// # Privileges
//
// Gateway needs CAP_NET_RAW, Session none for connections that can be seen. All
// work in the calling thread's network namespace, on Linux; elsewhere the errors
// match errors.ErrUnsupported, save those of DNS.
package health
