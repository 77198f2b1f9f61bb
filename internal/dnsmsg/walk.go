package dnsmsg

import (
	"encoding/binary"
	"fmt"
)

// section of a message, as RFC 1035, 4.1 has them after the question.
type section int

const (
	answer section = iota
	authority
	additional
)

// record is where one resource record lies in a message.
type record struct {
	section section
	rrtype  uint16
	name    int // offset of the owner's name
	ttl     int // offset of the TTL
}

// walk visits every resource record without looking into its data, and returns
// the offset after the last one.
func walk(b []byte, visit func(record) error) (int, error) {
	if len(b) < headerLen {
		return 0, fmt.Errorf("%w: %d bytes are no header", ErrMessage, len(b))
	}
	off := headerLen
	for range binary.BigEndian.Uint16(b[4:]) {
		var err error
		if off, err = skipName(b, off); err != nil {
			return 0, err
		}
		if off += 4; off > len(b) { // QTYPE, QCLASS
			return 0, fmt.Errorf("%w: question is cut off", ErrMessage)
		}
	}
	for s := answer; s <= additional; s++ {
		for range binary.BigEndian.Uint16(b[6+2*int(s):]) {
			end, err := skipName(b, off)
			if err != nil {
				return 0, err
			}
			if end+10 > len(b) { // TYPE, CLASS, TTL, RDLENGTH
				return 0, fmt.Errorf("%w: record is cut off", ErrMessage)
			}
			r := record{section: s, rrtype: binary.BigEndian.Uint16(b[end:]), name: off, ttl: end + 4}
			if off = end + 10 + int(binary.BigEndian.Uint16(b[end+8:])); off > len(b) {
				return 0, fmt.Errorf("%w: record is cut off", ErrMessage)
			}
			if err := visit(r); err != nil {
				return 0, err
			}
		}
	}
	return off, nil
}

// skipName returns the offset after the name at off (RFC 1035, 4.1.4), without
// following a compression pointer.
func skipName(b []byte, off int) (int, error) {
	for off < len(b) {
		switch n := int(b[off]); {
		case n == 0:
			return off + 1, nil
		case n&0xc0 == 0xc0:
			if off+2 > len(b) {
				return 0, fmt.Errorf("%w: name is cut off", ErrMessage)
			}
			return off + 2, nil
		case n&0xc0 != 0:
			return 0, fmt.Errorf("%w: label of unknown kind", ErrMessage)
		default:
			off += 1 + n
		}
	}
	return 0, fmt.Errorf("%w: name is cut off", ErrMessage)
}
