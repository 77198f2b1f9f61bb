package main

import (
	"log/slog"

	"github.com/sixhost/sixhost/nat64/dns64"
	"github.com/sixhost/sixhost/nat64/gateway"
)

// follower is told of the host with other guests. What it takes of it is what
// it took of the host that it began with, by the same functions of host.
type follower interface{ follow(h host) }

var (
	_ follower = namesFollower{}
	_ follower = knownFollower{}
	_ follower = (*frontDoor)(nil)
	_ follower = (*edgeKeeper)(nil)
)

// followGuests has one more told, among the services.
func followGuests(services []namedService, f follower) {
	for _, s := range services {
		if w, ok := s.run.(*guestWatch); ok {
			w.followers = append(w.followers, f)
		}
	}
}

// namesFollower has the name server answer for the guests.
type namesFollower struct {
	server *dns64.Server
	log    *slog.Logger
}

func (f namesFollower) follow(h host) {
	list, err := h.hosts()
	if err == nil {
		err = f.server.SetHosts(list)
	}
	if err != nil {
		f.log.Error("the name server knows the guests of before", "error", err)
	}
}

// knownFollower has NAT64 keep a mapping for each guest.
type knownFollower struct{ gateway *gateway.Gateway }

func (f knownFollower) follow(h host) { f.gateway.SetKnown(h.knownGuests()) }
