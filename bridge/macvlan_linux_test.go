package bridge_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/bridge"
)

// TestMacvlans: a macvlan is refused as uplink, naming the NIC below it, and so
// is a NIC with one on top, of which the kernel would make no port.
func TestMacvlans(t *testing.T) {
	r := newServer(t, "addr add 2001:db8:1:3::2/64 dev "+nic, "link add mv0 link "+nic+" type macvlan mode bridge", "link set mv0 up", "addr add 2001:db8:1:4::2/64 dev mv0")
	waitSettled(t, r.server)
	refused := func(uplink string, sentinel error, want string) {
		t.Helper()
		var there bridge.State
		r.in(t, func() (err error) {
			there, err = bridge.Capture(t.Context(), bridge.Scope{Uplink: uplink, Bridge: "br0"})
			return err
		})
		if _, err := (bridge.Config{Uplink: uplink}).State(there); !errors.Is(err, sentinel) || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	refused("mv0", bridge.ErrNotEthernet, "uplink mv0: is a macvlan on "+nic+", and gets only what is for its own address, not what a bridge is for; name "+nic)
	refused(nic, bridge.ErrUnsupportedSetup, "uplink "+nic+": the macvlan mv0 stands on it; that can't be moved to a bridge")

	// The kernel agrees.
	batch(t, r.server, []string{"link add br0 type bridge"})
	if out, err := ipTry(t, r.server, "link", "set", nic, "master", "br0"); err == nil {
		t.Errorf("the kernel makes a port of the NIC below a macvlan: %s", out)
	}
	batch(t, r.server, []string{"link del mv0", "link del br0"})
	if _, err := (bridge.Config{Uplink: nic}).State(r.capture(t)); err != nil {
		t.Errorf("without the macvlan: %v", err)
	}
}
