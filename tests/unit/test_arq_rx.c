/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receive window by itself: order, duplicates, fragment rules, the end.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arq_rx.h"

#define WINDOW 8
#define CREDIT 4
#define ISN    0xfffffffeu

struct fixture {
	struct arq_rx rx;
	void *mem;
	uint64_t first;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->mem = malloc(weir_arq_rx_size(WINDOW));
	weir_arq_rx_init(&f->rx, f->mem, ISN, WINDOW, CREDIT);
	weir_arq_rx_limits(&f->rx, 100, 1000);
	f->first = seq_first(ISN);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	free(f->mem);
	free(f);
	return 0;
}

static void *
ref(uint64_t n)
{
	return (void *)(uintptr_t)(n + 1);
}

/* A packet n behind the first; its ref is ref(n). */
static int
data(struct fixture *f, uint64_t n, uint8_t flags, uint32_t mlo, uint32_t len)
{
	struct wire_hdr hdr = {
		.flags = flags,
		.mlo = mlo,
		.payload_len = len,
	};

	return weir_arq_rx_data(&f->rx, f->first + n, &hdr, ref(n));
}

static int
whole(struct fixture *f, uint64_t n)
{
	return data(f, n, WIRE_F_FIRST | WIRE_F_LAST, 10, 10);
}

static int
violated(enum wire_error code)
{
	return ARQ_RX_ERRORS + (int)code;
}

static void *
take(struct fixture *f)
{
	const struct conn_rx_packet *packet = arq_rx_peek(&f->rx);

	if (packet == NULL)
		return NULL;
	f->rx.head++;
	return packet->ref;
}

static void
order_is_kept(void **state)
{
	struct fixture *f = *state;

	assert_null(arq_rx_peek(&f->rx));
	for (uint64_t n = 0; n < CREDIT; n++)
		assert_int_equal(whole(f, n), ARQ_RX_KEPT);
	for (uint64_t n = 0; n < CREDIT; n++)
		assert_ptr_equal(take(f), ref(n));
	assert_null(take(f));
}

static void
late_packets_wait_for_the_missing_one(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(whole(f, 2), ARQ_RX_PARKED);
	assert_int_equal(whole(f, 1), ARQ_RX_PARKED);
	assert_null(take(f));
	assert_int_equal(f->rx.parked, 2);
	assert_int_equal(arq_rx_sack_words(&f->rx, 8), 1);
	assert_int_equal(bitring_get64(&f->rx.bits, f->rx.nxt), 0x6);
	assert_int_equal(whole(f, 0), ARQ_RX_FILLED);
	assert_int_equal(f->rx.parked, 0);
	assert_int_equal(arq_rx_sack_words(&f->rx, 8), 0);
	for (uint64_t n = 0; n < 3; n++)
		assert_ptr_equal(take(f), ref(n));
}

static void
nothing_is_delivered_twice(void **state)
{
	struct fixture *f = *state;

	whole(f, 0);
	assert_int_equal(whole(f, 0), ARQ_RX_DUP);
	assert_int_equal(whole(f, 2), ARQ_RX_PARKED);
	assert_int_equal(whole(f, 2), ARQ_RX_DUP);
	take(f);
	assert_int_equal(whole(f, 0), ARQ_RX_DUP);
	whole(f, 1);
	assert_int_equal(whole(f, 2), ARQ_RX_DUP);
	assert_ptr_equal(take(f), ref(1));
	assert_ptr_equal(take(f), ref(2));
	assert_null(take(f));
}

static void
fragments_carry_offset_and_length(void **state)
{
	struct fixture *f = *state;
	const struct conn_rx_packet *packet;

	assert_int_equal(data(f, 0, WIRE_F_FIRST, 150, 100), ARQ_RX_KEPT);
	assert_int_equal(data(f, 1, WIRE_F_LAST, 100, 50), ARQ_RX_KEPT);
	packet = arq_rx_peek(&f->rx);
	assert_int_equal(packet->offset, 0);
	assert_int_equal(packet->msg_len, 150);
	assert_int_equal(packet->flags, WIRE_F_FIRST);
	f->rx.head++;
	packet = arq_rx_peek(&f->rx);
	assert_int_equal(packet->offset, 100);
	assert_int_equal(packet->msg_len, 150);
	assert_int_equal(packet->flags, WIRE_F_LAST);
	assert_int_equal(f->rx.msgs, 1);
	assert_int_equal(f->rx.bytes, 150);
}

static void
an_empty_message_is_a_message(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(data(f, 0, WIRE_F_FIRST | WIRE_F_LAST, 0, 0),
			 ARQ_RX_KEPT);
	assert_int_equal(f->rx.msgs, 1);
	assert_ptr_equal(take(f), ref(0));
}

/* One broken rule each; what comes before it is correct. */
static void
broken_fragments_are_refused(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t mlo, len;
		enum wire_error code;
	} second[] = {
		{ WIRE_F_FIRST, 150, 50, WIRE_E_FRAGMENT },
		{ WIRE_F_FIRST | WIRE_F_LAST, 10, 10, WIRE_E_FRAGMENT },
		{ WIRE_F_LAST, 99, 50, WIRE_E_FRAGMENT },
		{ WIRE_F_LAST, 101, 50, WIRE_E_FRAGMENT },
		{ 0, 100, 50, WIRE_E_FRAGMENT },
		{ WIRE_F_LAST, 100, 49, WIRE_E_FRAGMENT },
		{ WIRE_F_LAST, 100, 51, WIRE_E_LENGTH },
		{ 0, 100, 0, WIRE_E_LENGTH },
	};

	for (size_t i = 0; i < sizeof(second) / sizeof(second[0]); i++) {
		struct fixture *f;

		teardown(state);
		setup(state);
		f = *state;
		assert_int_equal(data(f, 0, WIRE_F_FIRST, 150, 100),
				 ARQ_RX_KEPT);
		assert_int_equal(data(f, 1, second[i].flags, second[i].mlo,
				      second[i].len),
				 violated(second[i].code));
	}
}

static void
broken_first_fragments_are_refused(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t mlo, len;
		enum wire_error code;
	} first[] = {
		{ 0, 0, 10, WIRE_E_FRAGMENT },
		{ WIRE_F_LAST, 0, 10, WIRE_E_FRAGMENT },
		{ WIRE_F_FIRST, 1001, 100, WIRE_E_LENGTH },
		{ WIRE_F_FIRST | WIRE_F_LAST, 101, 101, WIRE_E_LENGTH },
		{ WIRE_F_FIRST, 10, 0, WIRE_E_LENGTH },
		{ WIRE_F_FIRST, 10, 10, WIRE_E_FRAGMENT },
		{ WIRE_F_FIRST | WIRE_F_LAST, 20, 10, WIRE_E_FRAGMENT },
		{ WIRE_F_FIRST | WIRE_F_LAST, 10, 11, WIRE_E_LENGTH },
	};

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		struct fixture *f;

		teardown(state);
		setup(state);
		f = *state;
		assert_int_equal(
			data(f, 0, first[i].flags, first[i].mlo, first[i].len),
			violated(first[i].code));
		/* It did not take the number. */
		assert_int_equal(f->rx.nxt, f->first);
		assert_null(take(f));
	}
}

static void
the_largest_message_is_taken(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(data(f, 0, WIRE_F_FIRST, 1000, 100), ARQ_RX_KEPT);
}

static void
beyond_the_window_is_a_violation(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(whole(f, WINDOW - 1), ARQ_RX_PARKED);
	assert_int_equal(whole(f, WINDOW), violated(WIRE_E_WINDOW));
	/* Room that the peer was not told of does not count. */
	allowance_return(&f->rx.window, 1, f->rx.nxt);
	assert_int_equal(whole(f, WINDOW), violated(WIRE_E_WINDOW));
	f->rx.window.told = f->rx.window.allowed;
	assert_int_equal(whole(f, WINDOW), ARQ_RX_PARKED);
}

static void
beyond_the_credit_is_a_violation(void **state)
{
	struct fixture *f = *state;

	for (uint64_t n = 0; n < CREDIT; n++)
		assert_int_equal(whole(f, n), ARQ_RX_KEPT);
	assert_int_equal(whole(f, CREDIT), violated(WIRE_E_CREDIT));
}

static void
a_violation_behind_a_hole_keeps_the_filler(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(data(f, 1, 0, 10, 10), ARQ_RX_PARKED);
	assert_int_equal(whole(f, 0), ARQ_RX_FILLED);
	assert_int_equal(f->rx.broken, violated(WIRE_E_FRAGMENT));
	weir_arq_rx_fail(&f->rx);
	assert_ptr_equal(take(f), ref(0));
	assert_null(take(f));
	assert_ptr_equal(weir_arq_rx_pop_dropped(&f->rx), ref(1));
	assert_null(weir_arq_rx_pop_dropped(&f->rx));
}

static void
fin_in_order_ends(void **state)
{
	struct fixture *f = *state;

	whole(f, 0);
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 1, false),
			 ARQ_RX_FILLED);
	assert_true(f->rx.ended);
	assert_int_equal(f->rx.nxt, f->first + 2);
	assert_ptr_equal(take(f), ref(0));
	assert_null(take(f));
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 1, false),
			 ARQ_RX_DUP);
	assert_int_equal(whole(f, 0), ARQ_RX_DUP);
}

static void
fin_out_of_order_waits(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 2, false),
			 ARQ_RX_PARKED);
	assert_int_equal(whole(f, 1), ARQ_RX_PARKED);
	assert_false(f->rx.ended);
	assert_int_equal(whole(f, 0), ARQ_RX_FILLED);
	assert_true(f->rx.ended);
	assert_ptr_equal(take(f), ref(0));
	assert_ptr_equal(take(f), ref(1));
	assert_null(take(f));
}

static void
fin_may_stand_right_behind_the_window(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + WINDOW + 1, false),
			 violated(WIRE_E_WINDOW));
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + WINDOW, false),
			 ARQ_RX_PARKED);
}

static void
fin_does_not_move_and_nothing_follows(void **state)
{
	struct fixture *f = *state;

	whole(f, 0);
	whole(f, 3);
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first, false),
			 violated(WIRE_E_FIN));
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 2, false),
			 violated(WIRE_E_FIN));
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 4, false),
			 ARQ_RX_PARKED);
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 5, false),
			 violated(WIRE_E_FIN));
	assert_int_equal(whole(f, 4), violated(WIRE_E_FIN));
	assert_int_equal(whole(f, 5), violated(WIRE_E_FIN));
}

static void
only_an_abort_cuts_a_message(void **state)
{
	struct fixture *f = *state;

	data(f, 0, WIRE_F_FIRST, 150, 100);
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 1, false),
			 violated(WIRE_E_FIN));
	teardown(state);
	setup(state);
	f = *state;
	data(f, 0, WIRE_F_FIRST, 150, 100);
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 1, true),
			 ARQ_RX_FILLED);
	assert_true(f->rx.fin_abort);
}

static void
stopping_gives_everything_back(void **state)
{
	struct fixture *f = *state;

	whole(f, 0);
	whole(f, 1);
	whole(f, 2);
	whole(f, 4);
	whole(f, 6);
	assert_ptr_equal(take(f), ref(0));
	weir_arq_rx_stop(&f->rx);
	assert_null(take(f));
	assert_ptr_equal(weir_arq_rx_pop_dropped(&f->rx), ref(1));
	assert_ptr_equal(weir_arq_rx_pop_dropped(&f->rx), ref(2));
	assert_ptr_equal(weir_arq_rx_pop_dropped(&f->rx), ref(4));
	assert_ptr_equal(weir_arq_rx_pop_dropped(&f->rx), ref(6));
	assert_null(weir_arq_rx_pop_dropped(&f->rx));
	assert_int_equal(f->rx.parked, 0);
	/* Data is for nobody now; any FIN ends it. */
	assert_int_equal(whole(f, 3), ARQ_RX_IGNORED);
	assert_int_equal(weir_arq_rx_fin(&f->rx, f->first + 40, true),
			 ARQ_RX_FILLED);
	assert_true(f->rx.ended);
	assert_int_equal(f->rx.nxt, f->first + 41);
	assert_null(weir_arq_rx_pop_dropped(&f->rx));
}

static void
stopping_after_the_end_changes_nothing(void **state)
{
	struct fixture *f = *state;

	whole(f, 0);
	weir_arq_rx_fin(&f->rx, f->first + 1, false);
	take(f);
	weir_arq_rx_stop(&f->rx);
	assert_false(f->rx.stopped);
	assert_null(weir_arq_rx_pop_dropped(&f->rx));
}

static void
failing_keeps_what_is_in_order(void **state)
{
	struct fixture *f = *state;

	whole(f, 0);
	whole(f, 2);
	weir_arq_rx_fail(&f->rx);
	assert_ptr_equal(weir_arq_rx_pop_dropped(&f->rx), ref(2));
	assert_null(weir_arq_rx_pop_dropped(&f->rx));
	assert_ptr_equal(take(f), ref(0));
	assert_null(take(f));
}

/* --- batches ---------------------------------------------------------- */

/* n messages of these lengths, as wire_decode() lets them through. */
static int
batch(struct fixture *f, uint64_t n, uint32_t count, const uint16_t *lens)
{
	static uint8_t payloads[64][2048];
	uint8_t *payload = payloads[n % 64];
	uint32_t len = wire_records_table(count);
	struct wire_hdr hdr = {
		.vt = 0x10 | WIRE_BATCH,
		.flags = WIRE_F_FIRST | WIRE_F_LAST,
		.mlo = count,
		.payload = payload,
	};

	memset(payload, 0, len);
	for (uint32_t i = 0; i < count; i++) {
		payload[2 * i] = (uint8_t)lens[i];
		payload[2 * i + 1] = (uint8_t)(lens[i] >> 8);
		len += i + 1 == count ? lens[i] : wire_round8(lens[i]);
	}
	hdr.payload_len = len;
	return weir_arq_rx_data(&f->rx, f->first + n, &hdr, ref(n));
}

static const uint16_t few[4] = { 10, 0, 7, 20 };

static void
a_batch_is_one_packet_of_many_messages(void **state)
{
	struct fixture *f = *state;
	const struct conn_rx_packet *packet;
	struct wire_records records;
	uint32_t len;

	assert_int_equal(batch(f, 0, 3, few), ARQ_RX_KEPT);
	assert_int_equal(whole(f, 1), ARQ_RX_KEPT);
	assert_int_equal(f->rx.started, 4);
	assert_int_equal(f->rx.msgs, 4);
	assert_int_equal(f->rx.bytes, 27);
	assert_int_equal(f->rx.batches, 1);
	assert_int_equal(f->rx.batched, 3);
	assert_int_equal(f->rx.nxt, f->first + 2);
	packet = arq_rx_peek(&f->rx);
	assert_int_equal(packet->flags, CONN_RX_BATCH);
	assert_int_equal(packet->msg_len, 3);
	assert_int_equal(packet->offset, 0);
	records = conn_rx_records(packet);
	for (uint32_t i = 0; i < 3; i++) {
		wire_records_next(&records, &len);
		assert_int_equal(len, few[i]);
	}
	assert_ptr_equal(take(f), ref(0));
	assert_int_equal(arq_rx_peek(&f->rx)->flags,
			 WIRE_F_FIRST | WIRE_F_LAST);
}

static void
a_batch_waits_for_its_turn(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(batch(f, 1, 2, few), ARQ_RX_PARKED);
	assert_int_equal(batch(f, 1, 2, few), ARQ_RX_DUP);
	assert_int_equal(f->rx.started, 0);
	assert_int_equal(batch(f, 0, 2, few), ARQ_RX_FILLED);
	assert_int_equal(f->rx.started, 4);
	assert_int_equal(batch(f, 1, 2, few), ARQ_RX_DUP);
	assert_ptr_equal(take(f), ref(0));
	assert_ptr_equal(take(f), ref(1));
	assert_null(take(f));
}

static void
a_batch_needs_credit_for_all(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(whole(f, 0), ARQ_RX_KEPT);
	assert_int_equal(batch(f, 1, 4, few), violated(WIRE_E_CREDIT));
	assert_int_equal(f->rx.started, 1);
	assert_int_equal(batch(f, 1, 3, few), ARQ_RX_KEPT);
	assert_int_equal(batch(f, 2, 2, few), violated(WIRE_E_CREDIT));
}

static void
a_batch_inside_a_message_is_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(data(f, 0, WIRE_F_FIRST, 20, 10), ARQ_RX_KEPT);
	assert_int_equal(batch(f, 1, 2, few), violated(WIRE_E_FRAGMENT));
}

static void
records_are_held_to_the_limits(void **state)
{
	static const uint16_t longer[2] = { 11, 10 };
	static const uint16_t last[2] = { 10, 11 };
	static const uint16_t edge[2] = { 10, 10 };
	static const uint16_t full[2] = { 40, 52 };
	static const uint16_t over[2] = { 40, 53 };
	struct fixture *f = *state;

	assert_int_equal(batch(f, 0, 2, over), violated(WIRE_E_LENGTH));
	assert_int_equal(batch(f, 0, 2, full), ARQ_RX_KEPT);
	f->rx.msg_size_max = 10;
	assert_int_equal(batch(f, 1, 2, longer), violated(WIRE_E_LENGTH));
	assert_int_equal(batch(f, 1, 2, last), violated(WIRE_E_LENGTH));
	assert_int_equal(batch(f, 1, 2, edge), ARQ_RX_KEPT);
}

/* The fast path of single messages must never take one. */
static void
no_batch_looks_like_a_single_message(void **state)
{
	static const uint16_t empty[64];
	struct fixture *f = *state;

	for (uint32_t count = 2; count <= 64; count++) {
		allowance_return(&f->rx.credit, count, 0);
		allowance_return(&f->rx.window, 1, 0);
		f->rx.credit.told = f->rx.credit.allowed;
		f->rx.window.told = f->rx.window.allowed;
		f->rx.frag_size = 1000;
		f->rx.plain_max = 1000;
		assert_int_equal(batch(f, count - 2, count, empty),
				 ARQ_RX_KEPT);
		assert_int_equal(arq_rx_peek(&f->rx)->flags, CONN_RX_BATCH);
		assert_int_equal(arq_rx_peek(&f->rx)->msg_len, count);
		take(f);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(order_is_kept),
		CASE(late_packets_wait_for_the_missing_one),
		CASE(nothing_is_delivered_twice),
		CASE(fragments_carry_offset_and_length),
		CASE(an_empty_message_is_a_message),
		CASE(broken_fragments_are_refused),
		CASE(broken_first_fragments_are_refused),
		CASE(the_largest_message_is_taken),
		CASE(beyond_the_window_is_a_violation),
		CASE(beyond_the_credit_is_a_violation),
		CASE(a_violation_behind_a_hole_keeps_the_filler),
		CASE(fin_in_order_ends),
		CASE(fin_out_of_order_waits),
		CASE(fin_may_stand_right_behind_the_window),
		CASE(fin_does_not_move_and_nothing_follows),
		CASE(only_an_abort_cuts_a_message),
		CASE(stopping_gives_everything_back),
		CASE(stopping_after_the_end_changes_nothing),
		CASE(failing_keeps_what_is_in_order),
		CASE(a_batch_is_one_packet_of_many_messages),
		CASE(a_batch_waits_for_its_turn),
		CASE(a_batch_needs_credit_for_all),
		CASE(a_batch_inside_a_message_is_refused),
		CASE(records_are_held_to_the_limits),
		CASE(no_batch_looks_like_a_single_message),
	};

	return cmocka_run_group_tests_name("arq_rx", tests, NULL, NULL);
}
