package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processTime is the CPU time of an ended process and of those of its
// descendants that were waited for.
func processTime(s *os.ProcessState) time.Duration { return s.UserTime() + s.SystemTime() }

// cpuClock reads the CPU time that running processes have used, all threads
// together, in nanoseconds rather than in ticks.
func cpuClock(pids ...int) (sum time.Duration, err error) {
	for _, pid := range pids {
		// The number of a process's CPU clock, as clock_getcpuclockid(3) makes it:
		// the complement of the pid, and CPUCLOCK_SCHED.
		const sched = 2
		var ts unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|sched), &ts); err != nil {
			return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
		}
		sum += time.Duration(ts.Nano())
	}
	return sum, nil
}

// memory is what a process holds in RAM, in MB.
type memory struct {
	rss float64 // all its resident pages
	pss float64 // pages shared with others counted by their share
	own float64 // pages that are no file's
}

func readMemory(pid int) (memory, error) {
	rss, err := procKiB(fmt.Sprintf("/proc/%d/status", pid), "VmRSS:")
	if err != nil {
		return memory{}, err
	}
	pss, err := procKiB(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss:")
	if err != nil {
		return memory{}, err
	}
	own, err := procKiB(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Anonymous:")
	if err != nil {
		return memory{}, err
	}
	const mb = 1e6
	return memory{rss: rss * 1024 / mb, pss: pss * 1024 / mb, own: own * 1024 / mb}, nil
}

// procKiB reads "Key:   123 kB".
func procKiB(path, key string) (float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == key && f[2] == "kB" {
			v, err := strconv.ParseFloat(f[1], 64)
			if err != nil {
				return 0, fmt.Errorf("read memory: %s: %w", path, err)
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("read memory: no %s in %s", key, path)
}

// findProcesses returns the pids of all processes of a name that can be seen.
// The lab has a process table of its own.
func findProcesses(name string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", name, err)
	}
	var found []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		comm, err := os.ReadFile("/proc/" + e.Name() + "/comm")
		if err == nil && strings.TrimSpace(string(comm)) == name { // it may have ended
			found = append(found, pid)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("find %s: it does not run", name)
	}
	return found, nil
}
