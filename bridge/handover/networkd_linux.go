package handover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/google/renameio/v2"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/bridge"
)

// Capture reads what the manager that runs in the calling thread's network
// namespace has to do with the links.
func Capture(ctx context.Context, scope bridge.Scope) (State, error) {
	s := State{Scope: scope}
	var err error
	if s.Networkd, err = bridge.ManagerRuns(ctx, bridge.Networkd); err != nil {
		return State{}, err
	}
	b, err := os.ReadFile(runtimeFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return State{}, fmt.Errorf("read what keeps networkd off: %w", err)
	}
	s.Off = string(b)
	if !s.Networkd {
		return s, nil
	}
	state, err := bridge.NetworkdState(scope.Uplink)
	if err != nil {
		return State{}, err
	}
	// One that has not looked at the link yet may take it any moment.
	s.InCharge = state != "unmanaged"
	if conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx)); err == nil {
		s.Reachable = true
		conn.Close()
	}
	return s, nil
}

// reload tells networkd to read its files again.
func reload(ctx context.Context) error {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("connect to the system bus: %w: %w", ErrUnreachable, err)
	}
	defer conn.Close()
	call := conn.Object("org.freedesktop.network1", "/org/freedesktop/network1").
		CallWithContext(ctx, "org.freedesktop.network1.Manager.Reload", 0)
	if call.Err != nil {
		return fmt.Errorf("have networkd reload: %w", call.Err)
	}
	return nil
}

// await waits until networkd's word for the link will do, and calls nudge, if
// there is one, as long as it doesn't.
func await(ctx context.Context, link, word string, will func(state string) bool, nudge func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		state, err := bridge.NetworkdState(link)
		if err != nil {
			return err
		}
		switch {
		case will(state):
			return nil
		case state == "failed":
			return fmt.Errorf("networkd could not configure %s; its journal says why", link)
		}
		if nudge != nil {
			if err := nudge(); err != nil {
				return err
			}
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("wait for networkd to have %s %s, it is %q: %w", link, word, state, context.Cause(ctx))
		}
	}
}

// announce has the kernel send a notification of a link, without changing
// anything. networkd 252 takes over a bridge that exists when its file
// appears only when it hears of the bridge after that, and until then the
// NIC's configuration waits for it.
func announce(name string) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	if err := h.LinkSetGroup(l, int(l.Attrs().Group)); err != nil {
		return fmt.Errorf("announce %s: %w", name, err)
	}
	return nil
}

func (c keepOff) do(ctx context.Context) error { return c.switchOff(ctx) }

func (c takeOff) do(ctx context.Context) error {
	if err := c.switchOff(ctx); err != nil {
		return err
	}
	return await(ctx, c.Uplink, "unmanaged", func(state string) bool { return state == "unmanaged" }, nil)
}

// switchOff writes the file and has it read.
func (c State) switchOff(ctx context.Context) error {
	// networkd gives its rights up, and has to read the file all the same.
	if err := os.MkdirAll(filepath.Dir(runtimeFile), 0o755); err != nil {
		return fmt.Errorf("make networkd's folder: %w", err)
	}
	if err := renameio.WriteFile(runtimeFile, []byte(c.Off), 0o644, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("write what keeps networkd off: %w", err)
	}
	return reload(ctx)
}

func (c putOn) do(ctx context.Context) error {
	if c.Netplan {
		if out, err := exec.CommandContext(ctx, "netplan", "generate").CombinedOutput(); err != nil {
			return fmt.Errorf("netplan generate: %w: %s", err, strings.TrimSpace(string(out)))
		}
	}
	if err := os.Remove(runtimeFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what keeps networkd off: %w", err)
	}
	switch runs, err := bridge.ManagerRuns(ctx, bridge.Networkd); {
	case err != nil:
		return err
	case !runs:
		return nil // it reads its files when it starts
	}
	if err := reload(ctx); err != nil {
		return err
	}
	if _, err := net.InterfaceByName(c.Bridge); err != nil {
		// The way back. How far networkd had come with the link before, nobody
		// knows: a DHCP server may be away.
		return await(ctx, c.Uplink, "its own again", func(state string) bool { return state != "unmanaged" }, nil)
	}
	configured := func(state string) bool { return state == "configured" }
	for _, link := range []string{c.Uplink, c.Bridge} {
		if err := await(ctx, link, "configured", configured, func() error { return announce(c.Bridge) }); err != nil {
			return err
		}
	}
	return nil
}
