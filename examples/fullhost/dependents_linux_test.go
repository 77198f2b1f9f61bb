package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/macrewrite"
)

// TestRepairGuessesNothing: what kind the provider is of was found out when run
// began; a repair asks nobody again, and leaves the edge to its own keeper.
func TestRepairGuessesNothing(t *testing.T) {
	t.Parallel()
	nstest.RequireTun(t)
	nstest.Do(t, nstest.NS(t), func() error {
		if _, err := rented(); err != nil {
			return err
		}
		c := config{Provider: provider{Kind: macrewrite.Routed}, StateDir: filepath.Join(t.TempDir(), "state")}
		c.NAT64.FastPath = "off"
		h, err := newHost(context.Background(), c.withDefaults())
		if err != nil {
			return err
		}
		h.config.Provider = provider{auto: true}
		var said bytes.Buffer
		k := &keeper{host: h, log: slog.New(slog.NewTextHandler(&said, nil))}
		k.dependents(context.Background())
		for _, word := range []string{"routed or on-link", "edge rules"} {
			if strings.Contains(said.String(), word) {
				t.Errorf("the repair has to do with the edge:\n%s", said.String())
			}
		}
		if k.host.edge.kind != macrewrite.Routed {
			t.Errorf("the provider is %q now", k.host.edge.kind)
		}
		return nil
	})
}
