package wire

import (
	"fmt"
	"time"
)

// CaptureConfig says what to capture.
type CaptureConfig struct {
	// Interface is the name of the link to listen on. Required.
	Interface string
	// Frame is called for every frame that arrives, in order, by one goroutine.
	// VLAN tags stand where they stood on the wire. b is valid during the call
	// only, and cut to about SnapLength bytes. Required. Judge.Frame fits.
	Frame func(at time.Time, b []byte)
	// Outgoing also reports frames that leave through the interface. Default
	// only those that arrive.
	Outgoing bool
	// Frames is how many frames can wait for Frame before some are lost.
	// Default 8192, at 2 KiB each.
	Frames int
}

// SnapLength is how many bytes of a frame a Capture sees at least: more than
// neighbour discovery can have on links with the usual MTU.
const SnapLength = 1900

// CaptureStats tells what a Capture got and what it lost.
type CaptureStats struct {
	Frames uint64 `json:"frames"` // handed to CaptureConfig.Frame
	Lost   uint64 `json:"lost"`   // dropped by the kernel, the buffer being full
}

// String says what a report needs to say.
func (s CaptureStats) String() string {
	return fmt.Sprintf("%d frames seen, %d lost", s.Frames, s.Lost)
}
