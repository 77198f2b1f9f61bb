package slaac

import "crypto/sha256"

// GuestMAC returns the MAC of the virtual machine with this name: the prefix
// 52:54:00 that QEMU and libvirt use, then the first three octets of
//
//	SHA-256("sixhost guest MAC v1" || 0x00 || name)
//
// It depends on nothing else and will never change, as guests' addresses and
// DNS records follow from it. Names are taken byte by byte: "Web" and "web"
// are different.
//
// 24 bits are few: among 100 names two collide in one case of 3,400, among
// 1,000 in one of 34. Check that a host's MACs differ, and set one by hand
// where they don't.
func GuestMAC(name string) MAC {
	sum := sha256.Sum256([]byte("sixhost guest MAC v1\x00" + name))
	return MAC{0x52, 0x54, 0x00, sum[0], sum[1], sum[2]}
}
