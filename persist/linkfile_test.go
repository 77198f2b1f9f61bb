package persist

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLinkFiles: those that would rename the bridge are reported, wherever udev
// finds them.
func TestLinkFiles(t *testing.T) {
	const (
		ours     = "[Match]\nMACAddress=90:1b:0e:12:34:56\n[Link]\nName=enp2s0\n"
		upper    = "[Match]\nMACAddress=02:00:00:00:00:01 90-1B-0E-12-34-56\n[Link]\nNamePolicy=path\n"
		anyName  = "[Match]\nOriginalName=*\nMACAddress=90:1b:0e:12:34:56\n[Link]\nName=enp2s0\n"
		byName   = "[Match]\nOriginalName=eth*\nMACAddress=90:1b:0e:12:34:56\n[Link]\nName=enp2s0\n"
		burnt    = "[Match]\nPermanentMACAddress=90:1b:0e:12:34:56\n[Link]\nName=enp2s0\n"
		other    = "[Match]\nMACAddress=90:1b:0e:12:34:57\n[Link]\nName=lan\n"
		ordinary = "[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep kernel\n"
	)
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  []string // paths that are reported
	}{
		{"in etc", map[string]string{"etc/systemd/network/25-mac.link": ours}, []string{"/etc/systemd/network/25-mac.link"}},
		{"netplan's own", map[string]string{"run/systemd/network/10-netplan-enp2s0.link": ours}, []string{"/run/systemd/network/10-netplan-enp2s0.link"}},
		{"a package's", map[string]string{"usr/lib/systemd/network/73-mac.link": upper}, []string{"/usr/lib/systemd/network/73-mac.link"}},
		{"local", map[string]string{"usr/local/lib/systemd/network/73-mac.link": anyName}, []string{"/usr/local/lib/systemd/network/73-mac.link"}},
		{"lib that is not usr/lib", map[string]string{"lib/systemd/network/73-mac.link": ours}, []string{"/lib/systemd/network/73-mac.link"}},
		{"several", map[string]string{"etc/systemd/network/1.link": ours, "run/systemd/network/2.link": ours}, []string{"/etc/systemd/network/1.link", "/run/systemd/network/2.link"}},
		{"replaced by one that matches nothing of ours", map[string]string{"etc/systemd/network/1.link": other, "usr/lib/systemd/network/1.link": ours}, nil},
		{"masked", map[string]string{"etc/systemd/network/1.link": "", "run/systemd/network/1.link": ours}, nil},
		{"harmless", map[string]string{
			"etc/systemd/network/1.link": byName, "run/systemd/network/2.link": burnt, "usr/lib/systemd/network/3.link": other, "usr/lib/systemd/network/99-default.link": ordinary,
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.files["etc/netplan/01-netcfg.yaml"] = hetzner
			before, _, p := planFor(t, Config{Bridge: wanted(), Root: rootWith(t, tc.files)})
			var got []string
			for _, n := range p.Notes {
				if path, rest, ok := strings.Cut(n, " matches every interface with the MAC 90:1b:0e:12:34:56, which br0 has too"); ok && rest != "" {
					got = append(got, path)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("reported (-want +got):\n%s", diff)
			}
			// On the way back, what generators have changed meanwhile is left.
			now := before.clone()
			for i := range now.Files {
				if readOnly(now.Files[i]) {
					now.Files[i].Content = []byte("changed")
				}
			}
			back, err := Plan(now, before)
			if err != nil || !back.Empty() {
				t.Errorf("the way back would %v, %v", back.Steps, err)
			}
		})
	}
}
