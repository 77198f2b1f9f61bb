package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Manager names the network manager that is in charge of a link, "" if none
// is: a process in the calling thread's network namespace that would put its own
// configuration back on the link, or renew what it put there.
//
// Of processes whose network namespace may not be looked at, which takes
// CAP_SYS_PTRACE for those of others, only those count that hold a netlink socket
// in this one.
func Manager(ctx context.Context, link string) (string, error) {
	var inCharge string
	err := eachManager(ctx, link, func(name string) (done bool, err error) {
		if left, err := leftAlone(ctx, name, link); left || err != nil {
			return false, err
		}
		inCharge = name
		return true, nil
	})
	return inCharge, err
}

// ManagerRuns reports whether a manager of that name, such as Networkd, runs in
// the calling thread's network namespace, whatever it is in charge of.
func ManagerRuns(ctx context.Context, name string) (bool, error) {
	runs := false
	err := eachManager(ctx, "", func(found string) (bool, error) {
		runs = runs || found == name
		return runs, nil
	})
	return runs, err
}

// eachManager calls found for every manager of the link that runs in the
// calling thread's network namespace, until it is done.
func eachManager(ctx context.Context, link string, found func(name string) (done bool, err error)) error {
	here, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("look at the own network namespace: %w", err)
	}
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, p := range procs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		dir := filepath.Join("/proc", p.Name())
		comm, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			continue // it has ended
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(cmdline) == 0 {
			continue // it has ended, or is the kernel's own
		}
		name := managerOf(string(comm), cmdline, link)
		if name == "" {
			continue
		}
		there, err := os.Stat(filepath.Join(dir, "ns/net"))
		switch {
		case errors.Is(err, fs.ErrPermission):
			if speaks, err := speaksNetlink(p.Name()); err != nil {
				return err
			} else if !speaks {
				continue
			}
		case err != nil || !os.SameFile(here, there):
			continue
		}
		if done, err := found(name); done || err != nil {
			return err
		}
	}
	return nil
}

// speaksNetlink reports whether a process holds a route netlink socket in the
// calling thread's network namespace. The port of its first one is its id.
func speaksNetlink(pid string) (bool, error) {
	b, err := os.ReadFile("/proc/thread-self/net/netlink")
	if err != nil {
		return false, fmt.Errorf("list netlink sockets: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		// sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode
		if f := strings.Fields(line); len(f) == 10 && f[1] == "0" && f[2] == pid {
			return true, nil
		}
	}
	return false, nil
}
