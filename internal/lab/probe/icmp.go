package probe

import "encoding/binary"

// ICMP types of echoes (RFC 792, RFC 4443 4).
const (
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
)

// echo is one probe. Its cookie and time tell it from other probers' and from
// probes of an earlier run with the same identifier.
type echo struct {
	id     uint16
	cookie uint64
	seq    uint64 // its low 16 bits are ICMP's sequence number
	sent   int64  // nanoseconds since the run's start
}

const echoSize = 8 + 24

// packEcho writes a request. The checksum is filled in for IPv4 only: for IPv6
// the kernel does it, which knows the addresses (RFC 3542 3.1).
func packEcho(b []byte, e echo, six bool) []byte {
	typ := byte(echoRequest4)
	if six {
		typ = echoRequest6
	}
	b = append(b[:0], typ, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, e.id)
	b = binary.BigEndian.AppendUint16(b, uint16(e.seq))
	b = binary.BigEndian.AppendUint64(b, e.cookie)
	b = binary.BigEndian.AppendUint64(b, e.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(e.sent))
	if !six {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// parseEcho reads a reply as a raw socket gives it: with the IPv4 header, or
// without the IPv6 header.
func parseEcho(b []byte, six bool) (echo, bool) {
	typ := byte(echoReply6)
	if !six {
		typ = echoReply4
		if len(b) < 20 || len(b) < int(b[0]&15)*4 {
			return echo{}, false
		}
		b = b[int(b[0]&15)*4:]
	}
	if len(b) < echoSize || b[0] != typ || b[1] != 0 {
		return echo{}, false
	}
	e := echo{
		id:     binary.BigEndian.Uint16(b[4:]),
		cookie: binary.BigEndian.Uint64(b[8:]),
		seq:    binary.BigEndian.Uint64(b[16:]),
		sent:   int64(binary.BigEndian.Uint64(b[24:])),
	}
	return e, binary.BigEndian.Uint16(b[6:]) == uint16(e.seq)
}

// checksum is that of RFC 1071, for an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
