package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/ra"
	"github.com/sixhost/sixhost/slaac"
)

// TestImportRadvd: what is printed is a host.yaml, and by it guests are told what
// radvd told them.
func TestImportRadvd(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	mac := slaac.MAC{0x90, 0x1b, 0x0e, 0x12, 0x34, 0x56}
	link := ra.Link{Index: 1, MTU: 1500, MAC: mac, Address: slaac.LinkLocal(mac), Forwarding: true}
	for _, tt := range []struct{ file, iface string }{
		{"article.conf", ""}, {"everything.conf", ""}, {"several.conf", "br0"}, {"several.conf", "br1"}, {"newer.conf", "br0"},
	} {
		t.Run(tt.file+" "+tt.iface, func(t *testing.T) {
			path := filepath.Join("..", "..", "ra", "testdata", "radvd", tt.file)
			text, err := importRadvd(path, tt.iface, now)
			if err != nil {
				t.Fatal(err)
			}
			var c config
			if err := decodeStrict("imported", strings.NewReader(text), &c); err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			c = c.withDefaults()
			if err := c.validate("imported"); err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			list, err := ra.ParseRadvd(path, f, now)
			if err != nil {
				t.Fatal(err)
			}
			var want ra.Config
			for _, l := range list {
				if l.Interface == c.Bridge {
					want = l
				}
			}
			got := c.RA.over(ra.Config{Interface: c.Bridge})
			for _, at := range []time.Time{now, now.Add(time.Hour)} {
				wanted, werr := want.Messages(link, ra.State{}, at)
				have, herr := got.Messages(link, ra.State{}, at)
				if werr != nil || herr != nil || !reflect.DeepEqual(wanted, have) {
					t.Errorf("%v, %v\n%s\n%+v\nwant %+v", werr, herr, text, have, wanted)
				}
			}
		})
	}
}

func TestImportRadvdGolden(t *testing.T) {
	path := filepath.Join("..", "..", "ra", "testdata", "radvd", "article.conf")
	got, err := importRadvd(path, "", time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	const want = `# Made by fullhost ra-import from "../../ra/testdata/radvd/article.conf".
# Stop radvd before fullhost run begins.
bridge: "br0"
prefix: "2001:db8:1:3::/64"
ra:
  prefixes:
  - prefix: "2001:db8:1:3::/64"
    preferred: 4h0m0s
    valid: 24h0m0s
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestImportRadvdRefusals(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "radvd.conf")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-from", filepath.Join(dir, "none")}, "can't be read"},
		{[]string{"-from", file("interface br0 {\n AdvSendAdvert on;\n UnicastOnly on;\n};\n")}, "radvd.conf:3: UnicastOnly is not supported"},
	} {
		var out, errs bytes.Buffer
		if status := run(nil, append([]string{"ra-import"}, tt.args...), &out, &errs); status != 2 || !strings.Contains(errs.String(), tt.want) || out.Len() > 0 {
			t.Errorf("%q: status %d, %s", tt.args, status, errs.String())
		}
	}
	several := filepath.Join("..", "..", "ra", "testdata", "radvd", "several.conf")
	for iface, want := range map[string]string{"": "br0, br1", "eth0": "only on br0, br1"} {
		if _, err := importRadvd(several, iface, time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", iface, err)
		}
	}
	if _, err := importRadvd(file("interface br0 { };"), "", time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "AdvSendAdvert") {
		t.Errorf("%v", err)
	}
}
