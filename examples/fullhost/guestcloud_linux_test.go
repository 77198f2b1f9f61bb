package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/lab/wire"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/vm"
	"github.com/sixhost/sixhost/slaac"
)

// cloudReport is what the image has beside Debian's packages: a word on the
// console of what cloud-init has made of the machine.
const cloudReport = `#!/bin/sh
say() { read up rest </proc/uptime; echo "SIXHOST $up $*" >/dev/ttyS0; }
say kernel $(uname -r)
say hostname $(cat /etc/hostname)
say key $(cat /home/debian/.ssh/authorized_keys)
say source $(cat /run/cloud-init/result.json | tr -d '\n ')
say address $(ip -6 -o addr show scope global | sed 's/.*inet6 //; s/ .*//')
say ipv4 $(ip -4 -o addr show scope global)
say online $(systemctl show -P InactiveExitTimestampMonotonic systemd-networkd-wait-online) $(systemctl show -P ActiveEnterTimestampMonotonic systemd-networkd-wait-online)
say failed $(systemctl --failed --plain --no-legend)
say ready
`

const cloudReportUnit = `[Unit]
After=cloud-final.service
[Service]
Type=oneshot
ExecStart=/usr/local/sbin/report
`

// TestCloudImage boots a Debian as cloud providers have it, from the disk and the
// seed that fullhost guest start gives it: it becomes the machine that was
// described, at the address that was known before, and waits for no DHCP.
func TestCloudImage(t *testing.T) {
	if os.Getenv("CI_TIER") != "full" {
		t.Skip("installs a Debian and boots it for minutes: only with CI_TIER=full")
	}
	nstest.RequireRoot(t)
	nstest.RequireTun(t)
	for _, tool := range []string{"mmdebstrap", "mke2fs", "qemu-system-x86_64", "ssh", "ssh-keygen"} {
		nstest.Tool(t, tool)
	}
	cache := os.Getenv("SIXHOST_VM_CACHE")
	if cache == "" {
		cache = t.TempDir()
	}
	ctx := t.Context()
	root, err := vm.NewCloudRoot(ctx, cache)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "cloud.img")
	kernel, initrd, err := root.CloudImage(ctx, image, map[string]vm.File{
		"usr/local/sbin/report": {Mode: 0o755, Content: []byte(cloudReport)},
		// The package locales is all that is missing from what providers have.
		"etc/cloud/cloud.cfg.d/90-locale.cfg":                       {Mode: 0o644, Content: []byte("locale: false\n")},
		"etc/systemd/system/report.service":                         {Mode: 0o644, Content: []byte(cloudReportUnit)},
		"etc/systemd/system/cloud-init.target.wants/report.service": {Target: "/etc/systemd/system/report.service"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(envProgram, "1") // for the server's commands

	l, err := lab.New(ctx, lab.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	v := newVirtHost(t, l)
	p := &productRecipe{lab: l, out: newProgress(io.Discard, false), dir: dir, config: filepath.Join(dir, "host.yaml")}
	if err := installProviderNetplan(filepath.Join(dir, "root"), l.Gateway6()); err != nil {
		t.Fatal(err)
	}
	identity := filepath.Join(dir, "id")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "owner", "-f", identity).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	public, err := os.ReadFile(identity + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(public))
	text := fmt.Sprintf("address: slaac\nstate_dir: %[1]s/state\npersist: {root: %[1]s/root}\nlibvirt: {socket: %[2]s, emulate: true}\ndns: {domain: %[3]s, upstreams: [%[4]q]}\nguests:\n"+
		"- name: cloud\n  memory_mib: 768\n  disk: %[5]s\n  kernel: %[6]s\n  initrd: %[7]s\n  cmdline: root=/dev/vda rw console=ttyS0 quiet mitigations=off\n  console_log: %[1]s/cloud.log\n  cloud_init: {image: %[1]s/seed.img, ssh_keys: [%[8]q]}\n",
		dir, v.socket, zone(), l.Resolvers()[0], image, kernel, initrd, key)
	if err := os.WriteFile(p.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.stand(t, ctx)
	v.dial(t).Close()
	l.Judge().AddGuest(wire.MAC(slaac.GuestMAC("cloud")))
	out := p.say(t, "guest", "start", "-f", p.config, "cloud")
	if !strings.Contains(out, "write the seed image") {
		t.Errorf("start said:\n%s", out)
	}
	begun := time.Now()
	s := console{filepath.Join(dir, "cloud.log")}.bootWithin(t, 1, 15*time.Minute)
	t.Logf("up after %.0f s: %v", time.Since(begun).Seconds(), s)
	want := guestAddr(t, "cloud")
	for word, text := range map[string]string{
		"hostname": "cloud", "key": key, "address": want.String() + "/64", "ipv4": "", "failed": "",
	} {
		if s[word].text != text {
			t.Errorf("%s is %q, want %q", word, s[word].text, text)
		}
	}
	if !strings.Contains(s["source"].text, "NoCloud") || !strings.Contains(s["source"].text, `"errors":[]`) {
		t.Errorf("cloud-init: %s", s["source"].text)
	}
	// Nothing waited for an answer that nobody gives: DHCP asks for a minute or two.
	var from, to int64
	if _, err := fmt.Sscan(s["online"].text, &from, &to); err != nil || to <= from || to-from > (45*time.Second).Microseconds() {
		t.Errorf("waiting for the network took from %d to %d us, %v", from, to, err)
	}
	counters := nstest.Output(t, l.Server().NS(), nstest.Tool(t, "nft"), "list", "counter", "bridge", "sixhost_edge", "ipv4-from-guest")
	if !regexp.MustCompile(`packets 0\b`).MatchString(counters) {
		t.Errorf("it has sent IPv4: %s", counters)
	}
	// The owner logs in.
	var login []byte
	nstest.Do(t, l.Node(lab.Client6).NS(), func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(want, 22).String(), 20*time.Second)
		if err != nil {
			return err
		}
		return c.Close()
	})
	if err := l.Node(lab.Client6).NS().Do(func() (err error) {
		login, err = exec.Command("ssh", "-i", identity, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "-o", "ConnectTimeout=60", "debian@"+want.String(), "hostname").CombinedOutput()
		return err
	}); err != nil || !strings.Contains(string(login), "cloud") {
		t.Errorf("log in: %v\n%s", err, login)
	}
}
