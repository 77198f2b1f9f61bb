package proof

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nft"
	"github.com/sixhost/sixhost/internal/nldump"
)

// Counter counts until it is closed.
type Counter struct {
	home   *netns.Home
	cfg    Config
	method string
	why    error // what is in the way of BPF

	objects *programsObjects // nil without BPF
	link    link.Link        // of tcx
	filter  *netlink.BpfFilter
}

// The ways of counting.
const (
	tcx    = "a BPF program at the end of tcx egress"
	clsact = "a BPF program at the end of clsact egress"
	byNft  = "an nftables chain on egress"
)

// New attaches the best counter that the kernel has.
func New(cfg Config) (*Counter, error) { return newCounter(cfg, tcx, clsact, byNft) }

// newCounter tries the given ways in turn.
func newCounter(cfg Config, ways ...string) (*Counter, error) {
	home, err := netns.NewHome()
	if err != nil {
		return nil, fmt.Errorf("count what leaves by %s: %w", cfg.Uplink, err)
	}
	c := &Counter{home: home, cfg: cfg}
	var errs []error
	for _, way := range ways {
		err := home.Do(func() error { return c.attach(way) })
		if err == nil {
			c.method, c.why = way, errors.Join(errs...)
			return c, nil
		}
		errs = append(errs, fmt.Errorf("by %s: %w", way, err))
	}
	return nil, errors.Join(fmt.Errorf("count what leaves by %s: %w", cfg.Uplink, errors.Join(errs...)), home.Close())
}

func (c *Counter) attach(way string) error {
	nic, err := net.InterfaceByName(c.cfg.Uplink)
	if err != nil {
		return err
	}
	switch way {
	case tcx, clsact:
	case byNft:
		// Programs that loaded and could not be attached count nothing.
		if c.objects != nil {
			err := c.objects.Close()
			c.objects = nil
			if err != nil {
				return fmt.Errorf("unload the program: %w", err)
			}
		}
		return nft.Replace(context.Background(), c.cfg.table())
	default:
		return errors.ErrUnsupported
	}
	if c.objects == nil {
		if err := c.load(); err != nil {
			return err
		}
	}
	if way == tcx {
		c.link, err = link.AttachTCX(link.TCXOptions{Interface: nic.Index, Program: c.objects.Proof, Attach: ebpf.AttachTCXEgress, Anchor: link.Tail()})
		return err
	}
	return c.attachClsact(nic.Index)
}

func (c *Counter) load() error {
	objects := &programsObjects{}
	if err := loadProgramsObjects(objects, nil); err != nil {
		return err
	}
	fail := func(err error) error { return errors.Join(err, objects.Close()) }
	if err := objects.Nic.Put(uint32(0), [8]byte(append(c.cfg.MAC[:], 0, 0))); err != nil {
		return fail(fmt.Errorf("tell the program of the MAC: %w", err))
	}
	for _, a := range c.cfg.own() {
		if err := objects.Own.Put(a.As16(), uint8(1)); err != nil {
			return fail(fmt.Errorf("tell the program of %s: %w", a, err))
		}
	}
	c.objects = objects
	return nil
}

// clsactPriority is the last there is.
const clsactPriority = 0xffff

func (c *Counter) attachClsact(index int) error {
	qdisc := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	}
	switch err := netlink.QdiscAdd(qdisc); {
	case errors.Is(err, unix.EEXIST):
		// It is somebody else's, and stays.
		if err := isClsact(index); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("add clsact: %w", err)
	}
	filter := &netlink.BpfFilter{
		FilterAttrs:  netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: clsactPriority},
		Fd:           c.objects.Proof.FD(),
		Name:         "sixhost_proof",
		DirectAction: true,
	}
	if err := netlink.FilterReplace(filter); err != nil {
		return fmt.Errorf("add filter: %w", err)
	}
	c.filter = filter
	return nil
}

// isClsact tells clsact from ingress, which has the same handle, takes filters for
// egress too, and never asks them.
func isClsact(index int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("find link %d: %w", index, err)
	}
	list, err := nldump.Retry(func() ([]netlink.Qdisc, error) { return netlink.QdiscList(l) })
	if err != nil {
		return fmt.Errorf("list queueing disciplines of %s: %w", l.Attrs().Name, err)
	}
	for _, q := range list {
		if q.Attrs().Parent == netlink.HANDLE_CLSACT && q.Type() != "clsact" {
			return fmt.Errorf("the place of clsact on %s is taken by %s", l.Attrs().Name, q.Type())
		}
	}
	return nil
}

// Method says in a few words how it counts.
func (c *Counter) Method() string { return c.method }

// Partial is what is in the way of counting everything; nil if nothing is.
func (c *Counter) Partial() error {
	if c.method != byNft {
		return nil
	}
	return fmt.Errorf("%s does not see packets that BPF programs redirect to %s: %w", byNft, c.cfg.Uplink, c.why)
}

// Host tells of changed addresses of the host.
func (c *Counter) Host(addrs []netip.Addr) error {
	before := c.cfg.own()
	cfg := c.cfg
	cfg.Host = addrs
	if c.objects == nil {
		from, to := c.cfg.table(), cfg.table()
		if err := c.home.Do(func() error { return nft.Update(context.Background(), from, to) }); err != nil {
			return err
		}
		c.cfg = cfg
		return nil
	}
	now := map[netip.Addr]bool{}
	for _, a := range cfg.own() {
		now[a] = true
		if err := c.objects.Own.Put(a.As16(), uint8(1)); err != nil {
			return fmt.Errorf("tell the program of %s: %w", a, err)
		}
	}
	for _, a := range before {
		if now[a] {
			continue
		}
		if err := c.objects.Own.Delete(a.As16()); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("take %s from the program: %w", a, err)
		}
	}
	c.cfg = cfg
	return nil
}

// Read reads the counts.
func (c *Counter) Read(ctx context.Context) (Counts, error) {
	if c.objects == nil {
		var list []nft.Counter
		if err := c.home.Do(func() (err error) { list, err = nft.Counters(ctx, nft.NetDev, tableName); return err }); err != nil {
			return Counts{}, err
		}
		by := map[string]uint64{}
		for _, x := range list {
			by[x.Name] = x.Packets
		}
		return Counts{
			Frames: by["frames"], ForeignSource: by["foreign-source"], RouterAdverts: by["router-adverts"],
			Redirects: by["redirects"], GuestMulticast: by["guest-multicast"],
		}, nil
	}
	var out Counts
	for i, to := range []*uint64{&out.Frames, &out.ForeignSource, &out.RouterAdverts, &out.Redirects, &out.GuestMulticast, &out.Unread} {
		var of []uint64
		if err := c.objects.Tally.Lookup(uint32(i), &of); err != nil {
			return Counts{}, fmt.Errorf("read the counts: %w", err)
		}
		for _, n := range of {
			*to += n
		}
	}
	return out, nil
}

// Close takes the counter away.
func (c *Counter) Close() error {
	var errs []error
	if c.link != nil {
		errs = append(errs, c.link.Close())
	}
	errs = append(errs, c.home.Do(func() error {
		if c.filter != nil {
			if err := netlink.FilterDel(c.filter); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
				return fmt.Errorf("take the counter from clsact: %w", err)
			}
		}
		if c.method == byNft {
			return nft.Delete(context.Background(), nft.NetDev, tableName)
		}
		return nil
	}))
	if c.objects != nil {
		errs = append(errs, c.objects.Close())
	}
	return errors.Join(append(errs, c.home.Close())...)
}
