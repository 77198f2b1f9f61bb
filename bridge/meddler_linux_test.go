package bridge_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
)

// envMeddler makes the test binary a process that deletes the server's IPv4
// address for every line it reads, by its second netlink socket.
const envMeddler = "BRIDGE_TEST_MEDDLER"

func meddle() {
	first, err := netlink.NewHandle()
	if err == nil {
		defer first.Close()
		var second *netlink.Handle
		if second, err = netlink.NewHandle(); err == nil {
			defer second.Close()
			for lines := bufio.NewScanner(os.Stdin); err == nil && lines.Scan(); {
				err = deleteIPv4(second)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func deleteIPv4(h *netlink.Handle) error {
	l, err := h.LinkByName("br0")
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr("203.0.113.10/32")
	if err != nil {
		return err
	}
	return h.AddrDel(l, a)
}

type meddler struct {
	cmd   *exec.Cmd
	lines io.WriteCloser
}

func startMeddler(t *testing.T, ns *netns.NS) meddler {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envMeddler+"=1")
	cmd.Stderr = os.Stderr
	lines, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		lines.Close()
		cmd.Wait()
	})
	return meddler{cmd, lines}
}

func (m meddler) pid() int { return m.cmd.Process.Pid }

func (m meddler) delAddr() error {
	_, err := fmt.Fprintln(m.lines)
	return err
}
