/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A DPDK application outside of weir's tree. It owns EAL, two ethdevs, their
 * queues and mbufs, and lends weir a queue pair of each:
 *
 *     port A  --ring-->  port B
 *             <--ring--
 *
 * One message goes there and comes back, on one thread that polls both.
 */
#include <stdio.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <rte_ring.h>

#include <weir.h>
#include <weir_dpdk.h>

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond)) {                                                 \
			fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #cond, \
				weir_last_error());                            \
			return 1;                                              \
		}                                                              \
	} while (0)

#define RING_SIZE 256
#define MBUFS     4095
#define WAIT_NS   UINT64_C(10000000000)

struct end {
	struct weir_port *port;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
};

static int
device_start(int port_id, struct rte_mempool *pool)
{
	struct rte_eth_conf conf;
	uint16_t id = (uint16_t)port_id;

	memset(&conf, 0, sizeof(conf));
	CHECK(port_id >= 0);
	CHECK(rte_eth_dev_configure(id, 1, 1, &conf) == 0);
	CHECK(rte_eth_rx_queue_setup(id, 0, RING_SIZE, SOCKET_ID_ANY, NULL,
				     pool) == 0);
	CHECK(rte_eth_tx_queue_setup(id, 0, RING_SIZE, SOCKET_ID_ANY, NULL) ==
	      0);
	CHECK(rte_eth_dev_start(id) == 0);
	return 0;
}

static int
devices_make(struct rte_mempool *pool, int port_id[2])
{
	struct rte_ring *there = rte_ring_create("there", RING_SIZE,
						 SOCKET_ID_ANY,
						 RING_F_SP_ENQ | RING_F_SC_DEQ);
	struct rte_ring *back = rte_ring_create("back", RING_SIZE,
						SOCKET_ID_ANY,
						RING_F_SP_ENQ | RING_F_SC_DEQ);

	CHECK(there != NULL && back != NULL);
	port_id[0] = rte_eth_from_rings("A", &back, 1, &there, 1, 0);
	port_id[1] = rte_eth_from_rings("B", &there, 1, &back, 1, 0);
	CHECK(device_start(port_id[0], pool) == 0);
	CHECK(device_start(port_id[1], pool) == 0);
	return 0;
}

static int
ports_open(struct rte_mempool *pool, struct end end[2])
{
	static const char *const endpoint[2] = {
		"dpdk:*,local=10.0.0.1/24",
		"dpdk:*,local=10.0.0.2/24",
	};
	int port_id[2];

	CHECK(devices_make(pool, port_id) == 0);
	CHECK(weir_driver_register(&weir_driver_dpdk) == 0);
	for (int i = 0; i < 2; i++) {
		struct weir_dpdk_queue queue = {
			.port_id = (uint16_t)port_id[i],
			.rx_pool = pool,
		};

		CHECK(weir_dpdk_port_open(endpoint[i], NULL, &queue,
					  &end[i].port) == 0);
	}
	return 0;
}

/* One step of everything that one thread owns here. */
static void
poll_both(const struct end end[2])
{
	weir_port_poll(end[0].port);
	weir_port_poll(end[1].port);
}

static int
connect_both(struct end end[2], struct weir_listener **listener)
{
	uint64_t deadline_ns = weir_now_ns() + WAIT_NS;
	int accepted = 0;

	CHECK(weir_listener_open(end[1].port, "dpdk:10.0.0.2:7400", NULL,
				 listener) == 0);
	CHECK(weir_link_connect(end[0].port, "dpdk:10.0.0.2:7400", NULL,
				&end[0].link) == 0);
	while (accepted == 0 || weir_link_status(end[0].link) != 0) {
		poll_both(end);
		if (accepted == 0)
			accepted = weir_link_accept(*listener, &end[1].link);
		CHECK(accepted >= 0 && weir_now_ns() < deadline_ns);
	}
	for (int i = 0; i < 2; i++)
		CHECK(weir_link_split(end[i].link, &end[i].tx, &end[i].rx) ==
		      0);
	return 0;
}

static int
say(struct end end[2], int from, const char *text)
{
	uint64_t deadline_ns = weir_now_ns() + WAIT_NS;
	uint32_t len = (uint32_t)strlen(text);
	struct weir_msg msg;
	int rc;

	CHECK(weir_tx_try_send(end[from].tx, text, len) == 1);
	while ((rc = weir_rx_recv(end[!from].rx, &msg)) == 0) {
		poll_both(end);
		CHECK(weir_now_ns() < deadline_ns);
	}
	CHECK(rc == 1 && msg.len == len && memcmp(msg.data, text, len) == 0);
	CHECK(weir_dpdk_msg_mbuf(&msg) != NULL);
	weir_msg_release(&msg);
	return 0;
}

static int
close_both(struct end end[2])
{
	uint64_t deadline_ns = weir_now_ns() + WAIT_NS;

	for (int i = 0; i < 2; i++)
		CHECK(weir_tx_close(end[i].tx) == 0);
	for (int i = 0; i < 2; i++) {
		struct weir_msg msg;

		while (weir_rx_recv(end[i].rx, &msg) != WEIR_EOF) {
			poll_both(end);
			CHECK(weir_now_ns() < deadline_ns);
		}
		weir_tx_destroy(end[i].tx);
		weir_rx_destroy(end[i].rx);
		weir_link_destroy(end[i].link);
	}
	return 0;
}

int
main(void)
{
	char *arguments[] = {
		"consumer",    "--no-pci",       "--no-huge",     "-m", "64",
		"--no-shconf", "--no-telemetry", "--log-level=1", NULL
	};
	struct weir_listener *listener;
	struct rte_mempool *pool;
	struct end end[2];

	memset(end, 0, sizeof(end));
	CHECK(rte_eal_init(8, arguments) >= 0);
	pool = rte_pktmbuf_pool_create("rx", MBUFS, 64, 0, 2048 + 128,
				       SOCKET_ID_ANY);
	CHECK(pool != NULL);
	CHECK(ports_open(pool, end) == 0);
	CHECK(connect_both(end, &listener) == 0);
	CHECK(say(end, 0, "there") == 0);
	CHECK(say(end, 1, "and back") == 0);
	CHECK(close_both(end) == 0);
	weir_listener_close(listener);
	for (int i = 0; i < 2; i++)
		CHECK(weir_port_close(end[i].port) == 0);
	printf("DPDK: one message each way between two ports of ours\n");
	rte_eal_cleanup();
	return 0;
}
