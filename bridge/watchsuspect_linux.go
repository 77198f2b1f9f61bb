package bridge

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// asker is a socket that asked for a change, with its process as far as that
// could be looked at at once: what runs for a millisecond is gone later.
type asker struct {
	port uint32
	who  Suspect // PID 0: not known yet
}

// askerOf looks at the process whose id a port is, nil if the kernel names none
// or it is this one.
func askerOf(port uint32) *asker {
	if port == 0 || port == uint32(os.Getpid()) {
		return nil
	}
	a := &asker{port: port}
	if port < 1<<31 { // others are made up
		a.who = processOf(int(port))
	}
	return a
}

// processOf describes a process, by its id alone if it has ended.
func processOf(pid int) Suspect {
	s := Suspect{PID: pid}
	// The first thing that an ending process loses.
	s.Command = commandLine(pid)
	name, parent, ok := nameAndParent(pid)
	if !ok {
		return s
	}
	s.Name = name
	if parent > 1 {
		if s.Parent, _, ok = nameAndParent(parent); ok {
			s.ParentPID = parent
		}
	}
	return s
}

func commandLine(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(bytes.ReplaceAll(b, []byte{0}, []byte{' '})))
}

// nameAndParent reads them from proc(5)'s stat, where the name stands in
// parentheses and may contain any.
func nameAndParent(pid int) (name string, parent int, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, false
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return "", 0, false
	}
	fields := strings.Fields(string(b[end+1:]))
	if len(fields) < 2 {
		return "", 0, false
	}
	parent, err = strconv.Atoi(fields[1])
	return string(b[open+1 : end]), parent, err == nil
}

// suspectsOf names the processes, those of made-up ports by the sockets they
// hold, in the calling thread's network namespace.
func suspectsOf(asking []asker) []Suspect {
	var list []Suspect
	for _, a := range asking {
		if a.who.PID == 0 {
			pid := holderOf(a.port)
			if pid == 0 {
				continue
			}
			a.who = processOf(pid)
		}
		if a.who.PID != os.Getpid() {
			list = append(list, a.who)
		}
	}
	return list
}

// holderOf finds the process that holds the route netlink socket of a port, 0
// if none does any more.
func holderOf(port uint32) int {
	b, err := os.ReadFile("/proc/thread-self/net/netlink")
	if err != nil {
		return 0
	}
	socket := ""
	for line := range strings.Lines(string(b)) {
		// sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
		f := strings.Fields(line)
		if len(f) == 10 && f[1] == "0" && f[2] == strconv.FormatUint(uint64(port), 10) {
			socket = "socket:[" + f[9] + "]"
		}
	}
	if socket == "" {
		return 0
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		dir := filepath.Join("/proc", p.Name(), "fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue // ended, or not ours to look at
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && to == socket {
				return pid
			}
		}
	}
	return 0
}
