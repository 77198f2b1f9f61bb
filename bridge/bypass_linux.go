package bridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/slaac"
)

// While a link becomes a port, or stops being one, the kernel has taken it
// from the IP stack already, or not given it back yet, and does not forward
// either: what arrives in these some hundred microseconds is dropped, a ping in
// three moves and now and then a segment that TCP sends again only 200 ms later.
//
// nftables' ingress hook comes before that. For the moment it sends what
// arrives out of one end of a pair of links, and it is received at the other,
// which has the link's MAC: whose address it is the kernel doesn't ask by link.
// A filter of tc, or a BPF program of clsact, would want a qdisc, and adding one
// to a link stops its sending for a moment.
//
// Only what an address of the host's in a wider scope than the link is for is
// led past; neighbour discovery asks again by itself.

// bypassRules are the table for a link with that MAC, out of the link with
// that index.
func bypassRules(link string, mac slaac.MAC, out int) *nft.Table {
	past := func(comment string, match ...nft.Expr) nft.Rule {
		return nft.NewRule(comment, append(append([]nft.Expr{nft.EtherDaddr(mac)}, match...), nft.DupTo(uint32(out)), nft.Drop())...)
	}
	return &nft.Table{
		Family: nft.NetDev, Name: bypassTable,
		Chains: []nft.Chain{{
			Name: "ingress", Type: "filter", Hook: "ingress", Device: link, Policy: "accept",
			Rules: []nft.Rule{
				past("IPv4", nft.Protocol(nft.EthIPv4)),
				past("IPv6 from beyond the link", nft.Protocol(nft.EthIPv6), nft.Invert(nft.Daddr(netip.MustParsePrefix("fe80::/10")))),
			},
		}},
	}
}

// putBypass makes the links, then the rules. Where the kernel lacks one of
// them the move goes on without, and may lose what arrives in that moment.
func putBypass(ctx context.Context, h *netlink.Handle, link netlink.Link) error {
	mac, err := slaac.MACFrom(link.Attrs().HardwareAddr)
	if err != nil {
		return fmt.Errorf("read MAC of %s: %w", link.Attrs().Name, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr, attrs.MTU = bypassIn, mac.HardwareAddr(), link.Attrs().MTU
	switch err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: bypassOut, PeerMTU: uint32(link.Attrs().MTU)}); {
	case errors.Is(err, unix.EOPNOTSUPP):
		return nil
	case err != nil && !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("add the links %s and %s: %w", bypassOut, bypassIn, err)
	}
	for key, value := range map[string]string{
		"net/ipv6/conf/" + bypassIn + "/addr_gen_mode":  "1", // no address of its own
		"net/ipv6/conf/" + bypassOut + "/addr_gen_mode": "1",
		"net/ipv6/conf/" + bypassIn + "/accept_ra":      "0",
		"net/ipv6/conf/" + bypassIn + "/disable_ipv6":   "0",
		"net/ipv4/conf/" + bypassIn + "/rp_filter":      "2", // answers leave by another link
	} {
		if err := ignore(sysctl.Write(key, value), fs.ErrNotExist); err != nil {
			return err
		}
	}
	out := 0
	for _, name := range []string{bypassIn, bypassOut} {
		l, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find %s: %w", name, err)
		}
		if err := h.LinkSetUp(l); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
		out = l.Attrs().Index
	}
	// On a link without any address even a loose reverse path filter drops all.
	in, err := h.LinkByName(bypassIn)
	if err != nil {
		return fmt.Errorf("find %s: %w", bypassIn, err)
	}
	dummy := Addr{ // RFC 7600, section 6
		Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 0, 8}), 32), Scope: unix.RT_SCOPE_HOST, Preferred: Forever, Valid: Forever,
	}
	if err := setAddr(in, dummy, unix.NLM_F_REPLACE); err != nil {
		return fmt.Errorf("add %s to %s: %w", dummy.Prefix, bypassIn, err)
	}
	if err := awaitCarrier(ctx, h, bypassOut); err != nil {
		return err
	}
	if err := nft.Replace(ctx, bypassRules(link.Attrs().Name, mac, out)); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// takeBypass removes the rules, then the links.
func takeBypass(ctx context.Context, h *netlink.Handle) error {
	if err := nft.Delete(ctx, nft.NetDev, bypassTable); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	l, err := h.LinkByName(bypassIn)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find %s: %w", bypassIn, err)
	}
	return wrap(h.LinkDel(l), "remove %s", bypassIn)
}

// hasBypass reports whether any of it is there.
func hasBypass(ctx context.Context, names map[int]linkName) (bool, error) {
	for _, n := range names {
		if n.name == bypassIn || n.name == bypassOut {
			return true, nil
		}
	}
	t, err := nft.Read(ctx, nft.NetDev, bypassTable)
	if errors.Is(err, errors.ErrUnsupported) {
		return false, nil
	}
	return t != nil, err
}
