package persist

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/plan"
)

// From whatever a plan or its way back leaves, the originals are found again.
func TestOriginal(t *testing.T) {
	const net = "etc/systemd/network/"
	for name, files := range map[string]map[string]string{
		"nothing":                   {},
		"netplan":                   {"etc/netplan/01-netcfg.yaml": hetzner, "etc/cloud/cloud.cfg": ""},
		"netplan, networkd as well": {"etc/netplan/01-netcfg.yaml": hetzner, net + "05-a.network": hetznerNetworkd},
		"networkd":                  {net + "10-enp2s0.network": hetznerNetworkd, net + "19-br0.netdev": "[NetDev]\nName=br0\nKind=bridge\n"},
		"names taken":               {net + "10-enp2s0.network": hetznerNetworkd, net + "10-enp2s0.networkNO": "mine\n", net + "70-old.networkNO": "mine too\n", sysctlPath: "vm.swappiness = 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Bridge: wanted(), Root: rootWith(t, files), Executable: "/usr/local/bin/fullhost"}
			if len(files) == 0 {
				c.Format = FormatNetplan
			}
			checkWayBack(t, c, capture(t, c.Scope()))
		})
	}
}

// A file that is a link elsewhere is one again.
func TestOriginalLink(t *testing.T) {
	c := Config{Bridge: wanted(), Root: rootWith(t, map[string]string{"etc/netplan/README": hetzner})}
	if err := os.Symlink("README", filepath.Join(c.Root, "etc/netplan/01-netcfg.yaml")); err != nil {
		t.Fatal(err)
	}
	checkWayBack(t, c, capture(t, c.Scope()))
	if b, err := os.ReadFile(filepath.Join(c.Root, "etc/netplan/README")); err != nil || string(b) != hetzner {
		t.Errorf("what the link leads to has changed: %v", err)
	}
}

// A second and a third wish don't lose sight of the originals.
func TestOriginalAfterMore(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"netplan":  {"etc/netplan/01-netcfg.yaml": hetzner},
		"networkd": {"etc/systemd/network/10-enp2s0.network": hetznerNetworkd},
	} {
		t.Run(name, func(t *testing.T) {
			c := Config{Bridge: wanted(), Root: rootWith(t, files)}
			before := capture(t, c.Scope())
			_, _, p := planFor(t, c)
			confirm(t, p)
			c.Bridge.Addrs = c.Bridge.Addrs[1:]
			_, _, p = planFor(t, c)
			if p.Empty() {
				t.Fatal("an address less changes nothing")
			}
			confirm(t, p)
			original, err := Original(capture(t, c.Scope()))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before.Files, original.Files, sameFiles()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What somebody changed since is refused by name, and nothing is touched.
func TestOriginalRefuses(t *testing.T) {
	const eth, unit = "etc/netplan/01-netcfg.yaml", "etc/systemd/system/sixhost.service"
	for _, tc := range []struct {
		name   string
		change func(t *testing.T, root string)
		says   string
	}{
		{"edited netplan file", func(t *testing.T, root string) { appendTo(t, root, eth, "# mine\n") }, "/etc/netplan/01-netcfg.yaml: was changed since it was written"},
		{"file of ours", func(t *testing.T, root string) { appendTo(t, root, unit, "[X]\n") }, "/etc/systemd/system/sixhost.service: was changed since it was written"},
		{"sum taken out", func(t *testing.T, root string) {
			edit(t, root, sysctlPath, func(s string) string { return strings.ReplaceAll(s, sumPrefix, "# ") })
		}, "/etc/sysctl.d/60-sixhost.conf: was changed"},
		{"copy gone", func(t *testing.T, root string) {
			if err := os.Remove(filepath.Join(root, eth+savedSuffix)); err != nil {
				t.Fatal(err)
			}
		}, "/etc/netplan/01-netcfg.yaml: has lost the copy that was kept beside it"},
		{"written anew by hand", func(t *testing.T, root string) {
			edit(t, root, eth, func(string) string { return "network: {version: 2}\n" })
		}, "/etc/netplan/01-netcfg.yaml: is not what was put there, nor what it was; /etc/netplan/01-netcfg.yaml.sixhost-saved is what it was"},
		{"put there since", func(t *testing.T, root string) {
			appendTo(t, root, "etc/systemd/network/05-a.network", "[Match]\nName=enp3s0\n")
		}, "/etc/systemd/network/05-a.network: was put there since /etc/systemd/network/05-a.networkNO was set aside"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{Bridge: wanted(), Executable: "/usr/local/bin/fullhost",
				Root: rootWith(t, map[string]string{eth: hetzner, "etc/systemd/network/05-a.network": hetznerNetworkd})}
			_, _, p := planFor(t, c)
			confirm(t, p)
			tc.change(t, c.Root)
			_, err := Original(capture(t, c.Scope()))
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) || !errors.Is(err, ErrEdited) || !strings.HasPrefix(err.Error(), tc.says) {
				t.Errorf("says %v\nwant %s", err, tc.says)
			}
		})
	}
}

// An edited file that its owner went on with is edited again, keeps what was
// added, and can't be taken back by itself any more.
func TestEditedMeanwhile(t *testing.T) {
	const eth = "etc/netplan/01-netcfg.yaml"
	c := Config{Bridge: wanted(), Root: rootWith(t, map[string]string{eth: hetzner})}
	_, _, p := planFor(t, c)
	confirm(t, p)
	edit(t, c.Root, eth, func(s string) string {
		return strings.Replace(s, "  bridges:\n", "    enp3s0: {dhcp4: true} # the LAN\n  bridges:\n", 1)
	})
	if _, _, p = planFor(t, c); !p.Empty() {
		t.Errorf("somebody else's entry makes us do %q", texts(p))
	}
	c.Bridge.Addrs = c.Bridge.Addrs[1:]
	_, want, p := planFor(t, c)
	confirm(t, p)
	f, _ := want.File(eth)
	if !strings.Contains(string(f.Content), "    enp3s0: {dhcp4: true} # the LAN\n") || !sealed(f.Content) {
		t.Errorf("the file is now\n%s", f.Content)
	}
	_, err := Original(capture(t, c.Scope()))
	if !errors.Is(err, ErrEdited) || !strings.Contains(err.Error(), "has 2 copies beside it") {
		t.Errorf("error is %v", err)
	}
}

func appendTo(t *testing.T, root, name, more string) {
	t.Helper()
	edit(t, root, name, func(s string) string { return s + more })
}

func edit(t *testing.T, root, name string, change func(string) string) {
	t.Helper()
	at := filepath.Join(root, name)
	b, err := os.ReadFile(at)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(change(string(b))), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDiff(t *testing.T) {
	s := func(files ...File) State { return State{Scope: Scope{Root: "/"}, Files: files} }
	const net = "etc/systemd/network/"
	from := s(File{Path: "etc/netplan/a.yaml", Mode: 0o644, Content: []byte("a\nb\nc\n")},
		File{Path: net + "10-a.network", Content: []byte("x\n")},
		File{Path: "etc/sysctl.d/60-sixhost.conf", Mode: 0o644, Content: []byte("gone\n")})
	to := s(File{Path: "etc/netplan/a.yaml", Mode: 0o600, Content: []byte("a\nB\nc\n")},
		File{Path: "etc/netplan/a.yaml" + savedSuffix, Mode: 0o644, Content: []byte("a\nb\nc\n")},
		File{Path: net + "10-a.networkNO", Content: []byte("x\n")},
		File{Path: unitLinkPath, Target: unitLinkTarget})
	const want = `copy from /etc/netplan/a.yaml
copy to /etc/netplan/a.yaml.sixhost-saved
old mode 0644 of /etc/netplan/a.yaml
new mode 0600
--- /etc/netplan/a.yaml
+++ /etc/netplan/a.yaml
@@ -1,3 +1,3 @@
 a
-b
+B
 c
rename from /etc/systemd/network/10-a.network
rename to /etc/systemd/network/10-a.networkNO
--- /dev/null
+++ /etc/systemd/system/multi-user.target.wants/sixhost.service
@@ -0,0 +1,1 @@
+symbolic link to ../sixhost.service
`
	got := string(Diff(from, to))
	removed := "--- /etc/sysctl.d/60-sixhost.conf\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-gone\n"
	if !strings.Contains(got, removed) {
		t.Errorf("the removal is missing in\n%s", got)
	}
	if diff := cmp.Diff(want, strings.Replace(got, removed, "", 1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := Diff(to, to); len(d) > 0 {
		t.Errorf("no difference is shown as %q", d)
	}
}

// Taking back by hand is stopped by what changes between plan and step, too.
func TestOriginalChangedMeanwhile(t *testing.T) {
	const eth = "etc/netplan/01-netcfg.yaml"
	c := Config{Bridge: wanted(), Root: rootWith(t, map[string]string{eth: hetzner})}
	_, _, p := planFor(t, c)
	confirm(t, p)
	now := capture(t, c.Scope())
	original, err := Original(now)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Plan(now, original); err != nil {
		t.Fatal(err)
	}
	appendTo(t, c.Root, eth, "# mine\n")
	if err := p.Run(context.Background(), plan.Confirm, nil); !errors.Is(err, ErrChanged) {
		t.Errorf("error is %v", err)
	}
}
