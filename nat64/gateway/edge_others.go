//go:build !linux

package gateway

import (
	"context"
	"errors"
	"fmt"
)

// Capture needs Linux.
func Capture(context.Context, Scope) (State, error) { return State{}, unsupported() }

// New needs Linux.
func New(Config) (*Gateway, error) { return nil, unsupported() }

func createLink(context.Context, string) error         { return unsupported() }
func removeLink(context.Context, string) error         { return unsupported() }
func setMTU(context.Context, string, int) error        { return unsupported() }
func setUp(context.Context, string, bool) error        { return unsupported() }
func addRoute(context.Context, string, Route) error    { return unsupported() }
func removeRoute(context.Context, string, Route) error { return unsupported() }
func attachFast(context.Context, State) error          { return unsupported() }
func detachFast(context.Context, string) error         { return unsupported() }
func setSysctl(context.Context, string, string) error  { return unsupported() }

func unsupported() error { return fmt.Errorf("NAT64 gateway: %w", errors.ErrUnsupported) }
