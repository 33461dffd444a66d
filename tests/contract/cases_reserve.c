/* SPDX-License-Identifier: BSD-3-Clause */
/* Permits: how many there are, that they come back, and waiting for them. */

#include <signal.h>
#include <string.h>

#include "fixture.h"

/* verifies link.tx.reserve: exactly the advertised count, for every hint */
static void
permits_run_dry_at_exactly_the_capacity(void **state)
{
	static const uint32_t hints[] = { 0, 1, 32, 48, 64, 200, 256, 1000 };
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 256));

	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++) {
		uint32_t n = weir_tx_capacity(f->tx, hints[i]);

		assert_true(n >= 1);
		assert_int_equal(count_permits(f, hints[i]), n);
	}
	assert_int_equal(weir_tx_capacity(f->tx, 32), 256);
	all_back(f);
}

/* verifies link.tx.reserve: at least K permits for the longest message */
static void
at_least_k_permits_for_the_longest_message(void **state)
{
	struct fixture *f = link_up(
		state, CONFIG(.msg_size_max = 1u << 20, .large_count = 3));
	uint32_t n = weir_tx_capacity(f->tx, 1u << 20);

	assert_true(n >= 3);
	assert_true(count_permits(f, 1u << 20) >= 3);
	/* Large ones out leave room for small ones. */
	for (int i = 0; i < 3; i++) {
		struct weir_permit large[3];

		for (int k = 0; k < 3; k++)
			take_permit(f, 1u << 20, &large[k]);
		assert_true(count_permits(f, 32) >= 1);
		for (int k = 0; k < 3; k++)
			weir_permit_drop(&large[k]);
	}
	all_back(f);
}

/* verifies link.tx.reserve: a stopped receiver stops the sender, at the
 * advertised count, and a single release lets it go on */
static void
a_stopped_receiver_stops_the_sender(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 128));
	uint32_t n = send_until_dry(f, 32, SEED);
	struct weir_permit permit;

	assert_int_equal(n, 128);
	for (int i = 0; i < 100; i++) {
		peer_pump();
		assert_int_equal(try_permit(f, 32, &permit), 0);
	}
	peer_do(f->b, STEP_HOLD, .n = n, .size = 32, .seed = SEED);
	assert_int_equal(try_permit(f, 32, &permit), 0);
	peer_do(f->b, STEP_CHECK);
	peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
	take_permit(f, 32, &permit);
	weir_permit_drop(&permit);
	all_back(f);
}

/* verifies link.tx.reserve: it recovers over and over */
static void
reserve_recovers_every_time(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 16));
	uint64_t rounds = repeats(f, 300);

	for (uint64_t i = 0; i < rounds; i++) {
		uint32_t n = send_until_dry(f, 100, i);

		assert_true(n >= 1);
		peer_do(f->b, STEP_RECV, .n = n, .size = 100, .seed = i);
		all_back(f);
	}
}

/* verifies link.tx.reserve: releases in any portions give that many back */
static void
each_release_gives_one_permit(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 64));
	uint32_t n = send_until_dry(f, 16, SEED);

	peer_do(f->b, STEP_HOLD, .n = n, .size = 16, .seed = SEED);
	for (uint32_t i = 1; i <= n; i *= 2) {
		struct weir_permit permits[64];

		peer_do(f->b, STEP_RELEASE, .n = i);
		for (uint32_t k = 0; k < i; k++)
			take_permit(f, 16, &permits[k]);
		assert_int_equal(count_permits(f, 16), 0);
		for (uint32_t k = 0; k < i; k++) {
			struct weir_slot slot;

			assert_int_equal(
				weir_permit_alloc(&permits[k], 16, &slot), 0);
			pattern_fill(slot.data, 16, pattern_seed(i, k));
			commit(f, &slot);
		}
		peer_do(f->b, STEP_HOLD, .n = i, .size = 16, .seed = i);
	}
	peer_do(f->b, STEP_CHECK);
	peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
	all_back(f);
}

/* verifies link.tx.reserve: a burst grants what there is, no more, no less */
static void
a_burst_grants_what_there_is(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 64));
	struct weir_permit permits[100];

	assert_int_equal(weir_tx_reserve_burst(f->tx, 16, permits, 40), 40);
	audit(f);
	assert_int_equal(weir_tx_reserve_burst(f->tx, 16, permits + 40, 60),
			 24);
	audit(f);
	assert_int_equal(weir_tx_reserve_burst(f->tx, 16, permits + 64, 1), 0);
	for (int i = 0; i < 64; i++) {
		assert_ptr_equal(permits[i].tx, f->tx);
		assert_int_equal(permits[i].size, 16);
		weir_permit_drop(&permits[i]);
		audit(f);
	}
	all_back(f);
}

/* The causes add up to what reserve found wanting. */
static struct weir_tx_stats
waits(struct fixture *f)
{
	struct weir_tx_stats s;

	weir_tx_stats(f->tx, &s, sizeof(s));
	assert_int_equal(s.reserve_waits,
			 s.reserve_wait_down + s.reserve_wait_credit +
				 s.reserve_wait_queue + s.reserve_wait_small +
				 s.reserve_wait_large);
	return s;
}

/* verifies link.tx.reserve: what it lacks is counted by its cause */
static void
a_reserve_in_vain_counts_its_cause(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 16));
	uint32_t max = weir_tx_msg_size_max(f->tx), n;
	struct weir_permit permits[64], one;
	struct weir_tx_stats before = waits(f), after;

	n = (uint32_t)weir_tx_reserve_burst(f->tx, 16, permits, 64);
	assert_in_range(n, 1, 16);
	assert_int_equal(waits(f).reserve_waits, before.reserve_waits);
	assert_int_equal(weir_tx_reserve_burst(f->tx, 16, &one, 1), 0);
	after = waits(f);
	assert_int_equal(after.reserve_waits, before.reserve_waits + 1);
	assert_int_equal(after.reserve_wait_down, before.reserve_wait_down);
	assert_int_equal(after.reserve_wait_large, before.reserve_wait_large);
	while (n > 0)
		weir_permit_drop(&permits[--n]);

	if (after.class_count > 1 &&
	    after.classes[after.class_count - 1].total < after.capacity) {
		n = (uint32_t)weir_tx_reserve_burst(f->tx, max, permits, 64);
		assert_in_range(n, 1, 15);
		assert_int_equal(weir_tx_reserve_burst(f->tx, max, &one, 1), 0);
		assert_int_equal(waits(f).reserve_wait_large,
				 after.reserve_wait_large + 1);
		while (n > 0)
			weir_permit_drop(&permits[--n]);
	}
	all_back(f);
}

/* verifies link.tx.reserve: a hint over the limit is refused, not latched */
static void
a_hint_over_the_limit_is_refused(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint32_t max = weir_tx_msg_size_max(f->tx);
	struct weir_permit permit;

	for (int i = 0; i < 3; i++)
		assert_int_equal(
			weir_tx_reserve_burst(f->tx, max + 1, &permit, 1),
			-EMSGSIZE);
	assert_int_equal(
		weir_tx_reserve_wait(f->tx, max + 1, in_ms(1000), &permit),
		-EMSGSIZE);
	assert_int_equal(weir_tx_arm(f->tx, max + 1), -EMSGSIZE);
	assert_int_equal(weir_tx_capacity(f->tx, max + 1), 0);
	take_permit(f, max, &permit);
	weir_permit_drop(&permit);
	all_back(f);
}

/* verifies link.tx.permit.drop: by the million, then all are still there */
static void
dropped_permits_come_back(void **state)
{
	struct fixture *f = link_up(state, NULL);
	uint64_t n = repeats(f, 10000000);
	struct weir_permit permit;

	for (uint64_t i = 0; i < n; i++) {
		assert_true(weir_tx_reserve_burst(f->tx, (uint32_t)(i % 5000),
						  &permit, 1) == 1);
		weir_permit_drop(&permit);
		if (i % 4096 == 0)
			audit(f);
	}
	assert_int_equal(count_permits(f, 32), weir_tx_capacity(f->tx, 32));
	all_back(f);
	send_one(f, 10, pattern_seed(SEED, 0));
	peer_do(f->b, STEP_RECV, .n = 1, .size = 10, .seed = SEED);
}

/* verifies link.tx.permit.drop: in any order, between commits; unseen */
static void
drops_between_commits_publish_nothing(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 32));
	uint64_t sent = 0;

	for (uint64_t round = 0; round < repeats(f, 500); round++) {
		struct weir_permit p[3];

		for (int i = 0; i < 3; i++)
			take_permit(f, 24, &p[i]);
		weir_permit_drop(&p[round % 3]);
		audit(f);
		weir_permit_drop(&p[(round + 1) % 3]);
		audit(f);
		peer_go(f->b, STEP_RECV, .n = 1, .size = 24, .seed = SEED,
			.k = sent);
		{
			struct weir_slot slot;

			assert_int_equal(weir_permit_alloc(&p[(round + 2) % 3],
							   24, &slot),
					 0);
			pattern_fill(slot.data, 24, pattern_seed(SEED, sent));
			commit(f, &slot);
		}
		peer_finish(f->b);
		sent++;
	}
	all_back(f);
	assert_int_equal(peer_do(f->b, STEP_COUNTERS).rx_messages, sent);
}

/* ---- abandoned waits -------------------------------------------------------- */

/* verifies link.tx.cancel-safe: a deadline that passes is 0 and costs none */
static void
a_wait_ends_at_its_deadline(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 16));
	uint32_t n = send_until_dry(f, 16, SEED);
	struct weir_permit permit;

	for (uint64_t i = 0; i < 20; i++) {
		/* Some pass while it still spins, some while it sleeps. */
		uint64_t deadline_ns =
			weir_now_ns() + (i % 2 == 0 ? 20000 : 1000000) + i;

		assert_int_equal(
			weir_tx_reserve_wait(f->tx, 16, deadline_ns, &permit),
			0);
		assert_true(weir_now_ns() >= deadline_ns);
		audit(f);
	}
	/* One that passed long ago: a single try. */
	assert_int_equal(weir_tx_reserve_wait(f->tx, 16, 1, &permit), 0);
	peer_do(f->b, STEP_RECV, .n = n, .size = 16, .seed = SEED);
	all_back(f);
	assert_int_equal(weir_tx_reserve_wait(f->tx, 16, in_ms(1000), &permit),
			 1);
	weir_permit_drop(&permit);
	all_back(f);
}

/* verifies link.tx.cancel-safe: cancel before a wait ends the next wait, once;
 * polling calls do not see it */
static void
a_cancel_before_the_wait_ends_it_once(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 16));
	struct weir_permit permit;
	uint32_t n;

	n = send_until_dry(f, 16, SEED);
	weir_tx_cancel(f->tx);
	assert_int_equal(try_permit(f, 16, &permit), 0);
	assert_int_equal(weir_tx_reserve_wait(f->tx, 16,
					      limit_in_ms(WAKE_LIMIT_MS),
					      &permit),
			 -ECANCELED);
	assert_int_equal(weir_tx_reserve_wait(f->tx, 16, in_ms(5), &permit), 0);
	audit(f);
	peer_do(f->b, STEP_RECV, .n = n, .size = 16, .seed = SEED);
	all_back(f);
}

struct waiter {
	struct fixture *f;
	atomic_int at; /* number of the wait under way */
	int rounds;
	int wanted;
};

static const char *
wait_for_permits(void *arg)
{
	struct waiter *w = arg;
	struct weir_permit permit;

	for (int i = 1; i <= w->rounds; i++) {
		int rc;

		atomic_store(&w->at, i);
		rc = weir_tx_reserve_wait(w->f->tx, 16,
					  limit_in_ms(WAKE_LIMIT_MS), &permit);
		if (rc == 1)
			return "a permit out of nothing";
		if (rc != w->wanted)
			return weir_strerror(rc == 0 ? -ETIME : rc);
	}
	return NULL;
}

static void
pump_for_us(uint64_t us)
{
	uint64_t until_ns = weir_now_ns() + us * 1000;

	while (weir_now_ns() < until_ns)
		peer_pump();
}

/* verifies link.tx.cancel-safe: cancel from another thread, at every point of
 * the wait: while it spins and while it sleeps */
static void
a_cancel_from_another_thread_wakes_the_wait(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 16));
	struct waiter w = { .f = f, .rounds = 100, .wanted = -ECANCELED };
	uint32_t n = send_until_dry(f, 16, SEED);
	struct user user;

	user_start(&user, wait_for_permits, &w);
	for (int i = 1; i <= w.rounds; i++) {
		pump_until(atomic_load(&w.at) == i || atomic_load(&user.done));
		pump_for_us((uint64_t)(i * 37 % 300));
		weir_tx_cancel(f->tx);
	}
	user_finish(&user);
	audit(f);
	peer_do(f->b, STEP_RECV, .n = n, .size = 16, .seed = SEED);
	all_back(f);
}

static void
on_user_signal(int number)
{
	(void)number;
}

/* A handler without SA_RESTART. */
static void
catch_user_signal(void)
{
	struct sigaction action = { .sa_handler = on_user_signal };

	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

/* verifies link.tx.cancel-safe: a signal ends a sleeping wait with -EINTR */
static void
a_signal_ends_the_wait(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 16));
	struct waiter w = { .f = f, .rounds = 10, .wanted = -EINTR };
	uint32_t n = send_until_dry(f, 16, SEED);
	uint64_t pause_us;
	struct user user;

	catch_user_signal();
	user_start(&user, wait_for_permits, &w);
	for (int i = 1; i <= w.rounds; i++) {
		/* A signal that hits it awake is not seen: send it again. */
		pump_until(atomic_load(&w.at) == i || atomic_load(&user.done));
		pause_us = 200;
		while (atomic_load(&w.at) == i && !atomic_load(&user.done))
			user_signal(&user, SIGUSR1, &pause_us);
	}
	user_finish(&user);
	audit(f);
	peer_do(f->b, STEP_RECV, .n = n, .size = 16, .seed = SEED);
	all_back(f);
}

struct abandoner {
	struct fixture *f;
	uint64_t sent, wanted;
};

/* Waits with deadlines of any length; what it gets, it sends. */
static const char *
abandon_waits(void *arg)
{
	struct abandoner *a = arg;

	for (uint64_t i = 0; a->sent < a->wanted; i++) {
		uint64_t patience_ns = pattern_seed(5, i) % 100000;
		struct weir_permit permit;
		struct weir_slot slot;
		int rc;

		rc = weir_tx_reserve_wait(a->f->tx, 24,
					  weir_now_ns() + patience_ns, &permit);
		if (rc == 0 || rc == -ECANCELED)
			continue;
		if (rc != 1)
			return weir_strerror(rc);
		if (i % 3 == 0) {
			weir_permit_drop(&permit);
			continue;
		}
		if (weir_permit_alloc(&permit, 24, &slot) != 0)
			return "alloc failed";
		pattern_fill(slot.data, 24, pattern_seed(SEED, a->sent));
		weir_slot_commit(&slot);
		weir_tx_flush(a->f->tx);
		a->sent++;
	}
	return NULL;
}

/* verifies link.tx.cancel-safe: waits abandoned at random points, with the
 * receiver at work, lose no message and no credit */
static void
abandoned_waits_leak_nothing(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 8));
	struct abandoner a = { .f = f, .wanted = repeats(f, 4000) };
	struct user user;

	peer_go(f->b, STEP_RECV, .n = a.wanted, .size = 24, .seed = SEED);
	user_start(&user, abandon_waits, &a);
	for (uint64_t i = 0; !atomic_load(&user.done); i++) {
		if (i % 7 == 0)
			weir_tx_cancel(f->tx);
		peer_pump();
	}
	user_finish(&user);
	peer_finish(f->b);
	audit(f);
	all_back(f);
}

static const char *
wait_then_send(void *arg)
{
	struct abandoner *a = arg;
	struct weir_permit permit;
	struct weir_slot slot;

	while (a->sent < a->wanted) {
		int rc = reserve_in(a->f->tx, 24, WAKE_LIMIT_MS, &permit);

		if (rc == 0)
			return "not woken when the receiver released";
		if (rc != 1)
			return weir_strerror(rc);
		if (weir_permit_alloc(&permit, 24, &slot) != 0)
			return "alloc failed";
		pattern_fill(slot.data, 24, pattern_seed(SEED, a->sent));
		weir_slot_commit(&slot);
		weir_tx_flush(a->f->tx);
		a->sent++;
	}
	return NULL;
}

/* verifies link.tx.reserve: a waiting reserve is woken by a release */
static void
a_waiting_reserve_is_woken_by_a_release(void **state)
{
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 4));
	struct abandoner a = { .f = f, .wanted = repeats(f, 2000) };
	struct user user;
	uint64_t got = 0;

	user_start(&user, wait_then_send, &a);
	while (got < a.wanted) {
		uint64_t n = a.wanted - got < 4 ? a.wanted - got : 4;

		peer_do(f->b, STEP_HOLD, .n = n, .size = 24, .seed = SEED,
			.k = got);
		/* Give it time to fall asleep, now and then. */
		if (got % 64 == 0)
			pump_for_us(300);
		peer_do(f->b, STEP_RELEASE, .n = n);
		got += n;
	}
	user_finish(&user);
	all_back(f);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(permits_run_dry_at_exactly_the_capacity),
	cmocka_unit_test(at_least_k_permits_for_the_longest_message),
	cmocka_unit_test(a_stopped_receiver_stops_the_sender),
	cmocka_unit_test(reserve_recovers_every_time),
	cmocka_unit_test(each_release_gives_one_permit),
	cmocka_unit_test(a_burst_grants_what_there_is),
	cmocka_unit_test(a_reserve_in_vain_counts_its_cause),
	cmocka_unit_test(a_hint_over_the_limit_is_refused),
	cmocka_unit_test(dropped_permits_come_back),
	cmocka_unit_test(drops_between_commits_publish_nothing),
	cmocka_unit_test(a_wait_ends_at_its_deadline),
	cmocka_unit_test(a_cancel_before_the_wait_ends_it_once),
	cmocka_unit_test(a_cancel_from_another_thread_wakes_the_wait),
	cmocka_unit_test(a_signal_ends_the_wait),
	cmocka_unit_test(abandoned_waits_leak_nothing),
	cmocka_unit_test(a_waiting_reserve_is_woken_by_a_release),
};

CASE_LIST(cases_reserve, tests);
