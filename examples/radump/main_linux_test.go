package main

import (
	"os"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }
