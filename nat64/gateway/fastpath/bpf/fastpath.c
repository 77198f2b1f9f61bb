// The fast path of the NAT64 gateway: two programs that translate what needs
// no judgement (TCP, UDP and ICMP echo of guests with a mapping) and leave
// everything else to the process, and one that leads on what the process makes
// of it. See doc.go for where they stand and what they are told. All of it
// follows RFC 7915; the sections are named where it matters.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

// Return values of TCX programs, newer than some headers.
#define PASS -1 // TCX_NEXT: to the next program, and on
#define DROP 2  // TCX_DROP

// bpf_redirect_neigh came with 5.10, flags for CHECKSUM_COMPLETE as in the UAPI.
#define ETHERTYPE_IP 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define FAMILY_INET6 10 // AF_INET6
#define HOST 0          // PACKET_HOST

#define TCP 6
#define UDP 17
#define ICMP 1
#define ICMP6 58

#define ETH 14
#define IP4 20
#define IP6 40
#define TCP_SUM 16
#define UDP_SUM 6
#define ICMP_SUM 2
#define MIN_MTU6 1280

// What the programs are told when they are loaded. Constants to the verifier,
// which drops the branches they rule out.
volatile const __u64 prefix_hi, prefix_lo; // the NAT64 prefix, in host order
volatile const __u32 prefix_bits = 96;
volatile const __u32 device, guest_link; // indexes of links
volatile const __u32 mtu6 = 1500;
// coarse is by an IPv4 address's first octet: 0 none of its addresses is
// denied, 1 all are, 2 the trie knows.
volatile const __u8 coarse[256];

struct ip4 {
	__u8 version_ihl, tos;
	__be16 len, id, off;
	__u8 ttl, proto;
	__be16 sum;
	__be32 src, dst;
};

struct ip6 {
	__be32 version_class_flow;
	__be16 len;
	__u8 next, hops;
	__be32 src[4], dst[4];
};

struct guest_key {
	__be32 addr[4];
};

// A mapping, from either side. used is when a packet last did, in units of 2^30
// nanoseconds of the monotonic clock.
struct by_guest {
	__be32 pool;
	__u32 used;
};

struct by_pool {
	__be32 guest[4];
	__u32 used;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct guest_key);
	__type(value, struct by_guest);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} guests SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __be32);
	__type(value, struct by_pool);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} pools SEC(".maps");

struct denied_key {
	__u32 bits;
	__be32 addr;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct denied_key);
	__type(value, __u8);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} denied SEC(".maps");

// What became of a packet; package fastpath has the same list.
enum outcome {
	TRANSLATED,
	NO_MAPPING,   // of a guest, or of a pool address
	REFUSED,      // a destination, or a source outside
	FRAGMENT,     // or what has a fragment header
	HEADERS,      // IPv4 options, IPv6 extension headers
	PROTOCOL,     // none of TCP, UDP, ICMP echo
	ZERO_SUM,     // UDP without a checksum
	TOO_BIG,      // to go on in one piece
	HOP_LIMIT,    // ends here
	MALFORMED,    // lengths don't fit
	FAILED,       // the kernel would not; the packet is lost
	OUTCOMES,
};

struct count {
	__u64 packets, octets;
};

// counts by direction (to IPv4 first) and outcome.
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct count);
	__uint(max_entries, 2 * OUTCOMES);
} counts SEC(".maps");

static __always_inline void note(__u32 to6, enum outcome o, __u32 octets)
{
	__u32 key = to6 * OUTCOMES + o;
	struct count *c = bpf_map_lookup_elem(&counts, &key);
	if (c) {
		c->octets += octets;
		c->packets++;
	}
}

static __always_inline __u32 tick(void)
{
	return bpf_ktime_get_coarse_ns() >> 30;
}

static __always_inline int is_denied(__be32 v4)
{
	switch (coarse[bpf_ntohl(v4) >> 24]) {
	case 0:
		return 0;
	case 1:
		return 1;
	}
	struct denied_key key = {32, v4};
	return bpf_map_lookup_elem(&denied, &key) != 0;
}

static __always_inline __u64 word64(const __be32 *a)
{
	return (__u64)bpf_ntohl(a[0]) << 32 | bpf_ntohl(a[1]);
}

// in_prefix and extract: RFC 6052, section 2.2 and 2.3. Behind the prefix stand
// the 32 bits, with the octet of bits 64 to 71 zero between them.
static __always_inline int in_prefix(__u64 hi, __u64 lo)
{
	if (prefix_bits == 96)
		return hi == prefix_hi && (__u32)(lo >> 32) == (__u32)(prefix_lo >> 32);
	if (prefix_bits == 64)
		return hi == prefix_hi && lo >> 56 == 0;
	return (hi ^ prefix_hi) >> (64 - prefix_bits) == 0 && lo >> 56 == 0;
}

static __always_inline __be32 extract(__u64 hi, __u64 lo)
{
	if (prefix_bits == 96)
		return bpf_htonl((__u32)lo);
	__u32 rest = prefix_bits - 32; // bits that stand behind the zero octet
	__u64 v4 = hi << rest & 0xffffffff;
	return bpf_htonl((__u32)v4 | (__u32)((lo << 8 >> 32) >> (32 - rest)));
}

static __always_inline void embed(__be32 v4, __be32 *out)
{
	__u64 hi = prefix_hi, lo = prefix_lo, v = bpf_ntohl(v4);
	if (prefix_bits == 96) {
		lo |= v;
	} else {
		__u32 rest = prefix_bits - 32;
		hi |= v >> rest;
		lo = (v << (32 - rest) & 0xffffffff) << 24;
	}
	out[0] = bpf_htonl(hi >> 32);
	out[1] = bpf_htonl(hi);
	out[2] = bpf_htonl(lo >> 32);
	out[3] = bpf_htonl(lo);
}

// Sums in one's complement, of words as they are in memory, as the kernel's own.
static __always_inline __u32 fold32(__u64 v)
{
	v = (v >> 32) + (v & 0xffffffff);
	return (v >> 32) + (v & 0xffffffff);
}

static __always_inline __u16 fold16(__u32 v)
{
	v = (v >> 16) + (v & 0xffff);
	return (v >> 16) + (v & 0xffff);
}

static __always_inline __u64 sum4(const __be32 *a)
{
	return (__u64)a[0] + a[1] + a[2] + a[3];
}

static __always_inline __u64 minus4(const __be32 *a)
{
	return (__u64)(__u32)~a[0] + (__u32)~a[1] + (__u32)~a[2] + (__u32)~a[3];
}

// fit_transport puts the transport's checksum right after the network header
// has been exchanged. at is where the transport begins, diff what the addresses
// added to the sum, type the new type of an ICMP echo with typediff for it.
static __always_inline int fit_transport(struct __sk_buff *skb, __u32 at, __u8 proto, __u64 diff, __u8 type, __u32 typediff)
{
	switch (proto) {
	case TCP:
		return bpf_l4_csum_replace(skb, at + TCP_SUM, 0, fold32(diff), BPF_F_PSEUDO_HDR);
	case UDP:
		return bpf_l4_csum_replace(skb, at + UDP_SUM, 0, fold32(diff), BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0);
	}
	// The type is part of what is summed, the pseudo-header is not in the packet.
	if (bpf_skb_store_bytes(skb, at, &type, 1, 0))
		return -1;
	if (bpf_l4_csum_replace(skb, at + ICMP_SUM, 0, typediff, 0))
		return -1;
	return bpf_l4_csum_replace(skb, at + ICMP_SUM, 0, fold32(diff), BPF_F_PSEUDO_HDR);
}

// An ICMPv6 error of a guest's is for the process, and is led to it: on the way
// through the kernel's IPv6 it would be about a connection that the kernel has not
// seen, and a stateful firewall drops such.
static __always_inline int lead_error(struct __sk_buff *skb, __u8 hops)
{
	hops--;
	if (bpf_skb_store_bytes(skb, ETH + __builtin_offsetof(struct ip6, hops), &hops, 1, BPF_F_RECOMPUTE_CSUM))
		return PASS;
	return bpf_redirect(device, 0);
}

// To IPv4: on what comes from the guests' link. What is translated goes on as
// if the device's process had written it.
SEC("tcx/ingress")
int to4(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETHERTYPE_IPV6) || skb->pkt_type != HOST)
		return PASS;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	if (data + ETH + IP6 > end) {
		if (bpf_skb_pull_data(skb, ETH + IP6))
			return PASS;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (data + ETH + IP6 > end)
			return PASS;
	}
	struct ip6 *ip = data + ETH;
	__u64 lo = word64(ip->dst + 2), hi = word64(ip->dst);
	if (!in_prefix(hi, lo))
		return PASS;
	__u32 whole = skb->len - ETH;
	struct guest_key key = {{ip->src[0], ip->src[1], ip->src[2], ip->src[3]}};
	struct by_guest *m = bpf_map_lookup_elem(&guests, &key);
	if (!m) {
		note(0, NO_MAPPING, whole);
		return PASS;
	}
	__u32 now = tick();
	if (m->used != now)
		m->used = now;

	__u8 next = ip->next;
	__u32 least, length = bpf_ntohs(ip->len);
	switch (next) {
	case TCP:
		least = 20;
		break;
	case UDP:
		least = 8;
		break;
	case ICMP6:
		least = 8;
		break;
	case 44:
		note(0, FRAGMENT, whole);
		return PASS;
	case 0:
	case 43:
	case 60:
		note(0, HEADERS, whole);
		return PASS;
	default:
		note(0, PROTOCOL, whole);
		return PASS;
	}
	if (IP6 + length != whole || length < least || length > 65535 - IP4 || (bpf_ntohl(ip->version_class_flow) >> 28) != 6) {
		note(0, MALFORMED, whole);
		return PASS;
	}
	if (ip->hops <= 1) {
		note(0, HOP_LIMIT, whole);
		return PASS;
	}
	// The bridge puts fragments together where it looks for connections.
	if (skb->gso_size == 0 && whole > mtu6) {
		note(0, FRAGMENT, whole);
		return PASS;
	}
	__be32 dst = extract(hi, lo);
	if (is_denied(dst)) {
		note(0, REFUSED, whole);
		return PASS;
	}

	struct ip4 new = {
		.version_ihl = 0x45,
		.tos = bpf_ntohl(ip->version_class_flow) >> 20,
		.len = bpf_htons(IP4 + length),
		.ttl = ip->hops - 1,
		.proto = next,
		.src = m->pool,
		.dst = dst,
	};
	// DF unless no IPv6 path would have refused the packet (section 5.1).
	if (IP4 + length > MIN_MTU6 - (IP6 - IP4))
		new.off = bpf_htons(0x4000);
	else
		new.id = bpf_get_prandom_u32();
	__u64 diff = minus4(ip->src) + minus4(ip->dst);
	__u8 type = 0;
	__u32 typediff = 0;
	if (next == UDP) {
		__be16 sum;
		if (bpf_skb_load_bytes(skb, ETH + IP6 + UDP_SUM, &sum, 2)) {
			note(0, MALFORMED, whole);
			return PASS;
		}
		if (sum == 0) {
			note(0, ZERO_SUM, whole);
			return PASS;
		}
	} else if (next == ICMP6) {
		if (bpf_skb_load_bytes(skb, ETH + IP6, &type, 1)) {
			note(0, MALFORMED, whole);
			return PASS;
		}
		if (type != 128 && type != 129) {
			__u8 hops = ip->hops;
			note(0, PROTOCOL, whole);
			return type < 128 ? lead_error(skb, hops) : PASS;
		}
		new.proto = ICMP;
		typediff = fold32((__u64)(__u32)~bpf_htons((__u16)type << 8));
		type = type == 128 ? 8 : 0;
		typediff = fold32((__u64)typediff + bpf_htons((__u16)type << 8));
		// ICMPv4's sum has no pseudo-header (section 5.2).
		diff += (__u32)~bpf_htonl(length);
		diff += (__u32)~bpf_htonl(ICMP6);
	}
	if (next != ICMP6)
		diff += (__u64)new.src + new.dst;
	__u32 *w = (__u32 *)&new;
	new.sum = ~fold16(fold32((__u64)w[0] + w[1] + w[2] + w[3] + w[4]));

	if (bpf_skb_change_proto(skb, bpf_htons(ETHERTYPE_IP), 0)) {
		// Nothing was changed: the kernel has no room, or doesn't like it.
		note(0, MALFORMED, whole);
		return PASS;
	}
	if (bpf_skb_store_bytes(skb, ETH, &new, IP4, BPF_F_RECOMPUTE_CSUM) ||
	    fit_transport(skb, ETH + IP4, next, diff, type, typediff)) {
		note(0, FAILED, whole);
		return DROP;
	}
	note(0, TRANSLATED, whole);
	return bpf_redirect(device, BPF_F_INGRESS);
}

// to_guest looks for the guest as a neighbour on its link. The process tells of no
// guest that a route of its own leads to.
static __always_inline int to_guest(const __be32 *addr)
{
	struct bpf_redir_neigh nh = {.nh_family = FAMILY_INET6};
	__builtin_memcpy(nh.ipv6_nh, addr, 16);
	return bpf_redirect_neigh(guest_link, &nh, sizeof(nh), 0);
}

// To IPv6: on what the host routes into the device, already as the pool address
// that a guest has. What is translated goes straight to the guest.
SEC("tcx/egress")
int to6(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETHERTYPE_IP))
		return PASS;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	if (data + IP4 > end) {
		if (bpf_skb_pull_data(skb, IP4))
			return PASS;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (data + IP4 > end)
			return PASS;
	}
	struct ip4 *ip = data;
	__u32 whole = skb->len;
	__be32 dst = ip->dst;
	struct by_pool *m = bpf_map_lookup_elem(&pools, &dst);
	if (!m) {
		note(1, NO_MAPPING, whole);
		return PASS;
	}
	__u32 now = tick();
	if (m->used != now)
		m->used = now;

	if (ip->off & bpf_htons(0x3fff)) {
		note(1, FRAGMENT, whole);
		return PASS;
	}
	if (ip->version_ihl != 0x45) {
		note(1, HEADERS, whole);
		return PASS;
	}
	__u8 proto = ip->proto;
	__u32 least, length = bpf_ntohs(ip->len);
	switch (proto) {
	case TCP:
		least = IP4 + 20;
		break;
	case UDP:
	case ICMP:
		least = IP4 + 8;
		break;
	default:
		note(1, PROTOCOL, whole);
		return PASS;
	}
	if (length != whole || length < least) {
		note(1, MALFORMED, whole);
		return PASS;
	}
	length -= IP4;
	if (ip->ttl <= 1) {
		note(1, HOP_LIMIT, whole);
		return PASS;
	}
	if (is_denied(ip->src)) {
		note(1, REFUSED, whole);
		return PASS;
	}
	// A packet without DF must reach whoever needs 1280 (section 4). The
	// segments of a super-packet were judged by the pool route's MTU.
	__u32 most = ip->off & bpf_htons(0x4000) ? mtu6 : MIN_MTU6;
	if (skb->gso_size == 0 && IP6 + length > most) {
		note(1, TOO_BIG, whole);
		return PASS;
	}

	struct ip6 new = {
		.version_class_flow = bpf_htonl(6U << 28 | (__u32)ip->tos << 20),
		.len = bpf_htons(length),
		.next = proto,
		.hops = ip->ttl - 1,
		.dst = {m->guest[0], m->guest[1], m->guest[2], m->guest[3]},
	};
	embed(ip->src, new.src);
	__u64 diff = sum4(new.src) + sum4(new.dst);
	__u8 type = 0;
	__u32 typediff = 0;
	if (proto == UDP) {
		__be16 sum;
		if (bpf_skb_load_bytes(skb, IP4 + UDP_SUM, &sum, 2)) {
			note(1, MALFORMED, whole);
			return PASS;
		}
		if (sum == 0) {
			note(1, ZERO_SUM, whole);
			return PASS;
		}
	} else if (proto == ICMP) {
		if (bpf_skb_load_bytes(skb, IP4, &type, 1)) {
			note(1, MALFORMED, whole);
			return PASS;
		}
		if (type != 8 && type != 0) {
			note(1, PROTOCOL, whole);
			return PASS;
		}
		new.next = ICMP6;
		typediff = fold32((__u64)(__u32)~bpf_htons((__u16)type << 8));
		type = type == 8 ? 128 : 129;
		typediff = fold32((__u64)typediff + bpf_htons((__u16)type << 8));
		diff += bpf_htonl(length);
		diff += bpf_htonl(ICMP6);
	}
	if (proto != ICMP)
		diff += (__u64)(__u32)~ip->src + (__u32)~ip->dst;

	if (bpf_skb_change_proto(skb, bpf_htons(ETHERTYPE_IPV6), 0)) {
		note(1, MALFORMED, whole);
		return PASS;
	}
	// The neighbour's header goes where a frame has it.
	if (bpf_skb_store_bytes(skb, 0, &new, IP6, BPF_F_RECOMPUTE_CSUM) ||
	    fit_transport(skb, IP6, proto, diff, type, typediff) ||
	    bpf_skb_change_head(skb, ETH, 0)) {
		note(1, FAILED, whole);
		return DROP;
	}
	note(1, TRANSLATED, whole);
	return to_guest(new.dst);
}

// What the process gives to the device for a guest with a mapping goes straight to
// it, as what to6 translates: the kernel's IPv6 has not seen its connection either.
SEC("tcx/ingress")
int given(struct __sk_buff *skb)
{
	if (skb->protocol != bpf_htons(ETHERTYPE_IPV6))
		return PASS;
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	if (data + IP6 > end) {
		if (bpf_skb_pull_data(skb, IP6))
			return PASS;
		data = (void *)(long)skb->data;
		end = (void *)(long)skb->data_end;
		if (data + IP6 > end)
			return PASS;
	}
	struct ip6 *ip = data;
	struct guest_key key = {{ip->dst[0], ip->dst[1], ip->dst[2], ip->dst[3]}};
	if (ip->hops <= 1 || !bpf_map_lookup_elem(&guests, &key))
		return PASS;
	__u8 hops = ip->hops - 1;
	if (bpf_skb_store_bytes(skb, __builtin_offsetof(struct ip6, hops), &hops, 1, BPF_F_RECOMPUTE_CSUM) ||
	    bpf_skb_change_head(skb, ETH, 0)) {
		note(1, FAILED, skb->len);
		return DROP;
	}
	return to_guest(key.addr);
}

char _license[] SEC("license") = "Apache-2.0";
