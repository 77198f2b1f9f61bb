package bridge

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSpanningTree(t *testing.T) {
	for _, tc := range []struct {
		name    string
		config  Config
		refused string // "" if not
		step    string
		dead    string // what the note says, "" for no note
	}{
		{"off by default", Config{}, "", "make the bridge br0 with the MAC 90:1b:0e:12:34:56, MTU 1500, without spanning tree and multicast snooping", ""},
		{"not accepted", Config{STP: true}, "for 4s after the move", "", ""},
		{"long and not accepted", Config{STP: true, ForwardDelay: 15 * time.Second}, "for 30s after the move", "", ""},
		{"accepted", Config{STP: true, AcceptDeadTime: true}, "", "with spanning tree (forward delay 2s)", "dead for 4s"},
		{"long and accepted", Config{STP: true, ForwardDelay: 15 * time.Second, AcceptDeadTime: true}, "", "with spanning tree (forward delay 15s)", "dead for 30s"},
		{"too short", Config{STP: true, ForwardDelay: time.Second, AcceptDeadTime: true}, "from 2s to 30s, not 1s", "", ""},
		{"too long", Config{STP: true, ForwardDelay: time.Minute, AcceptDeadTime: true}, "from 2s to 30s, not 1m0s", "", ""},
		{"a delay of nothing", Config{ForwardDelay: 2 * time.Second}, "the spanning tree is off", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.config.Uplink = "eth0"
			there := ordinary()
			want, err := tc.config.State(there)
			if tc.refused != "" {
				if !errors.Is(err, ErrSpanningTree) || !strings.Contains(err.Error(), tc.refused) {
					t.Fatalf("got %v, want a refusal with %q", err, tc.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			p, err := Plan(there, want)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(p.Steps[0].Text, tc.step) {
				t.Errorf("first step %q, want %q", p.Steps[0].Text, tc.step)
			}
			notes := strings.Join(p.Notes, "\n")
			if tc.dead == "" && strings.Contains(notes, "dead") || !strings.Contains(notes, tc.dead) {
				t.Errorf("notes %q, want %q", notes, tc.dead)
			}
		})
	}
}
