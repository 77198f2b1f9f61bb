package siit

import "encoding/binary"

// icmpHead is the length of an ICMP error ahead of the packet inside it.
const icmpHead = 8

// error4to6 translates an ICMPv4 error with the packet inside it (RFC 7915,
// sections 4.2 and 4.3).
func (t *Translator) error4to6(dst []byte, p *packet, o Offload) (int, Result) {
	if !p.whole() {
		return 0, Result{Reason: FragmentedICMP}
	}
	if len(p.payload) < icmpHead+hdr4 {
		return 0, Result{Reason: Malformed}
	}
	datagram, extension := splitError(p.payload, int(p.payload[5])*4)
	in, res := parse4(datagram, true)
	if res.Reason != Translated {
		return 0, Result{Reason: res.Reason}
	}
	if in.proto == protoICMP4 && in.isICMPError() {
		return 0, Result{Reason: NestedError}
	}
	m, ok := t.icmp4to6(p.payload[0], p.payload[1], binary.BigEndian.Uint32(p.payload[4:]), int(binary.BigEndian.Uint16(datagram[2:])))
	if !ok {
		return 0, Result{Reason: Unsupported}
	}
	d6, r := mapTo6(t.Map, p.dst, Destination)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	ind6, r := mapTo6(t.Map, in.dst, InnerDestination)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	ins6, r := mapTo6(t.Map, in.src, InnerSource)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	s6, r := mapTo6(t.Map, p.src, ErrorSource)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	u, r := translateUpper(&in, true, fold(addrSum(ins6)+addrSum(ind6)), fold(addrSum(in.src)+addrSum(in.dst)), Offload{}, true)
	if r != Translated {
		return 0, Result{Reason: r}
	}

	// The result is built aside, as everything in it moves, and is short.
	var buf [minMTU6]byte
	body := buf[hdr6:]
	head := hdr6
	if in.frag {
		head += hdrFrag
		putFragment(body[icmpHead+hdr6:], u.proto, in.off, in.more, in.id)
	}
	next := u.proto
	if in.frag {
		next = protoFragment
	}
	t.put6(body[icmpHead:], &in, in.length+head-hdr6, next, ins6, ind6)
	if !extends6(m.Type) {
		extension = nil
	}
	n, units := joinError(body, head, in.payload, &u, extension, 8)
	putICMP(body, m)
	if units > 0 {
		body[4] = units
	}

	pseudo := fold(addrSum(s6) + addrSum(d6) + uint64(n) + protoICMP6)
	binary.BigEndian.PutUint16(body[2:], errorChecksum(p.payload, body[:n], 0, pseudo, o))
	t.put6(buf[:], p, n, protoICMP6, s6, d6)
	if hdr6+n > len(dst) {
		return 0, Result{Reason: NoSpace}
	}
	return copy(dst, buf[:hdr6+n]), Result{}
}

// error6to4 translates an ICMPv6 error with the packet inside it (RFC 7915,
// sections 5.2 and 5.3).
func (t *Translator) error6to4(dst []byte, p *packet, o Offload) (int, Result) {
	if !p.whole() {
		return 0, Result{Reason: FragmentedICMP}
	}
	if len(p.payload) < icmpHead+hdr6 {
		return 0, Result{Reason: Malformed}
	}
	units := 0
	if extends6(p.payload[0]) {
		units = int(p.payload[4])
	}
	datagram, extension := splitError(p.payload, units*8)
	in, res := parse6(datagram, true)
	if res.Reason != Translated {
		return 0, Result{Reason: res.Reason}
	}
	if in.proto == protoICMP6 && in.isICMPError() {
		return 0, Result{Reason: NestedError}
	}
	if hdr4+in.length > 65535 {
		return 0, Result{Reason: Malformed}
	}
	m, ok := t.icmp6to4(p.payload[0], p.payload[1], binary.BigEndian.Uint32(p.payload[4:]), in.frag)
	if !ok {
		return 0, Result{Reason: Unsupported}
	}
	d4, r := mapTo4(t.Map, p.dst, Destination)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	ins4, r := mapTo4(t.Map, in.src, InnerSource)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	ind4, r := mapTo4(t.Map, in.dst, InnerDestination)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	s4, r := mapTo4(t.Map, p.src, ErrorSource)
	if r != Translated {
		return 0, Result{Reason: r}
	}
	u, r := translateUpper(&in, false, fold(addrSum(ins4)+addrSum(ind4)), fold(addrSum(in.src)+addrSum(in.dst)), Offload{}, true)
	if r != Translated {
		return 0, Result{Reason: r}
	}

	var buf [maxError4]byte
	body := buf[hdr4:]
	t.put4(body[icmpHead:], &in, in.length, u.proto, ins4, ind4, true)
	n, lengthUnits := joinError(body, hdr4, in.payload, &u, extension, 4)
	putICMP(body, m)
	if lengthUnits > 0 {
		body[5] = lengthUnits
	}

	pseudo := fold(addrSum(p.src) + addrSum(p.dst) + uint64(p.length) + protoICMP6)
	binary.BigEndian.PutUint16(body[2:], errorChecksum(p.payload, body[:n], pseudo, 0, o))
	t.put4(buf[:], p, n, protoICMP4, s4, d4, false)
	if hdr4+n > len(dst) {
		return 0, Result{Reason: NoSpace}
	}
	return copy(dst, buf[:hdr4+n]), Result{}
}

// splitError cuts an ICMP error's body into the packet in error and the
// extension behind it (RFC 4884, section 3). length is what the message tells.
// Where that is zero or can't be, as with routers that leave rubbish in what
// was an unused field, there is no extension.
func splitError(payload []byte, length int) (datagram, extension []byte) {
	body := payload[icmpHead:]
	if length == 0 || length > len(body) {
		return body, nil
	}
	return body[:length], body[length:]
}

// joinError puts the packet in error, whose header of head octets is in place,
// and the extension together behind the ICMP header. Behind the packet in error
// an extension asks for padding to 128 octets at least, and to the family's
// unit (RFC 4884, sections 3 and 4). It returns the length of all, and of the
// packet in error in that unit, zero where there is no extension.
func joinError(body []byte, head int, payload []byte, u *upper, extension []byte, unit int) (n int, units uint8) {
	limit := len(body) - icmpHead
	padded := head + len(payload)
	if len(extension) > 0 {
		const atLeast = 128
		if atLeast+len(extension) > limit {
			extension = nil // longer than an ICMP error may be
		} else {
			limit = min(limit-len(extension), 255*unit) / unit * unit
			padded = min(max((padded+unit-1)/unit*unit, atLeast), limit)
		}
	}
	keep := min(len(payload), limit-head)
	at := body[icmpHead+head:]
	copy(at, payload[:keep])
	u.apply(at[:keep])
	if len(extension) == 0 {
		return icmpHead + head + keep, 0
	}
	copy(body[icmpHead+padded:], extension)
	return icmpHead + padded + len(extension), uint8(padded / unit)
}

// putICMP writes the head of an ICMP error with a zero checksum.
func putICMP(b []byte, m ICMP) {
	b[0], b[1], b[2], b[3] = m.Type, m.Code, 0, 0
	binary.BigEndian.PutUint32(b[4:], m.Info)
}

// extends6 reports whether an ICMPv6 error may have extensions, and then their
// length in its fifth octet (RFC 4884, section 4.1): the others use that for
// the MTU or the pointer.
func extends6(typ uint8) bool { return typ == icmp6Unreachable || typ == icmp6TimeExceeded }

// errorChecksum carries the checksum of an ICMP error over: the difference to
// the right one stays what it was.
func errorChecksum(old, changed []byte, oldPseudo, newPseudo uint16, o Offload) uint16 {
	if o.Partial {
		return newPseudo
	}
	field := binary.BigEndian.Uint16(old[2:])
	// sum(old) has the field in it.
	was := fold(uint64(sum(old)) + minus(field) + uint64(oldPseudo))
	return adjust(field, minus(was)+uint64(sum(changed))+uint64(newPseudo))
}
