package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sixhost/sixhost/examples/internal/libvirtguests"
	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/internal/nstest"
)

// virtHost is a real libvirtd in the lab's server, with folders of its own.
type virtHost struct {
	lab    *lab.Lab
	dir    string
	socket string
	daemon *lab.Program
}

// The outer shell goes when its input ends, and that is when the test does, in
// whatever way.
const virtOuter = `unshare --mount --propagation private --pid --fork --kill-child=KILL --mount-proc /bin/sh -c "$INNER" </dev/null &
cat >/dev/null
kill -KILL $!`

// The inner one is the first process of a PID namespace: libvirtd can end and be
// started again while the guests run, and nothing of either is left when the
// shell is killed.
const virtScript = `
set -e
mount -t tmpfs none /run
mkdir /run/libvirt
for d in run/libvirt var/lib/libvirt var/cache/libvirt var/log/libvirt etc/libvirt; do
	mkdir -p "$DIR/$d" "/$d"
	mount --bind "$DIR/$d" "/$d"
done
cat >/etc/libvirt/libvirtd.conf <<EOF
unix_sock_ro_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
EOF
cat >/etc/libvirt/qemu.conf <<EOF
security_driver = "none"
user = "root"
group = "root"
stdio_handler = "file"
cgroup_controllers = []
namespaces = []
remember_owner = 0
EOF
while :; do
	libvirtd --pid-file "$DIR/pid" || true
	sleep 0.1
done
`

func newVirtHost(t testing.TB, l *lab.Lab) *virtHost {
	t.Helper()
	nstest.Tool(t, "libvirtd")
	// Short, as a socket's path must be.
	dir, err := os.MkdirTemp("", "virt")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	v := &virtHost{lab: l, dir: dir, socket: filepath.Join(dir, "run/libvirt/libvirt-sock")}
	cmd := exec.Command("/bin/sh", "-c", virtOuter)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	// libvirtd is in the system's folders.
	cmd.Env = append(os.Environ(), "DIR="+dir, "INNER="+virtScript, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if v.daemon, err = l.Run(l.Server(), cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		v.daemon.Kill()
		if t.Failed() {
			for line := range strings.Lines(string(v.log())) {
				if !strings.Contains(line, "ethtool ioctl") {
					t.Log("libvirtd: " + strings.TrimSpace(line))
				}
			}
		}
	})
	return v
}

func (v *virtHost) log() []byte {
	b, err := os.ReadFile(filepath.Join(v.dir, "log"))
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

// dial waits for libvirtd and connects.
func (v *virtHost) dial(t testing.TB) *libvirtguests.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for {
		c, err := libvirtguests.Dial(ctx, v.socket)
		if err == nil {
			return c
		}
		select {
		case <-ctx.Done():
			t.Fatalf("libvirtd does not come up: %v", err)
		case <-v.daemon.Done():
			t.Fatalf("libvirtd's shell has ended: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// restart kills libvirtd, and waits for another.
func (v *virtHost) restart(t testing.TB) {
	t.Helper()
	v.kill(t)
	v.dial(t).Close()
}

// kill kills libvirtd; the shell starts another.
func (v *virtHost) kill(t testing.TB) {
	t.Helper()
	// The number is one of its own namespace: find whom it is here.
	pid := v.findDaemon(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
			break
		}
		if time.Now().After(end) {
			t.Fatal("libvirtd does not die")
		}
	}
}

// findDaemon looks for libvirtd among the descendants of the shell.
func (v *virtHost) findDaemon(t testing.TB) int {
	t.Helper()
	children := func(pid int) (list []int) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			return nil
		}
		for _, f := range strings.Fields(string(b)) {
			var n int
			if _, err := fmt.Sscan(f, &n); err == nil {
				list = append(list, n)
			}
		}
		return list
	}
	for list := children(v.daemon.Cmd.Process.Pid); len(list) > 0; list = list[1:] {
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", list[0]))
		if err != nil {
			continue // it has ended
		}
		if strings.TrimSpace(string(comm)) == "libvirtd" {
			return list[0]
		}
		list = append(list, children(list[0])...)
	}
	t.Fatal("no libvirtd is there")
	return 0
}

// guestParts are what the guests boot.
type guestParts struct{ kernel, initrd string }

// guestModules are Debian's drivers in the order they need each other.
func guestModules() []string {
	return []string{"virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "failover", "net_failover", "virtio_net", "evdev", "button"}
}

// newGuestParts takes Debian's cloud kernel out of its package and makes an
// initial RAM file system with busybox, and rdisc6 to hear what the router says.
func newGuestParts(t testing.TB) guestParts {
	t.Helper()
	dir := t.TempDir()
	p := guestParts{kernel: filepath.Join(dir, "vmlinuz"), initrd: filepath.Join(dir, "initrd.img")}
	tree := debianKernel(t)
	found, err := filepath.Glob(filepath.Join(tree, "boot/vmlinuz-*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("kernels in %s: %q, %v", tree, found, err)
	}
	if err := os.Link(found[0], p.kernel); err != nil {
		copyFile(t, found[0], p.kernel, 0o644)
	}
	root := filepath.Join(dir, "root")
	for _, d := range []string{"bin", "dev", "proc", "sys", "etc", "m", "www", "tmp", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, nstest.Tool(t, "busybox"), filepath.Join(root, "bin/busybox"), 0o755)
	for _, m := range guestModules() {
		found := ""
		filepath.WalkDir(filepath.Join(tree, "lib/modules"), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == m+".ko" {
				found = path
			}
			return err
		})
		if found == "" {
			t.Fatalf("the kernel has no module %s", m)
		}
		copyFile(t, found, filepath.Join(root, "m", m+".ko"), 0o644)
	}
	rdisc := nstest.Tool(t, "rdisc6")
	copyFile(t, rdisc, filepath.Join(root, "bin/rdisc6"), 0o755)
	libs, err := exec.Command("ldd", rdisc).Output()
	if err != nil {
		t.Fatal(err)
	}
	for f := range strings.FieldsSeq(string(libs)) {
		if strings.HasPrefix(f, "/") {
			to := filepath.Join(root, f)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			copyFile(t, f, to, 0o755)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "init"), []byte(guestInit(guestModules())), 0o755); err != nil {
		t.Fatal(err)
	}
	pack := exec.Command("/bin/sh", "-c", `cd "$0" && find . | busybox cpio -o -H newc >"$1"`, root, p.initrd)
	if out, err := pack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

func copyFile(t testing.TB, from, to string, mode fs.FileMode) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, mode); err != nil {
		t.Fatal(err)
	}
}

// debianKernel returns a folder with the unpacked package, fetched by apt where
// the cache has none.
func debianKernel(t testing.TB) string {
	t.Helper()
	apt := nstest.Tool(t, "apt-get")
	cache := os.Getenv("SIXHOST_VM_CACHE")
	if cache == "" {
		cache = filepath.Join(os.TempDir(), "sixhost-kernel")
	}
	depends, err := exec.Command("apt-cache", "depends", "--important", "linux-image-cloud-amd64").Output()
	if err != nil {
		t.Fatalf("look for the kernel's package: %v", err)
	}
	pkg := ""
	for line := range strings.Lines(string(depends)) {
		if _, name, ok := strings.Cut(line, "Depends:"); ok && pkg == "" {
			pkg = strings.TrimSpace(name)
		}
	}
	if pkg == "" {
		t.Fatalf("linux-image-cloud-amd64 depends on no kernel:\n%s", depends)
	}
	tree := filepath.Join(cache, pkg)
	if _, err := os.Stat(tree); err == nil {
		return tree
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	work, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	// The package that the lists name may be gone by now.
	fetch := exec.Command("/bin/sh", "-c", `"$0" download -q "$1" || { "$0" update -q && "$0" download -q "$1"; }`, apt, pkg)
	fetch.Dir = work
	if out, err := fetch.CombinedOutput(); err != nil {
		if os.Getenv("SIXHOST_TEST_NOSKIP") != "" {
			t.Fatalf("fetch %s: %v\n%s", pkg, err, out)
		}
		t.Skipf("needs Debian's package %s, which apt-get can't fetch: %v", pkg, err)
	}
	debs, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("fetched %q, %v", debs, err)
	}
	made := filepath.Join(work, "tree")
	if out, err := exec.Command("dpkg-deb", "-x", debs[0], made).CombinedOutput(); err != nil {
		t.Fatalf("unpack %s: %v\n%s", debs[0], err, out)
	}
	// Whoever does the same at the same time has done it as well.
	if err := os.Rename(made, tree); err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.ENOTEMPTY) {
		t.Fatal(err)
	}
	return tree
}

// guestInit is the first process of a guest. Every line it says begins with a
// word of its own and the kernel's uptime.
func guestInit(modules []string) string {
	var load strings.Builder
	for _, m := range modules {
		fmt.Fprintf(&load, "insmod /m/%s.ko\n", m)
	}
	return `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
say() { read up rest </proc/uptime; echo "SIXHOST $up $*"; }
say kernel $(uname -r)
for w in $(cat /proc/cmdline); do case $w in sixhost.*) eval "${w#sixhost.}";; esac; done
hostname $name
` + load.String() + `
ip link set lo up
ip link set eth0 up
say link $(cat /sys/class/net/eth0/address)
until ip -6 addr show dev eth0 scope link | grep inet6 | grep -qv tentative; do usleep 20000; done
say local
until ip -6 route show default | grep -q via; do usleep 20000; done
say route
until a=$(ip -6 addr show dev eth0 scope global | grep inet6 | grep -v tentative) && [ -n "$a" ]; do usleep 20000; done
set -- $a
say address ${2%/*}
until dns=$(rdisc6 -1 -r 3 eth0 | grep -i 'recursive dns' | head -n 1) && [ -n "$dns" ]; do :; done
set -- $dns
for last; do :; done
echo "nameserver $last" >/etc/resolv.conf
say resolver $last
if [ -n "$ipv4" ]; then
	ip addr add $ipv4/32 dev eth0
	ip route add $gateway dev eth0
	ip route add default via $gateway dev eth0
	say own $ipv4
fi
until nslookup -type=aaaa web4.example >/dev/null 2>&1; do usleep 20000; done
say dns
say nat64 $(wget -qO- http://web4.example/who)
say nat64-page $(wget -qO- http://web4.example/large | sha256sum)
say ipv6 $(wget -qO- http://web6.example/who)
say ipv6-page $(wget -qO- http://web6.example/large | sha256sum)
[ -z "$ipv4" ] || say ipv4 $(wget -qO- http://203.0.114.10/who)
echo "this is $name" >/www/index.html
httpd -p [::]:80 -h /www
echo 'read word; [ "$word" = reboot ] && echo SIXHOST asked to reboot >/dev/console && reboot -f' >/tmp/control
nc -ll -p 9 -e sh /tmp/control &
nc -ll -p 7 -e cat &
mkdir -p /etc/acpi/PWRF
printf '#!/bin/sh\necho SIXHOST $(cut -d" " -f1 /proc/uptime) off >/dev/console\npoweroff -f\n' >/etc/acpi/PWRF/00000080
chmod +x /etc/acpi/PWRF/00000080
acpid -d >/dev/null 2>&1 &
until netstat -lnt | grep -q ':7 ' && netstat -lnt | grep -q ':9 ' && netstat -lnt | grep -q ':80 '; do usleep 50000; done
say ready
while :; do sleep 1000; done
`
}

// console is what a guest has said on its serial port.
type console struct{ path string }

// said is one line of a guest's: word and rest.
type said struct{ uptime, word, text string }

func (c console) said(t testing.TB) (list []said) {
	t.Helper()
	b, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		if _, rest, ok := strings.Cut(s.Text(), "SIXHOST "); ok {
			f := strings.SplitN(strings.TrimSpace(rest), " ", 3)
			if len(f) == 2 {
				f = append(f, "")
			}
			if len(f) == 3 {
				list = append(list, said{f[0], f[1], f[2]})
			}
		}
	}
	return list
}

// boot waits until the guest is ready for the nth time, and returns what it said
// since it started then.
func (c console) boot(t testing.TB, n int) map[string]said {
	t.Helper()
	return c.bootWithin(t, n, 5*time.Minute)
}

func (c console) bootWithin(t testing.TB, n int, limit time.Duration) map[string]said {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		of := c.boots(t)
		if len(of) >= n {
			if _, ready := of[n-1]["ready"]; ready {
				return of[n-1]
			}
		}
		if time.Now().After(end) {
			b, _ := os.ReadFile(c.path)
			t.Fatalf("boot %d is not ready; the console has\n%s", n, b)
		}
	}
}

// boots is what it said, by start.
func (c console) boots(t testing.TB) (of []map[string]said) {
	t.Helper()
	for _, s := range c.said(t) {
		if s.word == "kernel" {
			of = append(of, make(map[string]said))
		}
		if len(of) > 0 {
			of[len(of)-1][s.word] = s
		}
	}
	return of
}

// last is what it said since its last start.
func (c console) last(t testing.TB) map[string]said {
	t.Helper()
	if of := c.boots(t); len(of) > 0 {
		return of[len(of)-1]
	}
	return nil
}

// stand has the server be set up and served until the test ends.
func (p *productRecipe) stand(t testing.TB, ctx context.Context) {
	t.Helper()
	if err := p.move(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.settle(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.close() })
}

// serveAgain ends run and starts another.
func (p *productRecipe) serveAgain(t *testing.T, ctx context.Context) {
	t.Helper()
	if err := p.close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.dir, "notify")); err != nil {
		t.Fatal(err)
	}
	if err := p.startServing(ctx); err != nil {
		t.Fatal(err)
	}
}
