package vm

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// wirePair is a wire: the switch's end and the other one.
func wirePair(t *testing.T) (near, far *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far = os.NewFile(uintptr(fds[0]), "near"), os.NewFile(uintptr(fds[1]), "far")
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

// Parts of frames, in hexadecimal digits.
const (
	toGroup   = "ffffffffffff"
	toStation = "901b0e123456"
	router    = "00005e005301"
	payload   = "86dd" + "60000000"
)

func TestSwitch(t *testing.T) {
	for _, tc := range []struct {
		name string
		nics int
		vlan uint16
		// steps are frames: from is r, 0 or 1, the rest where they come out and as
		// what; nothing is nowhere, s is stray.
		steps []struct {
			from, frame string
			out         map[string]string
		}
	}{
		{"plain", 1, 0, []struct {
			from, frame string
			out         map[string]string
		}{
			{"r", toStation + router + payload, map[string]string{"0": toStation + router + payload}},
			{"0", router + toStation + payload, map[string]string{"r": router + toStation + payload}},
			{"0", toGroup + toStation + "81000fa0" + payload, map[string]string{"r": toGroup + toStation + "81000fa0" + payload}},
		}},
		{"VLAN", 1, 4000, []struct {
			from, frame string
			out         map[string]string
		}{
			{"r", toStation + router + payload, map[string]string{"0": toStation + router + "81000fa0" + payload}},
			{"0", router + toStation + "81000fa0" + payload, map[string]string{"r": router + toStation + payload}},
			{"0", router + toStation + "81006fa0" + payload, map[string]string{"r": router + toStation + payload}}, // with a priority
			{"0", router + toStation + payload, map[string]string{"s": router + toStation + payload}},
			{"0", router + toStation + "81000001" + payload, map[string]string{"s": router + toStation + "81000001" + payload}},
			{"0", router + toStation + "88a80fa0" + payload, map[string]string{"s": router + toStation + "88a80fa0" + payload}},
			{"0", router + toStation + "8100", map[string]string{"s": router + toStation + "8100"}},
		}},
		{"bond", 2, 0, []struct {
			from, frame string
			out         map[string]string
		}{
			{"r", toStation + router + payload, map[string]string{"0": toStation + router + payload, "1": toStation + router + payload}},
			{"r", toGroup + router + payload, map[string]string{"0": toGroup + router + payload, "1": toGroup + router + payload}},
			{"0", router + toStation + payload, map[string]string{"r": router + toStation + payload}},
			{"1", router + toStation + payload, map[string]string{"r": router + toStation + payload}},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ends := map[string]*os.File{}
			s := &Switch{VLAN: tc.vlan}
			s.Router, ends["r"] = wirePair(t)
			for i := range tc.nics {
				near, far := wirePair(t)
				s.NICs = append(s.NICs, near)
				ends[string(rune('0'+i))] = far
			}
			var strays *os.File
			strays, ends["s"] = wirePair(t)
			s.Stray = func(_ time.Time, b []byte) { strays.Write(b) }
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			for i, step := range tc.steps {
				b, err := hex.DecodeString(step.frame)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := ends[step.from].Write(b); err != nil {
					t.Fatal(err)
				}
				for name, f := range ends {
					want, ok := step.out[name]
					wait := 10 * time.Second
					if !ok {
						wait = 20 * time.Millisecond
					}
					f.SetReadDeadline(time.Now().Add(wait))
					got := make([]byte, 2000)
					n, err := f.Read(got)
					if ok && (err != nil || hex.EncodeToString(got[:n]) != want) || !ok && !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Errorf("step %d: at %s came %x, %v, want %q", i+1, name, got[:n], err, want)
					}
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// A wire whose far end reads nothing loses frames and holds nobody up, and one
// that is taken away ends its direction.
func TestSwitchLosesFrames(t *testing.T) {
	near, far := wirePair(t)
	nic, _ := wirePair(t)
	s := &Switch{Router: near, NICs: []*os.File{nic}}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- s.Run(ctx) }()
	b, err := hex.DecodeString(toGroup + router + payload + strings.Repeat("00", 1400))
	if err != nil {
		t.Fatal(err)
	}
	far.SetWriteDeadline(time.Now().Add(20 * time.Second))
	for range 50 {
		if _, err := far.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	nic.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
