package proof

import (
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/slaac"
)

// TestFallsBackFromLoadedProgram: where the program can be loaded and not be
// attached, nftables counts, and is read.
func TestFallsBackFromLoadedProgram(t *testing.T) {
	nstest.RequireRoot(t)
	n := newNetwork(t)
	// It takes clsact's place and has no egress.
	nstest.Output(t, n.ns, nstest.Tool(t, "tc"), "qdisc", "add", "dev", "enp2s0", "ingress")
	var c *Counter
	nstest.Do(t, n.ns, func() (err error) {
		c, err = newCounter(config(), clsact, byNft)
		return err
	})
	t.Cleanup(func() { c.Close() })
	if c.Method() != byNft {
		t.Errorf("it counts by %s", c.Method())
	}
	before := read(t, c)
	n.send(t, n.up, frame(slaac.MAC{0x52, 0x54, 0, 0, 0, 1}, ip("2001:db8:1:3::2"), ip("2001:db8:2::9"), 128))
	if got := read(t, c); got.Frames == before.Frames || got.ForeignSource == before.ForeignSource {
		t.Errorf("a foreign frame was not counted: %s", got)
	}
}
