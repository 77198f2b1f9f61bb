package siit

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// A sender has its share and no more, by however many addresses it sends; others'
// packets are put together meanwhile.
func TestReassemblerSharesByPort(t *testing.T) {
	payload := udp(3000)
	all := pieces6(ip6{src: "2001:db8:1:3::20", payload: payload}, 17, 1000, 7)
	var r Reassembler
	add := func(from uint32, f []byte) []byte { return r.Add(f, from, 0) }
	for _, f := range all[:len(all)-1] {
		add(8, f)
	}
	first := func(src string, id uint32) []byte {
		return ip6{src: src, next: 44, headers: fragHeader(17, 0, true, id), payload: payload[:8]}.bytes()
	}
	for n := range 1000 {
		add(7, first(fmt.Sprintf("2001:db8:1:3::bad:%x", n%250), uint32(n)))
	}
	if len(r.open) != 1+16 {
		t.Errorf("%d packets incomplete", len(r.open))
	}
	// Four more like that fill all there is, and still the one who has one keeps it.
	for port := uint32(20); port < 24; port++ {
		for n := range 100 {
			add(port, first(fmt.Sprintf("2001:db8:1:3::bad:%x", n), uint32(n)))
		}
	}
	if len(r.open) != 64 {
		t.Errorf("%d packets incomplete", len(r.open))
	}
	if got := add(8, all[len(all)-1]); got == nil {
		t.Error("the other's packet was pushed out")
	}
	// What comes in elsewhere is no part of it.
	for i, f := range all {
		if got := add(8+uint32(i%2), f); got != nil {
			t.Error("put together of what came in by two ports")
		}
	}
}

// A network may duplicate fragments, the last one too (RFC 8200, section 4.5).
func TestReassemblerDuplicates(t *testing.T) {
	payload := udp(3000)
	all := pieces4(ip4{proto: 17, id: 4, payload: payload}, 1000)
	for name, order := range map[string][]int{
		"each at once": {0, 0, 1, 1, 2, 2, 3, 3}, "the last first": {3, 3, 0, 1, 0, 1, 2}, "all but the last again": {0, 1, 2, 0, 1, 2, 3},
	} {
		var r Reassembler
		var whole []byte
		for _, i := range order {
			if got := r.Add(all[i], 0, 0); got != nil && whole == nil {
				whole = bytes.Clone(got)
			}
		}
		if len(whole) < 20 || !bytes.Equal(whole[20:], payload) {
			t.Errorf("%s: %d octets", name, len(whole))
		}
	}
	// The same place and other contents are an overlap, and so is another end.
	for name, f := range map[string][]byte{
		"other contents": ip4{proto: 17, id: 4, flags: 0x2000 | 1000/8, payload: append([]byte{^payload[1000]}, payload[1001:2000]...)}.bytes(),
		"another end":    ip4{proto: 17, id: 4, flags: 1000 / 8, payload: payload[1000:2000]}.bytes(),
	} {
		var r Reassembler
		r.Add(all[1], 0, 0)
		if r.Add(f, 0, 0); r.Holds(all[1], 0, 0) {
			t.Errorf("%s: taken for a duplicate", name)
		}
	}
}

// A small fragment far behind takes the memory of a small fragment.
func TestReassemblerMemory(t *testing.T) {
	var before, after runtime.MemStats
	var r Reassembler
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 1000
	for id := range uint16(n) {
		r.Add(ip4{proto: 17, id: id, flags: 0x2000 | 65000/8, payload: make([]byte, 8)}.bytes(), 0, 0)
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 8<<10 {
		t.Errorf("%d octets for each", each)
	}
	if len(r.open) != 16 {
		t.Errorf("%d packets incomplete", len(r.open))
	}
}
