/* SPDX-License-Identifier: BSD-3-Clause */
/* Halves that live on their own, links put together from halves, messages
 * passed on. */

#include <string.h>

#include "fixture.h"

struct half_user {
	struct fixture *f;
	uint64_t n;
};

static const char *
send_on_a_thread(void *arg)
{
	struct half_user *u = arg;

	for (uint64_t i = 0; i < u->n; i++) {
		uint32_t len = pattern_size(1, i, PATTERN_MIX(600));
		struct weir_permit permit;
		struct weir_slot slot;
		int rc = reserve_in(u->f->tx, len, WAKE_LIMIT_MS, &permit);

		if (rc != 1)
			return rc == 0 ? "no permit in time"
				       : weir_strerror(rc);
		if (weir_permit_alloc(&permit, len, &slot) != 0)
			return "alloc failed";
		pattern_fill(slot.data, len, pattern_seed(1, i));
		weir_slot_commit(&slot);
		weir_tx_flush(u->f->tx);
	}
	return NULL;
}

static const char *
receive_on_a_thread(void *arg)
{
	struct half_user *u = arg;
	static char text[192];

	for (uint64_t i = 0; i < u->n; i++) {
		uint32_t len = pattern_size(2, i, PATTERN_MIX(600));
		struct weir_msg msg;
		int rc = recv_in(u->f->rx, WAKE_LIMIT_MS, &msg);

		if (rc != 1)
			return rc == 0 ? "no message in time"
				       : weir_strerror(rc);
		if (!steps_compare(&msg, len, pattern_seed(2, i), i, text,
				   sizeof(text)))
			return text;
		weir_msg_release(&msg);
	}
	return NULL;
}

/* verifies link.split: Tx on one thread, Rx on another, both directions */
static void
halves_work_on_two_threads(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 64));
	struct half_user u = { f, repeats(f, 20000) };
	struct user sender, receiver;

	peer_go(f->b, STEP_EXCHANGE, .n = u.n, .size = PATTERN_MIX(600),
		.seed = 2, .k = 1);
	user_start(&sender, send_on_a_thread, &u);
	user_start(&receiver, receive_on_a_thread, &u);
	user_finish(&sender);
	user_finish(&receiver);
	peer_finish(f->b);
	all_back(f);
}

/* verifies link.split: a half may be handed from thread to thread */
static void
a_half_may_change_threads(void **state)
{
	struct fixture *f = link_up(state, NULL);

	for (int round = 0; round < 10; round++) {
		struct half_user u = { f, 50 };
		struct user user;

		peer_go(f->b, STEP_RECV, .n = 50, .size = PATTERN_MIX(600),
			.seed = 1);
		user_start(&user, send_on_a_thread, &u);
		user_finish(&user);
		peer_finish(f->b);
	}
	all_back(f);
}

/* verifies link.split: the sending half goes, closed; receiving goes on */
static void
receiving_goes_on_without_the_sender(void **state)
{
	struct fixture *f = link_up(state, NULL);

	assert_int_equal(weir_tx_close(f->tx), 0);
	peer_do(f->a, STEP_TX_DESTROY);
	peer_go(f->b, STEP_SEND, .n = 500, .size = 100, .seed = SEED);
	peer_do(f->a, STEP_RECV, .n = 500, .size = 100, .seed = SEED);
	peer_finish(f->b);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, WEIR_EOF);
}

/* verifies link.split: the sending half goes, aborted; receiving goes on */
static void
receiving_goes_on_after_an_abort(void **state)
{
	struct fixture *f = link_up(state, NULL);

	peer_do(f->a, STEP_TX_DESTROY);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, -ECONNRESET);
	peer_go(f->b, STEP_SEND, .n = 500, .size = 100, .seed = SEED);
	peer_do(f->a, STEP_RECV, .n = 500, .size = 100, .seed = SEED);
	peer_finish(f->b);
}

/* verifies link.split: the receiving half goes; sending goes on */
static void
sending_goes_on_without_the_receiver(void **state)
{
	struct fixture *f = link_up(state, NULL);

	peer_do(f->a, STEP_RX_DESTROY);
	peer_go(f->b, STEP_RECV, .n = 500, .size = 100, .seed = SEED);
	peer_do(f->a, STEP_SEND, .n = 500, .size = 100, .seed = SEED);
	peer_finish(f->b);
	assert_int_equal(peer_do(f->b, STEP_RESERVE_END).rc, -ECONNRESET);
	peer_go(f->b, STEP_RECV, .n = 500, .size = 100, .seed = 2);
	peer_do(f->a, STEP_SEND, .n = 500, .size = 100, .seed = 2);
	peer_finish(f->b);
}

/* verifies link.split: the control object goes first; the halves go on */
static void
halves_outlive_the_link(void **state)
{
	struct fixture *f = link_up(state, NULL);

	peer_do(f->a, STEP_LINK_DESTROY);
	peer_do(f->b, STEP_LINK_DESTROY);
	peer_go(f->b, STEP_ECHO, .n = 500);
	for (uint64_t i = 0; i < 500; i++) {
		send_one(f, 60, pattern_seed(SEED, i));
		expect_one(f, 60, pattern_seed(SEED, i));
	}
	peer_finish(f->b);
	assert_int_equal(weir_tx_close(f->tx), 0);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, WEIR_EOF);
}

/* verifies link.split: each half can be moved out once */
static void
a_half_can_be_split_out_once(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_link *link = f->as->ends[0].link;
	struct weir_tx *tx = NULL;
	struct weir_rx *rx = NULL;

	assert_int_equal(weir_link_split(link, &tx, &rx), -EALREADY);
	assert_int_equal(weir_link_split(link, &tx, NULL), -EALREADY);
	assert_int_equal(weir_link_split(link, NULL, &rx), -EALREADY);
	assert_null(tx);
	assert_null(rx);
	assert_int_equal(weir_link_split(link, NULL, NULL), 0);
}

/* ---- join ------------------------------------------------------------------------ */

/* Tx of link 0 and Rx of link 1 at A; B keeps both. */
static struct weir_link *
join_across(struct fixture *f)
{
	struct end *e = f->as->ends;
	struct weir_link *joined;

	link_open(f, 1, NULL, NULL);
	assert_int_equal(weir_link_join(e[0].tx, e[1].rx, &joined), 0);
	e[0].tx = NULL;
	e[1].rx = NULL;
	return joined;
}

/* verifies link.join: halves of two links behave as one */
static void
joined_halves_are_a_link(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_link *joined = join_across(f);
	struct weir_msg msg;
	int rc;

	assert_int_equal(weir_link_status(joined), 0);
	assert_int_equal(weir_link_split(joined, &f->tx, &f->rx), 0);
	send_one(f, 70, pattern_seed(SEED, 0));
	peer_do(f->b, STEP_RECV, .n = 1, .size = 70, .seed = SEED);
	peer_do(f->b, STEP_SEND, .end = 1, .n = 1, .size = 70, .seed = 2);
	expect_one(f, 70, pattern_seed(2, 0));
	assert_int_equal(weir_tx_close(f->tx), 0);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, WEIR_EOF);
	assert_int_equal(peer_do(f->b, STEP_TX_CLOSE, .end = 1).rc, 0);
	pump_until((rc = weir_rx_recv(f->rx, &msg)) != 0);
	assert_int_equal(rc, WEIR_EOF);
	weir_tx_destroy(f->tx);
	weir_rx_destroy(f->rx);
	weir_link_destroy(joined);
}

/* verifies link.join: the first error of either half is the status */
static void
a_joined_link_has_the_first_error(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_link *joined = join_across(f);
	struct weir_msg msg;
	int rc;

	peer_do(f->b, STEP_TX_DESTROY, .end = 1);
	pump_until((rc = weir_rx_recv(joined->rx, &msg)) != 0);
	assert_int_equal(rc, -ECONNRESET);
	assert_int_equal(weir_link_status(joined), -ECONNRESET);
	assert_int_equal(weir_link_status(joined), -ECONNRESET);
	/* Sending still works: the halves are independent. */
	peer_go(f->b, STEP_RECV, .n = 1, .size = 12, .seed = SEED);
	f->tx = joined->tx;
	send_one(f, 12, pattern_seed(SEED, 0));
	peer_finish(f->b);
	/* Nor does it forget when the halves go their ways again. */
	assert_int_equal(weir_link_split(joined, &f->tx, &f->rx), 0);
	assert_int_equal(weir_link_status(joined), -ECONNRESET);
	weir_tx_destroy(f->tx);
	weir_rx_destroy(f->rx);
	assert_int_equal(weir_link_status(joined), -ECONNRESET);
	weir_link_destroy(joined);
}

/* verifies link.join: it owns both halves; destroying it aborts them */
static void
a_joined_link_owns_its_halves(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_link *joined = join_across(f), *none = NULL;

	assert_int_equal(weir_link_join(NULL, joined->rx, &none), -EINVAL);
	assert_int_equal(weir_link_join(joined->tx, NULL, &none), -EINVAL);
	assert_null(none);
	weir_link_destroy(joined);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, -ECONNRESET);
	assert_int_equal(peer_do(f->b, STEP_RESERVE_END, .end = 1).rc,
			 -ECONNRESET);
}

/* ---- forward ----------------------------------------------------------------------- */

static void
forward_one(struct fixture *f)
{
	struct weir_permit permit;
	struct weir_msg msg;

	take_msg(f, &msg);
	take_permit(f, msg.len, &permit);
	assert_int_equal(weir_msg_forward(&msg, &permit), 0);
	assert_null(msg.store);
	assert_null(permit.tx);
	weir_tx_flush(f->tx);
	audit(f);
}

/* verifies link.forward: what comes in on one link goes out on another, and
 * both the message and the permit are used up */
static void
a_message_is_passed_on(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t size = PATTERN_MIX(1000);

	link_open(f, 1, NULL, NULL);
	f->rx = f->as->ends[1].rx;
	for (uint64_t round = 0; round < repeats(f, 100); round++) {
		peer_go(f->b, STEP_SEND, .end = 1, .n = 8, .size = size,
			.seed = round);
		for (int i = 0; i < 8; i++)
			forward_one(f);
		peer_finish(f->b);
		peer_do(f->b, STEP_RECV, .n = 8, .size = size, .seed = round);
	}
	all_back(f);
}

/* verifies link.forward: too small a permit is used up, the message is kept */
static void
forward_over_the_permit_keeps_the_message(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permit;
	struct weir_msg msg;

	peer_do(f->b, STEP_SEND, .n = 1, .size = 500, .seed = SEED);
	take_msg(f, &msg);
	take_permit(f, 499, &permit);
	assert_int_equal(weir_msg_forward(&msg, &permit), -EMSGSIZE);
	assert_null(permit.tx);
	assert_non_null(msg.store);
	assert_int_equal(pattern_wrong(msg.data, 500, pattern_seed(SEED, 0)),
			 -1);
	audit(f);
	all_back(f);
	take_permit(f, 500, &permit);
	assert_int_equal(weir_msg_forward(&msg, &permit), 0);
	weir_tx_flush(f->tx);
	peer_do(f->b, STEP_RECV, .n = 1, .size = 500, .seed = SEED);
	all_back(f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(halves_work_on_two_threads),
	cmocka_unit_test(a_half_may_change_threads),
	cmocka_unit_test(receiving_goes_on_without_the_sender),
	cmocka_unit_test(receiving_goes_on_after_an_abort),
	cmocka_unit_test(sending_goes_on_without_the_receiver),
	cmocka_unit_test(halves_outlive_the_link),
	cmocka_unit_test(a_half_can_be_split_out_once),
	cmocka_unit_test(joined_halves_are_a_link),
	cmocka_unit_test(a_joined_link_has_the_first_error),
	cmocka_unit_test(a_joined_link_owns_its_halves),
	cmocka_unit_test(a_message_is_passed_on),
	cmocka_unit_test(forward_over_the_permit_keeps_the_message),
};

CASE_LIST(cases_split, tests);
