package proxy

import "sync/atomic"

// Stats counts what the proxy has done since New.
type Stats struct {
	// Active connections now.
	Active int
	// TLSConns and HTTPConns were accepted, HTTPRequests read.
	TLSConns, HTTPConns, HTTPRequests uint64
	// TooMany were closed at once, because of the bounds on connections or on
	// the memory for ClientHellos.
	TooMany uint64
	// UnknownName had no route.
	UnknownName uint64
	// BadHello were no ClientHello; HelloTimeout did not send it in time.
	BadHello, HelloTimeout uint64
	// Unreachable are connections and requests whose guest could not be
	// reached, Loops requests that had been here before.
	Unreachable, Loops uint64
	// BytesToGuests and BytesToClients were passed through for TLS.
	BytesToGuests, BytesToClients uint64
}

type counters struct {
	tlsConns, httpConns, httpRequests, tooMany, unknownName atomic.Uint64
	badHello, helloTimeout, unreachable, loops              atomic.Uint64
	bytesToGuests, bytesToClients                           atomic.Uint64
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		Active:         s.conns.Total(),
		TLSConns:       c.tlsConns.Load(),
		HTTPConns:      c.httpConns.Load(),
		HTTPRequests:   c.httpRequests.Load(),
		TooMany:        c.tooMany.Load(),
		UnknownName:    c.unknownName.Load(),
		BadHello:       c.badHello.Load(),
		HelloTimeout:   c.helloTimeout.Load(),
		Unreachable:    c.unreachable.Load(),
		Loops:          c.loops.Load(),
		BytesToGuests:  c.bytesToGuests.Load(),
		BytesToClients: c.bytesToClients.Load(),
	}
}
