// Package persist renders the state that a host is wanted to have into the
// files that its next boot reads: netplan or systemd-networkd, sysctl.d, a systemd
// unit for the program that serves the guests, and one that puts the edge's rules
// in place before any link comes up.
//
// [Config.Scope] names the files in question, [Capture] reads them,
// [Config.State] decides what is wanted of them and is where the rendering
// happens, [Plan] gives the steps from one to the other. All but Capture and
// the steps are pure. Every step is of the Confirm phase: until somebody has
// confirmed that the host is still reachable, a reboot comes up with the old
// network.
//
// # What becomes of the files that were there
//
// With netplan, the one file that configures the uplink is replaced in place,
// and a copy is kept beside it under a name that netplan doesn't read. With
// networkd, whose first file that matches an interface is the only one, our
// files sort before the others, and the originals are renamed to *.networkNO.
// A file that configures other interfaces as well is never touched; where it
// would be in the way, that is a [*plan.Refusal] naming file and line.
//
// # What a crash leaves
//
// Each file is written atomically, and they are written in such an order that
// one single rename takes the next boot from the old network to the new one,
// and one back: what is written before has no effect by itself, what is written
// after is not needed to reach the host. The exception is an uplink that
// several netplan files configure together; the plan then carries a note.
//
// # Out of scope
//
// No running program is told to read its files again, and what the NAT64
// gateway needs is made anew by the serving program when it starts.
//
// # Privileges and errors
//
// Reading and writing need access to the files below the root. Wishes that
// can't be served are [*plan.Refusal] values matching one of the package's Err
// values. A file that was changed since it was read stops its step with
// [ErrChanged].
package persist
