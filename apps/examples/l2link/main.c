/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * l2link: a forwarder of layer 2, like DPDK's l2fwd, whose second port is a
 * link of weir: frames that come in here go out there, in order. The link loses
 * none; what does not fit into it, or the other port does not take, is dropped
 * as l2fwd drops it, and counted.
 *
 *     wire -- port 0 (access)                        port 0 -- wire
 *                |                                      |
 *                l2link -- port 1 -- network -- port 1 -- l2link
 *                         (uplink)             (uplink)
 *
 *     l2link EAL-OPTIONS -- -l ENDPOINT             waits for the other one
 *     l2link EAL-OPTIONS -- -c ENDPOINT [-n COUNT]  calls it; ends after COUNT
 *                                                   frames
 *
 * The program owns EAL, both ports, their queues and mbufs, and one lcore that
 * serves everything; weir gets queue 0 of the uplink. A frame is never copied:
 * the mbuf that was received is the one that is sent on the link, and the other
 * way round.
 */

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <weir.h>
#include <weir_dpdk.h>
#include <weir_stats.h>

#define ACCESS_PORT 0
#define UPLINK_PORT 1

#define BURST    32
#define RX_DESCS 512
#define TX_DESCS 512
#define MBUFS    8191
#define ROOM     (RTE_PKTMBUF_HEADROOM + 2048 + 128)

static volatile sig_atomic_t force_quit;

static struct {
	const char *endpoint;
	int listens;
	uint64_t count; /* frames; 0: until a signal */
} args;

static struct {
	uint64_t to_link;
	uint64_t to_wire;
	/* Dropped: */
	uint64_t no_room;   /* the link takes no more */
	uint64_t unfit;     /* too long for a packet of the link, or it ended */
	uint64_t no_wire;   /* the access port takes no more */
	uint64_t not_alone; /* shares its packet: the peer batches messages */
} frames;

static void
fail(const char *what, int rc)
{
	const char *why = weir_last_error();

	rte_exit(EXIT_FAILURE, "l2link: %s: %s\n", what,
		 why[0] != '\0' ? why : weir_strerror(rc));
}

static void
on_signal(int number)
{
	(void)number;
	force_quit = 1;
}

/* ---- the application's ports ----------------------------------------------- */

static void
port_start(uint16_t port_id, struct rte_mempool *pool)
{
	uint16_t rx_descs = RX_DESCS, tx_descs = TX_DESCS;
	int socket = rte_eth_dev_socket_id(port_id);
	struct rte_eth_conf conf;
	int rc;

	memset(&conf, 0, sizeof(conf));
	rc = rte_eth_dev_configure(port_id, 1, 1, &conf);
	if (rc == 0)
		rc = rte_eth_dev_adjust_nb_rx_tx_desc(port_id, &rx_descs,
						      &tx_descs);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(port_id, 0, rx_descs,
					    (unsigned int)socket, NULL, pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(port_id, 0, tx_descs,
					    (unsigned int)socket, NULL);
	if (rc == 0)
		rc = rte_eth_dev_start(port_id);
	if (rc != 0)
		rte_exit(EXIT_FAILURE, "l2link: port %u: %s\n", port_id,
			 strerror(-rc));
	/* Frames to anybody. Not every device knows this, or needs it. */
	if (port_id == ACCESS_PORT)
		rte_eth_promiscuous_enable(port_id);
}

/* ---- the link -------------------------------------------------------------- */

static struct weir_link *
link_open(struct weir_port *port, struct weir_listener **listener)
{
	struct weir_link_config config = { .size = sizeof(config) };
	struct weir_link *link = NULL;
	int rc;

	config.msg_size_max = RTE_ETHER_MAX_LEN;
	config.connect_timeout_ns = 30000000000;
	if (args.listens) {
		rc = weir_listener_open(port, args.endpoint, &config, listener);
		while (rc == 0 && !force_quit)
			rc = weir_link_accept(*listener, &link);
	} else {
		rc = weir_link_connect(port, args.endpoint, &config, &link);
	}
	if (rc < 0)
		fail(args.endpoint, rc);
	while (link != NULL && !force_quit &&
	       (rc = weir_link_status(link)) == -EINPROGRESS)
		;
	if (rc < 0)
		fail(args.endpoint, rc);
	return link;
}

/* ---- forwarding ------------------------------------------------------------ */

/* From the wire: each frame is a message. */
static void
forward_in(struct weir_tx *tx)
{
	struct rte_mbuf *mbufs[BURST];
	uint16_t n = rte_eth_rx_burst(ACCESS_PORT, 0, mbufs, BURST);

	for (uint16_t i = 0; i < n; i++) {
		struct weir_permit permit;
		struct weir_slot slot;
		int rc = weir_tx_reserve_burst(tx, mbufs[i]->pkt_len, &permit,
					       1);

		if (rc == 1 &&
		    weir_dpdk_permit_wrap(&permit, mbufs[i], &slot) == 0) {
			weir_slot_commit(&slot); /* the mbuf is weir's now */
			frames.to_link++;
			continue;
		}
		if (rc == 1)
			weir_permit_drop(&permit);
		if (rc == 0)
			frames.no_room++;
		else
			frames.unfit++;
		rte_pktmbuf_free(mbufs[i]);
	}
}

/* To the wire: each message is a frame. @return as weir_rx_recv_burst(). */
static int
forward_out(struct weir_rx *rx)
{
	struct rte_mbuf *mbufs[BURST];
	struct weir_msg msgs[BURST];
	uint16_t sent, n = 0;
	int rc = weir_rx_recv_burst(rx, msgs, BURST);

	for (int i = 0; i < rc; i++) {
		if (weir_dpdk_msg_unwrap(&msgs[i], &mbufs[n]) == 0) {
			n++; /* the mbuf is ours now */
			continue;
		}
		frames.not_alone++;
		weir_msg_release(&msgs[i]);
	}
	sent = rte_eth_tx_burst(ACCESS_PORT, 0, mbufs, n);
	frames.to_wire += sent;
	frames.no_wire += n - sent;
	rte_pktmbuf_free_bulk(mbufs + sent, n - sent);
	return rc;
}

/* One lcore serves both ports and weir, until either side has had enough. */
static void
main_loop(struct weir_port *port, struct weir_link *link, struct weir_tx *tx,
	  struct weir_rx *rx)
{
	int closed = 0, rc = 0;

	while (rc >= 0 && !force_quit) {
		if (!closed)
			forward_in(tx);
		weir_port_poll(port);
		rc = forward_out(rx);
		if (!closed && args.count != 0 && frames.to_link >= args.count)
			closed = weir_tx_close(tx) == 0;
	}
	if (!closed)
		weir_tx_close(tx);
	/* Until the other side has all of it. */
	while (!force_quit && (rc = weir_link_status(link)) == 0)
		forward_out(rx);
	if (rc < 0 && rc != WEIR_EOF)
		fprintf(stderr, "l2link: %s: %s\n", args.endpoint,
			weir_strerror(rc));
}

static void
print_frames(struct weir_tx *tx, struct weir_rx *rx)
{
	struct weir_tx_stats tx_stats;
	struct weir_rx_stats rx_stats;

	weir_tx_stats(tx, &tx_stats, sizeof(tx_stats));
	weir_rx_stats(rx, &rx_stats, sizeof(rx_stats));
	printf("to the link %" PRIu64 ", to the wire %" PRIu64
	       ", dropped %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
	       ", bytes copied %" PRIu64 "\n",
	       frames.to_link, frames.to_wire, frames.no_room, frames.unfit,
	       frames.no_wire, frames.not_alone,
	       tx_stats.copied_bytes + rx_stats.copied_bytes);
}

/* ---- main ------------------------------------------------------------------ */

static void
parse_args(int argc, char **argv)
{
	int opt;

	while ((opt = getopt(argc, argv, "l:c:n:")) != -1) {
		if (opt == 'l' || opt == 'c') {
			args.endpoint = optarg;
			args.listens = opt == 'l';
		} else if (opt == 'n') {
			args.count = strtoull(optarg, NULL, 10);
		} else {
			args.endpoint = NULL;
			break;
		}
	}
	if (args.endpoint == NULL || rte_eth_dev_count_avail() < 2)
		rte_exit(EXIT_FAILURE,
			 "usage: l2link EAL-OPTIONS -- -l|-c ENDPOINT "
			 "[-n COUNT], with two ethdevs: access, uplink\n");
}

int
main(int argc, char **argv)
{
	struct weir_dpdk_queue queue = { .port_id = UPLINK_PORT };
	struct weir_listener *listener = NULL;
	struct rte_mempool *pool;
	struct weir_port *port;
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
	int rc = rte_eal_init(argc, argv);

	if (rc < 0)
		rte_exit(EXIT_FAILURE, "l2link: no EAL\n");
	parse_args(argc - rc, argv + rc);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	pool = rte_pktmbuf_pool_create("l2link", MBUFS, 256, 0, ROOM,
				       (int)rte_socket_id());
	if (pool == NULL)
		rte_exit(EXIT_FAILURE, "l2link: no mbufs\n");
	port_start(ACCESS_PORT, pool);
	port_start(UPLINK_PORT, pool);

	queue.rx_pool = pool;
	weir_driver_register(&weir_driver_dpdk);
	rc = weir_dpdk_port_open(args.endpoint, NULL, &queue, &port);
	if (rc != 0)
		fail("uplink", rc);
	link = link_open(port, &listener);
	if (link != NULL) {
		weir_link_split(link, &tx, &rx);
		main_loop(port, link, tx, rx);
		print_frames(tx, rx);
		weir_tx_destroy(tx);
		weir_rx_destroy(rx);
		weir_link_destroy(link);
	}
	weir_listener_close(listener);
	weir_port_close(port);
	rte_eth_dev_stop(ACCESS_PORT);
	rte_eth_dev_close(ACCESS_PORT); /* what it holds back is written now */
	rte_eth_dev_stop(UPLINK_PORT);
	rte_eth_dev_close(UPLINK_PORT);
	rte_eal_cleanup();
	return 0;
}
