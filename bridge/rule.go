package bridge

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Rule is a rule of the routing policy, with all that selects packets for it.
type Rule struct {
	Family   int `json:"family"` // 4 or 6
	Priority int `json:"priority"`
	// Action is the kernel's number: 1 looks a table up, 2 goes to another rule,
	// 3 does nothing, 6 to 8 drop.
	Action int  `json:"action"`
	Table  int  `json:"table,omitempty"`
	Goto   int  `json:"goto,omitempty"`
	Invert bool `json:"invert,omitempty"`
	// Iif and Oif name links, which need not exist.
	Iif  string       `json:"iif,omitempty"`
	Oif  string       `json:"oif,omitempty"`
	Src  netip.Prefix `json:"src,omitzero"`
	Dst  netip.Prefix `json:"dst,omitzero"`
	TOS  int          `json:"tos,omitempty"`
	DSCP int          `json:"dscp"` // -1 if none
	// Mark is compared under Mask; both 0 compare nothing.
	Mark  uint32 `json:"mark,omitempty"`
	Mask  uint32 `json:"mask,omitempty"`
	TunID uint64 `json:"tun_id,omitempty"`
	Realm int    `json:"realm,omitempty"`
	// UIDs are the first and last user, nobody if both are 0 and HasUIDs is not
	// set.
	UIDs    [2]uint32 `json:"uids,omitzero"`
	HasUIDs bool      `json:"has_uids,omitempty"`
	IPProto int       `json:"ip_proto,omitempty"`
	// Ports are first and last, [0,0] for any.
	SrcPorts [2]uint16 `json:"src_ports,omitzero"`
	DstPorts [2]uint16 `json:"dst_ports,omitzero"`
	// Masks under which single ports are compared; 0 where the kernel has none.
	SrcPortMask uint16 `json:"src_port_mask,omitempty"`
	DstPortMask uint16 `json:"dst_port_mask,omitempty"`
	// L3MDev looks up the table of the link's VRF.
	L3MDev bool `json:"l3mdev,omitempty"`
	// SuppressPrefixLength and SuppressGroup drop results of the table; -1 if none.
	SuppressPrefixLength int `json:"suppress_prefix_length"`
	SuppressGroup        int `json:"suppress_group"`
	// Protocol is who made the rule.
	Protocol int `json:"protocol,omitempty"`
}

// Actions of rules, linux/fib_rules.h.
const (
	actionLookup      = 1
	actionGoto        = 2
	actionNop         = 3
	actionBlackhole   = 6
	actionUnreachable = 7
	actionProhibit    = 8
)

// names reports whether the rule is about a link.
func (r Rule) names(link string) bool { return link != "" && (r.Iif == link || r.Oif == link) }

// moved returns the rule with one link in the place of another.
func (r Rule) moved(from, to string) Rule {
	if r.Iif == from {
		r.Iif = to
	}
	if r.Oif == from {
		r.Oif = to
	}
	return r
}

// rulePlace is where rules stand among each other: those of one priority are
// tried in the order they were added in.
type rulePlace struct{ family, priority int }

func (r Rule) place() rulePlace { return rulePlace{r.Family, r.Priority} }

// rulesAt returns the rules of one place in their order.
func rulesAt(list []Rule, at rulePlace) []Rule {
	var found []Rule
	for _, r := range list {
		if r.place() == at {
			found = append(found, r)
		}
	}
	return found
}

// inPlaceOf keeps the rules of all places where one of them is about a link of
// the scope.
func inPlaceOf(list []Rule, scope Scope) []Rule {
	var kept []Rule
	for _, r := range list {
		if slices.ContainsFunc(rulesAt(list, r.place()), func(o Rule) bool { return o.names(scope.Uplink) || o.names(scope.Bridge) }) {
			kept = append(kept, r)
		}
	}
	return kept
}

// wantedRules are the rules that name the bridge where they named the uplink.
// One that is there twice, as after a move that was cut off, counts once.
func wantedRules(there []Rule, scope Scope) []Rule {
	var want []Rule
	for _, r := range there {
		if r = r.moved(scope.Uplink, scope.Bridge); !slices.Contains(want, r) {
			want = append(want, r)
		}
	}
	return want
}

// ruleChanges lists the rules to add and, to be done once packets take the new
// way, those to remove.
//
// The kernel appends a rule to those of its priority. So all of a priority are
// added anew, in order, behind those that are there, and these are then removed,
// if possible from the last to the first: at no time is one missing, and none
// overtakes another.
func ruleChanges(from, to State) (added, removed []change) {
	var places []rulePlace
	for _, r := range slices.Concat(from.Rules, to.Rules) {
		if !slices.Contains(places, r.place()) {
			places = append(places, r.place())
		}
	}
	for _, at := range places {
		have, want := rulesAt(from.Rules, at), rulesAt(to.Rules, at)
		if slices.Equal(have, want) {
			continue
		}
		for _, r := range want {
			added = append(added, addRule{r})
		}
		for len(have) > 0 {
			i := lastToRemove(have)
			removed = append(removed, delRule{have[i]})
			have = slices.Delete(have, i, i+1)
		}
	}
	return added, removed
}

// lastToRemove returns the last rule that is removed by its description: the
// kernel takes the first that fits.
func lastToRemove(list []Rule) int {
	for i := len(list) - 1; i > 0; i-- {
		if slices.IndexFunc(list, list[i].fits) == i {
			return i
		}
	}
	return 0
}

// fits reports whether the kernel may take o for what r describes: whatever r
// does not say is left open. It takes the most lenient kernel's view.
func (r Rule) fits(o Rule) bool {
	return (r.Table == 0 || r.Table == o.Table) && (r.Iif == "" || r.Iif == o.Iif) && (r.Oif == "" || r.Oif == o.Oif) &&
		(r.Mark == 0 || r.Mark == o.Mark) && (!r.Src.IsValid() || r.Src == o.Src) && (!r.Dst.IsValid() || r.Dst == o.Dst) &&
		(r.Action == 0 || r.Action == o.Action)
}

// String is the rule as ip-rule(8) writes it.
func (r Rule) String() string {
	var b strings.Builder
	word := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	fmt.Fprintf(&b, "%d:", r.Priority)
	if r.Invert {
		word("not")
	}
	word("from %s", prefixOrAll(r.Src))
	if r.Dst.IsValid() {
		word("to %s", r.Dst)
	}
	if r.TOS != 0 {
		word("tos %#x", r.TOS)
	}
	if r.DSCP >= 0 {
		word("dscp %d", r.DSCP)
	}
	switch {
	case r.Mask == ^uint32(0):
		word("fwmark %#x", r.Mark)
	case r.Mark != 0 || r.Mask != 0:
		word("fwmark %#x/%#x", r.Mark, r.Mask)
	}
	if r.Iif != "" {
		word("iif %s", r.Iif)
	}
	if r.Oif != "" {
		word("oif %s", r.Oif)
	}
	if r.L3MDev {
		word("l3mdev")
	}
	if r.HasUIDs {
		word("uidrange %d-%d", r.UIDs[0], r.UIDs[1])
	}
	if r.IPProto != 0 {
		word("ipproto %d", r.IPProto)
	}
	if r.SrcPorts != [2]uint16{} {
		word("sport %d-%d", r.SrcPorts[0], r.SrcPorts[1])
	}
	if r.DstPorts != [2]uint16{} {
		word("dport %d-%d", r.DstPorts[0], r.DstPorts[1])
	}
	if r.TunID != 0 {
		word("tun_id %d", r.TunID)
	}
	switch r.Action {
	case actionLookup:
		if !r.L3MDev {
			word("lookup %d", r.Table)
		}
	case actionGoto:
		word("goto %d", r.Goto)
	case actionNop:
		word("nop")
	case actionBlackhole:
		word("blackhole")
	case actionUnreachable:
		word("unreachable")
	case actionProhibit:
		word("prohibit")
	default:
		word("action %d", r.Action)
	}
	if r.SuppressPrefixLength >= 0 {
		word("suppress_prefixlength %d", r.SuppressPrefixLength)
	}
	if r.SuppressGroup >= 0 {
		word("suppress_ifgroup %d", r.SuppressGroup)
	}
	if r.Realm != 0 {
		word("realms %#x", r.Realm)
	}
	return b.String()
}

func prefixOrAll(p netip.Prefix) string {
	if !p.IsValid() {
		return "all"
	}
	return p.String()
}
