/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_arp: address resolution as pure logic. See dpdk_arp.h.
 *
 * A table of 64 is searched from end to end: it is looked at when links are
 * set up and when ARP frames arrive, never per packet.
 */

#include <errno.h>
#include <string.h>

#include "dpdk_arp.h"

/* RFC 826, for Ethernet and IPv4. */
#define ETHER_LEN      14
#define ARP_LEN        28
#define ARP_REQUEST    1
#define ARP_REPLY      2
#define ETHER_TYPE_ARP 0x0806

enum {
	ARP_HARDWARE = 0,
	ARP_PROTOCOL = 2,
	ARP_SIZES = 4,
	ARP_OPCODE = 6,
	ARP_SENDER_MAC = 8,
	ARP_SENDER_IP = 14,
	ARP_TARGET_MAC = 18,
	ARP_TARGET_IP = 24,
};

static const uint8_t fixed_part[6] = { 0, 1, 8, 0, 6, 4 };

static uint32_t
get_be32(const uint8_t *from)
{
	return (uint32_t)from[0] << 24 | (uint32_t)from[1] << 16 |
	       (uint32_t)from[2] << 8 | (uint32_t)from[3];
}

static void
put_be32(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 24);
	to[1] = (uint8_t)(value >> 16);
	to[2] = (uint8_t)(value >> 8);
	to[3] = (uint8_t)value;
}

/* Ours to the target; a request asks everybody, with the target unknown. */
static void
build_frame(const struct dpdk_arp *arp, uint8_t *frame, uint8_t opcode,
	    const uint8_t *target_mac, uint32_t target_ip)
{
	uint8_t *body = frame + ETHER_LEN;

	memset(frame, 0, DPDK_ARP_FRAME_LEN);
	if (target_mac != NULL) {
		memcpy(frame, target_mac, RTE_ETHER_ADDR_LEN);
		memcpy(body + ARP_TARGET_MAC, target_mac, RTE_ETHER_ADDR_LEN);
	} else {
		memset(frame, 0xff, RTE_ETHER_ADDR_LEN);
	}
	memcpy(frame + RTE_ETHER_ADDR_LEN, &arp->mac, RTE_ETHER_ADDR_LEN);
	frame[12] = ETHER_TYPE_ARP >> 8;
	frame[13] = ETHER_TYPE_ARP & 0xff;
	memcpy(body, fixed_part, sizeof(fixed_part));
	body[ARP_OPCODE + 1] = opcode;
	memcpy(body + ARP_SENDER_MAC, &arp->mac, RTE_ETHER_ADDR_LEN);
	put_be32(body + ARP_SENDER_IP, arp->ip);
	put_be32(body + ARP_TARGET_IP, target_ip);
}

static struct dpdk_arp_entry *
find(struct dpdk_arp *arp, uint32_t ip)
{
	for (int i = 0; i < DPDK_ARP_ENTRIES; i++) {
		struct dpdk_arp_entry *entry = &arp->entries[i];

		if (entry->state != DPDK_ARP_FREE && entry->ip == ip)
			return entry;
	}
	return NULL;
}

/* A free entry; else the failed or known one that was not used longest. */
static struct dpdk_arp_entry *
make_room(struct dpdk_arp *arp)
{
	struct dpdk_arp_entry *oldest = NULL;

	for (int i = 0; i < DPDK_ARP_ENTRIES; i++) {
		struct dpdk_arp_entry *entry = &arp->entries[i];

		if (entry->state == DPDK_ARP_FREE)
			return entry;
		if (entry->state != DPDK_ARP_KNOWN &&
		    entry->state != DPDK_ARP_FAILED)
			continue;
		if (oldest == NULL || entry->used_ns < oldest->used_ns)
			oldest = entry;
	}
	return oldest;
}

void
weir_dpdk_arp_init(struct dpdk_arp *arp, uint32_t ip,
		   const struct rte_ether_addr *mac)
{
	memset(arp, 0, sizeof(*arp));
	arp->ip = ip;
	arp->mac = *mac;
}

int
weir_dpdk_arp_add_static(struct dpdk_arp *arp, uint32_t ip,
			 const struct rte_ether_addr *mac)
{
	struct dpdk_arp_entry *entry = find(arp, ip);

	if (entry == NULL)
		entry = make_room(arp);
	if (entry == NULL)
		return -ENOSPC;
	*entry = (struct dpdk_arp_entry){
		.ip = ip,
		.state = DPDK_ARP_STATIC,
		.mac = *mac,
	};
	arp->generation++;
	return 0;
}

static void
start_asking(struct dpdk_arp_entry *entry, uint32_t ip, uint64_t now_ns)
{
	*entry = (struct dpdk_arp_entry){
		.ip = ip,
		.state = DPDK_ARP_ASKING,
		.next_ns = now_ns,
		.used_ns = now_ns,
	};
}

int
weir_dpdk_arp_lookup(struct dpdk_arp *arp, uint32_t ip, uint64_t now_ns,
		     struct rte_ether_addr *mac)
{
	struct dpdk_arp_entry *entry = find(arp, ip);

	if (entry == NULL) {
		entry = make_room(arp);
		if (entry == NULL)
			return -ENOSPC;
		start_asking(entry, ip, now_ns);
	}
	entry->used_ns = now_ns;
	switch (entry->state) {
	case DPDK_ARP_KNOWN:
	case DPDK_ARP_STATIC:
		*mac = entry->mac;
		return 1;
	case DPDK_ARP_FAILED:
		if (now_ns < entry->next_ns)
			return -EHOSTUNREACH;
		start_asking(entry, ip, now_ns);
		return 0;
	default:
		return 0;
	}
}

/* @return true if it is an ARP frame for Ethernet and IPv4 that makes sense. */
static bool
is_well_formed(const uint8_t *frame, uint32_t frame_len)
{
	const uint8_t *body = frame + ETHER_LEN;

	if (frame_len < ETHER_LEN + ARP_LEN)
		return false;
	if (frame[12] != ETHER_TYPE_ARP >> 8 ||
	    frame[13] != (ETHER_TYPE_ARP & 0xff))
		return false;
	if (memcmp(body, fixed_part, sizeof(fixed_part)) != 0 ||
	    body[ARP_OPCODE] != 0)
		return false;
	/* A group address is nobody's own; the frame's source must agree. */
	if ((body[ARP_SENDER_MAC] & 1) != 0 ||
	    memcmp(body + ARP_SENDER_MAC, frame + RTE_ETHER_ADDR_LEN,
		   RTE_ETHER_ADDR_LEN) != 0)
		return false;
	return true;
}

/* Only what we asked for, and what we know already (it may have moved). */
static void
learn(struct dpdk_arp *arp, uint32_t ip, const uint8_t *mac)
{
	struct dpdk_arp_entry *entry = find(arp, ip);

	if (entry == NULL || entry->state == DPDK_ARP_STATIC ||
	    entry->state == DPDK_ARP_FAILED)
		return;
	if (entry->state == DPDK_ARP_KNOWN &&
	    memcmp(&entry->mac, mac, RTE_ETHER_ADDR_LEN) == 0)
		return;
	memcpy(&entry->mac, mac, RTE_ETHER_ADDR_LEN);
	entry->state = DPDK_ARP_KNOWN;
	arp->generation++;
}

uint16_t
weir_dpdk_arp_input(struct dpdk_arp *arp, const uint8_t *frame,
		    uint32_t frame_len, uint8_t *reply)
{
	const uint8_t *body = frame + ETHER_LEN;
	uint32_t sender_ip;
	bool to_us;

	if (!is_well_formed(frame, frame_len))
		return 0;
	sender_ip = get_be32(body + ARP_SENDER_IP);
	to_us = get_be32(body + ARP_TARGET_IP) == arp->ip;
	/* Someone who says to be us teaches us nothing. */
	if (sender_ip == arp->ip)
		return 0;
	/* Address 0 is a probe for duplicates (RFC 5227): answer, not learn. */
	if (sender_ip != 0)
		learn(arp, sender_ip, body + ARP_SENDER_MAC);
	if (body[ARP_OPCODE + 1] != ARP_REQUEST || !to_us)
		return 0;
	build_frame(arp, reply, ARP_REPLY, body + ARP_SENDER_MAC, sender_ip);
	return DPDK_ARP_FRAME_LEN;
}

uint16_t
weir_dpdk_arp_poll(struct dpdk_arp *arp, uint64_t now_ns, uint8_t *frame)
{
	for (int i = 0; i < DPDK_ARP_ENTRIES; i++) {
		struct dpdk_arp_entry *entry = &arp->entries[i];

		if (entry->state != DPDK_ARP_ASKING || entry->next_ns > now_ns)
			continue;
		if (entry->tries == DPDK_ARP_TRIES) {
			entry->state = DPDK_ARP_FAILED;
			entry->next_ns = now_ns + DPDK_ARP_FAILED_NS;
			continue;
		}
		entry->tries++;
		entry->next_ns = now_ns + DPDK_ARP_INTERVAL_NS;
		build_frame(arp, frame, ARP_REQUEST, NULL, entry->ip);
		return DPDK_ARP_FRAME_LEN;
	}
	return 0;
}

uint64_t
weir_dpdk_arp_deadline_ns(const struct dpdk_arp *arp)
{
	uint64_t earliest = UINT64_MAX;

	for (int i = 0; i < DPDK_ARP_ENTRIES; i++) {
		const struct dpdk_arp_entry *entry = &arp->entries[i];

		if (entry->state == DPDK_ARP_ASKING &&
		    entry->next_ns < earliest)
			earliest = entry->next_ns;
	}
	return earliest;
}
