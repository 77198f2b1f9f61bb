package dns64

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/nat64"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

// Addresses on the loopback interface of a test's namespace.
const (
	guestAddr    = "2001:db8:1:3::a"
	strangerAddr = "2001:db8:99::1"
	serverAddr   = "2001:db8:1:3::53"
)

// namespace makes a namespace in which those addresses work.
func namespace(t testing.TB) *netns.NS {
	t.Helper()
	return nstest.NSWith(t, guestAddr, strangerAddr, serverAddr)
}

// serve runs a server in the namespace until the test ends and returns it with
// its address.
func serve(t testing.TB, ns *netns.NS, cfg Config) (*Server, netip.AddrPort) {
	t.Helper()
	if !cfg.Prefix.IsValid() {
		cfg.Prefix = nat64.WellKnown()
	}
	if cfg.Listen == nil {
		cfg.Listen = []netip.AddrPort{netip.MustParseAddrPort("[" + serverAddr + "]:0")}
	}
	if cfg.Clients == nil {
		cfg.Clients = []netip.Prefix{netip.MustParsePrefix("2001:db8:1:3::/64")}
	}
	var s *Server
	nstest.Do(t, ns, func() (err error) {
		s, err = New(cfg)
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("Run does not end")
		}
	})
	return s, s.Addrs()[0]
}

// named runs BIND with a configuration, whose {dir} is replaced by its folder,
// and files beside it, and waits until it answers on 127.0.0.1 and port.
func named(t testing.TB, ns *netns.NS, port, conf string, files map[string]string) netip.AddrPort {
	t.Helper()
	path := nstest.Tool(t, "named")
	dir := t.TempDir()
	files["named.conf"] = conf
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(content, "{dir}", dir)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, "-g", "-n", "1", "-c", filepath.Join(dir, "named.conf"))
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = log, log
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	deadline := time.Now().Add(10 * time.Second)
	for {
		b, err := os.ReadFile(log.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), " running\n") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("named does not start:\n%s", b)
		}
		time.Sleep(10 * time.Millisecond) // poll
	}
	return netip.MustParseAddrPort("127.0.0.1:" + port)
}

// options common to every named of the tests: nothing outside its folder.
const namedOptions = `
	directory "{dir}"; pid-file none; session-keyfile none; lock-file none;
	managed-keys-directory "{dir}"; listen-on-v6 { none; }; notify no;
	allow-query { any; }; allow-recursion { any; }; allow-query-cache { any; };
	minimal-responses no;
`
