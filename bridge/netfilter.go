package bridge

// netfilterKeys make bridged frames pass the rules of iptables, ip6tables and
// arptables, as if they were routed. They exist where the module br_netfilter
// is loaded, and are 1 in every new network namespace.
//
// The bridge's own attributes (nf_call_iptables and its like) don't help: the
// kernel asks for frames of which the general parameter or the bridge's is set.
func netfilterKeys() []string {
	return []string{
		"net/bridge/bridge-nf-call-arptables",
		"net/bridge/bridge-nf-call-ip6tables",
		"net/bridge/bridge-nf-call-iptables",
	}
}

// wantNetfilter keeps frames between guests out of the host's firewall for
// routed packets: a FORWARD policy of DROP, which Docker sets, would eat them,
// neighbour discovery included.
func (s *State) wantNetfilter(there State) {
	for _, key := range netfilterKeys() {
		if _, ok := there.Sysctls[key]; ok {
			s.Sysctls[key] = "0"
		}
	}
}

// switchesNetfilter reports whether frames go through the host's firewall now,
// and won't.
func switchesNetfilter(from, to State) bool {
	for _, key := range netfilterKeys() {
		if v, ok := from.Sysctls[key]; ok && v != "0" && to.Sysctls[key] == "0" {
			return true
		}
	}
	return false
}
