/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Several threads on one send half, where it was opened for that. Peer B sends
 * back what it receives, in the order in which it came:
 *
 *     sender 0 --+
 *     sender 1 --+--> A's tx ====> B ====> A's rx: is each one's order kept,
 *     sender 2 --+                         is nothing missing?
 */

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "fixture.h"

#define THREADS_MAX 4u

/* What a message of these begins with. */
struct head {
	uint32_t thread;
	uint32_t number;
};

#define MOST 6000u /* bytes: several classes, some behind their header */

static uint32_t
length_of(const struct head *head)
{
	uint64_t draw = pattern_seed(head->thread + 10, head->number);
	uint32_t most = draw % 16 == 0 ? MOST : draw % 4 == 0 ? 600 : 48;

	return (uint32_t)sizeof(*head) +
	       (uint32_t)(draw >> 32) % (most - (uint32_t)sizeof(*head) + 1);
}

static struct fixture *
multi_link(void **state, const struct weir_link_config *config)
{
	struct fixture *f = fixture_of(state);

	for (unsigned int k = 0; k < f->v->carriers; k++)
		if ((f->as->ports[k]->driver->caps & WEIR_CAP_MULTI_PRODUCER) ==
		    0)
			case_skip(f, "a driver of this has no such send half");
	return link_up(state, config);
}

static struct fixture *
multi_up(void **state, uint32_t credits, uint32_t most)
{
	return multi_link(state,
			  CONFIG(.tx_credits = credits, .msg_size_max = most,
				 .flags = WEIR_LINK_MULTI_PRODUCER));
}

/* ---- senders ------------------------------------------------------------------- */

struct sender {
	struct fixture *f;
	struct user user;
	uint32_t thread;
	uint32_t n;
	uint32_t burst;   /* permits at a time, that fit the longest */
	atomic_uint sent; /* so far */
};

static bool
write_slot(const struct sender *s, uint32_t number, struct weir_permit *permit,
	   struct weir_slot *slot)
{
	struct head head = { s->thread, number };
	uint32_t len = length_of(&head);

	if (weir_permit_alloc(permit, len, slot) != 0)
		return false;
	memcpy(slot->data, &head, sizeof(head));
	pattern_fill((uint8_t *)slot->data + sizeof(head),
		     len - (uint32_t)sizeof(head),
		     pattern_seed(head.thread, head.number));
	return true;
}

static bool
write_and_commit(struct sender *s, struct weir_permit *permit)
{
	struct weir_slot slot;

	if (!write_slot(s, atomic_load(&s->sent), permit, &slot))
		return false;
	weir_slot_commit(&slot);
	atomic_fetch_add(&s->sent, 1);
	return true;
}

/* All of them with one commit. @return NULL; what failed. */
static const char *
commit_together(struct sender *s, struct weir_permit *permits, uint32_t n)
{
	uint32_t sent = atomic_load(&s->sent);
	struct weir_slot slots[8];

	for (uint32_t i = 0; i < n; i++)
		if (!write_slot(s, sent + i, &permits[i], &slots[i]))
			return "alloc failed";
	weir_slot_commit_burst(slots, (uint16_t)n);
	atomic_fetch_add(&s->sent, n);
	return NULL;
}

/* Some of what is reserved is thrown away, as a permit or as a slot. */
static bool
use_permit(struct sender *s, struct weir_permit *permit, uint64_t draw)
{
	struct weir_slot slot;

	if (draw % 8 == 0) {
		weir_permit_drop(permit);
		return true;
	}
	if (draw % 8 != 1)
		return write_and_commit(s, permit);
	if (weir_permit_alloc(permit, (uint32_t)(draw >> 8) % MOST, &slot) != 0)
		return false;
	weir_slot_discard(&slot);
	return true;
}

static int
reserve_some(struct sender *s, struct weir_permit *permits)
{
	int rc = weir_tx_reserve_burst(s->f->tx, MOST, permits,
				       (uint16_t)s->burst);

	return rc != 0 ? rc
		       : reserve_in(s->f->tx, MOST, WAKE_LIMIT_MS, permits);
}

static const char *
send_bursts(void *arg)
{
	struct sender *s = arg;
	struct weir_permit permits[8];
	const char *wrong = NULL;
	uint32_t left;
	int rc;

	while (wrong == NULL && (left = s->n - atomic_load(&s->sent)) > 0) {
		if (s->burst > left)
			s->burst = left;
		rc = reserve_some(s, permits);
		if (rc < 1)
			return rc == 0 ? "no permit in time"
				       : weir_strerror(rc);
		wrong = commit_together(s, permits, (uint32_t)rc);
	}
	return wrong;
}

static const char *
send_mixed(void *arg)
{
	struct sender *s = arg;
	struct weir_permit permits[8];
	uint64_t draw = s->thread;
	int rc;

	while (atomic_load(&s->sent) < s->n) {
		rc = reserve_some(s, permits);
		if (rc < 1)
			return rc == 0 ? "no permit in time"
				       : weir_strerror(rc);
		for (int i = 0; i < rc; i++) {
			draw = pattern_mix(draw);
			if (atomic_load(&s->sent) == s->n)
				weir_permit_drop(&permits[i]);
			else if (!use_permit(s, &permits[i], draw))
				return "alloc failed";
		}
	}
	return NULL;
}

static void
senders_start(struct sender *senders, uint32_t count, struct fixture *f,
	      uint32_t n, user_fn fn)
{
	for (uint32_t i = 0; i < count; i++) {
		senders[i].f = f;
		senders[i].thread = i;
		senders[i].n = n;
		senders[i].burst = 1 + 3 * (i % 2);
		atomic_init(&senders[i].sent, 0);
	}
	for (uint32_t i = 0; i < count; i++)
		user_start(&senders[i].user, fn, &senders[i]);
}

static void
senders_finish(struct sender *senders, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		user_finish(&senders[i].user);
}

/* ---- what came back ------------------------------------------------------------ */

/* One message; in its thread's order, whole. */
static void
expect_next(struct fixture *f, uint32_t *seen)
{
	struct weir_msg msg;
	struct head head;

	take_msg(f, &msg);
	assert_true(msg.len >= sizeof(head));
	memcpy(&head, msg.data, sizeof(head));
	assert_true(head.thread < THREADS_MAX);
	assert_int_equal(head.number, seen[head.thread]);
	assert_int_equal(msg.len, length_of(&head));
	assert_int_equal(pattern_wrong((const uint8_t *)msg.data + sizeof(head),
				       msg.len - (uint32_t)sizeof(head),
				       pattern_seed(head.thread, head.number)),
			 -1);
	seen[head.thread]++;
	weir_msg_release(&msg);
}

static void
check_counters(struct fixture *f, struct sender *senders, uint32_t count,
	       bool discards)
{
	uint64_t messages = 0, bytes = 0;
	struct weir_tx_stats t;

	for (uint32_t i = 0; i < count; i++) {
		messages += senders[i].n;
		for (uint32_t k = 0; k < senders[i].n; k++)
			bytes += length_of(&(struct head){ i, k });
	}
	all_back(f);
	weir_tx_stats(f->tx, &t, sizeof(t));
	assert_int_equal(t.messages, messages);
	assert_int_equal(t.payload_bytes, bytes);
	assert_int_equal(t.discarded > 0, discards);
}

static void
send_and_compare(void **state, uint32_t threads, uint32_t credits, uint32_t n,
		 user_fn fn)
{
	struct fixture *f = multi_up(state, credits, 0);
	struct sender senders[THREADS_MAX];
	uint32_t seen[THREADS_MAX] = { 0 };

	n = (uint32_t)repeats(f, n);
	peer_go(f->b, STEP_ECHO, .n = threads * n);
	senders_start(senders, threads, f, n, fn);
	for (uint32_t i = 0; i < threads * n; i++)
		expect_next(f, seen);
	senders_finish(senders, threads);
	peer_finish(f->b);
	check_counters(f, senders, threads, fn == send_mixed);
}

/* verifies link.tx.sync: nothing is lost, each thread's order is kept */
static void
two_threads_keep_their_order(void **state)
{
	send_and_compare(state, 2, 64, 2000, send_mixed);
}

/* verifies link.tx.sync: the same of commits of several messages each */
static void
bursts_of_two_threads_keep_their_order(void **state)
{
	send_and_compare(state, 2, 64, 2000, send_bursts);
}

/* verifies link.tx.sync: the same with more threads than processors, and so few
 * permits that all of them wait for each other */
static void
four_threads_share_few_permits(void **state)
{
	send_and_compare(state, 4, 4, 400, send_mixed);
}

/* ---- open slots ---------------------------------------------------------------- */

/* verifies link.tx.sync: slots that one thread holds open delay no commit of
 * another one */
static void
an_open_slot_delays_no_other_thread(void **state)
{
	struct fixture *f = multi_up(state, 64, 0);
	struct weir_slot held[16];
	struct sender senders[2];
	uint32_t seen[THREADS_MAX] = { 0 };
	uint32_t n = (uint32_t)repeats(f, 300);

	for (int i = 0; i < 16; i++)
		open_filled(f, i % 2 == 0 ? 40 : 400, SEED, &held[i]);
	peer_go(f->b, STEP_ECHO, .n = 2 * n);
	senders_start(senders, 2, f, n, send_mixed);
	for (uint32_t i = 0; i < 2 * n; i++)
		expect_next(f, seen);
	senders_finish(senders, 2);
	peer_finish(f->b);

	peer_go(f->b, STEP_ECHO, .n = 8);
	for (int i = 15; i >= 0; i--)
		if (i < 8)
			weir_slot_commit(&held[i]);
		else
			weir_slot_discard(&held[i]);
	for (int i = 7; i >= 0; i--)
		expect_one(f, i % 2 == 0 ? 40 : 400, SEED);
	peer_finish(f->b);
	all_back(f);
}

struct handed {
	struct weir_permit permits[64];
	int count;
};

static const char *
use_up(void *arg)
{
	struct handed *handed = arg;
	struct weir_slot slot;

	for (int i = 0; i < handed->count; i++) {
		if (weir_permit_alloc(&handed->permits[i], 20, &slot) != 0)
			return "alloc failed";
		pattern_fill(slot.data, 20, SEED);
		weir_slot_commit(&slot);
	}
	return NULL;
}

/* verifies link.tx.sync: a permit is sound on whatever thread it is used */
static void
permits_may_change_threads(void **state)
{
	struct fixture *f = multi_up(state, 64, 0);
	struct handed handed[2];
	struct user users[2];

	for (uint64_t round = 0; round < repeats(f, 20); round++) {
		for (int i = 0; i < 2; i++)
			handed[i].count = weir_tx_reserve_burst(
				f->tx, 20, handed[i].permits, 32);
		assert_int_equal(handed[0].count + handed[1].count, 64);
		assert_int_equal(weir_tx_close(f->tx), -EBUSY);
		peer_go(f->b, STEP_ECHO, .n = 64);
		for (int i = 0; i < 2; i++)
			user_start(&users[i], use_up, &handed[i]);
		for (int i = 0; i < 64; i++)
			expect_one(f, 20, SEED);
		for (int i = 0; i < 2; i++)
			user_finish(&users[i]);
		peer_finish(f->b);
		all_back(f);
	}
}

/* ---- waiting ------------------------------------------------------------------- */

/* A thread in one wait, and how it ended. */
struct waiter {
	struct fixture *f;
	struct user user;
	uint32_t hint;
	struct weir_permit permit;
	int rc;
};

static const char *
wait_once(void *arg)
{
	struct waiter *w = arg;

	w->rc = reserve_in(w->f->tx, w->hint, WAKE_LIMIT_MS, &w->permit);
	return NULL;
}

static void
waiters_start(struct waiter *waiters, int count, struct fixture *f)
{
	for (int i = 0; i < count; i++) {
		waiters[i].f = f;
		waiters[i].hint = i % 2 == 0 ? 20 : MOST;
		user_start(&waiters[i].user, wait_once, &waiters[i]);
	}
}

static int
count_done(struct waiter *waiters, int count)
{
	int done = 0;

	for (int i = 0; i < count; i++)
		done += atomic_load(&waiters[i].user.done);
	return done;
}

static void
expect_all(struct waiter *waiters, int count, int rc)
{
	for (int i = 0; i < count; i++) {
		user_finish(&waiters[i].user);
		assert_int_equal(waiters[i].rc, rc);
	}
}

/* All permits there are, so that every wait is one. */
static void
take_all(struct fixture *f, struct weir_permit *permits, uint16_t n)
{
	assert_int_equal(weir_tx_reserve_burst(f->tx, 20, permits, n), n);
}

/* Long enough that most are asleep, now and then. */
static void
let_them_sleep(uint64_t round)
{
	uint64_t until_ns = weir_now_ns() + round % 4 * 100000;

	while (weir_now_ns() < until_ns)
		peer_pump();
}

/* All of them, surely enough. */
static void
let_all_sleep(void)
{
	for (uint64_t until_ns = in_ms(20); weir_now_ns() < until_ns;)
		peer_pump();
}

/* verifies link.tx.sync: what one thread drops another one has waited for */
static void
a_drop_wakes_a_thread_that_waits(void **state)
{
	struct fixture *f = multi_up(state, 4, 0);
	struct weir_permit permits[4];
	struct waiter waiters[4];

	for (uint64_t round = 0; round < repeats(f, 16); round++) {
		take_all(f, permits, 4);
		waiters_start(waiters, 4, f);
		for (int i = 0; i < 4; i++) {
			let_them_sleep(round);
			weir_permit_drop(&permits[i]);
			pump_until(count_done(waiters, 4) > i);
		}
		expect_all(waiters, 4, 1);
		for (int i = 0; i < 4; i++)
			weir_permit_drop(&waiters[i].permit);
		all_back(f);
	}
}

/* verifies link.tx.sync: releases of the peer reach all threads that wait */
static void
releases_wake_all_threads_that_wait(void **state)
{
	struct fixture *f = multi_up(state, 4, 0);
	struct waiter waiters[4];

	for (uint64_t round = 0; round < repeats(f, 16); round++) {
		for (uint64_t i = 0; i < 4; i++)
			send_one(f, 20, pattern_seed(SEED, i));
		peer_do(f->b, STEP_HOLD, .n = 4, .size = 20, .seed = SEED);
		waiters_start(waiters, 4, f);
		let_them_sleep(round);
		peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
		expect_all(waiters, 4, 1);
		for (int i = 0; i < 4; i++)
			weir_permit_drop(&waiters[i].permit);
		all_back(f);
	}
}

/* verifies link.tx.sync: each cancel ends one wait */
static void
each_cancel_ends_one_wait(void **state)
{
	struct fixture *f = multi_up(state, 4, 0);
	struct weir_permit permits[4];
	struct waiter waiters[3];

	take_all(f, permits, 4);
	for (uint64_t round = 0; round < repeats(f, 16); round++) {
		waiters_start(waiters, 3, f);
		for (int i = 0; i < 3; i++) {
			let_them_sleep(round);
			weir_tx_cancel(f->tx);
			if (round % 2 == 0)
				pump_until(count_done(waiters, 3) > i);
		}
		expect_all(waiters, 3, -ECANCELED);
	}
	for (int i = 0; i < 4; i++)
		weir_permit_drop(&permits[i]);
	all_back(f);
}

/* verifies link.tx.sync: an error is told to every thread that waits */
static void
a_reset_ends_every_wait(void **state)
{
	struct fixture *f = multi_up(state, 4, 0);
	struct weir_permit permits[4];
	struct waiter waiters[4];

	take_all(f, permits, 4);
	waiters_start(waiters, 4, f);
	let_all_sleep();
	peer_do(f->b, STEP_RX_DESTROY);
	expect_all(waiters, 4, -ECONNRESET);
	for (int i = 0; i < 4; i++)
		weir_permit_drop(&permits[i]);
}

/* verifies link.tx.sync: so is the death of the peer's process */
static void
a_death_ends_every_wait(void **state)
{
	struct fixture *f = fixture_of(state);
	struct weir_permit permits[4];
	struct waiter waiters[4];

	if ((f->v->flags & VARIANT_CHILD) == 0)
		case_skip(f, "the peer lives in this process: it cannot die "
			     "alone");
	f = multi_link(state, CONFIG(.tx_credits = 4, .keepalive_ns = 100000000,
				     .dead_timeout_ns = 1000000000,
				     .flags = WEIR_LINK_MULTI_PRODUCER));
	take_all(f, permits, 4);
	waiters_start(waiters, 4, f);
	let_all_sleep();
	kill_b(f);
	expect_all(waiters, 4, -ETIMEDOUT);
	for (int i = 0; i < 4; i++)
		weir_permit_drop(&permits[i]);
}

/* verifies link.tx.sync: so is a close by one of them */
static void
a_close_ends_every_wait(void **state)
{
	struct fixture *f = multi_up(state, 4, 0);
	struct waiter waiters[4];

	peer_go(f->b, STEP_HOLD, .n = 4, .size = 20, .seed = SEED);
	for (uint64_t i = 0; i < 4; i++)
		send_one(f, 20, pattern_seed(SEED, i));
	peer_finish(f->b);
	waiters_start(waiters, 4, f);
	let_all_sleep();
	pump_until(weir_tx_close(f->tx) == 0);
	assert_int_equal(weir_tx_close(f->tx), -EALREADY);
	expect_all(waiters, 4, -EPIPE);
	peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
	assert_int_equal(peer_do(f->b, STEP_DRAIN).rc, WEIR_EOF);
}

/* ---- close --------------------------------------------------------------------- */

/* Sends empty messages until somebody closes the half. */
static const char *
send_till_closed(void *arg)
{
	struct sender *s = arg;
	struct weir_permit permit;
	struct weir_slot slot;
	int rc;

	while ((rc = reserve_in(s->f->tx, 20, WAKE_LIMIT_MS, &permit)) == 1) {
		if (weir_permit_alloc(&permit, 0, &slot) != 0)
			return "alloc failed";
		weir_slot_commit(&slot);
		atomic_fetch_add(&s->sent, 1);
	}
	return rc == -EPIPE ? NULL : weir_strerror(rc);
}

static uint32_t
sum_sent(struct sender *senders, uint32_t count)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < count; i++)
		sum += atomic_load(&senders[i].sent);
	return sum;
}

/* verifies link.tx.sync: a close among threads that send either changes
 * nothing or comes after the last message, of which none is lost */
static void
a_close_among_senders_loses_nothing(void **state)
{
	struct fixture *f = multi_up(state, 16, 0);
	struct sender senders[3];
	struct answer drained;
	int rc;

	peer_go(f->b, STEP_DRAIN);
	senders_start(senders, 3, f, UINT32_MAX, send_till_closed);
	pump_until(sum_sent(senders, 3) > 100);
	while ((rc = weir_tx_close(f->tx)) == -EBUSY)
		peer_pump();
	assert_int_equal(rc, 0);
	senders_finish(senders, 3);
	drained = peer_finish(f->b);
	assert_int_equal(drained.rc, WEIR_EOF);
	assert_int_equal(drained.n, sum_sent(senders, 3));
}

/* verifies link.tx.sync: as long as one thread has a permit there is no close,
 * whatever the others are doing */
static void
a_permit_that_is_out_keeps_the_half_open(void **state)
{
	struct fixture *f = multi_up(state, 16, 0);
	struct sender senders[2];
	uint32_t seen[THREADS_MAX] = { 0 };
	uint32_t n = (uint32_t)repeats(f, 300);
	struct weir_permit permit;

	assert_int_equal(reserve_in(f->tx, 20, WAKE_LIMIT_MS, &permit), 1);
	peer_go(f->b, STEP_ECHO, .n = 2 * n);
	senders_start(senders, 2, f, n, send_mixed);
	for (uint32_t i = 0; i < 2 * n; i++) {
		assert_int_equal(weir_tx_close(f->tx), -EBUSY);
		expect_next(f, seen);
	}
	senders_finish(senders, 2);
	peer_finish(f->b);
	assert_int_equal(weir_tx_close(f->tx), -EBUSY);
	weir_permit_drop(&permit);
	pump_until(weir_tx_close(f->tx) == 0);
}

/* ---- signals ------------------------------------------------------------------- */

static void
on_signal(int number)
{
	(void)number;
}

/* verifies link.tx.sync: a wait that a signal has ended waits no more: nobody
 * is woken for it */
static void
a_signal_leaves_no_sleeper(void **state)
{
	struct sigaction now = { .sa_handler = on_signal }, before;
	struct fixture *f = multi_up(state, 4, 0);
	struct weir_permit permits[4];
	struct waiter waiter;
	uint64_t pause_us = 200;
	struct pollfd fd;

	assert_int_equal(sigaction(SIGUSR2, &now, &before), 0);
	take_all(f, permits, 4);
	waiters_start(&waiter, 1, f);
	while (!atomic_load(&waiter.user.done))
		user_signal(&waiter.user, SIGUSR2, &pause_us);
	expect_all(&waiter, 1, -EINTR);
	for (int i = 0; i < 4; i++)
		weir_permit_drop(&permits[i]);
	fd = (struct pollfd){ .fd = weir_tx_fd(f->tx), .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 0), 0);
	assert_int_equal(sigaction(SIGUSR2, &before, NULL), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(two_threads_keep_their_order),
	cmocka_unit_test(bursts_of_two_threads_keep_their_order),
	cmocka_unit_test(four_threads_share_few_permits),
	cmocka_unit_test(an_open_slot_delays_no_other_thread),
	cmocka_unit_test(permits_may_change_threads),
	cmocka_unit_test(a_drop_wakes_a_thread_that_waits),
	cmocka_unit_test(releases_wake_all_threads_that_wait),
	cmocka_unit_test(each_cancel_ends_one_wait),
	cmocka_unit_test(a_reset_ends_every_wait),
	cmocka_unit_test(a_death_ends_every_wait),
	cmocka_unit_test(a_close_ends_every_wait),
	cmocka_unit_test(a_close_among_senders_loses_nothing),
	cmocka_unit_test(a_permit_that_is_out_keeps_the_half_open),
	cmocka_unit_test(a_signal_leaves_no_sleeper),
};

CASE_LIST(cases_multi, tests);
