/* SPDX-License-Identifier: BSD-3-Clause */
/* trust=none: what the application was given, no peer can change. */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "shm_pair.h"

static const struct weir_link_config config = {
	.size = sizeof(config),
	.msg_size_max = 5000,
	.tx_credits = 32,
};

static const uint32_t sizes[] = { 0, 1, 48, 49, 256, 257, 4096, 5000 };

#define SIZES (sizeof(sizes) / sizeof(sizes[0]))

/* @return where the sender wrote it, and may go on writing. */
static uint8_t *
send_filled(struct pair *p, uint32_t len, uint8_t with)
{
	struct weir_permit permit;
	struct weir_slot slot;
	uint8_t *data;

	assert_int_equal(weir_tx_reserve_burst(p->a_tx, len, &permit, 1), 1);
	assert_int_equal(weir_permit_alloc(&permit, len, &slot), 0);
	data = slot.data;
	memset(data, with, len);
	weir_slot_commit(&slot);
	return data;
}

static bool
is_all(const struct weir_msg *msg, uint8_t value)
{
	const uint8_t *bytes = msg->data;

	for (uint32_t i = 0; i < msg->len; i++)
		if (bytes[i] != value)
			return false;
	return true;
}

static bool
lies_in_the_segment(const struct pair *p, const void *data)
{
	const struct shm_segment *peer = &rx_inside(p->b_rx)->session->peer;

	return (uintptr_t)data >= (uintptr_t)peer->bytes &&
	       (uintptr_t)data < (uintptr_t)peer->bytes + peer->size;
}

static void
what_was_received_stays(void **state)
{
	struct weir_rx_stats stats;
	uint64_t sum = 0;
	struct pair p;

	(void)state;
	pair_open_with(&p, ",trust=none", &config);
	for (uint32_t i = 0; i < SIZES; i++) {
		uint8_t *theirs = send_filled(&p, sizes[i], 1);
		struct weir_msg msg;

		assert_int_equal(weir_rx_recv(p.b_rx, &msg), 1);
		assert_int_equal(msg.len, sizes[i]);
		assert_false(lies_in_the_segment(&p, msg.data));
		memset(theirs, 2, sizes[i]);
		assert_true(is_all(&msg, 1));
		weir_msg_release(&msg);
		sum += sizes[i];
	}
	weir_rx_stats(p.b_rx, &stats, sizeof(stats));
	assert_int_equal(stats.copied_bytes, sum);
	assert_int_equal(stats.payload_bytes, sum);
	pair_close(&p);
}

/* A peer that never stops writing into the body that it announced. */
struct scribbler {
	volatile uint8_t *bytes;
	uint32_t len;
	pthread_t thread;
	_Atomic uint64_t laps;
	_Atomic bool stop;
};

static void *
scribble(void *arg)
{
	struct scribbler *s = arg;

	while (!atomic_load(&s->stop)) {
		uint8_t value = (uint8_t)atomic_fetch_add(&s->laps, 1);

		for (uint32_t i = 0; i < s->len; i++)
			s->bytes[i] = value;
	}
	return NULL;
}

/* It starts a lap and ends it, so every byte has been written since. */
static void
let_it_write(struct scribbler *s)
{
	uint64_t laps = atomic_load(&s->laps);

	while (atomic_load(&s->laps) < laps + 3)
		sched_yield();
}

/* Whatever was in it when it was copied: the same for as long as it is held. */
static void
what_a_scribbler_sends_holds_still(void **state)
{
	static uint8_t copy[5000];
	struct pair p;

	(void)state;
	pair_open_with(&p, ",trust=none", &config);
	for (uint32_t i = 1; i < SIZES; i++) {
		struct scribbler s = { .len = sizes[i] };
		struct weir_msg msg;

		s.bytes = send_filled(&p, sizes[i], 1);
		assert_int_equal(pthread_create(&s.thread, NULL, scribble, &s),
				 0);
		let_it_write(&s);
		assert_int_equal(weir_rx_recv(p.b_rx, &msg), 1);
		assert_int_equal(msg.len, sizes[i]);
		memcpy(copy, msg.data, msg.len);
		let_it_write(&s);
		assert_memory_equal(copy, msg.data, msg.len);
		atomic_store(&s.stop, true);
		pthread_join(s.thread, NULL);
		weir_msg_release(&msg);
	}
	pair_close(&p);
}

/* The other way, and so that the test above is known to see a change. */
static void
who_trusts_reads_where_the_peer_writes(void **state)
{
	struct weir_rx_stats stats;
	struct weir_msg msg;
	uint8_t *theirs;
	struct pair p;

	(void)state;
	pair_open_with(&p, ",trust=peer", &config);
	theirs = send_filled(&p, 300, 1);
	assert_int_equal(weir_rx_recv(p.b_rx, &msg), 1);
	assert_true(lies_in_the_segment(&p, msg.data));
	memset(theirs, 2, 300);
	assert_true(is_all(&msg, 2));
	weir_msg_release(&msg);
	weir_rx_stats(p.b_rx, &stats, sizeof(stats));
	assert_int_equal(stats.copied_bytes, 0);
	pair_close(&p);
}

/* Every credit is held, in bursts, and given back the other way round. */
static void
each_held_message_has_its_own_place(void **state)
{
	struct weir_msg msgs[32];
	struct pair p;
	int n = 0;

	(void)state;
	pair_open_with(&p, ",trust=none", &config);
	for (uint32_t lap = 0; lap < 3; lap++) {
		for (uint32_t i = 0; i < 16; i++)
			send_filled(&p, sizes[(i + lap) % SIZES], (uint8_t)i);
		for (n = 0; n < 16;) {
			int rc = weir_rx_recv_burst(p.b_rx, &msgs[n], 5);

			assert_true(rc > 0);
			n += rc;
		}
		for (int i = 0; i < 16; i++)
			assert_true(is_all(&msgs[i], (uint8_t)i));
		while (n > 0)
			weir_msg_release(&msgs[--n]);
		audit(p.a_tx);
	}
	pair_close(&p);
}

/* A handle outlives its half, its place with it. */
static void
a_place_lasts_as_long_as_its_handle(void **state)
{
	struct weir_msg msg;
	struct pair p;

	(void)state;
	pair_open_with(&p, ",trust=none", &config);
	send_filled(&p, 4000, 7);
	assert_int_equal(weir_rx_recv(p.b_rx, &msg), 1);
	pair_close(&p);
	assert_true(is_all(&msg, 7));
	weir_msg_release(&msg);
	assert_int_equal(segment_count(), 0);
}

static void
other_words_are_refused(void **state)
{
	struct weir_listener *listener;
	struct weir_link *link;
	struct weir_port *port;

	(void)state;
	assert_int_equal(weir_port_open("shm:x", NULL, &port), 0);
	assert_int_equal(weir_link_connect(port, "shm:x,trust=no", NULL, &link),
			 -EINVAL);
	assert_non_null(strstr(weir_last_error(), "neither peer nor none"));
	assert_int_equal(
		weir_listener_open(port, "shm:x,trust=", NULL, &listener),
		-EINVAL);
	assert_int_equal(weir_port_close(port), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_received_stays),
		cmocka_unit_test(what_a_scribbler_sends_holds_still),
		cmocka_unit_test(who_trusts_reads_where_the_peer_writes),
		cmocka_unit_test(each_held_message_has_its_own_place),
		cmocka_unit_test(a_place_lasts_as_long_as_its_handle),
		cmocka_unit_test(other_words_are_refused),
	};

	return cmocka_run_group_tests(tests, own_names, NULL);
}
