package lab

import (
	"net/netip"
	"testing"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// The example of RFC 4291 appendix A has the MAC 34-56-78-9A-BC-DE.
func TestAddressesOfMACs(t *testing.T) {
	mac := wire.MAC{0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde}
	if got, want := linkLocal(mac), netip.MustParseAddr("fe80::3656:78ff:fe9a:bcde"); got != want {
		t.Errorf("link-local %v, want %v", got, want)
	}
	if got, want := predicted(ServerIPv6(), mac), netip.MustParseAddr("2001:db8:1:3:3656:78ff:fe9a:bcde"); got != want {
		t.Errorf("global %v, want %v", got, want)
	}
}

func TestInternetIsWhereItShouldBe(t *testing.T) {
	for _, p := range internet() {
		if p.v4.IsValid() && !InternetIPv4().Contains(p.v4) || p.v6.IsValid() && !InternetIPv6().Contains(p.v6) {
			t.Errorf("%s is at %v, %v", p.name, p.v4, p.v6)
		}
	}
	if ServerIPv6().Masked().Overlaps(InternetIPv6()) {
		t.Error("the server's prefix is in the Internet behind the provider")
	}
}
