package vm

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/vm/agent/proto"
)

// Config says what a machine has.
type Config struct {
	// Dir is where the disk and the console's log go. Required.
	Dir string
	// Files on the disk beside Debian's own, by their paths.
	Files map[string]File
	// MACs of the NICs, which are called enp2s0, enp3s0 and so on.
	MACs []net.HardwareAddr
}

// Machine is a virtual machine that runs.
type Machine struct {
	dir     string
	nics    []*os.File
	agent   *agent
	monitor *monitor

	cmd  *exec.Cmd
	done chan struct{}
	wg   sync.WaitGroup
}

// What a machine has of each. Emulated processors of several threads have been
// seen to hang in a reset.
const (
	memory     = "768"
	processors = "1"
	diskSize   = "1G"
)

// Start makes a disk and boots it. The machine runs until Close.
func (r *Root) Start(ctx context.Context, cfg Config) (*Machine, error) {
	image := filepath.Join(cfg.Dir, "disk.img")
	if err := r.disk(ctx, image, diskSize, cfg.Files); err != nil {
		return nil, fmt.Errorf("make disk: %w", err)
	}
	kernel, initrd, err := r.boot()
	if err != nil {
		return nil, fmt.Errorf("find kernel: %w", err)
	}
	m := &Machine{dir: cfg.Dir, done: make(chan struct{})}
	args := []string{
		// A newer processor's wide registers cost a fifth more to emulate.
		"-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", processors, "-m", memory,
		"-kernel", kernel, "-initrd", initrd,
		"-append", "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=1 mitigations=off",
		// What the machine has written outlives its reset, what it has not does not.
		"-drive", "file=" + image + ",format=raw,if=none,id=disk,cache=unsafe", "-device", "virtio-blk-pci,drive=disk",
		"-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
		"-serial", "file:" + m.Console(),
		"-device", "virtio-serial-pci",
	}
	m.cmd = exec.Command("qemu-system-x86_64")
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	// plug makes a pair of sockets: one for us, one for QEMU under a number.
	var ours, theirs []*os.File
	plug := func(typ int, name string) (number int, err error) {
		fds, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return 0, fmt.Errorf("make socket of %s: %w", name, err)
		}
		ours = append(ours, os.NewFile(uintptr(fds[0]), name))
		theirs = append(theirs, os.NewFile(uintptr(fds[1]), name))
		return 2 + len(theirs), nil
	}
	started := false
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		for _, f := range ours {
			if !started {
				f.Close()
			}
		}
	}()
	for _, c := range []struct{ name, device, chardev string }{
		{"agent", "-device", "virtserialport,chardev=agent,name=" + proto.Port},
		{"monitor", "-mon", "chardev=monitor,mode=control"},
	} {
		n, err := plug(unix.SOCK_STREAM, c.name)
		if err != nil {
			return nil, err
		}
		args = append(args, "-chardev", fmt.Sprintf("socket,id=%s,fd=%d", c.name, n), c.device, c.chardev)
	}
	// The first slot stays empty: bus 1 has no NIC.
	args = append(args, "-device", "pcie-root-port,id=empty,chassis=100")
	for i, mac := range cfg.MACs {
		n, err := plug(unix.SOCK_DGRAM, fmt.Sprintf("NIC %d", i))
		if err != nil {
			return nil, err
		}
		args = append(args,
			"-device", fmt.Sprintf("pcie-root-port,id=slot%d,chassis=%d", i, i+1),
			"-netdev", fmt.Sprintf("dgram,id=wire%d,local.type=fd,local.str=%d", i, n),
			"-device", fmt.Sprintf("virtio-net-pci,id=nic%d,bus=slot%d,netdev=wire%d,mac=%s,romfile=", i, i, i, mac))
	}
	m.cmd.Args = append(m.cmd.Args, args...)
	m.cmd.ExtraFiles = theirs
	log, err := os.Create(filepath.Join(cfg.Dir, "qemu.log"))
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	defer log.Close()
	m.cmd.Stdout, m.cmd.Stderr = log, log
	result := make(chan error)
	m.wg.Go(func() { m.emulate(result) })
	if err := <-result; err != nil {
		return nil, fmt.Errorf("start QEMU: %w", err)
	}
	started = true
	m.agent, m.monitor, m.nics = newAgent(ours[0]), newMonitor(ours[1]), ours[2:]
	m.wg.Go(m.agent.run)
	return m, nil
}

// emulate starts QEMU and waits for its end. QEMU is killed when the thread that
// started it dies, which is this one, and is nobody else's as long as QEMU runs:
// it does not outlive a test that is killed.
func (m *Machine) emulate(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := m.cmd.Start()
	started <- err
	if err == nil {
		m.cmd.Wait()
		close(m.done)
	}
}

// Close ends the machine, as if its plug were pulled.
func (m *Machine) Close() error {
	m.cmd.Process.Kill()
	m.agent.f.Close()
	m.monitor.f.Close()
	for _, f := range m.nics {
		f.Close()
	}
	m.wg.Wait()
	return nil
}

// Done is closed when the machine has ended.
func (m *Machine) Done() <-chan struct{} { return m.done }

// NICs are the far ends of the wires at the machine's NICs: a read gives one
// frame that the machine sends, a write hands one to it. The machine closes them.
func (m *Machine) NICs() []*os.File { return m.nics }

// Console is the path of what the machine has written to its serial port.
func (m *Machine) Console() string { return filepath.Join(m.dir, "console.log") }

// WaitBoot waits for the next boot that has not been waited for, to be so far
// that commands are taken.
func (m *Machine) WaitBoot(ctx context.Context) error {
	select {
	case <-m.agent.boots:
		return nil
	case <-m.done:
		return fmt.Errorf("wait for boot: QEMU has ended; see %s", filepath.Join(m.dir, "qemu.log"))
	case <-ctx.Done():
		return fmt.Errorf("wait for boot: %w", context.Cause(ctx))
	}
}

// Run runs a shell command as root and returns what it printed on both
// outputs. Its error is an *ExitError where the command failed, and matches
// ErrRebooted where the machine was reset meanwhile.
func (m *Machine) Run(ctx context.Context, shell string) (string, error) {
	return m.agent.do(ctx, shell)
}

// Reset resets the machine without telling it, as its reset button does.
func (m *Machine) Reset(ctx context.Context) error { return m.monitor.execute(ctx, "system_reset") }

// deadline is ctx's end, or far away.
func deadline(ctx context.Context) time.Time {
	if t, ok := ctx.Deadline(); ok {
		return t
	}
	return time.Now().Add(time.Hour)
}
