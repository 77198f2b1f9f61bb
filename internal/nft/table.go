package nft

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Family is an nftables address family.
type Family string

// The families.
const (
	Bridge Family = "bridge"
	INet   Family = "inet"
	IP     Family = "ip"
	IP6    Family = "ip6"
	NetDev Family = "netdev"
)

// Table is one nftables table. Values compare with [Equal] and marshal to
// JSON.
type Table struct {
	Family Family `json:"family"`
	Name   string `json:"name"`
	// Comment tells who lists the ruleset whose table it is. Kernels before Linux
	// 5.10 forget it, so it makes no difference between tables.
	Comment string `json:"comment,omitempty"`
	// Counters are the names of the table's counters.
	Counters []string `json:"counters,omitempty"`
	Sets     []Set    `json:"sets,omitempty"`
	// Chains are evaluated by hook and priority; the order here is the order
	// of listing.
	Chains []Chain `json:"chains,omitempty"`
	// Unknown describes what Read found and the model has no place for.
	Unknown []string `json:"unknown,omitempty"`
}

// Chain is a base chain if it has a hook, else one to jump to.
type Chain struct {
	Name string `json:"name"`
	// Type is "filter" or "nat"; empty in a chain without a hook.
	Type string `json:"type,omitempty"`
	// Hook is "prerouting", "input", "forward", "output" or "postrouting", in
	// the netdev family "ingress" or "egress".
	Hook     string `json:"hook,omitempty"`
	Priority int32  `json:"priority,omitempty"`
	// Policy is "accept" or "drop"; empty in a chain without a hook.
	Policy string `json:"policy,omitempty"`
	// Device is the interface of a netdev chain.
	Device string `json:"device,omitempty"`
	Rules  []Rule `json:"rules,omitempty"`
}

// Rule is a list of matches and statements, evaluated first to last.
type Rule struct {
	// Comment is shown by `nft list`; at most 127 octets, without quotes.
	Comment string `json:"comment,omitempty"`
	Exprs   []Expr `json:"exprs"`
}

// NewRule makes a rule.
func NewRule(comment string, exprs ...Expr) Rule { return Rule{Comment: comment, Exprs: exprs} }

// Counter is the reading of a named counter.
type Counter struct {
	Name    string `json:"name"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// KernelError is the kernel's refusal of one part of a table. It matches what
// the kernel said (syscall.Errno), and errors.ErrUnsupported where the kernel
// lacks the feature.
type KernelError struct {
	// What names the part: the table, a chain, a set, or a rule by its text.
	What string
	Err  error
}

// Error names the part and what the kernel said.
func (e *KernelError) Error() string { return fmt.Sprintf("kernel refuses %s: %v", e.What, e.Err) }

// Unwrap returns what the kernel said.
func (e *KernelError) Unwrap() error { return e.Err }

// Equal reports whether two tables mean the same to the kernel: the order of
// counters, sets and set elements, matches that others imply and the table's
// comment don't count.
// Two nil tables are equal.
func Equal(a, b *Table) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := a.canonical(), b.canonical()
	return x.Family == y.Family && x.Name == y.Name &&
		slices.Equal(x.Counters, y.Counters) &&
		slices.EqualFunc(x.Sets, y.Sets, func(s, t Set) bool {
			return s.alike(t) && slices.Equal(s.Elements, t.Elements)
		}) &&
		slices.EqualFunc(x.Chains, y.Chains, func(c, d Chain) bool {
			return c.Name == d.Name && c.Type == d.Type && c.Hook == d.Hook && c.Priority == d.Priority &&
				c.Policy == d.Policy && c.Device == d.Device &&
				slices.EqualFunc(c.Rules, d.Rules, func(r, s Rule) bool {
					return r.Comment == s.Comment && slices.Equal(r.Exprs, s.Exprs)
				})
		}) &&
		slices.Equal(x.Unknown, y.Unknown)
}

// SameRules reports whether two tables differ in nothing but elements of sets of
// single values or tuples, so that [Update] leads from one to the other.
func SameRules(a, b *Table) bool {
	if a == nil || b == nil {
		return false
	}
	x, y := a.canonical(), b.canonical()
	if len(x.Sets) != len(y.Sets) {
		return false
	}
	for i := range x.Sets {
		if !x.Sets[i].Interval {
			x.Sets[i].Elements, y.Sets[i].Elements = nil, nil
		}
	}
	return Equal(x, y)
}

// without returns what is in the sorted a and not in the sorted b.
func without(a, b []string) []string {
	var out []string
	for _, e := range a {
		if _, ok := slices.BinarySearch(b, e); !ok {
			out = append(out, e)
		}
	}
	return out
}

// canonical returns the one form all equal tables share.
func (t *Table) canonical() *Table {
	c := &Table{Family: t.Family, Name: t.Name}
	c.Counters = slices.Sorted(slices.Values(t.Counters))
	for _, s := range t.Sets {
		s.Elements = slices.Sorted(slices.Values(s.Elements))
		c.Sets = append(c.Sets, s)
	}
	slices.SortFunc(c.Sets, func(a, b Set) int { return strings.Compare(a.Name, b.Name) })
	for _, ch := range t.Chains {
		rules := ch.Rules
		ch.Rules = nil
		for _, r := range rules {
			ch.Rules = append(ch.Rules, Rule{Comment: r.Comment, Exprs: reduce(t.Family, r.Exprs)})
		}
		c.Chains = append(c.Chains, ch)
	}
	slices.SortFunc(c.Chains, func(a, b Chain) int { return strings.Compare(a.Name, b.Name) })
	c.Unknown = slices.Sorted(slices.Values(t.Unknown))
	return c
}

// Check says what is wrong with a table before the kernel is asked. A table
// with unknown parts can't be written, so it doesn't pass.
func (t *Table) Check() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch t.Family {
	case Bridge, INet, IP, IP6, NetDev:
	default:
		fail("family %q: unknown", t.Family)
	}
	names := map[string]bool{}
	name := func(kind, s string) {
		if !validName(s) {
			fail("%s %q: not a name nft takes", kind, s)
		}
		if names[kind+" "+s] {
			fail("%s %s: defined twice", kind, s)
		}
		names[kind+" "+s] = true
	}
	name("table", t.Name)
	if !validComment(t.Comment) {
		fail("comment %q: %s", t.Comment, wantComment)
	}
	for _, c := range t.Counters {
		name("counter", c)
	}
	for _, s := range t.Sets {
		name("set", s.Name)
		if err := s.check(); err != nil {
			fail("set %s: %w", s.Name, err)
		}
	}
	for _, c := range t.Chains {
		name("chain", c.Name)
	}
	for _, c := range t.Chains {
		if err := c.check(t); err != nil {
			fail("chain %s: %w", c.Name, err)
		}
	}
	for _, u := range t.Unknown {
		fail("holds what this package can't write: %s", u)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("table %s %s: %w", t.Family, t.Name, err)
	}
	return nil
}

func (c *Chain) check(t *Table) error {
	var errs []error
	if c.Hook == "" {
		if c.Type != "" || c.Policy != "" || c.Device != "" || c.Priority != 0 {
			errs = append(errs, errors.New("type, priority, policy and device need a hook"))
		}
	} else {
		if c.Type != "filter" && c.Type != "nat" {
			errs = append(errs, fmt.Errorf("type %q: want filter or nat", c.Type))
		}
		if c.Policy != "accept" && c.Policy != "drop" {
			errs = append(errs, fmt.Errorf("policy %q: want accept or drop", c.Policy))
		}
		if _, ok := hookNumber(t.Family, c.Hook); !ok {
			errs = append(errs, fmt.Errorf("hook %q: family %s has none such", c.Hook, t.Family))
		}
		if (t.Family == NetDev) != (c.Device != "") {
			errs = append(errs, errors.New("netdev chains have a device, others don't"))
		}
	}
	for i, r := range c.Rules {
		if !validComment(r.Comment) {
			errs = append(errs, fmt.Errorf("rule %d: comment %q: %s", i+1, r.Comment, wantComment))
		}
		if _, err := expand(t.Family, r.Exprs); err != nil {
			errs = append(errs, fmt.Errorf("rule %d: %w", i+1, err))
		}
		for _, e := range r.Exprs {
			if err := e.check(t); err != nil {
				errs = append(errs, fmt.Errorf("rule %d: %s: %w", i+1, e.Kind, err))
			}
		}
	}
	return errors.Join(errs...)
}

const wantComment = "want at most 127 printable ASCII characters without quotes"

func validComment(s string) bool {
	return len(s) <= 127 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r > '~' })
}

// hookNumber returns the kernel's number of a hook (NF_INET_*, NF_BR_*,
// NF_NETDEV_*); the families but netdev share them.
func hookNumber(f Family, hook string) (uint32, bool) {
	hooks := []string{"prerouting", "input", "forward", "output", "postrouting"}
	if f == NetDev {
		hooks = []string{"ingress", "egress"}
	}
	i := slices.Index(hooks, hook)
	return uint32(i), i >= 0
}

func hookName(f Family, n uint32) (string, bool) {
	for _, h := range []string{"prerouting", "input", "forward", "output", "postrouting", "ingress", "egress"} {
		if k, ok := hookNumber(f, h); ok && k == n {
			return h, true
		}
	}
	return "", false
}

// validName reports whether nft's scanner takes s as an identifier of ours; we
// are stricter than it is. NFT_NAME_MAXLEN is far above the limit here.
func validName(s string) bool {
	if s == "" || len(s) > 64 || !(s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z') {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-')
	})
}
