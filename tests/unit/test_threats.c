/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a stranger or a hostile peer can try against the protocol itself; the
 * table in docs/SECURITY.md names these tests. Allocations of everything that
 * is linked here are counted.
 *
 *     WEIR_CHECK_LONG=1   10^8 forged packets instead of 10^6
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "conn_impl.h"
#include "conn_pair.h"
#include "listen.h"

static uint64_t allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

void *
__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	return __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
	allocations++;
	return __real_realloc(old, size);
}

void *
__wrap_aligned_alloc(size_t align, size_t size)
{
	allocations++;
	return __real_aligned_alloc(align, size);
}

static uint64_t
next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* --- INIT flood ------------------------------------------------------- */

static uint32_t
make_init(uint64_t *random, uint8_t packet[WIRE_INIT_LEN])
{
	struct wire_params params = {
		.token = next_random(random) | 1,
		.features = next_random(random) & 15,
		.instance = next_random(random),
		.epoch = next_random(random),
		.isn = (uint32_t)next_random(random),
		.frag_size = 1400,
		.window_packets = 256,
		.credit_msgs = 256,
		.msg_size_max = 65536,
		.modes = WIRE_MODE_BARE,
		.version_min = 1,
		.version_max = 1,
	};
	struct wire_hdr hdr = {
		.vt = WIRE_VERSION_MAX << 4 | WIRE_INIT,
		.hlen = (WIRE_HDR_LEN + WIRE_PARAMS_LEN + COOKIE_LEN) / 8,
		.seq = params.isn,
	};
	uint8_t *cookie = packet + WIRE_HDR_LEN + WIRE_PARAMS_LEN;

	memset(packet, 0, WIRE_INIT_LEN);
	weir_wire_encode(&hdr, packet);
	weir_wire_put_params(&params, packet + WIRE_HDR_LEN);
	/* A guess is as good as any. */
	for (int i = 0; i < COOKIE_LEN; i += 8)
		siphash_store(cookie + i, next_random(random));
	cookie[0] = WIRE_EXT_COOKIE;
	cookie[1] = COOKIE_LEN / 8;
	cookie[2] = 1;
	cookie[3] = 0;
	siphash_store(cookie + 4, 77 | (uint64_t)next_random(random) << 32);
	return WIRE_INIT_LEN;
}

static void
a_million_inits_allocate_nothing_and_amplify_nothing(void **state)
{
	uint64_t random = 1, before, in = 0, out = 0;
	uint8_t packet[WIRE_INIT_LEN], addr[40];
	struct listen listen = { 0 };
	struct conn_config policy;
	struct listen_door door = { .policy = &policy,
				    .open = true,
				    .cookie = LISTEN_COOKIE_ALWAYS };

	(void)state;
	weir_conn_config_init(&policy);
	policy.token = 1;
	weir_cookie_rotate(&listen.keys, (struct siphash_key){ { 1, 2 } });
	before = allocations;
	for (int i = 0; i < 1000000; i++) {
		const struct listen_known known = { 0 };
		struct listen_visit visit;
		struct wire_hdr hdr;

		for (size_t b = 0; b < sizeof(addr); b += 8)
			siphash_store(addr + b, next_random(&random));
		visit = (struct listen_visit){
			.hdr = &hdr,
			.len = make_init(&random, packet),
			.addr = addr,
			.addr_len = sizeof(addr),
			.now_ns = 77 * S + (uint64_t)i,
		};
		assert_int_equal(weir_wire_decode(packet, visit.len, &hdr),
				 WIRE_OK);
		assert_int_equal(weir_listen_read(&listen, &door, &visit),
				 LISTEN_LOOK);
		assert_int_equal(
			weir_listen_judge(&listen, &door, &visit, &known),
			LISTEN_ANSWER);
		weir_listen_sent(&listen, &visit);
		in += visit.len;
		out += visit.answer_len;
	}
	assert_int_equal(allocations, before);
	assert_int_equal(listen.counts[LISTEN_INIT_RETRY], 1000000);
	assert_int_equal(listen.counts[LISTEN_COOKIE_WRONG], 1000000);
	assert_true(4 * out <= in);
}

/* --- forged packets ---------------------------------------------------- */

static uint64_t
rounds(void)
{
	return getenv("WEIR_CHECK_LONG") != NULL ? 100000000 : 1000000;
}

static struct conn_stats no_stats;

/* A token close to ours, or far from it; never ours. */
static uint64_t
guess_token(uint64_t ours, uint64_t *random)
{
	uint64_t r = next_random(random);

	switch (r % 4) {
	case 0:
		return ours ^ UINT64_C(1) << (r >> 8) % 64;
	case 1: /* the index is easy, the rest is not */
		return (ours & 0xffff) |
		       ((next_random(random) & ~UINT64_C(0xffff)) ^
			(ours & ~UINT64_C(0xffff))) |
		       UINT64_C(1) << 63;
	case 2:
		return ours + 1 + r % 1000;
	default:
		return next_random(random) | 1;
	}
}

static void
forge(const struct end *end, uint64_t *random, struct wire_hdr *hdr)
{
	static const uint8_t payload[64];
	static uint8_t error[WIRE_ERROR_LEN];
	const struct weir_conn *conn = end->conn;
	uint64_t r = next_random(random);

	*hdr = (struct wire_hdr){
		.vt = (uint8_t)(0x10 | (r & 15)),
		.flags = (uint8_t)(r >> 8 & ~WIRE_F_KEYPHASE),
		.hlen = WIRE_HDR_LEN / 8,
		.seq = (uint32_t)conn->rx.nxt + (uint32_t)(r >> 16 & 127) - 64,
		.ack = (uint32_t)conn->tx.una + (uint32_t)(r >> 24 & 127) - 64,
		.window = (uint32_t)conn->tx.limit + (uint32_t)(r >> 32 & 255),
		.ts = conn->echo_ts + (uint32_t)(r >> 40 & 255),
		.ts_echo = conn->echo_seen + (uint32_t)(r >> 48 & 255),
		.credit = (uint16_t)(conn->peer_credit + (r >> 56)),
		.mlo = (uint32_t)(r >> 20 & 63),
		.payload = payload,
		.payload_len = (uint32_t)(r >> 20 & 63),
	};
	if (r >> 63)
		hdr->error = error;
	hdr->token = guess_token(end->config.token, random);
}

static void
forged_packets_change_nothing_but_counters(void **state)
{
	uint64_t count = rounds(), random = 7, before, look = 1;
	struct pair *pair = *state;
	struct weir_conn *conn;
	uint8_t *was;
	size_t size;

	pair_open(pair);
	/* Something in every part of it. */
	for (int i = 0; i < 5; i++) {
		pair_push(&pair->a, "data", 4);
		pair_push(&pair->b, "data", 4);
	}
	pair_flush(pair, &pair->b);
	pair_flush(pair, &pair->a);
	pair->a.wire[pair->a.sent - 4].drop = true;
	pair_deliver(pair, &pair->a, &pair->b);
	conn = pair->b.conn;
	size = weir_conn_size(&pair->b.config);
	was = malloc(size);
	if (count > 1000000)
		look = 97;
	before = conn->stats.drops[CONN_DROP_TOKEN];
	no_stats = conn->stats;
	memcpy(was, conn, size);
	for (uint64_t i = 0; i < count; i++) {
		struct wire_hdr hdr;

		forge(&pair->b, &random, &hdr);
		if (hdr.token == pair->b.config.token)
			hdr.token++;
		if (weir_conn_on_packet(conn, &hdr, pair, pair->now) != 0)
			fail_msg("packet %llu was kept", (unsigned long long)i);
		if (i % look != 0)
			continue;
		/* Counters aside. */
		conn->stats = no_stats;
		if (memcmp(was, conn, size) != 0)
			fail_msg("packet %llu changed something",
				 (unsigned long long)i);
		before++;
	}
	assert_true(before > count / 100);
	free(was);
	/* And the link is as good as ever. */
	pair_run(pair, 10 * MS);
	assert_int_equal(pair_read(&pair->b), 5);
	assert_int_equal(pair_read(&pair->a), 5);
}

static void
forged_gones_change_nothing_but_a_counter(void **state)
{
	struct pair *pair = *state;
	struct weir_conn was, is;
	uint64_t random = 3;

	memset(pair->b.config.proof, 0x42, WIRE_PROOF_LEN);
	pair_open(pair);
	was = *pair->a.conn;
	for (int i = 0; i < 100000; i++) {
		uint8_t packet[WIRE_HDR_LEN], proof[WIRE_PROOF_LEN];
		uint64_t token = pair->b.config.token;
		struct wire_hdr hdr;

		siphash_store(proof, next_random(&random));
		siphash_store(proof + 8, next_random(&random));
		/* The token is visible to who sees the wire; even so. */
		if (i % 2 == 0)
			token = guess_token(token, &random);
		weir_wire_put_gone(token, proof, packet);
		weir_wire_decode(packet, WIRE_HDR_LEN, &hdr);
		assert_false(weir_conn_on_gone(pair->a.conn, &hdr, pair->now));
	}
	is = *pair->a.conn;
	assert_int_equal(is.stats.drops[CONN_DROP_GONE], 100000);
	is.stats = was.stats;
	assert_memory_equal(&was, &is, sizeof(was));
}

static void
forged_answers_do_not_steer_a_client(void **state)
{
	struct pair *pair = *state;
	uint64_t random = 5;

	pair_make(pair);
	pair_flush(pair, &pair->a);
	for (int i = 0; i < 100000; i++) {
		struct wire_hdr hdr;

		forge(&pair->a, &random, &hdr);
		hdr.vt = (uint8_t)(0x10 | (WIRE_RETRY + i % 3));
		assert_int_equal(weir_conn_on_packet(pair->a.conn, &hdr, NULL,
						     pair->now),
				 0);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), -EINPROGRESS);
	assert_int_equal(pair_flush(pair, &pair->a), 0);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
}

/* --- hostile peers ----------------------------------------------------- */

/* Someone with the token sends this to b. */
static void
hostile(struct pair *pair, struct wire_hdr hdr)
{
	uint64_t before = allocations;

	hdr.vt = (uint8_t)(0x10 | hdr.vt);
	hdr.hlen = WIRE_HDR_LEN / 8;
	hdr.token = pair->b.config.token;
	hdr.flags |= WIRE_F_ACKV;
	hdr.ts = (uint32_t)(pair->now >> WIRE_TIME_SHIFT);
	pair->b.kept += (uint32_t)weir_conn_on_packet(pair->b.conn, &hdr, pair,
						      pair->now);
	assert_int_equal(allocations, before);
}

static void
an_optimistic_ack_ends_the_link(void **state)
{
	struct pair *pair = *state;
	struct conn_gauge gauge;

	pair_open(pair);
	pair_push(&pair->b, "x", 1);
	pair_flush(pair, &pair->b);
	weir_conn_gauge(pair->b.conn, &gauge);
	hostile(pair, (struct wire_hdr){ .vt = WIRE_ACK,
					 .seq = (uint32_t)gauge.rcv_nxt,
					 .ack = (uint32_t)gauge.snd_nxt + 1,
					 .window = (uint32_t)gauge.snd_limit,
					 .credit = (uint16_t)gauge.tx_credit });
	assert_int_equal(weir_conn_status(pair->b.conn), -EPROTO);
	assert_int_equal(weir_conn_error_code(pair->b.conn), WIRE_E_ACK);
}

static void
a_huge_announced_message_takes_no_memory(void **state)
{
	struct pair *pair = *state;
	struct conn_gauge gauge;

	pair_open(pair);
	weir_conn_gauge(pair->b.conn, &gauge);
	hostile(pair, (struct wire_hdr){ .vt = WIRE_DATA,
					 .flags = WIRE_F_FIRST,
					 .seq = (uint32_t)gauge.rcv_nxt,
					 .ack = (uint32_t)gauge.snd_una,
					 .window = (uint32_t)gauge.snd_limit,
					 .credit = (uint16_t)gauge.tx_credit,
					 .mlo = UINT32_MAX,
					 .payload = (const uint8_t *)"x",
					 .payload_len = 1 });
	assert_int_equal(weir_conn_status(pair->b.conn), -EPROTO);
	assert_int_equal(weir_conn_error_code(pair->b.conn), WIRE_E_LENGTH);
}

/* Empty messages cost a credit and a packet each: then it is over. */
static void
a_storm_of_empty_messages_ends_at_the_credit(void **state)
{
	struct pair *pair = *state;
	struct conn_gauge start, gauge;
	uint32_t sent = 0;

	pair_open(pair);
	weir_conn_gauge(pair->b.conn, &start);
	while (weir_conn_status(pair->b.conn) == 0 && sent < 1000) {
		hostile(pair, (struct wire_hdr){
				      .vt = WIRE_DATA,
				      .flags = WIRE_F_FIRST | WIRE_F_LAST,
				      .seq = (uint32_t)start.rcv_nxt + sent,
				      .ack = (uint32_t)start.snd_una,
				      .window = (uint32_t)start.snd_limit,
				      .credit = (uint16_t)start.tx_credit });
		weir_conn_gauge(pair->b.conn, &gauge);
		assert_true(gauge.rx_queued + gauge.rx_parked <=
			    pair->b.config.rx_window_packets);
		sent++;
	}
	assert_int_equal(sent, pair->b.config.rx_credit_msgs + 1);
	assert_int_equal(weir_conn_error_code(pair->b.conn), WIRE_E_CREDIT);
	while (weir_conn_rx_peek(pair->b.conn) != NULL) {
		weir_conn_rx_consume(pair->b.conn, 1);
		pair->b.freed++;
	}
}

/* One byte per fragment holds a message open no longer than the window. */
static void
a_drip_of_fragments_ends_at_the_window(void **state)
{
	struct pair *pair = *state;
	struct conn_gauge start, gauge;
	uint32_t sent = 0;

	pair_open(pair);
	weir_conn_gauge(pair->b.conn, &start);
	while (weir_conn_status(pair->b.conn) == 0 && sent < 1000) {
		hostile(pair, (struct wire_hdr){
				      .vt = WIRE_DATA,
				      .flags = sent == 0 ? WIRE_F_FIRST : 0,
				      .seq = (uint32_t)start.rcv_nxt + sent,
				      .ack = (uint32_t)start.snd_una,
				      .window = (uint32_t)start.snd_limit,
				      .credit = (uint16_t)start.tx_credit,
				      .mlo = sent == 0 ? 60000 : sent,
				      .payload = (const uint8_t *)"x",
				      .payload_len = 1 });
		weir_conn_gauge(pair->b.conn, &gauge);
		assert_true(gauge.rx_queued + gauge.rx_parked <=
			    pair->b.config.rx_window_packets);
		sent++;
	}
	assert_int_equal(sent, pair->b.config.rx_window_packets + 1);
	assert_int_equal(weir_conn_error_code(pair->b.conn), WIRE_E_WINDOW);
	while (weir_conn_rx_peek(pair->b.conn) != NULL) {
		weir_conn_rx_consume(pair->b.conn, 1);
		pair->b.freed++;
	}
}

/* A peer that reads nothing pins what it was promised, and no more. */
static void
a_peer_that_never_releases_holds_only_its_window(void **state)
{
	struct pair *pair = *state;
	uint64_t before;
	uint32_t pushed = 0;

	pair_open(pair);
	before = allocations;
	for (int i = 0; i < 100; i++) {
		while (pushed < weir_conn_tx_credit(pair->a.conn)) {
			pair_push(&pair->a, "x", 1);
			pushed++;
		}
		pair_run(pair, MS);
	}
	assert_int_equal(pushed, pair->b.config.rx_credit_msgs);
	assert_int_equal(allocations, before);
	/* It is asked now and then whether it goes on; that is all. */
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_read(&pair->b), pushed);
}

static int
setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	pair_init(pair);
	*state = pair;
	return 0;
}

static int
teardown(void **state)
{
	pair_free(*state);
	free(*state);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_million_inits_allocate_nothing_and_amplify_nothing),
		TEST(forged_packets_change_nothing_but_counters),
		TEST(forged_gones_change_nothing_but_a_counter),
		TEST(forged_answers_do_not_steer_a_client),
		TEST(an_optimistic_ack_ends_the_link),
		TEST(a_huge_announced_message_takes_no_memory),
		TEST(a_storm_of_empty_messages_ends_at_the_credit),
		TEST(a_drip_of_fragments_ends_at_the_window),
		TEST(a_peer_that_never_releases_holds_only_its_window),
	};

	return cmocka_run_group_tests_name("threats", tests, NULL, NULL);
}
