package persist

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/nstest"
)

// accepted are the hosts that are not refused.
func accepted(t *testing.T, f func(t *testing.T, h host, c Config)) {
	for _, h := range matrix(t) {
		c, err := h.config(t)
		if err == nil {
			_, err = c.State(capture(t, c.Scope()))
		}
		if err == nil {
			t.Run(h.name, func(t *testing.T) { f(t, h, c) })
		}
	}
}

// said is what networkd's files say of a link, in one form.
func said(t *testing.T, files ...string) []string {
	t.Helper()
	var list []string
	for _, text := range files {
		settings, err := parseINI(File{Path: "x", Content: []byte(text)})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks(settings) {
			section, rest, _ := strings.Cut(b, ": ")
			switch words := strings.Fields(rest); section {
			case "Network":
				for _, w := range words {
					if strings.HasPrefix(w, "Address=") {
						list = append(list, w)
					}
				}
			case "Address":
				list = append(list, strings.Join(words, " "))
			case "Route":
				slices.Sort(words)
				list = append(list, strings.Join(words, " "))
			}
		}
	}
	slices.Sort(list)
	return list
}

// meant is the same of a wanted network.
func meant(t *testing.T, s bridge.State) []string {
	t.Helper()
	n, err := newNetwork(s)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, a := range n.addrs {
		words := []string{"Address=" + a.Prefix.String()}
		if a.NoPrefixRoute {
			words = append(words, "AddPrefixRoute=no")
		}
		list = append(list, strings.Join(words, " "))
	}
	for _, r := range n.routes {
		words := []string{"Destination=" + r.Dst.String()}
		if r.Via.IsValid() {
			words = append(words, "Gateway="+r.Via.String())
		} else {
			words = append(words, "Scope=link")
		}
		if r.OnLink {
			words = append(words, "GatewayOnLink=true")
		}
		if r.Source.IsValid() {
			words = append(words, "PreferredSource="+r.Source.String())
		}
		if r.Metric != 0 {
			words = append(words, fmt.Sprintf("Metric=%d", r.Metric))
		}
		if r.MTU != 0 {
			words = append(words, fmt.Sprintf("MTUBytes=%d", r.MTU))
		}
		slices.Sort(words)
		list = append(list, strings.Join(words, " "))
	}
	slices.Sort(list)
	return list
}

// The real netplan reads the edited files: all addresses and routes are the
// bridge's, the uplink is its port and nothing else, and other interfaces are
// as they were.
func TestMatrixGenerate(t *testing.T) {
	gen := generator(t)
	accepted(t, func(t *testing.T, h host, c Config) {
		before, said0, ok := generated(t, gen, c.Root)
		if !ok {
			t.Fatalf("netplan doesn't take the input: %s", said0)
		}
		_, want, p := planFor(t, c)
		confirm(t, p)
		after, said1, ok := generated(t, gen, c.Root)
		if !ok || strings.Contains(said1, "deprecated") {
			t.Fatalf("netplan generate: %s", said1)
		}
		if len(before) == 0 {
			return // networkd's own
		}
		extra, _ := want.File(filesFor(c.Bridge.Scope).netplanBridgeExtra)
		if diff := cmp.Diff(meant(t, c.Bridge), said(t, after["10-netplan-br0.network"], string(extra.Content))); diff != "" {
			t.Errorf("the bridge (-want +got):\n%s", diff)
		}
		ports := 0
		for name, text := range after {
			if name == "10-netplan-br0.network" || name == "10-netplan-br0.netdev" {
				continue
			}
			if strings.Contains(text, "\nBridge=br0\n") {
				ports++
				if left := said(t, text); len(left) > 0 || strings.Contains(text, "DHCP=") || strings.Contains(text, "DNS=") || !strings.Contains(text, "LinkLocalAddressing=no") {
					t.Errorf("the uplink is no mere port:\n%s", text)
				}
				continue
			}
			if diff := cmp.Diff(before[name], text); diff != "" {
				t.Errorf("%s (-before +after):\n%s", name, diff)
			}
		}
		if ports != 1 {
			t.Errorf("the bridge has %d ports", ports)
		}
	})
}

// The real networkd boots the files: bridge has nothing left to do then. VLANs
// and bonds are left out, because not every kernel can make them.
func TestMatrixBoot(t *testing.T) {
	nstest.RequireRoot(t)
	networkd := nstest.Tool(t, "systemd-networkd")
	gen := generator(t)
	accepted(t, func(t *testing.T, h host, c Config) {
		if h.wish.Uplink != "enp2s0" || strings.HasSuffix(h.name, "-vswitch") {
			return
		}
		t.Parallel()
		enterable(t, c.Root)
		_, _, p := planFor(t, c)
		confirm(t, p)
		if _, said, ok := generated(t, gen, c.Root); !ok {
			t.Fatal(said)
		}
		byMAC(t, c.Root)
		want := c.Bridge
		want.Retiring = nil // gone by the time the files are written
		// networkd has the kernel make the bridge's link-local address.
		want.Sysctls = maps.Clone(want.Sysctls)
		want.Sysctls["net/ipv6/conf/br0/addr_gen_mode"] = "0"
		// What a lease brought is configuration from now on.
		want.Routes = slices.Clone(want.Routes)
		for i := range want.Routes {
			want.Routes[i].Protocol = 4
		}
		prefix, err := h.bridgeConfig().HostPrefix(h.state)
		if err != nil {
			t.Fatal(err)
		}
		ns := nstest.NS(t)
		makeNIC(t, ns)
		boot(t, ns, c.Root, networkd, func() ([]string, error) {
			return difference(want, bridge.Config{Uplink: "enp2s0", Prefix: prefix})
		})
	})
}

// byMAC makes networkd take a veth for a NIC, which has a permanent address.
func byMAC(t *testing.T, root string) {
	t.Helper()
	made, err := filepath.Glob(filepath.Join(root, "run/systemd/network/*.network"))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range made {
		b, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(b), "PermanentMACAddress=", "MACAddress=")
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The captured states are what networkd makes of the hosts' own files. With
// -update they are written anew, where networkd alone can tell.
func TestMatrixCaptured(t *testing.T) {
	if !*update && os.Getenv("CI_TIER") != "full" {
		return // TestMatrixBoot shows that they are possible
	}
	nstest.RequireRoot(t)
	networkd := nstest.Tool(t, "systemd-networkd")
	gen := generator(t)
	for _, h := range matrix(t) {
		if h.wish.Uplink != "enp2s0" || strings.HasSuffix(h.name, "-vswitch") || h.wish.Static || strings.HasPrefix(h.name, "refused") || strings.HasPrefix(h.name, "dhcp") {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			root := rootWith(t, h.files)
			enterable(t, root)
			if err := os.MkdirAll(filepath.Join(root, networkdDir), 0o755); err != nil {
				t.Fatal(err)
			}
			if _, said, ok := generated(t, gen, root); !ok {
				t.Fatal(said)
			}
			byMAC(t, root)
			ns := nstest.NS(t)
			makeNIC(t, ns)
			var last string
			since := time.Now()
			boot(t, ns, root, networkd, func() ([]string, error) {
				s, err := bridge.Capture(context.Background(), bridge.Config{Uplink: "enp2s0"}.Scope())
				if err != nil {
					return nil, err
				}
				s.Uptime = 0
				if len(h.state.Sysctls) > 0 {
					s.Sysctls = h.state.Sysctls // the machine's own
				}
				b, err := json.MarshalIndent(s, "", "  ")
				if err != nil {
					return nil, err
				}
				if string(b) != last {
					last, since = string(b), time.Now()
				}
				if n := len(s.Routes); n < 2 || time.Since(since) < 2*time.Second {
					return []string{fmt.Sprintf("%d routes", n)}, nil
				}
				return nil, nil
			})
			if *update {
				if err := os.WriteFile(filepath.Join(h.dir(), "state.json"), []byte(last+"\n"), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			var now bridge.State
			if err := json.Unmarshal([]byte(last), &now); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(gist(h.state), gist(now)); diff != "" {
				t.Errorf("captured (-golden +now):\n%s", diff)
			}
		})
	}
}

// gist is what files can say of a captured network.
func gist(s bridge.State) []string {
	var list []string
	for _, l := range s.Links {
		list = append(list, fmt.Sprint(l.Name, l.MAC, l.MTU))
	}
	for _, a := range s.Addrs {
		list = append(list, fmt.Sprint(a.Link, a.Prefix, a.Peer, a.Label, a.Preferred, a.Valid))
	}
	for _, r := range s.Routes {
		list = append(list, fmt.Sprint(r.Link, r.Dst, r.Via, r.OnLink, r.Source, r.Metric, r.Table, r.MTU))
	}
	return list
}
