package gateway

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/nat64/gateway/fastpath"
	"github.com/sixhost/sixhost/plan"
)

// newFastNetwork has the fast path too.
func newFastNetwork(t *testing.T) *network {
	pins := nstest.BPFFS(t) + "/nat64"
	n := newNetwork(t)
	n.cfg.Pins = pins
	return n
}

// fastAttached fails the test unless the fast path is on.
func (n *network) fastAttached(t *testing.T) {
	t.Helper()
	if s := n.capture(t); s.Fast == nil || !s.Fast.Attached {
		t.Fatalf("no fast path: %s", s.NoFast)
	}
}

// Bulk goes by the fast path, and the first packet only by the other.
func TestFastTraffic(t *testing.T) {
	n := newFastNetwork(t)
	n.apply(t)
	n.fastAttached(t)
	if k := n.apply(t); k != 0 {
		t.Errorf("second plan has %d steps", k)
	}
	g, _ := n.serve(t)
	n.fetch(t, 8<<20)
	s := g.Stats()
	if s.Path != PathFast || s.FastPathError != nil {
		t.Fatalf("path %s: %v", s.Path, s.FastPathError)
	}
	if s.To6.FastOctets < 8<<20 || s.To4.FastPackets == 0 || s.To6.Packets > 2 || s.To4.Packets > 2 {
		t.Errorf("%+v %+v", s.To4, s.To6)
	}
	// A ping is one packet there and one back, once the fetch's last
	// acknowledgements have gone by.
	for deadline := time.Now().Add(20 * time.Second); ; {
		s = g.Stats()
		if _, m := icmp6(t, n.guest, testWeb6, 100, 5*time.Second); m == nil {
			t.Error("no answer to a ping")
		}
		after := g.Stats()
		if after.To4.FastPackets == s.To4.FastPackets+1 && after.To6.FastPackets == s.To6.FastPackets+1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a ping: %+v %+v, before it %+v %+v", after.To4, after.To6, s.To4, s.To6)
		}
	}
	// Hops are counted as on the portable path.
	if from := timeExceeded(t, n.guest, 2); from != netip.MustParseAddr(testHost6) && !n.cfg.Prefix.Contains(from) {
		t.Errorf("second hop is %s", from)
	}
	// A destination that is refused stays so, and is answered.
	if _, m := icmp6(t, n.guest, "64:ff9b::10.0.0.1", 10, 5*time.Second); m == nil || m.Code != 1 {
		t.Errorf("refused destination: %+v", m)
	}
	if got := g.Stats().Fast.To4[fastpath.Refused].Packets; got != 1 {
		t.Errorf("%d refused packets left to the portable path", got)
	}
}

// The host's own filter sees what the programs translated.
func TestFastUnderFirewall(t *testing.T) {
	n := newFastNetwork(t)
	n.apply(t)
	file := t.TempDir() + "/firewall.nft"
	if err := os.WriteFile(file, []byte(`table inet admin {
		counter new { }
		counter answers { }
		chain forward {
			type filter hook forward priority 10; policy drop;
			meta nfproto ipv6 accept
			iifname "nat64" ct state new counter name new accept
			ct state established,related counter name answers accept
		}
	}`), 0o600); err != nil {
		t.Fatal(err)
	}
	nstest.Output(t, n.host, "nft", "-f", file)
	g, _ := n.serve(t)
	icmp6(t, n.guest, testWeb6, 10, 5*time.Second) // so that there is a mapping
	before := g.Stats()
	n.fetch(t, 1<<20)
	after := g.Stats()
	if after.To4.Packets != before.To4.Packets || after.To6.FastOctets < 1<<20 {
		t.Errorf("not by the fast path: %+v", after)
	}
	out := nstest.Output(t, n.host, "nft", "list", "counters", "table", "inet", "admin")
	if strings.Contains(out, "packets 0 ") {
		t.Errorf("not seen:\n%s", out)
	}
	// And it can refuse them.
	nstest.Output(t, n.host, "nft", "flush", "chain", "inet", "admin", "forward")
	nstest.Output(t, n.host, "nft", "add", "rule", "inet", "admin", "forward", "meta", "nfproto", "ipv6", "accept")
	if _, m := icmp6(t, n.guest, testWeb6, 10, 300*time.Millisecond); m != nil {
		t.Errorf("came through: %+v", m)
	}
}

// Where BPF can't be had the same plan works without it, and says why.
func TestNoFastPath(t *testing.T) {
	n := newNetwork(t)
	n.cfg.Pins = t.TempDir() + "/nat64"
	n.apply(t)
	if k := n.apply(t); k != 0 {
		t.Errorf("second plan has %d steps", k)
	}
	if s := n.capture(t); s.Fast != nil || s.NoFast == "" {
		t.Errorf("%+v", s)
	}
	g, _ := n.serve(t)
	n.fetch(t, 1<<20)
	s := g.Stats()
	if s.Path != PathPortable || !errors.Is(s.FastPathError, ErrNoFastPath) || !errors.Is(s.FastPathError, fastpath.ErrUnavailable) {
		t.Errorf("path %s: %v", s.Path, s.FastPathError)
	}
	if s.To6.FastPackets != 0 || s.To6.Packets == 0 {
		t.Errorf("%+v", s.To6)
	}
}

// What a plan made, a plan removes.
func TestFastRestores(t *testing.T) {
	n := newFastNetwork(t)
	before := n.capture(t)
	n.apply(t)
	n.fastAttached(t)
	captured, err := plan.Capture(Part, before)
	if err != nil {
		t.Fatal(err)
	}
	// Somebody else's hands.
	for _, harm := range []string{"ip link del nat64", "rm " + n.cfg.Pins + "/link_to4", "rm " + n.cfg.Pins + "/about"} {
		f := strings.Fields(harm)
		nstest.Output(t, n.host, f[0], f[1:]...)
		if n.apply(t) == 0 {
			t.Errorf("%s: not found", harm)
		}
		n.fastAttached(t)
		if k := n.apply(t); k != 0 {
			t.Errorf("%s: second plan has %d steps", harm, k)
		}
	}
	nstest.Do(t, n.host, func() error {
		return plan.Restore(context.Background(), []plan.Captured{captured}, []plan.Restorer{Restorer()})
	})
	if s := n.capture(t); s.Fast != nil || s.Link != nil || s.Table != nil || len(s.Routes) != 0 {
		t.Errorf("left: %+v", s)
	}
	if _, err := os.Lstat(n.cfg.Pins); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pins are left: %v", err)
	}
}

// numbered sends numbered datagrams from the guest to an echo in the Internet,
// and counts those that don't come back.
type numbered struct {
	sent, back atomic.Int64
	stop       context.CancelFunc
	done       chan struct{}
}

func (n *network) numbered(t *testing.T) *numbered {
	s := n.packetConn(t, n.web, "udp4", testWeb+":0")
	s.SetDeadline(time.Time{})
	go func() {
		buf := make([]byte, 100)
		for {
			k, from, err := s.ReadFrom(buf)
			if err != nil {
				return
			}
			s.WriteTo(buf[:k], from)
		}
	}()
	c := n.dial(t, n.guest, "udp6", fmt.Sprintf("[%s]:%d", testWeb6, s.LocalAddr().(*net.UDPAddr).Port))
	c.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(context.Background())
	u := &numbered{stop: cancel, done: make(chan struct{})}
	t.Cleanup(cancel)
	go func() {
		buf := make([]byte, 100)
		for {
			if _, err := c.Read(buf); errors.Is(err, net.ErrClosed) {
				return
			} else if err == nil {
				u.back.Add(1)
			}
		}
	}()
	go func() {
		defer close(u.done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				k := u.sent.Add(1)
				c.Write(binary.BigEndian.AppendUint64(nil, uint64(k)))
			}
		}
	}()
	return u
}

// lost stops sending and returns how many were lost.
func (u *numbered) lost() (lost, sent int64) {
	u.stop()
	<-u.done
	for limit := time.Now().Add(5 * time.Second); time.Now().Before(limit) && u.back.Load() < u.sent.Load(); {
		time.Sleep(time.Millisecond)
	}
	return u.sent.Load() - u.back.Load(), u.sent.Load()
}

// waitBack waits until n more have come back.
func (u *numbered) waitBack(t *testing.T, n int64) {
	t.Helper()
	want := u.back.Load() + n
	for limit := time.Now().Add(20 * time.Second); u.back.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("%d of %d datagrams came back", u.back.Load(), u.sent.Load())
		}
	}
}

// childEnv tells the test binary to be a gateway's process.
const childEnv = "SIXHOST_TEST_GATEWAY_PINS"

// TestChild is no test: it serves, in the namespace it was started in, until
// it is killed.
func TestChild(t *testing.T) {
	pins := os.Getenv(childEnv)
	if pins == "" {
		return
	}
	cfg := sampleConfig()
	cfg.Pins = pins
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("path %s\n", g.Stats().Path)
	g.Run(context.Background())
}

// process serves in a process of its own, and returns once it does.
func (n *network) process(t *testing.T) (kill func()) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run", "^TestChild$", "-test.v")
	cmd.Env = append(os.Environ(), childEnv+"="+n.cfg.Pins)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := n.host.Start(cmd); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if !killed {
			killed = true
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	t.Cleanup(kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "path ") {
			if !strings.Contains(lines.Text(), "path fast") {
				t.Fatalf("the process says %q", lines.Text())
			}
			go io.Copy(io.Discard, out)
			return kill
		}
	}
	t.Fatal("the process does not serve")
	return nil
}

// No packet of an established flow is lost by kill -9, a restart, and an upgrade
// to other programs.
func TestKilledAndUpgraded(t *testing.T) {
	n := newFastNetwork(t)
	n.apply(t)
	kill := n.process(t)
	u := n.numbered(t)
	u.waitBack(t, 100)
	for range 2 {
		kill()
		u.waitBack(t, 200) // nobody serves
		kill = n.process(t)
		u.waitBack(t, 200)
		// Other programs, as after an upgrade of the package: the plan finds them.
		there := n.capture(t)
		there.Fast.Version = "older"
		want, err := n.cfg.State(there)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Plan(there, want)
		if err != nil || len(p.Steps) != 1 || !strings.Contains(p.Steps[0].Text, "without a gap") {
			t.Fatalf("%v %v", p, err)
		}
		nstest.Do(t, n.host, func() error { return p.Run(context.Background(), plan.Apply, nil) })
		u.waitBack(t, 200)
	}
	kill()
	n.fastAttached(t)
	if lost, sent := u.lost(); lost != 0 {
		t.Errorf("%d of %d datagrams were lost", lost, sent)
	}
}

// A flow goes on while the paths are changed under it, in the middle of bulk
// too.
func TestSwitchingPaths(t *testing.T) {
	n := newFastNetwork(t)
	n.apply(t)
	g, _ := n.serve(t)
	l := n.listen(t, n.web, "tcp4", testWeb+":0")
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(c, c)
	}()
	c := n.dial(t, n.guest, "tcp6", fmt.Sprintf("[%s]:%d", testWeb6, l.Addr().(*net.TCPAddr).Port))
	const size = 64 << 20
	want := content(size)
	go func() {
		c.Write(want)
		c.(*net.TCPConn).CloseWrite()
	}()
	got := make([]byte, 0, size)
	buf := make([]byte, 1<<18)
	for next, on := size/16, true; ; {
		k, err := c.Read(buf)
		got = append(got, buf[:k]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("after %d octets: %v", len(got), err)
		}
		if len(got) < next {
			continue
		}
		next += size / 16
		on = !on
		there := n.capture(t)
		want, err := n.cfg.State(there)
		if err != nil {
			t.Fatal(err)
		}
		if !on {
			want.Fast = nil
		}
		p, err := Plan(there, want)
		if err != nil || len(p.Steps) != 1 {
			t.Fatalf("%v %v", p, err)
		}
		nstest.Do(t, n.host, func() error { return p.Run(context.Background(), plan.Apply, nil) })
		if on {
			g.refollow() // what Run does within a second
		}
	}
	if string(got) != string(want) {
		t.Errorf("%d octets came back, and not those that were sent", len(got))
	}
	if s := g.Stats(); s.To4.FastPackets == 0 || s.To4.Packets == 0 {
		t.Errorf("not by both paths: %+v", s.To4)
	}
}
