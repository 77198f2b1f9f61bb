package proof

// The objects are generated, and committed, by:
//
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -tags linux -go-package proof -no-global-types -cflags "-O2 -Wall -Werror -mcpu=v3" programs bpf/proof.c -- -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
