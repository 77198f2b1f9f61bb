package ra

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mdlayher/ndp"
)

// Received is a router advertisement that came in.
type Received struct {
	// At is when it was read.
	At time.Time
	// Interface it was received on, and From whom, without zone.
	Interface string
	From      netip.Addr
	// HopLimit of the packet.
	HopLimit int
	// Raw is the message from its ICMPv6 type on. It is the receiver's.
	Raw []byte
	// Message is what Raw says, or nil where it can't be read.
	Message *ndp.RouterAdvertisement
	// Err says why a host must discard the advertisement (RFC 4861, section
	// 6.1.2), or is nil. It matches [ErrHopLimit], [ErrSource],
	// [ErrFragmented] or [ErrMalformed].
	Err error
}

// Listener hears the router advertisements of one interface, also after that was
// removed and made anew.
type Listener struct {
	iface string
	conn  conn
	watch indexWatcher
	index int // that the socket is bound to, 0 for none
	// changed: the watcher saw something.
	changed atomic.Bool
}

// indexWatcher is a watcher that knows the interface before it is ready to be
// advertised on.
type indexWatcher interface {
	watcher
	index() (int, error)
}

// NewListener opens a listener's socket, which hears all that arrives from
// then on, in the network namespace of the calling goroutine's thread. An
// interface that is down is waited for, one that doesn't exist is an error, but
// waited for if it goes later.
//
// The error is a [*ConfigError], matches os.ErrPermission without CAP_NET_RAW,
// or matches errors.ErrUnsupported on systems other than Linux. A listener that
// is not run must be closed.
func NewListener(iface string) (*Listener, error) {
	v := validator{}
	if v.iface(iface); v.first != nil {
		return nil, v.first
	}
	w, err := newWatcher(iface)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", iface, err)
	}
	l := &Listener{iface: iface, watch: w}
	if l.conn, err = newConn(typeAdvertisement); err != nil {
		w.close()
		return nil, fmt.Errorf("listen on %s: %w", iface, err)
	}
	if err := l.attach(); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", iface, err)
	}
	return l, nil
}

// attach binds the socket to the interface that has the name now.
func (l *Listener) attach() error {
	index, err := l.watch.index()
	if err != nil {
		l.index = 0
		return err
	}
	if index == l.index {
		return nil
	}
	l.index = 0
	// A link without address binds the socket and joins no router's group.
	if err := l.conn.attach(Link{Index: index}); err != nil {
		return err
	}
	l.index = index
	return nil
}

// Close releases the socket of a listener that is not run.
func (l *Listener) Close() error { return errors.Join(l.conn.close(), l.watch.close()) }

// Run calls fn for every router advertisement that has arrived since
// [NewListener], invalid ones included, until ctx ends; it returns nil then. fn
// is called by the calling goroutine. Advertisements sent by this host are not
// seen. Run closes the listener.
func (l *Listener) Run(ctx context.Context, fn func(Received)) error {
	return l.run(ctx, func() time.Time { return time.Time{} }, fn)
}

// run is Run with somebody to ask, before each wait, how long it may be; the
// zero time is for ever.
func (l *Listener) run(ctx context.Context, until func() time.Time, fn func(Received)) error {
	var watching sync.WaitGroup
	ended, end := context.WithCancel(context.Background())
	watching.Go(func() { l.follow(ended) })
	defer func() {
		end()
		l.watch.close()
		watching.Wait()
		l.conn.close()
	}()
	defer context.AfterFunc(ctx, l.conn.wake)()
	buf := make([]byte, longestMessage)
	l.changed.Store(true) // before anybody watched
	for ctx.Err() == nil {
		if l.changed.Swap(false) {
			if err := l.attach(); err != nil && !gone(err) {
				return fmt.Errorf("listen on %s: %w", l.iface, err)
			}
		}
		p, err := l.conn.receive(buf, until())
		if errors.Is(err, errIdle) {
			continue
		}
		if err != nil {
			return fmt.Errorf("listen on %s: %w", l.iface, err)
		}
		fn(received(l.iface, p, buf))
	}
	return nil
}

// follow runs beside the loop and wakes it when the interface has changed.
func (l *Listener) follow(ended context.Context) {
	for {
		err := l.watch.wait()
		if ended.Err() != nil {
			return
		}
		l.changed.Store(true)
		l.conn.wake()
		if err != nil {
			pause(ended, time.Now().Add(time.Second), time.Now().Add(time.Second))
		}
	}
}

func received(iface string, p packet, buf []byte) Received {
	r := Received{
		At:        time.Now(),
		Interface: iface,
		From:      p.from,
		HopLimit:  p.hopLimit,
		Raw:       append([]byte(nil), buf[:p.n]...),
	}
	r.Message, r.Err = Parse(r.Raw)
	switch {
	case p.hopLimit != hopLimit:
		r.Err = fmt.Errorf("%w: %d", ErrHopLimit, p.hopLimit)
	case !p.from.IsLinkLocalUnicast():
		r.Err = fmt.Errorf("%w: %s is not link-local", ErrSource, p.from)
	case p.fragmented:
		r.Err = ErrFragmented
	}
	return r
}
