package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// bulkAfter is how much goes one way through user space before splice is
	// worth its pipe: that takes two descriptors and the user's pipe memory,
	// also while nothing moves.
	bulkAfter = 256 << 10
	// bulkRound is what one splice call may move, bulkIdle how long it may take
	// before it is asked whether that is bulk still.
	bulkRound = 16 << 20
	bulkIdle  = time.Second
)

// relay copies both ways until both directions ended, one failed, nothing has
// moved for a while, or ctx ended. One side's end of data is passed on as such,
// and the other direction goes on. Both connections are closed when it returns.
func (s *Server) relay(ctx context.Context, client, guest *net.TCPConn) {
	closeBoth := func() {
		client.Close()
		guest.Close()
	}
	defer closeBoth()
	defer context.AfterFunc(ctx, closeBoth)()
	c := &clock{idle: s.cfg.IdleTimeout}
	c.touch()
	var wg sync.WaitGroup
	one := func(dst, src *net.TCPConn, moved *atomic.Uint64) {
		err := (&direction{dst: dst, src: src, clock: c, moved: moved, buffers: &s.buffers}).run()
		if err == nil {
			err = dst.CloseWrite()
			if err == nil || errors.Is(err, syscall.ENOTCONN) {
				return
			}
		}
		if errors.Is(err, syscall.ECONNRESET) {
			// The other side shall see a reset too, not an orderly end of
			// what may be half of the data.
			dst.SetLinger(0)
			src.SetLinger(0)
		}
		closeBoth()
	}
	wg.Go(func() { one(client, guest, &s.stats.bytesToClients) })
	one(guest, client, &s.stats.bytesToGuests)
	wg.Wait()
}

// clock knows when something last moved, in either direction.
type clock struct {
	idle time.Duration
	last atomic.Int64 // unix nanoseconds
}

func (c *clock) touch() { c.last.Store(time.Now().UnixNano()) }

// end is when the connection will have been idle for too long.
func (c *clock) end() time.Time { return time.Unix(0, c.last.Load()).Add(c.idle) }

type direction struct {
	dst, src *net.TCPConn
	clock    *clock
	moved    *atomic.Uint64
	buffers  *buffers
}

// run copies until the end of data, which is nil, or an error.
func (d *direction) run() error {
	recent := 0 // moved since the last splice came to rest
	for {
		d.src.SetReadDeadline(d.clock.end())
		n, err := d.step()
		recent += n
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(d.clock.end()):
			continue // the other direction is alive
		case err != nil:
			return err
		}
		if recent < bulkAfter {
			continue
		}
		recent = 0
		if err := d.bulk(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// write puts all of b out.
func (d *direction) write(b []byte) error {
	d.clock.touch()
	d.dst.SetWriteDeadline(d.clock.end())
	n, err := d.dst.Write(b)
	d.moved.Add(uint64(n))
	d.clock.touch()
	return err
}

// bulk moves data by splice, where the system has it, until there is a pause.
// The end of data is io.EOF.
func (d *direction) bulk() error {
	for {
		start := time.Now()
		stalled := start.Add(bulkIdle + d.clock.idle)
		d.src.SetReadDeadline(start.Add(bulkIdle))
		d.dst.SetWriteDeadline(stalled)
		n, err := d.dst.ReadFrom(&io.LimitedReader{R: d.src, N: bulkRound})
		d.moved.Add(uint64(n))
		if n > 0 {
			d.clock.touch()
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(stalled):
			// Of reading, before which the pipe was emptied.
			if n < bulkAfter {
				return nil
			}
		case err != nil:
			return err
		case n < bulkRound:
			return io.EOF
		}
	}
}
