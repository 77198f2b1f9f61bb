package netns

import "runtime"

// Home runs functions in the network namespace that the goroutine which made
// it was in, whatever goroutine calls. It is for services that open sockets
// while they run.
type Home struct {
	ns *NS // nil where it is the process's own, in which every thread is
}

// NewHome holds the calling goroutine's network namespace. Close lets go of it.
func NewHome() (*Home, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ns, err := openThread()
	if err != nil {
		return nil, err
	}
	here, err := ns.Inode()
	if err != nil {
		ns.Close()
		return nil, err
	}
	// A goroutine of its own runs on a thread that nobody has locked, and thus
	// nobody has moved. The process's first thread may have been.
	elsewhere := make(chan uint64, 1)
	go func() {
		ordinary, err := Current()
		if err != nil {
			elsewhere <- 0
			return
		}
		defer ordinary.Close()
		inode, err := ordinary.Inode()
		if err != nil {
			inode = 0
		}
		elsewhere <- inode
	}()
	if <-elsewhere == here {
		ns.Close()
		return &Home{}, nil
	}
	return &Home{ns}, nil
}

// Do runs fn there; see [NS.Do].
func (h *Home) Do(fn func() error) error {
	if h.ns == nil {
		return fn()
	}
	return h.ns.Do(fn)
}

// Close lets go of the namespace.
func (h *Home) Close() error {
	if h.ns == nil {
		return nil
	}
	return h.ns.Close()
}
