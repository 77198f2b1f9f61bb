// Package netns holds Linux network namespaces by file descriptor: unnamed, so
// that they end with their last user.
package netns
