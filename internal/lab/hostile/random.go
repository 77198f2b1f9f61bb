package hostile

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// RandomFrames is how many random frames an attack holds.
const RandomFrames = 10_000

const randomName = "random frames"

// random makes frames of which about a third is noise from the EtherType on, and
// the rest messages that were right before bytes of them were changed.
func random(c *craft, r *rand.Rand, n int) [][]byte {
	var kinds [][]byte
	makers := []func(*craft, *rand.Rand){
		foreignMAC, foreignAddress, straight, guestRA, guestHiddenRA, guestFragmentedND, guestRedirect, spoofGuests,
		guestDHCP, guestDHCPv6, queries, vlanTags, stackedTags, control,
	}
	// Whoever is on the router's own segment can take its place there: only its
	// switch could keep them from it.
	if c.attack.number < providerNumbers {
		makers = append(makers, spoofGateway, spoofARP)
	}
	for _, make := range makers {
		k := newCraft(c.Stage, c.attack.number, "")
		make(k, r)
		kinds = append(kinds, k.attack.Frames...)
	}
	macs := []wire.MAC{broadcast, c.Server, c.Router, c.Victim, c.Other, c.Attacker, group(allNodes), {0x01, 0x80, 0xc2, 0, 0, 0}}
	types := []uint16{typeIPv4, typeARP, typeRARP, typeVLAN, typeIPv6, typeQinQ, 0x88cc, 0x8847, 0x8863, 0x100, 0}
	frames := make([][]byte, 0, n)
	for range n {
		if r.IntN(3) > 0 {
			f := slices.Clone(kinds[r.IntN(len(kinds))])
			for range 1 + r.IntN(4) {
				f[r.IntN(len(f))] = byte(r.Uint32())
			}
			frames = append(frames, f)
			continue
		}
		dst, src, typ := macs[r.IntN(len(macs))], c.Attacker, types[r.IntN(len(types))]
		if r.IntN(2) == 0 {
			src = macs[r.IntN(len(macs))]
		}
		body := make([]byte, 46+r.IntN(1500-46))
		for i := range body {
			body[i] = byte(r.Uint32())
		}
		if typ == typeIPv6 && r.IntN(4) > 0 { // a header that gets past the first look
			copy(body, ipv6(c.global(src), netip.AddrFrom16([16]byte(body[24:40])), body[6], body[7], body[40:]))
		}
		copy(body[len(body)-markSize:], c.mark())
		frames = append(frames, ethernet(dst, src, typ, body))
	}
	return frames
}

// Random returns an attack of n frames made from a seed.
func Random(s Stage, seed uint64, n int) Attack {
	c := newCraft(s, 255, randomName)
	c.attack.MayReach, c.attack.MayPass = true, true
	c.add(random(c, rand.New(rand.NewPCG(seed, 0)), n)...)
	return c.attack
}

// Legal returns n frames that a guest may send, of as many kinds: echo requests
// to the host, to a guest and beyond, and solicitations for who is there.
func Legal(s Stage, n int) Attack {
	c := newCraft(s, 254, "legal frames")
	c.attack.MayReach, c.attack.MayPass = true, true
	own, local := s.global(s.Attacker), linkLocal(s.Attacker)
	kinds := [][]byte{
		to6(s.Server, s.Attacker, c.echo(own, s.Host)),
		to6(s.Server, s.Attacker, c.echo(own, s.Outside)),
		to6(s.Victim, s.Attacker, c.echo(own, s.global(s.Victim))),
		to6(s.Server, s.Attacker, c.nd(local, linkLocal(s.Server), icmpNS, neighbour(0, linkLocal(s.Server), sourceLLA(s.Attacker)))),
	}
	for i := range n {
		c.attack.Frames = append(c.attack.Frames, kinds[i%len(kinds)])
	}
	return c.attack
}

// dnsQuestion asks for the AAAA of a name whose first label is the mark, so that
// an answer carries it too.
func (c *craft) dnsQuestion() []byte {
	b := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, markSize}
	b = append(b, c.mark()...)
	b = append(b, 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0)
	b = binary.BigEndian.AppendUint16(b, 28)
	return binary.BigEndian.AppendUint16(b, 1)
}
