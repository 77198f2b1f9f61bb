package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/plan/rollback"
)

// providerNetplan is what a provider's installation leaves.
const providerNetplan = `### installimage
network:
  version: 2
  ethernets:
    enp2s0:
      addresses:
        - 203.0.113.10/32   # ours
        - 2001:db8:1:3::2/64
      routes:
        - {to: 0.0.0.0/0, via: 203.0.113.1, on-link: true}
      gateway6: fe80::1
    enp3s0: {dhcp4: true}   # the LAN
`

// rootFS makes a root with files in it.
func rootFS(t *testing.T, files map[string]string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	for name, content := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// tree reads all files below a root.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	if err := filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, at)
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			files[name], err = os.Readlink(at)
			return err
		}
		b, err := os.ReadFile(at)
		files[name] = string(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

// persisting makes a rented server whose files are below a root.
func persisting(t *testing.T, files map[string]string, config string) (*netns.NS, *applying, string) {
	t.Helper()
	root := rootFS(t, files)
	ns, a := startApply(t, "")
	text := fmt.Sprintf("address: slaac\npersist: {root: %q}\ndns: {upstreams: [192.0.2.53]}\nstate_dir: %s\n%s",
		root, filepath.Join(filepath.Dir(a.file), "state"), config)
	if err := os.WriteFile(a.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return ns, a, root
}

func TestPersist(t *testing.T) {
	ns, a, root := persisting(t, map[string]string{"etc/netplan/01-netcfg.yaml": providerNetplan}, "")
	original := tree(t, root)
	persist := func(wantStatus int, args ...string) (said string) {
		t.Helper()
		status, stdout, stderr := program(t, ns, nil, append([]string{"persist", "-f", a.file}, args...)...)
		if status != wantStatus {
			t.Fatalf("persist %q: status %d, want %d: %s%s", args, status, wantStatus, stdout, stderr)
		}
		return stdout + stderr
	}
	says := func(got string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("says\n%s\nwant %q", got, w)
			}
		}
	}
	same := func(want map[string]string) {
		t.Helper()
		if diff := cmp.Diff(want, tree(t, root)); diff != "" {
			t.Fatalf("files (-want +got):\n%s", diff)
		}
	}

	says(persist(0), "confirm:\n", "edit /etc/netplan/01-netcfg.yaml\n")
	says(persist(0, "-diff"), "--- "+root+"/etc/netplan/01-netcfg.yaml\n", "-      gateway6: fe80::1\n", "+        - \"203.0.113.10/32\" # ours\n", "copy to "+root+"/etc/netplan/01-netcfg.yaml.sixhost-saved\n")
	says(persist(2, "-write"), "fullhost: persist: the host is not as the file wants it (", "run fullhost apply first\n")
	says(persist(2, "-write", "-undo"), "fullhost: persist: -write goes with neither -diff nor -undo\n")
	says(persist(0, "-undo"), "Nothing to do: no file of the next boot is from here.\n")
	same(original)

	a.start(t, ns)
	a.until(t, "Applied.")
	for _, flag := range []string{"-write", "-undo"} {
		says(persist(2, flag), "fullhost: persist: a change is open (waiting for confirm); run fullhost confirm or fullhost undo first\n")
	}
	same(original)
	if status, _, stderr := program(t, ns, nil, "confirm", "-f", a.file); status != 0 {
		t.Fatalf("confirm: status %d, %s", status, stderr)
	}
	written := tree(t, root)
	for _, args := range [][]string{nil, {"-write"}} {
		says(persist(0, args...), "Nothing to do: the host is as wanted.\n")
	}
	if got := persist(0, "-diff"); got != "" {
		t.Errorf("a difference is left:\n%s", got)
	}

	// One file is lost, and comes back.
	if err := os.Remove(filepath.Join(root, "etc/sysctl.d/60-sixhost.conf")); err != nil {
		t.Fatal(err)
	}
	says(persist(0, "-write"), "[1/1] write /etc/sysctl.d/60-sixhost.conf\n")
	same(written)

	says(persist(0, "-undo", "-diff"), "+      gateway6: fe80::1\n", "+++ /dev/null\n")
	same(written)
	says(persist(0, "-undo"), "The next boot has the network from before the first apply.")
	same(original)

	// The network is still the new one, so they can be written again; what
	// somebody adds by hand then is not thrown away.
	persist(0, "-write")
	same(written)
	at := filepath.Join(root, "etc/netplan/01-netcfg.yaml")
	edited := written["etc/netplan/01-netcfg.yaml"] + "    lan: {}\n"
	if err := os.WriteFile(at, []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	says(persist(2, "-undo"), "fullhost: /etc/netplan/01-netcfg.yaml: was changed since it was written")
	if b, err := os.ReadFile(at); err != nil || string(b) != edited {
		t.Errorf("the edited file was touched: %v\n%s", err, b)
	}
}

// Files are not written while the confirm phase has more to do than files.
func TestPersistNeedsConfirm(t *testing.T) {
	ns, a, root := persisting(t, map[string]string{"etc/netplan/01-netcfg.yaml": providerNetplan}, "confirm_within: 30s\n")
	original := tree(t, root)
	a.start(t, ns)
	a.until(t, "Applied.")
	// Confirmed, but the confirm phase never ran: its process was killed.
	confirmOnly(t, ns, a)
	status, _, stderr := program(t, ns, nil, "persist", "-f", a.file, "-write")
	if want := "fullhost: persist: the network is not confirmed (the next step would be: "; status != 2 || !strings.HasPrefix(stderr, want) {
		t.Errorf("status %d, says %q", status, stderr)
	}
	if diff := cmp.Diff(original, tree(t, root)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// An owner whose files can't be taken over is named before anything changes;
// persisting nothing is the way out.
func TestRefusesOwners(t *testing.T) {
	const says = ", and its files can't be taken over; "
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"ifupdown": {map[string]string{"etc/network/interfaces": "auto lo\niface lo inet loopback\nauto enp2s0\niface enp2s0 inet static\n  address 203.0.113.10/32\n"},
			"fullhost: /etc/network/interfaces line 4: ifupdown configures enp2s0 here" + says},
		"ifupdown, sourced": {map[string]string{"etc/network/interfaces": "source /etc/network/interfaces.d/*\n", "etc/network/interfaces.d/50-cloud-init": "auto enp2s0\niface enp2s0 inet dhcp\n"},
			"fullhost: /etc/network/interfaces.d/50-cloud-init line 2: ifupdown configures enp2s0 here" + says},
		"ifupdown, folder": {map[string]string{"etc/network/interfaces": "source-directory interfaces.d\n", "etc/network/interfaces.d/nic": "iface enp2s0 inet6 auto\n"},
			"fullhost: /etc/network/interfaces.d/nic line 1: ifupdown configures enp2s0 here" + says},
		"ifupdown, from elsewhere": {map[string]string{"etc/network/interfaces": "source /srv/network/*\n"},
			"fullhost: /etc/network/interfaces line 1: ifupdown takes in /srv/network/*, which is not looked at"},
		"NetworkManager": {map[string]string{"etc/NetworkManager/system-connections/Wired.nmconnection": "[connection]\n"},
			"fullhost: persist: NetworkManager configures the network here (there is /etc/NetworkManager/system-connections/Wired.nmconnection)" + says},
		"connman": {map[string]string{"var/lib/connman/ethernet_901b0e123456_cable/settings": "[x]\n"},
			"fullhost: persist: connman configures the network here (there is /var/lib/connman/ethernet_901b0e123456_cable/settings)" + says},
		"wicked": {map[string]string{"etc/sysconfig/network/ifcfg-enp2s0": "BOOTPROTO='dhcp'\n"},
			"fullhost: persist: wicked configures the network here (there is /etc/sysconfig/network/ifcfg-enp2s0)" + says},
		"YAML in braces": {map[string]string{"etc/netplan/01-netcfg.yaml": "network: {ethernets: {enp2s0: {dhcp4: true}}}\n"},
			"fullhost: /etc/netplan/01-netcfg.yaml line 1: network is written in braces, which can't be edited"},
	} {
		t.Run(name, func(t *testing.T) {
			ns, a, root := persisting(t, tc.files, "")
			before, files := snapshot(t, ns), tree(t, root)
			for _, command := range []string{"plan", "apply", "confirm", "persist"} {
				status, stdout, stderr := program(t, ns, nil, command, "-f", a.file)
				if status != 2 || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, tc.want) {
					t.Errorf("%s: status %d, %s says\n%swant\n%s", command, status, stdout, stderr, tc.want)
				}
			}
			config, err := os.ReadFile(a.file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(a.file, []byte(strings.Replace(string(config), "persist: {", "persist: {format: none, ", 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			if status, stdout, stderr := program(t, ns, nil, "plan", "-f", a.file); status != 0 || !strings.Contains(stdout, "apply:\n") || strings.Contains(stdout, "persist  ") {
				t.Errorf("plan without files: status %d, %s%s", status, stdout, stderr)
			}
			if after := snapshot(t, ns); after != before {
				t.Errorf("something changed:\nbefore\n%s\nafter\n%s", before, after)
			}
			if diff := cmp.Diff(files, tree(t, root)); diff != "" {
				t.Errorf("files (-before +after):\n%s", diff)
			}
		})
	}
}

// confirmOnly disarms the watchdog and leaves it at that.
func confirmOnly(t *testing.T, ns *netns.NS, a *applying) {
	t.Helper()
	nstest.Do(t, ns, func() error {
		return rollback.Confirm(t.Context(), filepath.Join(filepath.Dir(a.file), "state"))
	})
}
