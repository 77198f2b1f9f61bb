package bridge

import "fmt"

// inheritedKeys are the parameters of a link, with %s for its name, that say how
// it deals with its addresses and neighbours. Where the owner has set them for
// the NIC, they are meant for the Internet's side, which the bridge is from now
// on.
func inheritedKeys() []string {
	var keys []string
	for _, group := range []struct {
		dir   string
		names []string
	}{
		{"net/ipv4/conf", []string{
			"accept_local", "accept_source_route", "arp_accept", "arp_announce", "arp_filter", "arp_ignore", "arp_notify", "disable_policy",
			"disable_xfrm", "log_martians", "medium_id", "promote_secondaries", "proxy_arp", "proxy_arp_pvlan", "route_localnet",
			"secure_redirects", "send_redirects", "shared_media", "src_valid_mark",
		}},
		{"net/ipv6/conf", []string{
			"accept_source_route", "dad_transmits", "hop_limit", "keep_addr_on_down", "ndisc_notify", "proxy_ndp", "suppress_frag_ndisc",
		}},
		{"net/ipv4/neigh", neighborKeys()},
		{"net/ipv6/neigh", neighborKeys()},
	} {
		for _, name := range group.names {
			keys = append(keys, group.dir+"/%s/"+name)
		}
	}
	return keys
}

func neighborKeys() []string {
	return []string{
		"base_reachable_time_ms", "delay_first_probe_time", "gc_stale_time", "mcast_solicit", "proxy_delay", "proxy_qlen", "retrans_time_ms",
		"ucast_solicit", "unres_qlen_bytes",
	}
}

// inherit wants for the bridge what is set for the uplink. Capture leaves out
// what is as it is for new links. Once the uplink is a port, the bridge's own
// are what counts: a network manager may still set the uplink's.
func (s *State) inherit(there State) {
	from := s.Uplink
	if up, ok := there.link(s.Uplink); ok && up.Master == s.Bridge {
		from = s.Bridge
	}
	for _, key := range inheritedKeys() {
		if v, ok := there.Sysctls[fmt.Sprintf(key, from)]; ok {
			s.Sysctls[fmt.Sprintf(key, s.Bridge)] = v
		}
	}
}
