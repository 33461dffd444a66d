/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_feed: a port whose frames the application receives and sends.
 *
 *     weir port a ---- ethdev A ==rings== ethdev B ---- the test's own loop
 *     (bursts itself)                                   rx_burst -> input
 *                                                       output -> tx_burst
 *                                                            weir port b
 *
 * EAL, both devices and all mbufs are the test's, as in an application.
 */

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include "net_test.h"
#include "pattern.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define LIMIT_NS  UINT64_C(20000000000)
#define RING_SIZE 256
#define MBUFS     8191u
#define BURST     32

struct end {
	struct weir_port *port;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
};

static struct end a, b;
static struct weir_listener *listener;
static struct rte_mempool *the_pool;
static uint16_t ports[2]; /* A, B */

/* What the application does on its way. */
static struct {
	struct rte_mbuf *foreign[BURST]; /* not weir's: kept here */
	uint32_t foreign_count;
	uint32_t neighbours;
	uint32_t drop_every; /* of what weir sends; 0: nothing */
	uint32_t output;
} app;

/* ---- the application's loop ------------------------------------------------ */

static bool
is_neighbours(const struct rte_mbuf *m)
{
	return rte_pktmbuf_mtod(m, const uint8_t *)[12] == 0x08 &&
	       rte_pktmbuf_mtod(m, const uint8_t *)[13] == 0x06;
}

static void
app_receive(void)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t count = rte_eth_rx_burst(ports[1], 0, mbufs, BURST);

	count = weir_dpdk_port_input(b.port, mbufs, count);
	for (uint16_t i = 0; i < count; i++) {
		if (is_neighbours(mbufs[i])) {
			app.neighbours++;
			rte_pktmbuf_free(mbufs[i]);
			continue;
		}
		assert_in_range(app.foreign_count, 0, BURST - 1);
		app.foreign[app.foreign_count++] = mbufs[i];
	}
}

static void
app_send(void)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t count = weir_dpdk_port_output(b.port, mbufs, BURST);

	for (uint16_t i = 0; i < count; i++) {
		app.output++;
		if ((app.drop_every != 0 && app.output % app.drop_every == 0) ||
		    rte_eth_tx_burst(ports[1], 0, &mbufs[i], 1) == 0)
			rte_pktmbuf_free(mbufs[i]);
	}
}

static void
turn(void)
{
	must(weir_port_poll(a.port), "poll");
	app_receive();
	must(weir_port_poll(b.port), "poll");
	app_send();
	sched_yield();
}

/* ---- set up ---------------------------------------------------------------- */

static void
device_start(int port_id)
{
	struct rte_eth_conf conf;
	uint16_t id = (uint16_t)port_id;

	memset(&conf, 0, sizeof(conf));
	assert_true(port_id >= 0);
	assert_int_equal(rte_eth_dev_configure(id, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(id, 0, RING_SIZE, SOCKET_ID_ANY,
						NULL, the_pool),
			 0);
	assert_int_equal(
		rte_eth_tx_queue_setup(id, 0, RING_SIZE, SOCKET_ID_ANY, NULL),
		0);
	assert_int_equal(rte_eth_dev_start(id), 0);
}

static int
devices_make(void **state)
{
	const unsigned int one = RING_F_SP_ENQ | RING_F_SC_DEQ;
	struct rte_ring *there, *back;
	int id[2];

	(void)state;
	the_pool = rte_pktmbuf_pool_create("app", MBUFS, 0, 0, 2048 + 256,
					   SOCKET_ID_ANY);
	there = rte_ring_create("there", RING_SIZE, SOCKET_ID_ANY, one);
	back = rte_ring_create("back", RING_SIZE, SOCKET_ID_ANY, one);
	assert_true(the_pool != NULL && there != NULL && back != NULL);
	id[0] = rte_eth_from_rings("A", &back, 1, &there, 1, 0);
	id[1] = rte_eth_from_rings("B", &there, 1, &back, 1, 0);
	for (int i = 0; i < 2; i++) {
		device_start(id[i]);
		ports[i] = (uint16_t)id[i];
	}
	must(weir_driver_register(&weir_driver_dpdk), "register");
	return 0;
}

static void
port_open(struct end *e, int device, const char *endpoint, uint32_t flags)
{
	struct weir_dpdk_queue queue = {
		.port_id = ports[device],
		.tx_pool = the_pool,
		.rx_pool = the_pool,
		.flags = flags,
	};

	must(weir_dpdk_port_open(endpoint, NULL, &queue, &e->port), "open");
}

static int
setup(void **state)
{
	(void)state;
	memset(&app, 0, sizeof(app));
	port_open(&a, 0, "dpdk:*,local=10.0.0.1/24", 0);
	port_open(&b, 1, "dpdk:*,local=10.0.0.2/24",
		  WEIR_DPDK_FED | WEIR_DPDK_DRAINED);
	return 0;
}

static void
link_up(void)
{
	int rc = 0;

	must(weir_listener_open(a.port, "dpdk:10.0.0.1:7400", NULL, &listener),
	     "listen");
	must(weir_link_connect(b.port, "dpdk:10.0.0.1:7400", NULL, &b.link),
	     "connect");
	STEP_UNTIL(turn(), (rc = weir_link_accept(listener, &a.link)) != 0);
	must(rc, "accept");
	STEP_UNTIL(turn(), (rc = weir_link_status(b.link)) != -EINPROGRESS);
	must(rc, "connect");
	must(weir_link_split(a.link, &a.tx, &a.rx), "split");
	must(weir_link_split(b.link, &b.tx, &b.rx), "split");
}

/* As the documentation asks: the links are over before the port is closed. */
static void
link_down(void)
{
	struct weir_msg msg;
	uint64_t begin_ns;

	must(weir_tx_close(a.tx), "close");
	must(weir_tx_close(b.tx), "close");
	STEP_UNTIL(turn(), weir_rx_recv(a.rx, &msg) == WEIR_EOF);
	STEP_UNTIL(turn(), weir_rx_recv(b.rx, &msg) == WEIR_EOF);
	STEP_UNTIL(turn(), weir_link_status(b.link) == WEIR_EOF);
	STEP_UNTIL(turn(), weir_link_status(a.link) == WEIR_EOF);
	weir_tx_destroy(a.tx);
	weir_tx_destroy(b.tx);
	weir_rx_destroy(a.rx);
	weir_rx_destroy(b.rx);
	weir_link_destroy(a.link);
	weir_link_destroy(b.link);
	weir_listener_close(listener);
	listener = NULL;
	begin_ns = weir_now_ns();
	assert_int_equal(weir_port_close(b.port), 0);
	/* It does not wait for what nobody feeds it: 1 s otherwise. */
	assert_true(weir_now_ns() - begin_ns < UINT64_C(900000000));
	b.port = NULL;
}

static int
teardown(void **state)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t count;

	(void)state;
	if (a.port != NULL)
		assert_int_equal(weir_port_close(a.port), 0);
	if (b.port != NULL)
		assert_int_equal(weir_port_close(b.port), 0);
	memset(&a, 0, sizeof(a));
	memset(&b, 0, sizeof(b));
	while (app.foreign_count != 0)
		rte_pktmbuf_free(app.foreign[--app.foreign_count]);
	for (int i = 0; i < 2; i++)
		while ((count = rte_eth_rx_burst(ports[i], 0, mbufs, BURST)) !=
		       0)
			rte_pktmbuf_free_bulk(mbufs, count);
	/* No mbuf was lost or freed twice. */
	assert_int_equal(rte_mempool_avail_count(the_pool), MBUFS);
	return 0;
}

/* ---- steps ----------------------------------------------------------------- */

static void
stream(struct end *from, struct end *to, uint32_t total, uint32_t len)
{
	uint32_t sent = 0, received = 0;
	struct weir_permit permit;
	struct weir_slot slot;
	struct weir_msg msg;
	uint64_t end_ns = weir_now_ns() + LIMIT_NS;

	while (received < total) {
		assert_true(weir_now_ns() < end_ns);
		while (sent < total &&
		       weir_tx_reserve_burst(from->tx, len, &permit, 1) == 1) {
			assert_int_equal(weir_permit_alloc(&permit, len, &slot),
					 0);
			pattern_fill(slot.data, len, sent++);
			weir_slot_commit(&slot);
		}
		turn();
		while (weir_rx_recv(to->rx, &msg) == 1) {
			assert_int_equal(msg.len, len);
			assert_int_equal(
				pattern_wrong(msg.data, len, received++), -1);
			weir_msg_release(&msg);
		}
	}
}

/* ---- frames ---------------------------------------------------------------- */

static const uint8_t udp_frame[] = {
	2,    0, 0, 0,  0,  2,                   /* to, to be filled in */
	2,    0, 0, 0,  0,  9,                   /* from */
	8,    0,                                 /* IPv4 */
	0x45, 0, 0, 36, 0,  1,  0x40, 0, 64, 17, /* header */
	0,    0,                                 /* checksum, to be filled in */
	10,   0, 0, 9,  10, 0,  0,    2,         /* 10.0.0.9 to 10.0.0.2 */
	0,    9, 0, 9,  0,  16, 0,    0,         /* UDP, discard */
	1,    2, 3, 4,  5,  6,  7,    8,
};

/* Sum up the IPv4 header. */
static void
ip_sum(uint8_t *ip)
{
	uint32_t sum = 0;

	for (int i = 0; i < 20; i += 2)
		sum += (uint32_t)(ip[i] << 8 | ip[i + 1]);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16)) & 0xffff;
	ip[10] = (uint8_t)(sum >> 8);
	ip[11] = (uint8_t)sum;
}

/* Somebody behind A sends a frame that is not weir's. */
static void
foreign_send(uint16_t udp_port, uint8_t host, uint8_t number)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(the_pool);
	struct rte_ether_addr mac;
	uint8_t *frame;

	assert_non_null(m);
	frame = (uint8_t *)rte_pktmbuf_append(m, sizeof(udp_frame));
	memcpy(frame, udp_frame, sizeof(udp_frame));
	rte_eth_macaddr_get(ports[1], &mac);
	memcpy(frame, &mac, 6);
	frame[33] = host;
	frame[36] = (uint8_t)(udp_port >> 8);
	frame[37] = (uint8_t)udp_port;
	frame[49] = number;
	ip_sum(frame + 14);
	assert_int_equal(rte_eth_tx_burst(ports[0], 0, &m, 1), 1);
}

/* ---- tests ----------------------------------------------------------------- */

static void
a_link_runs_through_the_loop_of_the_application(void **state)
{
	struct weir_dpdk_queue queue;

	(void)state;
	must(weir_dpdk_port_queue(b.port, &queue), "queue");
	assert_int_equal(queue.flags, WEIR_DPDK_FED | WEIR_DPDK_DRAINED);
	link_up();
	stream(&b, &a, 3000, 700);
	stream(&a, &b, 3000, 700);
	stream(&b, &a, 20, 60000);
	stream(&a, &b, 20, 60000);
	/* Questions for addresses are the application's business, too. */
	assert_true(app.neighbours > 0);
	assert_int_equal(app.foreign_count, 0);
	link_down();
}

static void
what_is_not_weirs_comes_back_in_order(void **state)
{
	struct weir_port_stats before, after;
	uint32_t expected = 0;

	(void)state;
	link_up();
	weir_port_stats(b.port, &before, sizeof(before));
	foreign_send(9, 2, expected++);    /* our address, another port */
	foreign_send(7400, 2, expected++); /* nobody of ours listens there */
	foreign_send(9, 77, expected++);   /* another address */
	/* Ours: the port of our connections. Garbage, and weir's problem. */
	foreign_send(49152, 2, 99);
	foreign_send(53, 2, expected++);
	STEP_UNTIL(turn(), app.foreign_count == expected);
	weir_port_stats(b.port, &after, sizeof(after));
	for (uint32_t i = 0; i < expected; i++)
		assert_int_equal(
			rte_pktmbuf_mtod(app.foreign[i], uint8_t *)[49], i);
	assert_int_equal(after.packet_short + after.frame_udp_no_checksum -
				 before.packet_short -
				 before.frame_udp_no_checksum,
			 1);
	assert_int_equal(after.rx_foreign, before.rx_foreign);
	stream(&b, &a, 100, 100);
	link_down();
}

/* Frames in two pieces are not for weir. */
static void
chained_frames_come_back(void **state)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(the_pool);
	struct rte_mbuf *tail = rte_pktmbuf_alloc(the_pool);

	(void)state;
	assert_true(m != NULL && tail != NULL);
	rte_pktmbuf_append(m, 14);
	rte_pktmbuf_append(tail, 100);
	assert_int_equal(rte_pktmbuf_chain(m, tail), 0);
	assert_int_equal(weir_dpdk_port_input(b.port, &m, 1), 1);
	rte_pktmbuf_free(m);
}

static void
a_link_outlives_its_listener(void **state)
{
	int rc = 0;

	(void)state;
	must(weir_listener_open(b.port, "dpdk:10.0.0.2:7500", NULL, &listener),
	     "listen");
	must(weir_link_connect(a.port, "dpdk:10.0.0.2:7500", NULL, &a.link),
	     "connect");
	STEP_UNTIL(turn(), (rc = weir_link_accept(listener, &b.link)) != 0);
	must(rc, "accept");
	STEP_UNTIL(turn(), (rc = weir_link_status(a.link)) != -EINPROGRESS);
	weir_listener_close(listener);
	must(weir_listener_open(b.port, "dpdk:10.0.0.2:7501", NULL, &listener),
	     "listen");
	must(weir_link_split(a.link, &a.tx, &a.rx), "split");
	must(weir_link_split(b.link, &b.tx, &b.rx), "split");
	stream(&a, &b, 500, 300);
	link_down();
}

/* What the application cannot send, weir sends again. */
static void
packets_that_the_application_drops_are_repaired(void **state)
{
	struct weir_link_stats stats;

	(void)state;
	link_up();
	app.drop_every = 10;
	stream(&b, &a, 1000, 1000);
	app.drop_every = 0;
	weir_link_stats(b.link, &stats, sizeof(stats));
	assert_true(stats.tx_retransmits > 0);
	link_down();
}

/* Nobody asks for its packets: it keeps a batch of them and makes no more. */
static void
what_is_not_taken_waits(void **state)
{
	struct rte_mbuf *mbufs[128];
	struct weir_permit permit;
	struct weir_slot slot;
	uint16_t count;

	(void)state;
	link_up();
	STEP_UNTIL(turn(), weir_tx_capacity(b.tx, 1000) >= 100);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(weir_tx_reserve_burst(b.tx, 1000, &permit, 1),
				 1);
		assert_int_equal(weir_permit_alloc(&permit, 1000, &slot), 0);
		pattern_fill(slot.data, 1000, (uint64_t)i);
		weir_slot_commit(&slot);
	}
	for (int i = 0; i < 20; i++)
		must(weir_port_poll(b.port), "poll");
	count = weir_dpdk_port_output(b.port, mbufs, 128);
	assert_in_range(count, 1, 64);
	assert_int_equal(weir_dpdk_port_output(b.port, mbufs, 128), 0);
	for (uint16_t i = 0; i < count; i++)
		assert_int_equal(rte_eth_tx_burst(ports[1], 0, &mbufs[i], 1),
				 1);
	for (uint32_t i = 0; i < 100; i++) {
		struct weir_msg msg;
		int rc = 0;

		STEP_UNTIL(turn(), (rc = weir_rx_recv(a.rx, &msg)) != 0);
		assert_int_equal(rc, 1);
		assert_int_equal(pattern_wrong(msg.data, 1000, i), -1);
		weir_msg_release(&msg);
	}
	link_down();
}

static void
ports_that_were_not_opened_so_take_nothing(void **state)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(the_pool);
	struct weir_dpdk_queue queue = { .port_id = ports[0], .flags = 4 };
	struct weir_port *port;

	(void)state;
	assert_non_null(m);
	assert_int_equal(weir_dpdk_port_input(a.port, &m, 1), 1);
	assert_int_equal(weir_dpdk_port_output(a.port, &m, 1), 0);
	rte_pktmbuf_free(m);
	assert_int_equal(weir_dpdk_port_open("dpdk:*,local=10.0.0.1/24", NULL,
					     &queue, &port),
			 -EINVAL);
	assert_true(strstr(weir_last_error(), "flags") != NULL);
}

int
main(void)
{
	char *arguments[] = {
		"feed",        "--no-pci",       "--no-huge",     "-m", "128",
		"--no-shconf", "--no-telemetry", "--log-level=1", NULL
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_link_runs_through_the_loop_of_the_application, setup,
			teardown),
		cmocka_unit_test_setup_teardown(
			what_is_not_weirs_comes_back_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(chained_frames_come_back, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_link_outlives_its_listener,
						setup, teardown),
		cmocka_unit_test_setup_teardown(
			packets_that_the_application_drops_are_repaired, setup,
			teardown),
		cmocka_unit_test_setup_teardown(what_is_not_taken_waits, setup,
						teardown),
		cmocka_unit_test_setup_teardown(
			ports_that_were_not_opened_so_take_nothing, setup,
			teardown),
	};
	int rc;

	if (rte_eal_init(8, arguments) < 0)
		return 1;
	rc = cmocka_run_group_tests(tests, devices_make, NULL);
	rte_eal_cleanup();
	return rc;
}
