package hostile

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Sender puts frames on a wire, as they are.
type Sender struct {
	fd   int
	name string
	to   unix.SockaddrLinklayer
}

// NewSender opens an interface of the calling thread's network namespace.
func NewSender(name string) (*Sender, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("send on %s: %w", name, err)
	}
	// Protocol 0 hears nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("send on %s: open packet socket: %w", name, err)
	}
	return &Sender{fd: fd, name: name, to: unix.SockaddrLinklayer{Ifindex: link.Index}}, nil
}

// Close lets go of the interface.
func (s *Sender) Close() error { return unix.Close(s.fd) }

// burst is how many frames are sent at once; a receiving veth's queue holds 1,000
// of the kernel's default.
const burst = 64

// Send puts all frames of an attack on the wire and returns how many the sender's
// own kernel took: it refuses those that are shorter than an Ethernet header or
// longer than its own MTU or the other end's allows.
func (s *Sender) Send(ctx context.Context, a Attack) (sent int, err error) {
	for i, f := range a.Frames {
		if i%burst == burst-1 {
			// Gives way, so that queues between here and there don't overflow.
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return sent, context.Cause(ctx)
			}
		}
		switch err := s.one(f); {
		case err == nil:
			sent++
		case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.ENOBUFS):
		default:
			return sent, fmt.Errorf("send %q on %s: %w", a.Name, s.name, err)
		}
	}
	return sent, nil
}

func (s *Sender) one(frame []byte) error {
	for range 20 {
		err := unix.Sendto(s.fd, frame, 0, &s.to)
		if !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.EINTR) {
			return err
		}
		time.Sleep(100 * time.Microsecond)
	}
	return unix.ENOBUFS
}
