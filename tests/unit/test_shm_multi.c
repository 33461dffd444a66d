/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a receiver sees of a thread that the scheduler stops inside commit, or
 * that dies there, while others go on. The stopped thread is played: it takes
 * its number, as weir_shm_multi_commit() does first, and stands still.
 */

#include "shm_pair.h"

#include <sys/socket.h>

#include "shm_multi.h"

#define CREDITS 8

static struct weir_slot
slot_of(struct weir_tx *tx, uint64_t value)
{
	struct weir_permit permit;
	struct weir_slot slot;

	assert_int_equal(weir_tx_reserve(tx, &permit), 1);
	assert_int_equal(weir_permit_alloc(&permit, sizeof(value), &slot), 0);
	memcpy(slot.data, &value, sizeof(value));
	return slot;
}

static void
send_value(struct weir_tx *tx, uint64_t value)
{
	struct weir_slot slot = slot_of(tx, value);

	weir_slot_commit(&slot);
}

static void
receive_value(struct weir_rx *rx, uint64_t value)
{
	struct weir_msg msg;
	uint64_t seen;

	assert_int_equal(weir_rx_recv(rx, &msg), 1);
	assert_int_equal(msg.len, sizeof(seen));
	memcpy(&seen, msg.data, sizeof(seen));
	assert_int_equal(seen, value);
	weir_msg_release(&msg);
}

static void
expect_nothing(struct weir_rx *rx)
{
	struct weir_msg msg;

	for (int i = 0; i < 1000; i++)
		assert_int_equal(weir_rx_recv(rx, &msg), 0);
}

/* The second half of weir_shm_multi_commit(). */
static void
go_on(struct shm_multi *mt, struct weir_slot *slot, uint64_t seq)
{
	uint32_t token = (uint16_t)slot->cookie;
	uint32_t body = (uint32_t)(slot->cookie >> 16);
	struct shm_cell *cell = &mt->base.cells[seq & mt->base.mask];
	uint16_t generation = (uint16_t)(mt->state[body] + 1);

	mt->state[body] = shm_state(SHM_BODY_OUT, generation, token, slot->len);
	cell->body = body;
	cell->generation = generation;
	cell->word = (seq + 1) << 32 | slot->len;
}

static void
multi_pair(struct pair *p)
{
	pair_open(p, &(struct weir_link_config){
			     .size = sizeof(struct weir_link_config),
			     .msg_size_max = 48,
			     .tx_credits = CREDITS,
			     .flags = WEIR_LINK_MULTI_PRODUCER,
		     });
}

static void
a_stopped_commit_delays_only_what_is_seen(void **state)
{
	struct weir_permit permit;
	struct weir_slot stopped;
	struct shm_multi *mt;
	struct pair p;
	uint64_t seq;

	(void)state;
	multi_pair(&p);
	mt = shm_multi_of(p.a_tx);
	for (uint64_t lap = 0; lap < 3; lap++) {
		stopped = slot_of(p.a_tx, 100);
		seq = atomic_fetch_add(&mt->seq, 1);
		/* The others go on until they have no room. */
		for (uint64_t i = 1; i < CREDITS; i++)
			send_value(p.a_tx, 100 + i);
		assert_int_equal(weir_tx_reserve(p.a_tx, &permit), 0);
		expect_nothing(p.b_rx);
		assert_int_equal(weir_tx_close(p.a_tx), -EBUSY);
		go_on(mt, &stopped, seq);
		for (uint64_t i = 0; i < CREDITS; i++)
			receive_value(p.b_rx, 100 + i);
		audit(p.a_tx);
	}
	assert_int_equal(weir_tx_close(p.a_tx), 0);
	pair_close(&p);
}

static void
a_death_inside_commit_hides_no_other_message(void **state)
{
	uint64_t limit_ns = in_seconds(20);
	struct weir_msg msg;
	struct pair p;
	int rc;

	(void)state;
	multi_pair(&p);
	send_value(p.a_tx, 1);
	(void)slot_of(p.a_tx, 2);
	(void)slot_of(p.a_tx, 3);
	/* Two threads that never go on. */
	atomic_fetch_add(&shm_multi_of(p.a_tx)->seq, 1);
	send_value(p.a_tx, 4);
	atomic_fetch_add(&shm_multi_of(p.a_tx)->seq, 1);
	send_value(p.a_tx, 5);
	receive_value(p.b_rx, 1);
	expect_nothing(p.b_rx);

	shutdown(tx_inside(p.a_tx)->session->sock, SHUT_RDWR);
	for (uint64_t value = 4; value <= 5; value++) {
		while ((rc = weir_rx_recv(p.b_rx, &msg)) == 0)
			assert_true(weir_now_ns() < limit_ns);
		assert_int_equal(rc, 1);
		assert_memory_equal(msg.data, &value, sizeof(value));
		weir_msg_release(&msg);
	}
	while ((rc = weir_rx_recv(p.b_rx, &msg)) == 0)
		assert_true(weir_now_ns() < limit_ns);
	assert_int_equal(rc, -ETIMEDOUT);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stopped_commit_delays_only_what_is_seen),
		cmocka_unit_test(a_death_inside_commit_hides_no_other_message),
	};

	return cmocka_run_group_tests_name("shm multi", tests, NULL, NULL);
}
