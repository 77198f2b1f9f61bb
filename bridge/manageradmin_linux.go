package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
)

// unmanaged is networkd's word for a link that it leaves to others.
const unmanaged = "unmanaged"

// leftAlone asks a manager that runs whether it leaves the link to others. One
// that does not know the link yet may take it any moment.
func leftAlone(ctx context.Context, manager, link string) (bool, error) {
	switch manager {
	case Networkd:
		state, err := NetworkdState(link)
		return state == unmanaged, err
	case "NetworkManager":
		return leftByNetworkManager(ctx, link)
	}
	return false, nil
}

// NetworkdState is networkd's own word for what it does with a link:
// "unmanaged", "configuring", "configured", "failed" and others, "" if there is
// no such link or it has not looked at it yet.
func NetworkdState(link string) (string, error) {
	l, err := net.InterfaceByName(link)
	if err != nil {
		return "", nil
	}
	// Its notes are not for others to read, says networkctl(1), but it has kept
	// their form, and its bus tells no more.
	b, err := os.ReadFile(filepath.Join("/run/systemd/netif/links", strconv.Itoa(l.Index)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read networkd's notes on %s: %w", link, err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "ADMIN_STATE="); ok {
			return v, nil
		}
	}
	return "", nil
}

// busPatience is how long a manager may take to answer a question.
const busPatience = 5 * time.Second

// leftByNetworkManager asks by the bus: the notes below /run have nothing on a
// device that the configuration leaves out.
func leftByNetworkManager(ctx context.Context, link string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return false, nil // then nobody can have told it to leave the link
	}
	defer conn.Close()
	const name = "org.freedesktop.NetworkManager"
	var device dbus.ObjectPath
	var failed dbus.Error
	err = conn.Object(name, "/org/freedesktop/NetworkManager").CallWithContext(ctx, name+".GetDeviceByIpIface", dbus.FlagNoAutoStart, link).Store(&device)
	if errors.As(err, &failed) && failed.Name == name+".UnknownDevice" {
		return false, nil
	}
	var managed bool
	if err == nil {
		err = conn.Object(name, device).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, name+".Device", "Managed").Store(&managed)
	}
	if err != nil {
		return false, fmt.Errorf("ask NetworkManager about %s: %w", link, err)
	}
	return !managed, nil
}
