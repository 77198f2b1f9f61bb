package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sixhost/sixhost/internal/lab"
	"github.com/sixhost/sixhost/plan/rollback"
)

// productRecipe runs this program's own commands on the server, as processes
// of their own, just as its owner would.
type productRecipe struct {
	lab    *lab.Lab
	out    *progress
	dir    string // the server's files
	config string // its host.yaml

	apply *lab.Program
	serve *lab.Program
}

// labExposed is the port of the server's that leads to its first guest.
const labExposed = 8080

// newProductRecipe writes the server's host.yaml.
func newProductRecipe(l *lab.Lab, out *progress, guests int) (*productRecipe, error) {
	dir := filepath.Join(lab.RunDir, "server")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the server's folder: %w", err)
	}
	p := &productRecipe{lab: l, out: out, dir: dir, config: filepath.Join(dir, "host.yaml")}
	root := filepath.Join(dir, "root")
	if err := installProviderNetplan(root, l.Gateway6()); err != nil {
		return nil, err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by fullhost lab.\naddress: slaac\nstate_dir: %s\npersist:\n  root: %s\n", filepath.Join(dir, "state"), root)
	fmt.Fprintf(&b, "dns:\n  domain: %s\n  upstreams:\n", zone())
	for _, r := range l.Resolvers() {
		fmt.Fprintf(&b, "  - %q\n", r)
	}
	if l.Provider() == lab.OnLink {
		b.WriteString("provider: on-link\n")
	}
	b.WriteString("guests:\n")
	for i := range guests {
		fmt.Fprintf(&b, "- name: %s\n  serve: [%s.%s]\n", guestName(i), guestName(i), zone())
	}
	fmt.Fprintf(&b, "expose:\n- {guest: %s, protocol: tcp, port: %d, guest_port: 80}\n", guestName(0), labExposed)
	if err := os.WriteFile(p.config, []byte(b.String()), 0o644); err != nil {
		return nil, fmt.Errorf("write the server's host.yaml: %w", err)
	}
	return p, nil
}

// installProviderNetplan writes what a provider's installation leaves in
// /etc/netplan.
func installProviderNetplan(root string, gateway6 netip.Addr) error {
	folder := filepath.Join(root, "etc/netplan")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("make the server's /etc/netplan: %w", err)
	}
	text := fmt.Sprintf(`network:
  version: 2
  renderer: networkd
  ethernets:
    %s:
      addresses: [%s, "%s"]
      routes:
      - {to: 0.0.0.0/0, via: %s, on-link: true}
      - {to: default, via: "%s"}
      nameservers: {addresses: [203.0.113.53]}
`, lab.NIC, lab.ServerIPv4(), lab.ServerIPv6(), lab.GatewayIPv4(), gateway6)
	if err := os.WriteFile(filepath.Join(folder, "01-netcfg.yaml"), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the server's netplan file: %w", err)
	}
	return nil
}

// command makes a command line of this program.
func (p *productRecipe) command(name string, output func(line string)) (*exec.Cmd, *lineWriter) {
	cmd := exec.Command("/proc/self/exe", name, "-f", p.config)
	w := &lineWriter{line: output}
	cmd.Stdout, cmd.Stderr = w, w
	return cmd, w
}

func (p *productRecipe) window() time.Duration { return 1500 * time.Millisecond }

// move starts fullhost apply and returns when its apply phase is complete.
func (p *productRecipe) move(ctx context.Context) error {
	cmd, said := p.command("apply", func(line string) {
		if strings.HasPrefix(line, "[") {
			p.out.detail(line)
		}
	})
	var err error
	if p.apply, err = p.lab.Run(p.lab.Server(), cmd); err != nil {
		return fmt.Errorf("start fullhost apply: %w", err)
	}
	state := filepath.Join(p.dir, "state")
	for {
		var waiting bool
		err := p.lab.Server().Do(func() error {
			st, err := rollback.Status(state)
			waiting = st.Phase == rollback.Waiting
			return err
		})
		if err == nil && waiting {
			return nil
		}
		if err != nil && !errors.Is(err, rollback.ErrNoChange) {
			return fmt.Errorf("ask for the state of the change: %w", err)
		}
		select {
		case <-p.apply.Done():
			return fmt.Errorf("fullhost apply ended early: %w\n%s", p.apply.Wait(ctx), said)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// settle confirms the change from another process and starts fullhost run.
func (p *productRecipe) settle(ctx context.Context) error {
	p.out.step("Confirming from another login: fullhost confirm.")
	cmd, said := p.command("confirm", func(line string) {
		if strings.HasPrefix(line, "[") {
			p.out.detail(line)
		}
	})
	confirm, err := p.lab.Run(p.lab.Server(), cmd)
	if err != nil {
		return fmt.Errorf("start fullhost confirm: %w", err)
	}
	if err := confirm.Wait(ctx); err != nil {
		return fmt.Errorf("fullhost confirm: %w\n%s", err, said)
	}
	if err := p.apply.Wait(ctx); err != nil {
		return fmt.Errorf("fullhost apply after the confirmation: %w", err)
	}
	p.out.step("Serving: fullhost run.")
	return p.startServing(ctx)
}

// startServing starts fullhost run and waits for its word that it is ready,
// in the way systemd does.
func (p *productRecipe) startServing(ctx context.Context) error {
	socket := filepath.Join(p.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("listen for readiness: %w", err)
	}
	defer conn.Close()
	cmd, said := p.command("run", func(string) {})
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	if p.serve, err = p.lab.Run(p.lab.Server(), cmd); err != nil {
		return fmt.Errorf("start fullhost run: %w", err)
	}
	buf := make([]byte, 4096)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			return fmt.Errorf("listen for readiness: %w", err)
		}
		n, err := conn.Read(buf)
		switch {
		case err == nil && bytes.Contains(buf[:n], []byte("READY=1")):
			return nil
		case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("listen for readiness: %w", err)
		}
		select {
		case <-p.serve.Done():
			return fmt.Errorf("fullhost run ended early: %w\n%s", p.serve.Wait(ctx), said)
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
	}
}

// repeat runs fullhost plan on the finished host.
func (p *productRecipe) repeat(ctx context.Context) string {
	cmd, said := p.command("plan", func(string) {})
	plan, err := p.lab.Run(p.lab.Server(), cmd)
	if err != nil {
		return err.Error()
	}
	if err := plan.Wait(ctx); err != nil {
		return fmt.Sprintf("%v: %s", err, said)
	}
	if strings.Contains(said.String(), "Nothing to do") {
		return ""
	}
	return strings.TrimSpace(said.String())
}

// close ends fullhost run the way systemd would, so that the guests are told.
func (p *productRecipe) close() error {
	if p.serve == nil {
		return nil
	}
	select {
	case <-p.serve.Done():
		return errors.New("fullhost run ended before the lab did")
	default:
	}
	if err := p.serve.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop fullhost run: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
	defer cancel()
	var exit *exec.ExitError
	if err := p.serve.Wait(ctx); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 128+int(syscall.SIGTERM)) {
		return fmt.Errorf("stop fullhost run: %w", err)
	}
	return nil
}

// lineWriter hands on whole lines and keeps everything.
type lineWriter struct {
	line func(string)

	mu   sync.Mutex
	rest []byte
	all  bytes.Buffer
}

// Write implements io.Writer.
func (w *lineWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(b)
	w.rest = append(w.rest, b...)
	for {
		i := bytes.IndexByte(w.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		w.line(string(w.rest[:i]))
		w.rest = w.rest[i+1:]
	}
}

// String returns all that was written.
func (w *lineWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// zone is the lab's zone without the final dot.
func zone() string { return strings.TrimSuffix(lab.ZoneName, ".") }
