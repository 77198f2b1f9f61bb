package persist

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan"
)

// envKilled names the root that TestKilledHelper works on, envBack makes it
// take the files back.
const (
	envKilled = "PERSIST_TEST_KILLED"
	envBack   = "PERSIST_TEST_BACK"
)

// Not a test but the process that TestKilled kills.
func TestKilledHelper(t *testing.T) {
	root := os.Getenv(envKilled)
	if root == "" {
		return
	}
	// The system calls are counted by thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := Config{Bridge: wanted(), Root: root, Executable: "/usr/local/bin/fullhost"}
	if os.Getenv(envBack) == "" {
		_, _, p := planFor(t, c)
		confirm(t, p)
		return
	}
	now := capture(t, c.Scope())
	original, err := Original(now)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Plan(now, original)
	if err != nil {
		t.Fatal(err)
	}
	confirm(t, p)
}

// fileCalls are the system calls by which files change.
const fileCalls = "openat,write,fsync,fchmod,fchmodat,mkdirat,renameat,?renameat2,unlinkat,symlinkat,?rename,?unlink,?mkdir,?symlink"

// traced runs TestKilledHelper under strace.
func traced(t *testing.T, strace, root string, back bool, arg ...string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(strace, append(arg, self, "-test.run=^TestKilledHelper$")...)
	cmd.Env = append(os.Environ(), envKilled+"="+root, "GOMAXPROCS=1")
	if back {
		cmd.Env = append(cmd.Env, envBack+"=1")
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Killed at any of its system calls, there or back, it leaves the old network
// or the new one for the next boot; a new plan finishes the work, and the
// originals are found.
func TestKilled(t *testing.T) {
	strace := nstest.Tool(t, "strace")
	seed, every := uint64(time.Now().UnixNano()), 2
	if os.Getenv("CI_TIER") == "full" {
		every = 0
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for name, files := range map[string]map[string]string{
		"netplan":  {"etc/netplan/01-netcfg.yaml": hetzner + "    enp3s0: {dhcp4: true} # the LAN\n"},
		"networkd": {"etc/systemd/network/10-enp2s0.network": hetznerNetworkd},
	} {
		for _, back := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, back %v", name, back), func(t *testing.T) {
				config := func() (Config, State) {
					c := Config{Bridge: wanted(), Root: rootWith(t, files), Executable: "/usr/local/bin/fullhost"}
					before, _, p := planFor(t, c)
					if back {
						confirm(t, p)
					}
					return c, before
				}
				c, _ := config()
				log := filepath.Join(t.TempDir(), "trace")
				if out, err := traced(t, strace, c.Root, back, "-f", "-o", log, "-e", "trace="+fileCalls); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				b, err := os.ReadFile(log)
				if err != nil {
					t.Fatal(err)
				}
				total := bytes.Count(b, []byte("\n"))
				moments := make([]int, 0, total)
				for n := 1; n <= total; n++ {
					if every == 0 || r.IntN(total) < every {
						moments = append(moments, n)
					}
				}
				killed := 0
				for _, n := range moments {
					c, before := config()
					_, err := traced(t, strace, c.Root, back, "-f", "-o", "/dev/null", "-e", "trace="+fileCalls, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", fileCalls, n))
					if err != nil {
						killed++
					}
					after := capture(t, c.Scope())
					if got := boots(t, after); got != "old" && got != "new" {
						t.Errorf("killed at call %d it boots %s:\n%s", n, got, dump(after))
					}
					original, err := Original(after)
					if err != nil {
						t.Errorf("killed at call %d: %v", n, err)
						continue
					}
					if diff := cmp.Diff(before.Files, original.Files, sameFiles(), cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("killed at call %d, the originals (-want +got):\n%s", n, diff)
					}
					_, want, p := planFor(t, c)
					if err := p.Run(context.Background(), plan.Confirm, nil); err != nil {
						t.Errorf("killed at call %d, then: %v", n, err)
					}
					if got := dump(capture(t, c.Scope())); got != dump(want) || boots(t, want) != "new" {
						t.Errorf("killed at call %d, and a new plan:\n%s", n, got)
					}
				}
				if every == 0 && killed < len(moments)/2 {
					t.Errorf("only %d of %d runs were killed", killed, len(moments))
				}
			})
		}
	}
}

// A full disk, or one that fails, leaves what was there.
func TestDiskFails(t *testing.T) {
	strace := nstest.Tool(t, "strace")
	for _, fault := range []string{"write:error=ENOSPC", "fsync:error=EIO", "renameat:error=EROFS", "openat:error=EMFILE"} {
		t.Run(fault, func(t *testing.T) {
			c := Config{Bridge: wanted(), Root: rootWith(t, map[string]string{"etc/netplan/01-netcfg.yaml": hetzner}), Executable: "/usr/local/bin/fullhost"}
			before := capture(t, c.Scope())
			call, _, _ := strings.Cut(fault, ":")
			failed := 0
			for n := 1; n <= 40; n += 13 {
				if _, err := traced(t, strace, c.Root, false, "-f", "-o", "/dev/null", "-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:when=%d", fault, n)); err != nil {
					failed++
				}
				after := capture(t, c.Scope())
				if got := boots(t, after); got != "old" && got != "new" {
					t.Errorf("call %d fails, and it boots %s", n, got)
				}
				original, err := Original(after)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(before.Files, original.Files, sameFiles()); diff != "" {
					t.Errorf("call %d fails, the originals (-want +got):\n%s", n, diff)
				}
			}
			if failed == 0 {
				t.Error("nothing failed")
			}
		})
	}
}
