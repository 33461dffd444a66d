/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_neigh: address resolution as pure logic. See dpdk_neigh.h.
 *
 * A table of 64 is searched from end to end: it is looked at when links are
 * set up and when questions and answers arrive, never per packet.
 */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "dpdk_neigh.h"

#define FRAME_MIN 60 /* Ethernet's, without its checksum */

/* RFC 826, for Ethernet and IPv4. */
#define ARP_LEN     28
#define ARP_REQUEST 1
#define ARP_REPLY   2

enum {
	ARP_OPCODE = 6,
	ARP_SENDER_MAC = 8,
	ARP_SENDER_IP = 14,
	ARP_TARGET_MAC = 18,
	ARP_TARGET_IP = 24,
};

/* Hardware Ethernet, protocol IPv4, and the lengths of their addresses. */
static const uint8_t arp_fixed_part[6] = { 0, 1, 8, 0, 6, 4 };

/* RFC 8200, and behind it RFC 4861 4.3, 4.4. */
#define IP6_LEN       40
#define ND_LEN        24
#define ND_OPTION_LEN 8 /* a link-layer address */
#define ND_HOPS       255
#define ND_SOLICIT    135
#define ND_ADVERTISE  136
#define ND_SOURCE     1 /* options */
#define ND_TARGET     2
#define ND_SOLICITED  0x40
#define ND_OVERRIDE   0x20

enum {
	IP6_PAYLOAD_LEN = 4,
	IP6_NEXT = 6,
	IP6_HOPS = 7,
	IP6_SRC = 8,
	IP6_DST = 24,
	ND_TYPE = 0,
	ND_CODE = 1,
	ND_CKSUM = 2,
	ND_FLAGS = 4,
	ND_ADDRESS = 8,
};

static uint16_t
get_be16(const uint8_t *from)
{
	return (uint16_t)(from[0] << 8 | from[1]);
}

const char *
weir_dpdk_neigh_result_name(enum dpdk_neigh_result result)
{
	static const char *const names[DPDK_NEIGH_RESULTS] = {
		[DPDK_NEIGH_ANSWER] = "answer",
		[DPDK_NEIGH_LEARNED] = "learned",
		[DPDK_NEIGH_CONFIRMED] = "confirmed",
		[DPDK_NEIGH_NOT_US] = "not_us",
		[DPDK_NEIGH_UNASKED] = "unasked",
		[DPDK_NEIGH_PINNED] = "pinned",
		[DPDK_NEIGH_CONFLICT] = "conflict",
		[DPDK_NEIGH_LIMITED] = "limited",
		[DPDK_NEIGH_SHORT] = "short",
		[DPDK_NEIGH_BAD_FIELD] = "bad_field",
		[DPDK_NEIGH_BAD_SENDER] = "bad_sender",
		[DPDK_NEIGH_HOPS] = "hop_limit",
		[DPDK_NEIGH_CKSUM] = "checksum",
		[DPDK_NEIGH_OPTION] = "option",
	};

	return result < DPDK_NEIGH_RESULTS ? names[result] : "unknown";
}

/* ---- the table ------------------------------------------------------------------ */

static struct dpdk_neigh_entry *
find(const struct dpdk_neigh *neigh, const struct dpdk_ip *ip)
{
	for (int i = 0; i < DPDK_NEIGH_ENTRIES; i++) {
		const struct dpdk_neigh_entry *entry = &neigh->entries[i];

		if (entry->state != DPDK_NEIGH_FREE &&
		    dpdk_ip_equal(&entry->ip, ip))
			return (struct dpdk_neigh_entry *)entry;
	}
	return NULL;
}

static bool
is_known(const struct dpdk_neigh_entry *entry)
{
	return entry->state == DPDK_NEIGH_KNOWN ||
	       entry->state == DPDK_NEIGH_AGAIN;
}

/* A free entry; else the failed or known one that was not used longest. */
static struct dpdk_neigh_entry *
make_room(struct dpdk_neigh *neigh)
{
	struct dpdk_neigh_entry *oldest = NULL;

	for (int i = 0; i < DPDK_NEIGH_ENTRIES; i++) {
		struct dpdk_neigh_entry *entry = &neigh->entries[i];

		if (entry->state == DPDK_NEIGH_FREE)
			return entry;
		if (!is_known(entry) && entry->state != DPDK_NEIGH_FAILED)
			continue;
		if (oldest == NULL || entry->used_ns < oldest->used_ns)
			oldest = entry;
	}
	return oldest;
}

void
weir_dpdk_neigh_init(struct dpdk_neigh *neigh, const struct dpdk_hdr_wire *wire,
		     const struct dpdk_ip *ip, const struct rte_ether_addr *mac)
{
	memset(neigh, 0, sizeof(*neigh));
	neigh->wire = *wire;
	neigh->ip = *ip;
	neigh->mac = *mac;
}

int
weir_dpdk_neigh_add_static(struct dpdk_neigh *neigh, const struct dpdk_ip *ip,
			   const struct rte_ether_addr *mac)
{
	struct dpdk_neigh_entry *entry = find(neigh, ip);

	if (entry == NULL)
		entry = make_room(neigh);
	if (entry == NULL)
		return -ENOSPC;
	*entry = (struct dpdk_neigh_entry){
		.ip = *ip,
		.state = DPDK_NEIGH_STATIC,
		.mac = *mac,
	};
	neigh->generation++;
	return 0;
}

static void
start_asking(struct dpdk_neigh_entry *entry, const struct dpdk_ip *ip,
	     uint64_t now_ns)
{
	*entry = (struct dpdk_neigh_entry){
		.ip = *ip,
		.state = DPDK_NEIGH_ASKING,
		.next_ns = now_ns,
		.used_ns = now_ns,
	};
}

int
weir_dpdk_neigh_lookup(struct dpdk_neigh *neigh, const struct dpdk_ip *ip,
		       uint64_t now_ns, struct rte_ether_addr *mac)
{
	struct dpdk_neigh_entry *entry = find(neigh, ip);

	if (entry == NULL) {
		entry = make_room(neigh);
		if (entry == NULL)
			return -ENOSPC;
		start_asking(entry, ip, now_ns);
	}
	entry->used_ns = now_ns;
	switch (entry->state) {
	case DPDK_NEIGH_KNOWN:
		/* Another station may have it by now, and nobody told us. */
		if (now_ns >= entry->next_ns) {
			entry->state = DPDK_NEIGH_AGAIN;
			entry->tries = 0;
			entry->next_ns = now_ns;
		}
		/* fall through */
	case DPDK_NEIGH_AGAIN:
	case DPDK_NEIGH_STATIC:
		*mac = entry->mac;
		return 1;
	case DPDK_NEIGH_FAILED:
		if (now_ns < entry->next_ns)
			return -EHOSTUNREACH;
		start_asking(entry, ip, now_ns);
		return 0;
	default:
		return 0;
	}
}

bool
weir_dpdk_neigh_known(const struct dpdk_neigh *neigh, const struct dpdk_ip *ip,
		      struct rte_ether_addr *mac)
{
	const struct dpdk_neigh_entry *entry = find(neigh, ip);

	if (entry == NULL ||
	    (!is_known(entry) && entry->state != DPDK_NEIGH_STATIC))
		return false;
	*mac = entry->mac;
	return true;
}

/* Only what we asked for, and what we know already (it may have moved). */
static enum dpdk_neigh_result
learn(struct dpdk_neigh *neigh, const struct dpdk_ip *ip,
      const struct rte_ether_addr *mac, bool override, uint64_t now_ns)
{
	struct dpdk_neigh_entry *entry = find(neigh, ip);
	bool same;

	if (entry == NULL || entry->state == DPDK_NEIGH_FAILED)
		return DPDK_NEIGH_UNASKED;
	if (entry->state == DPDK_NEIGH_STATIC)
		return DPDK_NEIGH_PINNED;
	same = is_known(entry) && rte_is_same_ether_addr(&entry->mac, mac);
	if (is_known(entry) && !same && !override)
		return DPDK_NEIGH_UNASKED;
	entry->state = DPDK_NEIGH_KNOWN;
	entry->next_ns = now_ns + DPDK_NEIGH_FRESH_NS;
	if (same)
		return DPDK_NEIGH_CONFIRMED;
	entry->mac = *mac;
	neigh->generation++;
	return DPDK_NEIGH_LEARNED;
}

/* Who asks a question tells where he is: of use if we know him already. */
static void
learn_from_question(struct dpdk_neigh *neigh, const struct dpdk_ip *ip,
		    const struct dpdk_neigh_in *in)
{
	enum dpdk_neigh_result result =
		learn(neigh, ip, in->src_mac, true, in->now_ns);

	if (result != DPDK_NEIGH_UNASKED)
		neigh->counts[result]++;
}

static bool
may_answer(struct dpdk_neigh *neigh, uint64_t now_ns)
{
	if (now_ns - neigh->window_ns >= DPDK_NEIGH_WINDOW_NS) {
		neigh->window_ns = now_ns;
		neigh->answers = 0;
	}
	if (neigh->answers == DPDK_NEIGH_ANSWERS)
		return false;
	neigh->answers++;
	return true;
}

/* ---- ARP ------------------------------------------------------------------------ */

/* Ours to the target; a request asks everybody, with the target unknown. */
static uint16_t
build_arp(const struct dpdk_neigh *neigh, uint8_t *frame, uint8_t opcode,
	  const struct rte_ether_addr *target_mac, const uint8_t *target_ip)
{
	static const struct rte_ether_addr everybody = { { 0xff, 0xff, 0xff,
							   0xff, 0xff, 0xff } };
	uint32_t l2_len;
	uint8_t *body;

	memset(frame, 0, DPDK_NEIGH_FRAME_MAX);
	l2_len = weir_dpdk_hdr_ether(&neigh->wire, frame,
				     target_mac != NULL ? target_mac
							: &everybody,
				     &neigh->mac, RTE_ETHER_TYPE_ARP);
	body = frame + l2_len;
	memcpy(body, arp_fixed_part, sizeof(arp_fixed_part));
	body[ARP_OPCODE + 1] = opcode;
	memcpy(body + ARP_SENDER_MAC, &neigh->mac, RTE_ETHER_ADDR_LEN);
	memcpy(body + ARP_SENDER_IP, neigh->ip.bytes + 12, 4);
	if (target_mac != NULL)
		memcpy(body + ARP_TARGET_MAC, target_mac, RTE_ETHER_ADDR_LEN);
	memcpy(body + ARP_TARGET_IP, target_ip, 4);
	return FRAME_MIN;
}

/* @return NOT_US for what may be taken in. */
static enum dpdk_neigh_result
check_arp(const struct dpdk_neigh_in *in)
{
	const uint8_t *body = in->body;
	uint16_t opcode;

	if (in->len < ARP_LEN)
		return DPDK_NEIGH_SHORT;
	opcode = get_be16(body + ARP_OPCODE);
	if (memcmp(body, arp_fixed_part, sizeof(arp_fixed_part)) != 0 ||
	    (opcode != ARP_REQUEST && opcode != ARP_REPLY))
		return DPDK_NEIGH_BAD_FIELD;
	/* A group address is nobody's own; the frame's source must agree. */
	if (rte_is_multicast_ether_addr(in->src_mac) ||
	    memcmp(body + ARP_SENDER_MAC, in->src_mac, RTE_ETHER_ADDR_LEN) != 0)
		return DPDK_NEIGH_BAD_SENDER;
	return DPDK_NEIGH_NOT_US;
}

static enum dpdk_neigh_result
take_arp(struct dpdk_neigh *neigh, const struct dpdk_neigh_in *in,
	 uint8_t *reply, uint16_t *reply_len)
{
	static const uint8_t probe[4]; /* RFC 5227: answer, do not learn */
	enum dpdk_neigh_result result = check_arp(in);
	const uint8_t *body = in->body;
	struct dpdk_ip sender, target;
	bool is_probe;

	if (result != DPDK_NEIGH_NOT_US)
		return result;
	sender = dpdk_ip4_at(body + ARP_SENDER_IP);
	target = dpdk_ip4_at(body + ARP_TARGET_IP);
	is_probe = memcmp(body + ARP_SENDER_IP, probe, sizeof(probe)) == 0;
	if (!is_probe && !weir_dpdk_ip_is_unicast(&sender))
		return DPDK_NEIGH_BAD_FIELD;
	if (dpdk_ip_equal(&sender, &neigh->ip))
		return DPDK_NEIGH_CONFLICT;
	if (body[ARP_OPCODE + 1] == ARP_REPLY)
		return learn(neigh, &sender, in->src_mac, true, in->now_ns);
	/* Nobody looks for the address of a probe. */
	learn_from_question(neigh, &sender, in);
	if (!dpdk_ip_equal(&target, &neigh->ip))
		return DPDK_NEIGH_NOT_US;
	if (!may_answer(neigh, in->now_ns))
		return DPDK_NEIGH_LIMITED;
	*reply_len = build_arp(neigh, reply, ARP_REPLY, in->src_mac,
			       body + ARP_SENDER_IP);
	return DPDK_NEIGH_ANSWER;
}

uint16_t
weir_dpdk_neigh_arp(struct dpdk_neigh *neigh, const struct dpdk_neigh_in *in,
		    uint8_t *reply)
{
	uint16_t reply_len = 0;

	neigh->counts[take_arp(neigh, in, reply, &reply_len)]++;
	return reply_len;
}

/* ---- neighbour discovery -------------------------------------------------------- */

/* RFC 4291 2.7.1: ff02::1:ff00:0/104 and the address's last three bytes. */
static struct dpdk_ip
solicited_node(const struct dpdk_ip *ip)
{
	struct dpdk_ip group = { { 0xff, 2, [11] = 1, [12] = 0xff,
				   ip->bytes[13], ip->bytes[14],
				   ip->bytes[15] } };

	return group;
}

/* RFC 2464 section 7. */
static struct rte_ether_addr
group_mac(const struct dpdk_ip *group)
{
	struct rte_ether_addr mac = { { 0x33, 0x33, group->bytes[12],
					group->bytes[13], group->bytes[14],
					group->bytes[15] } };

	return mac;
}

void
weir_dpdk_neigh_group(const struct dpdk_ip *ip, struct rte_ether_addr *mac)
{
	struct dpdk_ip group = solicited_node(ip);

	*mac = group_mac(&group);
}

/* What a frame of ours says. */
struct nd_message {
	struct rte_ether_addr dst_mac;
	struct dpdk_ip dst;
	struct dpdk_ip target;
	uint8_t type;
	uint8_t flags;
};

static uint16_t
build_ndp(const struct dpdk_neigh *neigh, uint8_t *frame,
	  const struct nd_message *message)
{
	const uint16_t len = ND_LEN + ND_OPTION_LEN;
	bool asks = message->type == ND_SOLICIT;
	uint8_t *ip, *body;
	uint32_t l2_len;
	uint16_t cksum;

	memset(frame, 0, DPDK_NEIGH_FRAME_MAX);
	l2_len = weir_dpdk_hdr_ether(&neigh->wire, frame, &message->dst_mac,
				     &neigh->mac, RTE_ETHER_TYPE_IPV6);
	ip = frame + l2_len;
	ip[0] = 0x60;
	ip[IP6_PAYLOAD_LEN + 1] = (uint8_t)len;
	ip[IP6_NEXT] = IPPROTO_ICMPV6;
	ip[IP6_HOPS] = ND_HOPS;
	memcpy(ip + IP6_SRC, &neigh->ip, sizeof(neigh->ip));
	memcpy(ip + IP6_DST, &message->dst, sizeof(message->dst));

	body = ip + IP6_LEN;
	body[ND_TYPE] = message->type;
	body[ND_FLAGS] = message->flags;
	memcpy(body + ND_ADDRESS, &message->target, sizeof(message->target));
	body[ND_LEN] = asks ? ND_SOURCE : ND_TARGET;
	body[ND_LEN + 1] = 1;
	memcpy(body + ND_LEN + 2, &neigh->mac, RTE_ETHER_ADDR_LEN);
	cksum = weir_dpdk_hdr_ip6_cksum(ip, body, len, IPPROTO_ICMPV6);
	memcpy(body + ND_CKSUM, &cksum, sizeof(cksum));
	return (uint16_t)(l2_len + IP6_LEN + len);
}

static uint16_t
build_solicitation(const struct dpdk_neigh *neigh, uint8_t *frame,
		   const struct dpdk_ip *target)
{
	struct nd_message message = {
		.type = ND_SOLICIT,
		.dst = solicited_node(target),
		.target = *target,
	};

	message.dst_mac = group_mac(&message.dst);
	return build_ndp(neigh, frame, &message);
}

/* Who tests whether the address is free (RFC 4862) has none yet himself: the
 * answer goes to all nodes then. */
static uint16_t
build_advertisement(const struct dpdk_neigh *neigh, uint8_t *frame,
		    const struct dpdk_ip *asker,
		    const struct rte_ether_addr *mac)
{
	static const struct dpdk_ip all = { { 0xff, 2, [15] = 1 } };
	struct nd_message message = {
		.type = ND_ADVERTISE,
		.flags = ND_OVERRIDE,
		.target = neigh->ip,
		.dst = all,
		.dst_mac = group_mac(&all),
	};

	if (!dpdk_ip_is_none(asker)) {
		message.flags |= ND_SOLICITED;
		message.dst = *asker;
		message.dst_mac = *mac;
	}
	return build_ndp(neigh, frame, &message);
}

/* A received one, taken apart. */
struct nd_look {
	struct dpdk_ip src;
	struct dpdk_ip dst;
	struct dpdk_ip target;
	const uint8_t *body;
	uint16_t len;
	bool has_mac; /* the option that goes with the type */
};

/* Every option has a length, and ends where the message does or before; the
 * one that we know tells the sender's MAC once more. */
static enum dpdk_neigh_result
check_options(const struct dpdk_neigh_in *in, struct nd_look *look)
{
	uint8_t wanted = look->body[ND_TYPE] == ND_SOLICIT ? ND_SOURCE
							   : ND_TARGET;
	uint32_t at = ND_LEN, len;

	while (at < look->len) {
		if (look->len - at < 2)
			return DPDK_NEIGH_OPTION;
		len = 8u * look->body[at + 1];
		if (len == 0 || len > look->len - at)
			return DPDK_NEIGH_OPTION;
		if (look->body[at] == wanted) {
			if (len != ND_OPTION_LEN)
				return DPDK_NEIGH_OPTION;
			if (memcmp(look->body + at + 2, in->src_mac,
				   RTE_ETHER_ADDR_LEN) != 0)
				return DPDK_NEIGH_BAD_SENDER;
			look->has_mac = true;
		}
		at += len;
	}
	return DPDK_NEIGH_NOT_US;
}

/* RFC 4861 7.1.1 and 7.1.2, what is said of addresses. */
static enum dpdk_neigh_result
check_addresses(const struct dpdk_neigh_in *in, const struct nd_look *look)
{
	const struct dpdk_ip group = solicited_node(&look->target);
	bool to_group = look->dst.bytes[0] == 0xff;

	if (rte_is_multicast_ether_addr(in->src_mac) ||
	    look->src.bytes[0] == 0xff || dpdk_ip_is_ip4(&look->src))
		return DPDK_NEIGH_BAD_SENDER;
	if (!weir_dpdk_ip_is_unicast(&look->target))
		return DPDK_NEIGH_BAD_FIELD;
	if (look->body[ND_TYPE] == ND_ADVERTISE) {
		if (dpdk_ip_is_none(&look->src))
			return DPDK_NEIGH_BAD_SENDER;
		if (to_group && (look->body[ND_FLAGS] & ND_SOLICITED) != 0)
			return DPDK_NEIGH_BAD_FIELD;
	} else if (dpdk_ip_is_none(&look->src) &&
		   (look->has_mac || !dpdk_ip_equal(&look->dst, &group))) {
		return DPDK_NEIGH_BAD_FIELD;
	}
	return DPDK_NEIGH_NOT_US;
}

/* @return NOT_US for what may be taken in. */
static enum dpdk_neigh_result
check_ndp(const struct dpdk_neigh_in *in, struct nd_look *look)
{
	const uint8_t *ip = in->body;
	enum dpdk_neigh_result result;

	if (in->len < IP6_LEN + ND_LEN)
		return DPDK_NEIGH_SHORT;
	look->body = ip + IP6_LEN;
	look->len = get_be16(ip + IP6_PAYLOAD_LEN);
	look->has_mac = false;
	if (look->len < ND_LEN || look->len > in->len - IP6_LEN)
		return DPDK_NEIGH_SHORT;
	if (ip[0] >> 4 != 6 || ip[IP6_NEXT] != IPPROTO_ICMPV6 ||
	    look->body[ND_CODE] != 0 ||
	    (look->body[ND_TYPE] != ND_SOLICIT &&
	     look->body[ND_TYPE] != ND_ADVERTISE))
		return DPDK_NEIGH_BAD_FIELD;
	if (ip[IP6_HOPS] != ND_HOPS)
		return DPDK_NEIGH_HOPS;
	if (weir_dpdk_hdr_ip6_cksum(ip, look->body, look->len,
				    IPPROTO_ICMPV6) != 0)
		return DPDK_NEIGH_CKSUM;
	memcpy(&look->src, ip + IP6_SRC, sizeof(look->src));
	memcpy(&look->dst, ip + IP6_DST, sizeof(look->dst));
	memcpy(&look->target, look->body + ND_ADDRESS, sizeof(look->target));
	result = check_options(in, look);
	return result == DPDK_NEIGH_NOT_US ? check_addresses(in, look) : result;
}

static enum dpdk_neigh_result
take_ndp(struct dpdk_neigh *neigh, const struct dpdk_neigh_in *in,
	 uint8_t *reply, uint16_t *reply_len)
{
	struct nd_look look;
	enum dpdk_neigh_result result = check_ndp(in, &look);
	bool for_us;

	if (result != DPDK_NEIGH_NOT_US)
		return result;
	for_us = dpdk_ip_equal(&look.target, &neigh->ip);
	if (dpdk_ip_equal(&look.src, &neigh->ip))
		return DPDK_NEIGH_CONFLICT;
	if (look.body[ND_TYPE] == ND_ADVERTISE)
		return for_us ? DPDK_NEIGH_CONFLICT
			      : learn(neigh, &look.target, in->src_mac,
				      look.body[ND_FLAGS] & ND_OVERRIDE,
				      in->now_ns);
	if (look.has_mac)
		learn_from_question(neigh, &look.src, in);
	if (!for_us)
		return DPDK_NEIGH_NOT_US;
	if (!may_answer(neigh, in->now_ns))
		return DPDK_NEIGH_LIMITED;
	*reply_len = build_advertisement(neigh, reply, &look.src, in->src_mac);
	return DPDK_NEIGH_ANSWER;
}

uint16_t
weir_dpdk_neigh_ndp(struct dpdk_neigh *neigh, const struct dpdk_neigh_in *in,
		    uint8_t *reply)
{
	uint16_t reply_len = 0;

	neigh->counts[take_ndp(neigh, in, reply, &reply_len)]++;
	return reply_len;
}

/* ---- asking --------------------------------------------------------------------- */

static bool
is_asked(const struct dpdk_neigh_entry *entry)
{
	return entry->state == DPDK_NEIGH_ASKING ||
	       entry->state == DPDK_NEIGH_AGAIN;
}

uint16_t
weir_dpdk_neigh_poll(struct dpdk_neigh *neigh, uint64_t now_ns, uint8_t *frame)
{
	for (int i = 0; i < DPDK_NEIGH_ENTRIES; i++) {
		struct dpdk_neigh_entry *entry = &neigh->entries[i];

		if (!is_asked(entry) || entry->next_ns > now_ns)
			continue;
		if (entry->tries == DPDK_NEIGH_TRIES) {
			entry->state = DPDK_NEIGH_FAILED;
			entry->next_ns = now_ns + DPDK_NEIGH_FAILED_NS;
			continue;
		}
		entry->tries++;
		entry->next_ns = now_ns + DPDK_NEIGH_INTERVAL_NS;
		return dpdk_ip_is_ip4(&entry->ip)
			       ? build_arp(neigh, frame, ARP_REQUEST, NULL,
					   entry->ip.bytes + 12)
			       : build_solicitation(neigh, frame, &entry->ip);
	}
	return 0;
}

uint64_t
weir_dpdk_neigh_deadline_ns(const struct dpdk_neigh *neigh)
{
	uint64_t earliest = UINT64_MAX;

	for (int i = 0; i < DPDK_NEIGH_ENTRIES; i++) {
		const struct dpdk_neigh_entry *entry = &neigh->entries[i];

		if (is_asked(entry) && entry->next_ns < earliest)
			earliest = entry->next_ns;
	}
	return earliest;
}
