package persist

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/internal/nstest"
)

// generator is netplan's generator itself: the command in front of it takes
// ten times as long.
func generator(t testing.TB) string {
	t.Helper()
	nstest.Tool(t, "netplan")
	for _, at := range []string{"/usr/libexec/netplan/generate", "/lib/netplan/generate"} {
		if _, err := os.Stat(at); err == nil {
			return at
		}
	}
	t.Fatal("netplan is there, but its generator is not")
	return ""
}

// generated runs netplan's generator on a root and returns what it made.
func generated(t *testing.T, generator, root string) (files map[string]string, said string, ok bool) {
	t.Helper()
	b, err := exec.Command(generator, "--root-dir", root).CombinedOutput()
	files = make(map[string]string)
	made, globErr := filepath.Glob(filepath.Join(root, "run/systemd/network/*"))
	if globErr != nil {
		t.Fatal(globErr)
	}
	for _, at := range made {
		content, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(at)] = string(content)
	}
	return files, string(b), err == nil
}

// document writes a file of netplan's at random: the uplink among others, in
// all styles that people write.
func document(r *rand.Rand) string {
	var b strings.Builder
	step := 2 + 2*r.IntN(2)
	ind := func(n int) string { return strings.Repeat(" ", n*step) }
	some := func() bool { return r.IntN(2) == 0 }
	remark := func() string {
		if r.IntN(4) > 0 {
			return ""
		}
		return fmt.Sprintf(" # %c%d", 'a'+r.IntN(26), r.IntN(1000))
	}
	line := func(n int, format string, args ...any) {
		if r.IntN(6) == 0 {
			b.WriteString(ind(n) + "#" + remark() + "\n")
		}
		if r.IntN(12) == 0 {
			b.WriteByte('\n')
		}
		b.WriteString(ind(n) + fmt.Sprintf(format, args...) + remark() + "\n")
	}
	dash := ""
	if some() {
		dash = ind(1)
	}
	line(0, "network:")
	if some() {
		line(1, "version: 2")
	}
	if some() {
		line(1, "renderer: networkd")
	}
	entry := func(name string, n int) {
		if r.IntN(6) == 0 {
			line(2, "%s: {dhcp4: %v, wakeonlan: %v}", name, some(), some())
			return
		}
		line(2, "%s:", name)
		keys := []func(){
			func() { line(3, "dhcp4: %s", []string{"true", "false", "yes", "no", "'yes'"}[r.IntN(5)]) },
			func() { line(3, "dhcp6: %v", some()) },
			func() { line(3, "accept-ra: %v", some()) },
			func() { line(3, "optional: true") },
			func() { line(3, "wakeonlan: true") },
			func() { line(3, "mtu: %d", 1400+r.IntN(200)) },
			func() { line(3, "link-local: [ipv6]") },
			func() { line(3, "gateway6: fe80::1") },
			func() { line(3, "addresses: [203.0.113.%d/32, \"2001:db8:1:3::%x/64\"]", 10+n, 2+n) },
			func() {
				line(3, "nameservers:")
				line(4, "addresses: [198.51.100.53]")
				line(4, "search:")
				line(4, "%s- example.net", dash)
			},
			func() {
				line(3, "routes:")
				line(3, "%s- to: 198.51.%d.0/24", dash, r.IntN(100))
				line(3, "%s  via: 203.0.113.1", dash)
				if some() {
					line(3, "%s  on-link: true", dash)
				}
			},
			func() {
				line(3, "dhcp4-overrides:")
				line(4, "use-dns: false")
			},
		}
		r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		for _, k := range keys[:1+r.IntN(len(keys))] {
			k()
		}
	}
	names := []string{"enp2s0"}
	for i := range r.IntN(3) {
		names = append(names, fmt.Sprintf("enp%ds0", 3+i))
	}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	line(1, "ethernets:")
	for i, n := range names {
		if some() && r.IntN(3) == 0 {
			n = `"` + n + `"`
		}
		entry(n, i)
	}
	if some() {
		line(1, "bridges:")
		line(2, "lan:")
		line(3, "interfaces: []")
		if some() {
			entry("lan2", 9)
		}
	}
	text := b.String()
	if r.IntN(4) == 0 {
		text = strings.TrimSuffix(text, "\n")
	}
	if r.IntN(4) == 0 {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// What netplan takes it takes after the edit, and it makes the same of all
// other interfaces.
func TestEditAccepted(t *testing.T) {
	gen := generator(t)
	seed, rounds := uint64(time.Now().UnixNano()), 30
	if os.Getenv("CI_TIER") == "full" {
		rounds = 1000
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	texts := editSeeds()
	for range rounds {
		texts = append(texts, document(r))
	}
	accepted := 0
	for _, text := range texts {
		root := rootWith(t, map[string]string{"etc/netplan/01-netcfg.yaml": text})
		if err := os.Chmod(filepath.Join(root, "etc/netplan/01-netcfg.yaml"), 0o600); err != nil {
			t.Fatal(err)
		}
		before, saidBefore, ok := generated(t, gen, root)
		if !ok {
			continue
		}
		accepted++
		old, edited, err := editNetplan([]byte(text))
		if err != nil {
			t.Errorf("%v:\n%s", err, text)
			continue
		}
		checkEdit(t, old, edited)
		if err := os.WriteFile(filepath.Join(root, old.Path), edited.Content, 0o600); err != nil {
			t.Fatal(err)
		}
		after, said, ok := generated(t, gen, root)
		if !ok || strings.Count(said, "WARNING") > strings.Count(saidBefore, "WARNING") {
			t.Errorf("netplan took\n%s\nbut of\n%s\nit says\n%s", text, edited.Content, said)
			continue
		}
		for name, was := range before {
			if strings.HasPrefix(name, "10-netplan-enp2s0.") || strings.HasPrefix(name, "10-netplan-br0.") {
				continue
			}
			if diff := cmp.Diff(was, after[name]); diff != "" {
				t.Errorf("%s (-before +after):\n%s\n%s", name, diff, text)
			}
		}
		for _, want := range []string{"Address=203.0.113.10/32", "Address=2001:db8:1:3:921b:eff:fe12:3456/64", "Gateway=fe80::1", "Gateway=203.0.113.1"} {
			if !strings.Contains(after["10-netplan-br0.network"], want) {
				t.Errorf("%s lacks %s:\n%s", "br0", want, edited.Content)
			}
		}
		for _, bad := range []string{"Address=", "Gateway=", "DHCP=", "DNS="} {
			if up := after["10-netplan-enp2s0.network"]; strings.Contains(up, bad) || !strings.Contains(up, "Bridge=br0") {
				t.Errorf("the uplink is not a mere port:\n%s\nby\n%s", up, edited.Content)
			}
		}
	}
	if accepted < len(texts)/2 {
		t.Errorf("netplan takes only %d of %d files", accepted, len(texts))
	}
}
