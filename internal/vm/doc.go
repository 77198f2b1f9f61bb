// Package vm makes virtual machines for tests: a whole Debian with systemd and
// its own kernel, emulated by QEMU, that can be booted, reset and given
// commands, and whose NICs are on wires that the test holds the other end of.
// It is for what network namespaces can't show: what a boot does.
//
// [NewRoot] installs the Debian once and keeps it in a folder, [Root.Start]
// makes a disk of it with the files that a test wants to have there, and boots
// it. [Switch] joins the NICs to the wire of a practice provider's port (package
// internal/lab). The program in the folder agent runs in the machine: it takes
// commands from the test, and plays a guest on a bridge there.
//
// It needs Linux, root, and the Debian packages mmdebstrap, e2fsprogs and
// qemu-system-x86. A machine's frames go nowhere but to the test's wires.
package vm
