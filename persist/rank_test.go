package persist

import "testing"

// TestRank: only copies and what was set aside come where nothing has an effect.
func TestRank(t *testing.T) {
	for name, want := range map[string]int{
		"etc/netplan/01-NODE.yaml":                  rankSwitch,
		"etc/netplan/01-netcfg.yaml":                rankSwitch,
		"etc/netplan/01-NODE.yaml" + savedSuffix:    rankBackup,
		"etc/systemd/network/10-enp2s0.networkNO":   rankBackup,
		"etc/systemd/network/10-enp2s0.networkNO.1": rankBackup,
		"etc/systemd/network/10-br0.netdevNO":       rankBackup,
		"etc/systemd/network/05-sixhost-br0.netdev": rankNetdev,
	} {
		if got := rank(name); got != want {
			t.Errorf("%s: rank %d, want %d", name, got, want)
		}
	}
}
