package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/sixhost/sixhost/guest"
	"github.com/sixhost/sixhost/internal/lab"
)

// site is a fresh practice provider with an untouched server, on which
// fullhost's commands run as processes of their own.
type site struct {
	*lab.Lab
	fullhost string
	dir      string // the server's files
	config   string // its host.yaml
}

// newSite builds one whose host.yaml names so many guests.
func (b *bench) newSite(ctx context.Context, guests int) (*site, error) {
	l, err := lab.New(ctx, lab.Config{
		Dir:   lab.RunDir,
		Ports: func(name string) string { return guest.Guest{Name: name}.Port() },
	})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(lab.RunDir, "server-")
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("make the server's folder: %w", err)
	}
	s := &site{Lab: l, fullhost: b.fullhost, dir: dir, config: filepath.Join(dir, "host.yaml")}
	if err := s.write(guests); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// inSite runs fn in a fresh site and takes it down.
func (b *bench) inSite(ctx context.Context, guests int, fn func(*site) error) (err error) {
	s, err := b.newSite(ctx, guests)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	return fn(s)
}

func (s *site) close() error {
	return errors.Join(s.Lab.Close(), os.RemoveAll(s.dir))
}

// write puts a host.yaml with so many guests in place.
func (s *site) write(guests int) error {
	if err := os.WriteFile(s.config, []byte(hostFile(s.dir, s.Resolvers(), guests)), 0o644); err != nil {
		return fmt.Errorf("write the server's host.yaml: %w", err)
	}
	return nil
}

// outcome is what a command that has ended took.
type outcome struct {
	wall, cpu time.Duration
	said      string
}

// run runs a command of fullhost on the server to its end.
func (s *site) run(ctx context.Context, args ...string) (outcome, error) {
	said := new(bytes.Buffer)
	cmd := exec.Command(s.fullhost, args...)
	cmd.Stdout, cmd.Stderr = said, said
	start := time.Now()
	p, err := s.Run(s.Server(), cmd)
	if err != nil {
		return outcome{}, err
	}
	if err := p.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return outcome{}, err // said is still written to
		}
		return outcome{}, fmt.Errorf("fullhost %s: %w\n%s", strings.Join(args, " "), err, said)
	}
	return outcome{wall: time.Since(start), cpu: processTime(cmd.ProcessState), said: said.String()}, nil
}

// applying is fullhost apply, waiting for confirmation.
type applying struct {
	program *lab.Program
	took    time.Duration // from its start until its apply phase was complete
}

// apply starts fullhost apply and returns when its apply phase is complete.
func (s *site) apply(ctx context.Context) (applying, error) {
	applied := make(chan time.Time, 1)
	out := &lineStamper{now: time.Now, onLine: func(l stamped) {
		if strings.HasPrefix(l.text, "Applied.") {
			select {
			case applied <- l.at:
			default:
			}
		}
	}}
	cmd := exec.Command(s.fullhost, "apply", "-f", s.config)
	cmd.Stdout, cmd.Stderr = out, out
	start := time.Now()
	p, err := s.Run(s.Server(), cmd)
	if err != nil {
		return applying{}, err
	}
	select {
	case at := <-applied:
		return applying{program: p, took: at.Sub(start)}, nil
	case <-p.Done():
		return applying{}, fmt.Errorf("fullhost apply ended early: %w\n%s", p.Wait(ctx), &out.all)
	case <-ctx.Done():
		return applying{}, fmt.Errorf("wait for fullhost apply: %w", context.Cause(ctx))
	}
}

// confirm keeps the change from another process, and waits for both.
func (s *site) confirm(ctx context.Context, a applying) (outcome, error) {
	o, err := s.run(ctx, "confirm", "-f", s.config)
	if err != nil {
		return o, err
	}
	if err := a.program.Wait(ctx); err != nil {
		return o, fmt.Errorf("fullhost apply after the confirmation: %w", err)
	}
	return o, nil
}

// finish brings the untouched server to the end of its set-up.
func (s *site) finish(ctx context.Context) error {
	a, err := s.apply(ctx)
	if err != nil {
		return err
	}
	_, err = s.confirm(ctx, a)
	return err
}

// serving is fullhost run.
type serving struct {
	program *lab.Program
	took    time.Duration // from its start until it said that it is ready
}

func (s serving) pid() int { return s.program.Cmd.Process.Pid }

// serve starts fullhost run and returns when it says, in the way systemd
// wants to hear it, that it is ready.
func (s *site) serve(ctx context.Context) (serving, error) {
	socket := filepath.Join(s.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return serving{}, fmt.Errorf("listen for readiness: %w", err)
	}
	defer conn.Close()
	said := new(bytes.Buffer)
	cmd := exec.Command(s.fullhost, "run", "-f", s.config)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	start := time.Now()
	p, err := s.Run(s.Server(), cmd)
	if err != nil {
		return serving{}, err
	}
	// Whichever comes first of an early end and the end of ctx ends the read.
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-p.Done():
		case <-ctx.Done():
		case <-over:
			return
		}
		conn.SetReadDeadline(time.Unix(1, 0))
	}()
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if bytes.Contains(buf[:n], []byte("READY=1")) {
			return serving{program: p, took: time.Since(start)}, nil
		}
		if err == nil {
			continue
		}
		select {
		case <-p.Done():
			return serving{}, fmt.Errorf("fullhost run ended early: %w\n%s", p.Wait(ctx), said)
		default:
			return serving{}, fmt.Errorf("wait until fullhost run is ready: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}
