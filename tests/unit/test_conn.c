/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The connection in steady state: acknowledgements, loss, windows, credit,
 * silence. Set-up and ends are in test_conn_ends.c.
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

static uint8_t bytes[100000];

static int
setup(void **state)
{
	struct pair *pair = calloc(1, sizeof(*pair));

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
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

/* Send one message from a, lose it if asked, do not deliver it. */
static uint32_t
send_one(struct pair *pair, bool lose)
{
	uint32_t n = pair->a.sent;

	pair_push(&pair->a, bytes, 50);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	pair->a.wire[n].drop = lose;
	return n;
}

static void
messages_keep_bytes_and_bounds(void **state)
{
	static const uint32_t lens[] = { 0,   1,   99,  100, 101,
					 199, 200, 201, 950, 0 };
	struct pair *pair = *state;

	pair_open(pair);
	for (uint32_t i = 0; i < 10; i++)
		pair_push(&pair->a, bytes + i, lens[i]);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	for (uint32_t i = 0; i < 10; i++) {
		const struct conn_rx_packet *p;
		uint32_t offset = 0;
		bool last = false;

		while (!last) {
			p = weir_conn_rx_peek(pair->b.conn);
			assert_non_null(p);
			assert_int_equal(p->offset, offset);
			assert_int_equal(p->msg_len, lens[i]);
			assert_int_equal((p->flags & CONN_RX_FIRST) != 0,
					 offset == 0);
			assert_memory_equal(p->payload, bytes + i + offset,
					    p->len);
			offset += p->len;
			last = p->flags & CONN_RX_LAST;
			weir_conn_rx_consume(pair->b.conn, 1);
			pair->b.freed++;
		}
		assert_int_equal(offset, lens[i]);
	}
	assert_null(weir_conn_rx_peek(pair->b.conn));
	assert_int_equal(weir_conn_rx_state(pair->b.conn), 0);
}

static void
refs_come_back_when_acked_and_in_order(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_push(&pair->a, bytes, 250);
	pair_push(&pair->a, bytes, 1);
	pair_flush(pair, &pair->a);
	assert_null(weir_conn_pop_acked(pair->a.conn));
	pair_run(pair, MS);
	assert_ptr_equal(weir_conn_pop_acked(pair->a.conn), (void *)1);
	assert_ptr_equal(weir_conn_pop_acked(pair->a.conn), (void *)2);
	assert_null(weir_conn_pop_acked(pair->a.conn));
}

/* --- acknowledgements ------------------------------------------------- */

static void
an_answer_carries_the_ack(void **state)
{
	struct pair *pair = *state;
	struct conn_gauge gauge;

	pair_open(pair);
	for (int i = 0; i < 10; i++) {
		pair_push(&pair->a, bytes, 10);
		pair_flush(pair, &pair->a);
		pair_deliver(pair, &pair->a, &pair->b);
		pair_read(&pair->b);
		pair_push(&pair->b, bytes, 10);
		assert_int_equal(pair_flush(pair, &pair->b), 1);
		pair_deliver(pair, &pair->b, &pair->a);
		pair_read(&pair->a);
		weir_conn_gauge(pair->a.conn, &gauge);
		assert_int_equal(gauge.snd_una, gauge.snd_nxt);
		while (weir_conn_pop_acked(pair->a.conn) != NULL)
			;
		while (weir_conn_pop_acked(pair->b.conn) != NULL)
			;
	}
	/* The one that opened the link. */
	assert_int_equal(pair_stats(&pair->a).tx_acks, 1);
	assert_int_equal(pair_stats(&pair->b).tx_acks, 0);
}

static void
a_lone_message_is_acked_after_the_delay(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(pair_flush(pair, &pair->b), 0);
	pair_wait(pair, pair->b.config.max_ack_delay_ns - 1);
	assert_int_equal(pair_flush(pair, &pair->b), 0);
	pair_wait(pair, 1);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	assert_int_equal(wire_hdr_type(&(struct wire_hdr){
				 .vt = pair_last(&pair->b).vt }),
			 WIRE_ACK);
	/* It says how long it waited. */
	assert_int_equal(pair_last(&pair->b).ack_delay,
			 pair->b.config.max_ack_delay_ns >> WIRE_TIME_SHIFT);
}

static void
a_burst_gets_one_ack(void **state)
{
	struct pair *pair = *state;
	uint64_t before;

	pair->b.config.rx_credit_msgs = 200;
	pair->a.config.tx_msgs = 256;
	pair->a.config.tx_window_packets = 256;
	pair_open(pair);
	before = pair_stats(&pair->b).tx_acks;
	for (int i = 0; i < 40; i++)
		send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	assert_int_equal(pair_stats(&pair->b).tx_acks, before + 1);
}

/* Messages of all kinds, some lost: what a sends depends on nothing but this. */
static void
drive(struct pair *pair)
{
	static const uint32_t lens[] = { 8, 100, 99, 0, 250, 100, 30, 1000 };
	const struct end *a = &pair->a;
	uint32_t sent = 0;

	for (uint32_t round = 0; round < 24; round++) {
		uint32_t most = 1 + round * 7 % 33;

		for (; most != 0 && sent < weir_conn_tx_credit(a->conn); most--)
			pair_push(&pair->a, bytes, lens[sent++ / 3 % 8]);
		pair_flush(pair, &pair->a);
		pair->a.wire[a->sent - 1].drop = round % 5 == 2;
		pair_deliver(pair, &pair->a, &pair->b);
		pair_read(&pair->b);
		pair_flush(pair, &pair->b);
		pair_deliver(pair, &pair->b, &pair->a);
		while (weir_conn_pop_acked(a->conn) != NULL)
			;
		pair_wait(pair, 200 * US);
	}
}

/* The same, packet by packet and by weir_conn_burst(). */
static void
bursts_say_what_packets_say(const struct end *a, const struct end *b)
{
	struct pair one, many;

	pair_init(&one);
	one.a.config = a->config;
	one.b.config = b->config;
	many = one;
	many.a.bursts = true;
	pair_open(&one);
	pair_open(&many);
	drive(&one);
	drive(&many);
	assert_int_equal(many.a.sent, one.a.sent);
	for (uint32_t i = 0; i < one.a.sent; i++) {
		const struct wire_packet *packet = &one.a.wire[i];

		assert_int_equal(many.a.wire[i].len, packet->len);
		assert_int_equal(many.a.wire[i].ect, packet->ect);
		assert_memory_equal(many.a.wire[i].bytes, packet->bytes,
				    packet->len);
	}
	pair_free(&one);
	pair_free(&many);
}

static void
a_burst_says_what_its_packets_would(void **state)
{
	struct pair *pair = *state;
	struct conn_config *config = &pair->a.config;

	pair->b.config.rx_credit_msgs = 60;
	config->tx_msgs = 64;
	bursts_say_what_packets_say(&pair->a, &pair->b);
	pair->b.config.rx_window_packets = 9;
	bursts_say_what_packets_say(&pair->a, &pair->b);
	pair->b.config.rx_window_packets = 64;
	config->cc = CC_DCTCP;
	config->features_offer = WIRE_FEATURE_ECN | WIRE_FEATURE_BATCH;
	pair->b.config.features_offer = config->features_offer;
	bursts_say_what_packets_say(&pair->a, &pair->b);
	config->features_offer |= WIRE_FEATURE_CRC32C;
	pair->b.config.features_offer = config->features_offer;
	bursts_say_what_packets_say(&pair->a, &pair->b);
}

static void
sixteen_packets_are_acked_at_once(void **state)
{
	struct pair *pair = *state;

	pair->b.config.rx_credit_msgs = 200;
	pair->a.config.tx_msgs = 256;
	pair->a.config.tx_window_packets = 256;
	pair_open(pair);
	for (int i = 0; i < 15; i++)
		send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(pair_flush(pair, &pair->b), 0);
	send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
}

static void
who_fills_the_window_asks_for_an_ack(void **state)
{
	struct pair *pair = *state;

	pair->b.config.rx_window_packets = 3;
	pair_open(pair);
	send_one(pair, false);
	assert_false(pair_last(&pair->a).flags & WIRE_F_ACKREQ);
	send_one(pair, false);
	send_one(pair, false);
	assert_true(pair_last(&pair->a).flags & WIRE_F_ACKREQ);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
}

static void
an_ack_is_never_acked(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_wait(pair, MS / 10);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	pair_deliver(pair, &pair->b, &pair->a);
	pair_wait(pair, MS);
	assert_int_equal(pair_flush(pair, &pair->a), 0);
}

/* --- loss ------------------------------------------------------------- */

static void
a_hole_is_reported_at_once(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr;

	pair_open(pair);
	send_one(pair, true);
	send_one(pair, false);
	send_one(pair, true);
	send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	hdr = pair_last(&pair->b);
	assert_int_equal(hdr.ack, pair->a.config.isn);
	assert_int_equal(hdr.sack_words, 1);
	assert_int_equal(weir_wire_get_sack(hdr.sack, 0), 0xa);
}

static void
data_carries_the_hole_too(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr;

	pair_open(pair);
	send_one(pair, true);
	send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_push(&pair->b, bytes, 33);
	pair_flush(pair, &pair->b);
	hdr = pair_last(&pair->b);
	assert_int_equal(wire_hdr_type(&hdr), WIRE_DATA);
	assert_int_equal(hdr.sack_words, 1);
	assert_int_equal(hdr.payload_len, 33);
	assert_memory_equal(hdr.payload, bytes, 33);
}

/* [link.order] One lost packet costs one retransmission and no time-out. */
static void
a_lost_packet_is_sent_once_more(void **state)
{
	struct pair *pair = *state;
	struct conn_stats stats;

	pair_open(pair);
	send_one(pair, true);
	for (int i = 0; i < 4; i++)
		send_one(pair, false);
	pair_run(pair, 100 * US);
	stats = pair_stats(&pair->a);
	assert_int_equal(stats.tx_retx, 1);
	assert_int_equal(stats.lost_sack, 1);
	assert_int_equal(stats.rto + stats.tlp, 0);
	assert_int_equal(pair_read(&pair->b), 5);
	assert_int_equal(pair_stats(&pair->b).drops[CONN_DROP_DUPLICATE], 0);
}

static void
a_lost_tail_is_found_by_a_probe(void **state)
{
	struct pair *pair = *state;
	struct conn_stats stats;

	/* More than round trip and deviation ask for. */
	pair->a.config.tlp_min_ns = 100 * US;
	pair_open(pair);
	send_one(pair, true);
	pair_wait(pair, pair->a.config.tlp_min_ns + CONN_TLP_PACKET_NS - 1);
	assert_int_equal(pair_flush(pair, &pair->a), 0);
	pair_wait(pair, 1);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	assert_true(pair_last(&pair->a).flags & WIRE_F_RETX);
	assert_true(pair_last(&pair->a).flags & WIRE_F_ACKREQ);
	pair_run(pair, 50 * US);
	stats = pair_stats(&pair->a);
	assert_int_equal(stats.tlp, 1);
	assert_int_equal(stats.rto, 0);
	assert_int_equal(pair_read(&pair->b), 1);
}

/* @return how long after a lost packet the probe came. */
static uint64_t
time_to_probe(struct pair *pair)
{
	uint64_t before = pair_stats(&pair->a).tlp, start;

	send_one(pair, true);
	start = pair->now;
	while (pair_stats(&pair->a).tlp == before) {
		pair_wait(pair, US);
		pair_flush(pair, &pair->a);
	}
	return pair->now - start;
}

static void
probes_that_find_losses_learn_to_come_sooner(void **state)
{
	struct pair *pair = *state;
	uint64_t first, sooner, patient;

	pair->a.config.tlp_learns = true;
	pair->a.config.tlp_min_ns = 10 * MS;
	pair->a.config.rto_min_ns = 40 * MS;
	pair_open(pair);
	first = time_to_probe(pair);
	assert_in_range(first, 10 * MS, 10 * MS + 2 * US);
	pair_run(pair, 50 * US);
	sooner = time_to_probe(pair);
	assert_in_range(sooner, 2500 * US, 2500 * US + 2 * US);
	/* This answer takes long: the peer was not looking. */
	pair_wait(pair, 5 * MS);
	pair_run(pair, 50 * US);
	patient = time_to_probe(pair);
	assert_in_range(patient, 9 * MS, 10 * MS + 2 * US);
}

static bool
hand_as_it_came(struct pair *pair, uint32_t n)
{
	struct wire_packet *packet = &pair->a.wire[n];
	struct conn_stream_packet stream;
	bool taken;

	assert_true(conn_stream_packet(&stream, packet->bytes, packet->len,
				       packet));
	taken = weir_conn_on_stream(pair->b.conn, &stream, 1, pair->now) == 1;

	pair->b.kept += taken;
	return taken;
}

/* The header's byte `at` is another one. @return was it taken undecoded? */
static bool
hand_changed(struct pair *pair, uint32_t n, uint32_t at)
{
	bool taken;

	pair->a.wire[n].bytes[at] ^= 1;
	taken = hand_as_it_came(pair, n);
	pair->a.wire[n].bytes[at] ^= 1;
	return taken;
}

/* With a hole before it or not. */
static void
hand_stream(struct pair *pair, uint32_t first)
{
	assert_false(hand_as_it_came(pair, first));
	assert_int_equal(pair_hand(pair, &pair->a, first, &pair->b), 1);
	assert_int_equal(pair_hand(pair, &pair->a, first + 1, &pair->b), 1);
	for (uint32_t at = 0; at < WIRE_HDR_LEN - 4; at++)
		assert_false(hand_changed(pair, first + 2, at));
	assert_false(hand_as_it_came(pair, first + 3));
	assert_true(hand_as_it_came(pair, first + 2));
	assert_true(hand_as_it_came(pair, first + 3));
	assert_false(hand_as_it_came(pair, first + 3));
	/* Later, everything is to be looked at again. */
	pair->now += US;
	assert_false(hand_as_it_came(pair, first + 4));
	assert_int_equal(pair_hand(pair, &pair->a, first + 4, &pair->b), 1);
}

static void
a_stream_is_taken_as_it_came(void **state)
{
	struct pair *pair = *state;
	uint32_t first;

	pair->b.config.rx_credit_msgs = 200;
	pair->a.config.tx_msgs = 256;
	pair->a.config.tx_window_packets = 256;
	pair_open(pair);
	first = send_one(pair, false);
	for (int i = 0; i < 11; i++)
		send_one(pair, false);
	hand_stream(pair, first);
	/* The sixth is lost for now. */
	hand_stream(pair, first + 6);
	assert_int_equal(pair_hand(pair, &pair->a, first + 5, &pair->b), 1);
	assert_int_equal(pair_hand(pair, &pair->a, first + 11, &pair->b), 1);
	assert_int_equal(pair_read(&pair->b), 12);
	pair->a.delivered = pair->a.sent;
	pair_run(pair, 50 * US);
	assert_int_equal(pair_stats(&pair->a).tx_retx, 0);
}

/*
 * Nothing is sent after the repair of a hole, and it is lost as well: the peer,
 * who told of all the rest, is asked again after a round trip, not after the
 * patience that a peer who says nothing gets. Each try takes longer.
 */
static void
a_lost_repair_that_was_the_last_is_sent_again_soon(void **state)
{
	struct pair *pair = *state;
	uint64_t gap = 0;

	pair->a.config.tlp_min_ns = 10 * MS;
	pair->a.config.rto_min_ns = 40 * MS;
	pair_open(pair);
	send_one(pair, true);
	for (int i = 0; i < 4; i++)
		send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	for (uint64_t i = 0; i < 4; i++) {
		uint64_t start = pair->now, last = gap;

		while (pair_stats(&pair->a).tlp == i) {
			pair_wait(pair, US / 4);
			pair_flush(pair, &pair->a);
		}
		assert_true(pair_last(&pair->a).flags & WIRE_F_RETX);
		assert_int_equal(pair_last(&pair->a).seq, pair->a.config.isn);
		gap = pair->now - start;
		assert_in_range(gap + US, 2 * last, MS);
	}
	pair->a.delivered = pair->a.sent - 1;
	pair_run(pair, 50 * US);
	assert_int_equal(pair_read(&pair->b), 5);
	assert_int_equal(pair_stats(&pair->a).rto, 0);
}

/* As long as no round trip was measured, none is waited for. */
static void
a_lost_repair_without_a_round_trip_has_patience(void **state)
{
	struct pair *pair = *state;

	pair->a.config.tlp_min_ns = 10 * MS;
	pair->a.config.rto_min_ns = 40 * MS;
	pair_open(pair);
	pair->a.conn->rtt = (struct rtt){ .min_ns = UINT64_MAX };
	send_one(pair, true);
	for (int i = 0; i < 4; i++)
		send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	/* Too late to tell how long it was held. */
	pair_wait(pair, (CONN_ACK_DELAY_MAX + 2) << WIRE_TIME_SHIFT);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	assert_true(pair_last(&pair->a).flags & WIRE_F_RETX);
	for (int i = 0; i < 100; i++) {
		pair_wait(pair, US / 4);
		pair_flush(pair, &pair->a);
	}
	assert_int_equal(pair_stats(&pair->a).tx_retx, 1);
}

static void
silence_doubles_the_timeout(void **state)
{
	struct pair *pair = *state;
	uint64_t last = 0, gap = 0;

	pair_open(pair);
	send_one(pair, true);
	/* The tail probe comes first. */
	pair_wait(pair, pair->a.config.tlp_min_ns + CONN_TLP_PACKET_NS);
	pair_flush(pair, &pair->a);
	for (int i = 0; i < 6; i++) {
		uint64_t before = pair_stats(&pair->a).rto;

		while (pair_stats(&pair->a).rto == before)
			pair_wait(pair, US);
		assert_int_equal(pair_flush(pair, &pair->a), 1);
		if (i > 1)
			assert_in_range(pair->now - last, 2 * gap - 2 * US,
					2 * gap + 2 * US);
		gap = pair->now - last;
		last = pair->now;
	}
	pair->a.delivered = pair->a.sent - 1;
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->b), 1);
	/* Progress forgets the doubling. */
	assert_true(weir_conn_deadline(pair->a.conn) > pair->now);
}

/* RFC 9002 6.2.1: the peer may wait that long before it acknowledges. */
static void
a_slow_acknowledger_is_not_a_loss(void **state)
{
	struct pair *pair = *state;
	struct conn_stats stats;

	pair->b.config.max_ack_delay_ns = 2 * MS;
	pair_open(pair);
	for (int i = 0; i < 100; i++) {
		pair->a.sent = pair->a.delivered = 0;
		pair->b.sent = pair->b.delivered = 0;
		pair_push(&pair->a, bytes, 10);
		pair_run(pair, 700 * US);
		pair_read(&pair->b);
		while (weir_conn_pop_acked(pair->a.conn) != NULL)
			;
	}
	stats = pair_stats(&pair->a);
	assert_int_equal(stats.rto + stats.tlp + stats.tx_retx, 0);
	assert_in_range(pair_stats(&pair->b).tx_acks, 20, 60);
}

/* The same for a message that crosses the acknowledgement of the last one. */
static void
a_slow_acknowledgement_may_be_crossed(void **state)
{
	struct pair *pair = *state;
	struct conn_stats stats;

	pair->b.config.max_ack_delay_ns = 2 * MS;
	pair_open(pair);
	send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_wait(pair, 2 * MS);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	send_one(pair, false);
	pair_deliver(pair, &pair->b, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_run(pair, 3 * MS);
	stats = pair_stats(&pair->a);
	assert_int_equal(stats.rto + stats.tlp + stats.tx_retx, 0);
	assert_int_equal(pair_read(&pair->b), 2);
}

static void
reordering_alone_repairs_nothing(void **state)
{
	struct pair *pair = *state;
	uint32_t n;

	pair_open(pair);
	n = pair->a.sent;
	for (int i = 0; i < 3; i++)
		send_one(pair, true);
	pair->a.delivered = pair->a.sent;
	pair_hand(pair, &pair->a, n + 2, &pair->b);
	pair_hand(pair, &pair->a, n, &pair->b);
	pair_hand(pair, &pair->a, n + 1, &pair->b);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->b), 3);
	assert_int_equal(pair_stats(&pair->b).rx_reordered, 1);
	assert_int_equal(pair_stats(&pair->a).tx_retx, 0);
}

static void
a_duplicate_is_counted_and_acked(void **state)
{
	struct pair *pair = *state;
	uint32_t n;

	pair_open(pair);
	n = send_one(pair, false);
	pair_run(pair, MS);
	assert_int_equal(pair_read(&pair->b), 1);
	assert_int_equal(pair_hand(pair, &pair->a, n, &pair->b), 0);
	assert_int_equal(pair_stats(&pair->b).drops[CONN_DROP_DUPLICATE], 1);
	assert_int_equal(pair_read(&pair->b), 0);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
}

static void
round_trips_are_measured_without_the_hold_time(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	for (int i = 0; i < 50; i++) {
		send_one(pair, false);
		pair_run(pair, 200 * US);
		pair_read(&pair->b);
		while (weir_conn_pop_acked(pair->a.conn) != NULL)
			;
	}
	/* 5 us each way; the delayed ack's 20 us do not count. */
	assert_in_range(pair_stats(&pair->a).srtt_ns, 9 * US, 12 * US);
}

/* --- windows and credit ----------------------------------------------- */

static void
the_credit_is_exact(void **state)
{
	struct pair *pair = *state;

	pair->b.config.rx_credit_msgs = 5;
	pair_make(pair);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 0);
	pair_run(pair, 0);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 5);
	for (int i = 0; i < 5; i++)
		send_one(pair, false);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 5);
	/* Consuming alone gives nothing back. */
	weir_conn_rx_consume(pair->b.conn, 1);
	pair->b.freed++;
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 5);
	weir_conn_rx_release(pair->b.conn, 1, 1);
	pair_run(pair, 20 * US);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 6);
	assert_int_equal(pair_stats(&pair->a).probe_healed, 0);
}

static void
the_send_queue_bounds_the_credit(void **state)
{
	struct pair *pair = *state;

	pair->a.config.tx_msgs = 4;
	pair_open(pair);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 4);
	send_one(pair, false);
	pair_run(pair, MS);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 4);
	assert_non_null(weir_conn_pop_acked(pair->a.conn));
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), 5);
}

static void
a_closed_window_stops_and_opens(void **state)
{
	struct pair *pair = *state;
	struct conn_gauge gauge;

	pair->b.config.rx_window_packets = 4;
	pair_open(pair);
	pair_push(&pair->a, bytes, 1000);
	assert_int_equal(pair_flush(pair, &pair->a), 4);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_run(pair, 50 * US);
	weir_conn_gauge(pair->a.conn, &gauge);
	assert_int_equal(gauge.snd_nxt, gauge.snd_limit);
	while (pair_read(&pair->b) == 0)
		pair_run(pair, 50 * US);
	assert_int_equal(pair_stats(&pair->a).probe_healed, 0);
	assert_int_equal(pair_stats(&pair->a).tx_retx, 0);
	assert_true(pair_stats(&pair->a).window_full > 0);
}

static void
a_lost_window_update_is_found_by_a_probe(void **state)
{
	struct pair *pair = *state;

	pair->b.config.rx_window_packets = 4;
	pair_open(pair);
	pair_push(&pair->a, bytes, 500);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	pair_deliver(pair, &pair->b, &pair->a);
	assert_int_equal(pair_read(&pair->b), 0);
	assert_int_equal(pair_flush(pair, &pair->b), 1);
	pair->b.wire[pair->b.sent - 1].drop = true;
	pair_run(pair, 2 * MS);
	assert_int_equal(pair_read(&pair->b), 1);
	assert_int_equal(pair_stats(&pair->a).probe_healed, 1);
}

static void
probes_back_off(void **state)
{
	struct pair *pair = *state;
	uint64_t probes;

	pair->b.config.rx_window_packets = 1;
	pair->a.config.keepalive_ns = 0;
	pair->b.config.keepalive_ns = 0;
	pair_open(pair);
	pair_push(&pair->a, bytes, 200);
	pair_run(pair, 10 * MS);
	probes = pair_stats(&pair->a).probes;
	assert_in_range(probes, 4, 7);
	pair_run(pair, S);
	/* At most one per probe_max_ns in the long run. */
	assert_in_range(pair_stats(&pair->a).probes, probes + 9, probes + 14);
}

static void
a_stale_packet_gives_no_credit(void **state)
{
	struct pair *pair = *state;
	uint64_t credit;
	uint32_t old;

	pair->b.config.rx_credit_msgs = 16;
	pair_open(pair);
	send_one(pair, false);
	pair_run(pair, MS);
	old = pair->b.sent - 1;
	/* More than half a lap of the 16-bit counter later. */
	for (uint32_t i = 0; i < 33000; i++) {
		pair->a.sent = pair->a.delivered = old + 1;
		pair->b.sent = pair->b.delivered = old + 1;
		pair_push(&pair->a, bytes, 1);
		pair_flush(pair, &pair->a);
		pair_deliver(pair, &pair->a, &pair->b);
		pair_read(&pair->b);
		pair_wait(pair, 30 * US);
		pair_flush(pair, &pair->b);
		pair_deliver(pair, &pair->b, &pair->a);
		while (weir_conn_pop_acked(pair->a.conn) != NULL)
			;
	}
	credit = weir_conn_tx_credit(pair->a.conn);
	assert_true(credit > 33000);
	pair_hand(pair, &pair->b, old, &pair->a);
	assert_int_equal(weir_conn_tx_credit(pair->a.conn), credit);
	assert_int_equal(pair_stats(&pair->a).ack_stale, 1);
}

/* --- silence ---------------------------------------------------------- */

static void
an_idle_link_stays_alive(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_run(pair, 20 * S);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
	assert_true(pair_stats(&pair->a).keepalives +
			    pair_stats(&pair->b).keepalives >=
		    150);
	assert_int_equal(pair_stats(&pair->a).rto, 0);
	assert_int_equal(pair_stats(&pair->a).pauses, 0);
}

/* Without keepalive, clocks may go more than half round between packets. */
static void
a_long_silence_confuses_no_clock(void **state)
{
	struct pair *pair = *state;

	pair->a.config.keepalive_ns = 0;
	pair->b.config.keepalive_ns = 0;
	pair_open(pair);
	for (int i = 0; i < 5; i++) {
		pair_run(pair, (uint64_t)(i + 1) * 50 * S);
		pair_push(&pair->a, bytes, 10);
		pair_push(&pair->b, bytes, 10);
		pair_run(pair, MS);
		assert_int_equal(pair_read(&pair->a), 1);
		assert_int_equal(pair_read(&pair->b), 1);
		assert_non_null(weir_conn_pop_acked(pair->a.conn));
		assert_int_equal(pair_last(&pair->b).ts_echo >> 20,
				 (uint32_t)(pair->now >> 6) >> 20);
	}
	assert_int_equal(pair_stats(&pair->a).rto, 0);
	assert_int_equal(pair_stats(&pair->a).tx_retx, 0);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
}

/* Who does not ask for signs of life misses them only when he waits. */
static void
an_unanswered_message_is_death_enough(void **state)
{
	struct pair *pair = *state;
	uint64_t start;

	pair->a.config.keepalive_ns = 0;
	pair_open(pair);
	pair_wait(pair, 20 * S);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	send_one(pair, true);
	start = pair->now;
	while (weir_conn_status(pair->a.conn) == 0) {
		pair_wait(pair, 10 * MS);
		pair_flush(pair, &pair->a);
		assert_true(pair->now < start + 20 * S);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), -ETIMEDOUT);
	assert_in_range(pair->now - start, 3 * S - 100 * MS, 6 * S + 100 * MS);
}

static void
a_silent_peer_is_dead_in_time(void **state)
{
	struct pair *pair = *state;
	uint64_t start;

	pair_open(pair);
	start = pair->now;
	while (weir_conn_status(pair->a.conn) == 0) {
		pair_wait(pair, MS);
		pair_flush(pair, &pair->a);
		assert_true(pair->now < start + 10 * S);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), -ETIMEDOUT);
	assert_in_range(pair->now - start, 3 * S, 3 * S + 300 * MS);
	assert_int_equal(weir_conn_rx_state(pair->a.conn), -ETIMEDOUT);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), -ETIMEDOUT);
	/* In case it only could not be heard. */
	assert_int_equal(pair_count(&pair->a, WIRE_RESET), 1);
}

static void
in_order_messages_outlive_their_sender(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	send_one(pair, false);
	send_one(pair, true);
	send_one(pair, false);
	pair_deliver(pair, &pair->a, &pair->b);
	for (int i = 0; i < 4000; i++) {
		pair_wait(pair, MS);
		pair_flush(pair, &pair->b);
	}
	assert_int_equal(weir_conn_status(pair->b.conn), -ETIMEDOUT);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), 0);
	assert_int_equal(pair_read(&pair->b), 1);
	assert_int_equal(weir_conn_rx_state(pair->b.conn), -ETIMEDOUT);
}

static void
our_own_pause_kills_nobody(void **state)
{
	struct pair *pair = *state;

	pair_open(pair);
	pair_run(pair, S);
	/* Stopped for ten seconds: timers come late, packets are there. */
	pair->now += 10 * S;
	weir_conn_on_time(pair->a.conn, pair->now);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_stats(&pair->a).pauses, 1);
	weir_conn_on_time(pair->b.conn, pair->now);
	pair_run(pair, S);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

/* Polled every 100 ms, which the connection takes for a pause each time. */
static void
a_rare_poll_repairs_all_the_same(void **state)
{
	struct pair *pair = *state;
	static const uint8_t message[100];

	pair_open(pair);
	pair_run(pair, 50 * MS);
	pair_push(&pair->a, message, sizeof(message));
	pair_flush(pair, &pair->a);
	pair->a.wire[pair->a.sent - 1].drop = true;
	pair_deliver(pair, &pair->a, &pair->b);
	for (int i = 0; i < 5; i++) {
		pair->now += 100 * MS;
		weir_conn_on_time(pair->a.conn, pair->now);
		weir_conn_on_time(pair->b.conn, pair->now);
		pair_flush(pair, &pair->a);
		pair_deliver(pair, &pair->a, &pair->b);
		pair_flush(pair, &pair->b);
		pair_deliver(pair, &pair->b, &pair->a);
	}
	assert_true(pair_stats(&pair->a).pauses >= 1);
	assert_int_equal(pair_read(&pair->b), 1);
}

static void
a_rare_poll_misses_a_dead_peer(void **state)
{
	struct pair *pair = *state;
	uint64_t start;

	pair_open(pair);
	pair_run(pair, 50 * MS);
	start = pair->now;
	while (weir_conn_status(pair->a.conn) == 0 &&
	       pair->now < start + 10 * S) {
		pair->now += 200 * MS;
		weir_conn_on_time(pair->a.conn, pair->now);
		pair_flush(pair, &pair->a);
		pair->a.delivered = pair->a.sent;
	}
	assert_int_equal(weir_conn_status(pair->a.conn), -ETIMEDOUT);
	assert_true(pair->now - start < 4 * S);
}

/* What was sent since is in flight yet: it must not keep the repair. */
static void
a_timeout_repairs_at_once(void **state)
{
	struct pair *pair = *state;
	static const uint8_t message[100];
	struct conn_stats stats = { 0 };

	pair_open(pair);
	pair_run(pair, 50 * MS);
	for (int i = 0; i < 60 && stats.rto == 0; i++) {
		pair_push(&pair->a, message, sizeof(message));
		pair_flush(pair, &pair->a);
		pair->a.delivered = pair->a.sent;
		pair->now += 20 * US;
		weir_conn_on_time(pair->a.conn, pair->now);
		stats = pair_stats(&pair->a);
	}
	assert_int_equal(stats.rto, 1);
	pair_flush(pair, &pair->a);
	assert_true(pair_stats(&pair->a).tx_retx > stats.tx_retx);
}

/* --- lies ------------------------------------------------------------- */

/* Hand a forged packet to a, with the right token. */
static void
forge(struct pair *pair, struct wire_hdr *hdr, enum wire_type type)
{
	hdr->vt = (uint8_t)(WIRE_VERSION_MAX << 4 | (int)type);
	hdr->hlen = WIRE_HDR_LEN / 8;
	hdr->token = pair->a.config.token;
	if (hdr->ts == 0)
		hdr->ts = (uint32_t)(pair->now >> WIRE_TIME_SHIFT);
	assert_int_equal(
		weir_conn_on_packet(pair->a.conn, hdr, (void *)99, pair->now),
		0);
}

static void
expect_violation(struct pair *pair, enum wire_error code)
{
	struct wire_error_info error;
	struct wire_hdr hdr;

	assert_int_equal(weir_conn_status(pair->a.conn), -EPROTO);
	assert_int_equal(weir_conn_error_code(pair->a.conn), code);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	hdr = pair_last(&pair->a);
	assert_int_equal(wire_hdr_type(&hdr), WIRE_RESET);
	weir_wire_get_error(hdr.error, &error);
	assert_int_equal(error.code, code);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(weir_conn_status(pair->b.conn), -ECONNRESET);
	assert_int_equal(weir_conn_error_code(pair->b.conn), code);
}

static void
acking_the_future_is_a_violation(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr = { .flags = WIRE_F_ACKV };

	pair_open(pair);
	hdr.ack = pair->a.config.isn + 1;
	forge(pair, &hdr, WIRE_ACK);
	expect_violation(pair, WIRE_E_ACK);
}

static void
sacking_the_future_is_a_violation(void **state)
{
	struct pair *pair = *state;
	static const uint8_t sack[8] = { 0x4 };
	struct wire_hdr hdr = { .flags = WIRE_F_ACKV };

	pair_open(pair);
	send_one(pair, true);
	send_one(pair, true);
	pair->a.delivered = pair->a.sent;
	hdr.ack = pair->a.config.isn;
	hdr.sack = sack;
	hdr.sack_words = 1;
	forge(pair, &hdr, WIRE_ACK);
	expect_violation(pair, WIRE_E_ACK);
}

static void
overrunning_the_window_is_a_violation(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr = { .flags = WIRE_F_FIRST | WIRE_F_LAST };

	pair_open(pair);
	hdr.seq = pair->b.config.isn + pair->a.config.rx_window_packets;
	forge(pair, &hdr, WIRE_DATA);
	expect_violation(pair, WIRE_E_WINDOW);
}

static void
an_oversized_message_is_a_violation(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr = { .flags = WIRE_F_FIRST };

	pair_open(pair);
	hdr.seq = pair->b.config.isn;
	hdr.mlo = pair->a.config.msg_size_max + 1;
	hdr.payload_len = 100;
	forge(pair, &hdr, WIRE_DATA);
	expect_violation(pair, WIRE_E_LENGTH);
}

static void
an_injected_packet_changes_a_counter(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr = { .vt = WIRE_VERSION_MAX << 4 | WIRE_RESET };

	pair_open(pair);
	for (uint64_t bit = 0; bit < 64; bit++) {
		hdr.token = pair->a.config.token ^ UINT64_C(1) << bit;
		assert_int_equal(weir_conn_on_packet(pair->a.conn, &hdr, NULL,
						     pair->now),
				 0);
	}
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_TOKEN], 64);
}

static void
a_reset_from_far_away_is_ignored(void **state)
{
	struct pair *pair = *state;
	struct wire_hdr hdr = { 0 };

	pair_open(pair);
	hdr.seq = pair->b.config.isn + 0x40000000;
	forge(pair, &hdr, WIRE_RESET);
	hdr.seq = pair->b.config.isn - 0x40000000;
	forge(pair, &hdr, WIRE_RESET);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(pair_stats(&pair->a).drops[CONN_DROP_STALE], 2);
	hdr.seq = pair->b.config.isn;
	forge(pair, &hdr, WIRE_RESET);
	assert_int_equal(weir_conn_status(pair->a.conn), -ECONNRESET);
}

static void
nonsense_echoes_do_not_poison_the_timers(void **state)
{
	struct pair *pair = *state;
	uint64_t rto;

	pair_open(pair);
	rto = pair_stats(&pair->a).rto_ns;
	for (uint32_t i = 0; i < 32; i++) {
		struct wire_hdr hdr = { .flags = WIRE_F_ACKV };

		hdr.ack = pair->a.config.isn;
		hdr.ts_echo =
			(uint32_t)(pair->now >> WIRE_TIME_SHIFT) + (1u << i);
		forge(pair, &hdr, WIRE_ACK);
	}
	assert_int_equal(pair_stats(&pair->a).rto_ns, rto);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
}

/* --- batches ---------------------------------------------------------- */

static void
open_with_batches(struct pair *pair)
{
	pair->a.config.features_offer = WIRE_FEATURE_BATCH;
	pair->b.config.features_offer = WIRE_FEATURE_BATCH;
	pair_open(pair);
}

/* The next packet that b reads is a batch of these messages. */
static void
expect_batch(struct pair *pair, const uint32_t *lens, uint32_t count)
{
	const struct conn_rx_packet *packet = weir_conn_rx_peek(pair->b.conn);
	struct wire_records records;
	uint32_t len;

	assert_non_null(packet);
	assert_int_equal(packet->flags, CONN_RX_BATCH);
	assert_int_equal(packet->msg_len, count);
	records = conn_rx_records(packet);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *at = wire_records_next(&records, &len);

		assert_int_equal(len, lens[i]);
		assert_memory_equal(at, bytes + i, len);
	}
	weir_conn_rx_consume(pair->b.conn, 1);
	pair->b.freed++;
}

static const uint32_t three[] = { 20, 0, 33 };

static void
push_three(struct pair *pair)
{
	for (uint32_t i = 0; i < 3; i++)
		pair_push(&pair->a, bytes + i, three[i]);
}

static void
small_messages_share_a_packet(void **state)
{
	struct pair *pair = *state;
	struct conn_gauge gauge;

	open_with_batches(pair);
	push_three(pair);
	assert_int_equal(pair_flush(pair, &pair->a), 1);
	pair_deliver(pair, &pair->a, &pair->b);
	expect_batch(pair, three, 3);
	assert_int_equal(pair_stats(&pair->a).tx_batches, 1);
	assert_int_equal(pair_stats(&pair->a).tx_batched, 3);
	assert_int_equal(pair_stats(&pair->b).rx_batches, 1);
	assert_int_equal(pair_stats(&pair->b).rx_batched, 3);
	assert_int_equal(pair_stats(&pair->b).rx_msgs, 3);
	assert_int_equal(pair_stats(&pair->b).rx_bytes, 53);
	/* One packet of the window, three messages of the credit. */
	weir_conn_rx_release(pair->b.conn, 0, 1);
	weir_conn_rx_release(pair->b.conn, 0, 1);
	weir_conn_gauge(pair->b.conn, &gauge);
	assert_int_equal(gauge.rx_held, 1);
	weir_conn_rx_release(pair->b.conn, 1, 1);
	weir_conn_gauge(pair->b.conn, &gauge);
	assert_int_equal(gauge.rx_held, 0);
	assert_int_equal(gauge.rx_credit_room, 16 + 3);
	pair_run(pair, MS);
	for (uintptr_t i = 1; i <= 3; i++)
		assert_ptr_equal(weir_conn_pop_acked(pair->a.conn), (void *)i);
	assert_null(weir_conn_pop_acked(pair->a.conn));
}

static void
both_must_want_batches(void **state)
{
	struct pair *pair = *state;

	pair->a.config.features_offer = WIRE_FEATURE_BATCH;
	pair_open(pair);
	push_three(pair);
	assert_int_equal(pair_flush(pair, &pair->a), 3);
	assert_int_equal(pair_count(&pair->a, WIRE_BATCH), 0);
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(pair_read(&pair->b), 3);
}

static void
a_lost_batch_is_sent_again(void **state)
{
	struct pair *pair = *state;
	uint32_t lost;

	open_with_batches(pair);
	lost = pair->a.sent;
	push_three(pair);
	pair_flush(pair, &pair->a);
	pair->a.wire[lost].drop = true;
	pair_run(pair, 10 * MS);
	assert_int_equal(pair_count(&pair->a, WIRE_BATCH), 2);
	assert_memory_equal(pair->a.wire[lost].bytes + WIRE_HDR_LEN,
			    pair->a.wire[lost + 1].bytes + WIRE_HDR_LEN,
			    pair->a.wire[lost].len - WIRE_HDR_LEN);
	expect_batch(pair, three, 3);
	weir_conn_rx_release(pair->b.conn, 1, 3);
	assert_null(weir_conn_rx_peek(pair->b.conn));
}

/* Stopped or aborted, it comes back as a whole, each message once. */
static void
a_batch_survives_ends(void **state)
{
	struct pair *pair = *state;

	open_with_batches(pair);
	push_three(pair);
	pair_flush(pair, &pair->a);
	pair_deliver(pair, &pair->a, &pair->b);
	weir_conn_stop_rx(pair->b.conn);
	assert_non_null(weir_conn_pop_dropped_rx(pair->b.conn));
	pair->b.freed++;
	assert_null(weir_conn_pop_dropped_rx(pair->b.conn));
	push_three(pair);
	pair_run(pair, 10 * MS);
	assert_int_equal(weir_conn_tx_state(pair->a.conn), -ECONNRESET);
	for (uintptr_t i = 1; i <= 6; i++)
		assert_ptr_equal(weir_conn_pop_acked(pair->a.conn), (void *)i);
	assert_null(weir_conn_pop_acked(pair->a.conn));
}

static void
a_batch_beyond_the_credit_is_a_violation(void **state)
{
	struct pair *pair = *state;
	struct wire_packet *packet;

	pair->b.config.rx_credit_msgs = 3;
	open_with_batches(pair);
	push_three(pair);
	pair_flush(pair, &pair->a);
	/* The same payload with a fourth, empty message: nothing else moves. */
	packet = &pair->a.wire[pair->a.sent - 1];
	packet->bytes[36] = 4;
	packet->len += 7; /* 33 is rounded up, and 0 follows */
	pair_deliver(pair, &pair->a, &pair->b);
	assert_int_equal(weir_conn_status(pair->b.conn), -EPROTO);
	assert_int_equal(weir_conn_error_code(pair->b.conn), WIRE_E_CREDIT);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(messages_keep_bytes_and_bounds),
		CASE(refs_come_back_when_acked_and_in_order),
		CASE(an_answer_carries_the_ack),
		CASE(a_lone_message_is_acked_after_the_delay),
		CASE(a_burst_gets_one_ack),
		CASE(a_burst_says_what_its_packets_would),
		CASE(sixteen_packets_are_acked_at_once),
		CASE(who_fills_the_window_asks_for_an_ack),
		CASE(an_ack_is_never_acked),
		CASE(a_hole_is_reported_at_once),
		CASE(data_carries_the_hole_too),
		CASE(a_lost_packet_is_sent_once_more),
		CASE(a_lost_tail_is_found_by_a_probe),
		CASE(probes_that_find_losses_learn_to_come_sooner),
		CASE(a_stream_is_taken_as_it_came),
		CASE(a_lost_repair_that_was_the_last_is_sent_again_soon),
		CASE(a_lost_repair_without_a_round_trip_has_patience),
		CASE(silence_doubles_the_timeout),
		CASE(a_slow_acknowledger_is_not_a_loss),
		CASE(a_slow_acknowledgement_may_be_crossed),
		CASE(reordering_alone_repairs_nothing),
		CASE(a_duplicate_is_counted_and_acked),
		CASE(round_trips_are_measured_without_the_hold_time),
		CASE(the_credit_is_exact),
		CASE(the_send_queue_bounds_the_credit),
		CASE(a_closed_window_stops_and_opens),
		CASE(a_lost_window_update_is_found_by_a_probe),
		CASE(probes_back_off),
		CASE(a_stale_packet_gives_no_credit),
		CASE(an_idle_link_stays_alive),
		CASE(a_long_silence_confuses_no_clock),
		CASE(an_unanswered_message_is_death_enough),
		CASE(a_silent_peer_is_dead_in_time),
		CASE(in_order_messages_outlive_their_sender),
		CASE(our_own_pause_kills_nobody),
		CASE(a_rare_poll_repairs_all_the_same),
		CASE(a_rare_poll_misses_a_dead_peer),
		CASE(a_timeout_repairs_at_once),
		CASE(acking_the_future_is_a_violation),
		CASE(sacking_the_future_is_a_violation),
		CASE(overrunning_the_window_is_a_violation),
		CASE(an_oversized_message_is_a_violation),
		CASE(an_injected_packet_changes_a_counter),
		CASE(a_reset_from_far_away_is_ignored),
		CASE(nonsense_echoes_do_not_poison_the_timers),
		CASE(small_messages_share_a_packet),
		CASE(both_must_want_batches),
		CASE(a_lost_batch_is_sent_again),
		CASE(a_batch_survives_ends),
		CASE(a_batch_beyond_the_credit_is_a_violation),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
