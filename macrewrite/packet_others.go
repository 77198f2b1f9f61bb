//go:build !linux

package macrewrite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Answerer needs Linux.
type Answerer struct{}

// NewAnswerer needs Linux.
func NewAnswerer(Config, *slog.Logger) (*Answerer, error) {
	return nil, fmt.Errorf("answer for guests: %w", errors.ErrUnsupported)
}

// Close does nothing.
func (*Answerer) Close() error { return nil }

// Guests does nothing.
func (*Answerer) Guests(Config) {}

// Run needs Linux.
func (*Answerer) Run(context.Context) error {
	return fmt.Errorf("answer for guests: %w", errors.ErrUnsupported)
}

// Detect needs Linux.
func Detect(context.Context, DetectConfig) (Detection, error) {
	return Detection{}, fmt.Errorf("find out the provider's kind: %w", errors.ErrUnsupported)
}
