package rollback

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// leaveCgroup moves this process out of its starter's cgroup (version 2), so
// that ending a login session or a service doesn't end the watchdog: to the
// root cgroup or the one nearest to it that takes it, or else to one of its own
// beside the starter's. It returns where the process runs or why it stayed, and a
// function that tidies up at the very end.
func leaveCgroup() (where string, tidy func()) {
	tidy = func() {}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "stayed: " + err.Error(), tidy
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "stayed: " + err.Error(), tidy
	}
	root, ok := cgroup2Mount(string(mounts))
	if !ok {
		return "stayed: no cgroup version 2 is mounted", tidy
	}
	path, ok := cgroup2Path(string(own))
	if !ok {
		return "stayed: in no cgroup of version 2 that can be seen", tidy
	}
	if path == "/" {
		return "/", tidy
	}
	var errs []error
	above := ancestors(path)
	for _, dir := range above {
		if err := enterCgroup(filepath.Join(root, dir)); err != nil {
			errs = append(errs, err)
			continue
		}
		return dir, tidy
	}
	// A cgroup below the root that has controllers for its children takes no
	// processes itself.
	for _, dir := range above {
		beside := filepath.Join(dir, watchdogName+"-"+strconv.Itoa(os.Getpid()))
		if err := os.Mkdir(filepath.Join(root, beside), 0o755); err != nil {
			errs = append(errs, err)
			continue
		}
		if err := enterCgroup(filepath.Join(root, beside)); err != nil {
			errs = append(errs, err, os.Remove(filepath.Join(root, beside)))
			continue
		}
		return beside, func() {
			// A cgroup can be removed only from outside.
			if enterCgroup(filepath.Join(root, path)) == nil {
				os.Remove(filepath.Join(root, beside))
			}
		}
	}
	for _, err := range errs { // one is enough to read
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Sprintf("stayed in %s: %v", path, err), tidy
		}
	}
	return "stayed in " + path, tidy
}

func enterCgroup(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
}

// cgroup2Mount finds where the whole hierarchy is mounted in a mountinfo file
// (proc(5)).
func cgroup2Mount(mountinfo string) (string, bool) {
	for line := range strings.Lines(mountinfo) {
		before, after, ok := strings.Cut(line, " - ")
		b, a := strings.Fields(before), strings.Fields(after)
		if ok && len(b) >= 5 && len(a) >= 1 && a[0] == "cgroup2" && b[3] == "/" {
			return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\134`, `\`).Replace(b[4]), true
		}
	}
	return "", false
}

// cgroup2Path finds the process's own cgroup in a /proc/self/cgroup file
// (cgroups(7)). One outside the cgroup namespace doesn't count.
func cgroup2Path(cgroup string) (string, bool) {
	for line := range strings.Lines(cgroup) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "/..") {
			return p, true
		}
	}
	return "", false
}

// ancestors returns the cgroups above one, from the root down.
func ancestors(path string) []string {
	var all []string
	for path != "/" {
		path = filepath.Dir(path)
		all = append([]string{path}, all...)
	}
	return all
}
