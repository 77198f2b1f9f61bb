package bridge

import "fmt"

// notes are what the operator should know of the way to a wanted state. The way
// back needs no comment.
func notes(from, to State) []string {
	if to.Uptime != 0 {
		return nil
	}
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }
	if br, ok := to.link(to.Bridge); ok && br.deadTime() > 0 && moving(from, to) {
		add("with the spanning tree, %s is dead for %s (twice its forward delay) from the moment it is a port of %s: nothing gets in or out, and every open connection waits", to.Uplink, br.deadTime(), to.Bridge)
	}
	if switchesNetfilter(from, to) {
		add("br_netfilter is loaded, so frames between guests pass the FORWARD rules of iptables and ip6tables, whose policy is often DROP (Docker sets it): guests could not reach or even find each other. " +
			"It is switched off for all bridges of this network namespace. Who filters traffic between containers of one bridge that way (Docker with icc=false, Kubernetes) has to know; " +
			"and have br_netfilter in /etc/modules-load.d, as it is on again when loaded after sysctl.d was read")
	}
	if neighborsUnseen(from, to) {
		add("the machine's neighbour tables should have room for %d entries, and their limits (net/ipv6/neigh/default/gc_thresh3 and the like) can't be seen from this network namespace: have them raised in the initial one, whose tables are everybody's", to.NeighborLimit)
	}
	for _, r := range to.Rules {
		if r.Iif == to.Bridge && moving(from, to) {
			add("the routing rule %q will be about guests' packets too, as these come in through %s as well", r, to.Bridge)
		}
	}
	return list
}
