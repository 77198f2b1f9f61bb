// Package guest describes virtual machines whose IPv6 address is known before
// they exist.
//
// A [Guest] is a name and a few numbers. Its MAC follows from the name, its
// address from the MAC and the host's /64, its DNS records from both, and its
// libvirt domain from all of it: [Guest.LinkAddr], [Guest.Addr],
// [Guest.Records], [Guest.Domain] and [Guest.XML]. The same Guest gives the
// same results on every run and every machine.
//
// The name gives the guest's port on the bridge too ([Guest.Port]), so that rules
// for it can stand before it is started.
//
// What the world and the guest itself have to be told follows from the same
// values: [Zone] holds the DNS records of a host and its guests,
// [Guest.SeedFiles] are a cloud-init seed (package guest/seed makes an image of
// them), [Guest.Netplan] and [Guest.Networkd] the network inside the guest, which
// matters where it has an IPv4 address of its own.
//
// [Validate] checks all guests of a host together. What a Guest holds is
// checked before it goes into a domain, so that nothing in it can end an XML
// element or leave a path.
//
// The package computes values and touches nothing: it needs no privileges,
// builds on every system, and links libvirtxml but not libvirt. Errors are
// [*ConfigError].
package guest
