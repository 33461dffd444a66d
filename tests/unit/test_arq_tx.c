/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The send window by itself: cutting, acknowledging, what counts as lost.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "arq_tx.h"
#include "seq.h"
#include "timer.h"

#define US     UINT64_C(1000)
#define WINDOW 64
#define MSGS   16
#define ISN    0xfffffff0u

static uint8_t bytes[4096];

struct fixture {
	struct arq_tx tx;
	struct rtt rtt;
	void *mem;
	uint64_t first;
	uint64_t now;
};

static int
setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->mem = malloc(weir_arq_tx_size(WINDOW, MSGS));
	weir_arq_tx_init(&f->tx, f->mem, ISN, WINDOW, MSGS);
	f->tx.frag_size = 100;
	f->first = seq_first(ISN);
	f->tx.limit = f->first + 1000;
	f->now = 1000000 * US;
	rtt_sample(&f->rtt, 20 * US, f->now);
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
ref(uintptr_t n)
{
	return (void *)n;
}

static void
push(struct fixture *f, uintptr_t n, uint32_t len)
{
	arq_tx_push(&f->tx, ref(n), bytes, len);
}

/* Push and send `count` messages of one packet each, 1 us apart. */
static void
send(struct fixture *f, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		push(f, 100 + i, 10);
		assert_true(arq_tx_can_send(&f->tx));
		weir_arq_tx_fresh(&f->tx, f->now);
		f->now += US;
	}
}

/* The packets whose bits are set beyond una have arrived, sent at `when`. */
static void
sack(struct fixture *f, uint64_t bits, uint64_t when)
{
	weir_arq_tx_delivered(&f->tx, when, f->now);
	assert_true(weir_arq_tx_on_sack(&f->tx, f->tx.una, bits) >= 0);
}

static void
a_short_message_is_one_packet(void **state)
{
	struct fixture *f = *state;
	const struct tx_slot *slot;

	push(f, 1, 42);
	slot = weir_arq_tx_fresh(&f->tx, f->now);
	assert_int_equal(slot->flags, WIRE_F_FIRST | WIRE_F_LAST);
	assert_int_equal(slot->len, 42);
	assert_int_equal(slot->mlo, 42);
	assert_int_equal(f->tx.nxt, f->first + 1);
	assert_false(arq_tx_can_send(&f->tx));
}

static void
an_empty_message_is_one_packet_too(void **state)
{
	struct fixture *f = *state;
	const struct tx_slot *slot;

	push(f, 1, 0);
	assert_true(arq_tx_can_send(&f->tx));
	slot = weir_arq_tx_fresh(&f->tx, f->now);
	assert_int_equal(slot->flags, WIRE_F_FIRST | WIRE_F_LAST);
	assert_int_equal(slot->len, 0);
	assert_false(arq_tx_can_send(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 1);
	assert_ptr_equal(arq_tx_pop(&f->tx), ref(1));
}

/* Sizes around the edge of a fragment. */
static void
a_message_is_cut_into_fragments(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t len, packets, last;
	} cases[] = { { 99, 1, 99 },  { 100, 1, 100 }, { 101, 2, 1 },
		      { 199, 2, 99 }, { 200, 2, 100 }, { 201, 3, 1 } };

	for (uint32_t i = 0; i < 6; i++) {
		uint32_t packets = 0, offset = 0;
		const struct tx_slot *slot = NULL;

		push(f, 1, cases[i].len);
		while (arq_tx_can_send(&f->tx)) {
			slot = weir_arq_tx_fresh(&f->tx, f->now);
			assert_int_equal(slot->mlo,
					 offset == 0 ? cases[i].len : offset);
			assert_ptr_equal(slot->payload, bytes + offset);
			offset += slot->len;
			packets++;
		}
		assert_int_equal(packets, cases[i].packets);
		assert_int_equal(slot->len, cases[i].last);
		assert_true(slot->flags & WIRE_F_LAST);
		assert_int_equal(offset, cases[i].len);
		weir_arq_tx_on_ack(&f->tx, f->tx.nxt);
		assert_non_null(arq_tx_pop(&f->tx));
	}
}

static void
a_message_comes_back_when_its_last_packet_is_acked(void **state)
{
	struct fixture *f = *state;

	push(f, 1, 250);
	push(f, 2, 10);
	assert_null(arq_tx_pop(&f->tx));
	while (arq_tx_can_send(&f->tx))
		weir_arq_tx_fresh(&f->tx, f->now);
	assert_int_equal(f->tx.nxt, f->first + 4);
	weir_arq_tx_on_ack(&f->tx, f->first + 2);
	assert_null(arq_tx_pop(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 3);
	assert_ptr_equal(arq_tx_pop(&f->tx), ref(1));
	assert_null(arq_tx_pop(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 4);
	assert_ptr_equal(arq_tx_pop(&f->tx), ref(2));
	assert_null(arq_tx_pop(&f->tx));
}

static void
the_peers_window_is_never_passed(void **state)
{
	struct fixture *f = *state;

	f->tx.limit = f->first + 3;
	push(f, 1, 1000);
	for (int i = 0; i < 3; i++) {
		assert_true(arq_tx_can_send(&f->tx));
		weir_arq_tx_fresh(&f->tx, f->now);
	}
	assert_false(arq_tx_can_send(&f->tx));
	f->tx.limit++;
	assert_true(arq_tx_can_send(&f->tx));
}

static void
our_own_window_is_never_passed(void **state)
{
	struct fixture *f = *state;

	push(f, 1, 100 * (WINDOW + 5));
	for (int i = 0; i < WINDOW; i++)
		weir_arq_tx_fresh(&f->tx, f->now);
	assert_false(arq_tx_can_send(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 1);
	assert_true(arq_tx_can_send(&f->tx));
}

static void
fin_needs_no_window_and_comes_last(void **state)
{
	struct fixture *f = *state;

	f->tx.limit = f->first + 1;
	push(f, 1, 10);
	f->tx.fin_wanted = true;
	assert_false(arq_tx_can_fin(&f->tx));
	weir_arq_tx_fresh(&f->tx, f->now);
	assert_true(arq_tx_can_fin(&f->tx));
	weir_arq_tx_fin(&f->tx, f->now);
	assert_false(arq_tx_can_fin(&f->tx));
	assert_int_equal(f->tx.fin_seq, f->first + 1);
	weir_arq_tx_on_ack(&f->tx, f->first + 1);
	assert_false(arq_tx_fin_acked(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 2);
	assert_true(arq_tx_fin_acked(&f->tx));
}

static void
three_later_arrivals_make_a_loss(void **state)
{
	struct fixture *f = *state;
	uint64_t t0 = f->now;
	uint64_t seq;

	send(f, 8);
	/* 1 and 2 arrived: patience. */
	sack(f, 0x6, t0 + 2 * US);
	weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	assert_int_equal(f->tx.lost, 0);
	assert_null(weir_arq_tx_resend(&f->tx, f->now, &seq));
	sack(f, 0xe, t0 + 3 * US);
	weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	assert_int_equal(f->tx.lost, 1);
	assert_int_equal(f->tx.lost_sack, 1);
	assert_non_null(weir_arq_tx_resend(&f->tx, f->now, &seq));
	assert_int_equal(seq, f->first);
	assert_int_equal(f->tx.lost, 0);
	assert_int_equal(arq_tx_in_flight(&f->tx), 8 - 3);
}

static void
a_loss_is_repaired_once_per_round_trip(void **state)
{
	struct fixture *f = *state;
	uint64_t t0 = f->now;
	uint64_t seq;

	send(f, 8);
	sack(f, 0x1e, t0 + 4 * US);
	weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	weir_arq_tx_resend(&f->tx, f->now, &seq);
	/* More arrivals of packets sent before the repair prove nothing. */
	sack(f, 0xfe, t0 + 7 * US);
	weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	assert_int_equal(f->tx.lost, 0);
}

static void
a_lost_repair_is_found_by_time(void **state)
{
	struct fixture *f = *state;
	uint64_t t0 = f->now;
	uint64_t seq, again;

	send(f, 4);
	sack(f, 0xe, t0 + 3 * US);
	weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	weir_arq_tx_resend(&f->tx, f->now, &seq);
	f->now += US;
	send(f, 1);
	f->now += 20 * US;
	/* The packet sent after the repair has arrived. */
	sack(f, 0x1e, f->now - 21 * US);
	again = weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	assert_int_equal(f->tx.lost, 0);
	assert_true(again > f->now && again < f->now + 20 * US);
	weir_arq_tx_detect(&f->tx, &f->rtt, again);
	assert_int_equal(f->tx.lost, 1);
	assert_int_equal(f->tx.lost_time, 1);
}

static void
reordering_is_learned(void **state)
{
	struct fixture *f = *state;
	uint64_t t0 = f->now;
	uint64_t again;

	send(f, 8);
	sack(f, 0x2, t0 + US);
	weir_arq_tx_on_ack(&f->tx, f->first + 2);
	assert_true(f->tx.reorder_seen);
	assert_int_equal(f->tx.reordered, 1);
	assert_int_equal(f->tx.sacked, 0);
	/* Counting arrivals is off from now on; time decides. */
	sack(f, 0x1e, t0 + 6 * US);
	again = weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	assert_int_equal(f->tx.lost, 0);
	assert_true(again > f->now && again <= f->now + 5 * US);
}

static void
a_needless_repair_makes_more_patient(void **state)
{
	struct fixture *f = *state;
	uint64_t t0 = f->now;
	uint64_t seq;

	send(f, 8);
	sack(f, 0xe, t0 + 3 * US);
	weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	f->now += 10 * US;
	weir_arq_tx_resend(&f->tx, f->now, &seq);
	/* What arrives is the original: nothing newer is known. */
	weir_arq_tx_on_ack(&f->tx, f->first + 4);
	assert_int_equal(f->tx.spurious, 1);
	assert_int_equal(f->tx.reorder_scale, 2);
	/* And it was overtaken: three later ones are no proof any more. */
	assert_true(f->tx.reorder_seen);
}

/* Nothing overtook them, their acknowledgement was late. */
static void
a_needless_timeout_is_no_reordering(void **state)
{
	struct fixture *f = *state;
	uint64_t seq;

	send(f, 3);
	f->now += 1000 * US;
	weir_arq_tx_on_rto(&f->tx, f->now, 100 * US);
	weir_arq_tx_resend(&f->tx, f->now, &seq);
	weir_arq_tx_on_ack(&f->tx, f->first + 3);
	assert_int_equal(f->tx.spurious, 1);
	assert_false(f->tx.reorder_seen);
}

/* RFC 8985 section 7.2: kept for 16 recoveries, each new one counts anew. */
static void
patience_is_given_up_after_sixteen_recoveries(void **state)
{
	struct fixture *f = *state;

	a_needless_repair_makes_more_patient(state);
	for (int i = 0; i < 15; i++)
		weir_arq_tx_on_recovery(&f->tx);
	assert_int_equal(f->tx.reorder_scale, 2);
	weir_arq_tx_on_recovery(&f->tx);
	assert_int_equal(f->tx.reorder_scale, 1);
	weir_arq_tx_on_recovery(&f->tx);
	assert_int_equal(f->tx.reorder_scale, 1);
}

static void
a_timeout_tells_the_shortest_that_it_struck(void **state)
{
	struct fixture *f = *state;

	send(f, 3);
	/* None is that old yet. */
	assert_int_equal(weir_arq_tx_on_rto(&f->tx, f->now, 99 * US),
			 UINT32_MAX);
	arq_tx_slot(&f->tx, f->first)->len = 1400;
	arq_tx_slot(&f->tx, f->first + 1)->len = 7;
	arq_tx_slot(&f->tx, f->first + 2)->len = 1300;
	weir_arq_tx_on_sack(&f->tx, f->first, 2);
	/* What has arrived is not struck, however short. */
	assert_int_equal(weir_arq_tx_on_rto(&f->tx, f->now + 1000 * US, US),
			 1300);
	assert_int_equal(f->tx.lost, 2);
	assert_int_equal(f->tx.cwnd, ARQ_RTO_CWND);
}

static void
books_survive_any_arrival(void **state)
{
	struct fixture *f = *state;

	send(f, 12);
	sack(f, 0xb6a, f->now - US);
	assert_int_equal(f->tx.sacked, 7);
	weir_arq_tx_detect(&f->tx, &f->rtt, f->now);
	assert_int_equal(arq_tx_in_flight(&f->tx) + f->tx.sacked + f->tx.lost,
			 12);
	weir_arq_tx_on_ack(&f->tx, f->first + 7);
	assert_int_equal(f->tx.sacked, 3);
	assert_int_equal(arq_tx_in_flight(&f->tx) + f->tx.sacked + f->tx.lost,
			 5);
	weir_arq_tx_on_ack(&f->tx, f->first + 12);
	assert_int_equal(f->tx.sacked + f->tx.lost, 0);
	assert_int_equal(arq_tx_in_flight(&f->tx), 0);
}

static void
news_are_counted_once(void **state)
{
	struct fixture *f = *state;

	send(f, 8);
	assert_int_equal(weir_arq_tx_on_sack(&f->tx, f->first, 0x6), 2);
	assert_int_equal(weir_arq_tx_on_sack(&f->tx, f->first, 0x6), 0);
	assert_int_equal(weir_arq_tx_on_sack(&f->tx, f->first, 0xe), 1);
	assert_int_equal(weir_arq_tx_on_sack(&f->tx, f->first, 0), 0);
}

static void
sack_of_what_was_never_sent_is_refused(void **state)
{
	struct fixture *f = *state;

	send(f, 4);
	assert_int_equal(weir_arq_tx_on_sack(&f->tx, f->first, 0x8), 1);
	assert_int_equal(weir_arq_tx_on_sack(&f->tx, f->first, 0x10), -1);
	assert_int_equal(weir_arq_tx_on_sack(&f->tx, f->first + 64, 1), -1);
}

static void
a_timeout_marks_only_what_is_old(void **state)
{
	struct fixture *f = *state;
	uint64_t seq;

	send(f, 4);
	f->now += 100 * US;
	send(f, 4);
	weir_arq_tx_on_rto(&f->tx, f->now, 50 * US);
	assert_int_equal(f->tx.lost, 4);
	assert_int_equal(f->tx.lost_rto, 4);
	f->tx.cwnd = WINDOW;
	for (uint64_t i = 0; i < 4; i++) {
		assert_non_null(weir_arq_tx_resend(&f->tx, f->now, &seq));
		assert_int_equal(seq, f->first + i);
	}
	assert_null(weir_arq_tx_resend(&f->tx, f->now, &seq));
}

static void
a_timeout_risks_little(void **state)
{
	struct fixture *f = *state;
	uint64_t seq;

	send(f, 10);
	f->now += 1000 * US;
	weir_arq_tx_on_rto(&f->tx, f->now, 50 * US);
	assert_int_equal(f->tx.lost, 10);
	assert_non_null(weir_arq_tx_resend(&f->tx, f->now, &seq));
	assert_non_null(weir_arq_tx_resend(&f->tx, f->now, &seq));
	assert_null(weir_arq_tx_resend(&f->tx, f->now, &seq));
	/* Each acknowledgement opens the window by as much again. */
	weir_arq_tx_on_ack(&f->tx, f->first + 2);
	assert_int_equal(f->tx.cwnd, 4);
	weir_arq_tx_on_ack(&f->tx, f->first + 10);
	assert_int_equal(f->tx.cwnd, 12);
}

static void
the_newest_packet_is_the_probe(void **state)
{
	struct fixture *f = *state;
	uint64_t seq;

	assert_null(weir_arq_tx_resend_last(&f->tx, f->now, &seq));
	send(f, 3);
	assert_non_null(weir_arq_tx_resend_last(&f->tx, f->now, &seq));
	assert_int_equal(seq, f->first + 2);
	assert_int_equal(arq_tx_in_flight(&f->tx), 3);
	/* It has arrived: the oldest one then, whose repair may be lost. */
	sack(f, 0x4, f->now);
	assert_non_null(weir_arq_tx_resend_last(&f->tx, f->now, &seq));
	assert_int_equal(seq, f->first);
	/* What is known to be lost goes out anyway. */
	weir_arq_tx_on_rto(&f->tx, f->now + 1000 * US, US);
	assert_null(weir_arq_tx_resend_last(&f->tx, f->now, &seq));
}

static void
giving_up_keeps_what_is_on_the_wire(void **state)
{
	struct fixture *f = *state;

	push(f, 1, 10);
	push(f, 2, 250);
	push(f, 3, 10);
	weir_arq_tx_fresh(&f->tx, f->now);
	weir_arq_tx_fresh(&f->tx, f->now);
	weir_arq_tx_give_up(&f->tx);
	assert_false(arq_tx_can_send(&f->tx));
	assert_null(arq_tx_pop(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 1);
	assert_ptr_equal(arq_tx_pop(&f->tx), ref(1));
	assert_null(arq_tx_pop(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 2);
	assert_ptr_equal(arq_tx_pop(&f->tx), ref(2));
	assert_ptr_equal(arq_tx_pop(&f->tx), ref(3));
	assert_null(arq_tx_pop(&f->tx));
}

static void
killing_gives_everything_back_in_order(void **state)
{
	struct fixture *f = *state;

	for (uintptr_t i = 1; i <= 5; i++)
		push(f, i, 150);
	for (int i = 0; i < 5; i++)
		weir_arq_tx_fresh(&f->tx, f->now);
	weir_arq_tx_kill(&f->tx);
	for (uintptr_t i = 1; i <= 5; i++)
		assert_ptr_equal(arq_tx_pop(&f->tx), ref(i));
	/* Who pushes afterwards gets it back as well. */
	push(f, 6, 10);
	assert_ptr_equal(arq_tx_pop(&f->tx), ref(6));
	assert_null(arq_tx_pop(&f->tx));
}

static void
abandoning_leaves_the_fin(void **state)
{
	struct fixture *f = *state;

	send(f, 3);
	f->tx.fin_wanted = true;
	weir_arq_tx_fin(&f->tx, f->now);
	weir_arq_tx_abandon(&f->tx);
	assert_int_equal(f->tx.una, f->tx.fin_seq);
	assert_int_equal(arq_tx_in_flight(&f->tx), 1);
}

/* --- batches ---------------------------------------------------------- */

/* Messages of these lengths wait; each has bytes of its own. */
static void
push_lens(struct fixture *f, const uint32_t *lens, uint32_t count)
{
	weir_arq_tx_limits(&f->tx, 1000, true);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + 1);
	for (uint32_t i = 0; i < count; i++)
		arq_tx_push(&f->tx, ref(i + 1), bytes + 3 * i, lens[i]);
}

/* What the slot sends is what wire_decode() and wire_records() make of it. */
static void
check_batch(struct fixture *f, const struct tx_slot *slot, uint32_t from,
	    const uint32_t *lens, uint32_t count)
{
	uint8_t *packet = malloc(WIRE_HDR_LEN + slot->len);
	uint32_t total = 0, len;
	struct wire_records records;
	struct wire_hdr hdr = { .vt = 0x10 | WIRE_BATCH, .hlen = 5 };

	assert_int_equal(slot->type, WIRE_BATCH);
	assert_int_equal(slot->mlo, count);
	hdr.mlo = slot->mlo;
	memset(packet, 0xee, WIRE_HDR_LEN + slot->len);
	weir_wire_encode(&hdr, packet);
	for (uint32_t i = 0; i < count; i++)
		total += lens[i];
	assert_int_equal(
		weir_arq_tx_gather(&f->tx, slot, packet + WIRE_HDR_LEN), total);
	assert_int_equal(
		weir_wire_decode(packet, WIRE_HDR_LEN + slot->len, &hdr),
		WIRE_OK);
	records = wire_records(hdr.payload, count);
	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *at = wire_records_next(&records, &len);

		assert_int_equal(len, lens[i]);
		assert_memory_equal(at, bytes + 3 * (from + i), len);
		/* Padding tells nothing of what was there before. */
		for (uint32_t pad = len; i + 1 < count && pad % 8 != 0; pad++)
			assert_int_equal(at[pad], 0);
	}
	free(packet);
}

static void
waiting_messages_go_together(void **state)
{
	static const uint32_t lens[] = { 10, 0, 256, 64, 7 };
	struct fixture *f = *state;
	const struct tx_slot *slot;

	push_lens(f, lens, 5);
	slot = weir_arq_tx_fresh(&f->tx, f->now);
	check_batch(f, slot, 0, lens, 5);
	assert_int_equal(slot->flags, WIRE_F_FIRST | WIRE_F_LAST);
	assert_int_equal(f->tx.nxt, f->first + 1);
	assert_int_equal(f->tx.batches, 1);
	assert_int_equal(f->tx.batched, 5);
	assert_false(arq_tx_can_send(&f->tx));
	assert_null(arq_tx_pop(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 1);
	for (uintptr_t i = 1; i <= 5; i++)
		assert_ptr_equal(arq_tx_pop(&f->tx), ref(i));
	assert_null(arq_tx_pop(&f->tx));
}

static void
only_small_neighbours_go_together(void **state)
{
	/* one batch | large | lone | large | cut in two | one batch */
	static const uint32_t lens[] = { 8, 9, 257, 5, 300, 1001, 256, 0 };
	static const uint8_t types[] = { WIRE_BATCH, WIRE_DATA, WIRE_DATA,
					 WIRE_DATA,  WIRE_DATA, WIRE_DATA,
					 WIRE_BATCH };
	struct fixture *f = *state;

	push_lens(f, lens, 8);
	for (uint32_t i = 0; i < sizeof(types); i++) {
		const struct tx_slot *slot;

		assert_true(arq_tx_can_send(&f->tx));
		slot = weir_arq_tx_fresh(&f->tx, f->now);
		assert_int_equal(slot->type, types[i]);
		assert_int_equal(slot->payload == NULL, types[i] == WIRE_BATCH);
	}
	assert_false(arq_tx_can_send(&f->tx));
	weir_arq_tx_on_ack(&f->tx, f->first + 6);
	for (uintptr_t i = 1; i <= 6; i++)
		assert_ptr_equal(arq_tx_pop(&f->tx), ref(i));
	assert_null(arq_tx_pop(&f->tx));
}

static void
a_batch_fits_into_a_packet(void **state)
{
	static const uint32_t lens[] = { 24, 24, 24, 24, 24, 24, 24 };
	struct fixture *f = *state;

	push_lens(f, lens, 7);
	/* 8 of table and 3 * 24 are 80; a fourth would make 104. */
	weir_arq_tx_limits(&f->tx, 103, true);
	check_batch(f, weir_arq_tx_fresh(&f->tx, f->now), 0, lens, 3);
	weir_arq_tx_limits(&f->tx, 104, true);
	check_batch(f, weir_arq_tx_fresh(&f->tx, f->now), 3, lens, 4);
}

static void
a_table_of_five_needs_another_word(void **state)
{
	static const uint32_t lens[] = { 8, 8, 8, 8, 8, 8 };
	struct fixture *f = *state;

	push_lens(f, lens, 6);
	weir_arq_tx_limits(&f->tx, 55, true);
	check_batch(f, weir_arq_tx_fresh(&f->tx, f->now), 0, lens, 4);
	check_batch(f, weir_arq_tx_fresh(&f->tx, f->now), 4, lens, 2);
}

static void
a_batch_has_64_messages_at_most(void **state)
{
	static const uint32_t lens[66];
	struct fixture *f = *state;

	free(f->mem);
	f->mem = malloc(weir_arq_tx_size(WINDOW, 128));
	weir_arq_tx_init(&f->tx, f->mem, ISN, WINDOW, 128);
	f->tx.limit = f->first + 1000;
	push_lens(f, lens, 66);
	check_batch(f, weir_arq_tx_fresh(&f->tx, f->now), 0, lens, 64);
	check_batch(f, weir_arq_tx_fresh(&f->tx, f->now), 64, lens, 2);
}

static void
a_lone_message_goes_by_itself(void **state)
{
	static const uint32_t lens[] = { 10 };
	struct fixture *f = *state;

	push_lens(f, lens, 1);
	assert_int_equal(weir_arq_tx_fresh(&f->tx, f->now)->type, WIRE_DATA);
	/* And so do all if that was agreed upon. */
	weir_arq_tx_limits(&f->tx, 1000, false);
	push(f, 2, 0);
	push(f, 3, 10);
	assert_int_equal(weir_arq_tx_fresh(&f->tx, f->now)->type, WIRE_DATA);
	assert_int_equal(weir_arq_tx_fresh(&f->tx, f->now)->type, WIRE_DATA);
}

/* The messages' ring goes round in the middle of a batch. */
static void
a_batch_is_gathered_again(void **state)
{
	static const uint32_t lens[] = { 11, 22, 33, 44 };
	struct fixture *f = *state;
	struct tx_slot *slot;
	uint64_t seq;

	weir_arq_tx_limits(&f->tx, 1000, false);
	for (uintptr_t i = 0; i < MSGS - 2; i++) {
		push(f, i + 1, 5);
		weir_arq_tx_fresh(&f->tx, f->now);
	}
	weir_arq_tx_on_ack(&f->tx, f->tx.nxt);
	while (arq_tx_pop(&f->tx) != NULL)
		;
	push_lens(f, lens, 4);
	weir_arq_tx_fresh(&f->tx, f->now);
	weir_arq_tx_on_rto(&f->tx, f->now + 1000 * US, 10 * US);
	slot = weir_arq_tx_resend(&f->tx, f->now + 1000 * US, &seq);
	assert_non_null(slot);
	assert_int_equal(slot->tries, 1);
	check_batch(f, slot, 0, lens, 4);
	weir_arq_tx_on_ack(&f->tx, f->tx.nxt);
	for (uintptr_t i = 1; i <= 4; i++)
		assert_ptr_equal(arq_tx_pop(&f->tx), ref(i));
}

static void
a_batch_ends_as_one(void **state)
{
	static const uint32_t lens[] = { 1, 2, 3, 600, 600 };
	struct fixture *f = *state;

	push_lens(f, lens, 5);
	weir_arq_tx_fresh(&f->tx, f->now);
	/* Never sent: back at once, but behind what is on the wire. */
	weir_arq_tx_give_up(&f->tx);
	assert_null(arq_tx_pop(&f->tx));
	assert_false(arq_tx_can_send(&f->tx));
	weir_arq_tx_abandon(&f->tx);
	for (uintptr_t i = 1; i <= 5; i++)
		assert_ptr_equal(arq_tx_pop(&f->tx), ref(i));
	assert_int_equal(arq_tx_in_flight(&f->tx), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* What is done with, in order, up to the end of the ring. */
static uint32_t
pop_row(struct fixture *f, uintptr_t first)
{
	uint32_t count = arq_tx_done(&f->tx, UINT32_MAX);

	for (uint32_t i = 0; i < count; i++)
		assert_ptr_equal(arq_tx_pop(&f->tx), ref(first + i));
	return count;
}

static void
messages_come_back_in_rows(void **state)
{
	struct fixture *f = *state;

	/* The ring is as near to its end as it will be in a long time. */
	f->tx.pushed = f->tx.cut = f->tx.popped = MSGS - 8;
	for (uintptr_t i = 1; i <= 7; i++)
		push(f, i, 250);
	while (arq_tx_can_send(&f->tx))
		weir_arq_tx_fresh(&f->tx, f->now);
	assert_int_equal(pop_row(f, 1), 0);
	/* Six messages of three packets, and one packet of the last. */
	weir_arq_tx_on_ack(&f->tx, f->first + 19);
	assert_int_equal(pop_row(f, 1), 6);
	assert_int_equal(pop_row(f, 7), 0);
	/* Nothing more will be sent: the rest is given back as it is, but behind
	 * what was, and no row goes beyond the end of the ring. */
	push(f, 8, 10);
	push(f, 9, 10);
	weir_arq_tx_give_up(&f->tx);
	weir_arq_tx_on_ack(&f->tx, f->first + 20);
	assert_int_equal(pop_row(f, 7), 0);
	weir_arq_tx_on_ack(&f->tx, f->first + 21);
	assert_int_equal(pop_row(f, 7), 1);
	assert_int_equal(pop_row(f, 8), 1);
	assert_int_equal(pop_row(f, 9), 1);
	assert_int_equal(pop_row(f, 10), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_short_message_is_one_packet),
		CASE(an_empty_message_is_one_packet_too),
		CASE(a_message_is_cut_into_fragments),
		CASE(a_message_comes_back_when_its_last_packet_is_acked),
		CASE(messages_come_back_in_rows),
		CASE(the_peers_window_is_never_passed),
		CASE(our_own_window_is_never_passed),
		CASE(fin_needs_no_window_and_comes_last),
		CASE(three_later_arrivals_make_a_loss),
		CASE(a_loss_is_repaired_once_per_round_trip),
		CASE(a_lost_repair_is_found_by_time),
		CASE(reordering_is_learned),
		CASE(a_needless_repair_makes_more_patient),
		CASE(a_needless_timeout_is_no_reordering),
		CASE(patience_is_given_up_after_sixteen_recoveries),
		CASE(a_timeout_tells_the_shortest_that_it_struck),
		CASE(books_survive_any_arrival),
		CASE(news_are_counted_once),
		CASE(sack_of_what_was_never_sent_is_refused),
		CASE(a_timeout_marks_only_what_is_old),
		CASE(a_timeout_risks_little),
		CASE(the_newest_packet_is_the_probe),
		CASE(giving_up_keeps_what_is_on_the_wire),
		CASE(killing_gives_everything_back_in_order),
		CASE(abandoning_leaves_the_fin),
		CASE(waiting_messages_go_together),
		CASE(only_small_neighbours_go_together),
		CASE(a_batch_fits_into_a_packet),
		CASE(a_table_of_five_needs_another_word),
		CASE(a_batch_has_64_messages_at_most),
		CASE(a_lone_message_goes_by_itself),
		CASE(a_batch_is_gathered_again),
		CASE(a_batch_ends_as_one),
	};

	return cmocka_run_group_tests_name("arq_tx", tests, NULL, NULL);
}
