package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	ringFrame = 2048           // bytes of one slot
	ringBlock = 64 * ringFrame // the kernel wants blocks of whole pages
	slotsMin  = 2 * ringBlock / ringFrame
)

// Capture is a packet socket on one interface. It hears frames before tc,
// nftables ingress, bridges and the IP stack do; only XDP comes earlier.
//
// It uses a ring shared with the kernel, because the size of an ordinary
// receive buffer is limited for users who aren't root of the machine.
type Capture struct {
	cfg  CaptureConfig
	f    *os.File
	conn rawConn
	ring []byte
	next int // slot that the kernel fills next

	frames atomic.Uint64

	mu      sync.Mutex
	lost    uint64
	running bool // Run uses the ring and lets go of it
	closed  bool
}

// rawConn is the part of syscall.RawConn in use.
type rawConn interface {
	Control(func(fd uintptr)) error
	Read(func(fd uintptr) bool) error
}

// NewCapture opens the socket in the network namespace of the calling
// goroutine's thread. From then on frames are kept for Run. The caller calls
// Run, or Close.
func NewCapture(cfg CaptureConfig) (*Capture, error) {
	if cfg.Interface == "" || cfg.Frame == nil {
		return nil, errors.New("capture: Interface and Frame are required")
	}
	c, err := newCapture(cfg)
	if err != nil {
		return nil, fmt.Errorf("capture on %s: %w", cfg.Interface, err)
	}
	return c, nil
}

func newCapture(cfg CaptureConfig) (*Capture, error) {
	link, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return nil, err
	}
	// Protocol 0 hears nothing, so that no frame of another interface comes in
	// before the socket is bound.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open packet socket: %w", err)
	}
	ring, err := setUpRing(fd, cfg)
	if err == nil {
		err = bindPacket(fd, link.Index)
	}
	if err != nil {
		if ring != nil {
			unix.Munmap(ring)
		}
		unix.Close(fd)
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "packet:"+cfg.Interface)
	conn, err := f.SyscallConn()
	if err != nil {
		unix.Munmap(ring)
		f.Close()
		return nil, err
	}
	return &Capture{cfg: cfg, f: f, conn: conn, ring: ring}, nil
}

// setUpRing asks for a TPACKET_V2 ring; its slots tell VLAN tags that the
// kernel or NIC took off the frame.
func setUpRing(fd int, cfg CaptureConfig) ([]byte, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V2); err != nil {
		return nil, fmt.Errorf("choose ring version: %w", err)
	}
	if !cfg.Outgoing {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
			return nil, fmt.Errorf("ignore outgoing frames: %w", err)
		}
	}
	slots := cfg.Frames
	if slots <= 0 {
		slots = 8192
	}
	slots = max(slots, slotsMin)
	blocks := (slots*ringFrame + ringBlock - 1) / ringBlock
	req := unix.TpacketReq{
		Block_size: ringBlock,
		Block_nr:   uint32(blocks),
		Frame_size: ringFrame,
		Frame_nr:   uint32(blocks * ringBlock / ringFrame),
	}
	if err := unix.SetsockoptTpacketReq(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return nil, fmt.Errorf("set up ring of %d frames: %w", req.Frame_nr, err)
	}
	ring, err := unix.Mmap(fd, 0, blocks*ringBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map ring: %w", err)
	}
	return ring, nil
}

func bindPacket(fd, index int) error {
	all := uint16(unix.ETH_P_ALL)
	protocol := all<<8 | all>>8 // network order on little-endian machines
	if probe := uint16(1); *(*byte)(unsafe.Pointer(&probe)) == 0 {
		protocol = all
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: index}); err != nil {
		return fmt.Errorf("bind packet socket: %w", err)
	}
	// Hardware drops what is for other MACs unless told not to.
	mreq := unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}
	if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &mreq); err != nil {
		return fmt.Errorf("hear frames for all MACs: %w", err)
	}
	return nil
}

// Run hands frames on until ctx ends, then those that had arrived by then, and
// closes the capture. It returns nil when ctx ends. A link that goes down is
// waited for. It can be called once.
func (c *Capture) Run(ctx context.Context) error {
	if err := c.begin(); err != nil {
		return fmt.Errorf("capture on %s: %w", c.cfg.Interface, err)
	}
	defer c.end()
	stop := context.AfterFunc(ctx, func() { c.f.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		err := c.conn.Read(func(fd uintptr) bool {
			if c.drain() > 0 {
				return true
			}
			// ENETDOWN is pending after the link went down; left there it would
			// be all that polling ever reports.
			_, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
			return false
		})
		switch {
		case ctx.Err() != nil:
			c.drain()
			return nil
		case errors.Is(err, os.ErrClosed) || c.isClosed():
			return fmt.Errorf("read frames of %s: %w", c.cfg.Interface, os.ErrClosed)
		case err != nil:
			return fmt.Errorf("read frames of %s: %w", c.cfg.Interface, err)
		}
	}
}

// drain hands on the frames that are there.
func (c *Capture) drain() int {
	slots := len(c.ring) / ringFrame
	n := 0
	// One round at most, so that a flood can't keep Run from seeing ctx end.
	for ; n < slots; n++ {
		slot := c.ring[c.next*ringFrame:][:ringFrame:ringFrame]
		h := (*unix.Tpacket2Hdr)(unsafe.Pointer(&slot[0]))
		status := atomic.LoadUint32(&h.Status)
		if status&unix.TP_STATUS_USER == 0 {
			break
		}
		c.frames.Add(1)
		c.hand(slot, h, status)
		atomic.StoreUint32(&h.Status, unix.TP_STATUS_KERNEL)
		c.next = (c.next + 1) % slots
	}
	return n
}

// hand gives one slot's frame to the user, its VLAN tag put back.
func (c *Capture) hand(slot []byte, h *unix.Tpacket2Hdr, status uint32) {
	start := int(h.Mac)
	b := slot[start:min(start+int(h.Snaplen), len(slot))]
	if status&unix.TP_STATUS_VLAN_VALID != 0 && len(b) >= 12 {
		tpid := uint16(typeVLAN)
		if status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = h.Vlan_tpid
		}
		tagged := make([]byte, 0, len(b)+4)
		tagged = append(tagged, b[:12]...)
		tagged = binary.BigEndian.AppendUint16(tagged, tpid)
		tagged = binary.BigEndian.AppendUint16(tagged, h.Vlan_tci)
		b = append(tagged, b[12:]...)
	}
	c.cfg.Frame(time.Unix(int64(h.Sec), int64(h.Nsec)), b)
}

// Stats returns the counts so far; they stay readable after the end.
func (c *Capture) Stats() CaptureStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collect()
	return CaptureStats{Frames: c.frames.Load(), Lost: c.lost}
}

// collect adds up the kernel's counters, which reading resets.
func (c *Capture) collect() {
	if c.closed {
		return
	}
	_ = c.conn.Control(func(fd uintptr) {
		if s, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			c.lost += uint64(s.Drops)
		}
	})
}

func (c *Capture) begin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.running {
		return os.ErrClosed
	}
	c.running = true
	return nil
}

func (c *Capture) end() {
	c.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = false
	c.unmap()
}

// Close ends the capture, and Run with an error that matches os.ErrClosed. It
// is for captures that aren't run; Run does it when ctx ends.
func (c *Capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.collect()
	c.closed = true
	err := c.f.Close()
	if !c.running {
		c.unmap()
	}
	return err
}

func (c *Capture) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *Capture) unmap() {
	if c.ring != nil {
		unix.Munmap(c.ring)
		c.ring = nil
	}
}
