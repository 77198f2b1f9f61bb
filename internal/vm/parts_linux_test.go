package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
)

const (
	// envCache names a folder in which the Debian is kept from run to run.
	envCache = "SIXHOST_VM_CACHE"
	// envTier is "full" in CI's long runs.
	envTier = "CI_TIER"
)

func TestMain(m *testing.M) { os.Exit(withCache(func() int { return nstest.Main(m) })) }

// withCache gives all tests of this run one folder for the Debian, where the
// environment names none for all runs.
func withCache(run func() int) int {
	if os.Getenv(envCache) != "" || os.Getenv(envTier) != "full" {
		return run()
	}
	dir, err := os.MkdirTemp("", "vm-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Setenv(envCache, dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "vm: %v\n", err)
		return 1
	}
	return run()
}

// parts are what all machines are made from.
type parts struct {
	root            *Root
	agent, fullhost string // programs
}

// full skips all but the full tier's runs, and makes the parts.
func full(t *testing.T) parts {
	t.Helper()
	if os.Getenv(envTier) != "full" {
		t.Skip("boots virtual machines for minutes: only with CI_TIER=full")
	}
	nstest.RequireRoot(t)
	nstest.RequireTun(t)
	for _, tool := range []string{"mmdebstrap", "mke2fs", "qemu-system-x86_64"} {
		nstest.Tool(t, tool)
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	root, err := NewRoot(ctx, os.Getenv(envCache))
	if err != nil {
		t.Fatal(err)
	}
	p := parts{root: root}
	bin := t.TempDir()
	for at, pkg := range map[*string]string{&p.agent: "./agent", &p.fullhost: "../../examples/fullhost"} {
		*at = filepath.Join(bin, filepath.Base(pkg))
		cmd := exec.CommandContext(ctx, "go", "build", "-o", *at, pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	t.Logf("root file system and programs there after %v", time.Since(begin).Round(time.Second))
	return p
}
