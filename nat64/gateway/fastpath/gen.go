package fastpath

// Needs clang and the headers of libbpf-dev; what it makes is committed. The
// test TestObjectsMatchTheSource compares.
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -tags linux -go-package fastpath -no-global-types -cflags "-O2 -Wall -Werror -mcpu=v3" programs bpf/fastpath.c -- -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
