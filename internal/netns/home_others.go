//go:build !linux

package netns

// Home runs functions in the network namespace of the goroutine that made it;
// where there are no network namespaces, it just runs them.
type Home struct{}

// NewHome holds the calling goroutine's network namespace.
func NewHome() (*Home, error) { return &Home{}, nil }

// Do runs fn.
func (h *Home) Do(fn func() error) error { return fn() }

// Close lets go of the namespace.
func (h *Home) Close() error { return nil }
