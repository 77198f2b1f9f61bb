// The proof that nothing foreign leaves: the last program on the uplink's
// egress. It changes nothing and lets everything pass.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum count {
	frames,
	foreign_source,
	router_advert,
	redirect,
	guest_multicast,
	unread,
	counts,
};

// One set of counts for each CPU.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, counts);
	__type(key, __u32);
	__type(value, __u64);
} tally SEC(".maps");

// The NIC's MAC.
struct mac {
	__u8 addr[ETH_ALEN];
	__u8 pad[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mac);
} nic SEC(".maps");

// The host's own addresses.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct in6_addr);
	__type(value, __u8);
} own SEC(".maps");

static __always_inline void add(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&tally, &what);
	if (n)
		(*n)++;
}

// The most extension headers that are looked behind.
#define HEADERS 8

static __always_inline void look(struct __sk_buff *skb)
{
	struct ethhdr eth;
	struct ipv6hdr ip;
	struct in6_addr source;
	__u32 zero = 0;

	add(frames);
	if (bpf_skb_load_bytes(skb, 0, &eth, sizeof(eth))) {
		add(unread);
		return;
	}
	struct mac *m = bpf_map_lookup_elem(&nic, &zero);
	if (m) {
		__u8 differs = 0;
#pragma unroll
		for (int i = 0; i < ETH_ALEN; i++)
			differs |= eth.h_source[i] ^ m->addr[i];
		if (differs)
			add(foreign_source);
	}
	if (eth.h_proto != bpf_htons(ETH_P_IPV6))
		return;
	if (bpf_skb_load_bytes(skb, sizeof(eth), &ip, sizeof(ip))) {
		add(unread);
		return;
	}
	__builtin_memcpy(&source, &ip.saddr, sizeof(source));
	if (ip.daddr.in6_u.u6_addr8[0] == 0xff) {
		__u8 none = 1;
#pragma unroll
		for (int i = 0; i < 16; i++)
			if (source.in6_u.u6_addr8[i])
				none = 0;
		// Without an address of its own only the host itself may ask for one, and
		// the edge's rules see to that.
		if (!none && !bpf_map_lookup_elem(&own, &source))
			add(guest_multicast);
	}
	__u8 next = ip.nexthdr;
	__u32 at = sizeof(eth) + sizeof(ip);
	for (int i = 0; i < HEADERS; i++) {
		__u8 head[8];

		if (next == IPPROTO_ICMPV6) {
			if (bpf_skb_load_bytes(skb, at, head, 1)) {
				add(unread);
				return;
			}
			if (head[0] == 134)
				add(router_advert);
			if (head[0] == 137)
				add(redirect);
			return;
		}
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
			return;
		if (bpf_skb_load_bytes(skb, at, head, sizeof(head))) {
			add(unread);
			return;
		}
		if (next == IPPROTO_FRAGMENT) {
			// What is not the first has no header to look at.
			if ((head[2] << 8 | head[3]) & 0xfff8)
				return;
			at += 8;
		} else {
			at += 8 + head[1] * 8;
		}
		next = head[0];
	}
	add(unread);
}

// TC_ACT_UNSPEC is TCX_NEXT too: whoever comes behind goes on.
SEC("tc")
int proof(struct __sk_buff *skb)
{
	look(skb);
	return TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "Apache-2.0";
