package bridge_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sixhost/sixhost/bridge"
	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
	"github.com/sixhost/sixhost/internal/sysctl"
	"github.com/sixhost/sixhost/plan"
)

// TestAnySetUpComesBack moves random set-ups onto a bridge and back. What
// iproute2 tells of the host is then the same as before, field by field.
func TestAnySetUpComesBack(t *testing.T) {
	cases := 30
	if os.Getenv("CI_TIER") == "full" {
		cases = 1000
	}
	if s := os.Getenv("SIXHOST_TEST_CASES"); s != "" {
		var err error
		if cases, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SIXHOST_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
		cases = 1
	}
	nstest.Tool(t, "ip")
	t.Logf("first seed %d; SIXHOST_TEST_SEED repeats one", seed)
	// Most of a case is the kernel's waiting for its own readers, so several run
	// at once.
	next := make(chan uint64)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for seed := range next {
				t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
					g := &generator{Rand: rand.New(rand.NewPCG(seed, 0)), used: make(map[string]bool)}
					g.run(t)
				})
			}
		})
	}
	for i := range cases {
		next <- seed + uint64(i)
	}
	close(next)
	workers.Wait()
}

// generator makes a set-up of a NIC out of ip(8)'s commands.
type generator struct {
	*rand.Rand
	commands []string
	used     map[string]bool // what can exist once
}

// once reports whether something has not been made yet.
func (g *generator) once(what string) bool {
	defer func() { g.used[what] = true }()
	return !g.used[what]
}

func (g *generator) add(format string, args ...any) {
	g.commands = append(g.commands, fmt.Sprintf(format, args...))
}

// some returns an option now and then.
func (g *generator) some(oneIn int, format string, args ...any) string {
	if g.IntN(oneIn) > 0 {
		return ""
	}
	return " " + fmt.Sprintf(format, args...)
}

func pick[T any](g *generator, list ...T) T { return list[g.IntN(len(list))] }

func (g *generator) addresses() (v4, v6 []string) {
	g.add("addr add 203.0.113.10/32 dev %s", nic)
	v4 = append(v4, "203.0.113.10")
	for range g.IntN(4) {
		ip := fmt.Sprintf("%s.%d", pick(g, "203.0.113", "198.51.100"), 20+g.IntN(200))
		if !g.once(ip) {
			continue
		}
		scope := g.some(4, "scope %s", pick(g, "link", "site")) // those of one subnet have one
		options := g.some(4, "label %s:%d", nic, g.IntN(5)) + g.some(5, "noprefixroute") + g.some(4, "metric %d", 100+g.IntN(100))
		if g.IntN(4) == 0 {
			options += " valid_lft 600 preferred_lft " + pick(g, "300", "0")
		}
		switch g.IntN(4) {
		case 0:
			g.add("addr add %s peer 192.0.2.%d/32 dev %s%s%s", ip, 1+g.IntN(200), nic, scope, options)
		case 1:
			g.add("addr add %s/%d broadcast %s dev %s%s", ip, pick(g, 24, 28), pick(g, "+", "255.255.255.255"), nic, options)
		default:
			if bits := pick(g, 24, 25, 32); bits == 32 {
				g.add("addr add %s/32 dev %s%s%s", ip, nic, scope, options)
			} else {
				g.add("addr add %s/%d dev %s%s", ip, bits, nic, options)
			}
		}
		v4 = append(v4, ip)
	}
	g.add("addr add 2001:db8:1:3::2/64 dev %s", nic)
	v6 = append(v6, "2001:db8:1:3::2")
	for range g.IntN(4) {
		ip := fmt.Sprintf("2001:db8:1:%d::%x", pick(g, 3, 3, 4), 0x10+g.IntN(200))
		if !g.once(ip) {
			continue
		}
		options := g.some(3, "nodad") + g.some(5, "home") + g.some(4, "noprefixroute") + g.some(4, "metric %d", 300+g.IntN(100)) + g.some(5, "mngtmpaddr")
		switch g.IntN(4) {
		case 0:
			options += " valid_lft 600 preferred_lft " + pick(g, "300", "0")
		case 1:
			options += " preferred_lft 0"
		}
		if g.IntN(5) == 0 {
			g.add("addr add %s peer 2001:db8:9::%x/128 dev %s%s", ip, 1+g.IntN(0xfff), nic, strings.ReplaceAll(options, " mngtmpaddr", ""))
		} else {
			g.add("addr add %s/64 dev %s%s", ip, nic, options)
		}
		v6 = append(v6, ip)
	}
	return v4, v6
}

// routeOptions are what a route of any kind may have.
func (g *generator) routeOptions() string {
	return g.some(4, "mtu %s%d", pick(g, "", "lock "), 1280+g.IntN(200)) + g.some(5, "advmss %d", 1000+g.IntN(300)) + g.some(6, "initcwnd %d", 10+g.IntN(30)) +
		g.some(6, "window %d", 10000+g.IntN(5000)) + g.some(6, "hoplimit %d", 30+g.IntN(60)) + g.some(6, "rto_min %dms", 100*(1+g.IntN(5))) +
		g.some(6, "congctl %s", "reno") + g.some(6, "quickack 1") + g.some(4, "protocol %d", 100+g.IntN(50))
}

func (g *generator) routes(v4, v6 []string) {
	table := func() string { return pick(g, "main", "main", "100", "1000") }
	g.add("route add 203.0.113.1 dev %s scope link", nic)
	g.add("route add default via 203.0.113.1 dev %s%s%s", nic, pick(g, "", " onlink"), g.some(2, "metric %d", 100+g.IntN(9)))
	g.add("-6 route add default via fe80::1 dev %s%s", nic, g.some(2, "metric %d", 100+g.IntN(9)))
	for range g.IntN(7) {
		to, tab, metric := fmt.Sprintf("100.64.%d.0/24", g.IntN(6)), table(), 50+g.IntN(3)
		if !g.once(fmt.Sprint(to, tab, metric)) {
			continue
		}
		options := fmt.Sprintf("table %s metric %d", tab, metric) + g.routeOptions() + g.some(4, "src %s", v4[0]) + g.some(6, "tos %#x", 4*(1+g.IntN(4)))
		switch g.IntN(5) {
		case 0:
			g.add("route add %s %s nexthop via 203.0.113.1 dev %s weight %d onlink nexthop via 203.0.113.%d dev %s weight %d onlink", to, options, nic, 1+g.IntN(9), 2+g.IntN(5), nic, 1+g.IntN(200))
		case 1:
			g.add("route add %s %s nexthop via 203.0.113.1 dev %s weight %d onlink nexthop via 192.168.7.1 dev eth1 weight %d", to, options, nic, 1+g.IntN(9), 1+g.IntN(9))
		case 2:
			g.add("route add %s dev %s %s%s", to, nic, options, g.some(2, "scope link"))
		case 3:
			g.add("route add %s via inet6 fe80::%x dev %s %s", to, 1+g.IntN(9), nic, options)
		default:
			g.add("route add %s via 203.0.113.1 dev %s %s%s", to, nic, options, g.some(4, "realm %d", 1+g.IntN(9)))
		}
	}
	for range g.IntN(7) {
		to, tab, metric := fmt.Sprintf("2001:db8:64:%d::/64", g.IntN(6)), table(), 50+g.IntN(3)
		if !g.once(fmt.Sprint(to, tab, metric)) {
			continue
		}
		options := fmt.Sprintf("table %s metric %d", tab, metric) + g.routeOptions() + g.some(4, "src %s", pick(g, v6...)) + g.some(4, "pref %s", pick(g, "high", "low"))
		switch g.IntN(5) {
		case 0:
			g.add("-6 route add %s %s nexthop via fe80::1 dev %s weight %d nexthop via fe80::%x dev %s weight %d", to, options, nic, 1+g.IntN(9), 2+g.IntN(9), nic, 1+g.IntN(200))
		case 1:
			g.add("-6 route add %s %s nexthop via fe80::1 dev %s weight %d nexthop via fe80::1 dev eth1 weight %d", to, options, nic, 1+g.IntN(9), 1+g.IntN(9))
		case 2:
			g.add("-6 route add %s dev %s %s%s", to, nic, options, g.some(2, "expires 500"))
		default:
			g.add("-6 route add %s via fe80::1 dev %s %s%s", to, nic, options, g.some(4, "expires 500"))
		}
	}
	if g.IntN(4) == 0 {
		g.add("route add local 100.127.0.0/16 dev %s table 100", nic)
		g.add("-6 route add local 2001:db8:127::/64 dev %s table 100", nic)
	}
}

func (g *generator) rules() {
	for i := range g.IntN(8) {
		family, from := "-4", "100.66.0.0/16"
		if g.IntN(2) == 0 {
			family, from = "-6", "2001:db8:66::/48"
		}
		link := pick(g, "iif "+nic, "oif "+nic, "iif eth1", "", "oif "+nic+" iif lo")
		invert := ""
		action := pick(g, "lookup 100", "lookup 1000", "blackhole", "prohibit", "unreachable", "lookup 100 suppress_prefixlength 0", "lookup main suppress_ifgroup 3", "nop", "goto 32766")
		if strings.HasPrefix(action, "lookup 1") {
			invert = g.some(5, "not")
		}
		rule := fmt.Sprintf("%s rule add%s priority %d from %s %s%s%s%s%s%s %s", family, invert, 10000+g.IntN(3), from, link,
			g.some(3, "fwmark %#x%s", 1+g.IntN(9), pick(g, "", "/0xff")), g.some(6, "uidrange %d-%d", 100+i, 200+i),
			g.some(4, "ipproto %s", pick(g, "tcp", "udp")), g.some(6, "dport %d-%d", 100+i, 200+i), g.some(6, "sport %d", 1000+i), action)
		// A rule without these is the same to the kernel as an earlier one with them,
		// and is refused.
		if more := g.some(4, "to %s", from) + g.some(6, "tos 0x10") + g.some(5, "protocol %d", 100+g.IntN(50)); !g.used[rule] {
			g.used[rule] = true
			g.add("%s%s", rule, more)
		}
	}
}

func (g *generator) neighbors() {
	for i := range g.IntN(4) {
		g.add("neigh replace %s lladdr 02:00:00:00:00:%02x dev %s nud permanent%s%s", pick(g, fmt.Sprintf("203.0.113.%d", 240+i), fmt.Sprintf("fe80::%x", 0x100+i)), i, nic,
			g.some(4, "router"), g.some(4, "protocol 99"))
	}
	for i := range g.IntN(4) {
		g.add("neigh add proxy %s dev %s", pick(g, fmt.Sprintf("203.0.113.%d", 250+i), fmt.Sprintf("2001:db8:1:3::%x", 0x1000+i)), nic)
	}
}

// newServer is a server with two NICs and no addresses yet. No duplicate address
// detection has to be waited for.
func newServer(t *testing.T, more ...string) rental {
	t.Helper()
	r := rental{nstest.NS(t), nstest.NS(t)}
	for _, ns := range []*netns.NS{r.server, r.provider} {
		nstest.Do(t, ns, func() error { return sysctl.Write("net/ipv6/conf/default/dad_transmits", "0") })
	}
	there := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), r.provider.File().Fd())
	batch(t, r.server, append([]string{
		fmt.Sprintf("link add %s address %s type veth peer name srv netns %s", nic, serverMAC, there),
		fmt.Sprintf("link add eth1 type veth peer name other netns %s", there),
		fmt.Sprintf("link set %s up", nic),
		"link set eth1 up",
		"addr add 192.168.7.2/24 dev eth1",
	}, more...))
	batch(t, r.provider, []string{"link set srv up", "link set other up"})
	return r
}

func (g *generator) run(t *testing.T) {
	r := newServer(t, fmt.Sprintf("link set %s mtu %d txqueuelen %d", nic, 1400+g.IntN(100), pick(g, 1000, 500, 1234)))
	server := r.server
	nstest.Do(t, server, func() error {
		for _, key := range []string{"net/ipv4/conf/%s/rp_filter", "net/ipv4/conf/%s/arp_ignore", "net/ipv4/conf/%s/log_martians", "net/ipv6/conf/%s/accept_ra", "net/ipv6/conf/%s/proxy_ndp"} {
			if g.IntN(2) == 0 {
				continue
			}
			if err := sysctl.Write(fmt.Sprintf(key, nic), strconv.Itoa(g.IntN(3)%2)); err != nil {
				return err
			}
		}
		if g.IntN(4) == 0 {
			return sysctl.Write("net/ipv6/conf/all/forwarding", "1")
		}
		return nil
	})
	v4, v6 := g.addresses()
	batch(t, server, g.commands)
	waitSettled(t, server)
	done := len(g.commands)
	g.routes(v4, v6)
	g.rules()
	g.neighbors()
	batch(t, server, g.commands[done:])

	cfg := bridge.Config{Uplink: nic, Static: true, Prefix: prefix("2001:db8:1:3::/64")}
	before := dumpHost(t, server)
	captured := r.capture(t)
	want, there := mustPlan(t, cfg, captured)
	r.run(t, there, plan.Apply)
	moved := r.capture(t)
	if _, again := mustPlan(t, cfg, moved); !again.Empty() {
		t.Errorf("the second plan still wants to %q", again.Steps[0].Text)
	}
	nstest.Do(t, server, func() error {
		for _, key := range []string{"net/ipv4/conf/%s/arp_ignore", "net/ipv4/conf/%s/log_martians", "net/ipv6/conf/%s/proxy_ndp"} {
			var values [2]string
			for i, link := range []string{nic, "br0"} {
				var err error
				if values[i], err = sysctl.Read(fmt.Sprintf(key, link)); err != nil {
					return err
				}
			}
			if values[0] != values[1] {
				t.Errorf("%s is %s for the NIC and %s for the bridge", key, values[0], values[1])
			}
		}
		return nil
	})
	if left, err := bridge.Plan(moved, want); err != nil || !left.Empty() {
		t.Errorf("the plan to what was wanted: %v, %v", left, err)
	}
	for _, state := range []string{"addr show", "route show table all", "-6 route show table all"} {
		for _, line := range strings.Split(ipOutput(t, server, append([]string{"-o"}, strings.Fields(state)...)...), "\n") {
			if strings.Contains(line, "dev "+nic) || strings.Contains(line, ": "+nic+" ") && strings.Contains(line, " inet") {
				if !strings.Contains(line, "proto kernel") {
					t.Errorf("on the bridge, the NIC still has: %s", line)
				}
			}
		}
	}
	back, err := bridge.Plan(moved, captured)
	if err != nil {
		t.Fatal(err)
	}
	r.run(t, back, plan.Apply, plan.Confirm)
	waitSettled(t, server)
	after := dumpHost(t, server)
	checkLifetimes(t, before, after)
	if diff := cmp.Diff(withoutLifetimes(before), withoutLifetimes(after)); diff != "" {
		t.Errorf("after the way back (-before +after):\n%s", diff)
	}
	if t.Failed() {
		t.Logf("set-up:\n%s", strings.Join(g.commands, "\n"))
	}
}

// batch runs commands of ip(8), those of one family together.
func batch(t *testing.T, ns *netns.NS, commands []string) {
	t.Helper()
	for len(commands) > 0 {
		var args []string
		family := func(c string) string {
			if strings.HasPrefix(c, "-") {
				return c[:2]
			}
			return ""
		}
		f, n := family(commands[0]), 0
		var lines []string
		for n < len(commands) && family(commands[n]) == f {
			lines = append(lines, strings.TrimPrefix(commands[n], f))
			n++
		}
		if f != "" {
			args = append(args, f)
		}
		cmd := exec.Command(nstest.Tool(t, "ip"), append(args, "-batch", "-")...)
		var out strings.Builder
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(strings.Join(lines, "\n")+"\n"), &out, &out
		err := ns.Start(cmd)
		if err == nil {
			err = cmd.Wait()
		}
		if err != nil {
			t.Fatalf("ip %s -batch: %v\n%s\n%s", f, err, out.String(), strings.Join(lines, "\n"))
		}
		commands = commands[n:]
	}
}

func ipOutput(t *testing.T, ns *netns.NS, args ...string) string {
	t.Helper()
	return nstest.Output(t, ns, "ip", args...)
}

// waitSettled waits until no address is tentative.
func waitSettled(t *testing.T, ns *netns.NS) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if !strings.Contains(ipOutput(t, ns, "-6", "addr", "show", "tentative"), "inet6") {
			return
		}
		if time.Now().After(end) {
			t.Fatal("addresses stay tentative")
		}
	}
}

// dumpHost is all that a host's owner can see of its network.
func dumpHost(t *testing.T, ns *netns.NS) map[string]any {
	t.Helper()
	dump := make(map[string]any)
	for _, what := range []string{
		"link show", "addr show", "-4 route show table all", "-6 route show table all", "-4 rule show", "-6 rule show",
		"-4 neigh show nud permanent", "-6 neigh show nud permanent", "-4 neigh show proxy", "-6 neigh show proxy",
	} {
		args := []string{"-j", "-d"}
		if strings.Contains(what, "proxy") {
			args = nil // the listing of proxies knows no JSON
		}
		out := ipOutput(t, ns, append(args, strings.Fields(what)...)...)
		if args == nil {
			lines := strings.Split(out, "\n")
			slices.Sort(lines)
			dump[what] = lines
			continue
		}
		var list []any
		if strings.TrimSpace(out) != "" {
			if err := json.Unmarshal([]byte(out), &list); err != nil {
				t.Fatalf("ip %s: %v\n%s", what, err, out)
			}
		}
		// The kernel's order of routes and neighbours is that of its hash tables.
		if strings.Contains(what, "route") || strings.Contains(what, "neigh") {
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(sortKey(a), sortKey(b)) })
		}
		dump[what] = list
	}
	values := make(map[string]any)
	nstest.Do(t, ns, func() error {
		for _, pattern := range []string{"conf/*/*", "neigh/*/*", "*"} {
			for _, family := range []string{"ipv4", "ipv6"} {
				files, err := filepath.Glob("/proc/thread-self/root/proc/sys/net/" + family + "/" + pattern)
				if err != nil {
					return err
				}
				for _, f := range files {
					key := f[strings.Index(f, "net/"):]
					// Those of one's own taste: counters, and what only root of the
					// initial namespace may read.
					if v, err := sysctl.Read(key); err == nil {
						values[key] = v
					}
				}
			}
		}
		return nil
	})
	dump["sysctl"] = values
	return dump
}

func sortKey(v any) string {
	b, err := json.Marshal(without(v))
	if err != nil {
		panic(err)
	}
	return string(b)
}

var lifetimeKeys = []string{"expires", "valid_life_time", "preferred_life_time"}

func withoutLifetimes(dump map[string]any) map[string]any {
	return without(any(dump)).(map[string]any)
}

// without drops what counts or ages by itself.
func without(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := maps.Clone(v)
		for _, key := range append([]string{"stats", "stats64", "used", "refcnt", "probes", "ifindex", "link_index"}, lifetimeKeys...) {
			delete(m, key)
		}
		for key := range m {
			m[key] = without(m[key])
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = without(v[i])
		}
		return list
	}
	return v
}

// checkLifetimes compares remaining lifetimes, which may have become shorter by
// the time that the test took.
func checkLifetimes(t *testing.T, before, after any) {
	t.Helper()
	switch b := before.(type) {
	case map[string]any:
		a, ok := after.(map[string]any)
		if !ok {
			return // the other comparison tells
		}
		for key := range b {
			was, isNumber := b[key].(float64)
			is, stillNumber := a[key].(float64)
			if slices.Contains(lifetimeKeys, key) && (isNumber != stillNumber || is > was || is < was-60) {
				t.Errorf("%s was %v, is %v", key, b[key], a[key])
			}
			checkLifetimes(t, b[key], a[key])
		}
	case []any:
		if a, ok := after.([]any); ok && len(a) == len(b) {
			for i := range b {
				checkLifetimes(t, b[i], a[i])
			}
		}
	}
}

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func (r rental) in(t *testing.T, fn func() error) {
	t.Helper()
	nstest.Do(t, r.server, fn)
}

// ipTry runs ip(8) and may fail.
func ipTry(t *testing.T, ns *netns.NS, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command(nstest.Tool(t, "ip"), args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := ns.Start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}
