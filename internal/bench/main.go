package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/sixhost/sixhost/internal/lab"
)

func main() {
	if lab.Inside() {
		os.Exit(inner())
	}
	os.Exit(outer())
}

// outer is the half that the user started.
func outer() int {
	o, err := parseOptions(os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 2
	}
	ctx, stop, caught := signalContext()
	defer stop()
	var r report
	err = build(ctx, o, func(o options) error { return measure(ctx, o, &r) })
	// What was measured before a failure or Ctrl-C is worth its line.
	if len(r.Rows) > 0 {
		write := r.writeText
		if o.json {
			write = r.writeJSON
		}
		err = errors.Join(err, write(os.Stdout))
	}
	var refusal *lab.Refusal
	switch sig := caught(); {
	case sig != 0:
		return 128 + int(sig)
	case errors.As(err, &refusal):
		fmt.Fprintf(os.Stderr, "bench: %v\n", refusal)
		return 2
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		return 1
	}
	return 0
}

// signalContext returns a context that ends on SIGINT, SIGTERM and SIGHUP, and
// what tells which of them came.
func signalContext() (ctx context.Context, stop func(), caught func() syscall.Signal) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ended := make(chan struct{})
	go func() {
		select {
		case s := <-ch:
			cancel(signalError{s.(syscall.Signal)})
		case <-ended:
		}
	}()
	return ctx, func() { signal.Stop(ch); close(ended); cancel(nil) }, func() syscall.Signal {
		var se signalError
		if errors.As(context.Cause(ctx), &se) {
			return se.Signal
		}
		return 0
	}
}

type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return e.Signal.String() }

// build makes what is measured in a temporary folder that lasts as long as run,
// unless the user named it.
func build(ctx context.Context, o options, run func(options) error) (err error) {
	dir, err := os.MkdirTemp("", "sixhost-bench-")
	if err != nil {
		return fmt.Errorf("make a folder for programs: %w", err)
	}
	defer func() {
		if rmErr := os.RemoveAll(dir); rmErr != nil {
			err = errors.Join(err, fmt.Errorf("remove programs: %w", rmErr))
		}
	}()
	// Package ra's senders are measured without fullhost.
	if slices.ContainsFunc(o.which, func(w string) bool { return w != benchRA && w != benchRAPorts }) {
		if o.fullhost, err = built(ctx, dir, "fullhost", o.fullhost); err != nil {
			return err
		}
	}
	if o.wants(benchRA) || o.wants(benchRAPorts) {
		if o.raserve, err = built(ctx, dir, "raserve", o.raserve); err != nil {
			return err
		}
		if o.rafloor, err = built(ctx, dir, "rafloor", o.rafloor); err != nil {
			return err
		}
		if o.corerad != "" {
			if o.corerad, err = filepath.Abs(o.corerad); err != nil {
				return fmt.Errorf("find -corerad: %w", err)
			}
		}
	}
	return run(o)
}

// built returns a program's path, after building it where none was named.
func built(ctx context.Context, dir, name, named string) (path string, err error) {
	if named != "" {
		if path, err = filepath.Abs(named); err != nil {
			return "", fmt.Errorf("find -%s: %w", name, err)
		}
		return path, nil
	}
	path = filepath.Join(dir, name)
	pkg, env := "examples/"+name, os.Environ()
	if name == "rafloor" {
		pkg = "internal/bench/" + name
	}
	if name != "fullhost" {
		// The C library that package net links by default is 1.5 MB in each process.
		env = append(env, "CGO_ENABLED=0")
	}
	fmt.Fprintf(os.Stderr, "Building %s.\n", pkg)
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/sixhost/sixhost/"+pkg)
	cmd.Env = env
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build %s: %w", pkg, err)
	}
	return path, nil
}
