package macrewrite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/slaac"
)

// prober sends frames and sees where they arrive.
type prober struct {
	n    *network
	fd   [places]int
	next uint32
}

func newProber(t *testing.T, n *network) *prober {
	// Frames are worked on by the CPU that sends them; on one CPU they keep
	// their order, so that what has not come before a later frame never comes.
	runtime.LockOSThread()
	var one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	for cpu, found := 0, false; cpu < 1024; cpu++ {
		if one.IsSet(cpu) && found {
			one.Clear(cpu)
		}
		found = found || one.IsSet(cpu)
	}
	// The thread stays locked, and ends with the test's goroutine.
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	pr := &prober{n: n}
	for p := range places {
		pr.fd[p] = n.socket(t, p)
		// Everything that a run sends has room.
		if err := unix.SetsockoptInt(pr.fd[p], unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20); err != nil {
			t.Fatal(err)
		}
	}
	return pr
}

// check is one frame, or many of a kind, and what becomes of them.
type check struct {
	name    string
	from    place
	frame   []byte
	arrives []place
	counted map[Reason]uint64
	// times is how often it is sent; 0 is once. What is limited arrives and is
	// counted at least once each, and in sum as often as it was sent.
	times   int
	limited Reason
	// vary makes the frames different.
	vary func(i int) []byte
}

// run sends everything that there is to be checked, and says what is wrong.
func (pr *prober) run(all []check) (wrong []string, err error) {
	before, err := pr.n.readCounters()
	if err != nil {
		return nil, err
	}
	sent := map[[4]byte]int{} // mark to check
	for i, c := range all {
		for k := range max(c.times, 1) {
			f := c.frame
			if c.vary != nil {
				f = c.vary(k)
			}
			pr.next++
			id := [4]byte{0xe5, byte(pr.next >> 16), byte(pr.next >> 8), byte(pr.next)}
			f = bytes.ReplaceAll(f, mark(), id[:])
			sent[id] = i
			if err := unix.Send(pr.fd[c.from], f, 0); err != nil {
				return nil, fmt.Errorf("send %s: %w", c.name, err)
			}
		}
	}
	arrived := make([][places]int, len(all))
	// A frame waits twice for its turn on its way. What was sent behind the second
	// of two markers, when the first has come, comes last.
	for range 3 {
		if err := pr.marker(func(p place, f []byte) {
			for at := 0; at+4 <= len(f); at++ {
				if i, ok := sent[[4]byte(f[at:])]; ok {
					arrived[i][p]++
					return
				}
			}
		}); err != nil {
			return nil, err
		}
	}
	after, err := pr.n.readCounters()
	if err != nil {
		return nil, err
	}
	want, limits := map[Reason]uint64{}, map[Reason]bool{}
	for i, c := range all {
		times := max(c.times, 1)
		for r, n := range c.counted {
			want[r] += n * uint64(times)
		}
		passed := 0
		for p := range places {
			n := 0
			for _, a := range c.arrives {
				if a == p {
					n = times
				}
			}
			got := arrived[i][p]
			if c.limited != "" && n > 0 {
				if passed = got; got == 0 || got == times {
					wrong = append(wrong, fmt.Sprintf("%s, from %s: %d of %d arrived at %s", c.name, c.from, got, times, p))
				}
				continue
			}
			if got != n {
				wrong = append(wrong, fmt.Sprintf("%s, from %s: arrived at %s %d times, want %d", c.name, c.from, p, got, n))
			}
		}
		if c.limited != "" {
			limits[c.limited] = true
			want[c.limited] += uint64(times - passed)
		}
	}
	for _, r := range Reasons() {
		if got := after[r] - before[r]; got != want[r] || limits[r] && got == 0 {
			wrong = append(wrong, fmt.Sprintf("%s counted %d, want %d", r, got, want[r]))
		}
	}
	return wrong, nil
}

// marker has the host send a frame to all ports, and hands over what comes
// before it arrives.
func (pr *prober) marker(see func(place, []byte)) error {
	pr.next++
	// 0x88b5 is IEEE 802's local experimental ethertype.
	frame := eth(slaac.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, pr.n.mac[host], 0x88b5, binary.BigEndian.AppendUint32(make([]byte, 56), pr.next))
	if err := unix.Send(pr.fd[host], frame, 0); err != nil {
		return fmt.Errorf("send marker: %w", err)
	}
	deadline := time.Now().Add(20 * time.Second)
	buf := make([]byte, 4096)
	for p := range places {
		for came := false; !came; {
			k, from, err := unix.Recvfrom(pr.fd[p], buf, 0)
			switch {
			case err == unix.EAGAIN && p == host:
				came = true // it does not hear itself; what came for it came at once
				continue
			case err == unix.EAGAIN:
				if time.Now().After(deadline) {
					return fmt.Errorf("%s does not hear the host", p)
				}
				unix.Poll([]unix.PollFd{{Fd: int32(pr.fd[p]), Events: unix.POLLIN}}, 100)
				continue
			case err == unix.EINTR:
				continue
			case err != nil:
				return fmt.Errorf("receive: %w", err)
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			see(p, buf[:k])
			came = bytes.Equal(buf[:k], frame)
		}
	}
	return nil
}

// sentence makes one of what is wrong.
func sentence(wrong []string) string {
	if len(wrong) > 3 {
		wrong = append(wrong[:3:3], fmt.Sprintf("and %d more", len(wrong)-3))
	}
	return strings.Join(wrong, "; ")
}
