package lab

import "log/slog"

// Config says how a lab is built. Its zero value works.
type Config struct {
	// Log gets what goes wrong in services. Nil discards it.
	Log *slog.Logger
	// Names is a folder in which every node's namespace is held by name, for
	// people who look inside. Empty: nowhere. Inside Enter it should be NamesDir.
	Names string
	// Dir is where recipes write configuration files, in a folder of their own
	// that ends with the lab. Default: the system's folder for temporary files.
	// Inside Enter it should be RunDir.
	Dir string
	// Elsewhere leaves the server to the caller, a virtual machine say: there is
	// no node for it, and Lab.Wire carries the frames of the provider's port.
	Elsewhere bool
	// Ports names the server's interface that leads to a guest. Nil: vnet0, vnet1
	// and so on, as libvirt does.
	Ports func(guest string) string
	// Provider is how the provider gives the server its /64. Default Routed.
	Provider ProviderKind
}

// RunDir is the folder that Init makes the lab's own.
const RunDir = "/run"
