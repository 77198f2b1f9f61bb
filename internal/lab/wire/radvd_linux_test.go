package wire

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
)

// startRadvd runs radvd in a namespace until the test ends.
func startRadvd(t *testing.T, ns *netns.NS, program, config string) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "radvd.conf")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	nstest.Do(t, ns, func() error { return sysctl.Write("net/ipv6/conf/all/forwarding", "1") })
	cmd := exec.Command(program, "-n", "-C", file, "-p", filepath.Join(dir, "pid"), "-m", "stderr", "-d", "0")
	cmd.Stderr = t.Output()
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}
