package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/ra"
)

// radvdSays has no captive portal and no NAT64 prefix: Debian 12's radvd is 2.19.
const radvdSays = `interface eth0 {
	AdvSendAdvert on;
	MinRtrAdvInterval 3;
	MaxRtrAdvInterval 4;
	AdvDefaultLifetime 1800;
	AdvDefaultPreference high;
	AdvCurHopLimit 61;
	AdvLinkMTU 1480;
	AdvReachableTime 40000;
	AdvRetransTimer 2000;
	AdvOtherConfigFlag on;
	prefix 2001:db8:1:3::/64 { AdvValidLifetime 5400; AdvPreferredLifetime 2700; };
	prefix 2001:db8:1:5::/64 { AdvOnLink off; AdvAutonomous off; AdvValidLifetime infinity; AdvPreferredLifetime infinity; };
	route 2001:db8:ff00::/40 { AdvRoutePreference low; AdvRouteLifetime 1200; };
	RDNSS 2001:db8:1:3::53 2001:db8::53 { AdvRDNSSLifetime 1700; };
	DNSSL example.com lab.example.net { AdvDNSSLLifetime 1600; };
};
`

// TestRadvdInFull: what radvd sends is printed as a radvd.conf that says the same
// to radvd's parser and ours, and as JSON with every option by name.
func TestRadvdInFull(t *testing.T) {
	nstest.RequireRoot(t)
	radvd := nstest.Tool(t, "radvd")
	router, guest := nstest.NS(t), nstest.NS(t)
	nstest.Do(t, router, func() error {
		for path, v := range map[string]string{"default/accept_dad": "0", "all/forwarding": "1"} {
			if err := sysctl.Write("net/ipv6/conf/"+path, v); err != nil {
				return err
			}
		}
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "eth0"
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(guest.File().Fd()))})
	})
	for _, ns := range []*netns.NS{router, guest} {
		nstest.Do(t, ns, func() error {
			l, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return netlink.LinkSetUp(l)
		})
	}
	// It comes every few seconds, so that nobody has to be there in time.
	conf := filepath.Join(t.TempDir(), "radvd.conf")
	if err := os.WriteFile(conf, []byte(radvdSays), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(radvd, "-n", "-m", "stderr", "-C", conf, "-p", conf+".pid")
	var said strings.Builder
	cmd.Stderr = &said
	if err := router.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("radvd said:\n%s", said.String())
		}
	})
	dump := func(format string) string {
		t.Helper()
		o, err := parseOptions([]string{"-n", "1", "-format", format, "eth0"}, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var b bytes.Buffer
		nstest.Do(t, guest, func() error { return o.run(ctx, &b) })
		return b.String()
	}

	text := dump("radvd")
	written := filepath.Join(t.TempDir(), "radvd.conf")
	if err := os.WriteFile(written, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(radvd, "-c", "-m", "stderr", "-C", written).CombinedOutput(); err != nil {
		t.Errorf("radvd refuses what is printed: %v\n%s\n%s", err, out, text)
	}
	now := time.Now()
	tells := func(conf string) any {
		t.Helper()
		list, err := ra.ParseRadvd("radvd.conf", strings.NewReader(conf), now)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d interfaces, %v in\n%s", len(list), err, conf)
		}
		messages, err := list[0].Messages(ra.Link{MTU: 1500, Forwarding: true}, ra.State{}, now)
		if err != nil {
			t.Fatal(err)
		}
		return messages
	}
	if want, got := tells(radvdSays), tells(text); !reflect.DeepEqual(want, got) {
		t.Errorf("radvd was given\n%s\nand what is printed is\n%s", radvdSays, text)
	}

	var j struct {
		Advertisement struct {
			Preference string `json:"preference"`
			Options    []struct {
				Name string `json:"name"`
			} `json:"options"`
		} `json:"advertisement"`
	}
	out := dump("json")
	if err := json.Unmarshal([]byte(out), &j); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	names := make(map[string]int)
	for _, o := range j.Advertisement.Options {
		names[o.Name]++
	}
	want := map[string]int{"prefix": 2, "route": 1, "rdnss": 1, "dnssl": 1, "mtu": 1, "source_link_layer_address": 1}
	if !reflect.DeepEqual(names, want) || j.Advertisement.Preference != "high" {
		t.Errorf("want options %v, got\n%s", want, out)
	}
}
