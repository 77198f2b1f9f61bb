//go:build !linux

package rollback

import (
	"context"
	"errors"
	"fmt"

	"github.com/sixhost/sixhost/plan"
)

func serveIfWatchdog([]plan.Restorer) {}

func unsupported() error {
	return fmt.Errorf("network namespaces, which Linux alone has: %w", errors.ErrUnsupported)
}

func begin(context.Context, *Guard, Options, []plan.Captured) (*Change, error) {
	return nil, unsupported()
}

func recoverChange(context.Context, *Guard, string) (bool, error) { return false, unsupported() }

func confirm(context.Context, string) error { return unsupported() }

func undo(context.Context, string) error { return unsupported() }

func status(string) (ChangeStatus, error) { return ChangeStatus{}, unsupported() }
