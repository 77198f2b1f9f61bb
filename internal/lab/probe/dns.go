package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// Record types (RFC 1035 3.2.2, RFC 3596 2.1).
const (
	TypeA     = 1
	TypeNS    = 2
	TypeCNAME = 5
	TypeSOA   = 6
	TypePTR   = 12
	TypeAAAA  = 28
)

// Response codes (RFC 1035 4.1.1).
const (
	NoError  = 0
	FormErr  = 1
	ServFail = 2
	NXDomain = 3
	NotImp   = 4
	Refused  = 5
)

// Answer is a DNS response.
type Answer struct {
	RCode              int
	Authoritative      bool
	Truncated          bool
	RecursionAvailable bool
	Authenticated      bool     // AD, RFC 4035 3.2.3
	Records            []Record // of the answer section, in its order
}

// Record is one resource record of an answer section.
type Record struct {
	Name   string // lower case, no final dot
	Type   uint16
	TTL    uint32     // seconds
	Addr   netip.Addr // of A and AAAA
	Target string     // of CNAME, NS and PTR; lower case, no final dot
}

// Addrs returns the addresses of one type that name leads to, CNAMEs followed.
func (a Answer) Addrs(name string, qtype uint16) []netip.Addr {
	name = canonical(name)
	for range a.Records { // each CNAME once at most: no loops
		next := ""
		for _, r := range a.Records {
			if r.Type == TypeCNAME && r.Name == name {
				next = r.Target
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	var addrs []netip.Addr
	for _, r := range a.Records {
		if r.Type == qtype && r.Name == name && r.Addr.IsValid() {
			addrs = append(addrs, r.Addr)
		}
	}
	return addrs
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// packQuery writes a recursive question (RFC 1035 4.1).
func packQuery(id uint16, name string, qtype uint16) ([]byte, error) {
	const recursionDesired = 0x0100
	b := binary.BigEndian.AppendUint16(nil, id)
	b = binary.BigEndian.AppendUint16(b, recursionDesired)
	b = append(b, 0, 1, 0, 0, 0, 0, 0, 0)
	if name = strings.TrimSuffix(name, "."); name != "" {
		for label := range strings.SplitSeq(name, ".") {
			if len(label) == 0 || len(label) > 63 {
				return nil, fmt.Errorf("name %q: label of %d bytes", name, len(label))
			}
			b = append(append(b, byte(len(label))), label...)
		}
	}
	if b = append(b, 0); len(b)-12 > 255 {
		return nil, fmt.Errorf("name %q is longer than 255 bytes", name)
	}
	b = binary.BigEndian.AppendUint16(b, qtype)
	return binary.BigEndian.AppendUint16(b, 1), nil
}

// errOther marks messages that are not the answer to the question asked.
var errOther = errors.New("answer to another question")

// parseAnswer reads a response. Responses with another ID or question match
// errOther, so that the caller goes on waiting for its own.
func parseAnswer(b []byte, id uint16, name string, qtype uint16) (Answer, error) {
	if len(b) < 12 || binary.BigEndian.Uint16(b) != id || b[2]&0x80 == 0 {
		return Answer{}, errOther
	}
	flags := binary.BigEndian.Uint16(b[2:])
	a := Answer{
		RCode:              int(flags & 15),
		Authoritative:      flags&0x0400 != 0,
		Truncated:          flags&0x0200 != 0,
		RecursionAvailable: flags&0x0080 != 0,
		Authenticated:      flags&0x0020 != 0,
	}
	at := 12
	for range binary.BigEndian.Uint16(b[4:]) {
		q, next, err := unpackName(b, at)
		if err != nil {
			return Answer{}, fmt.Errorf("question: %w", err)
		}
		if len(b) < next+4 {
			return Answer{}, errors.New("question is cut")
		}
		if q != canonical(name) || binary.BigEndian.Uint16(b[next:]) != qtype {
			return Answer{}, errOther
		}
		at = next + 4
	}
	for range binary.BigEndian.Uint16(b[6:]) {
		r, next, err := unpackRecord(b, at)
		if err != nil {
			if a.Truncated {
				return a, nil // whatever was cut off comes again over TCP
			}
			return Answer{}, fmt.Errorf("answer record %d: %w", len(a.Records)+1, err)
		}
		a.Records = append(a.Records, r)
		at = next
	}
	return a, nil
}

func unpackRecord(b []byte, at int) (Record, int, error) {
	name, at, err := unpackName(b, at)
	if err != nil {
		return Record{}, 0, err
	}
	if len(b) < at+10 {
		return Record{}, 0, errors.New("header is cut")
	}
	r := Record{Name: name, Type: binary.BigEndian.Uint16(b[at:]), TTL: binary.BigEndian.Uint32(b[at+4:])}
	start := at + 10
	end := start + int(binary.BigEndian.Uint16(b[at+8:]))
	if len(b) < end {
		return Record{}, 0, errors.New("data is cut")
	}
	switch data := b[start:end]; r.Type {
	case TypeA:
		if len(data) != 4 {
			return Record{}, 0, fmt.Errorf("address of %d bytes", len(data))
		}
		r.Addr = netip.AddrFrom4([4]byte(data))
	case TypeAAAA:
		if len(data) != 16 {
			return Record{}, 0, fmt.Errorf("address of %d bytes", len(data))
		}
		r.Addr = netip.AddrFrom16([16]byte(data))
	case TypeCNAME, TypeNS, TypePTR:
		var next int
		if r.Target, next, err = unpackName(b[:end], start); err != nil {
			return Record{}, 0, err
		}
		if next != end {
			return Record{}, 0, errors.New("name is shorter than its data")
		}
	}
	return r, end, nil
}

// unpackName reads a name with compression (RFC 1035 4.1.4) and returns where
// what follows it starts.
func unpackName(b []byte, at int) (string, int, error) {
	var name strings.Builder
	end, limit := -1, at
	for {
		if at >= len(b) {
			return "", 0, errors.New("name is cut")
		}
		n := int(b[at])
		switch {
		case n == 0:
			if end < 0 {
				end = at + 1
			}
			return strings.ToLower(name.String()), end, nil
		case n >= 0xc0:
			if at+1 >= len(b) {
				return "", 0, errors.New("name is cut")
			}
			to := (n&0x3f)<<8 | int(b[at+1])
			if end < 0 {
				end = at + 2
			}
			// Pointers lead to a prior occurrence: always further back, so
			// that this ends.
			if to >= limit {
				return "", 0, errors.New("name points forward")
			}
			at, limit = to, to
		case n > 63:
			return "", 0, errors.New("name has an unknown label type")
		default:
			if at+1+n > len(b) {
				return "", 0, errors.New("name is cut")
			}
			if name.Len() > 0 {
				name.WriteByte('.')
			}
			name.Write(b[at+1 : at+1+n])
			if name.Len() > 255 {
				return "", 0, errors.New("name is longer than 255 bytes")
			}
			at += 1 + n
		}
	}
}
