package persist

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/plan"
)

// boots says which network a boot on the files has: "old", "new", or what is
// wrong.
func boots(t *testing.T, s State) string {
	t.Helper()
	n := nic{uplink: "enp2s0", bridge: "br0", mac: wanted().Links[0].MAC}
	var netplan []File
	first := make(map[string]File)
	netdev, withoutCarrier := false, false
	for _, f := range s.Files {
		switch {
		case match(netplanDir+"*.yaml", f.Path):
			nf, err := readNetplan(f, n)
			if err != nil {
				t.Fatal(err)
			}
			if len(nf.ours) > 0 {
				netplan = append(netplan, f)
			}
		case match(networkdDir+"*.network", f.Path):
			nf, err := readNetwork(f, n)
			if err != nil {
				t.Fatal(err)
			}
			for link, a := range map[string]answer{n.uplink: nf.uplink, n.bridge: nf.bridge} {
				if have, ok := first[link]; a != no && (!ok || earlier(f.Path, have.Path)) {
					first[link] = f
				}
			}
		case f.Path == filesFor(wanted().Scope).netdev:
			netdev = true
		case f.Path == filesFor(wanted().Scope).bridgeExtra:
			withoutCarrier = true
		}
	}
	if len(netplan) == 1 && len(first) == 0 {
		// The rest of an edited file is for verify to watch over.
		if netplan[0].own() || netplan[0].edited() {
			return "new"
		}
		return "old"
	}
	up, hasUp := first[n.uplink]
	br, hasBr := first[n.bridge]
	switch {
	case len(netplan) > 0 || !hasUp:
		return "no network, or a mixture of netplan's files"
	case !bytes.Contains(up.Content, []byte("Bridge=br0")):
		if netdev && withoutCarrier && hasBr {
			return "addresses on a bridge without the NIC"
		}
		return "old"
	case !netdev || !hasBr || !br.own():
		return "a NIC without a bridge"
	}
	return "new"
}

// Whichever step is the last one before the power fails, there and back: the
// host boots the old network or the new one, and once it has changed it stays.
func TestCrash(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"netplan":           {"etc/netplan/01-netcfg.yaml": hetzner, "etc/netplan/90-other.yaml": "network: {version: 2, ethernets: {enp3s0: {dhcp4: true}}}\n"},
		"networkd":          {"etc/systemd/network/10-enp2s0.network": hetznerNetworkd},
		"networkd, earlier": {"etc/systemd/network/00-enp2s0.network": hetznerNetworkd},
		"networkd, two":     {"etc/systemd/network/00-enp2s0.network": hetznerNetworkd, "etc/systemd/network/01-enp2s0.network": hetznerNetworkd},
		"networkd, two more": {"etc/systemd/network/00-enp2s0.network": hetznerNetworkd, "etc/systemd/network/10-enp2s0.network": hetznerNetworkd,
			"etc/systemd/network/99-default.network": "[Match]\nName=en*\n\n[Network]\nDHCP=yes\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Bridge: wanted(), Root: rootWith(t, files)}
			_, want, there := planFor(t, c)
			original, err := Original(want)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Plan(want, original)
			if err != nil {
				t.Fatal(err)
			}
			check := func(p plan.Plan, from, to string) {
				if got := boots(t, capture(t, c.Scope())); got != from {
					t.Fatalf("boots %s, want %s", got, from)
				}
				now := from
				for _, s := range p.Steps {
					if err := s.Do(context.Background()); err != nil {
						t.Fatal(err)
					}
					got := boots(t, capture(t, c.Scope()))
					if got != from && got != to || now == to && got != to {
						t.Errorf("after %q it boots %s", s.Text, got)
					}
					now = got
				}
				if now != to {
					t.Errorf("in the end it boots %s", now)
				}
			}
			check(there, "old", "new")
			check(back, "new", "old")
		})
	}
}

// From every step on, a new plan leads to the same end.
func TestInterrupted(t *testing.T) {
	files := map[string]string{"etc/systemd/network/00-enp2s0.network": hetznerNetworkd, "etc/systemd/network/19-br0.netdev": "[NetDev]\nName=br0\nKind=bridge\n"}
	c := Config{Bridge: wanted(), Root: rootWith(t, files), Executable: "/usr/local/bin/fullhost"}
	_, want, p := planFor(t, c)
	confirm(t, p)
	for n := range len(p.Steps) {
		c.Root = rootWith(t, files)
		before, _, p := planFor(t, c)
		for _, s := range p.Steps[:n] {
			if err := s.Do(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		_, now, rest := planFor(t, c)
		confirm(t, rest)
		if got := dump(now); got != dump(want) {
			t.Errorf("after %d steps and a new plan:\n%s", n, got)
		}
		captured, err := plan.Capture(Part, before)
		if err != nil {
			t.Fatal(err)
		}
		if err := plan.Restore(context.Background(), []plan.Captured{captured}, []plan.Restorer{Restorer()}); err != nil {
			t.Fatal(err)
		}
		if got := dump(capture(t, c.Scope())); got != dump(before) {
			t.Errorf("after %d steps and back:\n%s", n, got)
		}
	}
}

// Steps leave alone what somebody changed since.
func TestChangedMeanwhile(t *testing.T) {
	c := Config{Bridge: wanted(), Root: rootWith(t, map[string]string{"etc/netplan/01-netcfg.yaml": hetzner})}
	_, _, p := planFor(t, c)
	at := filepath.Join(c.Root, "etc/netplan/01-netcfg.yaml")
	if err := os.WriteFile(at, []byte("network: {version: 2}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := p.Run(context.Background(), plan.Confirm, nil)
	if !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), at) {
		t.Errorf("error is %v", err)
	}
	if b, err := os.ReadFile(at); err != nil || string(b) != "network: {version: 2}\n" {
		t.Errorf("the file was touched: %q, %v", b, err)
	}
}

// A file of somebody else's at a path of ours is kept.
func TestForeignAtOurPath(t *testing.T) {
	c := Config{Bridge: wanted(), Format: FormatNetplan, Root: rootWith(t, map[string]string{sysctlPath: "vm.swappiness = 1\n"})}
	_, _, p := planFor(t, c)
	confirm(t, p)
	kept, ok := capture(t, c.Scope()).File(sysctlPath + savedSuffix)
	if !ok || string(kept.Content) != "vm.swappiness = 1\n" {
		t.Errorf("not kept: %+v", kept)
	}
	// No temporary file is left, and no folder was made that networkd can't enter.
	err := filepath.WalkDir(c.Root, func(at string, d os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(path.Base(at), ".") {
			t.Errorf("%s was left", at)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
