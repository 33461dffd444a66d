/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames: whatever a wire may bring, through the headers of dpdk_hdr into
 * the decoder.
 *
 *     policy 1 | checks 1 | repair 1 | frame ...
 *
 * Without repair hardly any input would pass the checksums; its bits say
 * which fields are made right before the frame is looked at.
 */
#include <stdbool.h>
#include <string.h>
#include "crc32c.h"
#include "dpdk_hdr.h"
#include "fuzz.h"
#include "wire.h"

#define FRAME_MAX 2048
#define ETHER     14
#define UDP       8
#define VLAN      7
#define PORT      7400

enum {
	POLICY_ANY_MAC = 1,
	POLICY_ANY_IP = 2,
	POLICY_IP6 = 4,
	POLICY_VLAN = 8,
	POLICY_TTL = 16,
	POLICY_ONE_PORT = 32,
	POLICY_UDP_ZERO = 64,
	POLICY_STRIPPED = 128,
};

enum {
	REPAIR_ETHER = 1,
	REPAIR_IP = 2,
	REPAIR_IP_SUM = 4,
	REPAIR_UDP = 8,
	REPAIR_UDP_SUM = 16,
	REPAIR_WIRE = 32, /* version and header length */
	BARE = 64,        /* no headers: the packet alone */
	REPAIR_CRC = 128,
};

static const uint8_t our_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const uint8_t our_ip6[16] = { 0xfd, [15] = 1 };
static const uint8_t our_ip4[4] = { 10, 7, 0, 1 };
/* What the trailer covers besides the packet. */
static const uint8_t addr[12] = { 10, 7, 0, 2, 10, 7, 0, 1, 1, 2, 3, 4 };

/* The frame ends where the array ends: a sanitizer sees what is beyond. */
static uint8_t room[FRAME_MAX];

static void
put_be16(uint8_t *to, uint32_t value)
{
	to[0] = (uint8_t)(value >> 8);
	to[1] = (uint8_t)value;
}

static uint32_t
sum16(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
	for (uint32_t i = 0; i < len; i++)
		sum += i % 2 != 0 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint32_t
folded(uint32_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void
repair_wire(uint8_t *packet, uint32_t len, uint8_t repair)
{
	uint32_t words;

	if (len < WIRE_HDR_LEN)
		return;
	if (repair & REPAIR_WIRE) {
		packet[0] = (uint8_t)(WIRE_VERSION_MAX << 4 | (packet[0] & 15));
		words = WIRE_HDR_LEN / 8 + packet[2] % 27;
		packet[2] = (uint8_t)(words * 8 <= len ? words : len / 8);
	}
	if (repair & REPAIR_CRC)
		wire_put_trailer(packet + len - WIRE_TRAILER_LEN,
				 crc32c_trailer(addr, sizeof(addr), packet,
						len - WIRE_TRAILER_LEN));
}

/* Where things stand in a frame that has them all. */
struct shape {
	uint32_t l2;
	uint32_t l3;
	uint32_t udp_len;
};

static void
repair_ether(uint8_t *frame, uint8_t policy)
{
	uint8_t *type = frame + 12;

	memcpy(frame, our_mac, sizeof(our_mac));
	if (policy & POLICY_VLAN && !(policy & POLICY_STRIPPED)) {
		put_be16(type, 0x8100);
		put_be16(type + 2, VLAN);
		type += 4;
	}
	put_be16(type, policy & POLICY_IP6 ? 0x86dd : 0x0800);
}

static void
repair_ip(uint8_t *ip, const struct shape *shape)
{
	if (shape->l3 == 20) {
		ip[0] = 0x45;
		put_be16(ip + 2, shape->l3 + shape->udp_len);
		put_be16(ip + 6, 0x4000);
		ip[8] |= 64;
		ip[9] = 17;
		memcpy(ip + 16, our_ip4, sizeof(our_ip4));
	} else {
		ip[0] = 0x60;
		put_be16(ip + 4, shape->udp_len);
		ip[6] = 17;
		ip[7] |= 64;
		memcpy(ip + 24, our_ip6, sizeof(our_ip6));
	}
}

static void
repair_sums(uint8_t *ip, const struct shape *shape, uint8_t repair)
{
	uint8_t *udp = ip + shape->l3;

	if ((repair & REPAIR_IP_SUM) && shape->l3 == 20) {
		put_be16(ip + 10, 0);
		put_be16(ip + 10, folded(sum16(ip, 20, 0)));
	}
	if (repair & REPAIR_UDP_SUM) {
		uint32_t sum = 17 + shape->udp_len;
		uint32_t cksum;

		if (shape->l3 == 20)
			sum = sum16(ip + 12, 8, sum);
		else
			sum = sum16(ip + 8, 32, sum);
		put_be16(udp + 6, 0);
		cksum = folded(sum16(udp, shape->udp_len, sum));
		put_be16(udp + 6, cksum == 0 ? 0xffff : cksum);
	}
}

static void
repair_frame(uint8_t *frame, uint32_t len, uint8_t policy, uint8_t repair)
{
	struct shape shape = { .l2 = ETHER,
			       .l3 = policy & POLICY_IP6 ? 40 : 20 };
	uint8_t *ip, *udp;

	if ((policy & POLICY_VLAN) && !(policy & POLICY_STRIPPED))
		shape.l2 += 4;
	if (len < shape.l2 + shape.l3 + UDP)
		return;
	shape.udp_len = len - shape.l2 - shape.l3;
	ip = frame + shape.l2;
	udp = ip + shape.l3;
	repair_wire(udp + UDP, shape.udp_len - UDP, repair);
	if (repair & REPAIR_ETHER)
		repair_ether(frame, policy);
	if (repair & REPAIR_IP)
		repair_ip(ip, &shape);
	if (repair & REPAIR_UDP) {
		put_be16(udp + 2, PORT);
		put_be16(udp + 4, shape.udp_len);
	}
	repair_sums(ip, &shape, repair);
}

static uint64_t
look_at_records(const struct wire_hdr *hdr)
{
	struct wire_records records = wire_records(hdr->payload, hdr->mlo);
	const uint8_t *end = hdr->payload + hdr->payload_len;
	uint64_t sum = 0;
	uint32_t len;

	FUZZ_CHECK(hdr->mlo >= WIRE_RECORDS_MIN);
	FUZZ_CHECK(hdr->mlo <= WIRE_RECORDS_MAX);
	for (uint32_t i = 0; i < hdr->mlo; i++) {
		const uint8_t *message = wire_records_next(&records, &len);

		FUZZ_CHECK(message <= end && len <= (size_t)(end - message));
		for (uint32_t at = 0; at < len; at++)
			sum += message[at];
	}
	return sum;
}

/* All that the decoder lets through can be read. */
static void
look_at_packet(const uint8_t *packet, uint32_t len)
{
	uint8_t again[WIRE_HDR_LEN];
	struct wire_hdr hdr;
	uint64_t sum = 0;

	if (weir_wire_decode(packet, len, &hdr) != WIRE_OK)
		return;
	FUZZ_CHECK(hdr.hlen * 8u <= len);
	FUZZ_CHECK(hdr.payload == packet + hdr.hlen * 8u);
	FUZZ_CHECK(hdr.hlen * 8u + hdr.payload_len <= len);
	if (hdr.flags & WIRE_F_TRAILER)
		FUZZ_CHECK(hdr.hlen * 8u + hdr.payload_len + 4 == len);
	FUZZ_CHECK(hdr.sack_words <= WIRE_SACK_MAX);
	for (uint32_t i = 0; i < hdr.payload_len; i++)
		sum += hdr.payload[i];
	if (wire_hdr_type(&hdr) == WIRE_BATCH)
		sum += look_at_records(&hdr);
	for (uint32_t i = 0; i < hdr.sack_words; i++)
		sum += weir_wire_get_sack(hdr.sack, i);
	if (hdr.params != NULL) {
		struct wire_params params;
		uint8_t copy[256];

		weir_wire_get_params(hdr.params, &params);
		weir_wire_put_params(&params, copy);
		/* Reserved words apart, what is read is what was written. */
		FUZZ_CHECK(memcmp(copy + 2, hdr.params + 2, 66) == 0);
		FUZZ_CHECK(memcmp(copy + 72, hdr.params + 72, 16) == 0);
	}
	if (hdr.error != NULL) {
		struct wire_error_info error;

		weir_wire_get_error(hdr.error, &error);
		sum += error.code;
	}
	if (hdr.cookie != NULL)
		for (uint32_t i = 0; i < hdr.cookie[1] * 8u; i++)
			sum += hdr.cookie[i];
	if (hdr.flags & WIRE_F_TRAILER)
		sum += (uint32_t)wire_trailer_is(
			packet, len,
			crc32c_trailer(addr, sizeof(addr), packet,
				       len - WIRE_TRAILER_LEN));
	FUZZ_CHECK(weir_wire_type_name(wire_hdr_type(&hdr)) != NULL);
	weir_wire_encode(&hdr, again);
	FUZZ_CHECK(memcmp(again, packet, WIRE_HDR_LEN) == 0);
	__asm__ volatile("" : : "r"(sum));
}

static struct dpdk_hdr_policy
make_policy(uint8_t bits, uint8_t checks)
{
	struct dpdk_hdr_policy policy = {
		.any_mac = bits & POLICY_ANY_MAC,
		.any_ip = bits & POLICY_ANY_IP,
		.ether_type = bits & POLICY_IP6 ? RTE_ETHER_TYPE_IPV6
						: RTE_ETHER_TYPE_IPV4,
		.ip = dpdk_ip4_at(our_ip4),
		.port_first = PORT,
		.port_last = bits & POLICY_ONE_PORT ? PORT : 65535,
		.vlan = bits & POLICY_VLAN ? VLAN : 0,
		.ttl_min = bits & POLICY_TTL ? 255 : 0,
		.udp_zero_ok = bits & POLICY_UDP_ZERO,
		.ip_check = (enum dpdk_hdr_check)(checks % 5),
		.udp_check = (enum dpdk_hdr_check)(checks / 5 % 5),
	};

	memcpy(&policy.mac, our_mac, sizeof(our_mac));
	if (bits & POLICY_IP6)
		memcpy(policy.ip.bytes, our_ip6, sizeof(our_ip6));
	if (bits & POLICY_STRIPPED)
		policy.stripped = DPDK_HDR_STRIPPED |
				  (checks & 128 ? DPDK_HDR_STRIPPED_TWO : 0) |
				  (checks & 64 ? 9 : VLAN);
	return policy;
}

static void
look_at_frame(const struct dpdk_hdr_policy *policy, const uint8_t *frame,
	      uint32_t len)
{
	struct dpdk_hdr_in in = { 0 };
	enum dpdk_hdr_result result =
		weir_dpdk_hdr_parse(policy, frame, len, &in);

	FUZZ_CHECK(result < DPDK_HDR_RESULTS);
	FUZZ_CHECK(weir_dpdk_hdr_result_name(result) != NULL);
	if (result == DPDK_HDR_ARP || result == DPDK_HDR_NDP)
		FUZZ_CHECK((uint32_t)in.offset + in.len <= len);
	if (result != DPDK_HDR_PACKET)
		return;
	FUZZ_CHECK((uint32_t)in.offset + in.len <= len);
	FUZZ_CHECK(in.dst.port >= policy->port_first &&
		   in.dst.port <= policy->port_last);
	FUZZ_CHECK(in.ecn < 4);
	result = weir_dpdk_hdr_check_source(policy, &in);
	FUZZ_CHECK(result == DPDK_HDR_PACKET || result == DPDK_HDR_BAD_SOURCE);
	look_at_packet(frame + in.offset, in.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };
	uint8_t bits = fuzz_u8(&in), checks = fuzz_u8(&in);
	uint8_t repair = fuzz_u8(&in);
	struct dpdk_hdr_policy policy = make_policy(bits, checks);
	uint32_t len = (uint32_t)fuzz_left(&in);
	uint8_t *frame;

	if (fuzz_left(&in) > FRAME_MAX)
		return 0;
	frame = room + FRAME_MAX - len;
	if (len != 0)
		memcpy(frame, in.at, len);
	if (repair & BARE) {
		repair_wire(frame, len, repair);
		look_at_packet(frame, len);
	} else {
		repair_frame(frame, len, bits, repair);
		look_at_frame(&policy, frame, len);
	}
	return 0;
}
