package siit

import (
	"encoding/binary"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// capture writes packets as a capture file of raw IP (LINKTYPE_RAW).
func capture(t *testing.T, packets [][]byte) string {
	t.Helper()
	n := binary.LittleEndian
	b := n.AppendUint32(nil, 0xa1b2c3d4)
	b = n.AppendUint16(b, 2)
	b = n.AppendUint16(b, 4)
	for _, v := range []uint32{0, 0, 1 << 18, 101} {
		b = n.AppendUint32(b, v)
	}
	for i, p := range packets {
		for _, v := range []uint32{uint32(i), 0, uint32(len(p)), uint32(len(p))} {
			b = n.AppendUint32(b, v)
		}
		b = append(b, p...)
	}
	file := t.TempDir() + "/packets.pcap"
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// faults are the numbers of the packets in which tshark sees a fault, with a
// wrong checksum in the packet inside an ICMP error or outside.
func faults(t *testing.T, packets [][]byte) string {
	t.Helper()
	const filter = "_ws.malformed || _ws.expert.severity == error || ip.checksum.status == 0 || tcp.checksum.status == 0 || " +
		"udp.checksum.status == 0 || dccp.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || icmp.ext.checksum.status == 0"
	cmd := exec.Command("tshark", "-n", "--disable-protocol", "dns", "-r", capture(t, packets), "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE",
		"-Y", filter, "-T", "fields", "-e", "frame.number")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, stderr.String())
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// What comes out is judged by somebody who shares no code with us: no packet is
// malformed, and every checksum is good, those of packets inside errors too.
func TestJudgedByTshark(t *testing.T) {
	nstest.Tool(t, "tshark")
	extension := []byte{0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 0x21, 0x40}
	binary.BigEndian.PutUint16(extension[2:], ^naiveSum(extension))
	out4 := ip4{src: pool4, dst: web4, proto: 17, payload: sealed(pool4, web4, 17, udp(40))}.bytes()
	tcp4 := ip4{src: pool4, dst: web4, proto: 6, flags: 0x4000, payload: sealed(pool4, web4, 6, tcp(900))}.bytes()
	in6 := ip6{src: web6, dst: guest6, next: 17, payload: sealed(web6, guest6, 17, udp(992))}.bytes()
	echo4 := ip4{src: pool4, dst: web4, proto: 1, payload: sealed(pool4, web4, 1, echo(8, 30))}.bytes()
	echo6 := ip6{src: web6, dst: guest6, next: 58, payload: sealed(web6, guest6, 58, echo(128, 30))}.bytes()
	err4 := func(typ, code byte, info uint32, body ...[]byte) []byte {
		return ip4{proto: 1, payload: sealed(web4, pool4, 1, icmpErr(typ, code, info, body...))}.bytes()
	}
	err6 := func(typ, code byte, info uint32, body ...[]byte) []byte {
		return ip6{next: 58, payload: sealed(guest6, web6, 58, icmpErr(typ, code, info, body...))}.bytes()
	}
	in := [][]byte{
		ip4{proto: 6, flags: 0x4000, payload: sealed(web4, pool4, 6, tcp(1000))}.bytes(),
		ip4{proto: 17, payload: sealed(web4, pool4, 17, udp(999))}.bytes(),
		ip4{proto: 17, payload: sealed(web4, pool4, 17, udp(4000))}.bytes(),
		ip4{proto: 17, payload: udp(500)}.bytes(), // no checksum
		ip4{proto: 17, options: []byte{1, 1, 1, 0}, payload: sealed(web4, pool4, 17, udp(5))}.bytes(),
		ip4{proto: 136, payload: sealed(web4, pool4, 136, udp(50))}.bytes(),
		ip4{proto: 1, payload: sealed(web4, pool4, 1, echo(8, 57))}.bytes(),
		ip4{proto: 1, payload: sealed(web4, pool4, 1, echo(0, 4000))}.bytes(),
		err4(3, 3, 0, out4), err4(3, 4, 1400, tcp4), err4(3, 2, 0, out4), err4(11, 0, 0, echo4), err4(12, 0, 8<<24, out4), err4(3, 1, 0, tcp4[:28]),
		err4(11, 0, 32<<16, out4, make([]byte, 128-len(out4)), extension),
		err4(11, 1, 0, ip4{src: pool4, dst: web4, proto: 17, flags: 0x2000, payload: sealed(pool4, web4, 17, udp(400))[:200]}.bytes()),
		ip6{next: 6, payload: sealed(guest6, web6, 6, tcp(1300))}.bytes(),
		ip6{next: 17, payload: sealed(guest6, web6, 17, udp(33))}.bytes(),
		ip6{next: 136, payload: sealed(guest6, web6, 136, udp(50))}.bytes(),
		ip6{next: 60, headers: []byte{17, 0, 1, 4, 0, 0, 0, 0}, payload: sealed(guest6, web6, 17, udp(33))}.bytes(),
		ip6{next: 44, headers: fragHeader(17, 0, false, 0x77), payload: sealed(guest6, web6, 17, udp(33))}.bytes(),
		ip6{next: 58, payload: sealed(guest6, web6, 58, echo(128, 57))}.bytes(),
		err6(1, 4, 0, in6), err6(2, 0, 1300, in6), err6(3, 0, 0, echo6), err6(4, 0, 7, in6), err6(4, 1, 40, in6), err6(1, 0, 0, in6[:60]),
		err6(3, 0, uint32(len(in6)/8)<<24, in6, extension),
	}
	in = append(in, pieces6(ip6{payload: sealed(guest6, web6, 17, udp(3000))}, 17, 1232, 9)...)
	in = append(in, pieces4(ip4{proto: 17, id: 6, payload: sealed(web4, pool4, 17, udp(3000))}, 1480)...)
	tr := newTranslator()
	var out [][]byte
	for i, p := range in {
		dst := make([]byte, 10000)
		if p[0]>>4 == 6 {
			n, res := tr.To4(dst, p, Offload{})
			if res.Reason != Translated {
				t.Fatalf("packet %d: %+v", i, res)
			}
			out = append(out, dst[:n])
			continue
		}
		n, res := tr.To6(dst, p, Offload{})
		if res.Reason != Translated {
			t.Fatalf("packet %d: %+v", i, res)
		}
		for f, rest := Next6(dst[:n]); len(f) > 0; f, rest = Next6(rest) {
			out = append(out, f)
		}
	}
	answer := make([]byte, 1500)
	out = append(out, answer[:tr.Error6(answer, addr("2001:db8:1::1"), in[18], ICMP{Type: 1, Code: 1})])
	answer = make([]byte, 1500)
	out = append(out, answer[:tr.Error4(answer, addr("192.168.160.1"), in[4], ICMP{Type: 3, Code: 4, Info: 1480})])
	if got := faults(t, out); got != "" {
		t.Errorf("%d packets, of which tshark finds faults in %s", len(out), got)
	}
	// The judge sees: the last octet changed in each that it can judge.
	spoilt := 0
	for i, p := range out {
		next := p[6]
		if p[0]>>4 == 4 {
			next = p[9]
			if binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
				continue // a fragment
			}
		}
		if next == 6 || next == 17 || next == 1 || next == 58 {
			out[i] = append([]byte(nil), p...)
			out[i][len(p)-1] ^= 0x55
			spoilt++
		}
	}
	if got := len(strings.Fields(faults(t, out))); got != spoilt {
		t.Errorf("tshark finds %d of %d faults put in", got, spoilt)
	}
}
