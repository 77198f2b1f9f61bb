package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/sixhost/sixhost/ra"
)

func TestRead(t *testing.T) {
	conf := filepath.Join("..", "..", "ra", "testdata", "radvd", "several.conf")
	o, err := parseOptions([]string{"-f", conf, "-state", "/s", "-nodelay", "-greet"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	list, err := o.read()
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	if c := list[1]; c.Interface != "br1" || c.StateFile != "/s/br1.json" || c.SolicitedDelay != ra.Zero || !c.Greet {
		t.Errorf("%+v", c)
	}
	bad := filepath.Join(t.TempDir(), "radvd.conf")
	if err := os.WriteFile(bad, []byte("interface br0 { UnicastOnly on; };"), 0o644); err != nil {
		t.Fatal(err)
	}
	var re *ra.RadvdError
	if _, err := (options{file: bad}).read(); !errors.As(err, &re) {
		t.Errorf("%v", err)
	}
	if _, err := parseOptions([]string{"x"}, io.Discard); err == nil {
		t.Error("an argument was taken")
	}
}
