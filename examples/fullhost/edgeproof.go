package main

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/sixhost/sixhost/macrewrite/proof"
)

// edgeProof counts what leaves by the uplink while run serves, and says if
// anything does that should not.
type edgeProof struct {
	counter *proof.Counter
	log     *slog.Logger
	before  proof.Counts
}

// proofEvery is the time between two looks at the counts.
const proofEvery = 10 * time.Second

func newEdgeProof(h host, log *slog.Logger) (*edgeProof, error) {
	var own []netip.Addr
	for _, a := range h.wanted.Addrs {
		own = append(own, a.Prefix.Addr())
	}
	c, err := proof.New(proof.Config{Uplink: h.uplink, MAC: h.mac, Host: own})
	if err != nil {
		return nil, err
	}
	if err := c.Partial(); err != nil {
		log.Warn("what leaves by the uplink is counted in part", "by", c.Method(), "error", err)
	}
	return &edgeProof{counter: c, log: log}, nil
}

// Run looks at the counts until ctx ends, and says what they were then.
func (p *edgeProof) Run(ctx context.Context) error {
	defer p.counter.Close()
	for sleep(ctx, proofEvery) == nil {
		p.look(ctx)
	}
	last := context.WithoutCancel(ctx)
	p.look(last)
	if n, err := p.counter.Read(last); err == nil {
		p.log.Info("what left by the uplink", "counted", n.String(), "by", p.counter.Method())
	}
	return nil
}

// look says what is new among what should not have left.
func (p *edgeProof) look(ctx context.Context) {
	n, err := p.counter.Read(ctx)
	if err != nil {
		p.log.Warn("what leaves by the uplink can't be counted", "error", err)
		return
	}
	was := p.before
	was.Frames = n.Frames
	if n != was {
		p.log.Error("something left by the uplink that should not have", "counted", n.String(), "by", p.counter.Method())
	}
	p.before = n
}
