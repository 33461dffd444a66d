/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Neighbours: ARP and NDP frames of whoever shares our Ethernet, lookups and
 * time, in any order.
 *
 *     family 1 | (operation, its arguments) ...
 *
 * Half of the frames come from a second, honest table, so that questions and
 * answers meet. A static entry never changes, nothing is learned that was
 * not asked for, and every frame that goes out can be read by the other side.
 */
#include <errno.h>
#include <string.h>
#include "dpdk_neigh.h"
#include "fuzz.h"

#define ROOM   256
#define L3     40 /* of IPv6 */
#define ICMP   58
#define STATIC 3 /* number of the station that is entered by hand */

static struct dpdk_neigh tables[2]; /* ours, the honest station's */
static struct dpdk_hdr_policy policies[2];
static uint64_t now_ns;
static bool ip6;

/* Frames and bodies end where their array ends. */
static uint8_t room[ROOM];

static struct dpdk_ip
station_ip(uint32_t number)
{
	struct dpdk_ip ip = { { 0xfd, [15] = (uint8_t)number } };

	return ip6 ? ip : dpdk_ip4(UINT32_C(0x0a070000) + number);
}

static struct rte_ether_addr
station_mac(uint32_t number)
{
	struct rte_ether_addr mac = { { 2, 0, 0, 0, 0, (uint8_t)number } };

	return mac;
}

/* --- frames ----------------------------------------------------------- */

static uint16_t
input(int to, const uint8_t *frame, uint32_t len, uint8_t *reply)
{
	struct dpdk_hdr_in at = { 0 };
	struct dpdk_neigh_in in = { .now_ns = now_ns };
	enum dpdk_hdr_result result =
		weir_dpdk_hdr_parse(&policies[to], frame, len, &at);

	if (result != DPDK_HDR_ARP && result != DPDK_HDR_NDP)
		return 0;
	FUZZ_CHECK((uint32_t)at.offset + at.len <= len);
	in.body = frame + at.offset;
	in.len = at.len;
	in.src_mac = &at.src_mac;
	if (result == DPDK_HDR_ARP)
		return weir_dpdk_neigh_arp(&tables[to], &in, reply);
	return weir_dpdk_neigh_ndp(&tables[to], &in, reply);
}

/* A frame of ours: the honest station must make sense of it. */
static void
exchange(const uint8_t *frame, uint16_t len)
{
	uint8_t reply[DPDK_NEIGH_FRAME_MAX], again[DPDK_NEIGH_FRAME_MAX];
	uint64_t *counts = tables[1].counts;
	uint16_t reply_len;

	FUZZ_CHECK(len <= DPDK_NEIGH_FRAME_MAX);
	reply_len = input(1, frame, len, reply);
	for (int i = DPDK_NEIGH_SHORT; i < DPDK_NEIGH_RESULTS; i++)
		FUZZ_CHECK(counts[i] == 0);
	if (reply_len != 0)
		FUZZ_CHECK(input(0, reply, reply_len, again) == 0);
}

static uint32_t
sum16(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 != 0 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Neighbour solicitation or advertisement out of a frame of anything. */
static void
repair_ndp(uint8_t *frame, uint32_t len, uint8_t repair)
{
	uint8_t *ip = frame + 14, *icmp = ip + L3;
	uint32_t icmp_len = len - 14 - L3, sum;

	ip[0] = 0x60;
	ip[4] = 0;
	ip[5] = (uint8_t)icmp_len;
	ip[6] = ICMP;
	ip[7] = 255;
	if (repair & 4)
		memcpy(ip + 24, station_ip(1).bytes, 16);
	icmp[0] = repair & 8 ? 135 : 136;
	icmp[1] = 0;
	icmp[2] = 0;
	icmp[3] = 0;
	sum = ~sum16(icmp, icmp_len, sum16(ip + 8, 32, ICMP + icmp_len));
	icmp[2] = (uint8_t)(sum >> 8);
	icmp[3] = (uint8_t)sum;
}

static void
repair_arp(uint8_t *frame, uint8_t repair)
{
	static const uint8_t fixed[7] = { 0, 1, 8, 0, 6, 4, 0 };
	uint8_t *body = frame + 14;

	memcpy(body, fixed, sizeof(fixed));
	body[7] = repair & 8 ? 1 : 2;
	if (repair & 16)
		memcpy(body + 8, frame + 6, 6);
	if (repair & 4)
		memcpy(body + 24, station_ip(1).bytes + 12, 4);
}

static void
op_frame(struct fuzz_in *in)
{
	uint32_t len = fuzz_u8(in) % 128;
	uint8_t repair = fuzz_u8(in);
	uint8_t reply[DPDK_NEIGH_FRAME_MAX];
	uint8_t *frame = room + ROOM - len;
	uint16_t reply_len;

	for (uint32_t i = 0; i < len; i++)
		frame[i] = fuzz_u8(in);
	if ((repair & 1) && len >= 14) {
		memcpy(frame, station_mac(1).addr_bytes, 6);
		frame[12] = ip6 ? 0x86 : 0x08;
		frame[13] = ip6 ? 0xdd : 0x06;
	}
	if ((repair & 2) && ip6 && len >= 14 + L3 + 24)
		repair_ndp(frame, len, repair);
	if ((repair & 2) && !ip6 && len >= 14 + 28)
		repair_arp(frame, repair);
	reply_len = input(0, frame, len, reply);
	if (reply_len != 0)
		exchange(reply, reply_len);
}

/* --- the rest --------------------------------------------------------- */

static void
op_poll(int from)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	uint16_t len;

	for (int i = 0; i <= DPDK_NEIGH_ENTRIES; i++) {
		len = weir_dpdk_neigh_poll(&tables[from], now_ns, frame);
		if (len == 0)
			break;
		if (from == 0) {
			exchange(frame, len);
		} else if (input(0, frame, len, reply) != 0) {
			FUZZ_CHECK(input(1, reply, sizeof(reply), frame) == 0);
		}
	}
	FUZZ_CHECK(weir_dpdk_neigh_deadline_ns(&tables[from]) > now_ns);
}

static void
op_lookup(int from, uint8_t number)
{
	struct dpdk_ip ip = station_ip(number);
	struct rte_ether_addr mac, same;
	int rc = weir_dpdk_neigh_lookup(&tables[from], &ip, now_ns, &mac);

	FUZZ_CHECK(rc == 1 || rc == 0 || rc == -EHOSTUNREACH || rc == -ENOSPC);
	FUZZ_CHECK((rc == 1) ==
		   weir_dpdk_neigh_known(&tables[from], &ip, &same));
	if (rc == 1)
		FUZZ_CHECK(memcmp(&mac, &same, sizeof(mac)) == 0);
}

static void
check(void)
{
	struct dpdk_ip ip = station_ip(STATIC);
	struct rte_ether_addr mac, want = station_mac(STATIC);

	FUZZ_CHECK(weir_dpdk_neigh_known(&tables[0], &ip, &mac));
	FUZZ_CHECK(memcmp(&mac, &want, sizeof(mac)) == 0);
	FUZZ_CHECK(tables[0].answers <= DPDK_NEIGH_ANSWERS);
	for (int i = 0; i < DPDK_NEIGH_ENTRIES; i++) {
		const struct dpdk_neigh_entry *entry = &tables[0].entries[i];

		FUZZ_CHECK(entry->tries <= DPDK_NEIGH_TRIES);
		/* Only looked-up stations are there at all. */
		if (entry->state != DPDK_NEIGH_FREE &&
		    entry->state != DPDK_NEIGH_STATIC)
			FUZZ_CHECK(entry->used_ns != 0);
		/* A group is nobody's address. */
		if (entry->state == DPDK_NEIGH_KNOWN)
			FUZZ_CHECK((entry->mac.addr_bytes[0] & 1) == 0);
	}
}

static void
start(uint8_t family)
{
	static const struct dpdk_hdr_wire wire = { .ttl = 64 };

	ip6 = family & 1;
	now_ns = UINT64_C(1000000000);
	for (uint32_t i = 0; i < 2; i++) {
		struct dpdk_ip ip = station_ip(1 + i);
		struct rte_ether_addr mac = station_mac(1 + i);

		weir_dpdk_neigh_init(&tables[i], &wire, &ip, &mac);
		policies[i] = (struct dpdk_hdr_policy){
			.mac = mac,
			.ip = ip,
			.ether_type = dpdk_ip_is_ip4(&ip) ? RTE_ETHER_TYPE_IPV4
							  : RTE_ETHER_TYPE_IPV6,
			.port_last = 65535,
		};
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };
	struct rte_ether_addr mac;
	struct dpdk_ip ip;

	start(fuzz_u8(&in));
	ip = station_ip(STATIC);
	mac = station_mac(STATIC);
	FUZZ_CHECK(weir_dpdk_neigh_add_static(&tables[0], &ip, &mac) == 0);
	while (fuzz_left(&in) > 0) {
		uint8_t op = fuzz_u8(&in);

		if (op < 96)
			op_frame(&in);
		else if (op < 128)
			op_lookup(op & 1, fuzz_u8(&in));
		else if (op < 160)
			op_poll(op & 1);
		else
			now_ns += (uint64_t)(op & 15) << 26;
		check();
	}
	return 0;
}
