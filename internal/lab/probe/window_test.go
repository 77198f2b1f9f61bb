package probe

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = int64(time.Millisecond)

// every makes n times, step apart.
func every(n int, step int64) []int64 {
	var all []int64
	for i := range n {
		all = append(all, int64(i)*step)
	}
	return all
}

func answers(sent []int64, after int64, lost ...int) []int64 {
	var all []int64
	for _, s := range sent {
		all = append(all, s+after)
	}
	for _, i := range lost {
		all[i] = none
	}
	return all
}

func TestPingReport(t *testing.T) {
	sent := every(10, ms)
	late := every(10, ms)
	for i := 5; i < 10; i++ {
		late[i] += 50 * ms // the prober was kept from sending
	}
	queued := answers(sent, ms/10)
	for i := 3; i < 7; i++ {
		queued[i] = 7*ms + ms/10 // held up and let go at once
	}
	for _, tc := range []struct {
		name      string
		log       pingLog
		end       int64
		want      PingWindow
		wantParts []PingWindow
	}{
		{
			name: "all answered",
			log:  pingLog{sent: sent, got: answers(sent, ms/10)},
			end:  10 * ms,
			want: PingWindow{Length: 10 * 1e6, Sent: 10, Answered: 10, Stall: 1e5, Gap: 1e6, SendGap: 1e6},
		},
		{
			name: "one lost",
			log:  pingLog{sent: sent, got: answers(sent, ms/10, 4)},
			end:  10 * ms,
			want: PingWindow{Length: 10 * 1e6, Sent: 10, Answered: 9, Lost: 1, Stall: 1.1e6, Gap: 2e6, SendGap: 1e6},
		},
		{
			name: "late sends are not the network's",
			log:  pingLog{sent: late, got: answers(late, ms/10)},
			end:  60 * ms,
			want: PingWindow{Length: 60 * 1e6, Sent: 10, Answered: 10, Stall: 1e5, Gap: 51e6, SendGap: 51e6},
		},
		{
			name: "held up, none lost",
			log:  pingLog{sent: sent, got: queued},
			end:  10 * ms,
			want: PingWindow{Length: 10 * 1e6, Sent: 10, Answered: 10, Stall: 4.1e6, Gap: 5e6, SendGap: 1e6},
		},
		{
			name: "windows, outage over the edge",
			log: pingLog{
				sent:  sent,
				got:   answers(sent, ms/10, 3, 4, 5, 6),
				marks: []mark{{"a", 0, 0}, {"b", 5*ms - ms/2, 5}, {"", 9*ms - ms/2, 9}},
			},
			end:  10 * ms,
			want: PingWindow{Length: 10 * 1e6, Sent: 10, Answered: 6, Lost: 4, Stall: 4.1e6, Gap: 5e6, SendGap: 1e6},
			wantParts: []PingWindow{
				{Name: "a", Length: 4.5e6, Sent: 5, Answered: 3, Lost: 2, Stall: 4.1e6, Gap: 5e6, SendGap: 1e6},
				{Name: "b", Length: 4e6, Sent: 4, Answered: 2, Lost: 2, Stall: 2.1e6, Gap: 5e6, SendGap: 1e6},
			},
		},
		{
			name: "dead from the third on",
			log:  pingLog{sent: sent, got: answers(sent, ms/10, 2, 3, 4, 5, 6, 7, 8, 9)},
			end:  10 * ms,
			want: PingWindow{Length: 10 * 1e6, Sent: 10, Answered: 2, Lost: 8, Stall: 8e6, Gap: 8.9e6, SendGap: 1e6},
		},
		{
			name: "never answered",
			log:  pingLog{sent: sent, got: answers(sent, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)},
			end:  10 * ms,
			want: PingWindow{Length: 10 * 1e6, Sent: 10, Lost: 10, Stall: 10e6, Gap: 10e6, SendGap: 1e6},
		},
		{name: "nothing sent", end: ms, want: PingWindow{Length: 1e6}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := len(tc.log.sent)
			if diff := cmp.Diff(tc.want, tc.log.report(span{to: n, end: tc.end}, tc.end)); diff != "" {
				t.Errorf("total (-want +got):\n%s", diff)
			}
			var parts []PingWindow
			for _, s := range spans(tc.log.marks, n, tc.end) {
				parts = append(parts, tc.log.report(s, tc.end))
			}
			if diff := cmp.Diff(tc.wantParts, parts); diff != "" {
				t.Errorf("windows (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSessionLogReport(t *testing.T) {
	sent := []int64{0, ms, 2 * ms, 250 * ms, 251 * ms}
	got := []int64{ms / 10, ms + ms/10, 249 * ms, 250*ms + ms/10}
	l := sessionLog{sent: sent, got: got, marks: []mark{{"a", 0, 0}, {"b", 100 * ms, 3}}}
	end := 300 * ms
	want := []SessionWindow{
		{Name: "a", Length: 100e6, Echoes: 3, Stall: 247.9e6, RoundTrip: 247e6},
		{Name: "b", Length: 200e6, Echoes: 1, Stall: 247.9e6, RoundTrip: 49e6},
	}
	var parts []SessionWindow
	for _, s := range spans(l.marks, len(sent), end) {
		parts = append(parts, l.report(s, end))
	}
	if diff := cmp.Diff(want, parts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := (&sessionLog{}).report(span{end: end}, end); got.Echoes != 0 || got.Stall != 0 {
		t.Errorf("empty log: %+v", got)
	}
}
