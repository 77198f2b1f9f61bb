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
// With netplan, the file that configures the uplink is edited, and a copy is
// kept beside it under a name that netplan doesn't read. Of the uplink's entry
// stays what is about the device; addresses, routes and name servers go to the
// entry of the bridge, with the comments on them, and gateway4 and gateway6
// become routes there. Every other line stays as it is, to the octet: the edit
// is one of lines, and it is read again and compared before it counts. Text that
// can't be edited so (braces around more than one entry, anchors and aliases in
// ours) is a [*plan.Refusal] naming file and line. Uplinks that netplan makes,
// VLANs and bonds, are edited as well, and VLANs on the uplink stay on it.
//
// With networkd, whose first file that matches an interface is the only one, our
// files sort before the others, and the originals are renamed to *.networkNO.
// A file that configures other interfaces as well is never touched; where it
// would be in the way, that is a refusal too.
//
// # The way back
//
// [Original] decides what the files were before the first of them was touched,
// from the kept copies and from what our files say was set aside, and [Plan]
// leads there. Whatever of ours was changed by somebody since, which a sum in
// each file tells, is refused by name. [Diff] shows what a plan would do.
//
// # Who else may configure the uplink
//
// ifupdown, NetworkManager, connman, wicked, dhcpcd and Red Hat's network
// scripts are known by their files; [Config.State] refuses them by name, ifupdown
// always, the others unless a format is asked for. [FormatNone] refuses nobody.
//
// # What the files don't hold
//
// Routing rules, routes with several next hops or a gateway of the other family,
// and proxy neighbours are refused. Realms and the metrics of TCP are left out
// with a note. The limits of the neighbour tables are left to the serving program,
// which runs the bridge's plan when it starts: that raises and never lowers them,
// which a file can't say.
//
// # What a crash leaves
//
// Each file is written atomically, and they are written in such an order that
// one single rename takes the next boot from the old network to the new one,
// and one back: what is written before has no effect by itself, what is written
// after is not needed to reach the host. That holds for the way back as well,
// and from whatever is left in between the originals are found. The exception is
// an uplink that several netplan files configure together; the plan then
// carries a note.
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
