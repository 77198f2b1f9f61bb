package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/plan"
)

type sample struct {
	Name   string        `yaml:"name"`
	Prefix netip.Prefix  `yaml:"prefix"`
	Wait   time.Duration `yaml:"wait"`
	Inner  struct {
		On    bool `yaml:"on"`
		Count int  `yaml:"count"`
	} `yaml:"inner"`
	List []struct {
		Key string `yaml:"key"`
	} `yaml:"list"`
}

func TestDecodeStrict(t *testing.T) {
	var got sample
	err := decodeStrict("f", strings.NewReader("name: x\nprefix: 2001:db8::/64\nwait: 3s\ninner:\n  on: true\n  count: 4\nlist:\n- key: a\n- key: b\n"), &got)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "x" || got.Prefix != netip.MustParsePrefix("2001:db8::/64") || got.Wait != 3*time.Second ||
		!got.Inner.On || got.Inner.Count != 4 || len(got.List) != 2 || got.List[1].Key != "b" {
		t.Errorf("got %+v", got)
	}
}

func TestDecodeStrictRefusals(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"unknown key", "name: x\nnmae: y\n", `f:2: unknown key "nmae"; did you mean "name"?`},
		{"unknown inner key", "inner:\n  off: true\n", `f:2: unknown key "inner.off"; did you mean "on"?`},
		{"nothing like it", "zzzzzzzz: 1\n", `f:1: unknown key "zzzzzzzz"`},
		{"twice", "name: x\nname: y\n", `f:2: key "name" stands twice, first in line 1`},
		{"bad prefix", "prefix: 2001:db8::1/640\n", `f:1: prefix: want an address and a length, like 2001:db8:1:3::/64, not "2001:db8::1/640"`},
		{"bad duration", "wait: soon\n", `f:1: wait: want a length of time above zero, like 120s, not "soon"`},
		{"bad bool", "inner: {on: perhaps}\n", `f:1: inner.on: want true or false, not "perhaps"`},
		{"list wanted", "list: x\n", `f:1: list: want a list`},
		{"in a list", "list:\n- key: a\n- kye: b\n", `f:3: unknown key "list[1].kye"; did you mean "key"?`},
		{"not a mapping", "- a\n", `f:1: want keys and values, like "uplink: enp2s0"`},
		{"broken YAML", "name: [x\n", `f: line 1: did not find expected ',' or ']'`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := decodeStrict("f", strings.NewReader(tc.in), &sample{})
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("got %v, want a refusal", err)
			}
			if err.Error() != tc.want {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
		})
	}
}

func FuzzDecodeStrict(f *testing.F) {
	f.Add("name: x\ninner: {on: true}\n")
	f.Add("a: &a [*a]\n")
	f.Add("<<: {name: x}\n")
	f.Fuzz(func(t *testing.T, in string) {
		var s sample
		if err := decodeStrict("f", strings.NewReader(in), &s); err != nil {
			var refusal *plan.Refusal
			if !errors.As(err, &refusal) {
				t.Errorf("%q: %v is no refusal", in, err)
			}
		}
	})
}
