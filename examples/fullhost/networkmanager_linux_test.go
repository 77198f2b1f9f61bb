package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
)

// startNetworkManager starts a real one. There is no udev to wait for, as with
// networkd.
func (m *managed) startNetworkManager() {
	m.t.Helper()
	m.start(nstest.Tool(m.t, "NetworkManager"), "--debug", "--log-level=INFO")
	m.eventually("NetworkManager to have looked at everything", func() error {
		out, err := m.command(nstest.Tool(m.t, "nmcli"), "-t", "-f", "STARTUP", "general", "status").CombinedOutput()
		if err == nil && strings.TrimSpace(string(out)) != "started" {
			err = errors.New(string(out))
		}
		return err
	})
}

// nmFiles are its configuration, with a profile for the NIC.
func nmFiles(more string) map[string]string {
	return map[string]string{
		// The provider's end and what the move makes are none of its business here.
		"etc/NetworkManager/NetworkManager.conf": "[main]\nplugins=keyfile\ndns=none\n" + more,
		"etc/NetworkManager/system-connections/wired.nmconnection": `[connection]
id=wired
uuid=2f1b7c6e-0000-4000-8000-000000000001
type=ethernet
interface-name=enp2s0

[ipv4]
method=manual
address1=203.0.113.10/32
route1=203.0.113.1/32
route2=0.0.0.0/0,203.0.113.1

[ipv6]
method=manual
address1=2001:db8:1:3::2/64,fe80::1
addr-gen-mode=eui64
`,
	}
}

// config writes a host.yaml.
func (m *managed) config(more string) string {
	m.t.Helper()
	file := filepath.Join(m.root, "host.yaml")
	if err := os.WriteFile(file, []byte("dns: {upstreams: [192.0.2.53]}\n"+more), 0o644); err != nil {
		m.t.Fatal(err)
	}
	return file
}

// refused checks that no command goes ahead, that each says why in one sentence,
// and that the host is as before.
func (m *managed) refused(config, want string) {
	m.t.Helper()
	before := dumpHost(m.t, m.server)
	files := tree(m.t, filepath.Join(m.root, "etc"))
	for _, command := range [][]string{{"plan"}, {"apply"}, {"apply", "-confirm-if-healthy"}, {"confirm"}, {"persist"}, {"persist", "-write"}, {"run"}} {
		cmd := m.fullhost(append(command, "-f", config)...)
		var said strings.Builder
		cmd.Stderr = &said
		out, _ := cmd.Output()
		if cmd.ProcessState.ExitCode() != 2 || strings.Count(said.String(), "\n") != 1 || !strings.HasPrefix(said.String(), want) {
			m.t.Errorf("%q: status %d, prints %q, says %q, want %q", command, cmd.ProcessState.ExitCode(), out, said.String(), want)
		}
	}
	for _, line := range before.diff(dumpHost(m.t, m.server)) {
		m.t.Errorf("changed: %s", line)
	}
	if now := tree(m.t, filepath.Join(m.root, "etc")); fmt.Sprint(now) != fmt.Sprint(files) {
		m.t.Errorf("files that were %v are %v", files, now)
	}
}

// TestNetworkManagerIsRefused: a real NetworkManager has the NIC, and is named
// before anything changes, whatever the next boot's files are to be.
func TestNetworkManagerIsRefused(t *testing.T) {
	t.Parallel()
	m := newUnmanaged(t, nmFiles(""))
	m.startNetworkManager()
	m.answers("by NetworkManager's profile")
	// As long as it detects duplicates, the addresses change by themselves.
	m.eventually("addresses that are settled", func() error {
		if out := m.must("ip", "-6", "addr", "show", "tentative"); out != "" {
			return errors.New(out)
		}
		return nil
	})
	for _, persist := range []string{"", "persist: {format: none}\n", "persist: {format: netplan}\n", "persist: {format: networkd}\n"} {
		m.refused(m.config(persist), "fullhost: uplink enp2s0: NetworkManager is in charge of it and would undo the move; ")
	}
	m.answers("after all refusals")
}

// TestBesideNetworkManager: it was told to leave the NIC alone, and does: before
// and after the confirmation it is reloaded, ended and started again, and the
// carrier goes and comes back.
func TestBesideNetworkManager(t *testing.T) {
	t.Parallel()
	m := newUnmanaged(t, nmFiles("\n[keyfile]\nunmanaged-devices=interface-name:enp2s0\n"))
	nmcli := nstest.Tool(t, "nmcli")
	m.startNetworkManager()
	for _, line := range []string{
		"link set lo up", "link set enp2s0 up", "addr add 203.0.113.10/32 dev enp2s0", "addr add 2001:db8:1:3::2/64 dev enp2s0 nodad",
		"route add default via 203.0.113.1 dev enp2s0 onlink", "route add default via fe80::1 dev enp2s0",
	} {
		m.must("ip", strings.Fields(line)...)
	}
	m.answers("set up by hand")
	harass := func(when string) {
		t.Helper()
		m.flap()
		m.answers("carrier flap " + when)
		m.must(nmcli, "general", "reload")
		m.answers("reload " + when)
		end(m.manager)
		m.answers("without NetworkManager " + when)
		m.startNetworkManager()
		time.Sleep(300 * time.Millisecond) // it takes its time to do harm
		m.answers("NetworkManager restarted " + when)
		m.flap()
		m.answers("another carrier flap " + when)
	}
	config := m.config("persist: {format: networkd}\n")
	a := m.begin(config)
	harass("before confirm")
	m.run("confirm", "-f", config)
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("apply after the confirmation: %v", err)
	}
	harass("after confirm")
	// When it ends it gives a parameter of every link the kernel's own value, also
	// of those that it was told to leave alone. The host answers all the same.
	for line := range strings.Lines(m.run("plan", "-f", config)) {
		if step, ok := strings.CutPrefix(strings.TrimSpace(line), "1. "); ok && !strings.HasSuffix(step, "addr_gen_mode to 1") || strings.HasPrefix(strings.TrimSpace(line), "2. ") {
			t.Errorf("after all that there is to do: %s", line)
		}
	}
	m.run("confirm", "-f", config)
	if out := m.run("plan", "-f", config); !strings.Contains(out, "Nothing to do") {
		t.Errorf("in the end there is still something to do:\n%s\nNetworkManager says:\n%s", out, m.said())
	}
}
