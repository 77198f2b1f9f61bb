package bridge

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// attribute is one of a netlink message.
type attribute struct {
	kind  uint16
	value []byte
}

// attributes reads them. The library's reader runs beyond the end of a message
// whose last attribute is not padded.
func attributes(b []byte) (list []attribute, err error) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return nil, fmt.Errorf("an attribute of %d octets in %d", n, len(b))
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		list = append(list, attribute{kind, b[unix.SizeofRtAttr:n]})
		b = b[min(len(b), (n+3)&^3):]
	}
	return list, nil
}
