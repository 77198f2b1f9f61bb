package proxy

import "sync"

// bufferSize of a copy through user space.
const bufferSize = 16 << 10

// buffers are shared by all connections of a server. The zero value is ready.
// It serves as a [net/http/httputil.BufferPool] too.
type buffers struct {
	pool sync.Pool
}

func (b *buffers) take() *[bufferSize]byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf
	}
	return new([bufferSize]byte)
}

func (b *buffers) give(buf *[bufferSize]byte) { b.pool.Put(buf) }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte { return b.take()[:] }

// Put implements httputil.BufferPool.
func (b *buffers) Put(buf []byte) { b.give((*[bufferSize]byte)(buf)) }
