// Package handover takes a server's NIC off the network manager that runs,
// until that is handed the files that describe the bridge.
//
// Moving the NIC's addresses onto a bridge behind the back of systemd-networkd
// works, until the carrier flaps or an upgrade restarts it: then it gives the
// NIC back what its files say, beside the bridge that has it already, and the
// host is cut off when nobody watches any more. So there are two changes, each
// a step of a plan like any other:
//
//   - Off: a file below /run/systemd/network, which a reboot forgets, says that
//     the NIC, the bridge and the bridge's helpers are none of networkd's
//     business, and networkd is told to read its files again.
//   - On again, once the files of the next boot describe the bridge
//     (package persist): netplan, where it is used, generates networkd's files
//     anew, the file below /run goes, and networkd reads what there is: it finds
//     the network that its files want.
//
// networkd lets go of a link by removing what it has configured there. So the
// step off comes after the move, when the NIC has nothing left to remove, and
// the way back gives the NIC its addresses first. [Config.State] and [Plan] don't
// know of the others' steps; a program puts them in that order, as
// examples/fullhost does. A step before all others keeps networkd off the bridge
// alone: its files may match the NIC by a MAC that the bridge is going to have too.
//
// On a host whose NIC is a port already, by files that networkd has, it stays in
// charge when something about the bridge is changed: taken off, it would remove
// what it has configured there. It is told to read the files again when they have
// been written, and until then its old ones keep the host reachable as it was.
//
// Other managers than systemd-networkd can't be handed over from yet: see
// bridge.Manager, which names the one in charge.
//
// # Privileges and errors
//
// Capturing reads files below /run and looks at processes. The steps need root
// and the system bus (D-Bus), on which networkd is spoken to. A manager that
// can't be reached is a [*plan.Refusal] that matches [ErrUnreachable]; one that
// does not do as it was told fails the step. On other systems than Linux errors
// match errors.ErrUnsupported.
package handover
