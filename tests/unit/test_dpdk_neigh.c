/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_neigh: the table of neighbours with a clock of our own and frames
 * from another table, so that both ends are tested at once; ARP and neighbour
 * discovery, with and without a VLAN tag. Frames pass through the parser of
 * dpdk_hdr, as on their way through a port.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dpdk_neigh.h"
#include "frames.h"

#define MS UINT64_C(1000000)

#define IP4 (&frame_kinds[0])
#define IP6 (&frame_kinds[2])

/* Where things stand in a frame without a tag. */
enum {
	ARP_AT = 14,
	IP6_AT = 14,
	ICMP_AT = 54,
	OPTION_AT = 78
};

static const struct rte_ether_addr mac_c = { { 2, 0, 0, 0, 0, 0xc } };

struct two_ends {
	const struct frame_kind *kind;
	struct dpdk_neigh a, b;
};

/* A third address of the same network. */
static struct dpdk_ip
third(const struct frame_kind *kind, uint8_t number)
{
	struct dpdk_ip ip = kind->src.ip;

	ip.bytes[15] = number;
	return ip;
}

static void
begin(struct two_ends *ends, const struct frame_kind *kind)
{
	ends->kind = kind;
	weir_dpdk_neigh_init(&ends->a, &kind->wire, &kind->src.ip,
			     &frame_mac_a);
	weir_dpdk_neigh_init(&ends->b, &kind->wire, &kind->dst.ip,
			     &frame_mac_b);
}

/* Through the parser, as a port does it. @return length of the reply. */
static uint16_t
deliver_at(struct dpdk_neigh *to, uint64_t now_ns, const uint8_t *frame,
	   uint32_t len, uint8_t *reply)
{
	struct dpdk_hdr_policy policy = {
		.mac = to->mac,
		.ip = to->ip,
		.vlan = to->wire.vlan,
		.ether_type = dpdk_ip_is_ip4(&to->ip) ? RTE_ETHER_TYPE_IPV4
						      : RTE_ETHER_TYPE_IPV6
	};
	struct dpdk_hdr_in in;
	struct dpdk_neigh_in it = { .now_ns = now_ns };

	switch (weir_dpdk_hdr_parse(&policy, frame, len, &in)) {
	case DPDK_HDR_ARP:
	case DPDK_HDR_NDP:
		break;
	default:
		return 0;
	}
	it.body = frame + in.offset;
	it.len = in.len;
	it.src_mac = &in.src_mac;
	return dpdk_ip_is_ip4(&to->ip) ? weir_dpdk_neigh_arp(to, &it, reply)
				       : weir_dpdk_neigh_ndp(to, &it, reply);
}

static uint16_t
deliver(struct dpdk_neigh *to, const uint8_t *frame, uint32_t len,
	uint8_t *reply)
{
	return deliver_at(to, 0, frame, len, reply);
}

static void
expect_mac(struct dpdk_neigh *neigh, const struct dpdk_ip *ip, uint64_t now_ns,
	   const struct rte_ether_addr *expected)
{
	struct rte_ether_addr mac, known;

	assert_int_equal(weir_dpdk_neigh_lookup(neigh, ip, now_ns, &mac), 1);
	assert_memory_equal(&mac, expected, sizeof(mac));
	assert_true(weir_dpdk_neigh_known(neigh, ip, &known));
	assert_memory_equal(&known, expected, sizeof(known));
}

/* from's question for ip, made now. @return its length. */
static uint16_t
ask(struct dpdk_neigh *from, const struct dpdk_ip *ip, uint64_t now_ns,
    uint8_t *frame)
{
	struct rte_ether_addr mac;
	uint16_t len;

	assert_int_equal(weir_dpdk_neigh_lookup(from, ip, now_ns, &mac), 0);
	len = weir_dpdk_neigh_poll(from, now_ns, frame);
	assert_int_not_equal(len, 0);
	return len;
}

/* a finds b. */
static void
find_each_other(struct two_ends *ends)
{
	uint8_t question[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	uint8_t none[DPDK_NEIGH_FRAME_MAX];
	struct rte_ether_addr mac;
	uint16_t len;

	assert_false(weir_dpdk_neigh_known(&ends->a, &ends->b.ip, &mac));
	len = ask(&ends->a, &ends->b.ip, 0, question);
	assert_false(weir_dpdk_neigh_known(&ends->a, &ends->b.ip, &mac));
	assert_int_equal(weir_dpdk_neigh_poll(&ends->a, 0, none), 0);
	len = deliver(&ends->b, question, len, reply);
	assert_int_not_equal(len, 0);
	/* To us alone, not to everybody. */
	assert_memory_equal(reply, &frame_mac_a, 6);
	assert_int_equal(deliver(&ends->a, reply, len, none), 0);
	expect_mac(&ends->a, &ends->b.ip, 1 * MS, &frame_mac_b);
}

static void
one_asks_and_the_other_answers(void **state)
{
	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		struct two_ends ends;

		begin(&ends, &frame_kinds[i]);
		find_each_other(&ends);
		assert_int_equal(weir_dpdk_neigh_deadline_ns(&ends.a),
				 UINT64_MAX);
		assert_int_equal(ends.a.generation, 1);
		assert_int_equal(ends.a.counts[DPDK_NEIGH_LEARNED], 1);
		/* b was asked by a stranger, and has learned nothing. */
		assert_int_equal(ends.b.generation, 0);
		assert_int_equal(ends.b.counts[DPDK_NEIGH_ANSWER], 1);
	}
}

/* text: hexadecimal digits, and blanks for the reader. */
static void
expect_bytes(const uint8_t *frame, uint16_t len, const char *text)
{
	uint16_t at = 0;
	unsigned int byte;

	for (; *text != '\0'; text += 2) {
		text += strspn(text, " ");
		assert_true(at < len);
		assert_int_equal(sscanf(text, "%2x", &byte), 1);
		if (frame[at] != byte)
			fail_msg("byte %u is %02x, not %02x", at, frame[at],
				 byte);
		at++;
	}
	assert_int_equal(at, len);
}

static void
arp_is_what_rfc_826_draws(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;

	(void)state;
	begin(&ends, IP4);
	expect_bytes(frame, ask(&ends.a, &ends.b.ip, 0, frame),
		     "ffffffffffff 02000000000a 0806"
		     "0001 0800 06 04 0001"
		     "02000000000a 0a070001 000000000000 0a070002"
		     "000000000000000000000000000000000000");
}

/* Checksums were computed with another tool. */
static void
ndp_is_what_rfc_4861_draws(void **state)
{
	static const uint8_t expected_group[6] = { 0x33, 0x33, 0xff, 13, 1, 2 };
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct rte_ether_addr group;
	struct two_ends ends;
	uint16_t len;

	(void)state;
	begin(&ends, IP6);
	len = ask(&ends.a, &ends.b.ip, 0, frame);
	/* To the group of those like b; who has its address? We have ... */
	expect_bytes(frame, len,
		     "3333ff0d0102 02000000000a 86dd"
		     "60000000 0020 3a ff"
		     "fd0102030405060708090a0b0c0d0101"
		     "ff0200000000000000000001ff0d0102"
		     "87 00 261f 00000000"
		     "fd0102030405060708090a0b0c0d0102"
		     "01 01 02000000000a");
	/* Back to a alone: asked for, and replaces what you know. */
	len = deliver(&ends.b, frame, len, reply);
	expect_bytes(reply, len,
		     "02000000000a 02000000000b 86dd"
		     "60000000 0020 3a ff"
		     "fd0102030405060708090a0b0c0d0102"
		     "fd0102030405060708090a0b0c0d0101"
		     "88 00 9afd 60000000"
		     "fd0102030405060708090a0b0c0d0102"
		     "02 01 02000000000b");
	/* What the device must let through. */
	weir_dpdk_neigh_group(&ends.b.ip, &group);
	assert_memory_equal(&group, expected_group, sizeof(group));
}

static void
silence_is_unreachable_after_three_tries(void **state)
{
	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		uint8_t frame[DPDK_NEIGH_FRAME_MAX];
		struct dpdk_ip ip = third(&frame_kinds[i], 9);
		struct rte_ether_addr mac;
		uint64_t now_ns = 5 * MS;
		struct two_ends ends;
		int asked = 0;

		begin(&ends, &frame_kinds[i]);
		assert_int_equal(
			weir_dpdk_neigh_lookup(&ends.a, &ip, now_ns, &mac), 0);
		while (weir_dpdk_neigh_deadline_ns(&ends.a) != UINT64_MAX) {
			assert_true(weir_dpdk_neigh_deadline_ns(&ends.a) >=
				    now_ns);
			now_ns = weir_dpdk_neigh_deadline_ns(&ends.a);
			asked += weir_dpdk_neigh_poll(&ends.a, now_ns, frame) !=
				 0;
		}
		assert_int_equal(asked, DPDK_NEIGH_TRIES);
		assert_int_equal(now_ns, 305 * MS);
		assert_int_equal(
			weir_dpdk_neigh_lookup(&ends.a, &ip, now_ns, &mac),
			-EHOSTUNREACH);
		/* Later it is worth asking again. */
		ask(&ends.a, &ip, now_ns + DPDK_NEIGH_FAILED_NS, frame);
	}
}

/* ---- trust ---------------------------------------------------------------------- */

/* from answers to without having been asked: "ip, which is mine". */
static uint16_t
announce(struct dpdk_neigh *from, struct dpdk_neigh *to, uint8_t *frame)
{
	uint8_t question[DPDK_NEIGH_FRAME_MAX];
	struct dpdk_neigh asker;
	uint16_t len;

	weir_dpdk_neigh_init(&asker, &to->wire, &to->ip, &to->mac);
	len = ask(&asker, &from->ip, 0, question);
	len = deliver(from, question, len, frame);
	assert_int_not_equal(len, 0);
	return len;
}

static void
an_unasked_answer_teaches_nothing(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;

	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		uint16_t len;

		begin(&ends, &frame_kinds[i]);
		len = announce(&ends.b, &ends.a, frame);
		assert_int_equal(deliver(&ends.a, frame, len, reply), 0);
		assert_int_equal(ends.a.counts[DPDK_NEIGH_UNASKED], 1);
		assert_int_equal(ends.a.generation, 0);
		for (int e = 0; e < DPDK_NEIGH_ENTRIES; e++)
			assert_int_equal(ends.a.entries[e].state,
					 DPDK_NEIGH_FREE);
	}
}

static void
a_late_answer_is_unasked(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct rte_ether_addr mac;
	struct two_ends ends;
	uint64_t now_ns = 0;
	uint16_t len;

	(void)state;
	begin(&ends, IP6);
	assert_int_equal(weir_dpdk_neigh_lookup(&ends.a, &ends.b.ip, 0, &mac),
			 0);
	for (; weir_dpdk_neigh_deadline_ns(&ends.a) != UINT64_MAX;
	     now_ns += 100 * MS)
		weir_dpdk_neigh_poll(&ends.a, now_ns, frame);
	len = announce(&ends.b, &ends.a, frame);
	deliver_at(&ends.a, now_ns, frame, len, reply);
	assert_int_equal(ends.a.counts[DPDK_NEIGH_UNASKED], 1);
	assert_false(weir_dpdk_neigh_known(&ends.a, &ends.b.ip, &mac));
}

static void
a_static_entry_is_never_overwritten(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;

	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		uint16_t len;

		begin(&ends, &frame_kinds[i]);
		assert_int_equal(
			weir_dpdk_neigh_add_static(&ends.a, &ends.b.ip, &mac_c),
			0);
		len = announce(&ends.b, &ends.a, frame);
		deliver(&ends.a, frame, len, reply);
		assert_int_equal(ends.a.counts[DPDK_NEIGH_PINNED], 1);
		/* Nor by a question. */
		len = ask(&ends.b, &ends.a.ip, 0, frame);
		assert_int_not_equal(deliver(&ends.a, frame, len, reply), 0);
		assert_int_equal(ends.a.counts[DPDK_NEIGH_PINNED], 2);
		expect_mac(&ends.a, &ends.b.ip, 60000 * MS, &mac_c);
		assert_int_equal(weir_dpdk_neigh_deadline_ns(&ends.a),
				 UINT64_MAX);
	}
}

static void
a_known_peer_may_move(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;
	struct dpdk_neigh moved;

	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		uint16_t len;

		begin(&ends, &frame_kinds[i]);
		find_each_other(&ends);
		weir_dpdk_neigh_init(&moved, &ends.b.wire, &ends.b.ip, &mac_c);
		len = announce(&moved, &ends.a, frame);
		deliver(&ends.a, frame, len, reply);
		expect_mac(&ends.a, &ends.b.ip, 0, &mac_c);
		assert_int_equal(ends.a.generation, 2);
		/* And say so by asking. */
		len = ask(&ends.b, &ends.a.ip, 0, frame);
		deliver(&ends.a, frame, len, reply);
		expect_mac(&ends.a, &ends.b.ip, 0, &frame_mac_b);
		assert_int_equal(ends.a.generation, 3);
	}
}

static void
only_our_own_address_is_answered(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;

	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		struct dpdk_ip other = third(&frame_kinds[i], 9);
		uint16_t len;

		begin(&ends, &frame_kinds[i]);
		len = ask(&ends.a, &other, 0, frame);
		assert_int_equal(deliver(&ends.b, frame, len, reply), 0);
		/* Our own frame, come back: a loop, or somebody has our
		 * address. */
		assert_int_equal(deliver(&ends.a, frame, len, reply), 0);
	}
}

static void
who_says_to_be_us_is_a_conflict(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;
	struct dpdk_neigh thief;

	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		uint16_t len;

		begin(&ends, &frame_kinds[i]);
		weir_dpdk_neigh_init(&thief, &ends.a.wire, &ends.a.ip, &mac_c);
		/* "Who has my own address?" tells everybody who has it. */
		len = ask(&thief, &thief.ip, 0, frame);
		assert_int_equal(deliver(&ends.a, frame, len, reply), 0);
		assert_int_equal(ends.a.counts[DPDK_NEIGH_CONFLICT], 1);
		assert_int_equal(ends.a.generation, 0);
	}
}

static void
questions_are_answered_at_a_limited_rate(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;

	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		const uint64_t start_ns = 7 * DPDK_NEIGH_WINDOW_NS;
		uint16_t len;

		begin(&ends, &frame_kinds[i]);
		len = ask(&ends.a, &ends.b.ip, 0, frame);
		for (int n = 0; n < 1000; n++)
			assert_int_equal(deliver_at(&ends.b, start_ns, frame,
						    len, reply) != 0,
					 n < DPDK_NEIGH_ANSWERS);
		assert_int_equal(ends.b.counts[DPDK_NEIGH_LIMITED],
				 1000 - DPDK_NEIGH_ANSWERS);
		assert_int_not_equal(deliver_at(&ends.b,
						start_ns + DPDK_NEIGH_WINDOW_NS,
						frame, len, reply),
				     0);
	}
}

/* ---- time ----------------------------------------------------------------------- */

static void
what_is_known_is_asked_again_when_it_is_old(void **state)
{
	(void)state;
	for (size_t i = 0; i < FRAME_KINDS; i++) {
		uint8_t frame[DPDK_NEIGH_FRAME_MAX];
		uint8_t reply[DPDK_NEIGH_FRAME_MAX];
		uint64_t now_ns = DPDK_NEIGH_FRESH_NS;
		struct rte_ether_addr mac;
		struct two_ends ends;
		uint16_t len;

		begin(&ends, &frame_kinds[i]);
		find_each_other(&ends);
		expect_mac(&ends.a, &ends.b.ip, now_ns - 1, &frame_mac_b);
		assert_int_equal(weir_dpdk_neigh_deadline_ns(&ends.a),
				 UINT64_MAX);
		/* In use while it is asked for. */
		expect_mac(&ends.a, &ends.b.ip, now_ns, &frame_mac_b);
		len = weir_dpdk_neigh_poll(&ends.a, now_ns, frame);
		assert_int_not_equal(len, 0);
		len = deliver(&ends.b, frame, len, reply);
		deliver_at(&ends.a, now_ns, reply, len, frame);
		assert_int_equal(ends.a.counts[DPDK_NEIGH_CONFIRMED], 1);
		assert_int_equal(ends.a.generation, 1);
		expect_mac(&ends.a, &ends.b.ip, 2 * now_ns - 1, &frame_mac_b);
		assert_int_equal(weir_dpdk_neigh_deadline_ns(&ends.a),
				 UINT64_MAX);
		/* And forgotten if nobody answers any more. */
		expect_mac(&ends.a, &ends.b.ip, 2 * now_ns, &frame_mac_b);
		for (int n = 0; n <= DPDK_NEIGH_TRIES; n++)
			assert_int_equal(
				weir_dpdk_neigh_poll(&ends.a,
						     2 * now_ns + n * 100 * MS,
						     frame) != 0,
				n < DPDK_NEIGH_TRIES);
		assert_int_equal(weir_dpdk_neigh_lookup(&ends.a, &ends.b.ip,
							2 * now_ns + 301 * MS,
							&mac),
				 -EHOSTUNREACH);
	}
}

static void
a_full_table_forgets_who_was_not_asked_for_longest(void **state)
{
	struct dpdk_ip first = third(IP4, 0), second = third(IP4, 1);
	struct two_ends ends;
	struct dpdk_neigh *b = &ends.b;
	struct rte_ether_addr mac;

	(void)state;
	begin(&ends, IP4);
	first.bytes[14] = second.bytes[14] = 1;
	for (int i = 0; i < DPDK_NEIGH_ENTRIES; i++) {
		struct dpdk_ip ip = first;

		ip.bytes[15] = (uint8_t)i;
		assert_int_equal(
			weir_dpdk_neigh_lookup(b, &ip, (uint64_t)i, &mac), 0);
	}
	/* Nobody may be pushed out while being asked for. */
	assert_int_equal(weir_dpdk_neigh_lookup(b, &ends.a.ip, 100, &mac),
			 -ENOSPC);
	assert_int_equal(
		weir_dpdk_neigh_add_static(b, &ends.a.ip, &frame_mac_a),
		-ENOSPC);
	for (int i = 0; i < DPDK_NEIGH_ENTRIES; i++) {
		b->entries[i].state = DPDK_NEIGH_KNOWN;
		b->entries[i].next_ns = UINT64_MAX;
		b->entries[i].mac = mac_c;
	}
	expect_mac(b, &first, 200, &mac_c);
	assert_int_equal(weir_dpdk_neigh_lookup(b, &ends.a.ip, 201, &mac), 0);
	expect_mac(b, &first, 202, &mac_c);
	assert_false(weir_dpdk_neigh_known(b, &second, &mac));
}

/* ---- malformed ------------------------------------------------------------------ */

static void
malformed_arp_does_nothing(void **state)
{
	static const struct {
		int at;
		uint8_t flip;
		enum dpdk_neigh_result result;
	} table[] = {
		{ ARP_AT + 0, 1, DPDK_NEIGH_BAD_FIELD }, /* hardware */
		{ ARP_AT + 1, 1, DPDK_NEIGH_BAD_FIELD },
		{ ARP_AT + 2, 1, DPDK_NEIGH_BAD_FIELD }, /* protocol */
		{ ARP_AT + 3, 1, DPDK_NEIGH_BAD_FIELD },
		{ ARP_AT + 4, 1, DPDK_NEIGH_BAD_FIELD }, /* lengths */
		{ ARP_AT + 5, 1, DPDK_NEIGH_BAD_FIELD },
		{ ARP_AT + 6, 1, DPDK_NEIGH_BAD_FIELD }, /* opcode */
		{ ARP_AT + 7, 1, DPDK_NEIGH_BAD_FIELD },
		{ ARP_AT + 7, 2, DPDK_NEIGH_BAD_FIELD },
		{ ARP_AT + 8, 1, DPDK_NEIGH_BAD_SENDER }, /* MAC */
		{ 11, 1, DPDK_NEIGH_BAD_SENDER },
		{ ARP_AT + 14, 0xe0, DPDK_NEIGH_BAD_FIELD }, /* a group's IP */
	};
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;
	uint16_t len;

	(void)state;
	begin(&ends, IP4);
	len = ask(&ends.a, &ends.b.ip, 0, frame);
	for (uint32_t cut = ARP_AT; cut < ARP_AT + 28; cut++)
		assert_int_equal(deliver(&ends.b, frame, cut, reply), 0);
	assert_int_equal(ends.b.counts[DPDK_NEIGH_SHORT], 28);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint64_t before = ends.b.counts[table[i].result];

		frame[table[i].at] ^= table[i].flip;
		assert_int_equal(deliver(&ends.b, frame, len, reply), 0);
		assert_int_equal(ends.b.counts[table[i].result], before + 1);
		frame[table[i].at] ^= table[i].flip;
	}
	/* A group as both: the frame's source and the sender's. */
	frame[6] |= 1;
	frame[ARP_AT + 8] |= 1;
	assert_int_equal(deliver(&ends.b, frame, len, reply), 0);
	frame[6] ^= 1;
	frame[ARP_AT + 8] ^= 1;
	assert_int_not_equal(deliver(&ends.b, frame, len, reply), 0);
}

/* Who tests whether an address is free has none: RFC 5227. */
static void
an_arp_probe_is_answered(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;
	uint16_t len;

	(void)state;
	begin(&ends, IP4);
	len = ask(&ends.a, &ends.b.ip, 0, frame);
	memset(frame + ARP_AT + 14, 0, 4);
	assert_int_not_equal(deliver(&ends.b, frame, len, reply), 0);
	assert_int_equal(ends.b.generation, 0);
}

/* Make the checksum right again. */
static void
seal(uint8_t *frame)
{
	uint16_t len = (uint16_t)(frame[IP6_AT + 4] << 8 | frame[IP6_AT + 5]);
	uint16_t sum;

	memset(frame + ICMP_AT + 2, 0, 2);
	sum = weir_dpdk_hdr_ip6_cksum(frame + IP6_AT, frame + ICMP_AT, len, 58);
	memcpy(frame + ICMP_AT + 2, &sum, 2);
}

static struct two_ends ndp;
static uint8_t ndp_frame[DPDK_NEIGH_FRAME_MAX + 16];

/* A fresh question of a to b, or answer of b to a whom a has asked. */
static void
fresh(bool question)
{
	uint8_t other[DPDK_NEIGH_FRAME_MAX];
	uint16_t len;

	begin(&ndp, IP6);
	memset(ndp_frame, 0, sizeof(ndp_frame));
	len = ask(&ndp.a, &ndp.b.ip, 0, question ? ndp_frame : other);
	if (!question)
		deliver(&ndp.b, other, len, ndp_frame);
}

#define REFUSED(question, change, result)                            \
	do {                                                         \
		uint8_t *f = ndp_frame, reply[DPDK_NEIGH_FRAME_MAX]; \
		struct dpdk_neigh *to;                               \
		uint32_t len = 86;                                   \
		fresh(question);                                     \
		to = (question) ? &ndp.b : &ndp.a;                   \
		change;                                              \
		if ((result) != DPDK_NEIGH_CKSUM)                    \
			seal(f);                                     \
		assert_int_equal(deliver(to, f, len, reply), 0);     \
		assert_int_equal(to->counts[result], 1);             \
		assert_int_equal(to->generation, 0);                 \
	} while (0)

static void
malformed_solicitations_do_nothing(void **state)
{
	(void)state;
	REFUSED(true, f[IP6_AT + 7] = 254, DPDK_NEIGH_HOPS);
	REFUSED(true, f[ICMP_AT + 3] ^= 1, DPDK_NEIGH_CKSUM);
	REFUSED(true, f[OPTION_AT + 7] ^= 1, DPDK_NEIGH_CKSUM);
	REFUSED(true, f[ICMP_AT + 1] = 1, DPDK_NEIGH_BAD_FIELD);
	REFUSED(true, f[IP6_AT + 5] = 23, DPDK_NEIGH_SHORT);
	/* Options: of no length, beyond the end, half of one, too long. */
	REFUSED(true, f[OPTION_AT + 1] = 0, DPDK_NEIGH_OPTION);
	REFUSED(true, f[OPTION_AT + 1] = 2, DPDK_NEIGH_OPTION);
	REFUSED(true, f[IP6_AT + 5] = 25, DPDK_NEIGH_OPTION);
	REFUSED(true, f[IP6_AT + 5] = 28, DPDK_NEIGH_OPTION);
	REFUSED(true, (f[IP6_AT + 5] = 40, f[OPTION_AT + 1] = 2, len = 94),
		DPDK_NEIGH_OPTION);
	REFUSED(true, (f[IP6_AT + 5] = 40, len = 94), DPDK_NEIGH_OPTION);
	/* A target that nobody can have. */
	REFUSED(true, f[ICMP_AT + 8] = 0xff, DPDK_NEIGH_BAD_FIELD);
	REFUSED(true, memset(f + ICMP_AT + 8, 0, 16), DPDK_NEIGH_BAD_FIELD);
	/* Senders: a group, another station than the option says, IPv4. */
	REFUSED(true, f[IP6_AT + 8] = 0xff, DPDK_NEIGH_BAD_SENDER);
	REFUSED(true, f[OPTION_AT + 7] = 0x77, DPDK_NEIGH_BAD_SENDER);
	REFUSED(true, f[11] = 0x77, DPDK_NEIGH_BAD_SENDER);
	REFUSED(true, (f[6] |= 1, f[OPTION_AT + 2] |= 1),
		DPDK_NEIGH_BAD_SENDER);
	REFUSED(true, memcpy(f + IP6_AT + 8, &IP4->src.ip, 16),
		DPDK_NEIGH_BAD_SENDER);
	/* From nobody, with a MAC; and to us alone. */
	REFUSED(true, memset(f + IP6_AT + 8, 0, 16), DPDK_NEIGH_BAD_FIELD);
	REFUSED(true,
		(memset(f + IP6_AT + 8, 0, 16), f[IP6_AT + 5] = 24, len = 78,
		 memcpy(f + IP6_AT + 24, &ndp.b.ip, 16)),
		DPDK_NEIGH_BAD_FIELD);
	REFUSED(true, f[ICMP_AT + 23] ^= 1, DPDK_NEIGH_NOT_US);
}

static void
malformed_advertisements_do_nothing(void **state)
{
	static const uint8_t all[16] = { 0xff, 2, [15] = 1 };

	(void)state;
	REFUSED(false, f[IP6_AT + 7] = 64, DPDK_NEIGH_HOPS);
	REFUSED(false, f[ICMP_AT + 2] ^= 1, DPDK_NEIGH_CKSUM);
	REFUSED(false, f[ICMP_AT + 1] = 1, DPDK_NEIGH_BAD_FIELD);
	REFUSED(false, f[OPTION_AT + 1] = 0, DPDK_NEIGH_OPTION);
	REFUSED(false, f[OPTION_AT + 1] = 255, DPDK_NEIGH_OPTION);
	REFUSED(false, f[ICMP_AT + 8] = 0xff, DPDK_NEIGH_BAD_FIELD);
	REFUSED(false, f[OPTION_AT + 7] = 0x77, DPDK_NEIGH_BAD_SENDER);
	REFUSED(false, memset(f + IP6_AT + 8, 0, 16), DPDK_NEIGH_BAD_SENDER);
	/* To everybody, and yet as asked. */
	REFUSED(false, memcpy(f + IP6_AT + 24, all, 16), DPDK_NEIGH_BAD_FIELD);
	REFUSED(false, f[ICMP_AT + 23] = 1, DPDK_NEIGH_CONFLICT);
	REFUSED(false, f[ICMP_AT + 23] = 9, DPDK_NEIGH_UNASKED);
}

/* RFC 4861 7.2.5: without that flag it does not replace another MAC. */
static void
an_advertisement_overrides_only_if_it_says_so(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;
	struct dpdk_neigh moved;
	uint16_t len;

	(void)state;
	begin(&ends, IP6);
	find_each_other(&ends);
	weir_dpdk_neigh_init(&moved, &ends.b.wire, &ends.b.ip, &mac_c);
	len = announce(&moved, &ends.a, frame);
	frame[ICMP_AT + 4] &= (uint8_t)~0x20;
	seal(frame);
	deliver(&ends.a, frame, len, reply);
	expect_mac(&ends.a, &ends.b.ip, 0, &frame_mac_b);
	assert_int_equal(ends.a.counts[DPDK_NEIGH_UNASKED], 1);
}

/* A question without that option tells no MAC, whoever sent the frame. */
static void
a_question_without_a_mac_teaches_nothing(void **state)
{
	uint8_t frame[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;
	struct dpdk_neigh moved;

	(void)state;
	begin(&ends, IP6);
	find_each_other(&ends);
	weir_dpdk_neigh_init(&moved, &ends.b.wire, &ends.b.ip, &mac_c);
	ask(&moved, &ends.a.ip, 0, frame);
	frame[IP6_AT + 5] = 24;
	seal(frame);
	assert_int_not_equal(deliver(&ends.a, frame, 78, reply), 0);
	expect_mac(&ends.a, &ends.b.ip, 0, &frame_mac_b);
}

/* Every length of the message, in memory that ends with it. */
static void
options_end_before_the_message_does(void **state)
{
	uint8_t reply[DPDK_NEIGH_FRAME_MAX];

	(void)state;
	for (uint8_t len = 24; len <= 32; len++) {
		struct dpdk_neigh_in in = { .src_mac = &frame_mac_a };
		uint8_t *copy;

		fresh(true);
		ndp_frame[IP6_AT + 5] = len;
		seal(ndp_frame);
		in.len = 40u + len;
		copy = malloc(in.len);
		assert_non_null(copy);
		memcpy(copy, ndp_frame + IP6_AT, in.len);
		in.body = copy;
		assert_int_equal(weir_dpdk_neigh_ndp(&ndp.b, &in, reply) != 0,
				 len == 24 || len == 32);
		assert_int_equal(ndp.b.counts[DPDK_NEIGH_OPTION],
				 len != 24 && len != 32);
		free(copy);
	}
}

/* RFC 4862: the answer to who has no address yet goes to all nodes. */
static void
a_test_for_duplicates_is_answered(void **state)
{
	static const uint8_t all[16] = { 0xff, 2, [15] = 1 };
	static const uint8_t all_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
	uint8_t reply[DPDK_NEIGH_FRAME_MAX], none[DPDK_NEIGH_FRAME_MAX];
	uint16_t len;

	(void)state;
	fresh(true);
	memset(ndp_frame + IP6_AT + 8, 0, 16);
	ndp_frame[IP6_AT + 5] = 24;
	seal(ndp_frame);
	len = deliver(&ndp.b, ndp_frame, 78, reply);
	assert_int_equal(len, 86);
	assert_memory_equal(reply, all_mac, sizeof(all_mac));
	assert_memory_equal(reply + IP6_AT + 24, all, sizeof(all));
	assert_int_equal(reply[ICMP_AT + 4], 0x20);
	/* And that answer is one that others take in. */
	assert_int_equal(deliver(&ndp.a, reply, len, none), 0);
	assert_int_equal(ndp.a.counts[DPDK_NEIGH_LEARNED], 1);
}

/* Cut anywhere and with a byte changed: nothing is read beyond the end, and
 * what nobody asked for teaches nothing. */
static void
noise_teaches_nothing(void **state)
{
	uint8_t arp[DPDK_NEIGH_FRAME_MAX], reply[DPDK_NEIGH_FRAME_MAX];
	struct two_ends ends;

	(void)state;
	begin(&ends, IP4);
	ask(&ends.a, &ends.b.ip, 0, arp);
	srand(11);
	for (int i = 0; i < 100000; i++) {
		bool ip4 = i % 4 == 0;
		uint32_t len = (uint32_t)rand() % 76;
		uint8_t *body = malloc(len > 0 ? len : 1);
		struct dpdk_neigh_in in = { body, len, &frame_mac_a, 0 };

		assert_non_null(body);
		begin(&ends, ip4 ? IP4 : IP6);
		fresh(i % 4 == 1);
		memcpy(body, (ip4 ? arp : ndp_frame) + 14, len);
		if (len > 0)
			body[(uint32_t)rand() % len] ^=
				(uint8_t)(1 + rand() % 255);
		if (ip4)
			weir_dpdk_neigh_arp(&ends.b, &in, reply);
		else
			weir_dpdk_neigh_ndp(&ends.b, &in, reply);
		assert_int_equal(ends.b.generation, 0);
		free(body);
	}
}

static void
results_have_names_of_their_own(void **state)
{
	(void)state;
	for (int i = 0; i < DPDK_NEIGH_RESULTS; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(weir_dpdk_neigh_result_name(i),
						weir_dpdk_neigh_result_name(j));
	assert_string_equal(weir_dpdk_neigh_result_name(DPDK_NEIGH_RESULTS),
			    "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_asks_and_the_other_answers),
		cmocka_unit_test(arp_is_what_rfc_826_draws),
		cmocka_unit_test(ndp_is_what_rfc_4861_draws),
		cmocka_unit_test(silence_is_unreachable_after_three_tries),
		cmocka_unit_test(an_unasked_answer_teaches_nothing),
		cmocka_unit_test(a_late_answer_is_unasked),
		cmocka_unit_test(a_static_entry_is_never_overwritten),
		cmocka_unit_test(a_known_peer_may_move),
		cmocka_unit_test(only_our_own_address_is_answered),
		cmocka_unit_test(who_says_to_be_us_is_a_conflict),
		cmocka_unit_test(questions_are_answered_at_a_limited_rate),
		cmocka_unit_test(what_is_known_is_asked_again_when_it_is_old),
		cmocka_unit_test(
			a_full_table_forgets_who_was_not_asked_for_longest),
		cmocka_unit_test(malformed_arp_does_nothing),
		cmocka_unit_test(an_arp_probe_is_answered),
		cmocka_unit_test(malformed_solicitations_do_nothing),
		cmocka_unit_test(malformed_advertisements_do_nothing),
		cmocka_unit_test(an_advertisement_overrides_only_if_it_says_so),
		cmocka_unit_test(a_question_without_a_mac_teaches_nothing),
		cmocka_unit_test(options_end_before_the_message_does),
		cmocka_unit_test(a_test_for_duplicates_is_answered),
		cmocka_unit_test(noise_teaches_nothing),
		cmocka_unit_test(results_have_names_of_their_own),
	};

	return cmocka_run_group_tests_name("dpdk_neigh", tests, NULL, NULL);
}
