package siit

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// sum adds big-endian 16-bit words in one's complement (RFC 1071); an odd last
// octet is the high one of its word.
func sum(b []byte) uint16 {
	var acc, carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(tail[:]), carry)
	}
	acc, carry = bits.Add64(acc, 0, carry)
	return fold(acc + carry)
}

// fold reduces a sum to 16 bits. It is zero only if v is.
func fold(v uint64) uint16 {
	v = v>>32 + v&0xffffffff
	v = v>>16 + v&0xffff
	v = v>>16 + v&0xffff
	return uint16(v>>16 + v&0xffff)
}

// addrSum is the share of an address in a pseudo-header's sum.
func addrSum(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return uint64(binary.BigEndian.Uint16(b[:])) + uint64(binary.BigEndian.Uint16(b[2:]))
	}
	b := a.As16()
	return uint64(sum(b[:]))
}

// minus is what to add to a sum to take v out of it.
func minus(v uint16) uint64 { return uint64(^v) }

// adjust updates a checksum field by a difference of sums, without judging
// whether it was right (RFC 1624, equation 3).
func adjust(field uint16, delta uint64) uint16 {
	return ^fold(uint64(^field) + uint64(fold(delta)))
}

// adjustPartial updates a field that holds a pseudo-header's sum.
func adjustPartial(field uint16, delta uint64) uint16 {
	return fold(uint64(field) + uint64(fold(delta)))
}
