/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * feed: an application with a receive loop of its own, which hands weir only
 * what is weir's. It speaks a protocol of its own on the same port: beacons,
 * frames of an EtherType that is free for experiments.
 *
 *     rx_burst --> weir_dpdk_port_input --> what is left: beacons
 *                        |
 *                  weir_port_poll: links
 *                        |
 *     tx_burst <-- weir_dpdk_port_output, and beacons
 *
 *     feed EAL-OPTIONS -- -l ENDPOINT            sends back what it receives
 *     feed EAL-OPTIONS -- -c ENDPOINT -n COUNT   sends COUNT messages and
 *                                                checks what comes back
 */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_mbuf.h>

#include <weir.h>
#include <weir_dpdk.h>

#define PORT   0
#define BURST  32
#define DESCS  512
#define MBUFS  8191
#define ROOM   (RTE_PKTMBUF_HEADROOM + 2048 + 128)
#define BEACON 0x88b5 /* IEEE 802: local experiments */

/* A beacon after so many messages. */
#define BEACON_EVERY 100

static volatile sig_atomic_t force_quit;

static struct {
	struct rte_mempool *pool;
	struct weir_port *port;
	struct weir_listener *listener;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
	const char *endpoint;
	int listens;
	uint64_t count;
	uint64_t beacons_sent;
	uint64_t beacons_seen;
	uint64_t others;
} app;

static void
fail(const char *what, int rc)
{
	const char *why = weir_last_error();

	rte_exit(EXIT_FAILURE, "feed: %s: %s\n", what,
		 why[0] != '\0' ? why : weir_strerror(rc));
}

static void
on_signal(int number)
{
	(void)number;
	force_quit = 1;
}

/* ---- the application's own protocol ---------------------------------------- */

static void
beacon_send(void)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(app.pool);
	struct rte_ether_hdr *hdr = NULL;

	if (m != NULL)
		hdr = (struct rte_ether_hdr *)rte_pktmbuf_append(
			m, RTE_ETHER_MIN_LEN);
	if (hdr == NULL) {
		rte_pktmbuf_free(m);
		return;
	}
	memset(hdr, 0, RTE_ETHER_MIN_LEN);
	memset(&hdr->dst_addr, 0xff, sizeof(hdr->dst_addr));
	rte_eth_macaddr_get(PORT, &hdr->src_addr);
	hdr->ether_type = rte_cpu_to_be_16(BEACON);
	if (rte_eth_tx_burst(PORT, 0, &m, 1) == 1)
		app.beacons_sent++;
	else
		rte_pktmbuf_free(m);
}

static void
frame_take(struct rte_mbuf *m)
{
	const struct rte_ether_hdr *hdr =
		rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);

	if (hdr->ether_type == rte_cpu_to_be_16(BEACON))
		app.beacons_seen++;
	else
		app.others++; /* ARP, which weir has read already */
	rte_pktmbuf_free(m);
}

/* ---- one turn of the loop -------------------------------------------------- */

static void
turn(void)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t n = rte_eth_rx_burst(PORT, 0, mbufs, BURST), sent;

	n = weir_dpdk_port_input(app.port, mbufs, n);
	for (uint16_t i = 0; i < n; i++)
		frame_take(mbufs[i]);
	weir_port_poll(app.port);
	while ((n = weir_dpdk_port_output(app.port, mbufs, BURST)) != 0) {
		sent = rte_eth_tx_burst(PORT, 0, mbufs, n);
		/* What the device has no room for is lost; weir repairs it. */
		rte_pktmbuf_free_bulk(mbufs + sent, n - sent);
	}
}

/* ---- what it does with its link -------------------------------------------- */

static int
link_open(void)
{
	struct weir_link_config config = { .size = sizeof(config) };
	int rc;

	config.connect_timeout_ns = 30000000000;
	if (app.listens)
		rc = weir_listener_open(app.port, app.endpoint, &config,
					&app.listener);
	else
		rc = weir_link_connect(app.port, app.endpoint, &config,
				       &app.link);
	while (rc == 0 && app.link == NULL && !force_quit) {
		turn();
		rc = weir_link_accept(app.listener, &app.link);
	}
	while (rc >= 0 && app.link != NULL && !force_quit &&
	       (rc = weir_link_status(app.link)) == -EINPROGRESS)
		turn(), rc = 0;
	if (rc < 0)
		fail(app.endpoint, rc);
	if (app.link != NULL)
		weir_link_split(app.link, &app.tx, &app.rx);
	return app.link != NULL;
}

/* Everything goes back as it came. */
static void
echo(void)
{
	struct weir_permit permit;
	struct weir_msg msg;
	int rc = 0;

	while (rc >= 0 && !force_quit) {
		turn();
		if (weir_tx_reserve(app.tx, &permit) != 1)
			continue;
		rc = weir_rx_recv(app.rx, &msg);
		if (rc == 1)
			weir_msg_forward(&msg, &permit);
		else
			weir_permit_drop(&permit);
	}
}

/* Numbers there, the same numbers back. */
static void
ask(void)
{
	uint64_t sent = 0, received = 0;
	struct weir_msg msg;

	while (received < app.count && !force_quit) {
		turn();
		if (sent < app.count &&
		    weir_tx_try_send(app.tx, &sent, sizeof(sent)) == 1 &&
		    ++sent % BEACON_EVERY == 0)
			beacon_send();
		if (weir_rx_recv(app.rx, &msg) != 1)
			continue;
		if (msg.len != sizeof(received) ||
		    memcmp(msg.data, &received, sizeof(received)) != 0)
			rte_exit(EXIT_FAILURE, "feed: not what was sent\n");
		weir_msg_release(&msg);
		received++;
	}
	printf("%" PRIu64 " messages came back\n", received);
}

static void
goodbye(void)
{
	struct weir_msg msg;

	weir_tx_close(app.tx);
	while (!force_quit && weir_link_status(app.link) == 0) {
		turn();
		if (weir_rx_recv(app.rx, &msg) == 1)
			weir_msg_release(&msg);
	}
	/* The other side may still miss our last word. */
	for (uint64_t end_ns = weir_now_ns() + 100000000;
	     weir_now_ns() < end_ns;)
		turn();
	weir_tx_destroy(app.tx);
	weir_rx_destroy(app.rx);
	weir_link_destroy(app.link);
}

/* ---- main ------------------------------------------------------------------ */

static void
parse_args(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "l:c:n:")) != -1) {
		if (opt == 'l' || opt == 'c') {
			app.endpoint = optarg;
			app.listens = opt == 'l';
		} else if (opt == 'n') {
			app.count = strtoull(optarg, NULL, 10);
		} else {
			app.endpoint = NULL;
			break;
		}
	}
	if (app.endpoint == NULL || rte_eth_dev_count_avail() < 1)
		rte_exit(EXIT_FAILURE, "usage: feed EAL-OPTIONS -- -l|-c "
				       "ENDPOINT [-n COUNT], with an ethdev\n");
}

static void
port_start(void)
{
	struct rte_eth_conf conf;
	int rc;

	memset(&conf, 0, sizeof(conf));
	rc = rte_eth_dev_configure(PORT, 1, 1, &conf);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(PORT, 0, DESCS, SOCKET_ID_ANY, NULL,
					    app.pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(PORT, 0, DESCS, SOCKET_ID_ANY,
					    NULL);
	if (rc == 0)
		rc = rte_eth_dev_start(PORT);
	if (rc != 0)
		rte_exit(EXIT_FAILURE, "feed: port: %s\n", strerror(-rc));
}

int
main(int argc, char **argv)
{
	struct weir_dpdk_queue queue = {
		.port_id = PORT,
		.flags = WEIR_DPDK_FED | WEIR_DPDK_DRAINED,
	};
	int rc = rte_eal_init(argc, argv);

	if (rc < 0)
		rte_exit(EXIT_FAILURE, "feed: no EAL\n");
	parse_args(argc - rc, argv + rc);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	app.pool = rte_pktmbuf_pool_create("feed", MBUFS, 256, 0, ROOM,
					   (int)rte_socket_id());
	if (app.pool == NULL)
		rte_exit(EXIT_FAILURE, "feed: no mbufs\n");
	port_start();

	queue.rx_pool = app.pool;
	weir_driver_register(&weir_driver_dpdk);
	rc = weir_dpdk_port_open(app.endpoint, NULL, &queue, &app.port);
	if (rc != 0)
		fail("port", rc);
	if (link_open()) {
		if (app.listens)
			echo();
		else
			ask();
		goodbye();
	}
	printf("beacons sent %" PRIu64 ", seen %" PRIu64
	       ", other frames %" PRIu64 "\n",
	       app.beacons_sent, app.beacons_seen, app.others);
	weir_listener_close(app.listener);
	weir_port_close(app.port);
	rte_eth_dev_stop(PORT);
	rte_eth_dev_close(PORT);
	rte_eal_cleanup();
	return 0;
}
