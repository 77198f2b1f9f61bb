// Package libvirtguests finds and manages virtual machines by libvirt's own
// protocol, without cgo. It is for the example programs: package guest, which
// makes the domains, stays free of libvirt.
//
// The data's way: [Conn.Capture] lists the domains on a bridge, whoever made
// them, as a [State]. A program changes a copy of it (adds what [Read] makes of
// a guest's XML, sets Running or Autostart) and [Conn.Plan] gives the steps from
// one to the other; the plan of a state to itself is empty. [Conn.Events] tells
// when to capture again.
//
// It needs access to libvirtd's socket. Errors say what was asked of which
// domain.
package libvirtguests
