package bridge

import "fmt"

// Suspect is a process that asked the kernel for a change.
//
// The kernel names the asking socket, by its port id, in notifications about
// IPv4 addresses, routes of both families, rules and neighbours. It names nobody
// for IPv6 addresses, for links (made, deleted, up, down, MAC, MTU, master), for
// sysctls, nor for what it takes away itself, as the routes of a deleted address.
// The port of a process's first netlink socket is the process's id; other sockets
// are found in their process as long as it holds them open. A process in another
// pid namespace may be taken for the one that has its number here.
type Suspect struct {
	// PID is the process's id.
	PID int
	// Name is the program's, "" if it ended before it could be looked at.
	Name string
	// Command is its command line, "" if it was ending already.
	Command string
	// Parent is the process that started it, and ParentPID its id.
	Parent    string
	ParentPID int
}

// String names the process: `ip (pid 123, "ip addr flush dev br0", started by bash, pid 100)`.
func (s Suspect) String() string {
	if s.Name == "" {
		return fmt.Sprintf("a process that has ended (pid %d)", s.PID)
	}
	text := fmt.Sprintf("%s (pid %d", s.Name, s.PID)
	if s.Command != "" {
		text += fmt.Sprintf(", %q", s.Command)
	}
	if s.Parent != "" {
		text += fmt.Sprintf(", started by %s, pid %d", s.Parent, s.ParentPID)
	}
	return text + ")"
}
