package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/lab"
)

// message is a line from the inner half to the outer one.
type message struct {
	Row  *row   `json:"row,omitempty"`
	Note string `json:"note,omitempty"`
}

// measure measures what the options ask for. The report holds what was found,
// also where an error says that not all was.
func measure(ctx context.Context, o options, r *report) error {
	r.note("%s", machine())
	before := load()
	defer func() { r.note("load average %s before, %s after", before, load()) }()
	var labErr error
	if o.wants(benchLab) {
		labErr = measureLab(ctx, o, r)
	}
	if o.wants(benchGuests) || o.wants(benchRA) || o.wants(benchRAPorts) || o.wants(benchEdge) {
		restore, notes, err := raiseNeighbours(&o)
		if err != nil {
			return err
		}
		r.Notes = append(r.Notes, notes...)
		defer func() {
			if err := restore(); err != nil {
				fmt.Fprintf(os.Stderr, "bench: %v\n", err)
			}
		}()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(labErr, measureInside(o, r))
}

// measureInside runs the inner half and takes over its report. Enter looks
// after signals itself.
func measureInside(o options, r *report) error {
	var said bytes.Buffer
	exit, err := lab.Enter(context.Background(), lab.EnterOptions{
		Args:   o.args(),
		Stdout: &said,
		Stderr: os.Stderr,
		Tun:    true,
	})
	if err != nil {
		return err
	}
	totals := samplesOf(r.Rows, benchLab, labTotal)
	for d := json.NewDecoder(&said); d.More(); {
		var m message
		if err := d.Decode(&m); err != nil {
			return fmt.Errorf("read what was measured in the lab: %w", err)
		}
		if m.Note != "" {
			r.Notes = append(r.Notes, m.Note)
		}
		if m.Row == nil {
			continue
		}
		if m.Row.Group == benchLab && m.Row.Unit == unitSeconds && len(totals) > 0 {
			m.Row.Beside = &peer{What: labTotal, Samples: totals}
		}
		r.Rows = append(r.Rows, *m.Row)
	}
	if exit != 0 {
		return fmt.Errorf("not everything could be measured (status %d)", exit)
	}
	return nil
}

// labTotal is the name of the figure that the lab's others are parts of.
const labTotal = "fullhost lab, start to table"

func samplesOf(rows []row, group, what string) []float64 {
	for _, f := range rows {
		if f.Group == group && f.What == what {
			return f.Samples
		}
	}
	return nil
}

// measureLab runs fullhost lab as its user would.
func measureLab(ctx context.Context, o options, r *report) error {
	var total, cpu, build, windows, serve, guests, check []float64
	for i := range o.runs {
		fmt.Fprintf(os.Stderr, "lab: run %d of %d\n", i+1, o.runs)
		out := &lineStamper{now: time.Now}
		cmd := exec.CommandContext(ctx, o.fullhost, "lab")
		cmd.Stdout, cmd.Stderr = out, out
		// A terminal's Ctrl-C shall reach it once, from here.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		start := time.Now()
		err := cmd.Run()
		end := time.Now()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p, ok := splitLab(start, end, out.lines)
		if !ok {
			return fmt.Errorf("fullhost lab: %w\n%s", err, &out.all)
		}
		if err != nil {
			r.note("fullhost lab, run %d: %v: %s", i+1, err, failures(out.lines))
		}
		total = append(total, end.Sub(start).Seconds())
		cpu = append(cpu, processTime(cmd.ProcessState).Seconds())
		build = append(build, p.build.Seconds())
		windows = append(windows, (p.control + p.move).Seconds())
		serve = append(serve, p.serve.Seconds())
		guests = append(guests, p.guests.Seconds())
		check = append(check, p.check.Seconds())
	}
	whole := &peer{What: labTotal, Samples: total}
	r.Rows = append(r.Rows,
		row{Group: benchLab, What: labTotal, Unit: unitSeconds, Samples: total, Under: 15},
		row{Group: benchLab, What: "CPU time of all its processes", Unit: unitSeconds, Samples: cpu, Beside: whole},
		row{Group: benchLab, What: "building the provider", Unit: unitSeconds, Samples: build, Beside: whole},
		row{Group: benchLab, What: "counting pings, without and with the move", Unit: unitSeconds, Samples: windows, Beside: whole},
		row{Group: benchLab, What: "confirm, start of fullhost run", Unit: unitSeconds, Samples: serve, Beside: whole},
		row{Group: benchLab, What: "three guests, start to address", Unit: unitSeconds, Samples: guests, Beside: whole},
		row{Group: benchLab, What: "checks, table, taking down", Unit: unitSeconds, Samples: check, Beside: whole},
	)
	return nil
}

// failures picks the table's failed checks out of the output.
func failures(lines []stamped) string {
	var list []string
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l.text, "FAIL"); ok {
			list = append(list, strings.Join(strings.Fields(rest), " "))
		}
	}
	return strings.Join(list, "; ")
}

// machine describes what the figures were taken on.
func machine() string {
	kernel := "unknown"
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	user := "root"
	if os.Geteuid() != 0 {
		user = "an ordinary user"
	}
	return fmt.Sprintf("%d CPUs, Linux %s, %s %s, as %s", runtime.NumCPU(), kernel, runtime.Version(), runtime.GOARCH, user)
}

// load is the machine's load over the last minute.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) > 0 {
		return f[0]
	}
	return "unknown"
}
