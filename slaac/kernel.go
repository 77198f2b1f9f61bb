package slaac

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// KernelStable returns the address that Linux gives an interface whose
// addr_gen_mode is 2 (stable_secret, which is secret here) or 3 (random: the
// kernel chose the secret, and shows it in the sysctl stable_secret).
//
// permanent is the MAC the driver burnt in, not the one set later; virtual
// links (veth, bridges) have none, so it is zero for them. dadCounter is how
// many addresses turned out to be taken before. The result holds for a machine
// of this one's byte order, as the kernel's does.
//
// Errors match [ErrPrefixLength].
func KernelStable(prefix netip.Prefix, permanent MAC, secret netip.Addr, dadCounter uint8) (netip.Addr, error) {
	upper, err := upperHalf(prefix)
	if err != nil {
		return netip.Addr{}, err
	}
	id := firstFree(uint32(dadCounter), func(counter uint32) [8]byte {
		// The secret, the prefix, the address in 32 octets, the counter and
		// zeros: one block of SHA-1 exactly, without the hash's padding.
		var block [64]byte
		key := secret.As16()
		copy(block[:], key[:])
		copy(block[16:], upper[:])
		copy(block[24:], permanent[:])
		block[56] = byte(counter)
		sum := sha1Block(sha1Init(), &block)
		var id [8]byte
		binary.NativeEndian.PutUint32(id[:], sum[0])
		binary.NativeEndian.PutUint32(id[4:], sum[1])
		return id
	})
	return join(upper, id), nil
}

// sha1Init returns the initial value of SHA-1 (FIPS 180-4, section 5.3.1).
func sha1Init() [5]uint32 {
	return [5]uint32{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
}

// sha1Block is SHA-1's compression function (FIPS 180-4, section 6.1.2). The
// standard library offers only the whole hash, which always adds padding.
func sha1Block(h [5]uint32, block *[64]byte) [5]uint32 {
	var w [80]uint32
	for t := range w {
		if t < 16 {
			w[t] = binary.BigEndian.Uint32(block[4*t:])
		} else {
			w[t] = bits.RotateLeft32(w[t-3]^w[t-8]^w[t-14]^w[t-16], 1)
		}
	}
	a, b, c, d, e := h[0], h[1], h[2], h[3], h[4]
	for t := range w {
		var f, k uint32
		switch {
		case t < 20:
			f, k = b&c|^b&d, 0x5a827999
		case t < 40:
			f, k = b^c^d, 0x6ed9eba1
		case t < 60:
			f, k = b&c|b&d|c&d, 0x8f1bbcdc
		default:
			f, k = b^c^d, 0xca62c1d6
		}
		a, b, c, d, e = bits.RotateLeft32(a, 5)+f+e+k+w[t], a, bits.RotateLeft32(b, 30), c, d
	}
	return [5]uint32{h[0] + a, h[1] + b, h[2] + c, h[3] + d, h[4] + e}
}
