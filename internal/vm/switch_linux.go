package vm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// Switch is the provider's switch between one wire of his router and the NICs
// of one machine.
type Switch struct {
	// Router is the router's wire, where frames have no tag.
	Router *os.File
	// NICs are the machine's. With several, each gets all frames, as from a switch
	// that has forgotten where the machine is: a link that the machine sets down,
	// which makes a switch forget, is not seen here.
	NICs []*os.File
	// VLAN is the tag that the NICs' side has; 0 is none.
	VLAN uint16
	// Stray gets the frames that come from the machine with another tag or none,
	// where there is a VLAN; they end here.
	Stray func(at time.Time, frame []byte)
}

// Ethernet's header.
const (
	macs    = 12 // octets of both addresses
	tag     = 4  // octets of a tag, which stands behind them
	dot1Q   = 0x8100
	vlanID  = 0x0fff
	maxSize = 1 << 16
)

// Run carries frames until ctx ends.
func (s *Switch) Run(ctx context.Context) error {
	files := append([]*os.File{s.Router}, s.NICs...)
	stop := context.AfterFunc(ctx, func() {
		for _, f := range files {
			f.SetReadDeadline(time.Unix(1, 0))
		}
	})
	defer stop()
	var wg sync.WaitGroup
	errs := make([]error, len(files))
	for i, f := range files {
		wg.Go(func() {
			errs[i] = s.read(ctx, f, func(b []byte) error {
				if i == 0 {
					return s.toMachine(b)
				}
				return s.toRouter(b)
			})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// read hands on what comes by a wire until ctx ends or the wire is taken away.
func (s *Switch) read(ctx context.Context, f *os.File, hand func([]byte) error) error {
	b := make([]byte, maxSize)
	for {
		n, err := f.Read(b)
		switch {
		case ctx.Err() != nil, errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("switch: %w", err)
		}
		if n <= macs+1 {
			continue
		}
		if err := hand(b[:n]); err != nil {
			return fmt.Errorf("switch: %w", err)
		}
	}
}

func (s *Switch) toRouter(b []byte) error {
	if s.VLAN != 0 {
		if len(b) < macs+tag+2 || binary.BigEndian.Uint16(b[macs:]) != dot1Q || binary.BigEndian.Uint16(b[macs+2:])&vlanID != s.VLAN {
			if s.Stray != nil {
				s.Stray(time.Now(), b)
			}
			return nil
		}
		b = append(b[:macs:macs], b[macs+tag:]...)
	}
	return send(s.Router, b)
}

func (s *Switch) toMachine(b []byte) error {
	if s.VLAN != 0 {
		tagged := binary.BigEndian.AppendUint16(bytes.Clone(b[:macs]), dot1Q)
		b = append(binary.BigEndian.AppendUint16(tagged, s.VLAN), b[macs:]...)
	}
	for _, f := range s.NICs {
		if err := send(f, b); err != nil {
			return err
		}
	}
	return nil
}

// send puts a frame on a wire. It is lost where nobody takes it: the machine is
// being reset, or is slower than its wire.
func send(f *os.File, b []byte) error {
	// This fails for a closed file alone, which the write tells with an error that
	// can be matched.
	_ = f.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := f.Write(b)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
