/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_link: links of the dpdk driver, end to end.
 *
 *     net_ring   both ports in this process: on one thread by turns, on two
 *                threads, and with frames lost, repeated and reordered by an
 *                rx callback
 *     memif      two processes, forked before EAL starts, with huge pages
 *                and without
 *
 * What every driver keeps is in tests/contract; this is what only dpdk has.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "net_test.h"
#include "pattern.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

/* Large places of a link that asks for no number of them (weir.h). */
#define LARGE_DEFAULT 4

#define RING       "dpdk:link-test,dev=net_ring"
#define SECOND_NS  UINT64_C(1000000000)
#define LIMIT_NS   (20 * SECOND_NS)
#define MEBI       (1024u * 1024u)
#define HELD_COUNT 300

/* ---- two ends of a link, polled by turns -------------------------------------- */

struct end {
	struct weir_port *port;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
};

struct pair {
	struct end a; /* listened */
	struct end b; /* connected */
	struct weir_listener *listener;
	uint32_t pool_free; /* of a, before the first link */
};

static struct pair the_pair;

static void
turn(struct pair *p)
{
	must(weir_port_poll(p->a.port), "poll");
	must(weir_port_poll(p->b.port), "poll");
	sched_yield();
}

/* Both ports are polled until the condition holds or time is up. */
static uint32_t
pool_free(struct weir_port *port)
{
	struct weir_port_stats stats;

	weir_port_stats(port, &stats, sizeof(stats));
	return stats.pool_free;
}

static void
link_up_as(struct pair *p, const struct weir_link_config *a,
	   const struct weir_link_config *b)
{
	int rc = 0;

	must(weir_listener_open(p->a.port, RING, a, &p->listener), "listen");
	must(weir_link_connect(p->b.port, RING, b, &p->b.link), "connect");
	STEP_UNTIL(turn(p),
		   (rc = weir_link_accept(p->listener, &p->a.link)) != 0);
	must(rc, "accept");
	STEP_UNTIL(turn(p), (rc = weir_link_status(p->b.link)) != -EINPROGRESS);
	must(rc, "connect");
	must(weir_link_split(p->a.link, &p->a.tx, &p->a.rx), "split");
	must(weir_link_split(p->b.link, &p->b.tx, &p->b.rx), "split");
}

static void
link_up(struct pair *p, const struct weir_link_config *config)
{
	link_up_as(p, config, config);
}

static void
end_down(struct end *e)
{
	weir_tx_destroy(e->tx);
	weir_rx_destroy(e->rx);
	weir_link_destroy(e->link);
	e->tx = NULL;
	e->rx = NULL;
	e->link = NULL;
}

static void
link_down(struct pair *p)
{
	end_down(&p->a);
	end_down(&p->b);
	if (p->listener != NULL)
		weir_listener_close(p->listener);
	p->listener = NULL;
}

static int
setup(void **state)
{
	struct pair *p = &the_pair;

	memset(p, 0, sizeof(*p));
	*state = p;
	must(weir_port_open(RING, NULL, &p->a.port), "open");
	must(weir_port_open(RING, NULL, &p->b.port), "open");
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	link_down(p);
	if (p->a.port != NULL)
		assert_int_equal(weir_port_close(p->a.port), 0);
	if (p->b.port != NULL)
		assert_int_equal(weir_port_close(p->b.port), 0);
	return 0;
}

/* Capacity is conserved, in credits and in each class. */
static struct weir_tx_stats
balance(struct weir_tx *tx)
{
	struct weir_tx_stats s;

	weir_tx_stats(tx, &s, sizeof(s));
	assert_int_equal(s.capacity,
			 s.free + s.permitted + s.allocated + s.outstanding);
	for (uint32_t i = 0; i < s.class_count; i++)
		assert_int_equal(s.classes[i].total,
				 s.classes[i].free + s.classes[i].pledged +
					 s.classes[i].allocated +
					 s.classes[i].outstanding);
	return s;
}

/* @return 1, 0 no room, or negative. */
static int
try_send(struct weir_tx *tx, uint32_t len, uint64_t seed)
{
	struct weir_permit permit;
	struct weir_slot slot;
	int rc = weir_tx_reserve_burst(tx, len, &permit, 1);

	if (rc != 1)
		return rc;
	assert_int_equal(weir_permit_alloc(&permit, len, &slot), 0);
	pattern_fill(slot.data, len, seed);
	weir_slot_commit(&slot);
	return 1;
}

static void
check_and_release(struct weir_msg *msg, uint32_t len, uint64_t seed)
{
	assert_int_equal(msg->len, len);
	assert_int_equal(pattern_wrong(msg->data, len, seed), -1);
	weir_msg_release(msg);
}

/* One message over, as the receiver sees it. */
static void
one_message(struct pair *p, struct end *from, struct end *to, uint32_t len,
	    uint64_t seed)
{
	struct weir_msg msg;
	int rc = 0;

	STEP_UNTIL(turn(p), (rc = try_send(from->tx, len, seed)) != 0);
	assert_int_equal(rc, 1);
	STEP_UNTIL(turn(p), (rc = weir_rx_recv(to->rx, &msg)) != 0);
	assert_int_equal(rc, 1);
	check_and_release(&msg, len, seed);
}

/* ---- data ------------------------------------------------------------------------ */

static void
sizes_are_settled_when_the_link_is_up(void **state)
{
	struct pair *p = *state;
	struct weir_link_config config = { .size = sizeof(config) };
	struct weir_peer peer;
	struct weir_tx_stats s;

	config.msg_size_max = 300000;
	config.tx_credits = 64;
	config.large_count = 3;
	link_up(p, &config);
	assert_int_equal(weir_tx_msg_size_max(p->a.tx), 300000);
	assert_int_equal(weir_tx_msg_size_max(p->b.tx), 300000);
	assert_int_equal(weir_tx_capacity(p->b.tx, 64), 64);
	assert_int_equal(weir_tx_capacity(p->b.tx, 300000), 3);
	assert_int_equal(weir_link_peer(p->b.link, &peer), 0);
	assert_string_equal(peer.address, "link-test");
	s = balance(p->b.tx);
	assert_int_equal(s.capacity, 64);
	assert_int_equal(s.free, 64);
	assert_int_equal(s.class_count, 2);
	assert_int_equal(s.classes[0].free, 64);
	assert_int_equal(s.classes[1].free, 3);
}

static void
every_size_up_to_64_kib_arrives(void **state)
{
	struct pair *p = *state;
	uint32_t sent = 0, received = 0;
	struct weir_msg msgs[16];
	int rc;

	link_up(p, NULL);
	while (received <= 65536) {
		rc = sent <= 65536 ? try_send(p->b.tx, sent, sent) : 0;
		assert_in_range(rc, 0, 1);
		sent += (uint32_t)rc;
		if (rc == 0 || sent % 16 == 0)
			turn(p);
		rc = weir_rx_recv_burst(p->a.rx, msgs, 16);
		assert_in_range(rc, 0, 16);
		for (int i = 0; i < rc; i++, received++)
			check_and_release(&msgs[i], received, received);
	}
	balance(p->b.tx);
}

static void
sixteen_mebibytes_there_and_back(void **state)
{
	struct pair *p = *state;
	struct weir_link_config config = { .size = sizeof(config) };

	config.msg_size_max = 16 * MEBI;
	config.tx_credits = 16;
	link_up(p, &config);
	one_message(p, &p->b, &p->a, 16 * MEBI, 1);
	one_message(p, &p->a, &p->b, 16 * MEBI, 2);
	one_message(p, &p->b, &p->a, 16 * MEBI - 1, 3);
	one_message(p, &p->b, &p->a, 0, 4);
}

static void
small_messages_are_never_copied_and_large_ones_once_a_side(void **state)
{
	struct pair *p = *state;
	struct weir_rx_stats rx;
	struct weir_tx_stats tx;

	link_up(p, NULL);
	tx = balance(p->b.tx);
	one_message(p, &p->b, &p->a, 0, 1);
	one_message(p, &p->b, &p->a, 64, 2);
	one_message(p, &p->b, &p->a, tx.classes[0].size, 3);
	weir_tx_stats(p->b.tx, &tx, sizeof(tx));
	weir_rx_stats(p->a.rx, &rx, sizeof(rx));
	assert_int_equal(tx.copied_bytes, 0);
	assert_int_equal(rx.copied_bytes, 0);

	one_message(p, &p->b, &p->a, 50000, 4);
	weir_rx_stats(p->a.rx, &rx, sizeof(rx));
	weir_tx_stats(p->b.tx, &tx, sizeof(tx));
	assert_int_equal(rx.copied_bytes, 50000);
	assert_true(tx.copied_bytes >= 50000);
}

/* Commit them all, then poll. @return how many packets b has sent for it. */
static uint64_t
send_together(struct pair *p, const uint32_t *lens, uint32_t count,
	      struct weir_msg *msgs)
{
	struct weir_port_stats before, after;
	uint32_t got = 0;
	int rc = 0;

	for (uint32_t i = 0; i < 2000; i++)
		turn(p);
	weir_port_stats(p->b.port, &before, sizeof(before));
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(try_send(p->b.tx, lens[i], i), 1);
	must(weir_port_poll(p->b.port), "poll");
	weir_port_stats(p->b.port, &after, sizeof(after));
	while (got < count) {
		STEP_UNTIL(turn(p), (rc = weir_rx_recv_burst(
					     p->a.rx, msgs + got,
					     (uint16_t)(count - got))) != 0);
		must(rc, "recv");
		got += (uint32_t)rc;
	}
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(msgs[i].len, lens[i]);
		assert_int_equal(pattern_wrong(msgs[i].data, lens[i], i), -1);
	}
	return after.tx_packets - before.tx_packets;
}

static void
messages_that_wait_together_are_copied_once_by_the_sender(void **state)
{
	static const uint32_t small[] = { 7, 0, 64, 256, 100 };
	static const uint32_t medium[] = { 257, 300, 1000, 1400 };
	struct weir_link_stats a, b;
	struct pair *p = *state;
	struct weir_rx_stats rx;
	struct weir_tx_stats tx;
	struct weir_msg msgs[5];

	link_up(p, NULL);
	assert_int_equal(send_together(p, small, 5, msgs), 1);
	tx = balance(p->b.tx);
	assert_int_equal(tx.copied_bytes, 7 + 64 + 256 + 100);
	for (int i = 1; i < 5; i++)
		assert_ptr_equal(weir_dpdk_msg_mbuf(&msgs[i]),
				 weir_dpdk_msg_mbuf(&msgs[0]));
	for (int i = 0; i < 5; i++)
		weir_msg_release(&msgs[i]);
	assert_int_equal(send_together(p, medium, 4, msgs), 4);
	weir_link_stats(p->a.link, &a, sizeof(a));
	weir_link_stats(p->b.link, &b, sizeof(b));
	assert_int_equal(a.rx_batches, 1);
	assert_int_equal(a.rx_batched, 5);
	assert_int_equal(b.tx_batches, 1);
	assert_int_equal(b.tx_batched, 5);
	for (int i = 4; i-- > 0;)
		weir_msg_release(&msgs[i]);
	tx = balance(p->b.tx);
	assert_int_equal(tx.copied_bytes, 7 + 64 + 256 + 100);
	weir_rx_stats(p->a.rx, &rx, sizeof(rx));
	assert_int_equal(rx.copied_bytes, 0);
}

/* More batches than the window has packets, each released in pieces. */
static void
a_batch_is_given_back_with_its_last_message(void **state)
{
	static const uint32_t lens[] = { 40, 30, 20, 10 };
	struct weir_link_config config = { .size = sizeof(config),
					   .tx_credits = 8 };
	struct pair *p = *state;
	struct weir_msg old[4], msgs[4];
	uint32_t before;

	link_up(p, &config);
	for (int i = 0; i < 2000; i++)
		turn(p);
	before = pool_free(p->b.port);
	for (uint32_t round = 0; round < 100; round++) {
		assert_int_equal(send_together(p, lens, 4, msgs), 1);
		weir_msg_release(&msgs[3]);
		weir_msg_release(&msgs[round % 3]);
		if (round != 0)
			weir_msg_release(&old[(round - 1) % 3 == 0 ? 1 : 0]);
		if (round != 0)
			weir_msg_release(&old[(round - 1) % 3 == 2 ? 1 : 2]);
		memcpy(old, msgs, sizeof(old));
	}
	weir_msg_release(&old[1]);
	weir_msg_release(&old[2]);
	STEP_UNTIL(turn(p), pool_free(p->b.port) >= before);
}

static void
coalescing_can_be_declined_by_either_side(void **state)
{
	static const uint32_t lens[] = { 40, 30, 20, 10 };
	struct pair *p = *state;
	struct weir_port **ports[2] = { &p->a.port, &p->b.port };
	struct weir_tx_stats tx;
	struct weir_msg msgs[4];

	for (int side = 0; side < 2; side++) {
		assert_int_equal(weir_port_close(*ports[side]), 0);
		must(weir_port_open(RING ",coalesce=off", NULL, ports[side]),
		     "open");
		link_up(p, NULL);
		assert_int_equal(send_together(p, lens, 4, msgs), 4);
		tx = balance(p->b.tx);
		assert_int_equal(tx.copied_bytes, 0);
		for (int i = 0; i < 4; i++)
			weir_msg_release(&msgs[i]);
		link_down(p);
		assert_int_equal(weir_port_close(*ports[side]), 0);
		must(weir_port_open(RING ",coalesce=on", NULL, ports[side]),
		     "open");
	}
}

/* The slot lies in an mbuf of the port's pool, and so does the message. */
static void
slots_and_messages_are_mbufs(void **state)
{
	struct pair *p = *state;
	struct weir_dpdk_queue queue;
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;
	struct rte_mbuf *m;
	int rc = 0;

	link_up(p, NULL);
	assert_int_equal(weir_dpdk_port_queue(p->b.port, &queue), 0);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 100, &permit, 1), 1);
	assert_int_equal(weir_permit_alloc(&permit, 100, &slot), 0);
	assert_int_equal((uintptr_t)slot.data % 64, 0);
	pattern_fill(slot.data, 100, 1);
	weir_slot_commit(&slot);
	STEP_UNTIL(turn(p), (rc = weir_rx_recv(p->a.rx, &msg)) != 0);
	assert_int_equal(rc, 1);
	/* net_ring: the very bytes that were written. */
	assert_ptr_equal(msg.data, slot.data);
	m = weir_dpdk_msg_mbuf(&msg);
	assert_non_null(m);
	assert_ptr_equal(m->pool, queue.tx_pool);
	assert_ptr_equal(
		rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len - 100),
		msg.data);
	check_and_release(&msg, 100, 1);
}

/* ---- credits ----------------------------------------------------------------------- */

static void
credits_run_dry_and_come_back(void **state)
{
	struct pair *p = *state;
	struct weir_link_config config = { .size = sizeof(config) };
	struct weir_permit permit;
	struct weir_tx_stats s;
	struct weir_msg msg;
	int rc = 0;

	config.tx_credits = 32;
	link_up(p, &config);
	for (uint32_t i = 0; i < 32; i++) {
		assert_int_equal(try_send(p->b.tx, 10, i), 1);
		balance(p->b.tx);
	}
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 10, &permit, 1), 0);
	/* Delivered and acknowledged, but held: still no credit. */
	for (int i = 0; i < 1000; i++)
		turn(p);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 10, &permit, 1), 0);
	s = balance(p->b.tx);
	assert_int_equal(s.outstanding, 32);

	for (uint32_t i = 0; i < 32; i++) {
		assert_int_equal(weir_rx_recv(p->a.rx, &msg), 1);
		check_and_release(&msg, 10, i);
	}
	STEP_UNTIL(turn(p), (rc = balance(p->b.tx).free == 32));
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 10, &permit, 1), 1);
	balance(p->b.tx);
	weir_permit_drop(&permit);
	assert_int_equal(balance(p->b.tx).free, 32);
}

static void
large_places_run_dry_before_credits(void **state)
{
	struct pair *p = *state;
	struct weir_permit large[LARGE_DEFAULT + 1], small;
	struct weir_permit *last = &large[LARGE_DEFAULT];
	struct weir_slot slot;

	link_up(p, NULL);
	assert_int_equal(
		weir_tx_reserve_burst(p->b.tx, 65536, large, LARGE_DEFAULT + 1),
		LARGE_DEFAULT);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 65536, last, 1), 0);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 64, &small, 1), 1);
	balance(p->b.tx);
	/* A short message gives the large place back at once. */
	assert_int_equal(weir_permit_alloc(&large[0], 64, &slot), 0);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 65536, last, 1), 1);
	balance(p->b.tx);
	weir_slot_discard(&slot);
	for (uint32_t i = 1; i <= LARGE_DEFAULT; i++)
		weir_permit_drop(&large[i]);
	weir_permit_drop(&small);
	assert_int_equal(balance(p->b.tx).free, 1024);
	assert_int_equal(balance(p->b.tx).classes[1].free, LARGE_DEFAULT);
}

/* ---- ends -------------------------------------------------------------------------- */

static void
a_reserve_before_the_link_is_up_waits_for_that(void **state)
{
	struct weir_link_stats link;
	struct pair *p = *state;
	struct weir_permit permit;

	must(weir_link_connect(p->b.port, RING, NULL, &p->b.link), "connect");
	must(weir_link_split(p->b.link, &p->b.tx, &p->b.rx), "split");
	for (int i = 0; i < 3; i++)
		assert_int_equal(weir_tx_reserve_burst(p->b.tx, 1, &permit, 1),
				 0);
	assert_int_equal(balance(p->b.tx).reserve_wait_down, 3);
	assert_int_equal(balance(p->b.tx).reserve_waits, 3);
	weir_link_stats(p->b.link, &link, sizeof(link));
	assert_int_equal(link.reserve_wait_down, 3);
	end_down(&p->b);
}

/* Credits are held by permits for large and small: places of both are left. */
static void
a_reserve_without_credit_waits_for_the_queue(void **state)
{
	struct weir_link_config config = { .size = sizeof(config) };
	struct weir_permit permits[17];
	struct weir_link_stats link;
	struct pair *p = *state;

	config.msg_size_max = 65536;
	config.tx_credits = 16;
	config.large_count = 2;
	link_up(p, &config);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 65536, permits, 1), 1);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 1, permits + 1, 16),
			 15);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 1, permits + 16, 1), 0);
	assert_int_equal(weir_tx_reserve_burst(p->b.tx, 65536, permits + 16, 1),
			 0);
	assert_int_equal(balance(p->b.tx).reserve_wait_queue, 2);
	assert_int_equal(balance(p->b.tx).reserve_waits, 2);
	weir_link_stats(p->b.link, &link, sizeof(link));
	assert_int_equal(link.reserve_wait_queue, 2);
	for (int i = 0; i < 16; i++)
		weir_permit_drop(&permits[i]);
}

/* ---- more large messages than buffers for them ------------------------------------ */

#define LARGE_LEN   60000u
#define LARGE_HELD  2u
#define LARGE_COUNT 6u

static uint64_t
large_waits(const struct end *e)
{
	struct weir_link_stats stats;

	weir_link_stats(e->link, &stats, sizeof(stats));
	return stats.rx_wait_large;
}

static void
next_large(struct pair *p, struct weir_msg *msg, uint64_t seed)
{
	int rc = 0;

	STEP_UNTIL(turn(p), (rc = weir_rx_recv(p->a.rx, msg)) != 0);
	assert_int_equal(rc, 1);
	assert_int_equal(msg->len, LARGE_LEN);
	assert_int_equal(pattern_wrong(msg->data, msg->len, seed), -1);
}

/* The receiver holds all it has buffers for: the fragments of the next one wait
 * in the window, the other direction goes on, and so does this one with every
 * handle that is released. */
static void
large_messages_wait_for_a_buffer_in_the_window(void **state)
{
	struct weir_link_config config = { .size = sizeof(config) }, sender;
	struct weir_msg msgs[LARGE_COUNT], none;
	struct pair *p = *state;
	int rc = 0;

	config.msg_size_max = 65536;
	config.tx_credits = 16;
	config.large_count = LARGE_HELD;
	sender = config;
	sender.large_count = LARGE_COUNT;
	link_up_as(p, &config, &sender);
	for (uint32_t i = 0; i < LARGE_COUNT; i++) {
		STEP_UNTIL(turn(p),
			   (rc = try_send(p->b.tx, LARGE_LEN, i)) != 0);
		assert_int_equal(rc, 1);
	}
	for (uint32_t i = 0; i < LARGE_HELD; i++)
		next_large(p, &msgs[i], i);
	for (uint32_t i = LARGE_HELD; i < LARGE_COUNT; i++) {
		STEP_UNTIL(turn(p), large_waits(&p->a) == i - LARGE_HELD + 1);
		one_message(p, &p->a, &p->b, 100, i);
		assert_int_equal(weir_rx_recv(p->a.rx, &none), 0);
		assert_int_equal(large_waits(&p->a), i - LARGE_HELD + 1);
		weir_msg_release(&msgs[i - LARGE_HELD]);
		next_large(p, &msgs[i], i);
	}
	/* What was held all the time is as it was. */
	for (uint32_t i = LARGE_COUNT - LARGE_HELD; i < LARGE_COUNT; i++)
		check_and_release(&msgs[i], LARGE_LEN, i);
	STEP_UNTIL(turn(p), balance(p->b.tx).free == 16);
	assert_int_equal(large_waits(&p->a), LARGE_COUNT - LARGE_HELD);
	assert_int_equal(weir_link_status(p->a.link), 0);
	assert_int_equal(weir_link_status(p->b.link), 0);
}

static void
mbufs_are_all_back_after_links_that_end_anyhow(void **state)
{
	struct pair *p = *state;
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;
	uint32_t before_a, before_b;
	int rc = 0;

	link_up(p, NULL);
	link_down(p);
	STEP_UNTIL(turn(p), pool_free(p->a.port) == pool_free(p->a.port));
	for (int i = 0; i < 2000; i++)
		turn(p);
	before_a = pool_free(p->a.port);
	before_b = pool_free(p->b.port);
	for (uint32_t round = 0; round < 24; round++) {
		link_up(p, NULL);
		for (uint32_t i = 0; i < 40; i++)
			assert_int_equal(try_send(p->b.tx, i * 40, i), 1);
		STEP_UNTIL(turn(p), (rc = weir_rx_recv(p->a.rx, &msg)) != 0);
		assert_int_equal(rc, 1);
		/* A permit, a slot and a message die with their halves, or
		 * are released late. */
		assert_int_equal(weir_tx_reserve(p->b.tx, &permit), 1);
		assert_int_equal(weir_tx_reserve_burst(p->b.tx, 1, &permit, 1),
				 1);
		assert_int_equal(weir_permit_alloc(&permit, 1, &slot), 0);
		if (round % 3 == 0) {
			weir_slot_commit(&slot);
			assert_int_equal(weir_tx_close(p->a.tx), 0);
		}
		if (round % 2 == 0)
			weir_msg_release(&msg);
		link_down(p);
		if (round % 2 != 0)
			weir_msg_release(&msg);
	}
	STEP_UNTIL(turn(p), pool_free(p->a.port) >= before_a &&
				    pool_free(p->b.port) >= before_b);
}

static void *
release_all(void *arg)
{
	struct weir_msg *msgs = arg;

	for (uint32_t i = HELD_COUNT; i-- > 0;)
		weir_msg_release(&msgs[i]);
	return NULL;
}

static void
messages_outlive_half_link_and_port(void **state)
{
	static struct weir_msg msgs[HELD_COUNT];
	struct pair *p = *state;
	uint32_t got = 0;
	pthread_t thread;
	int rc;

	link_up(p, NULL);
	for (uint32_t i = 0; i < HELD_COUNT; i++)
		STEP_UNTIL(turn(p), (rc = try_send(p->b.tx, i, i)) != 0);
	while (got < HELD_COUNT) {
		rc = weir_rx_recv_burst(p->a.rx, msgs + got,
					(uint16_t)(HELD_COUNT - got));
		assert_true(rc >= 0);
		got += (uint32_t)rc;
		turn(p);
	}
	link_down(p);
	assert_int_equal(weir_port_close(p->a.port), 0);
	assert_int_equal(weir_port_close(p->b.port), 0);
	p->a.port = NULL;
	p->b.port = NULL;
	for (uint32_t i = 0; i < HELD_COUNT; i++) {
		assert_int_equal(msgs[i].len, i);
		assert_int_equal(pattern_wrong(msgs[i].data, i, i), -1);
	}
	assert_int_equal(pthread_create(&thread, NULL, release_all, msgs), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void
nobody_listens(void **state)
{
	struct pair *p = *state;
	struct weir_link_config config = { .size = sizeof(config) };
	uint64_t start_ns = weir_now_ns();
	struct weir_permit permit;
	struct weir_msg msg;
	int rc = 0;

	config.connect_timeout_ns = SECOND_NS / 5;
	must(weir_link_connect(p->b.port, RING, &config, &p->b.link),
	     "connect");
	must(weir_link_split(p->b.link, &p->b.tx, &p->b.rx), "split");
	assert_int_equal(weir_tx_reserve(p->b.tx, &permit), 0);
	assert_int_equal(weir_rx_recv(p->b.rx, &msg), 0);
	STEP_UNTIL(turn(p), (rc = weir_link_status(p->b.link)) != -EINPROGRESS);
	assert_int_equal(rc, -ECONNREFUSED);
	assert_true(weir_now_ns() - start_ns >= SECOND_NS / 5);
	assert_int_equal(weir_tx_reserve(p->b.tx, &permit), -ECONNREFUSED);
	assert_int_equal(weir_rx_recv(p->b.rx, &msg), -ECONNREFUSED);
}

static void
a_late_listener_is_found(void **state)
{
	struct pair *p = *state;
	uint64_t end_ns = weir_now_ns() + SECOND_NS / 20;
	int rc = 0;

	must(weir_link_connect(p->b.port, RING, NULL, &p->b.link), "connect");
	STEP_UNTIL(turn(p), weir_now_ns() > end_ns);
	assert_int_equal(weir_link_status(p->b.link), -EINPROGRESS);
	must(weir_listener_open(p->a.port, RING, NULL, &p->listener), "listen");
	STEP_UNTIL(turn(p),
		   (rc = weir_link_accept(p->listener, &p->a.link)) != 0);
	assert_int_equal(rc, 1);
	STEP_UNTIL(turn(p), weir_link_status(p->b.link) == 0);
}

/* ---- a bad wire ---------------------------------------------------------------------- */

#define DELAYED_MAX 32

/* Draws what happens to each frame from a seed; runs as rx callback. */
struct fault {
	uint64_t random;
	struct rte_mempool *pool;
	struct rte_mbuf *delayed[DELAYED_MAX];
	uint32_t delay[DELAYED_MAX];
	uint32_t delayed_count;
	uint32_t dropped;
	uint32_t repeated;
	uint32_t late;
	const struct rte_eth_rxtx_callback *callback;
	struct weir_dpdk_queue queue;
};

static uint32_t
draw(struct fault *f)
{
	f->random = pattern_mix(f->random);
	return (uint32_t)(f->random >> 33) % 100;
}

static void
delay(struct fault *f, struct rte_mbuf *m)
{
	f->delay[f->delayed_count] = 1 + draw(f) / 10;
	f->delayed[f->delayed_count++] = m;
	f->late++;
}

static uint16_t
delayed_due(struct fault *f, struct rte_mbuf **out, uint16_t room)
{
	uint16_t count = 0;

	for (uint32_t i = 0; i < f->delayed_count;) {
		if (f->delay[i] > 0)
			f->delay[i]--;
		if (f->delay[i] > 0 || count == room) {
			i++;
			continue;
		}
		out[count++] = f->delayed[i];
		f->delayed[i] = f->delayed[--f->delayed_count];
		f->delay[i] = f->delay[f->delayed_count];
	}
	return count;
}

static uint16_t
spoil(uint16_t port, uint16_t queue, struct rte_mbuf **mbufs, uint16_t count,
      uint16_t max, void *arg)
{
	struct fault *f = arg;
	struct rte_mbuf *out[256], *copy;
	uint16_t kept = 0;

	(void)port;
	(void)queue;
	for (uint16_t i = 0; i < count; i++) {
		uint32_t luck = draw(f);

		if (luck < 5) {
			rte_pktmbuf_free(mbufs[i]);
			f->dropped++;
		} else if (luck < 10 && f->delayed_count < DELAYED_MAX) {
			delay(f, mbufs[i]);
		} else {
			out[kept++] = mbufs[i];
		}
		if (luck < 95 || f->delayed_count == DELAYED_MAX || kept == 0)
			continue;
		copy = rte_pktmbuf_copy(mbufs[i], f->pool, 0, UINT32_MAX);
		if (copy != NULL) {
			delay(f, copy);
			f->repeated++;
		}
	}
	kept += delayed_due(f, out + kept, (uint16_t)(max - kept));
	memcpy(mbufs, out, kept * sizeof(out[0]));
	return kept;
}

static void
fault_begin(struct fault *f, struct weir_port *port, uint64_t seed)
{
	memset(f, 0, sizeof(*f));
	f->random = seed;
	must(weir_dpdk_port_queue(port, &f->queue), "queue");
	f->pool = f->queue.rx_pool;
	f->callback = rte_eth_add_rx_callback(f->queue.port_id,
					      f->queue.queue_id, spoil, f);
	assert_non_null(f->callback);
}

static void
fault_end(struct fault *f)
{
	assert_int_equal(rte_eth_remove_rx_callback(f->queue.port_id,
						    f->queue.queue_id,
						    f->callback),
			 0);
	while (f->delayed_count != 0)
		rte_pktmbuf_free(f->delayed[--f->delayed_count]);
}

struct stream {
	struct weir_tx *tx;
	struct weir_rx *rx;
	uint64_t seed;
	uint64_t sent;
	uint64_t received;
};

static void
stream_step(struct stream *s, uint64_t count)
{
	struct weir_msg msg;
	uint32_t len;
	int rc = 1;

	while (s->sent < count && rc == 1) {
		len = pattern_size(s->seed, s->sent, PATTERN_MIX(9000));
		rc = try_send(s->tx, len, pattern_seed(s->seed, s->sent));
		assert_in_range(rc, 0, 1);
		s->sent += (uint64_t)rc;
	}
	while ((rc = weir_rx_recv(s->rx, &msg)) == 1) {
		len = pattern_size(s->seed, s->received, PATTERN_MIX(9000));
		check_and_release(&msg, len,
				  pattern_seed(s->seed, s->received));
		s->received++;
	}
	assert_int_equal(rc, 0);
}

static void
a_bad_wire_costs_time_only(void **state)
{
	static struct fault fault_a, fault_b;
	struct pair *p = *state;
	struct stream there = { .seed = 1 }, back = { .seed = 2 };
	struct weir_link_config config = { .size = sizeof(config) };
	struct weir_link_stats stats;
	struct weir_msg msg;
	uint64_t count = 3000;
	int rc = 0;

	config.dead_timeout_ns = 10 * SECOND_NS;
	link_up(p, &config);
	fault_begin(&fault_a, p->a.port, 11);
	fault_begin(&fault_b, p->b.port, 12);
	there.tx = p->b.tx;
	there.rx = p->a.rx;
	back.tx = p->a.tx;
	back.rx = p->b.rx;
	for (uint64_t end_ns = weir_now_ns() + 60 * SECOND_NS;
	     there.received < count || back.received < count;) {
		if (weir_now_ns() > end_ns)
			fail_msg("time is up: %d there, %d back",
				 (int)there.received, (int)back.received);
		stream_step(&there, count);
		stream_step(&back, count);
		turn(p);
	}
	assert_int_equal(weir_tx_close(p->b.tx), 0);
	STEP_UNTIL(turn(p), (rc = weir_rx_recv(p->a.rx, &msg)) != 0);
	assert_int_equal(rc, WEIR_EOF);

	assert_true(fault_a.dropped > 100 && fault_b.dropped > 100);
	assert_true(fault_a.repeated > 100 && fault_a.late > 100);
	weir_link_stats(p->b.link, &stats, sizeof(stats));
	assert_true(stats.tx_retransmits > 0);
	weir_link_stats(p->a.link, &stats, sizeof(stats));
	assert_true(stats.rx_duplicates > 0);
	assert_true(stats.rx_reordered > 0);
	balance(p->a.tx);
	fault_end(&fault_a);
	fault_end(&fault_b);
}

/* ---- two threads ------------------------------------------------------------------------ */

#define THREAD_MSGS 100000

/* The other end: opens its own port, sends back what comes, until EOF. */
static void *
echo_thread(void *arg)
{
	struct weir_port *port = NULL;
	struct weir_link *link = NULL;
	struct weir_listener *listener = NULL;
	struct weir_tx *tx;
	struct weir_rx *rx;
	struct weir_msg msg;
	int rc, *result = arg;

	rc = weir_port_open(RING, NULL, &port);
	if (rc == 0)
		rc = weir_listener_open(port, RING, NULL, &listener);
	if (rc == 0)
		rc = weir_link_accept_wait(listener, weir_now_ns() + LIMIT_NS,
					   &link);
	if (rc == 1)
		rc = weir_link_split(link, &tx, &rx);
	if (rc != 0) {
		*result = rc;
		return NULL;
	}
	while ((rc = weir_rx_recv_wait(rx, weir_now_ns() + LIMIT_NS, &msg)) ==
	       1) {
		if (weir_tx_send(tx, msg.data, msg.len) != 0)
			break;
		weir_msg_release(&msg);
	}
	*result = rc;
	weir_tx_close(tx);
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(link);
	weir_listener_close(listener);
	weir_port_close(port);
	return NULL;
}

static uint32_t
thread_size(uint64_t i)
{
	return i % 1000 == 999 ? 65536 : (uint32_t)(i % 200);
}

static void
two_threads_exchange(void **state)
{
	struct weir_port *port;
	struct weir_link *link;
	struct weir_msg msg;
	uint64_t sent = 0, received = 0;
	uint64_t end_ns = weir_now_ns() + 3 * LIMIT_NS;
	int rc, result = 0;
	struct weir_tx *tx;
	struct weir_rx *rx;
	pthread_t thread;

	(void)state;
	must(weir_port_open(RING, NULL, &port), "open");
	assert_int_equal(pthread_create(&thread, NULL, echo_thread, &result),
			 0);
	must(weir_link_connect(port, RING, NULL, &link), "connect");
	assert_int_equal(weir_link_wait(link, end_ns), 1);
	must(weir_link_split(link, &tx, &rx), "split");
	while (received < THREAD_MSGS) {
		assert_true(weir_now_ns() < end_ns);
		rc = 1;
		while (rc == 1 && sent < THREAD_MSGS && sent - received < 500) {
			rc = try_send(tx, thread_size(sent), sent);
			assert_in_range(rc, 0, 1);
			sent += (uint64_t)rc;
		}
		must(weir_port_poll(port), "poll");
		while ((rc = weir_rx_recv(rx, &msg)) == 1) {
			check_and_release(&msg, thread_size(received),
					  received);
			received++;
		}
		assert_int_equal(rc, 0);
		sched_yield();
	}
	assert_int_equal(weir_tx_close(tx), 0);
	assert_int_equal(weir_rx_recv_wait(rx, end_ns, &msg), WEIR_EOF);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(result, WEIR_EOF);
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(link);
	assert_int_equal(weir_port_close(port), 0);
}

/* Halves on a thread of their own, the port polled by weir's: sleeps and
 * wakes by the doorbells. */
static void
weir_polls_and_halves_sleep(void **state)
{
	struct weir_port_config config = { .size = sizeof(config),
					   .poll_start = 1 };
	uint64_t end_ns = weir_now_ns() + 3 * LIMIT_NS;
	struct weir_rx_stats stats;
	struct weir_port *port;
	struct weir_link *link;
	int result = 0, rc;
	struct weir_tx *tx;
	struct weir_rx *rx;
	struct weir_msg msg;
	pthread_t thread;

	(void)state;
	config.spin_ns = 1000;
	must(weir_port_open(RING, &config, &port), "open");
	assert_int_equal(pthread_create(&thread, NULL, echo_thread, &result),
			 0);
	must(weir_link_connect(port, RING, NULL, &link), "connect");
	assert_int_equal(weir_link_wait(link, end_ns), 1);
	must(weir_link_split(link, &tx, &rx), "split");
	for (uint64_t i = 0; i < 300; i++) {
		while ((rc = try_send(tx, thread_size(i), i)) == 0)
			sched_yield();
		assert_int_equal(rc, 1);
		assert_int_equal(weir_rx_recv_wait(rx, end_ns, &msg), 1);
		check_and_release(&msg, thread_size(i), i);
	}
	weir_rx_stats(rx, &stats, sizeof(stats));
	assert_true(stats.doorbells > 0);
	assert_int_equal(weir_tx_close(tx), 0);
	assert_int_equal(weir_rx_recv_wait(rx, end_ns, &msg), WEIR_EOF);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(result, WEIR_EOF);
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(link);
	assert_int_equal(weir_port_close(port), 0);
}

/* ---- endpoints ------------------------------------------------------------------------- */

static void
malformed_endpoints_are_refused_with_a_line(void **state)
{
	static const char *const ports[] = {
		"dpdk:10.0.0.1:7400",
		"dpdk:10.0.0.1:7400,dev=net_null0",
		"dpdk:10.0.0.1:7400,dev=net_null0,local=10.0.0.1",
		"dpdk:10.0.0.1:7400,dev=net_null0,local=10.0.0.1/40",
		("dpdk:10.0.0.1:7400,dev=net_null0,local=10.0.0.1/24,"
		 "peer-mac=zz"),
		"dpdk:10.0.0.1:7400,dev=net_null0,local=10.0.0.1/24,mtu=1",
		"dpdk:10.0.0.1:7400,colour=red",
		"dpdk:pair,coalesce=maybe",
	};
	static const char *const listens[] = {
		"dpdk:*:0,dev=net_ring",         "dpdk:*:70000,dev=net_ring",
		"dpdk:*:x,dev=net_ring",         "dpdk:[::1]:7400,dev=net_ring",
		"dpdk:300.1.1.1:1,dev=net_ring",
	};
	struct pair *p = *state;
	struct weir_port *port;

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		assert_int_equal(weir_port_open(ports[i], NULL, &port),
				 -EINVAL);
		assert_string_not_equal(weir_last_error(), "");
	}
	/* The last one is taken as a name, which it may be. */
	for (size_t i = 0; i + 1 < sizeof(listens) / sizeof(listens[0]); i++) {
		assert_int_equal(weir_listener_open(p->a.port, listens[i], NULL,
						    &p->listener),
				 -EINVAL);
		assert_string_not_equal(weir_last_error(), "");
		p->listener = NULL;
	}
}

/* ---- memif: two processes ----------------------------------------------------------------- */

#define MEMIF_MSGS 20000

/* Runs in a process of its own. @return exit code: 0, or a line's number. */
#define CHILD_MUST(condition)                                          \
	do {                                                           \
		if (!(condition)) {                                    \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, \
				#condition, weir_last_error());        \
			_exit(1);                                      \
		}                                                      \
	} while (0)

static char run_dir[] = "/tmp/weir-test-XXXXXX";

static void
memif_open(enum weir_hugepages pages, struct weir_port **port)
{
	struct weir_port_config config = { .size = sizeof(config) };

	config.hugepages = pages;
	weir_driver_register(&weir_driver_dpdk);
	CHILD_MUST(weir_port_open("dpdk:link-test", &config, port) == 0);
}

static void
memif_end(struct weir_link *link, struct weir_tx *tx, struct weir_rx *rx,
	  struct weir_listener *listener, struct weir_port *port)
{
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(link);
	weir_listener_close(listener);
	CHILD_MUST(weir_port_close(port) == 0);
	_exit(0);
}

static void
memif_listener(enum weir_hugepages pages)
{
	uint64_t end_ns = weir_now_ns() + 3 * LIMIT_NS;
	struct weir_listener *listener;
	struct weir_port *port;
	struct weir_link *link;
	struct weir_msg msg;
	struct weir_tx *tx;
	struct weir_rx *rx;
	int rc;

	memif_open(pages, &port);
	CHILD_MUST(weir_listener_open(port, "dpdk:link-test", NULL,
				      &listener) == 0);
	CHILD_MUST(weir_link_accept_wait(listener, end_ns, &link) == 1);
	CHILD_MUST(weir_link_split(link, &tx, &rx) == 0);
	while ((rc = weir_rx_recv_wait(rx, end_ns, &msg)) == 1) {
		CHILD_MUST(weir_tx_send(tx, msg.data, msg.len) == 0);
		weir_msg_release(&msg);
	}
	CHILD_MUST(rc == WEIR_EOF);
	CHILD_MUST(weir_tx_close(tx) == 0);
	memif_end(link, tx, rx, listener, port);
}

/* Connects first: the other process may not have come so far. */
static void
memif_connector(enum weir_hugepages pages)
{
	uint64_t end_ns = weir_now_ns() + 3 * LIMIT_NS;
	uint64_t sent = 0, received = 0;
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_port *port;
	struct weir_link *link;
	struct weir_msg msg;
	struct weir_tx *tx;
	struct weir_rx *rx;
	uint32_t len;
	int rc;

	memif_open(pages, &port);
	CHILD_MUST(weir_link_connect(port, "dpdk:link-test", NULL, &link) == 0);
	CHILD_MUST(weir_link_wait(link, end_ns) == 1);
	CHILD_MUST(weir_link_split(link, &tx, &rx) == 0);
	while (received < MEMIF_MSGS) {
		CHILD_MUST(weir_now_ns() < end_ns);
		len = thread_size(sent);
		rc = sent < MEMIF_MSGS && sent - received < 300
			     ? weir_tx_reserve_burst(tx, len, &permit, 1)
			     : 0;
		CHILD_MUST(rc >= 0);
		if (rc == 1) {
			CHILD_MUST(weir_permit_alloc(&permit, len, &slot) == 0);
			pattern_fill(slot.data, len, sent++);
			weir_slot_commit(&slot);
		}
		CHILD_MUST(weir_port_poll(port) >= 0);
		while ((rc = weir_rx_recv(rx, &msg)) == 1) {
			CHILD_MUST(msg.len == thread_size(received));
			CHILD_MUST(pattern_wrong(msg.data, msg.len, received) ==
				   -1);
			weir_msg_release(&msg);
			received++;
		}
		CHILD_MUST(rc == 0);
	}
	CHILD_MUST(weir_tx_close(tx) == 0);
	CHILD_MUST(weir_rx_recv_wait(rx, end_ns, &msg) == WEIR_EOF);
	memif_end(link, tx, rx, NULL, port);
}

/* Two processes wait for a byte, so that they are forked before any EAL. */
struct process_pair {
	pid_t pids[2];
	int go[2]; /* write ends */
};

static struct process_pair memif_auto, memif_never;

static void
pair_fork(struct process_pair *p, enum weir_hugepages pages)
{
	for (int i = 0; i < 2; i++) {
		int fds[2];
		char byte;

		if (pipe2(fds, O_CLOEXEC) != 0)
			abort();
		p->pids[i] = fork();
		if (p->pids[i] == 0) {
			close(fds[1]);
			if (read(fds[0], &byte, 1) != 1)
				_exit(0); /* the test was not run */
			if (i == 0)
				memif_listener(pages);
			memif_connector(pages);
		}
		close(fds[0]);
		p->go[i] = fds[1];
	}
}

static void
pair_run(struct process_pair *p)
{
	int status[2];

	/* The connector first. */
	for (int i = 2; i-- > 0;) {
		assert_int_equal(write(p->go[i], "", 1), 1);
		close(p->go[i]);
		p->go[i] = -1;
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(waitpid(p->pids[i], &status[i], 0),
				 p->pids[i]);
	assert_int_equal(status[0], 0);
	assert_int_equal(status[1], 0);
}

static void
pair_end(struct process_pair *p)
{
	for (int i = 0; i < 2; i++) {
		if (p->go[i] < 0)
			continue;
		close(p->go[i]);
		waitpid(p->pids[i], NULL, 0);
	}
}

static void
memif_joins_two_processes(void **state)
{
	(void)state;
	pair_run(&memif_auto);
}

static void
memif_works_without_huge_pages(void **state)
{
	(void)state;
	pair_run(&memif_never);
}

#define PAIR(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memif_joins_two_processes),
		cmocka_unit_test(memif_works_without_huge_pages),
		PAIR(sizes_are_settled_when_the_link_is_up),
		PAIR(every_size_up_to_64_kib_arrives),
		PAIR(sixteen_mebibytes_there_and_back),
		PAIR(small_messages_are_never_copied_and_large_ones_once_a_side),
		PAIR(messages_that_wait_together_are_copied_once_by_the_sender),
		PAIR(a_batch_is_given_back_with_its_last_message),
		PAIR(coalescing_can_be_declined_by_either_side),
		PAIR(slots_and_messages_are_mbufs),
		PAIR(credits_run_dry_and_come_back),
		PAIR(large_places_run_dry_before_credits),
		PAIR(a_reserve_before_the_link_is_up_waits_for_that),
		PAIR(a_reserve_without_credit_waits_for_the_queue),
		PAIR(large_messages_wait_for_a_buffer_in_the_window),
		PAIR(mbufs_are_all_back_after_links_that_end_anyhow),
		PAIR(messages_outlive_half_link_and_port),
		PAIR(nobody_listens),
		PAIR(a_late_listener_is_found),
		PAIR(a_bad_wire_costs_time_only),
		PAIR(malformed_endpoints_are_refused_with_a_line),
		cmocka_unit_test(two_threads_exchange),
		cmocka_unit_test(weir_polls_and_halves_sleep),
	};
	int failed;

	if (mkdtemp(run_dir) == NULL)
		return 1;
	setenv("WEIR_RUNTIME_DIR", run_dir, 1);
	pair_fork(&memif_auto, WEIR_HUGEPAGES_AUTO);
	pair_fork(&memif_never, WEIR_HUGEPAGES_NEVER);
	weir_driver_register(&weir_driver_dpdk);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	pair_end(&memif_auto);
	pair_end(&memif_never);
	if (rmdir(run_dir) != 0) {
		fprintf(stderr, "%s is not empty\n", run_dir);
		failed++;
	}
	return failed != 0;
}
