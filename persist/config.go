package persist

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/sixhost/sixhost/bridge"
)

// Why a wish can't be served; matched with errors.Is through a *plan.Refusal.
var (
	// ErrOwner: something else than netplan or networkd configures the uplink.
	ErrOwner = errors.New("network is configured by something else")
	// ErrFormat: the format can't be told, or is the wrong one.
	ErrFormat = errors.New("format can't be used")
	// ErrUnreadable: a configuration file can't be understood.
	ErrUnreadable = errors.New("configuration file can't be understood")
	// ErrShared: an entry or file configures the uplink together with other
	// interfaces, or another interface is built on it.
	ErrShared = errors.New("other interfaces are configured too")
	// ErrUneditable: a file is written in a way that can't be kept.
	ErrUneditable = errors.New("file can't be edited")
	// ErrEdited: a file was changed by somebody since it was written.
	ErrEdited = errors.New("file was changed since it was written")
	// ErrInexpressible: the wanted state can't be rendered.
	ErrInexpressible = errors.New("state can't be rendered")
	// ErrPath: a path is not absolute.
	ErrPath = errors.New("path is not absolute")
)

// Format says which program's files configure the network at boot.
type Format string

// The formats. The zero value means FormatAuto.
const (
	// FormatAuto takes what the host uses already.
	FormatAuto Format = "auto"
	// FormatNetplan is netplan's YAML, with networkd behind it.
	FormatNetplan Format = "netplan"
	// FormatNetworkd is systemd-networkd's own.
	FormatNetworkd Format = "networkd"
	// FormatNone persists nothing.
	FormatNone Format = "none"
)

// UnmarshalText implements encoding.TextUnmarshaler. It accepts the formats'
// words, and an empty text as auto.
func (f *Format) UnmarshalText(b []byte) error {
	switch v := Format(b); v {
	case "":
		*f = FormatAuto
	case FormatAuto, FormatNetplan, FormatNetworkd, FormatNone:
		*f = v
	default:
		return fmt.Errorf("want auto, netplan, networkd or none, not %q", b)
	}
	return nil
}

// MarshalText implements encoding.TextMarshaler.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.orAuto()), nil }

func (f Format) orAuto() Format {
	if f == "" {
		return FormatAuto
	}
	return f
}

// Config says what is wanted.
type Config struct {
	// Bridge is the wanted state of the network. Required, unless Format is
	// FormatNone. Addresses that are retiring are left out of the files.
	Bridge bridge.State
	// Format of the files; default FormatAuto.
	Format Format
	// Root is the folder that is to be the system's root at boot; default "/".
	Root string
	// NameServers for the host itself; default those that the uplink and the
	// bridge have in the files that are there.
	NameServers []netip.Addr
	// Executable is the absolute path of the program that the unit starts with
	// the argument "run"; no unit is written if it is empty.
	Executable string
	// Edge is the state of the edge (package macrewrite) as JSON, which a second
	// unit has Executable load at boot, with the arguments "edge -load" and a
	// path, before any link comes up; neither is written if it is empty.
	Edge []byte
	// StateDir is where the program keeps what must outlive it, in place of
	// /run/sixhost, which the unit makes; it must be absolute. The unit lets the
	// program write there, and makes the folder where it is missing.
	StateDir string
	// ConfigFile is the absolute path that the program gets with -f; default
	// none.
	ConfigFile string
}

func (c Config) withDefaults() Config {
	c.Format = c.Format.orAuto()
	if c.Root == "" {
		c.Root = "/"
	}
	return c
}
