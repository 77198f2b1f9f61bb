package gateway

import (
	"encoding/binary"
	"net/netip"
	"sort"
)

// blocks are IPv4 prefixes for quick look-up: ascending, apart.
type blocks []span

type span struct{ first, last uint32 }

// newBlocks takes prefixes sorted and without overlap.
func newBlocks(prefixes []netip.Prefix) blocks {
	out := make(blocks, 0, len(prefixes))
	for _, p := range prefixes {
		first := number(p.Addr())
		out = append(out, span{first, first | uint32(1<<(32-p.Bits())-1)})
	}
	return out
}

func (b blocks) contain(a netip.Addr) bool {
	n := number(a)
	i := sort.Search(len(b), func(i int) bool { return b[i].last >= n })
	return i < len(b) && b[i].first <= n
}

func number(v4 netip.Addr) uint32 {
	b := v4.As4()
	return binary.BigEndian.Uint32(b[:])
}
