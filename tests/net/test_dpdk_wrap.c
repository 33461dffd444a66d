/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_wrap: mbufs of the application sent as messages, and messages
 * taken out as mbufs, over net_ring.
 *
 *     the_pool --> wrap --> link b -> a --> unwrap --> freed by the test
 *
 * After each test every mbuf of the pool is back, and capacity is conserved
 * whenever it is looked at.
 */

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "net_test.h"
#include "pattern.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define RING     "dpdk:wrap-test,dev=net_ring"
#define LIMIT_NS UINT64_C(20000000000)
#define MBUFS    511u
#define ROOM     (RTE_PKTMBUF_HEADROOM + 2048)

struct end {
	struct weir_port *port;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
};

/* b connected to a; the tests send from b. */
static struct end a, b;
static struct weir_listener *listener;
static struct rte_mempool *the_pool;

static void
turn(void)
{
	must(weir_port_poll(a.port), "poll");
	must(weir_port_poll(b.port), "poll");
	sched_yield();
}

/* ---- set up ---------------------------------------------------------------- */

static void
ports_open(const char *endpoint)
{
	must(weir_port_open(endpoint, NULL, &a.port), "open");
	must(weir_port_open(endpoint, NULL, &b.port), "open");
	if (the_pool == NULL)
		the_pool = rte_pktmbuf_pool_create("app", MBUFS, 0, 0, ROOM,
						   SOCKET_ID_ANY);
	assert_non_null(the_pool);
}

static void
link_up(const char *endpoint, const struct weir_link_config *config)
{
	int rc = 0;

	ports_open(endpoint);
	must(weir_listener_open(a.port, endpoint, config, &listener), "listen");
	must(weir_link_connect(b.port, endpoint, config, &b.link), "connect");
	STEP_UNTIL(turn(), (rc = weir_link_accept(listener, &a.link)) != 0);
	must(rc, "accept");
	STEP_UNTIL(turn(), (rc = weir_link_status(b.link)) != -EINPROGRESS);
	must(rc, "connect");
	must(weir_link_split(a.link, &a.tx, &a.rx), "split");
	must(weir_link_split(b.link, &b.tx, &b.rx), "split");
}

static void
link_down(void)
{
	struct end *const ends[] = { &a, &b };

	for (int i = 0; i < 2; i++) {
		weir_tx_destroy(ends[i]->tx);
		weir_rx_destroy(ends[i]->rx);
		weir_link_destroy(ends[i]->link);
		*ends[i] = (struct end){ .port = ends[i]->port };
	}
	if (listener != NULL)
		weir_listener_close(listener);
	listener = NULL;
}

static void
ports_close(void)
{
	if (a.port != NULL)
		assert_int_equal(weir_port_close(a.port), 0);
	if (b.port != NULL)
		assert_int_equal(weir_port_close(b.port), 0);
	a.port = b.port = NULL;
}

/* Nothing of the application's is left anywhere. */
static int
teardown(void **state)
{
	(void)state;
	if (a.tx != NULL)
		link_down();
	ports_close();
	assert_int_equal(rte_mempool_avail_count(the_pool), MBUFS);
	return 0;
}

/* ---- steps ----------------------------------------------------------------- */

static struct rte_mbuf *
mbuf_new(uint32_t len, uint64_t seed)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(the_pool);

	assert_non_null(m);
	pattern_fill(rte_pktmbuf_append(m, (uint16_t)len), len, seed);
	return m;
}

static struct weir_tx_stats
balance(void)
{
	struct weir_tx_stats s;

	weir_tx_stats(b.tx, &s, sizeof(s));
	assert_int_equal(s.capacity,
			 s.free + s.permitted + s.allocated + s.outstanding);
	for (uint32_t i = 0; i < s.class_count; i++)
		assert_int_equal(s.classes[i].total,
				 s.classes[i].free + s.classes[i].pledged +
					 s.classes[i].allocated +
					 s.classes[i].outstanding);
	return s;
}

static struct weir_permit
reserve(uint32_t size)
{
	struct weir_permit permit;
	int rc = 0;

	STEP_UNTIL(turn(),
		   (rc = weir_tx_reserve_burst(b.tx, size, &permit, 1)) != 0);
	assert_int_equal(rc, 1);
	return permit;
}

static void
send_mbuf(struct rte_mbuf *m)
{
	struct weir_permit permit = reserve(m->data_len);
	struct weir_slot slot;

	must(weir_dpdk_permit_wrap(&permit, m, &slot), "wrap");
	weir_slot_commit(&slot);
}

static struct weir_msg
receive(uint32_t len, uint64_t seed)
{
	struct weir_msg msg;
	int rc = 0;

	STEP_UNTIL(turn(), (rc = weir_rx_recv(a.rx, &msg)) != 0);
	assert_int_equal(rc, 1);
	assert_int_equal(msg.len, len);
	assert_int_equal(pattern_wrong(msg.data, len, seed), -1);
	return msg;
}

/* A machine that stands still for long repeats packets, and those are copied. */
static void
assert_copied(uint64_t bytes)
{
	struct weir_link_stats link;
	struct weir_rx_stats rx;

	weir_rx_stats(a.rx, &rx, sizeof(rx));
	weir_link_stats(b.link, &link, sizeof(link));
	assert_in_range(balance().copied_bytes + rx.copied_bytes, bytes,
			bytes + link.tx_retransmits * ROOM);
}

/* ---- what goes ------------------------------------------------------------- */

static void
an_mbuf_of_the_application_is_the_message(void **state)
{
	static const uint32_t lens[] = { 0, 1, 63, 64, 700, 1400 };
	struct weir_msg msg;

	(void)state;
	link_up(RING, NULL);
	for (uint32_t i = 0; i < 6; i++) {
		struct rte_mbuf *m = mbuf_new(lens[i], i);
		const void *data = rte_pktmbuf_mtod(m, void *);

		send_mbuf(m);
		msg = receive(lens[i], i);
		/* net_ring: the very bytes. */
		assert_ptr_equal(msg.data, data);
		assert_ptr_equal(weir_dpdk_msg_mbuf(&msg), m);
		weir_msg_release(&msg);
		STEP_UNTIL(turn(), rte_mempool_avail_count(the_pool) == MBUFS);
	}
	assert_copied(0);
	assert_int_equal(balance().free, balance().capacity);
}

/* Every place stands aside and comes back, many times over. */
static void
many_are_under_way_at_once(void **state)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .tx_credits = 16 };
	uint32_t sent = 0, received = 0, len;
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;

	(void)state;
	link_up(RING ",coalesce=off", &config);
	while (received < 2000) {
		len = 64 + sent % 1000;
		if (sent < 2000 &&
		    weir_tx_reserve_burst(b.tx, len, &permit, 1) == 1) {
			must(weir_dpdk_permit_wrap(&permit, mbuf_new(len, sent),
						   &slot),
			     "wrap");
			weir_slot_commit(&slot);
			sent++;
		}
		turn();
		if (weir_rx_recv(a.rx, &msg) != 1)
			continue;
		len = 64 + received % 1000;
		assert_int_equal(msg.len, len);
		assert_int_equal(pattern_wrong(msg.data, len, received++), -1);
		weir_msg_release(&msg);
	}
	assert_copied(0);
	STEP_UNTIL(turn(), balance().free == 16);
	STEP_UNTIL(turn(), rte_mempool_avail_count(the_pool) == MBUFS);
}

static void
small_ones_that_wait_together_share_a_packet(void **state)
{
	struct weir_msg msg;
	struct rte_mbuf *m;

	(void)state;
	link_up(RING, NULL);
	for (uint32_t i = 0; i < 8; i++)
		send_mbuf(mbuf_new(40, i));
	for (uint32_t i = 0; i < 8; i++) {
		msg = receive(40, i);
		assert_int_equal(weir_dpdk_msg_unwrap(&msg, &m), -EBUSY);
		weir_msg_release(&msg);
	}
	assert_copied(8 * 40);
	STEP_UNTIL(turn(), rte_mempool_avail_count(the_pool) == MBUFS);
}

/* Reserved for the largest message when no small place is left. */
static void
a_permit_for_a_large_message_takes_one_too(void **state)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .tx_credits = 8,
					   .msg_size_max = 100000 };
	struct weir_permit small[7], large;
	struct weir_slot slot;
	struct weir_msg msg;

	(void)state;
	link_up(RING, &config);
	large = reserve(100000);
	for (int i = 0; i < 7; i++)
		small[i] = reserve(64);
	must(weir_dpdk_permit_wrap(&large, mbuf_new(500, 1), &slot), "wrap");
	balance();
	weir_slot_commit(&slot);
	for (int i = 0; i < 7; i++)
		weir_permit_drop(&small[i]);
	msg = receive(500, 1);
	weir_msg_release(&msg);
	STEP_UNTIL(turn(), balance().free == 8);
	/* The large place is what it was. */
	large = reserve(100000);
	assert_int_equal(weir_permit_alloc(&large, 100000, &slot), 0);
	pattern_fill(slot.data, 100000, 2);
	weir_slot_commit(&slot);
	msg = receive(100000, 2);
	weir_msg_release(&msg);
	STEP_UNTIL(turn(), rte_mempool_avail_count(the_pool) == MBUFS);
}

static void
repairs_copy_and_nothing_is_lost(void **state)
{
	uint32_t sent = 0, received = 0;
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;

	(void)state;
	link_up(RING ",coalesce=off,crc=on", NULL);
	must(weir_dpdk_port_fault(
		     a.port, "loss=5%,dup=3%,reorder=5%,corrupt=3%,seed=7"),
	     "fault");
	must(weir_dpdk_port_fault(b.port, "loss=5%,dup=3%,reorder=5%,seed=8"),
	     "fault");
	while (received < 1000) {
		if (sent < 1000 && sent - received < 100 &&
		    weir_tx_reserve_burst(b.tx, 1000, &permit, 1) == 1) {
			must(weir_dpdk_permit_wrap(&permit,
						   mbuf_new(1000, sent), &slot),
			     "wrap");
			weir_slot_commit(&slot);
			sent++;
		}
		turn();
		while (weir_rx_recv(a.rx, &msg) == 1) {
			assert_int_equal(
				pattern_wrong(msg.data, 1000, received++), -1);
			weir_msg_release(&msg);
		}
	}
	assert_true(balance().copied_bytes > 0);
	must(weir_dpdk_port_fault(a.port, NULL), "fault");
	must(weir_dpdk_port_fault(b.port, NULL), "fault");
	STEP_UNTIL(turn(), rte_mempool_avail_count(the_pool) == MBUFS);
}

/* ---- what does not go ------------------------------------------------------ */

static struct weir_permit the_permit;

/* Refused, with a reason, and nothing is consumed. */
static void
refused(struct rte_mbuf *m, int rc)
{
	struct rte_mbuf before = *m;
	struct weir_slot slot;
	struct weir_permit permit = the_permit;

	assert_int_equal(weir_dpdk_permit_wrap(&permit, m, &slot), rc);
	assert_true(strstr(weir_last_error(), "mbuf: ") != NULL);
	assert_memory_equal(&permit, &the_permit, sizeof(permit));
	assert_memory_equal(m, &before, sizeof(before));
	assert_int_equal(balance().permitted, 1);
}

static void
refused_for_its_form(void)
{
	struct rte_mbuf *m = mbuf_new(100, 0), *tail = mbuf_new(100, 0);
	struct rte_mbuf *clone;

	rte_mbuf_refcnt_set(m, 2);
	refused(m, -EBUSY);
	rte_mbuf_refcnt_set(m, 1);
	assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
	refused(m, -EINVAL);
	rte_pktmbuf_free(m);

	m = mbuf_new(100, 0);
	clone = rte_pktmbuf_clone(m, the_pool);
	assert_non_null(clone);
	refused(clone, -EINVAL);
	refused(m, -EBUSY);
	rte_pktmbuf_free(clone);
	rte_pktmbuf_free(m);
}

static void
external_gone(void *addr, void *opaque)
{
	(void)addr;
	*(int *)opaque += 1;
}

static void
refused_for_its_buffer(void)
{
	static uint8_t buffer[2048] __attribute__((aligned(64)));
	struct rte_mbuf *m = rte_pktmbuf_alloc(the_pool);
	uint16_t size = sizeof(buffer);
	struct rte_mbuf_ext_shared_info *info;
	int gone = 0;

	assert_non_null(m);
	info = rte_pktmbuf_ext_shinfo_init_helper(buffer, &size, external_gone,
						  &gone);
	rte_pktmbuf_attach_extbuf(m, buffer, (rte_iova_t)(uintptr_t)buffer,
				  size, info);
	m->data_off = 256;
	assert_non_null(rte_pktmbuf_append(m, 100));
	refused(m, -EINVAL);
	rte_pktmbuf_free(m);
	assert_int_equal(gone, 1);
}

static void
refused_for_its_room(void)
{
	struct rte_mbuf *m = mbuf_new(100, 0);

	rte_pktmbuf_prepend(m, 1);
	refused(m, -ENOSPC);
	rte_pktmbuf_free(m);

	m = mbuf_new(100, 0);
	m->data_off = (uint16_t)(m->buf_len - 100 - (WEIR_DPDK_TAILROOM - 1));
	refused(m, -ENOSPC);
	rte_pktmbuf_free(m);

	m = mbuf_new(1001, 0); /* the permit is for 1,000 */
	refused(m, -EMSGSIZE);
	rte_pktmbuf_free(m);
}

static void
what_does_not_fit_is_refused_before_anything_is_taken(void **state)
{
	struct weir_slot slot;
	struct weir_msg msg;

	(void)state;
	link_up(RING, NULL);
	the_permit = reserve(1000);
	refused_for_its_form();
	refused_for_its_buffer();
	refused_for_its_room();
	assert_int_equal(rte_mempool_avail_count(the_pool), MBUFS);
	/* The permit is as good as before. */
	must(weir_dpdk_permit_wrap(&the_permit, mbuf_new(1000, 5), &slot),
	     "wrap");
	weir_slot_commit(&slot);
	msg = receive(1000, 5);
	weir_msg_release(&msg);
	STEP_UNTIL(turn(), rte_mempool_avail_count(the_pool) == MBUFS);
}

static void
more_than_a_packet_is_refused(void **state)
{
	uint32_t most;
	struct rte_mbuf *m;

	(void)state;
	link_up(RING, NULL);
	most = balance().classes[0].size;
	the_permit = reserve(60000);
	m = mbuf_new(most + 1, 0);
	refused(m, -EMSGSIZE);
	rte_pktmbuf_free(m);
	weir_permit_drop(&the_permit);
	assert_int_equal(balance().free, balance().capacity);
}

static void
links_of_other_drivers_refuse(void **state)
{
	struct weir_listener *mem_listener;
	struct weir_port *mem_port;
	struct weir_link *links[2];
	struct weir_tx *tx[2];
	struct weir_rx *rx[2];
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;
	struct rte_mbuf *m;

	(void)state;
	ports_open(RING);
	must(weir_port_open("mem:wrap", NULL, &mem_port), "open");
	must(weir_listener_open(mem_port, "mem:wrap", NULL, &mem_listener),
	     "listen");
	must(weir_link_connect(mem_port, "mem:wrap", NULL, &links[0]),
	     "connect");
	assert_int_equal(weir_link_accept(mem_listener, &links[1]), 1);
	for (int i = 0; i < 2; i++)
		must(weir_link_split(links[i], &tx[i], &rx[i]), "split");
	assert_int_equal(weir_tx_try_send(tx[1], "x", 1), 1);
	assert_int_equal(weir_tx_reserve(tx[0], &permit), 1);
	m = mbuf_new(10, 0);
	assert_int_equal(weir_dpdk_permit_wrap(&permit, m, &slot), -EOPNOTSUPP);
	rte_pktmbuf_free(m);
	assert_int_equal(weir_permit_alloc(&permit, 1, &slot), 0);
	assert_null(weir_dpdk_slot_unwrap(&slot));
	weir_slot_discard(&slot);
	assert_int_equal(weir_rx_recv(rx[0], &msg), 1);
	assert_int_equal(weir_dpdk_msg_unwrap(&msg, &m), -EOPNOTSUPP);
	weir_msg_release(&msg);
	for (int i = 0; i < 2; i++) {
		weir_tx_destroy(tx[i]);
		weir_rx_destroy(rx[i]);
		weir_link_destroy(links[i]);
	}
	weir_listener_close(mem_listener);
	assert_int_equal(weir_port_close(mem_port), 0);
}

/* ---- backing out ----------------------------------------------------------- */

static void
a_slot_gives_its_mbuf_back(void **state)
{
	struct rte_mbuf *m;
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;

	(void)state;
	link_up(RING, NULL);
	permit = reserve(100);
	m = mbuf_new(100, 3);
	must(weir_dpdk_permit_wrap(&permit, m, &slot), "wrap");
	assert_int_equal(balance().allocated, 1);
	assert_ptr_equal(weir_dpdk_slot_unwrap(&slot), m);
	assert_null(slot.tx);
	assert_int_equal(pattern_wrong(rte_pktmbuf_mtod(m, void *), 100, 3),
			 -1);
	rte_pktmbuf_free(m);
	assert_int_equal(balance().free, balance().capacity);

	permit = reserve(100);
	must(weir_dpdk_permit_wrap(&permit, mbuf_new(100, 3), &slot), "wrap");
	weir_slot_discard(&slot);
	assert_int_equal(balance().free, balance().capacity);
	assert_int_equal(rte_mempool_avail_count(the_pool), MBUFS);

	/* Neither happened: the place is as it was. */
	permit = reserve(100);
	assert_int_equal(weir_permit_alloc(&permit, 100, &slot), 0);
	pattern_fill(slot.data, 100, 4);
	assert_int_equal((uintptr_t)slot.data % 64, 0);
	weir_slot_commit(&slot);
	msg = receive(100, 4);
	weir_msg_release(&msg);
}

/* Open slots, commits that nobody read, packets that nobody acknowledged. */
static void
halves_that_go_free_what_was_wrapped(void **state)
{
	struct weir_permit permit;
	struct weir_slot slot;

	(void)state;
	link_up(RING, NULL);
	for (uint32_t i = 0; i < 20; i++)
		send_mbuf(mbuf_new(1000, i));
	must(weir_port_poll(b.port), "poll");
	for (uint32_t i = 0; i < 20; i++)
		send_mbuf(mbuf_new(1000, i));
	permit = reserve(1000);
	must(weir_dpdk_permit_wrap(&permit, mbuf_new(1000, 0), &slot), "wrap");
	link_down();
	ports_close();
	/* What was in the ring when it went is back with it. */
	assert_int_equal(rte_mempool_avail_count(the_pool), MBUFS);
}

/* ---- messages as mbufs ----------------------------------------------------- */

/* On net_ring its sender has a reference until it is acknowledged. */
static struct rte_mbuf *
take_out(struct weir_msg *msg)
{
	uint32_t len = msg->len;
	const void *data = msg->data;
	struct rte_mbuf *m;

	must(weir_dpdk_msg_unwrap(msg, &m), "unwrap");
	assert_null(msg->store);
	assert_ptr_equal(rte_pktmbuf_mtod(m, void *), data);
	assert_int_equal(m->data_len, len);
	assert_int_equal(m->pkt_len, len);
	STEP_UNTIL(turn(), rte_mbuf_refcnt_read(m) == 1);
	return m;
}

/* From pool to link to mbuf to link, and so on: never copied. */
static void
a_received_message_is_sent_on(void **state)
{
	struct rte_mbuf *m;
	struct weir_msg msg;

	(void)state;
	link_up(RING, NULL);
	m = mbuf_new(900, 11);
	for (int i = 0; i < 50; i++) {
		send_mbuf(m);
		msg = receive(900, 11);
		assert_ptr_equal(take_out(&msg), m);
	}
	rte_pktmbuf_free(m);
	assert_copied(0);
	STEP_UNTIL(turn(), balance().free == balance().capacity);
}

/* The peer gets its credit back as by a release. */
static void
what_was_taken_out_counts_as_released(void **state)
{
	struct weir_link_config config = { .size = sizeof(config),
					   .tx_credits = 8 };
	struct rte_mbuf *mbufs[200];
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;

	(void)state;
	link_up(RING, &config);
	for (uint32_t i = 0; i < 200; i++) {
		permit = reserve(300);
		assert_int_equal(weir_permit_alloc(&permit, 300, &slot), 0);
		pattern_fill(slot.data, 300, i);
		weir_slot_commit(&slot);
		msg = receive(300, i);
		mbufs[i] = take_out(&msg);
	}
	link_down();
	ports_close();
	/* They outlive link and port. */
	for (uint32_t i = 0; i < 200; i++) {
		assert_int_equal(
			pattern_wrong(rte_pktmbuf_mtod(mbufs[i], void *), 300,
				      i),
			-1);
		rte_pktmbuf_free(mbufs[i]);
	}
}

static void
a_message_of_several_packets_has_no_mbuf(void **state)
{
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;
	struct rte_mbuf *m;

	(void)state;
	link_up(RING, NULL);
	permit = reserve(50000);
	assert_int_equal(weir_permit_alloc(&permit, 50000, &slot), 0);
	pattern_fill(slot.data, 50000, 1);
	weir_slot_commit(&slot);
	msg = receive(50000, 1);
	assert_int_equal(weir_dpdk_msg_unwrap(&msg, &m), -EMSGSIZE);
	assert_int_equal(pattern_wrong(msg.data, 50000, 1), -1);
	weir_msg_release(&msg);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			an_mbuf_of_the_application_is_the_message, teardown),
		cmocka_unit_test_teardown(many_are_under_way_at_once, teardown),
		cmocka_unit_test_teardown(
			small_ones_that_wait_together_share_a_packet, teardown),
		cmocka_unit_test_teardown(
			a_permit_for_a_large_message_takes_one_too, teardown),
		cmocka_unit_test_teardown(repairs_copy_and_nothing_is_lost,
					  teardown),
		cmocka_unit_test_teardown(
			what_does_not_fit_is_refused_before_anything_is_taken,
			teardown),
		cmocka_unit_test_teardown(more_than_a_packet_is_refused,
					  teardown),
		cmocka_unit_test_teardown(links_of_other_drivers_refuse,
					  teardown),
		cmocka_unit_test_teardown(a_slot_gives_its_mbuf_back, teardown),
		cmocka_unit_test_teardown(halves_that_go_free_what_was_wrapped,
					  teardown),
		cmocka_unit_test_teardown(a_received_message_is_sent_on,
					  teardown),
		cmocka_unit_test_teardown(what_was_taken_out_counts_as_released,
					  teardown),
		cmocka_unit_test_teardown(
			a_message_of_several_packets_has_no_mbuf, teardown),
	};

	must(weir_driver_register(&weir_driver_dpdk), "register");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
