//go:build !linux

package main

import "errors"

func presentPorts(string) (map[string]bool, error) { return nil, errors.ErrUnsupported }
