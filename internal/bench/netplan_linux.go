package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
)

// The half of `netplan apply` that changes the network is to generate
// networkd's files, to have networkd read them and to have it configure the
// links anew. The other half (udev, stopping units) needs a running systemd and
// changes nothing here.

// netplanScript runs in the server until it is killed: a system bus and
// networkd on the provider's file, and the move when the file "go" appears.
const netplanScript = `PATH=$PATH:/usr/sbin:/sbin
mount -t sysfs -o ro none /sys
mount --bind "$1/etc" /etc/netplan
mkdir -p /run/systemd/network /run/systemd/netif /run/dbus
chown systemd-network:systemd-network /run/systemd/netif
chmod -R a+rX /run/systemd
netplan generate
dbus-daemon --system --fork --nopidfile
/lib/systemd/systemd-networkd &
until grep -qs ADMIN_STATE=configured /run/systemd/netif/links/*; do sleep 0.02; done
touch "$1/ready"
until [ -e "$1/go" ]; do sleep 0.02; done
cp "$1/bridged.yaml" /etc/netplan/01-netcfg.yaml
netplan generate
networkctl reload
networkctl reconfigure "$2"
touch "$1/done"
wait`

// providersNetplan is what the provider leaves, bridgedNetplan what a manual
// says to make of it.
func providersNetplan() string {
	return fmt.Sprintf(`network:
  version: 2
  renderer: networkd
  ethernets:
    %s:
%s`, lab.NIC, netplanAddresses())
}

func bridgedNetplan() string {
	return fmt.Sprintf(`network:
  version: 2
  renderer: networkd
  ethernets:
    %s: {dhcp4: false, dhcp6: false}
  bridges:
    %s:
      interfaces: [%s]
      macaddress: "%s"
      parameters: {stp: false, forward-delay: 0}
%s`, lab.NIC, lab.ArticleBridge, lab.NIC, lab.ServerMAC(), netplanAddresses())
}

func netplanAddresses() string {
	return fmt.Sprintf(`      addresses: [%s, "%s"]
      routes:
      - {to: 0.0.0.0/0, via: %s, on-link: true}
      - {to: default, via: "%s"}
`, lab.ServerIPv4(), lab.ServerIPv6(), lab.GatewayIPv4(), lab.GatewayIPv6())
}

// prepareNetplan starts networkd on the server's NIC.
func prepareNetplan(ctx context.Context, s *site) error {
	for name, text := range map[string]string{"etc/01-netcfg.yaml": providersNetplan(), "bridged.yaml": bridgedNetplan()} {
		at := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return fmt.Errorf("make netplan's folder: %w", err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			return fmt.Errorf("write netplan's file: %w", err)
		}
	}
	said := new(bytes.Buffer)
	cmd := exec.Command("unshare", "-m", "sh", "-e", "-c", netplanScript, "sh", s.dir, lab.NIC)
	cmd.Stdout, cmd.Stderr = said, said
	p, err := s.Run(s.Server(), cmd)
	if err != nil {
		return fmt.Errorf("start networkd on the server: %w", err)
	}
	return s.awaitFile(ctx, "ready", p, said)
}

func moveByNetplan(ctx context.Context, s *site) error {
	if err := os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o644); err != nil {
		return fmt.Errorf("have networkd move: %w", err)
	}
	return s.awaitFile(ctx, "done", nil, nil)
}

// awaitFile waits until the server's script has made a file.
func (s *site) awaitFile(ctx context.Context, name string, p *lab.Program, said *bytes.Buffer) error {
	over := make(<-chan struct{})
	if p != nil {
		over = p.Done()
	}
	for {
		_, err := os.Stat(filepath.Join(s.dir, name))
		if err == nil {
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("wait for the server's script: %w", err)
		}
		select {
		case <-over:
			return fmt.Errorf("the server's script ended early: %w\n%s", p.Wait(ctx), said)
		case <-ctx.Done():
			return fmt.Errorf("wait for the server's script: %w", context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}
