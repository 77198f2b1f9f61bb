//go:build !unix

package dns64

// isFatal reports whether a socket's error will not go away.
func isFatal(error) bool { return true }
