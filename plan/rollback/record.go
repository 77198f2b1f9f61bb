package rollback

import (
	"time"

	"github.com/sixhost/sixhost/plan"
)

// record is what change.json holds while a change is open: all that is needed
// to take it back.
type record struct {
	// Host tells whether the capture belongs to what runs here now.
	Host hostID `json:"host"`

	Phase    Phase   `json:"phase"`
	PID      int     `json:"pid"`      // of the process that began it
	Watchdog int     `json:"watchdog"` // 0: not started yet
	Outcome  Outcome `json:"outcome,omitempty"`
	Err      string  `json:"error,omitempty"`
	Cgroup   string  `json:"cgroup,omitempty"`

	Timeout      time.Duration `json:"timeout"`
	ApplyTimeout time.Duration `json:"apply_timeout"`
	Attempts     int           `json:"attempts"`
	Pause        time.Duration `json:"pause"`

	Captured []plan.Captured `json:"captured"`
}

// hostID identifies a network namespace for all time. Inode numbers alone are
// used again after a namespace ends, and the first namespace has the same one
// after every boot.
type hostID struct {
	Boot   string `json:"boot"`
	Inode  uint64 `json:"inode"`
	Cookie uint64 `json:"cookie,omitempty"` // 0: a kernel before 5.14
}

// status is what the record alone tells.
func (r *record) status(log string) ChangeStatus {
	return ChangeStatus{Phase: r.Phase, PID: r.PID, Watchdog: r.Watchdog, Cgroup: r.Cgroup, Outcome: r.Outcome, Err: r.Err, Log: log}
}
