package macrewrite

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/sixhost/sixhost/slaac"
)

// request is an ARP request as a router sends it, padded as Ethernet wants it.
func request(from slaac.MAC, sender, target string) []byte {
	p := arpPacket{
		dstMAC: slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, srcMAC: from, op: arpRequest,
		senderMAC: from, sender: ip(sender), target: ip(target),
	}
	return append(p.frame(), make([]byte, 18)...)
}

func TestAnswerARP(t *testing.T) {
	mac, router := sample().MAC, slaac.MAC{2, 0, 0, 0, 0, 1}
	guest, other := ip("198.51.100.77"), ip("198.51.100.78")
	live := func(a netip.Addr) bool { return a == guest || a == other }
	good := request(router, "198.51.100.1", "198.51.100.77")
	with := func(at int, b ...byte) []byte {
		f := slices.Clone(good)
		copy(f[at:], b)
		return f
	}
	for name, tt := range map[string]struct {
		frame  []byte
		answer bool
	}{
		"asked by the router":         {good, true},
		"without padding":             {good[:42], true},
		"a probe (RFC 5227)":          {request(router, "0.0.0.0", "198.51.100.77"), true},
		"sent to us alone":            {with(0, mac[:]...), true},
		"somebody else's":             {request(router, "198.51.100.1", "198.51.100.79"), false},
		"of the host itself":          {request(mac, "198.51.100.1", "198.51.100.77"), false},
		"by a guest's address":        {request(router, "198.51.100.78", "198.51.100.77"), false},
		"an announcement":             {request(router, "198.51.100.77", "198.51.100.77"), false},
		"by a group's MAC":            {with(22, 1, 0, 0x5e, 0, 0, 1), false},
		"by no MAC":                   {with(22, 0, 0, 0, 0, 0, 0), false},
		"by a group":                  {request(router, "224.0.0.1", "198.51.100.77"), false},
		"a reply":                     {with(20, 0, 2), false},
		"not of Ethernet":             {with(14, 0, 6), false},
		"not of IPv4":                 {with(16, 0x86, 0xdd), false},
		"other lengths":               {with(18, 8, 4), false},
		"another ethertype":           {with(12, 0x08, 0x00), false},
		"cut off":                     {good[:41], false},
		"nothing":                     {nil, false},
		"with the host's MAC as that": {with(22, mac[:]...), false},
	} {
		out, ok := answerARP(tt.frame, mac, live)
		if ok != tt.answer {
			t.Errorf("%s: answered: %v", name, ok)
			continue
		}
		if !ok {
			continue
		}
		p, valid := parseARP(out)
		in, _ := parseARP(tt.frame)
		want := arpPacket{dstMAC: router, srcMAC: mac, op: arpReply, senderMAC: mac, sender: guest, targetMAC: router, target: in.sender}
		if !valid || p != want {
			t.Errorf("%s: %+v, want %+v", name, p, want)
		}
	}
	if p := announcement(mac, guest); p.sender != p.target || p.op != arpRequest || p.senderMAC != mac || !p.dstMAC.IsMulticast() {
		t.Errorf("announced by %+v", p)
	}
}

// FuzzAnswerARP: whatever comes, nothing but our MAC goes out, only for a live
// address, and to nobody but one who asked.
func FuzzAnswerARP(f *testing.F) {
	guest := ip("198.51.100.77")
	f.Add(request(slaac.MAC{2}, "198.51.100.1", "198.51.100.77"))
	f.Add(request(slaac.MAC{2}, "0.0.0.0", "198.51.100.77")[:42])
	f.Fuzz(func(t *testing.T, in []byte) {
		mac := sample().MAC
		out, ok := answerARP(in, mac, func(a netip.Addr) bool { return a == guest })
		if !ok {
			return
		}
		p, valid := parseARP(out)
		asked, _ := parseARP(in)
		if !valid || p.srcMAC != mac || p.senderMAC != mac || p.sender != guest || p.op != arpReply || p.dstMAC.IsMulticast() || p.dstMAC != asked.senderMAC {
			t.Errorf("% x is answered by %+v", in, p)
		}
	})
}
