package main

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/sixhost/sixhost/internal/nstest"
)

func TestMain(m *testing.M) { os.Exit(nstest.Main(m)) }

func TestApplies(t *testing.T) {
	ns := nstest.NS(t)
	args := strings.Fields("-uplink enp2s0 -mac 90:1b:0e:12:34:56 -prefix 2001:db8:1:3::/64 -apply")
	for _, want := range []string{"put the edge rules in place", "Nothing to do"} {
		var out strings.Builder
		nstest.Do(t, ns, func() error { return run(context.Background(), args, &out, io.Discard) })
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in %q", want, out.String())
		}
	}
	if got := nstest.Output(t, ns, "nft", "list", "tables"); got != "table bridge sixhost_edge\n" {
		t.Errorf("tables: %s", got)
	}
}
