package proxy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// What a ClientHello may measure. RFC 8446 has no bound below 2^24, but nothing
// honest comes near 64 KiB.
const (
	maxHello = 64 << 10
	// maxHelloRecords bounds the bytes on the wire, records' headers included:
	// a hello of usual size may come in records of one byte each.
	maxHelloRecords = maxHello + maxHello/2
)

// TLS constants (RFC 8446, 4, 5.1, 6, B).
const (
	recordAlert     = 21
	recordHandshake = 22
	recordHeader    = 5
	maxRecord       = 1 << 14

	messageClientHello = 1

	extensionServerName = 0
	nameTypeHost        = 0

	alertFatal            = 2
	alertUnexpected       = 10
	alertRecordOverflow   = 22
	alertDecodeError      = 50
	alertInternalError    = 80
	alertUnrecognizedName = 112
)

// helloError is why bytes are no ClientHello, with the alert to send; alert 0
// means that they are not TLS at all and nothing is sent.
type helloError struct {
	alert  byte
	reason string
}

func (e *helloError) Error() string { return "ClientHello: " + e.reason }

// errNotTLS is what plain HTTP on the TLS port gives, for example.
var errNotTLS = errors.New("not TLS")

func (e *helloError) Is(target error) bool { return target == errNotTLS && e.alert == 0 }

// hello follows a ClientHello as it arrives. The zero value is ready.
type hello struct {
	at   int // offset of the next record's header
	have int // bytes of the handshake message in the records before that
	need int // bytes it has, with its own header; 0 until that is known
}

// next looks at all that was received so far, which only ever grows, and
// reports whether the ClientHello is complete. It reads every byte about once,
// however small the pieces.
func (h *hello) next(received []byte) (complete bool, err error) {
	for len(received)-h.at >= recordHeader {
		r := received[h.at:]
		if r[0] != recordHandshake || r[1] != 3 {
			if h.at == 0 {
				return false, &helloError{0, "does not begin with a TLS handshake record"}
			}
			return false, &helloError{alertUnexpected, "interrupted by another record"}
		}
		n := int(binary.BigEndian.Uint16(r[3:]))
		switch {
		case n == 0:
			return false, &helloError{alertUnexpected, "empty handshake record"} // RFC 8446, 5.1
		case n > maxRecord:
			return false, &helloError{alertRecordOverflow, "record is too long"}
		}
		if h.need == 0 {
			if head, ok := peekBody(received, h.at); ok {
				if head[0] != messageClientHello {
					return false, &helloError{alertUnexpected, "another handshake message"}
				}
				h.need = 4 + int(head[1])<<16 + int(head[2])<<8 + int(head[3])
				if h.need > maxHello {
					return false, &helloError{alertDecodeError, fmt.Sprintf("longer than %d bytes", maxHello)}
				}
			}
		}
		if h.need > 0 && h.have+len(r)-recordHeader >= h.need && h.have+n >= h.need {
			if h.at+recordHeader+h.need-h.have > maxHelloRecords {
				return false, tooManyRecords()
			}
			return true, nil
		}
		if len(r) < recordHeader+n {
			break
		}
		h.have += n
		h.at += recordHeader + n
	}
	if len(received) > 0 && h.at == 0 && (received[0] != recordHandshake || len(received) > 1 && received[1] != 3) {
		return false, &helloError{0, "does not begin with a TLS handshake record"}
	}
	if len(received) > maxHelloRecords {
		return false, tooManyRecords()
	}
	return false, nil
}

func tooManyRecords() error { return &helloError{alertDecodeError, "cut into too many records"} }

// peekBody returns the four bytes of the handshake message's header, if they
// are there, in the records up to and with the one at offset last.
func peekBody(received []byte, last int) ([4]byte, bool) {
	var head [4]byte
	n := 0
	for at := 0; at <= last && len(received)-at >= recordHeader; {
		length := int(binary.BigEndian.Uint16(received[at+3:]))
		body := received[at+recordHeader:]
		n += copy(head[n:], body[:min(length, len(body))])
		if n == len(head) {
			return head, true
		}
		at += recordHeader + length
	}
	return head, false
}

// message puts a complete ClientHello together from its records.
func message(received []byte) []byte {
	var body []byte
	for at := 0; len(received)-at >= recordHeader; {
		length := int(binary.BigEndian.Uint16(received[at+3:]))
		rest := received[at+recordHeader:]
		body = append(body, rest[:min(length, len(rest))]...)
		at += recordHeader + length
	}
	return body
}

// serverName reads the name from a complete ClientHello message, header
// included, in lower case and without a final dot; "" if there is none.
//
// With Encrypted Client Hello this is the outer name, the public_name of the
// configuration; there is nothing else to go by.
func serverName(msg []byte) (string, error) {
	malformed := func(what string) (string, error) {
		return "", &helloError{alertDecodeError, what + " is malformed"}
	}
	r := reader(msg)
	if _, ok := r.take(1); !ok {
		return malformed("header")
	}
	size, ok := r.uint(3)
	if !ok || size > len(r) {
		return malformed("header")
	}
	r = r[:size]
	if _, ok := r.take(2 + 32); !ok { // legacy_version, random
		return malformed("random")
	}
	for _, part := range []struct {
		name        string
		lengthBytes int
	}{{"session ID", 1}, {"list of cipher suites", 2}, {"list of compression methods", 1}} {
		if _, ok := r.vector(part.lengthBytes); !ok {
			return malformed(part.name)
		}
	}
	if len(r) == 0 {
		return "", nil // no extensions at all (RFC 8446, 4.1.2)
	}
	extensions, ok := r.vector(2)
	if !ok || len(r) != 0 {
		return malformed("list of extensions")
	}
	name, seen := "", false
	for len(extensions) > 0 {
		kind, ok := extensions.uint(2)
		if !ok {
			return malformed("extension")
		}
		data, ok := extensions.vector(2)
		if !ok {
			return malformed("extension")
		}
		if kind != extensionServerName {
			continue
		}
		if seen {
			return malformed("second server name extension") // RFC 8446, 4.2
		}
		seen = true
		list, ok := data.vector(2) // RFC 6066, 3
		if !ok || len(data) != 0 || len(list) == 0 {
			return malformed("server name")
		}
		for len(list) > 0 {
			kind, ok := list.uint(1)
			if !ok {
				return malformed("server name")
			}
			host, ok := list.vector(2)
			if !ok {
				return malformed("server name")
			}
			if kind != nameTypeHost {
				continue
			}
			if name != "" {
				return malformed("server name") // one per type at most
			}
			if name, ok = canonicalHost(string(host)); !ok {
				return malformed("server name")
			}
		}
	}
	return name, nil
}

// reader takes TLS's presentation language apart (RFC 8446, 3).
type reader []byte

func (r *reader) take(n int) (reader, bool) {
	if n > len(*r) {
		return nil, false
	}
	b := (*r)[:n]
	*r = (*r)[n:]
	return b, true
}

func (r *reader) uint(size int) (int, bool) {
	b, ok := r.take(size)
	v := 0
	for _, c := range b {
		v = v<<8 | int(c)
	}
	return v, ok
}

// vector takes a length of so many bytes and what it counts.
func (r *reader) vector(lengthBytes int) (reader, bool) {
	n, ok := r.uint(lengthBytes)
	if !ok {
		return nil, false
	}
	return r.take(n)
}

// canonicalHost checks that a name can be one of a host, and returns it in
// lower case without a final dot. Underscores are let through: they are wrong
// in host names and used in them.
func canonicalHost(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", false
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return "", false
			}
		}
	}
	return strings.ToLower(name), true
}

// alertRecord is a fatal alert in a record of its own (RFC 8446, 6).
func alertRecord(description byte) []byte {
	return []byte{recordAlert, 3, 3, 0, 2, alertFatal, description}
}
