package lab

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) {
	switch {
	case Inside():
		os.Exit(innerHelper())
	case os.Getenv(envOuter) != "":
		os.Exit(outerHelper())
	}
	os.Exit(nstest.Main(m))
}

// newLab builds a lab that ends with the test.
func newLab(t *testing.T) (*Lab, context.Context) {
	t.Helper()
	return newLabOf(t, Routed)
}

// newLabOf builds one with a provider of a kind.
func newLabOf(t *testing.T, kind ProviderKind) (*Lab, context.Context) {
	t.Helper()
	nstest.Require(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	begin := time.Now()
	l, err := New(ctx, Config{Dir: t.TempDir(), Provider: kind, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("lab stands after %v", time.Since(begin).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, ctx
}
