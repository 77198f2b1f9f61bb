package bridge

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// FuzzParse: whatever a message holds, reading it ends without a panic.
func FuzzParse(f *testing.F) {
	route := (&nl.RtMsg{RtMsg: unix.RtMsg{Family: unix.AF_INET6, Dst_len: 64, Table: 254, Type: 1}}).Serialize()
	addr := (&nl.IfAddrmsg{IfAddrmsg: unix.IfAddrmsg{Family: unix.AF_INET, Prefixlen: 32, Index: 2}}).Serialize()
	with := func(m []byte, kind int, b ...byte) []byte {
		return append(append([]byte(nil), m...), nl.NewRtAttr(kind, b).Serialize()...)
	}
	f.Add(route)
	f.Add(with(route, unix.RTA_DST, make([]byte, 16)...))
	f.Add(with(route, unix.RTA_METRICS, 8, 0, 2, 0, 0xdc, 5, 0, 0))
	f.Add(with(route, unix.RTA_MULTIPATH, 16, 0, 0, 0, 2, 0, 0, 0, 8, 0, 5, 0, 203, 0, 113, 1))
	f.Add(with(route, unix.RTA_MULTIPATH, 4, 0, 0, 0, 2, 0, 0, 0))
	f.Add(with(route, unix.RTA_VIA, 10))
	f.Add(with(addr, unix.IFA_LOCAL, 203, 0, 113, 10))
	f.Add(with(addr, unix.IFA_CACHEINFO, 1))
	f.Fuzz(func(t *testing.T, m []byte) {
		if r, err := parseRoute(m); err == nil && r.Family != 4 && r.Family != 6 {
			t.Errorf("family %d", r.Family)
		}
		if len(m) < unix.SizeofIfAddrmsg {
			return
		}
		a, err := parseAddr("enp2s0", nl.DeserializeIfAddrmsg(m), m[unix.SizeofIfAddrmsg:])
		if err == nil && !a.Prefix.Addr().IsValid() {
			t.Error("an address without one")
		}
	})
}
