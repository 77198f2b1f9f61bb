package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nldump"
)

// From linux/tcp_states.h; an unconnected UDP socket is closed by that count.
const (
	tcpClose  = 7
	tcpListen = 10
)

// Of linux/inet_diag.h.
const (
	diagRequestLen = 56 // struct inet_diag_req_v2
	diagMessageLen = 72 // struct inet_diag_msg
	diagOnlyIPv6   = 11 // INET_DIAG_SKV6ONLY
)

// localListeners asks sock_diag(7) for the sockets that IPv4 clients from elsewhere
// could reach.
func localListeners(ctx context.Context) ([]listener, error) {
	list := []listener{}
	inodes := make(map[uint32][]int) // places in list
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		for _, p := range []struct {
			name   string
			number uint8
			state  uint32
		}{{"tcp", unix.IPPROTO_TCP, tcpListen}, {"udp", unix.IPPROTO_UDP, tcpClose}} {
			msgs, err := diagnose(ctx, family, p.number, 1<<p.state)
			if err != nil {
				return nil, fmt.Errorf("list %s sockets: %w", p.name, err)
			}
			for _, m := range msgs {
				at, inode, ok := listensOn(m)
				if !ok {
					continue
				}
				inodes[inode] = append(inodes[inode], len(list))
				list = append(list, listener{protocol: p.name, at: at, who: "the kernel, or a process that can't be named,"})
			}
		}
	}
	for inode, who := range socketOwners(inodes) {
		for _, i := range inodes[inode] {
			list[i].who = who
		}
	}
	return list, nil
}

func diagnose(ctx context.Context, family, protocol uint8, states uint32) (msgs [][]byte, err error) {
	body := make([]byte, diagRequestLen)
	body[0], body[1] = family, protocol
	binary.NativeEndian.PutUint32(body[4:], states)
	msgs, err = nldump.Retry(func() ([][]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		req := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
		req.AddRawData(body)
		return req.Execute(unix.NETLINK_INET_DIAG, 0)
	})
	if errors.Is(err, unix.ENOENT) {
		return nil, nil // no such sockets in this kernel
	}
	return msgs, err
}

// listensOn reads an answer of sock_diag's. It is not ok where no IPv4 client from
// elsewhere is meant.
func listensOn(m []byte) (at netip.AddrPort, inode uint32, ok bool) {
	if len(m) < diagMessageLen {
		return at, 0, false
	}
	var a netip.Addr
	if m[0] == unix.AF_INET {
		a = netip.AddrFrom4([4]byte(m[8:12]))
	} else {
		a = netip.AddrFrom16([16]byte(m[8:24])).Unmap()
	}
	if a == netip.IPv6Unspecified() {
		attrs, err := nl.ParseRouteAttr(m[diagMessageLen:])
		if err != nil {
			return at, 0, false
		}
		for _, attr := range attrs {
			if attr.Attr.Type == diagOnlyIPv6 && len(attr.Value) > 0 && attr.Value[0] != 0 {
				return at, 0, false
			}
		}
		a = netip.IPv4Unspecified()
	}
	at = netip.AddrPortFrom(a, binary.BigEndian.Uint16(m[4:]))
	return at, binary.NativeEndian.Uint32(m[68:]), a.Is4() && !a.IsLoopback() && at.Port() != 0
}

// socketOwners names the processes that have sockets of these numbers open, and
// fullhost run by no name.
func socketOwners(inodes map[uint32][]int) map[uint32]string {
	owners := make(map[uint32]string)
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return owners
	}
	self, selfErr := os.Stat("/proc/self/exe")
	for _, l := range links {
		to, err := os.Readlink(l)
		number, isSocket := strings.CutPrefix(to, "socket:[")
		if err != nil || !isSocket {
			continue
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
		if err != nil || inodes[uint32(n)] == nil {
			continue
		}
		pid := strings.Split(l, "/")[2]
		args, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		exe, err := os.Stat("/proc/" + pid + "/exe")
		words := bytes.Split(args, []byte{0})
		if err == nil && selfErr == nil && os.SameFile(self, exe) && len(words) > 1 && string(words[1]) == "run" {
			owners[uint32(n)] = ""
			continue
		}
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if _, known := owners[uint32(n)]; err != nil || known {
			continue
		}
		owners[uint32(n)] = fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
	}
	return owners
}

// ownSource is the IPv4 address that the host itself uses towards the Internet,
// the zero Addr if it has no way there. Nothing is sent.
func ownSource() (netip.Addr, error) {
	routes, err := netlink.RouteGet(net.IPv4(1, 1, 1, 1))
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return netip.Addr{}, nil
	}
	if err != nil {
		return netip.Addr{}, fmt.Errorf("find the address that this host uses: %w", err)
	}
	for _, r := range routes {
		if a, ok := netip.AddrFromSlice(r.Src); ok {
			return a.Unmap(), nil
		}
	}
	return netip.Addr{}, nil
}
