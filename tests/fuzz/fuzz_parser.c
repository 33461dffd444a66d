/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Frames: whatever a wire may bring, through the headers of dpdk_hdr into
 * the decoder.
 *
 *     policy 1 | repair 1 | frame ...
 *
 * Without repair hardly any input would pass the checksums; its bits say
 * which fields are made right before the frame is looked at.
 */
#include <stdbool.h>
#include <string.h>
#include "dpdk_hdr.h"
#include "fuzz.h"
#include "wire.h"

#define FRAME_MAX 2048
#define L2        14
#define IP4       20

enum {
	REPAIR_ETHER = 1,
	REPAIR_IP = 2,
	REPAIR_IP_SUM = 4,
	REPAIR_UDP = 8,
	REPAIR_UDP_SUM = 16,
	REPAIR_WIRE = 32, /* version, type and header length */
	BARE = 64,        /* no headers: the packet alone */
};

static const uint8_t our_mac[6] = { 2, 0, 0, 0, 0, 1 };

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
repair_wire(uint8_t *packet, uint32_t len)
{
	uint32_t words;

	if (len < WIRE_HDR_LEN)
		return;
	packet[0] = (uint8_t)(WIRE_VERSION_MAX << 4 | (packet[0] & 15));
	words = WIRE_HDR_LEN / 8 + packet[2] % 27;
	packet[2] = (uint8_t)(words * 8 <= len ? words : len / 8);
}

static void
repair_ip(uint8_t *frame, uint32_t len, uint8_t repair)
{
	uint8_t *ip = frame + L2;

	if (repair & REPAIR_ETHER) {
		memcpy(frame, our_mac, sizeof(our_mac));
		put_be16(frame + 12, 0x0800);
	}
	if (repair & REPAIR_IP) {
		ip[0] = 0x45;
		put_be16(ip + 2, len - L2);
		put_be16(ip + 6, 0x4000);
		ip[9] = 17;
	}
	if (repair & REPAIR_UDP) {
		put_be16(ip + IP4 + 2, 7400);
		put_be16(ip + IP4 + 4, len - L2 - IP4);
	}
	if (repair & REPAIR_IP_SUM) {
		put_be16(ip + 10, 0);
		put_be16(ip + 10, folded(sum16(ip, IP4, 0)));
	}
	if (repair & REPAIR_UDP_SUM) {
		uint32_t udp_len = len - L2 - IP4;
		uint32_t sum = sum16(ip + 12, 8, 17 + udp_len);

		put_be16(ip + IP4 + 6, 0);
		put_be16(ip + IP4 + 6, folded(sum16(ip + IP4, udp_len, sum)));
	}
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
	FUZZ_CHECK(hdr.sack_words <= WIRE_SACK_MAX);
	for (uint32_t i = 0; i < hdr.payload_len; i++)
		sum += hdr.payload[i];
	for (uint32_t i = 0; i < hdr.sack_words; i++)
		sum += weir_wire_get_sack(hdr.sack, i);
	if (hdr.params != NULL) {
		struct wire_params params;
		uint8_t copy[256];

		weir_wire_get_params(hdr.params, &params);
		weir_wire_put_params(&params, copy);
		/* Reserved words apart, what is read is what was written. */
		FUZZ_CHECK(memcmp(copy + 2, hdr.params + 2, 66) == 0);
	}
	if (hdr.error != NULL) {
		struct wire_error_info error;

		weir_wire_get_error(hdr.error, &error);
		sum += error.code;
	}
	FUZZ_CHECK(weir_wire_type_name(wire_hdr_type(&hdr)) != NULL);
	weir_wire_encode(&hdr, again);
	FUZZ_CHECK(memcmp(again, packet, WIRE_HDR_LEN) == 0);
	__asm__ volatile("" : : "r"(sum));
}

static void
look_at_frame(uint8_t policy_bits, const uint8_t *frame, uint32_t len)
{
	struct dpdk_hdr_policy policy = {
		.any_mac = policy_bits & 1,
		.port_first = 7400,
		.port_last = policy_bits & 2 ? 7400 : 65535,
		.ip_check = (enum dpdk_hdr_check)(policy_bits >> 2 & 3),
		.udp_check = (enum dpdk_hdr_check)(policy_bits >> 4 & 3),
		.udp_zero_ok = policy_bits >> 6 & 1,
	};
	struct dpdk_hdr_in in;
	enum dpdk_hdr_result result;

	memcpy(&policy.mac, our_mac, sizeof(our_mac));
	result = weir_dpdk_hdr_parse(&policy, frame, len, &in);
	FUZZ_CHECK(result < DPDK_HDR_RESULTS);
	FUZZ_CHECK(weir_dpdk_hdr_result_name(result) != NULL);
	if (result != DPDK_HDR_PACKET)
		return;
	FUZZ_CHECK((uint32_t)in.offset + in.len <= len);
	FUZZ_CHECK(in.dst.port >= 7400);
	look_at_packet(frame + in.offset, in.len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };
	uint8_t policy = fuzz_u8(&in), repair = fuzz_u8(&in);
	uint32_t len = (uint32_t)fuzz_left(&in);
	uint8_t *frame;

	if (fuzz_left(&in) > FRAME_MAX)
		return 0;
	frame = room + FRAME_MAX - len;
	memcpy(frame, in.at, len);
	if (repair & BARE) {
		if (repair & REPAIR_WIRE)
			repair_wire(frame, len);
		look_at_packet(frame, len);
		return 0;
	}
	if (len >= L2 + IP4 + 8) {
		if (repair & REPAIR_WIRE)
			repair_wire(frame + L2 + IP4 + 8, len - L2 - IP4 - 8);
		repair_ip(frame, len, repair);
	}
	look_at_frame(policy, frame, len);
	return 0;
}
