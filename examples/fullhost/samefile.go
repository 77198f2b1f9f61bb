package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// sameFile reports whether a file has this content; one that is missing has not.
func sameFile(path string, content []byte) (bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare %s: %w", path, err)
	}
	return bytes.Equal(b, content), nil
}
