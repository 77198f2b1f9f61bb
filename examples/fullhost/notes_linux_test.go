package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

// TestPlanNotes: what the operator should read first stands below the steps.
func TestPlanNotes(t *testing.T) {
	ns := nstest.NS(t)
	nstest.Do(t, ns, func() error { _, err := rented(); return err })
	root := t.TempDir()
	for name, content := range map[string]string{
		"etc/netplan/01-netcfg.yaml":                 "network:\n  version: 2\n  ethernets:\n    enp2s0: {addresses: ['2001:db8:1:3::2/64']}\n",
		"run/systemd/network/10-netplan-enp2s0.link": "[Match]\nMACAddress=90:1b:0e:12:34:56\n[Link]\nName=enp2s0\n",
		"usr/lib/systemd/network/99-default.link":    "[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep kernel\n",
		"etc/systemd/network/50-other.link":          "[Match]\nMACAddress=02:00:00:00:00:01\n[Link]\nName=lan\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "host.yaml")
	config := "persist: {root: " + root + "}\ndns: {upstreams: [192.0.2.53]}\nspanning_tree: {enabled: true, forward_delay: 15s, accept_dead_time: true}\nbridge: br0\n"
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := program(t, ns, nil, "plan", "-f", file)
	if status != 0 {
		t.Fatalf("status %d, %s", status, stderr)
	}
	for _, want := range []string{
		"\nnote: with the spanning tree, enp2s0 is dead for 30s",
		"\nnote: br_netfilter is loaded",
		"\nnote: the machine's neighbour tables should have room for 2048 entries",
		"\nnote: /run/systemd/network/10-netplan-enp2s0.link matches every interface with the MAC",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the plan lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(stdout)
	}
}
