package bridge

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// Manager names the network manager that is in charge of a link, "" if none
// is: a process in the calling thread's network namespace that would put its own
// configuration back on the link, or renew what it put there.
//
// Processes whose network namespace may not be looked at (those of others, for
// callers other than root) are passed over.
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
		if err != nil || !os.SameFile(here, there) {
			continue
		}
		if done, err := found(name); done || err != nil {
			return err
		}
	}
	return nil
}
