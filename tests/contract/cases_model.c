/* SPDX-License-Identifier: BSD-3-Clause */
/* Random histories against a model of what must be true after every step. */

#include <string.h>

#include "fixture.h"

#define MODEL_PERMITS 24
#define MODEL_SLOTS   24

/* What A holds, and what B must receive. */
struct model {
	struct fixture *f;
	struct weir_permit permits[MODEL_PERMITS];
	uint32_t permit_count;
	struct weir_slot slots[MODEL_SLOTS];
	uint32_t slot_count;
	uint64_t draws;
	uint64_t sent;     /* committed, numbered from 0 */
	uint64_t received; /* by B */
	uint64_t discarded;
	uint32_t lens[4096]; /* of what is under way */
};

static uint64_t
draw(struct model *m, uint64_t below)
{
	return pattern_seed(77, m->draws++) % below;
}

static void
do_reserve(struct model *m)
{
	uint32_t hint = pattern_size(3, m->draws++, PATTERN_MIX(2000));
	uint16_t n = (uint16_t)(1 + draw(m, 4));
	int rc;

	if (m->permit_count + n > MODEL_PERMITS)
		return;
	rc = weir_tx_reserve_burst(m->f->tx, hint, &m->permits[m->permit_count],
				   n);
	assert_in_range((uintmax_t)rc, 0, n);
	m->permit_count += (uint32_t)rc;
}

/* Take one of the permits, any, out of the model. */
static struct weir_permit
any_permit(struct model *m)
{
	uint32_t i = (uint32_t)draw(m, m->permit_count);
	struct weir_permit permit = m->permits[i];

	m->permits[i] = m->permits[--m->permit_count];
	return permit;
}

static struct weir_slot
any_slot(struct model *m)
{
	uint32_t i = (uint32_t)draw(m, m->slot_count);
	struct weir_slot slot = m->slots[i];

	m->slots[i] = m->slots[--m->slot_count];
	return slot;
}

static void
do_drop(struct model *m)
{
	struct weir_permit permit;

	if (m->permit_count == 0)
		return;
	permit = any_permit(m);
	weir_permit_drop(&permit);
}

static void
do_alloc(struct model *m)
{
	struct weir_permit permit;
	uint32_t len;

	if (m->permit_count == 0 || m->slot_count == MODEL_SLOTS)
		return;
	permit = any_permit(m);
	if (draw(m, 16) == 0) {
		struct weir_slot none;

		assert_int_equal(
			weir_permit_alloc(&permit, permit.size + 1, &none),
			-EMSGSIZE);
		return;
	}
	len = (uint32_t)draw(m, permit.size + UINT64_C(1));
	assert_int_equal(
		weir_permit_alloc(&permit, len, &m->slots[m->slot_count]), 0);
	m->slot_count++;
}

/* All permits, of which one may be too small for what is asked. */
static void
do_alloc_burst(struct model *m)
{
	uint32_t n = m->permit_count, lens[MODEL_PERMITS];
	bool fits = draw(m, 8) != 0;

	if (n == 0 || m->slot_count + n > MODEL_SLOTS)
		return;
	for (uint32_t i = 0; i < n; i++)
		lens[i] = (uint32_t)draw(m, m->permits[i].size + UINT64_C(1));
	if (!fits)
		lens[n / 2] = m->permits[n / 2].size + 1;
	assert_int_equal(weir_permit_alloc_burst(m->permits, lens,
						 &m->slots[m->slot_count],
						 (uint16_t)n),
			 fits ? 0 : -EMSGSIZE);
	m->permit_count = 0;
	m->slot_count += fits ? n : 0;
}

static void
do_commit_burst(struct model *m)
{
	if (m->sent - m->received + m->slot_count > 4096)
		return;
	for (uint32_t i = 0; i < m->slot_count; i++) {
		struct weir_slot *slot = &m->slots[i];

		pattern_fill(slot->data, slot->len,
			     pattern_seed(SEED, m->sent));
		m->lens[m->sent++ % 4096] = slot->len;
	}
	weir_slot_commit_burst(m->slots, (uint16_t)m->slot_count);
	m->slot_count = 0;
}

static void
do_commit(struct model *m)
{
	struct weir_slot slot;

	if (m->slot_count == 0 || m->sent - m->received == 4096)
		return;
	slot = any_slot(m);
	pattern_fill(slot.data, slot.len, pattern_seed(SEED, m->sent));
	m->lens[m->sent++ % 4096] = slot.len;
	weir_slot_commit(&slot);
	if (draw(m, 2) == 0)
		weir_tx_flush(m->f->tx);
}

static void
do_discard(struct model *m)
{
	struct weir_slot slot;

	if (m->slot_count == 0)
		return;
	slot = any_slot(m);
	memset(slot.data, 0xee, slot.len);
	weir_slot_discard(&slot);
	m->discarded++;
}

/* B takes some of what is under way; it lets go of it now or later. */
static void
do_receive(struct model *m, uint64_t most)
{
	uint64_t n = m->sent - m->received;

	if (n > most)
		n = most;
	weir_tx_flush(m->f->tx);
	for (uint64_t i = 0; i < n; i++, m->received++)
		peer_do(m->f->b, STEP_HOLD, .n = 1,
			.size = m->lens[m->received % 4096], .seed = SEED,
			.k = m->received);
	peer_do(m->f->b, STEP_CHECK);
	peer_do(m->f->b, STEP_RELEASE, .n = draw(m, 20));
}

static void
check(struct model *m)
{
	struct weir_tx_stats t;

	audit(m->f);
	weir_tx_stats(m->f->tx, &t, sizeof(t));
	assert_int_equal(t.permitted, m->permit_count);
	assert_int_equal(t.allocated, m->slot_count);
	assert_int_equal(t.messages, m->sent);
	assert_int_equal(t.discarded, m->discarded);
}

static void
random_step(struct model *m)
{
	uint64_t what = draw(m, 100);

	if (what < 35)
		do_reserve(m);
	else if (what < 42)
		do_drop(m);
	else if (what < 61)
		do_alloc(m);
	else if (what < 65)
		do_alloc_burst(m);
	else if (what < 86)
		do_commit(m);
	else if (what < 90)
		do_commit_burst(m);
	else if (what < 96)
		do_discard(m);
	else
		do_receive(m, 30);
	check(m);
}

/* verifies link.capacity: free + permitted + allocated + outstanding are the
 * capacity after every step of a long random history, per class and in all */
static void
capacity_is_conserved(void **state)
{
	static struct model m;
	struct fixture *f = link_up(state, CONFIG(.tx_credits = 64));

	m = (struct model){ .f = f };
	for (uint64_t i = 0; i < repeats(f, 30000); i++)
		random_step(&m);
	while (m.permit_count > 0) {
		do_drop(&m);
		check(&m);
	}
	while (m.slot_count > 0) {
		do_discard(&m);
		check(&m);
	}
	while (m.received < m.sent)
		do_receive(&m, 30);
	peer_do(f->b, STEP_RELEASE, .n = PEER_ALL);
	all_back(f);
	assert_int_equal(count_permits(f, 10), weir_tx_capacity(f->tx, 10));
}

/* verifies link.rx.error: the first error of a half is the only one: after it
 * nothing is delivered, though more may be there */
static void
nothing_is_delivered_after_an_error(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_msg msg, msgs[8];

	peer_do(f->b, STEP_SEND, .n = 3, .size = 20, .seed = SEED);
	peer_do(f->b, STEP_TX_DESTROY);
	for (uint64_t i = 0; i < 3; i++) {
		struct weir_msg early;
		int rc;

		pump_until((rc = weir_rx_recv(f->rx, &early)) != 0);
		if (rc < 0)
			break; /* had not got here: aborts may lose */
		weir_msg_release(&early);
	}
	assert_int_equal(expect_end(f), -ECONNRESET);
	for (int i = 0; i < 1000; i++) {
		peer_pump();
		assert_int_equal(weir_rx_recv(f->rx, &msg), -ECONNRESET);
		assert_int_equal(weir_rx_recv_burst(f->rx, msgs, 8),
				 -ECONNRESET);
		assert_int_equal(weir_rx_arm(f->rx), -ECONNRESET);
	}
	assert_int_equal(weir_rx_recv_wait(f->rx, WEIR_FOREVER, &msg),
			 -ECONNRESET);
}

/* verifies link.latch: answers about one call alone are not latched */
static void
answers_about_one_call_do_not_last(void **state)
{
	struct fixture *f = link_up(state, NULL);
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;

	for (int i = 0; i < 3; i++) {
		assert_int_equal(
			weir_tx_reserve_burst(f->tx, UINT32_MAX, &permit, 1),
			-EMSGSIZE);
		take_permit(f, 5, &permit);
		assert_int_equal(weir_tx_close(f->tx), -EBUSY);
		assert_int_equal(weir_permit_alloc(&permit, 6, &slot),
				 -EMSGSIZE);
		weir_rx_cancel(f->rx);
		assert_int_equal(weir_rx_recv_wait(f->rx,
						   limit_in_ms(WAKE_LIMIT_MS),
						   &msg),
				 -ECANCELED);
		send_one(f, 5, pattern_seed(SEED, (uint64_t)i));
		peer_do(f->b, STEP_RECV, .n = 1, .size = 5, .seed = SEED,
			.k = (uint64_t)i);
		peer_do(f->b, STEP_SEND, .n = 1, .size = 5, .seed = SEED,
			.k = (uint64_t)i);
		expect_one(f, 5, pattern_seed(SEED, (uint64_t)i));
	}
	all_back(f);
}

/* verifies link.latch: every value has a name */
static void
every_error_has_a_name(void **state)
{
	static const int values[] = { WEIR_EOF,      -ECONNRESET, -ETIMEDOUT,
				      -ECONNREFUSED, -EPROTO,     -EPIPE,
				      -EMSGSIZE,     -ECANCELED,  -EINTR,
				      -EALREADY,     -EBUSY,      -EOPNOTSUPP,
				      -EINPROGRESS };

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		const char *name = weir_strerror(values[i]);

		assert_non_null(name);
		assert_true(name[0] != '\0');
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(name, weir_strerror(values[k]));
	}
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(capacity_is_conserved),
	cmocka_unit_test(nothing_is_delivered_after_an_error),
	cmocka_unit_test(answers_about_one_call_do_not_last),
	cmocka_unit_test(every_error_has_a_name),
};

CASE_LIST(cases_model, tests);
