package vm

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/nstest"
)

// envCache names a folder in which the Debian is kept from run to run.
const envCache = "SIXHOST_VM_CACHE"

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// parts are what all machines are made from.
type parts struct {
	root            *Root
	agent, fullhost string // programs
}

// full skips all but the full tier's runs, and makes the parts.
func full(t *testing.T) parts {
	t.Helper()
	if os.Getenv("CI_TIER") != "full" {
		t.Skip("boots virtual machines for minutes: only with CI_TIER=full")
	}
	nstest.RequireRoot(t)
	nstest.RequireTun(t)
	for _, tool := range []string{"mmdebstrap", "mke2fs", "qemu-system-x86_64"} {
		nstest.Tool(t, tool)
	}
	cache := os.Getenv(envCache)
	if cache == "" {
		cache = t.TempDir()
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	root, err := NewRoot(ctx, cache)
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

func TestBoot(t *testing.T) {
	p := full(t)
	ctx, cancel := context.WithTimeout(t.Context(), 70*time.Second)
	defer cancel()
	l, err := lab.New(ctx, lab.Config{Dir: t.TempDir(), Elsewhere: true})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mac := lab.ServerMAC()
	begin := time.Now()
	m, err := p.root.Start(ctx, Config{Dir: t.TempDir(), MACs: []net.HardwareAddr{mac[:]}, Files: map[string]File{
		"usr/local/bin/agent":                                      {Mode: 0o755, From: p.agent},
		"usr/local/bin/fullhost":                                   {Mode: 0o755, From: p.fullhost},
		"etc/systemd/system/agent.service":                         {Mode: 0o644, Content: []byte("[Service]\nExecStart=/usr/local/bin/agent\n")},
		"etc/systemd/system/multi-user.target.wants/agent.service": {Target: "../agent.service"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	sctx, scancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := (&Switch{Router: l.Wire(), NICs: m.NICs()}).Run(sctx); err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer scancel()
	if err := m.WaitBoot(ctx); err != nil {
		b, _ := os.ReadFile(m.Console())
		q, _ := os.ReadFile(filepath.Join(filepath.Dir(m.Console()), "qemu.log"))
		t.Fatalf("%v\n%s\n%s", err, b, q)
	}
	t.Logf("booted after %v", time.Since(begin))
	out, err := m.Run(ctx, "ip a; systemd-analyze; systemd-analyze critical-chain; systemctl --failed; uname -a; networkctl")
	fmt.Println(out, err)
	begin = time.Now()
	if err := m.Reset(ctx); err != nil {
		t.Fatal(err)
	}
	if err := m.WaitBoot(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("booted after %v", time.Since(begin))
	fmt.Println(l.Judge().Report())
}
