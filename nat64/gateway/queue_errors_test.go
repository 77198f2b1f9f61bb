package gateway

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
)

// faulty fails to hand out some packets, as the kernel's driver does.
type faulty struct {
	tape
	errs []error
}

func (d *faulty) Read(b []byte, idle func()) (int, error) {
	if len(d.errs) > 0 {
		err := d.errs[0]
		d.errs = d.errs[1:]
		if err != nil {
			return 0, &os.PathError{Op: "read", Path: "nat64 queue 0", Err: err}
		}
	}
	return d.tape.Read(b, idle)
}

// One packet that can't be read ends nothing; an error of the device itself does.
func TestUnreadablePackets(t *testing.T) {
	packet := udp6("2001:db8:1:3::10", "64:ff9b::203.0.114.9", 4)
	dev := &faulty{
		tape: tape{in: [][]byte{packet, packet, packet}},
		errs: []error{syscall.EINVAL, nil, syscall.ENOMEM, syscall.EINVAL, nil, syscall.EINVAL},
	}
	q := newTestQueue(dev, sampleConfig())
	if err := q.serve(); err != io.EOF {
		t.Fatal(err)
	}
	if len(dev.out) != 3 || q.counts.unknown.Load() != 4 {
		t.Errorf("%d packets translated, %d errors counted", len(dev.out), q.counts.unknown.Load())
	}
	for range 1100 {
		dev.errs = append(dev.errs, syscall.EINVAL)
	}
	dev.errs = append(dev.errs, syscall.EBADF)
	if err := q.serve(); !errors.Is(err, syscall.EBADF) {
		t.Errorf("a device that is gone: %v", err)
	}
}
