//go:build !linux

package main

import (
	"errors"
	"fmt"
	"os"
)

// labInner can't be reached where the outer half can't start it.
func labInner() int {
	fmt.Fprintf(os.Stderr, "fullhost: lab: %v\n", errors.ErrUnsupported)
	return 1
}

func labRefusal(error) (string, bool) { return "", false }
