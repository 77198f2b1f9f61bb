package libvirtguests

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/digitalocean/go-libvirt"
	"github.com/digitalocean/go-libvirt/socket/dialers"
)

// Socket is where libvirtd listens by default.
const Socket = "/run/libvirt/libvirt-sock"

// Conn is a connection to libvirtd's QEMU driver.
type Conn struct {
	l *libvirt.Libvirt
}

// Dial connects to libvirtd on a Unix socket; "" means [Socket].
func Dial(ctx context.Context, socket string) (*Conn, error) {
	if socket == "" {
		socket = Socket
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("connect to libvirtd: %w", err)
	}
	// A daemon that accepts and then says nothing must not hold us for ever.
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	l := libvirt.NewWithDialer(dialers.NewAlreadyConnected(c))
	if err := l.Connect(); err != nil {
		c.Close()
		return nil, fmt.Errorf("talk to libvirtd on %s: %w", socket, err)
	}
	return &Conn{l}, nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	if err := c.l.Disconnect(); err != nil && c.l.IsConnected() {
		return fmt.Errorf("leave libvirtd: %w", err)
	}
	return nil
}

// Gone is closed when the connection is lost.
func (c *Conn) Gone() <-chan struct{} { return c.l.Disconnected() }

// Capture lists the domains with an interface on the bridge, whoever made them.
func (c *Conn) Capture(bridge string) (State, error) {
	s := State{Bridge: bridge}
	all, _, err := c.l.ConnectListAllDomains(1, 0)
	if err != nil {
		return State{}, fmt.Errorf("list domains: %w", err)
	}
	for _, dom := range all {
		d, err := c.domain(dom, bridge)
		if isGone(err) {
			continue // undefined since the list was made
		}
		if err != nil {
			return State{}, fmt.Errorf("look at domain %s: %w", dom.Name, err)
		}
		if len(d.NICs) > 0 {
			s.Domains = append(s.Domains, d)
		}
	}
	return s, nil
}

func (c *Conn) domain(dom libvirt.Domain, bridge string) (Domain, error) {
	active, err := c.l.DomainIsActive(dom)
	if err != nil {
		return Domain{}, err
	}
	x, err := c.l.DomainGetXMLDesc(dom, 0)
	if err != nil {
		return Domain{}, err
	}
	d, err := read(x, bridge)
	if err != nil {
		return Domain{}, err
	}
	persistent, err := c.l.DomainIsPersistent(dom)
	if err != nil {
		return Domain{}, err
	}
	if persistent == 1 {
		auto, err := c.l.DomainGetAutostart(dom)
		if err != nil {
			return Domain{}, err
		}
		d.Autostart = auto == 1
	}
	d.Running = active == 1
	if !d.Running || persistent != 1 {
		return d, nil
	}
	// What runs may have been defined anew; its ports are those it runs with.
	if x, err = c.l.DomainGetXMLDesc(dom, libvirt.DomainXMLInactive); err != nil {
		return Domain{}, err
	}
	next, err := read(x, bridge)
	if err != nil {
		return Domain{}, err
	}
	for i, n := range next.NICs {
		for _, live := range d.NICs {
			if live.MAC == n.MAC && n.Port == "" {
				next.NICs[i].Port = live.Port
			}
		}
	}
	next.Running, next.Autostart = d.Running, d.Autostart
	return next, nil
}

// Kill ends a running domain at once, as pulling its plug does.
func (c *Conn) Kill(name string) error { return c.do("kill", name, c.l.DomainDestroy) }

func (c *Conn) do(what, name string, fn func(libvirt.Domain) error) error {
	d, err := c.l.DomainLookupByName(name)
	if err != nil {
		return fmt.Errorf("%s domain %s: %w", what, name, err)
	}
	if err := fn(d); err != nil {
		return fmt.Errorf("%s domain %s: %w", what, name, err)
	}
	return nil
}

func isGone(err error) bool {
	var e libvirt.Error
	return errors.As(err, &e) && e.Code == uint32(libvirt.ErrNoDomain)
}

// Events sends whenever a domain was defined, undefined, started or stopped,
// and once at the start. What happens faster than the receiver looks comes as
// one. It returns nil when ctx ends and an error when the connection is lost.
func (c *Conn) Events(ctx context.Context, changed chan<- struct{}) error {
	ctx, cancel := context.WithCancel(ctx)
	events, err := c.l.LifecycleEvents(ctx)
	if err != nil {
		cancel()
		return fmt.Errorf("ask libvirtd for events: %w", err)
	}
	// The library hands on what it has before it looks whether anybody wants it.
	defer func() {
		cancel()
		for range events {
		}
	}()
	tell := func() {
		select {
		case changed <- struct{}{}:
		default: // one is waiting already
		}
	}
	tell()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-events:
			if !ok {
				if ctx.Err() != nil {
					return nil
				}
				return errors.New("libvirtd has gone")
			}
			tell()
		}
	}
}
