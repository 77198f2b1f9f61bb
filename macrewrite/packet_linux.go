package macrewrite

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// wire sends and receives whole frames on one link, in front of the bridge that
// the link is a port of. What the host sends it does not hear.
type wire struct {
	f     *os.File
	name  string
	index int
}

// packetIgnoreOutgoing is PACKET_IGNORE_OUTGOING.
const packetIgnoreOutgoing = 23

// openWire opens it in the calling thread's network namespace; it hears from then
// on. Of ICMPv6 it takes the given types.
func openWire(link string, types ...uint8) (*wire, error) {
	ifi, err := net.InterfaceByName(link)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", link, err)
	}
	// A socket of protocol 0 hears nothing until it is bound: nothing comes in
	// before the filter is there.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket on %s: %w", link, err)
	}
	f := os.NewFile(uintptr(fd), "packet socket on "+link)
	fail := func(what string, err error) (*wire, error) {
		f.Close()
		return nil, fmt.Errorf("%s packet socket on %s: %w", what, link, err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, packetIgnoreOutgoing, 1); err != nil {
		return fail("keep what is sent out of", err)
	}
	program, err := bpf.Assemble(filterOf(types))
	if err != nil {
		return fail("make the filter of", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return fail("attach the filter of", err)
	}
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}) // in network order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}); err != nil {
		return fail("bind", err)
	}
	return &wire{f: f, name: link, index: ifi.Index}, nil
}

// up reports whether the link is up. One that has gone is an error, also where
// another has its name by now: this wire will not hear it.
func (w *wire) up() (bool, error) {
	ifi, err := net.InterfaceByName(w.name)
	if err != nil {
		return false, fmt.Errorf("find %s: %w", w.name, err)
	}
	if ifi.Index != w.index {
		return false, fmt.Errorf("%s is another link now", w.name)
	}
	return ifi.Flags&net.FlagUp != 0, nil
}

// filterOf takes IPv6 with ICMPv6 of these types right behind the header, and
// ARP's requests if the solicitations are among them: who answers the ones
// answers the others.
func filterOf(types []uint8) []bpf.Instruction {
	var list []bpf.Instruction
	if slices.Contains(types, typeSolicitation) {
		list = append(list,
			bpf.LoadAbsolute{Off: 12, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherTypeARP, SkipTrue: 4},
			bpf.LoadAbsolute{Off: 20, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: arpRequest, SkipTrue: 1},
			bpf.RetConstant{Val: 0},
			bpf.RetConstant{Val: 1 << 16},
		)
	}
	list = append(list,
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IPV6, SkipTrue: uint8(3 + len(types))},
		bpf.LoadAbsolute{Off: 20, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: uint8(1 + len(types))},
		bpf.LoadAbsolute{Off: 54, Size: 1},
	)
	for i, t := range types {
		list = append(list, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(t), SkipTrue: uint8(len(types) - i)})
	}
	return append(list, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: 1 << 16})
}

func (w *wire) send(frame []byte) error {
	_, err := w.f.Write(frame)
	return err
}

func (w *wire) receive(buf []byte) (int, error) { return w.f.Read(buf) }

// until makes receive fail when ctx ends, until stop is called.
func (w *wire) until(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { w.f.SetReadDeadline(time.Unix(1, 0)) })
}

func (w *wire) Close() error { return w.f.Close() }
