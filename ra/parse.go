package ra

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/ndp"
)

// Reasons to discard a message, to match with errors.Is.
var (
	// ErrHopLimit: the hop limit isn't 255, so that a router may have passed
	// the message on (RFC 4861, sections 6.1.1 and 6.1.2).
	ErrHopLimit = errors.New("hop limit is not 255")
	// ErrFragmented: the message came in fragments (RFC 6980, section 5).
	ErrFragmented = errors.New("came in fragments")
	// ErrSource: an advertisement isn't from a link-local address, or a
	// solicitation is neither from a unicast nor from the unspecified one.
	ErrSource = errors.New("source address is not allowed")
	// ErrUnspecifiedLLA: a solicitation from the unspecified address has a
	// source link-layer address option.
	ErrUnspecifiedLLA = errors.New("link-layer address option from the unspecified address")
	// ErrMalformed: the type, the code or a length is wrong.
	ErrMalformed = errors.New("malformed message")
)

const (
	// ICMPv6 types of RFC 4861, sections 4.1 and 4.2.
	typeSolicitation  = 133
	typeAdvertisement = 134
	// typeReport is a listener report of MLDv2 (RFC 3810, section 5.2).
	typeReport = 143
	// solicitationLen is the length of a solicitation before its options.
	solicitationLen = 8
	// optSourceLLA is RFC 4861's, section 4.6.1.
	optSourceLLA = 1
	// optRoute is RFC 4191's, section 2.3.
	optRoute = 24
	// hopLimit of every neighbour discovery message (RFC 4861, section 3.1).
	hopLimit = 255
)

// eachOption calls fn for the octets of every option. An option of length 0,
// or beyond the end, makes the whole message invalid (RFC 4861, section 4.6).
func eachOption(b []byte, fn func(option []byte)) error {
	for len(b) > 0 {
		if len(b) < 8 {
			return fmt.Errorf("%w: %d octets after the last option", ErrMalformed, len(b))
		}
		n := int(b[1]) * 8
		if n == 0 || n > len(b) {
			return fmt.Errorf("%w: option %d has length %d, with %d octets left", ErrMalformed, b[0], n, len(b))
		}
		fn(b[:n])
		b = b[n:]
	}
	return nil
}

// ParseSolicitation checks a router solicitation, from its ICMPv6 type on, by
// the rules of RFC 4861, section 6.1.1, but for the checksum, which the kernel
// has checked. The error matches [ErrMalformed], [ErrSource] or
// [ErrUnspecifiedLLA].
func ParseSolicitation(b []byte, from netip.Addr) error {
	if len(b) < solicitationLen {
		return fmt.Errorf("%w: solicitation of %d octets", ErrMalformed, len(b))
	}
	if b[0] != typeSolicitation || b[1] != 0 {
		return fmt.Errorf("%w: type %d code %d is no solicitation", ErrMalformed, b[0], b[1])
	}
	if !from.Is6() || from.IsMulticast() || from.IsLoopback() {
		return fmt.Errorf("%w: solicitation from %s", ErrSource, from)
	}
	lla := false
	if err := eachOption(b[solicitationLen:], func(o []byte) { lla = lla || o[0] == optSourceLLA }); err != nil {
		return err
	}
	if lla && from.IsUnspecified() {
		return ErrUnspecifiedLLA
	}
	return nil
}

// Parse reads a router advertisement from its ICMPv6 type on. An option that
// can't be understood is kept as an *ndp.RawOption, as one bad option must not
// hide the others; the error is for messages that are invalid as a whole, and
// matches [ErrMalformed].
func Parse(b []byte) (*ndp.RouterAdvertisement, error) {
	if len(b) < headerLen {
		return nil, fmt.Errorf("%w: advertisement of %d octets", ErrMalformed, len(b))
	}
	if b[0] != typeAdvertisement || b[1] != 0 {
		return nil, fmt.Errorf("%w: type %d code %d is no advertisement", ErrMalformed, b[0], b[1])
	}
	header := slices.Clone(b[:headerLen])
	// RFC 4191, section 2.2: the reserved value 10 means medium, and no value
	// counts without a router lifetime. Package ndp refuses the former.
	if header[5]>>3&3 == 2 {
		header[5] &^= 3 << 3
	}
	m, err := ndp.ParseMessage(header)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	ra, ok := m.(*ndp.RouterAdvertisement)
	if !ok {
		return nil, fmt.Errorf("%w: read as a %T", ErrMalformed, m)
	}
	if err := eachOption(b[headerLen:], func(o []byte) { ra.Options = append(ra.Options, parseOption(o)) }); err != nil {
		return nil, err
	}
	return ra, nil
}

// parseOption reads one option whose length field is right.
func parseOption(o []byte) ndp.Option {
	if o[0] == optRoute {
		if r, ok := parseRoute(o); ok {
			return r
		}
		return rawOption(o)
	}
	b := make([]byte, solicitationLen, solicitationLen+len(o))
	b[0] = typeSolicitation
	m, err := ndp.ParseMessage(append(b, o...))
	if err != nil {
		return rawOption(o)
	}
	rs, ok := m.(*ndp.RouterSolicitation)
	if !ok || len(rs.Options) != 1 {
		return rawOption(o)
	}
	return rs.Options[0]
}

func rawOption(o []byte) *ndp.RawOption {
	return &ndp.RawOption{Type: o[0], Length: o[1], Value: slices.Clone(o[2:])}
}

// parseRoute reads a route information option. Package ndp loses the last bits
// of prefixes whose length is no multiple of 8.
func parseRoute(o []byte) (*ndp.RouteInformation, bool) {
	bits := int(o[2])
	// RFC 4191, section 2.3: 1, 2 or 3 units hold 0, 64 or 128 bits of prefix.
	if bits > 128 || len(o) > 24 || bits > (len(o)-8)*8 {
		return nil, false
	}
	pref := Preference(o[3] >> 3 & 3)
	if pref != Low && pref != Medium && pref != High {
		// The reserved value: the option MUST be ignored.
		return nil, false
	}
	var a [16]byte
	copy(a[:], o[8:])
	return &ndp.RouteInformation{
		PrefixLength:  uint8(bits),
		Preference:    pref,
		RouteLifetime: time.Duration(binary.BigEndian.Uint32(o[4:8])) * time.Second,
		Prefix:        netip.PrefixFrom(netip.AddrFrom16(a), bits).Masked().Addr(),
	}, true
}
