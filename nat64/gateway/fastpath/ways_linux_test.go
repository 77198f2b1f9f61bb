package fastpath

import (
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/sixhost/sixhost/internal/nstest"
)

// filters is what tc shows at the guests' link.
func (s *stage) filters(t *testing.T) string {
	t.Helper()
	return nstest.Output(t, s.host, "tc", "filter", "show", "dev", "vnet0", "ingress")
}

// Of clsact only our own filters are touched, and its qdisc stays.
func TestClsactOfOthers(t *testing.T) {
	s := newStageBy(t, wayClsact, "64:ff9b::/96", false)
	other := s.pinnedOther(t)
	s.sh(t, s.host, "tc filter add dev vnet0 ingress protocol all pref 7 handle 0x7 bpf object-pinned "+other+" direct-action")
	before := s.filters(t)
	for _, want := range []string{"pref 7", "pref 25700", "handle 0x64", filterName, "direct-action"} {
		if !strings.Contains(before, want) {
			t.Errorf("no %q in\n%s", want, before)
		}
	}
	nstest.Do(t, s.host, s.attach)
	s.ping(t)
	nstest.Do(t, s.host, func() error { return Detach(s.dir) })
	after := s.filters(t)
	if strings.Contains(after, filterName) || !strings.Contains(after, "pref 7") {
		t.Errorf("left:\n%s", after)
	}
	if q := nstest.Output(t, s.host, "tc", "qdisc", "show", "dev", "nat64"); !strings.Contains(q, "clsact") {
		t.Errorf("the qdisc is gone:\n%s", q)
	}

	// A filter of somebody else's at our place is not ours to replace.
	s.sh(t, s.host, "tc filter add dev vnet0 ingress protocol all pref 25700 handle 0x64 bpf object-pinned "+other+" direct-action")
	nstest.Do(t, s.host, func() error {
		err := s.attach()
		if err == nil || !strings.Contains(err.Error(), "somebody else's") {
			t.Errorf("attached over another's filter: %v", err)
		}
		return nil
	})
	if now := s.filters(t); !strings.Contains(now, "pref 25700") || strings.Contains(now, filterName) {
		t.Errorf("changed:\n%s", now)
	}
}

// pinnedOther pins a program of somebody else's, which lets everything go on.
func (s *stage) pinnedOther(t *testing.T) string {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "other", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm32(asm.R0, -1), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	path := s.dir + "_other"
	if err := p.Pin(path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(path) })
	return path
}

// From one way to the other, as after a change of the kernel that kept the pins:
// one copy of each program runs, and knows the mappings.
func TestOtherWay(t *testing.T) {
	all := ways()
	if len(all) < 2 {
		t.Skip("this kernel has one way: ", all)
	}
	s := newStageBy(t, all[1], "64:ff9b::/96", false)
	for _, way := range []string{all[0], all[1], all[0]} {
		s.way = way
		nstest.Do(t, s.host, s.attach)
		if f := s.find(t); f == nil || !f.Attached {
			t.Errorf("by %s: %+v", way, f)
		}
		if has := strings.Contains(s.filters(t), filterName); has != (way == wayClsact) {
			t.Errorf("by %s: filters %v", way, has)
		}
		before, err := s.table.Counts()
		if err != nil {
			t.Fatal(err)
		}
		s.ping(t)
		if now, err := s.table.Counts(); err != nil || now.To4[Translated].Packets != before.To4[Translated].Packets+1 {
			t.Errorf("by %s: %+v %v", way, now, err)
		}
	}
}

// Programs are changed under traffic without a packet that none has seen.
func TestNoGap(t *testing.T) {
	for _, way := range ways() {
		t.Run(way, func(t *testing.T) {
			s := newStageBy(t, way, "64:ff9b::/96", false)
			h := head{src: s.guest6, dst: addr("64:ff9b::cb00:7209"), hops: 64, proto: 17}
			u, at := upper(17, 100)
			seal(h.src, h.dst, 17, u, at, false)
			packet := ipv6(h, u)
			stop, done := make(chan struct{}), make(chan error, 1)
			changes := 0
			go func() {
				for {
					select {
					case <-stop:
						done <- nil
						return
					default:
					}
					if err := s.host.Do(s.attach); err != nil {
						done <- err
						return
					}
					changes++
				}
			}()
			sent := uint64(0)
			for ; sent < 300; sent++ {
				if got := s.outcome(t, false, packet, vnet{}); got != Translated {
					t.Errorf("packet %d: %s", sent, got)
					break
				}
			}
			close(stop)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if c, err := s.table.Counts(); err != nil || c.To4[Translated].Packets != sent {
				t.Errorf("%d of %d packets seen, %v", c.To4[Translated].Packets, sent, err)
			}
			t.Logf("%d changes under %d packets", changes, sent)
			if changes < 2 {
				t.Errorf("only %d changes", changes)
			}
		})
	}
}
