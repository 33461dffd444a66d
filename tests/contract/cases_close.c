/* SPDX-License-Identifier: BSD-3-Clause */
/* How a direction ends: close, end-of-stream, abort. */

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "fixture.h"

#define SPLIT_OUT \
	"a joined link knows what its halves know; these were split out"

/* verifies link.tx.close: what was committed before arrives, with a receiver
 * that starts late, then the end */
static void
close_delivers_what_was_committed(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 256));
	struct answer a;

	peer_do(f->a, STEP_SEND, .n = 200, .size = 64, .seed = SEED);
	assert_int_equal(weir_tx_close(f->tx), 0);
	for (int i = 0; i < 200; i++)
		peer_pump();
	a = peer_do(f->b, STEP_DRAIN, .size = 64, .seed = SEED);
	assert_int_equal(a.n, 200);
	assert_int_equal(a.rc, WEIR_EOF);
}

/* verifies link.rx.eof: said on each later call, by every kind of recv */
static void
end_of_stream_repeats(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_msg msg, msgs[4];

	peer_do(f->b, STEP_SEND, .n = 100, .size = 200, .seed = SEED);
	assert_int_equal(peer_do(f->b, STEP_TX_CLOSE).rc, 0);
	for (uint64_t i = 0; i < 100; i++)
		expect_one(f, 200, pattern_seed(SEED, i));
	assert_int_equal(expect_end(f), WEIR_EOF);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(weir_rx_recv_burst(f->rx, msgs, 4), WEIR_EOF);
		assert_int_equal(weir_rx_recv_wait(f->rx, WEIR_FOREVER, &msg),
				 WEIR_EOF);
		assert_int_equal(weir_rx_arm(f->rx), WEIR_EOF);
		assert_null(msg.store);
	}
}

/* verifies link.tx.close: the other direction goes on as before */
static void
the_reverse_direction_goes_on(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 2000);

	assert_int_equal(peer_do(f->b, STEP_TX_CLOSE).rc, 0);
	assert_int_equal(expect_end(f), WEIR_EOF);
	peer_go(f->b, STEP_RECV, .n = n, .size = 100, .seed = SEED);
	peer_do(f->a, STEP_SEND, .n = n, .size = 100, .seed = SEED);
	assert_int_equal(peer_finish(f->b).n, n);
	all_back(f);
	assert_int_equal(weir_tx_close(f->tx), 0);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, WEIR_EOF);
}

/* verifies link.tx.close: the closing side still receives */
static void
the_closing_side_still_receives(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 2000);

	assert_int_equal(weir_tx_close(f->tx), 0);
	peer_go(f->b, STEP_SEND, .n = n, .size = 100, .seed = SEED);
	peer_do(f->a, STEP_RECV, .n = n, .size = 100, .seed = SEED);
	peer_finish(f->b);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, WEIR_EOF);
}

/* verifies link.tx.close: an empty stream has an end as well */
static void
a_link_without_messages_ends(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct answer a;

	assert_int_equal(weir_tx_close(f->tx), 0);
	a = peer_do(f->b, STEP_DRAIN);
	assert_int_equal(a.n, 0);
	assert_int_equal(a.rc, WEIR_EOF);
}

/* verifies link.tx.close: a second close is -EALREADY, for ever */
static void
a_second_close_is_already(void **state)
{
	struct fixture *f = link_up(state, NULL);

	assert_int_equal(weir_tx_close(f->tx), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(weir_tx_close(f->tx), -EALREADY);
		peer_pump();
	}
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, WEIR_EOF);
	assert_int_equal(weir_tx_close(f->tx), -EALREADY);
}

/* verifies link.tx.close: every way to send is -EPIPE afterwards */
static void
use_after_close_is_a_broken_pipe(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permit, permits[4];
	uint8_t byte = 0;

	assert_int_equal(weir_tx_close(f->tx), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(weir_tx_reserve(f->tx, &permit), -EPIPE);
		assert_null(permit.tx);
		assert_int_equal(weir_tx_reserve_burst(f->tx, 1, permits, 4),
				 -EPIPE);
		assert_int_equal(
			weir_tx_reserve_wait(f->tx, 1, WEIR_FOREVER, &permit),
			-EPIPE);
		assert_int_equal(weir_tx_send(f->tx, &byte, 1), -EPIPE);
		assert_int_equal(weir_tx_try_send(f->tx, &byte, 1), -EPIPE);
		assert_int_equal(weir_tx_arm(f->tx, 1), -EPIPE);
		peer_pump();
	}
	assert_int_equal(peer_do(f->b, STEP_DRAIN).n, 0);
}

/* verifies link.tx.close: a permit that is out makes it -EBUSY, and nothing
 * has happened */
static void
close_with_a_permit_out_is_busy(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permit;

	take_permit(f, 8, &permit);
	for (int i = 0; i < 3; i++)
		assert_int_equal(weir_tx_close(f->tx), -EBUSY);
	audit(f);
	weir_permit_drop(&permit);
	send_one(f, 8, pattern_seed(SEED, 0));
	peer_do(f->b, STEP_RECV, .n = 1, .size = 8, .seed = SEED);
	assert_int_equal(weir_tx_close(f->tx), 0);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, WEIR_EOF);
}

/* verifies link.tx.close: a slot as well; its commit still counts */
static void
close_with_a_slot_out_is_busy(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_slot slot;
	struct answer a;

	open_filled(f, 300, pattern_seed(SEED, 0), &slot);
	assert_int_equal(weir_tx_close(f->tx), -EBUSY);
	audit(f);
	commit(f, &slot);
	assert_int_equal(weir_tx_close(f->tx), 0);
	a = peer_do(f->b, STEP_DRAIN, .size = 300, .seed = SEED);
	assert_int_equal(a.n, 1);
	assert_int_equal(a.rc, WEIR_EOF);
}

/* verifies link.tx.close: a full pipe in front of a stopped receiver closes
 * without waiting and loses nothing */
static void
close_of_a_full_pipe_loses_nothing(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 64));
	uint32_t n = send_until_dry(f, 900, SEED);
	uint64_t start_ns = weir_now_ns();
	struct answer a;

	assert_int_equal(weir_tx_close(f->tx), 0);
	assert_true(weir_now_ns() - start_ns < UINT64_C(1000000000));
	a = peer_do(f->b, STEP_DRAIN, .size = 900, .seed = SEED);
	assert_int_equal(a.n, n);
	assert_int_equal(a.rc, WEIR_EOF);
}

/* verifies link.tx.close: destroying a closed half at once loses nothing */
static void
destroy_after_close_loses_nothing(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct answer a;

	peer_do(f->a, STEP_SEND, .n = 100, .size = 500, .seed = SEED);
	assert_int_equal(weir_tx_close(f->tx), 0);
	peer_do(f->a, STEP_TX_DESTROY);
	peer_do(f->a, STEP_RX_DESTROY);
	peer_do(f->a, STEP_LINK_DESTROY);
	a = peer_do(f->b, STEP_DRAIN, .size = 500, .seed = SEED);
	assert_int_equal(a.n, 100);
	assert_int_equal(a.rc, WEIR_EOF);
}

/* verifies link.status: both directions closed and all delivered is the end
 * of the link, on both sides */
static void
a_link_closed_both_ways_has_ended(void **state)
{
	struct fixture *f = link_up(state, NULL);

	if (f->v->carriers > 1)
		case_skip(f, SPLIT_OUT);
	peer_do(f->a, STEP_SEND, .n = 5, .size = 10, .seed = SEED);
	assert_int_equal(weir_tx_close(f->tx), 0);
	assert_int_equal(peer_do(f->b, STEP_STATUS).rc, 0);
	assert_int_equal(peer_do(f->b, STEP_TX_CLOSE).rc, 0);
	assert_int_equal(expect_end(f), WEIR_EOF);
	assert_int_equal(peer_do(f->b, STEP_DRAIN, .size = 10, .seed = SEED).rc,
			 WEIR_EOF);
	assert_int_equal(peer_do(f->a, STEP_STATUS_LAST).rc, WEIR_EOF);
	assert_int_equal(peer_do(f->b, STEP_STATUS_LAST).rc, WEIR_EOF);
}

/* ---- thousands of ends -------------------------------------------------------- */

/* Short links are opened for this long at most, a tenth of them at least. */
#define SHORT_LINKS_MS 4000

/* Cheap to make. */
#define SMALL_LINK CONFIG(.tx_credits = 4, .msg_size_max = 64)

/* One hot thread that sends on the half it is handed, and closes. */
struct closer {
	_Atomic(struct weir_tx *) handed;
	atomic_bool stop;
};

static const char *
send_one_and_close(void *arg)
{
	struct closer *c = arg;

	while (!atomic_load_explicit(&c->stop, memory_order_relaxed)) {
		struct weir_tx *tx = atomic_load(&c->handed);
		struct weir_permit permit;
		struct weir_slot slot;
		int rc;

		if (tx == NULL) {
			sched_yield();
			continue;
		}
		rc = weir_tx_reserve_burst(tx, 8, &permit, 1);
		if (rc == 0)
			continue;
		if (rc != 1 || weir_permit_alloc(&permit, 8, &slot) != 0)
			return "no permit on a fresh link";
		pattern_fill(slot.data, 8, SEED);
		weir_slot_commit(&slot);
		weir_tx_close(tx);
		atomic_store(&c->handed, NULL);
	}
	return NULL;
}

/* @return messages before the end. */
static int
receive_to_the_end(struct fixture *f, struct weir_rx *rx)
{
	struct weir_msg msg;
	int received = 0, rc;

	/* A tight loop: reading the clock in between widens the gaps. */
	do {
		rc = weir_rx_recv(rx, &msg);
		if (rc == 1) {
			received++;
			weir_msg_release(&msg);
		} else if (f->v->flags & VARIANT_POLLED) {
			steps_poll(f->as);
			if (f->bs != NULL)
				steps_poll(f->bs);
		}
	} while (rc >= 0);
	assert_int_equal(rc, WEIR_EOF);
	return received;
}

static void
short_links_of_one_process(struct fixture *f, uint64_t n)
{
	struct closer closer = { .stop = false };
	uint64_t lost = 0, enough_ns = in_ms(SHORT_LINKS_MS);
	struct user user;

	atomic_init(&closer.handed, NULL);
	user_start(&user, send_one_and_close, &closer);
	for (uint64_t i = 0; i < n; i++) {
		if (i >= n / 10 && weir_now_ns() > enough_ns)
			break; /* a busy machine: each link takes a tick */
		link_open(f, 0, SMALL_LINK, SMALL_LINK);
		atomic_store(&closer.handed, f->bs->ends[0].tx);
		lost += 1 - (uint64_t)receive_to_the_end(f, f->rx);
		while (atomic_load(&closer.handed) != NULL)
			sched_yield();
		peer_do(f->b, STEP_RESET);
		peer_do(f->a, STEP_RESET);
	}
	atomic_store(&closer.stop, true);
	user_finish(&user);
	assert_int_equal(lost, 0);
}

/* The child does its half of every link on its own. */
static void
short_links_of_two_processes(struct fixture *f, uint64_t n)
{
	bool listens = listener_of(f) == f->a;
	struct weir_link_config config = *SMALL_LINK;
	struct order order = { STEP_SHORT_LINKS, .config = config, .n = n,
			       .size = 8, .seed = SEED };
	struct order listen = { STEP_LISTEN, .config = config };

	snprintf(order.endpoint, sizeof(order.endpoint), "%s",
		 endpoint_of(f, 0, !listens));
	snprintf(listen.endpoint, sizeof(listen.endpoint), "%s",
		 endpoint_of(f, 0, true));
	assert_int_equal(peer_call(listener_of(f), &listen).rc, 0);
	peer_start(f->b, &order);
	for (uint64_t i = 0; i < n; i++) {
		struct weir_link *link;
		int rc;

		if (!listens)
			assert_int_equal(
				weir_link_connect(f->as->ports[0],
						  endpoint_of(f, 0, false),
						  &config, &link),
				0);
		else
			pump_until((rc = weir_link_accept(f->as->listeners[0],
							  &link)) != 0);
		assert_int_equal(receive_to_the_end(f, link->rx), 1);
		weir_tx_close(link->tx);
		weir_link_destroy(link);
	}
	assert_int_equal(peer_finish(f->b).n, n);
}

/*
 * verifies link.tx.close: the window between the last message and the end is
 * a few nanoseconds wide; only many short links hit it
 */
static void
the_end_never_overtakes_the_last_message(void **state)
{
	struct fixture *f = fixture_of(state);

	if (f->v->carriers > 1)
		case_skip(f, "a joined link: each carrier is tested alone");
	if (f->bs != NULL)
		short_links_of_one_process(f, repeats(f, 5000));
	else
		short_links_of_two_processes(f, repeats(f, 1000));
}

/* ---- abort ---------------------------------------------------------------------- */

/* verifies link.tx.abort: destroy without close: what was there arrives, then
 * -ECONNRESET, never the end of the stream */
static void
an_aborted_direction_is_reset(void **state)
{
	struct fixture *f = link_up(state, NULL);

	peer_do(f->b, STEP_SEND, .n = 20, .size = 70, .seed = SEED);
	for (uint64_t i = 0; i < 20; i++)
		expect_one(f, 70, pattern_seed(SEED, i));
	peer_do(f->b, STEP_TX_DESTROY);
	assert_int_equal(expect_end(f), -ECONNRESET);
}

/* verifies link.tx.abort: the messages that were there are not lost */
static void
an_abort_delivers_what_was_there(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct answer a;

	peer_do(f->a, STEP_SEND, .n = 30, .size = 70, .seed = SEED);
	/* All of it is at B once B has one more, which it holds back. */
	peer_do(f->b, STEP_HOLD, .n = 1, .size = 70, .seed = SEED);
	for (int i = 0; i < 2000; i++)
		peer_pump();
	peer_do(f->a, STEP_TX_DESTROY);
	a = peer_do(f->b, STEP_DRAIN, .size = 70, .seed = SEED, .k = 1);
	assert_int_equal(a.rc, -ECONNRESET);
	if (f->v->flags & VARIANT_POLLED)
		assert_true(a.n <= 29); /* what had got there */
	else
		assert_int_equal(a.n, 29);
	peer_do(f->b, STEP_CHECK);
}

/* verifies link.tx.abort: with slots open, these are never seen */
static void
an_abort_with_open_slots_shows_none(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct answer a;

	peer_do(f->b, STEP_OPEN_SLOTS, .n = 5, .size = 90, .seed = SEED);
	peer_do(f->b, STEP_COMMIT, .k = 0);
	expect_one(f, 90, pattern_seed(SEED, 0));
	peer_go(f->b, STEP_TX_DESTROY);
	a = peer_finish(f->b);
	assert_int_equal(a.rc, 0);
	assert_int_equal(expect_end(f), -ECONNRESET);
}

/* verifies link.rx.abort: the peer's reserve fails with -ECONNRESET, and
 * stays so; the other direction's messages were not touched */
static void
a_destroyed_receiver_resets_the_sender(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permit;
	uint8_t byte = 1;
	int rc;

	peer_do(f->b, STEP_RX_DESTROY);
	for (;;) {
		pump_until((rc = weir_tx_reserve(f->tx, &permit)) != 0);
		if (rc < 0)
			break;
		weir_permit_drop(&permit);
		peer_pump();
	}
	assert_int_equal(rc, -ECONNRESET);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(weir_tx_reserve(f->tx, &permit), -ECONNRESET);
		assert_int_equal(weir_tx_send(f->tx, &byte, 1), -ECONNRESET);
		assert_int_equal(
			weir_tx_reserve_wait(f->tx, 1, WEIR_FOREVER, &permit),
			-ECONNRESET);
		assert_int_equal(weir_tx_close(f->tx), -ECONNRESET);
		assert_int_equal(weir_tx_arm(f->tx, 1), -ECONNRESET);
	}
}

/* verifies link.rx.abort: permits and slots that are out may still be used
 * up; alloc and commit keep their word */
static void
permits_survive_a_reset(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permits[3];
	struct weir_slot slot, open;
	struct weir_tx_stats now;

	for (int i = 0; i < 3; i++)
		take_permit(f, 500, &permits[i]);
	open_filled(f, 500, 1, &open);
	peer_do(f->b, STEP_RESET);
	for (int i = 0; i < 2000; i++)
		peer_pump();
	assert_int_equal(weir_permit_alloc(&permits[0], 500, &slot), 0);
	pattern_fill(slot.data, 500, 1);
	weir_slot_commit(&slot);
	assert_int_equal(weir_permit_alloc(&permits[1], 500, &slot), 0);
	weir_slot_discard(&slot);
	weir_permit_drop(&permits[2]);
	weir_slot_commit(&open);
	weir_tx_flush(f->tx);
	audit(f);
	weir_tx_stats(f->tx, &now, sizeof(now));
	assert_int_equal(now.permitted + now.allocated, 0);
}

/* verifies link.status: a reset is the status of the link */
static void
a_reset_is_the_status_of_the_link(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permit;
	int rc;

	peer_do(f->b, STEP_TX_DESTROY);
	peer_do(f->b, STEP_RX_DESTROY);
	assert_int_equal(expect_end(f), -ECONNRESET);
	for (;;) {
		pump_until((rc = weir_tx_reserve(f->tx, &permit)) != 0);
		if (rc < 0)
			break;
		weir_permit_drop(&permit);
		peer_pump();
	}
	if (f->v->carriers > 1)
		case_skip(f, SPLIT_OUT);
	assert_int_equal(peer_do(f->a, STEP_STATUS_LAST).rc, -ECONNRESET);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(close_delivers_what_was_committed),
	cmocka_unit_test(end_of_stream_repeats),
	cmocka_unit_test(the_reverse_direction_goes_on),
	cmocka_unit_test(the_closing_side_still_receives),
	cmocka_unit_test(a_link_without_messages_ends),
	cmocka_unit_test(a_second_close_is_already),
	cmocka_unit_test(use_after_close_is_a_broken_pipe),
	cmocka_unit_test(close_with_a_permit_out_is_busy),
	cmocka_unit_test(close_with_a_slot_out_is_busy),
	cmocka_unit_test(close_of_a_full_pipe_loses_nothing),
	cmocka_unit_test(destroy_after_close_loses_nothing),
	cmocka_unit_test(a_link_closed_both_ways_has_ended),
	cmocka_unit_test(the_end_never_overtakes_the_last_message),
	cmocka_unit_test(an_aborted_direction_is_reset),
	cmocka_unit_test(an_abort_delivers_what_was_there),
	cmocka_unit_test(an_abort_with_open_slots_shows_none),
	cmocka_unit_test(a_destroyed_receiver_resets_the_sender),
	cmocka_unit_test(permits_survive_a_reset),
	cmocka_unit_test(a_reset_is_the_status_of_the_link),
};

CASE_LIST(cases_close, tests);
