package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sixhost/sixhost/internal/netns"
	"github.com/sixhost/sixhost/internal/nstest"
)

// dump is everything about a host's network that a change could leave behind,
// as programs that share no code with this module show it.
type dump struct {
	begun, done time.Time
	// shown is what each program printed, as JSON values.
	shown map[string]any
}

// dumpHost reads a namespace. File systems of other namespaces can't show its
// sysctls, so /proc is read by a thread inside.
func dumpHost(t testing.TB, ns *netns.NS) dump {
	t.Helper()
	d := dump{begun: time.Now(), shown: map[string]any{}}
	show := func(name, program string, args ...string) []any {
		var v any
		out := nstest.Output(t, ns, program, args...)
		if strings.TrimSpace(out) == "" {
			out = "[]"
		}
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
		}
		d.shown[name] = v
		list, _ := v.([]any)
		return list
	}
	show("links", "ip", "-j", "-d", "link", "show")
	show("addresses", "ip", "-j", "-d", "addr", "show")
	for _, family := range []string{"-4", "-6"} {
		show("routes "+family, "ip", family, "-j", "-d", "route", "show", "table", "all")
		show("rules "+family, "ip", family, "-j", "-d", "rule", "show")
		show("proxies "+family, "ip", family, "-j", "-d", "neigh", "show", "proxy")
	}
	// Of the neighbours those that somebody has configured: the others come and
	// go by themselves.
	permanent := slices.DeleteFunc(show("neighbors", "ip", "-j", "-d", "neigh", "show"), func(v any) bool {
		return !slices.Contains(v.(map[string]any)["state"].([]any), any("PERMANENT"))
	})
	slices.SortFunc(permanent, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	d.shown["neighbors"] = permanent
	show("nft", "nft", "-j", "list", "ruleset")
	sysctls := map[string]any{}
	nstest.Do(t, ns, func() error {
		for _, dir := range []string{"/proc/sys/net/ipv4", "/proc/sys/net/ipv6", "/proc/sys/net/bridge"} {
			err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
				if err != nil || e.IsDir() {
					return err
				}
				b, err := os.ReadFile(path)
				if err != nil {
					b = []byte(err.Error()) // stable_secret has none until it is set; route/flush is for writing
				}
				sysctls[strings.TrimPrefix(path, "/proc/sys/")] = strings.TrimSpace(string(b))
				return nil
			})
			if err != nil && !os.IsNotExist(err) {
				return err
			}
		}
		return nil
	})
	d.shown["sysctls"] = sysctls
	d.done = time.Now()
	return d
}

// diff lists where two dumps differ, a line each, lifetimes taken for what
// they are: never longer than before, and shorter by the elapsed time at most.
func (before dump) diff(after dump) []string {
	var lines []string
	c := comparison{elapsed: after.done.Sub(before.begun).Seconds(), differ: func(path string, a, b any) {
		lines = append(lines, fmt.Sprintf("%s: %v, before %v", path, short(b), short(a)))
	}}
	for _, name := range slices.Sorted(maps.Keys(before.shown)) {
		c.compare(name, before.shown[name], after.shown[name])
	}
	return lines
}

func short(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

type comparison struct {
	elapsed float64 // seconds, all of both included
	differ  func(path string, before, after any)
}

// forever is how iproute2 writes the lifetime of what does not expire.
const forever = float64(1<<32 - 1)

func (c comparison) compare(path string, a, b any) {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			c.differ(path, a, b)
			return
		}
		keys := slices.Sorted(maps.Keys(a))
		for k := range b {
			if _, ok := a[k]; !ok {
				keys = append(keys, k)
			}
		}
		for _, k := range keys {
			x, inA := a[k]
			y, inB := b[k]
			switch {
			case inA != inB:
				c.differ(path+"."+k, x, y)
			case k == "packets" || k == "bytes": // nftables' counters
			case strings.HasSuffix(k, "_timer"): // a bridge's
			case k == "valid_life_time" || k == "preferred_life_time" || k == "expires":
				c.lifetime(path+"."+k, x, y)
			default:
				c.compare(path+"."+k, x, y)
			}
		}
	case []any:
		b, ok := b.([]any)
		if !ok {
			c.differ(path, a, b)
			return
		}
		if len(a) != len(b) {
			for _, v := range a {
				if !holds(b, v) {
					c.differ(path, v, nil)
				}
			}
			for _, v := range b {
				if !holds(a, v) {
					c.differ(path, nil, v)
				}
			}
			c.differ(path+" count", len(a), len(b))
			return
		}
		for i := range a {
			c.compare(fmt.Sprintf("%s[%d]", path, i), a[i], b[i])
		}
	default:
		if a != b {
			c.differ(path, a, b)
		}
	}
}

func holds(list []any, v any) bool {
	return slices.ContainsFunc(list, func(o any) bool { return short(o) == short(v) })
}

func (c comparison) lifetime(path string, a, b any) {
	x, ok := a.(float64)
	y, ok2 := b.(float64)
	if !ok || !ok2 {
		c.differ(path, a, b)
		return
	}
	if x == forever || y == forever || x == 0 {
		if x != y {
			c.differ(path, a, b)
		}
		return
	}
	// The kernel takes and tells whole seconds, so that a lifetime that nobody has
	// touched reads as up to a second less than the time that has gone by.
	if y > x || y <= x-c.elapsed-1 {
		c.differ(path, a, b)
	}
}

// TestDiffNotices: a comparison that can't fail proves nothing.
func TestDiffNotices(t *testing.T) {
	at := time.Now()
	parse := func(after time.Duration, text string) dump {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return dump{begun: at.Add(after), done: at.Add(after), shown: map[string]any{"x": v}}
	}
	for _, tc := range []struct {
		name, before, after string
		same                bool
	}{
		{"equal", `[{"a":1,"b":["x"]}]`, `[{"a":1,"b":["x"]}]`, true},
		{"counter", `{"packets":1,"bytes":2}`, `{"packets":9,"bytes":0}`, true},
		{"timer", `{"gc_timer":1}`, `{"gc_timer":2.5}`, true},
		{"value", `[{"a":1}]`, `[{"a":2}]`, false},
		{"order", `["a","b"]`, `["b","a"]`, false},
		{"one more", `[1]`, `[1,2]`, false},
		{"key gone", `{"a":1}`, `{}`, false},
		{"key new", `{}`, `{"a":1}`, false},
		{"shorter by the time", `{"valid_life_time":100}`, `{"valid_life_time":97}`, true},
		{"shorter by the time and what is less than a second", `{"valid_life_time":100}`, `{"valid_life_time":97}`, true},
		{"shorter by a second more", `{"valid_life_time":100}`, `{"valid_life_time":96}`, false},
		{"longer", `{"preferred_life_time":100}`, `{"preferred_life_time":101}`, false},
		{"for ever", `{"valid_life_time":100}`, `{"valid_life_time":4294967295}`, false},
		{"no more deprecated", `{"preferred_life_time":0}`, `{"preferred_life_time":4294967295}`, false},
	} {
		diff := parse(0, tc.before).diff(parse(3*time.Second, tc.after))
		if (len(diff) == 0) != tc.same {
			t.Errorf("%s: %q", tc.name, diff)
		}
	}
}
