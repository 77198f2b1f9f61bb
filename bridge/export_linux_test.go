package bridge

// WithReadBuffer makes the watcher's socket small enough to overflow.
func WithReadBuffer(c WatchConfig, bytes int) WatchConfig {
	c.readBuffer = bytes
	return c
}
