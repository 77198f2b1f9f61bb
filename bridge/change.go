package bridge

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/sixhost/sixhost/plan"
	"github.com/sixhost/sixhost/slaac"
)

// change is one thing done to the host. Changes are comparable values; the
// Linux half executes them.
type change interface {
	fmt.Stringer
	phase() plan.Phase
}

type (
	createBridge struct{ Link }
	deleteBridge struct{ name string }
	setMAC       struct {
		link string
		mac  slaac.MAC
	}
	setMTU struct {
		link string
		mtu  int
	}
	setSnooping struct {
		link string
		on   bool
	}
	setGroupForward struct {
		link string
		mask uint16
	}
	setUp struct {
		link string
		up   bool
	}
	setMaster struct{ link, master string }
	// addBypass receives what arrives at a link by another way for the moment,
	// delBypass ends that.
	addBypass  struct{ link string }
	delBypass  struct{ link string }
	setSysctl  struct{ key, value string }
	addAddr    struct{ Addr }
	changeAddr struct{ Addr }
	settleAddr struct{ Addr }
	delAddr    struct {
		Addr
		when plan.Phase
	}
	addNeighbor struct{ Neighbor }
	delNeighbor struct{ Neighbor }
	// replaceRoute puts a route in place of the one with the same identity,
	// which the kernel does in one go; there tells whether there is one.
	replaceRoute struct {
		Route
		there bool
	}
	delRoute      struct{ Route }
	setTxQueueLen struct {
		link   string
		length int
	}
	setSpanningTree struct {
		link  string
		on    bool
		delay time.Duration
	}
	// addRoute makes sure of a route without touching one that is there.
	addRoute struct{ Route }
	addRule  struct{ Rule }
	delRule  struct{ Rule }
)

func (createBridge) phase() plan.Phase    { return plan.Apply }
func (deleteBridge) phase() plan.Phase    { return plan.Apply }
func (setMAC) phase() plan.Phase          { return plan.Apply }
func (setMTU) phase() plan.Phase          { return plan.Apply }
func (setSnooping) phase() plan.Phase     { return plan.Apply }
func (setGroupForward) phase() plan.Phase { return plan.Apply }
func (setUp) phase() plan.Phase           { return plan.Apply }
func (setMaster) phase() plan.Phase       { return plan.Apply }
func (addBypass) phase() plan.Phase       { return plan.Apply }
func (delBypass) phase() plan.Phase       { return plan.Apply }
func (setSysctl) phase() plan.Phase       { return plan.Apply }
func (addAddr) phase() plan.Phase         { return plan.Apply }
func (changeAddr) phase() plan.Phase      { return plan.Apply }
func (settleAddr) phase() plan.Phase      { return plan.Apply }
func (addNeighbor) phase() plan.Phase     { return plan.Apply }
func (delNeighbor) phase() plan.Phase     { return plan.Apply }
func (replaceRoute) phase() plan.Phase    { return plan.Apply }
func (delRoute) phase() plan.Phase        { return plan.Apply }
func (c delAddr) phase() plan.Phase       { return c.when }

func (setTxQueueLen) phase() plan.Phase   { return plan.Apply }
func (setSpanningTree) phase() plan.Phase { return plan.Apply }
func (addRoute) phase() plan.Phase        { return plan.Apply }
func (addRule) phase() plan.Phase         { return plan.Apply }
func (delRule) phase() plan.Phase         { return plan.Apply }

func (c createBridge) String() string {
	if c.STP {
		return fmt.Sprintf("make the bridge %s with the MAC %s, MTU %d, with spanning tree (forward delay %s), without multicast snooping", c.Name, c.MAC, c.MTU, c.ForwardDelay)
	}
	return fmt.Sprintf("make the bridge %s with the MAC %s, MTU %d, without spanning tree and multicast snooping", c.Name, c.MAC, c.MTU)
}
func (c deleteBridge) String() string { return "remove the bridge " + c.name }
func (c setMAC) String() string       { return fmt.Sprintf("give %s the MAC %s", c.link, c.mac) }
func (c setMTU) String() string       { return fmt.Sprintf("set the MTU of %s to %d", c.link, c.mtu) }
func (c setSnooping) String() string {
	if c.on {
		return "switch multicast snooping on for " + c.link
	}
	return "switch multicast snooping off for " + c.link
}
func (c setGroupForward) String() string {
	return fmt.Sprintf("set the mask of reserved group addresses that %s forwards to %#04x", c.link, c.mask)
}
func (c setUp) String() string {
	if c.up {
		return "set " + c.link + " up"
	}
	return "set " + c.link + " down"
}
func (c setMaster) String() string {
	if c.master == "" {
		return "release " + c.link + " from its bridge"
	}
	return fmt.Sprintf("make %s a port of %s", c.link, c.master)
}
func (c addBypass) String() string {
	return fmt.Sprintf("lead what arrives at %s past its change of place (nftables table netdev %s, links %s and %s)", c.link, bypassTable, bypassOut, bypassIn)
}
func (c delBypass) String() string { return "remove what led past " + c.link }
func (c setSysctl) String() string { return fmt.Sprintf("set %s to %s", c.key, c.value) }
func (c addAddr) String() string {
	s := fmt.Sprintf("put %s on %s", c.Prefix, c.Link)
	if c.Prefix.Addr().Is6() {
		s += ", usable at once"
	}
	if c.Preferred == 0 {
		s += ", deprecated"
	}
	return s
}
func (c changeAddr) String() string {
	if c.Preferred == 0 {
		return fmt.Sprintf("deprecate %s on %s", c.Prefix, c.Link)
	}
	return fmt.Sprintf("set the lifetimes and flags of %s on %s", c.Prefix, c.Link)
}
func (c settleAddr) String() string {
	return fmt.Sprintf("clear the mark that %s on %s skipped duplicate address detection", c.Prefix, c.Link)
}
func (c delAddr) String() string { return fmt.Sprintf("remove %s from %s", c.Prefix, c.Link) }
func (c addNeighbor) String() string {
	if c.Proxy {
		return fmt.Sprintf("let %s answer for %s", c.Link, c.IP)
	}
	return fmt.Sprintf("tell %s that %s is %s", c.Link, c.IP, c.MAC)
}
func (c delNeighbor) String() string { return fmt.Sprintf("forget %s on %s", c.IP, c.Link) }
func (c replaceRoute) String() string {
	if c.there {
		return "move the route " + describeRoute(c.Route)
	}
	return "add the route " + describeRoute(c.Route)
}
func (c delRoute) String() string { return "remove the route " + describeRoute(c.Route) }

func (c setTxQueueLen) String() string {
	return fmt.Sprintf("set the transmit queue of %s to %d packets", c.link, c.length)
}
func (c setSpanningTree) String() string {
	if !c.on {
		return "switch the spanning tree off for " + c.link
	}
	return fmt.Sprintf("switch the spanning tree on for %s, with a forward delay of %s", c.link, c.delay)
}
func (c addRoute) String() string {
	return "see that there is the route " + describeRoute(c.Route)
}
func (c addRule) String() string { return fmt.Sprintf("add the routing rule %q", c.Rule) }
func (c delRule) String() string { return fmt.Sprintf("remove the routing rule %q", c.Rule) }

func describeRoute(r Route) string {
	s := r.Dst.String()
	if r.Dst.Bits() == 0 {
		s = map[bool]string{true: "default (IPv4)", false: "default (IPv6)"}[r.Family == 4]
	}
	if r.From.IsValid() {
		s += " from " + r.From.String()
	}
	if r.Via != (netip.Addr{}) {
		s += " via " + r.Via.String()
	}
	if r.Hops.IsZero() {
		s += " dev " + r.Link
	} else {
		s += " " + r.Hops.String()
	}
	if r.OnLink {
		s += " onlink"
	}
	if r.Metric != 0 {
		s += fmt.Sprintf(" metric %d", r.Metric)
	}
	if r.Table != mainTable {
		s += fmt.Sprintf(" table %d", r.Table)
	}
	return s
}
