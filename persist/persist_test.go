package persist

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/plan"
)

func TestSteps(t *testing.T) {
	unit := []string{"write /etc/systemd/system/sixhost.service", "link /etc/systemd/system/multi-user.target.wants/sixhost.service to ../sixhost.service"}
	dropIns := []string{"write /etc/systemd/network/10-netplan-br0.netdev.d/60-sixhost.conf", "write /etc/systemd/network/10-netplan-br0.network.d/60-sixhost.conf"}
	sysctl := "write /etc/sysctl.d/60-sixhost.conf"
	for _, tc := range []struct {
		name   string
		files  map[string]string
		format Format
		want   []string
	}{
		{"netplan, nothing there", nil, FormatNetplan,
			append(append(dropIns[:2:2], "write /etc/netplan/60-sixhost.yaml", sysctl), unit...)},
		{"netplan, one file", map[string]string{"etc/netplan/01-netcfg.yaml": hetzner}, FormatAuto,
			append([]string{"keep a copy of /etc/netplan/01-netcfg.yaml as 01-netcfg.yaml.sixhost-saved", dropIns[0], dropIns[1], "edit /etc/netplan/01-netcfg.yaml", sysctl}, unit...)},
		{"cloud-init", map[string]string{"etc/netplan/50-cloud-init.yaml": hetzner, "etc/cloud/cloud.cfg": ""}, FormatAuto,
			append([]string{"keep a copy of /etc/netplan/50-cloud-init.yaml as 50-cloud-init.yaml.sixhost-saved", "write /etc/cloud/cloud.cfg.d/99-sixhost-network.cfg", dropIns[0], dropIns[1], "edit /etc/netplan/50-cloud-init.yaml", sysctl}, unit...)},
		{"networkd", map[string]string{"etc/systemd/network/10-enp2s0.network": hetznerNetworkd}, FormatAuto,
			append([]string{"write /etc/systemd/network/05-sixhost-br0.network", "write /etc/systemd/network/05-sixhost-br0.netdev",
				"write /etc/systemd/network/05-sixhost-enp2s0.network", "set /etc/systemd/network/10-enp2s0.network aside as 10-enp2s0.networkNO",
				sysctl, "write /etc/systemd/network/05-sixhost-br0.network.d/60-sixhost.conf"}, unit...)},
		{"none", map[string]string{"etc/network/interfaces": "iface enp2s0 inet static\n"}, FormatNone, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := Config{Bridge: wanted(), Format: tc.format, Root: rootWith(t, tc.files), Executable: "/usr/local/bin/fullhost", ConfigFile: "/etc/sixhost/host.yaml"}
			before, want, p := planFor(t, c)
			if diff := cmp.Diff(tc.want, texts(p)); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
			if !p.Phase(plan.Apply).Empty() {
				t.Error("files are written before they are confirmed")
			}
			confirm(t, p)
			after, _, again := planFor(t, c)
			if diff := cmp.Diff(want.Files, after.Files, sameFiles()); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if !again.Empty() {
				t.Errorf("the second plan has %q", texts(again))
			}
			// And back, by way of JSON.
			captured, err := plan.Capture(Part, before)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.Restore(context.Background(), []plan.Captured{captured}, []plan.Restorer{Restorer()}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, capture(t, c.Scope())); diff != "" {
				t.Errorf("after the way back (-want +got):\n%s", diff)
			}
		})
	}
}
