package slaac

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// ErrSecretLength means that a secret key is shorter than the 128 bits that
// RFC 7217, section 5 demands.
var ErrSecretLength = errors.New("secret key is shorter than 128 bits")

// StableParams are the inputs of RFC 7217, section 5.
type StableParams struct {
	// Prefix is the /64 the address is for. Required.
	Prefix netip.Prefix
	// Interface identifies the interface on its host (Net_Iface): its name, or
	// its MAC in some form.
	Interface string
	// NetworkID identifies the network, an SSID for instance. Default: none.
	NetworkID string
	// DADCounter is how many addresses made before turned out to be taken
	// (RFC 7217, section 6). Default: 0.
	DADCounter uint32
	// Secret is the host's key, at least 16 octets. Required.
	Secret []byte
}

// Stable returns the semantically opaque address of RFC 7217: it stays the same
// as long as the parameters do, and tells nothing about interface or host.
//
// F() is HMAC-SHA-256 with Secret as its key, over
//
//	"sixhost RFC 7217 v1" || 0x00 || the prefix's 8 octets ||
//	len(Interface) || Interface || len(NetworkID) || NetworkID || DADCounter
//
// with lengths and counter as 32 bits, big-endian; the interface identifier is
// its last 8 octets. This will never change. A reserved identifier
// (see [Reserved]) counts as taken, and that of the next DADCounter is returned
// instead.
//
// Errors match [ErrPrefixLength] and [ErrSecretLength].
func Stable(p StableParams) (netip.Addr, error) {
	upper, err := upperHalf(p.Prefix)
	if err != nil {
		return netip.Addr{}, err
	}
	if len(p.Secret) < 16 {
		return netip.Addr{}, fmt.Errorf("stable address in %s: %w (%d octets)", p.Prefix.Masked(), ErrSecretLength, len(p.Secret))
	}
	id := firstFree(p.DADCounter, func(counter uint32) [8]byte {
		b := append([]byte("sixhost RFC 7217 v1\x00"), upper[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.Interface)))
		b = append(b, p.Interface...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.NetworkID)))
		b = append(b, p.NetworkID...)
		b = binary.BigEndian.AppendUint32(b, counter)
		f := hmac.New(sha256.New, p.Secret)
		f.Write(b)
		return [8]byte(f.Sum(nil)[sha256.Size-8:])
	})
	return join(upper, id), nil
}

// firstFree returns the first identifier from counter on that isn't reserved.
func firstFree(counter uint32, id func(counter uint32) [8]byte) [8]byte {
	for {
		if i := id(counter); !Reserved(i) {
			return i
		}
		counter++
	}
}

// Reserved reports whether no host may use an interface identifier: those of
// RFC 5453 and its IANA registry, namely zero (subnet-router anycast, RFC 4291),
// 0200:5eff:fe00:0 to 0200:5eff:feff:ffff (IANA's Ethernet block) and
// fdff:ffff:ffff:ff80 to fdff:ffff:ffff:ffff (subnet anycast, RFC 2526).
func Reserved(id [8]byte) bool {
	n := binary.BigEndian.Uint64(id[:])
	return n == 0 ||
		n >= 0x02005efffe000000 && n <= 0x02005efffeffffff ||
		n >= 0xfdffffffffffff80 && n <= 0xfdffffffffffffff
}
