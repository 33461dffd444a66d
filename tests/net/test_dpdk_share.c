/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_share: several ports on one device, each on a queue pair of its own.
 *
 *     a[0] a[1] a[2] a[3]            b[0] b[1] b[2] b[3]
 *      \     \  /    /                \     \  /    /
 *       net_x0, 4 queues              net_x1, 4 queues
 *       v0 or t0  ======== veth ======== v0 or t0
 *
 * A link from each port to each. The kernel spreads frames over the queues as
 * it likes (af_packet: PACKET_FANOUT_HASH, tap: by flow), so most of what comes
 * to a queue belongs to another port.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_bus_vdev.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "net_test.h"
#include "netns.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define SECOND_NS UINT64_C(1000000000)
#define LIMIT_NS  (30 * SECOND_NS)

#define QUEUES   4u
#define LINKS    (QUEUES * QUEUES)
#define MESSAGES 200u

struct message {
	uint32_t link;
	uint32_t number;
	char filling[92];
};

/* From port link / QUEUES of a to port link % QUEUES of b. */
struct pair {
	struct weir_link *links[2];
	struct weir_tx *tx[2];
	struct weir_rx *rx[2];
	uint32_t sent;
	uint32_t echoed;
	uint32_t back;
};

static struct {
	const char *const *devices; /* a's and b's */
	bool threads;               /* each port polls by itself */
	struct weir_port *a[QUEUES];
	struct weir_port *b[QUEUES];
	struct weir_listener *listeners[QUEUES];
	struct pair pairs[LINKS];
} share;

static const char *const packet_sockets[] = {
	"net_af_packet0,dev.iface=v0",
	"net_af_packet1,dev.iface=v0",
};
static const char *const taps[] = {
	"net_tap0,dev.iface=t0",
	"net_tap1,dev.iface=t0",
};
static const char *const xdp_sockets[] = {
	"net_af_xdp0,dev.iface=v0",
	"net_af_xdp1,dev.iface=v0",
};
static const char *const vhost[] = {
	"net_virtio_user0,dev.path=vhost.sock,dev.queue_size=256",
	"net_vhost0,dev.iface=vhost.sock",
};

/* How the last device that was shared steers: its line of the log. */
static char way[256];

/* What there is to say of the taps, when that was tried. */
static struct {
	char way[sizeof(way)];
	uint64_t misdirected;
} taps_seen;

static char run_dir[] = "/tmp/weir-test-XXXXXX";
static int home = -1, other = -1;
static char no_netns_reason[128];

static const struct weir_port_config port_config = {
	.size = sizeof(port_config),
	.hugepages = WEIR_HUGEPAGES_NEVER,
};

/* A machine that is busy may make us wait. */
static const struct weir_link_config link_config = {
	.size = sizeof(link_config),
	.msg_size_max = 1024,
	.tx_credits = 16,
	.keepalive_ns = SECOND_NS,
	.dead_timeout_ns = 60 * SECOND_NS,
	.connect_timeout_ns = 60 * SECOND_NS,
};

static void
on_log(enum weir_log_level level, const char *line)
{
	const char *at = strstr(line, "steering by ");

	(void)level;
	if (at != NULL)
		snprintf(way, sizeof(way), "%s", at + strlen("steering by "));
}

/* ---- ports ------------------------------------------------------------------ */

static void
endpoint_of(char *text, size_t size, int side, unsigned int queue,
	    const char *more)
{
	snprintf(text, size,
		 "dpdk:10.7.0.%d:7400,local=10.7.0.%d/24,dev=%s,"
		 "queues=%u,queue=%u,mbufs=1024%s",
		 2 - side, 1 + side, share.devices[side], QUEUES, queue, more);
}

static int
port_try(int side, unsigned int queue, const char *more,
	 struct weir_port **port)
{
	struct weir_port_config config = port_config;
	char endpoint[256];
	int rc;

	config.poll_start = share.threads;
	config.poll_cpu = queue % 2 * (sysconf(_SC_NPROCESSORS_ONLN) > 1);
	endpoint_of(endpoint, sizeof(endpoint), side, queue, more);
	assert_int_equal(setns(side == 0 ? home : other, CLONE_NEWNET), 0);
	rc = weir_port_open(endpoint, &config, port);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	return rc;
}

static void
port_open(int side, unsigned int queue)
{
	must(port_try(side, queue, "",
		      side == 0 ? &share.a[queue] : &share.b[queue]),
	     "port");
}

static int
listen_try(unsigned int queue, unsigned int udp_port, struct weir_listener **l)
{
	char endpoint[64];

	snprintf(endpoint, sizeof(endpoint), "dpdk:*:%u", udp_port);
	return weir_listener_open(share.b[queue], endpoint, &link_config, l);
}

static void
turn(void)
{
	if (share.threads)
		sched_yield();
	for (unsigned int i = 0; i < QUEUES && !share.threads; i++) {
		if (share.a[i] != NULL)
			must(weir_port_poll(share.a[i]), "poll a");
		if (share.b[i] != NULL)
			must(weir_port_poll(share.b[i]), "poll b");
	}
}

/* ---- links ------------------------------------------------------------------ */

static void
pair_open(unsigned int at)
{
	unsigned int from = at / QUEUES, to = at % QUEUES;
	struct pair *pair = &share.pairs[at];
	char endpoint[64];
	int rc;

	memset(pair, 0, sizeof(*pair));
	snprintf(endpoint, sizeof(endpoint), "dpdk:10.7.0.2:%u", 7400 + to);
	must(weir_link_connect(share.a[from], endpoint, &link_config,
			       &pair->links[0]),
	     "connect");
	STEP_UNTIL(turn(), (rc = weir_link_accept(share.listeners[to],
						  &pair->links[1])) != 0);
	must(rc, "accept");
	STEP_UNTIL(turn(),
		   (rc = weir_link_status(pair->links[0])) != -EINPROGRESS);
	must(rc, "status");
	for (int side = 0; side < 2; side++)
		must(weir_link_split(pair->links[side], &pair->tx[side],
				     &pair->rx[side]),
		     "split");
}

static void
pair_close(struct pair *pair)
{
	for (int side = 0; side < 2 && pair->links[0] != NULL; side++) {
		weir_tx_destroy(pair->tx[side]);
		weir_rx_destroy(pair->rx[side]);
		weir_link_destroy(pair->links[side]);
	}
	memset(pair, 0, sizeof(*pair));
}

static bool
send_next(struct weir_tx *tx, uint32_t link, uint32_t *number)
{
	struct message message = { .link = link, .number = *number };
	int rc;

	memset(message.filling, (int)(link + *number), sizeof(message.filling));
	rc = weir_tx_try_send(tx, &message, sizeof(message));
	must(rc, "send");
	*number += rc == 1;
	return rc == 1;
}

static bool
receive_next(struct weir_rx *rx, uint32_t link, uint32_t *number)
{
	struct message message;
	struct weir_msg msg;
	int rc = weir_rx_recv(rx, &msg);

	must(rc, "recv");
	if (rc == 0)
		return false;
	assert_int_equal(msg.len, sizeof(message));
	memcpy(&message, msg.data, sizeof(message));
	weir_msg_release(&msg);
	assert_int_equal(message.link, link);
	assert_int_equal(message.number, *number);
	assert_int_equal(message.filling[91], (char)(link + *number));
	*number += 1;
	return true;
}

/* Each message goes there and comes back. */
static void
exchange(uint32_t messages)
{
	uint32_t left = 1;

	for (unsigned int i = 0; i < LINKS; i++)
		share.pairs[i].sent = share.pairs[i].echoed =
			share.pairs[i].back = 0;
	for (uint64_t end_ns = weir_now_ns() + LIMIT_NS; left != 0; turn()) {
		assert_true(weir_now_ns() < end_ns);
		left = 0;
		for (uint32_t i = 0; i < LINKS; i++) {
			struct pair *pair = &share.pairs[i];
			uint32_t echoed = pair->echoed;

			if (pair->links[0] == NULL)
				continue;
			if (pair->sent < messages &&
			    pair->sent - pair->back < 8)
				send_next(pair->tx[0], i, &pair->sent);
			if (receive_next(pair->rx[1], i, &pair->echoed))
				STEP_UNTIL(turn(),
					   send_next(pair->tx[1], i, &echoed));
			receive_next(pair->rx[0], i, &pair->back);
			left += pair->back < messages;
		}
	}
}

static uint64_t
misdirected(struct weir_port *const *ports)
{
	struct weir_port_stats stats;
	uint64_t sum = 0;

	for (unsigned int i = 0; i < QUEUES; i++) {
		if (ports[i] == NULL)
			continue;
		weir_port_stats(ports[i], &stats, sizeof(stats));
		sum += stats.rx_misdirected;
		assert_int_equal(stats.rx_inbox_full, 0);
	}
	return sum;
}

/* ---- set up and away -------------------------------------------------------- */

static void
skip_without_netns(void)
{
	if (other >= 0)
		return;
	print_message("%s\n", no_netns_reason);
	skip();
}

static void
open_all(const char *const *devices)
{
	memset(&share, 0, sizeof(share));
	share.devices = devices;
	for (unsigned int i = 0; i < QUEUES; i++) {
		port_open(1, i);
		port_open(0, i);
		must(listen_try(i, 7400 + i, &share.listeners[i]), "listen");
	}
	for (unsigned int i = 0; i < LINKS; i++)
		pair_open(i);
}

static void
port_close(struct weir_port **port)
{
	if (*port != NULL)
		must(weir_port_close(*port), "close");
	*port = NULL;
}

static void
close_all(void)
{
	for (unsigned int i = 0; i < LINKS; i++)
		pair_close(&share.pairs[i]);
	for (unsigned int i = 0; i < QUEUES; i++) {
		if (share.listeners[i] != NULL)
			weir_listener_close(share.listeners[i]);
		port_close(&share.b[i]);
		port_close(&share.a[i]);
	}
}

/* ---- tests ------------------------------------------------------------------ */

static void
links_between_all_ports_of_packet_sockets(void **state)
{
	(void)state;
	skip_without_netns();
	uint64_t before;

	open_all(packet_sockets);
	before = misdirected(share.a);
	exchange(MESSAGES);
	/* Who connects tries UDP ports until answers come to its own queue: just
	 * frames about neighbours go on. */
	assert_true(misdirected(share.a) - before < MESSAGES / 4);
	/* Who listens takes what comes: 16 links right by chance, 1 in 4^16. */
	assert_true(misdirected(share.b) >= MESSAGES / 4);
	close_all();
}

static void
links_between_all_ports_of_taps(void **state)
{
	(void)state;
	skip_without_netns();
	if (access("/dev/net/tun", R_OK | W_OK) != 0) {
		print_message("no /dev/net/tun here\n");
		skip();
	}
	open_all(taps);
	snprintf(taps_seen.way, sizeof(taps_seen.way), "%s", way);
	exchange(MESSAGES);
	taps_seen.misdirected = misdirected(share.a) + misdirected(share.b);
	close_all();
}

/* net_tap makes its rules of the kernel's: sch_multiq, cls_flower, act_skbedit.
 * Then what is not about neighbours comes to its queue by itself. */
static void
taps_are_steered_by_flow_rules(void **state)
{
	(void)state;
	if (strncmp(taps_seen.way, "flow rule", strlen("flow rule")) != 0) {
		print_message("no flow rules on net_tap here: %s\n",
			      taps_seen.way[0] != '\0' ? taps_seen.way
						       : "no taps");
		skip();
	}
	assert_true(taps_seen.misdirected < MESSAGES);
}

static void
links_between_all_ports_of_vhost_and_virtio(void **state)
{
	(void)state;
	open_all(vhost);
	exchange(MESSAGES);
	close_all();
}

/* ---- the application's device, a port on each of its queues ------------------ */

#define RING_SIZE 512

static uint16_t
memif_start(const char *name, const char *role, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = { 0 };
	char args[128];
	uint16_t id;

	snprintf(args, sizeof(args),
		 "role=%s,id=0,socket=%s/memif.sock,socket-abstract=no", role,
		 run_dir);
	assert_int_equal(rte_vdev_init(name, args), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &id), 0);
	assert_int_equal(rte_eth_dev_configure(id, QUEUES, QUEUES, &conf), 0);
	for (uint16_t i = 0; i < QUEUES; i++) {
		assert_int_equal(rte_eth_rx_queue_setup(id, i, RING_SIZE,
							SOCKET_ID_ANY, NULL,
							pool),
				 0);
		assert_int_equal(rte_eth_tx_queue_setup(id, i, RING_SIZE,
							SOCKET_ID_ANY, NULL),
				 0);
	}
	assert_int_equal(rte_eth_dev_start(id), 0);
	return id;
}

static bool
is_up(uint16_t id)
{
	struct rte_eth_link link;

	assert_int_equal(rte_eth_link_get_nowait(id, &link), 0);
	return link.link_status == RTE_ETH_LINK_UP;
}

static struct weir_port *
given_open(int side, uint16_t port_id, uint16_t queue_id,
	   struct rte_mempool *pool)
{
	struct weir_dpdk_queue queue = { .port_id = port_id,
					 .queue_id = queue_id,
					 .tx_pool = pool,
					 .rx_pool = pool };
	struct weir_port *port;
	char endpoint[64];

	snprintf(endpoint, sizeof(endpoint),
		 "dpdk:10.7.0.%d:7400,local=10.7.0.%d/24", 2 - side, 1 + side);
	must(weir_dpdk_port_open(endpoint, &port_config, &queue, &port),
	     "given port");
	return port;
}

/* memif's queues lead each to the peer's queue of the same number. */
static void
links_over_each_queue_of_an_applications_memif(void **state)
{
	struct rte_mempool *pool;
	uint16_t ids[2];

	(void)state;
	memset(&share, 0, sizeof(share));
	/* The driver is there, and EAL, once a port was open. */
	must(weir_port_open("dpdk:eal,dev=net_ring", &port_config, &share.a[0]),
	     "ring");
	port_close(&share.a[0]);
	pool = rte_pktmbuf_pool_create("app", 16384, 256, 64, 2048 + 256,
				       SOCKET_ID_ANY);
	assert_non_null(pool);
	ids[1] = memif_start("net_memif1", "server", pool);
	ids[0] = memif_start("net_memif0", "client", pool);
	for (uint64_t end_ns = weir_now_ns() + LIMIT_NS;
	     !is_up(ids[0]) || !is_up(ids[1]);)
		assert_true(weir_now_ns() < end_ns);
	for (uint16_t i = 0; i < QUEUES; i++) {
		share.a[i] = given_open(0, ids[0], i, pool);
		share.b[i] = given_open(1, ids[1], i, pool);
		must(listen_try(i, 7400 + i, &share.listeners[i]), "listen");
	}
	for (unsigned int i = 0; i < QUEUES; i++)
		pair_open(i * QUEUES + i);
	exchange(MESSAGES);
	close_all();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(rte_eth_dev_stop(ids[i]), 0);
		assert_int_equal(rte_eth_dev_close(ids[i]), 0);
	}
	rte_mempool_free(pool);
}

/* What comes to its queue goes to the others, until there is a new one. */
static void
a_queue_without_a_port_is_looked_after(void **state)
{
	(void)state;
	skip_without_netns();
	open_all(packet_sockets);
	exchange(MESSAGES / 4);
	for (unsigned int i = 0; i < LINKS; i++)
		if (i / QUEUES == 1 || i % QUEUES == 2)
			pair_close(&share.pairs[i]);
	weir_listener_close(share.listeners[2]);
	port_close(&share.a[1]);
	port_close(&share.b[2]);
	exchange(MESSAGES / 4);
	port_open(0, 1);
	port_open(1, 2);
	must(listen_try(2, 7402, &share.listeners[2]), "listen");
	for (unsigned int i = 0; i < LINKS; i++)
		if (share.pairs[i].links[0] == NULL)
			pair_open(i);
	exchange(MESSAGES / 4);
	close_all();
}

/* Two ports on four queues: each visits the queues that have none, at the same
 * time, and hands to the other while that takes. */
static void
ports_on_threads_of_their_own(void **state)
{
	static const unsigned int links[] = { 0, 1, QUEUES, QUEUES + 1 };

	(void)state;
	skip_without_netns();
	memset(&share, 0, sizeof(share));
	share.devices = packet_sockets;
	share.threads = true;
	for (unsigned int i = 0; i < 2; i++) {
		port_open(1, i);
		port_open(0, i);
		must(listen_try(i, 7400 + i, &share.listeners[i]), "listen");
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		pair_open(links[i]);
	exchange(MESSAGES / 4);
	close_all();
}

static uint64_t
lost_by_fault(struct weir_port *port)
{
	struct weir_dpdk_fault_stats stats;

	must(weir_dpdk_port_fault_stats(port, &stats, sizeof(stats)), "stats");
	return stats.lost;
}

/*
 * Of four queues a side has two: its frames come by their queue, by the other
 * port's, or by one that has no port. The fault of b[1] befalls all of its
 * frames, and none of b[0]'s.
 */
static void
faults_befall_a_port_by_whichever_queue(void **state)
{
	uint32_t sent[QUEUES] = { 0 }, got[QUEUES] = { 0 };

	(void)state;
	skip_without_netns();
	memset(&share, 0, sizeof(share));
	share.devices = packet_sockets;
	for (unsigned int i = 0; i < QUEUES; i++)
		port_open(0, i);
	for (unsigned int i = 0; i < 2; i++) {
		port_open(1, i);
		must(listen_try(i, 7400 + i, &share.listeners[i]), "listen");
	}
	for (unsigned int from = 0; from < QUEUES; from++)
		for (unsigned int to = 0; to < 2; to++)
			pair_open(from * QUEUES + to);
	must(weir_dpdk_port_fault(share.b[1], "loss=100%"), "fault");
	for (unsigned int from = 0; from < QUEUES; from++)
		STEP_UNTIL(turn(),
			   send_next(share.pairs[from * QUEUES + 1].tx[0],
				     from * QUEUES + 1, &sent[from]));
	/* First copies and repeats. */
	STEP_UNTIL(turn(), lost_by_fault(share.b[1]) >= 4 * QUEUES);
	for (unsigned int from = 0; from < QUEUES; from++)
		assert_false(receive_next(share.pairs[from * QUEUES + 1].rx[1],
					  from * QUEUES + 1, &got[from]));
	assert_int_equal(lost_by_fault(share.b[0]), 0);
	must(weir_dpdk_port_fault(share.b[1], NULL), "no fault");
	for (unsigned int from = 0; from < QUEUES; from++)
		STEP_UNTIL(turn(),
			   receive_next(share.pairs[from * QUEUES + 1].rx[1],
					from * QUEUES + 1, &got[from]));
	close_all();
}

static void
expect(int rc, int expected, const char *word)
{
	assert_int_equal(rc, expected);
	if (strstr(weir_last_error(), word) == NULL)
		fail_msg("'%s' does not say '%s'", weir_last_error(), word);
}

static void
what_cannot_be_shared_is_refused(void **state)
{
	struct weir_port *port = NULL;
	struct weir_listener *l = NULL;

	(void)state;
	skip_without_netns();
	memset(&share, 0, sizeof(share));
	share.devices = packet_sockets;
	expect(port_try(1, QUEUES, "", &port), -EINVAL, "counted from 0");
	expect(port_try(1, 0, ",wait=intr", &port), -EOPNOTSUPP, "wait=intr");
	share.devices = xdp_sockets;
	expect(port_try(1, 0, "", &port), -EOPNOTSUPP, "af_xdp");
	share.devices = packet_sockets;
	port_open(1, 0);
	port_open(1, 1);
	expect(port_try(1, 0, "", &port), -EADDRINUSE, "queue 0 has a port");
	expect(port_try(1, 2, ",mtu=1000", &port), -EINVAL, "mtu=");
	expect(port_try(1, 2, ",vlan=7", &port), -EINVAL, "vlan=");
	must(listen_try(0, 7400, &share.listeners[0]), "listen");
	expect(listen_try(1, 7400, &l), -EADDRINUSE, "queue 0");
	expect(listen_try(1, 49152 + 2 * QUEUES, &l), -EADDRINUSE, "queue 0");
	weir_listener_close(share.listeners[0]);
	port_close(&share.b[0]);
	must(listen_try(1, 7400, &share.listeners[1]), "listen");
	weir_listener_close(share.listeners[1]);
	port_close(&share.b[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(links_between_all_ports_of_packet_sockets),
		cmocka_unit_test(links_between_all_ports_of_taps),
		cmocka_unit_test(taps_are_steered_by_flow_rules),
		cmocka_unit_test(links_between_all_ports_of_vhost_and_virtio),
		cmocka_unit_test(
			links_over_each_queue_of_an_applications_memif),
		cmocka_unit_test(a_queue_without_a_port_is_looked_after),
		cmocka_unit_test(ports_on_threads_of_their_own),
		cmocka_unit_test(faults_befall_a_port_by_whichever_queue),
		cmocka_unit_test(what_cannot_be_shared_is_refused),
	};
	int rc;

	if (mkdtemp(run_dir) == NULL || chdir(run_dir) != 0)
		return 77;
	weir_set_log(on_log);
	other = netns_pair(0, 1, no_netns_reason, sizeof(no_netns_reason));
	home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	must(weir_driver_register(&weir_driver_dpdk), "driver");
	rc = cmocka_run_group_tests_name("dpdk_share", tests, NULL, NULL);
	/* Nothing may be left in it. */
	if (rmdir(run_dir) != 0) {
		print_error("%s: %s\n", run_dir, strerror(errno));
		rc++;
	}
	return rc;
}
