/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_fair: what one greedy link leaves to the others of its port.
 *
 *      a  greedy ----\                 /---- b     net_ring, one thread, both
 *         modest -----> one device ---<            ports polled in turn; shares
 *         modest ----/                 \----       are counted per poll
 *
 * A link's fair share is what it gets without the greedy one, or an equal part
 * of what all get together, if that is less. Each must get four fifths of it.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net_test.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define SECOND_NS UINT64_C(1000000000)
#define LIMIT_NS  (60 * SECOND_NS)

#define LINKS 8u
#define POLLS 4000u
#define WARM  400u

/* How a link sends. */
struct manner {
	uint32_t size; /* of its messages */
	uint32_t most; /* under way at a time; 0: it sends nothing */
};

struct flow {
	struct weir_link *links[2];
	struct weir_tx *tx;
	struct weir_rx *rx;
	struct manner manner;
	uint64_t sent;
	uint64_t received; /* messages */
};

static struct {
	struct weir_port *a;
	struct weir_port *b;
	struct weir_listener *listener;
	struct flow flows[LINKS];
} fair;

static const struct weir_link_config config = {
	.size = sizeof(config),
	.msg_size_max = 64 * 1024,
	.tx_credits = 1024,
	.keepalive_ns = 5 * SECOND_NS,
	.dead_timeout_ns = 60 * SECOND_NS,
	.connect_timeout_ns = 60 * SECOND_NS,
};

static void
turn(void)
{
	must(weir_port_poll(fair.a), "poll");
	must(weir_port_poll(fair.b), "poll");
}

static void
flow_open(struct flow *flow)
{
	struct weir_tx *unused_tx;
	struct weir_rx *unused_rx;
	int rc;

	must(weir_link_connect(fair.a, "dpdk:fair", &config, &flow->links[0]),
	     "connect");
	STEP_UNTIL(turn(), (rc = weir_link_accept(fair.listener,
						  &flow->links[1])) != 0);
	must(rc, "accept");
	STEP_UNTIL(turn(),
		   (rc = weir_link_status(flow->links[0])) != -EINPROGRESS);
	must(rc, "status");
	must(weir_link_split(flow->links[0], &flow->tx, &unused_rx), "split");
	must(weir_link_split(flow->links[1], &unused_tx, &flow->rx), "split");
	weir_rx_destroy(unused_rx);
	weir_tx_destroy(unused_tx);
}

static void
flow_close(struct flow *flow)
{
	weir_tx_destroy(flow->tx);
	weir_rx_destroy(flow->rx);
	weir_link_destroy(flow->links[0]);
	weir_link_destroy(flow->links[1]);
}

static int
setup(void **state)
{
	static const char endpoint[] =
		"dpdk:fair,dev=net_ring,mbufs=8192,coalesce=off";

	(void)state;
	memset(&fair, 0, sizeof(fair));
	must(weir_port_open(endpoint, NULL, &fair.a), "open");
	must(weir_port_open(endpoint, NULL, &fair.b), "open");
	must(weir_listener_open(fair.b, "dpdk:fair", &config, &fair.listener),
	     "listen");
	for (uint32_t i = 0; i < LINKS; i++)
		flow_open(&fair.flows[i]);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < LINKS; i++)
		flow_close(&fair.flows[i]);
	weir_listener_close(fair.listener);
	must(weir_port_close(fair.a), "close");
	must(weir_port_close(fair.b), "close");
	return 0;
}

/* ---- senders and receivers --------------------------------------------------- */

static void
flow_send(struct flow *flow)
{
	static const char bytes[64 * 1024];
	const struct manner *manner = &flow->manner;
	int rc;

	while (flow->sent - flow->received < manner->most) {
		rc = weir_tx_try_send(flow->tx, bytes, manner->size);
		must(rc, "send");
		if (rc == 0)
			break;
		flow->sent++;
	}
}

static void
flow_receive(struct flow *flow)
{
	struct weir_msg msg;
	int rc;

	while ((rc = weir_rx_recv(flow->rx, &msg)) == 1) {
		weir_msg_release(&msg);
		flow->received++;
	}
	must(rc, "recv");
}

static void
step(void)
{
	for (uint32_t i = 0; i < LINKS; i++)
		flow_send(&fair.flows[i]);
	turn();
	for (uint32_t i = 0; i < LINKS; i++)
		flow_receive(&fair.flows[i]);
}

struct shares {
	uint64_t messages[LINKS];
	uint64_t packets; /* of all */
};

/* What each link gets in POLLS polls if they behave so. */
static struct shares
measure(struct manner greedy, struct manner modest)
{
	struct weir_port_stats before, after;
	struct shares shares;

	for (uint32_t i = 0; i < LINKS; i++)
		fair.flows[i].manner = i == 0 ? greedy : modest;
	for (uint32_t i = 0; i < WARM; i++)
		step();
	weir_port_stats(fair.a, &before, sizeof(before));
	for (uint32_t i = 0; i < LINKS; i++)
		shares.messages[i] = fair.flows[i].received;
	for (uint32_t i = 0; i < POLLS; i++)
		step();
	weir_port_stats(fair.a, &after, sizeof(after));
	for (uint32_t i = 0; i < LINKS; i++)
		shares.messages[i] =
			fair.flows[i].received - shares.messages[i];
	shares.packets = after.tx_packets - before.tx_packets;
	return shares;
}

static void
check_shares(const char *what, struct manner greedy, struct manner modest)
{
	const struct manner silent = { 0 };
	struct shares alone = measure(silent, modest);
	struct shares all = measure(greedy, modest);

	print_message("%s, messages per poll: greedy %.2f, another %.2f, "
		      "alone %.2f\n",
		      what, (double)all.messages[0] / POLLS,
		      (double)all.messages[1] / POLLS,
		      (double)alone.messages[1] / POLLS);
	for (uint32_t i = 1; i < LINKS; i++) {
		uint64_t share = alone.messages[i];

		if (share > all.packets / LINKS)
			share = all.packets / LINKS;
		assert_true(all.messages[i] * 5 >= share * 4);
	}
}

static const struct manner pairs = { 64, 4 };

static void
flood_of_packets(void **state)
{
	(void)state;
	check_shares("flood", (struct manner){ 1000, 1024 }, pairs);
}

static void
flood_of_large_messages(void **state)
{
	(void)state;
	check_shares("large", (struct manner){ 64 * 1024, 1024 }, pairs);
}

static void
drip_of_tiny_packets(void **state)
{
	(void)state;
	check_shares("drip", (struct manner){ 1, 1024 }, pairs);
}

static void
many_that_are_greedy(void **state)
{
	const struct manner greedy = { 1000, 1024 };

	(void)state;
	check_shares("all", greedy, greedy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(flood_of_packets, setup,
						teardown),
		cmocka_unit_test_setup_teardown(flood_of_large_messages, setup,
						teardown),
		cmocka_unit_test_setup_teardown(drip_of_tiny_packets, setup,
						teardown),
		cmocka_unit_test_setup_teardown(many_that_are_greedy, setup,
						teardown),
	};

	weir_driver_register(&weir_driver_dpdk);
	return cmocka_run_group_tests_name("dpdk_fair", tests, NULL, NULL);
}
