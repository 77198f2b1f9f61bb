package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"

	"github.com/sixhost/sixhost/internal/lab/wire"
)

// Lab is a practice provider that stands.
type Lab struct {
	cfg   Config
	nodes map[string]*Node
	port  *portSecurity
	zone  *zone
	judge *wire.Judge
	// capture feeds judge.
	capture *wire.Capture
	// wire is the far side of the provider's port where the server is elsewhere.
	wire *os.File

	services services
	release  func() bool // undoes the tie to New's ctx

	mu       sync.Mutex
	closed   bool
	guests   []*Guest
	ports    int // vnetN given away
	programs map[*Program]struct{}
	tmp      string
}

// New builds the provider, the Internet behind it and the server, and starts
// their services. When ctx ends, services and programs end; Close waits for that
// and lets go of the namespaces.
func New(ctx context.Context, cfg Config) (*Lab, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l := &Lab{cfg: cfg, nodes: map[string]*Node{}, zone: newZone(), programs: map[*Program]struct{}{}}
	l.services.log = cfg.Log
	if err := l.build(ctx); err != nil {
		l.Close()
		return nil, fmt.Errorf("build the practice provider: %w", err)
	}
	l.release = context.AfterFunc(ctx, func() {
		l.killPrograms()
		l.services.stop()
	})
	return l, nil
}

// Close ends every service and program of the lab and lets go of its
// namespaces. Programs that others started in nodes keep these alive.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	if l.release != nil {
		l.release()
	}
	l.killPrograms()
	l.services.stop()
	for _, g := range l.Guests() {
		g.Node.close()
	}
	for _, n := range l.nodes {
		n.close()
	}
	if l.wire != nil {
		l.wire.Close()
	}
	if l.tmp != "" {
		if err := os.RemoveAll(l.tmp); err != nil {
			return fmt.Errorf("close lab: %w", err)
		}
	}
	return nil
}

// Node returns the node with one of the names in this package or a guest's, nil
// if there is none.
func (l *Lab) Node(name string) *Node {
	if n := l.nodes[name]; n != nil {
		return n
	}
	if g := l.Guest(name); g != nil {
		return g.Node
	}
	return nil
}

// Guest returns the guest with a name, nil if there is none.
func (l *Lab) Guest(name string) *Guest {
	for _, g := range l.Guests() {
		if g.name == name {
			return g
		}
	}
	return nil
}

// Guests returns all guests, in the order they came.
func (l *Lab) Guests() []*Guest {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Guest(nil), l.guests...)
}

// Server returns the server's node, nil where the server is elsewhere.
func (l *Lab) Server() *Node { return l.nodes[Server] }

// Judge returns what watches the provider's port to the server from the start
// of the lab on.
func (l *Lab) Judge() *wire.Judge { return l.judge }

// Watched tells how much the judge has seen, and whether it missed anything.
func (l *Lab) Watched() wire.CaptureStats { return l.capture.Stats() }

// Dropped returns how many frames the provider's port security refused because of
// their source MAC.
func (l *Lab) Dropped() (uint64, error) {
	var n uint64
	err := l.nodes[Provider].Do(func() error {
		var err error
		n, err = l.port.dropped()
		return err
	})
	return n, err
}

// SetName gives a name in the lab's DNS these addresses in place of those it had.
// A name without a zone is put into ZoneName.
func (l *Lab) SetName(name string, addrs ...netip.Addr) {
	l.zone.set(inZone(name), addrs...)
}

// Resolvers returns the addresses of the lab's name server, which stands for the
// provider's resolver too: IPv4, then IPv6.
func (l *Lab) Resolvers() []netip.AddrPort {
	n := l.nodes[DNS]
	return []netip.AddrPort{netip.AddrPortFrom(n.v4, 53), netip.AddrPortFrom(n.v6, 53)}
}

// listen opens a TCP listener in a node.
func (n *Node) listen(at netip.AddrPort) (l net.Listener, err error) {
	network := "tcp4"
	if at.Addr().Is6() {
		network = "tcp6"
	}
	err = n.Do(func() error {
		l, err = net.Listen(network, at.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open service of %s: %w", n.name, err)
	}
	return l, nil
}

// listenUDP opens a UDP socket in a node.
func (n *Node) listenUDP(at netip.AddrPort) (c net.PacketConn, err error) {
	err = n.Do(func() error {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open service of %s: %w", n.name, err)
	}
	return c, nil
}

// Program is a program that runs in a node as part of the lab.
type Program struct {
	// Cmd is the program, started.
	Cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Run starts a program in a node, as part of the lab: it is killed, with its
// process group, when the lab ends. cmd.SysProcAttr is the lab's to set.
func (l *Lab) Run(n *Node, cmd *exec.Cmd) (*Program, error) {
	ownGroup(cmd)
	p := &Program{Cmd: cmd, done: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errStopped
	}
	if err := n.Start(cmd); err != nil {
		return nil, fmt.Errorf("start %s in %s: %w", cmd.Path, n.name, err)
	}
	l.programs[p] = struct{}{}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
		l.mu.Lock()
		delete(l.programs, p)
		l.mu.Unlock()
	}()
	return p, nil
}

// Done is closed when the program has ended.
func (p *Program) Done() <-chan struct{} { return p.done }

// Wait waits for the program's end and returns what exec.Cmd.Wait did.
func (p *Program) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", p.Cmd.Path, context.Cause(ctx))
	}
}

// Kill kills the program's process group and waits for its end.
func (p *Program) Kill() {
	killGroup(p.Cmd)
	<-p.done
}

func (l *Lab) killPrograms() {
	l.mu.Lock()
	var running []*Program
	for p := range l.programs {
		running = append(running, p)
	}
	l.mu.Unlock()
	for _, p := range running {
		p.Kill()
	}
}

// tempDir returns a folder of the lab's own that ends with it.
func (l *Lab) tempDir() (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return "", errStopped
	}
	if l.tmp == "" {
		dir, err := os.MkdirTemp(l.cfg.Dir, "lab-")
		if err != nil {
			return "", fmt.Errorf("make the lab's folder: %w", err)
		}
		l.tmp = dir
	}
	return l.tmp, nil
}

// MissingProgramError says that a program is not installed that a recipe needs.
type MissingProgramError struct {
	Program string // its name
	Package string // the Debian package that holds it
}

// Error returns one sentence.
func (e *MissingProgramError) Error() string {
	return fmt.Sprintf("the program %s is not installed: `apt-get install %s`", e.Program, e.Package)
}

// findProgram looks for a program where root would, as an ordinary user's path
// leaves out the system's folders.
func findProgram(name, pkg string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin/", "/usr/sbin/", "/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("find %s: %w", name, err)
		}
	}
	return "", &MissingProgramError{Program: name, Package: pkg}
}
