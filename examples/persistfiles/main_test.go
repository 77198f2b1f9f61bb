package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// stateFile writes what -capture prints on a server.
func stateFile(t *testing.T) string {
	t.Helper()
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	b, err := json.Marshal(bridge.State{
		Scope:  bridge.Scope{Uplink: "enp2s0", Bridge: "br0"},
		Links:  []bridge.Link{{Name: "enp2s0", Kind: "device", MAC: mac, MTU: 1500, Up: true, Ethernet: true}},
		Addrs:  []bridge.Addr{{Link: "enp2s0", Prefix: netip.MustParsePrefix("2001:db8:1:3::2/64"), Preferred: bridge.Forever, Valid: bridge.Forever}},
		Routes: []bridge.Route{{Link: "enp2s0", Family: 6, Table: 254, Type: 1, Dst: netip.MustParsePrefix("::/0"), Via: netip.MustParseAddr("fe80::1"), Metric: 1024}},
	})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "server.json")
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out, errs bytes.Buffer
	err := run(context.Background(), args, &out, &errs)
	return out.String(), err
}

func TestPrint(t *testing.T) {
	out, err := call(t, "-state", stateFile(t), "-format", "netplan", "-address", "slaac", "-dns", "2001:db8::53,198.51.100.53")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"write /etc/netplan/60-sixhost.yaml\n", "==> /etc/netplan/60-sixhost.yaml (0600)\n", `- "2001:db8:1:3:921b:eff:fe12:3456/64"`,
		`macaddress: "90:1b:0e:12:34:56"`, `via: "fe80::1"`, `addresses: ["2001:db8::53", "198.51.100.53"]`, "net/ipv6/conf/all/forwarding = 1",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "2001:db8:1:3::2/64") {
		t.Error("the address that is given up is in the files")
	}
}

func TestWrite(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/systemd/network")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "10-enp2s0.network"), []byte("[Match]\nName=enp2s0\n[Network]\nDNS=2001:db8::53\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	state := stateFile(t)
	out, err := call(t, "-state", state, "-root", root)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "set /etc/systemd/network/10-enp2s0.network aside as 10-enp2s0.networkNO") {
		t.Errorf("printed:\n%s", out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "05-sixhost-br0.network"))
	if err != nil || !strings.Contains(string(b), "DNS=2001:db8::53\n") {
		t.Errorf("written: %s, %v", b, err)
	}
	if out, err = call(t, "-state", state, "-root", root); err != nil || !strings.Contains(out, "Nothing to do") {
		t.Errorf("the second time: %v\n%s", err, out)
	}
}

func TestRefused(t *testing.T) {
	for _, tc := range []struct {
		args []string
		says string
	}{
		{[]string{"-state", stateFile(t)}, "persist: there are no files"},
		{[]string{"-state", "/nonexistent"}, "state: open /nonexistent"},
		{[]string{"-state", os.Args[0]}, "is not what -capture prints"},
		{[]string{"-root", "/nonexistent"}, "root /nonexistent: is not a folder"},
		{[]string{"-format", "ifupdown"}, "want auto, netplan, networkd or none"},
		{[]string{"-dns", "resolver"}, "name server: "},
		{[]string{"-prefix", "2001:db8::"}, "prefix: "},
		{[]string{"more"}, "argument more: is unknown"},
	} {
		_, err := call(t, tc.args...)
		var refusal *plan.Refusal
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: %v, want %q", tc.args, err, tc.says)
		}
	}
}
