/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_scale: many links on one port, over net_ring on one thread.
 *
 *     test_dpdk_scale          1,000 links; with WEIR_CHECK_LONG set 10,000
 *     test_dpdk_scale 5000     so many
 *
 * What idle links cost is asserted by counters (links looked at, bytes taken),
 * which are the same on a fast machine and a busy one.
 */

#include <errno.h>
#include <malloc.h>
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

#include "net_test.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define SECOND_NS UINT64_C(1000000000)
#define LIMIT_NS  (120 * SECOND_NS)

#define LINKS_MAX 60000u
#define WINDOW    4u
#define MSG_MAX   1024u
/* A listener keeps 256 for accept: open so many at a time. */
#define AT_ONCE 128u
/* What a link may take at most on each side, its mbufs not counted; the
 * window is counted by the whole message. */
#define LINK_BYTES_MAX (8192u + WINDOW * MSG_MAX)
/* Mbufs that a port may keep. */
#define SPARES_MAX 64u
/* Polls between two looks at counters. */
#define STRETCH 200u

struct end {
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
};

static struct {
	struct weir_port *a; /* listens */
	struct weir_port *b; /* connects */
	struct weir_listener *listener;
	struct end *ends[2]; /* of a, in the order of accept; of b */
	uint32_t count;      /* of links that are open */
	uint32_t wanted;
	uint32_t pool_free[2];
} scale;

/* Keepalives are seldom: a link that has just sent one is not idle. */
static const struct weir_link_config quiet = {
	.size = sizeof(quiet),
	.msg_size_max = MSG_MAX,
	.tx_credits = WINDOW,
	.keepalive_ns = 20 * SECOND_NS,
	.dead_timeout_ns = 100 * SECOND_NS,
	.connect_timeout_ns = 100 * SECOND_NS,
};

static void
turn(void)
{
	must(weir_port_poll(scale.a), "poll");
	must(weir_port_poll(scale.b), "poll");
}

/* Both ports are polled until the condition holds or time is up. */
static struct weir_port_stats
stats_of(struct weir_port *port)
{
	struct weir_port_stats stats;

	weir_port_stats(port, &stats, sizeof(stats));
	return stats;
}

static void
turns(uint32_t count)
{
	while (count-- > 0)
		turn();
}

/* Links that a poll of a looks at, in hundredths, on a stretch of polls. */
static uint64_t
looks_per_poll(uint32_t polls)
{
	struct weir_port_stats before = stats_of(scale.a), after;

	turns(polls);
	after = stats_of(scale.a);
	return (after.link_looks - before.link_looks) * 100 /
	       (after.polls - before.polls);
}

/* Idle links fall asleep; how soon depends on who else uses the machine. */
static void
calm_down(void)
{
	STEP_UNTIL(turn(), looks_per_poll(STRETCH) <= 100);
}

static int
setup(void **state)
{
	char endpoint[64];

	(void)state;
	snprintf(endpoint, sizeof(endpoint), "dpdk:scale,dev=net_ring,mbufs=%u",
		 (scale.wanted + 16) * WINDOW);
	scale.ends[0] = calloc(scale.wanted, sizeof(struct end));
	scale.ends[1] = calloc(scale.wanted, sizeof(struct end));
	assert_non_null(scale.ends[0]);
	assert_non_null(scale.ends[1]);
	must(weir_driver_register(&weir_driver_dpdk), "register");
	must(weir_port_open(endpoint, NULL, &scale.a), "open");
	must(weir_port_open(endpoint, NULL, &scale.b), "open");
	must(weir_listener_open(scale.a, "dpdk:scale", &quiet, &scale.listener),
	     "listen");
	scale.pool_free[0] = stats_of(scale.a).pool_free;
	scale.pool_free[1] = stats_of(scale.b).pool_free;
	return 0;
}

static void
end_open(struct end *end, struct weir_link *link)
{
	end->link = link;
	must(weir_link_split(link, &end->tx, &end->rx), "split");
}

static void
end_close(struct end *end)
{
	weir_tx_destroy(end->tx);
	weir_rx_destroy(end->rx);
	weir_link_destroy(end->link);
	*end = (struct end){ 0 };
}

/* Open links until there are `wanted`. */
static void
open_links(uint32_t wanted)
{
	while (scale.count < wanted) {
		uint32_t more = wanted - scale.count, accepted = scale.count;
		uint32_t up = scale.count, connected;
		struct weir_link *link;
		int rc;

		more = more < AT_ONCE ? more : AT_ONCE;
		connected = scale.count + more;
		for (uint32_t i = scale.count; i < connected; i++) {
			must(weir_link_connect(scale.b, "dpdk:scale", &quiet,
					       &link),
			     "connect");
			end_open(&scale.ends[1][i], link);
		}
		while (accepted < connected) {
			STEP_UNTIL(turn(),
				   (rc = weir_link_accept(scale.listener,
							  &link)) != 0);
			must(rc, "accept");
			end_open(&scale.ends[0][accepted++], link);
		}
		while (up < connected) {
			STEP_UNTIL(turn(), (rc = weir_link_status(
						    scale.ends[1][up].link)) !=
						   -EINPROGRESS);
			must(rc, "connect");
			up++;
		}
		scale.count = connected;
	}
}

/* Close all; the ports forget them. */
static void
close_links(void)
{
	for (uint32_t i = 0; i < scale.count; i++) {
		end_close(&scale.ends[0][i]);
		end_close(&scale.ends[1][i]);
	}
	scale.count = 0;
	STEP_UNTIL(turn(),
		   (turns(STRETCH), stats_of(scale.a).links == 0 &&
					    stats_of(scale.b).links == 0));
}

static int
cleanup(void **state)
{
	(void)state;
	close_links();
	weir_listener_close(scale.listener);
	must(weir_port_close(scale.a), "close");
	must(weir_port_close(scale.b), "close");
	free(scale.ends[0]);
	free(scale.ends[1]);
	return 0;
}

/* ---- messages ---------------------------------------------------------------- */

/* One message says who sent it: the number of the connecting end. */
static void
say(struct end *end, uint32_t who)
{
	uint32_t words[2] = { who, ~who };
	int rc;

	STEP_UNTIL(turn(),
		   (rc = weir_tx_try_send(end->tx, words, sizeof(words))) != 0);
	must(rc, "send");
}

static uint32_t
hear(struct end *end)
{
	struct weir_msg msg;
	uint32_t words[2];
	int rc;

	STEP_UNTIL(turn(), (rc = weir_rx_recv(end->rx, &msg)) != 0);
	must(rc, "recv");
	assert_int_equal(msg.len, sizeof(words));
	memcpy(words, msg.data, sizeof(words));
	assert_int_equal(words[1], ~words[0]);
	weir_msg_release(&msg);
	return words[0];
}

/* Every link there and back; links of a are numbered as they were accepted. */
static void
exchange_all(void)
{
	for (uint32_t i = 0; i < scale.count; i++)
		say(&scale.ends[1][i], i);
	for (uint32_t i = 0; i < scale.count; i++)
		say(&scale.ends[0][i], hear(&scale.ends[0][i]));
	for (uint32_t i = 0; i < scale.count; i++)
		assert_int_equal(hear(&scale.ends[1][i]), i);
}

/* ---- what is asserted --------------------------------------------------------- */

static void
idle_links_are_not_looked_at(void **state)
{
	uint64_t one, many;

	(void)state;
	open_links(1);
	calm_down();
	one = looks_per_poll(10000);
	open_links(scale.wanted);
	calm_down();
	many = looks_per_poll(10000);
	print_message("%u links: %u.%02u looks per poll; one: %u.%02u\n",
		      scale.count, (unsigned)many / 100, (unsigned)many % 100,
		      (unsigned)one / 100, (unsigned)one % 100);
	assert_true(one <= 100);
	assert_true(many <= one + 5);
}

static void
an_idle_link_is_small(void **state)
{
	struct mallinfo2 before, after;
	struct weir_port_stats a, b;
	uint64_t bytes;

	(void)state;
	close_links();
	before = mallinfo2();
	open_links(scale.wanted);
	after = mallinfo2();
	a = stats_of(scale.a);
	b = stats_of(scale.b);
	print_message("a link takes %llu bytes here, %llu there\n",
		      (unsigned long long)(a.link_bytes / scale.count),
		      (unsigned long long)(b.link_bytes / scale.count));
	assert_true(a.link_bytes / scale.count <= LINK_BYTES_MAX);
	assert_true(b.link_bytes / scale.count <= LINK_BYTES_MAX);
	/* An instrumented allocator may keep no books. */
	bytes = after.uordblks - before.uordblks + after.hblkhd - before.hblkhd;
	if (before.uordblks != 0) {
		print_message("allocated for both: %llu\n",
			      (unsigned long long)(bytes / scale.count));
		assert_true(bytes / scale.count <= 2 * LINK_BYTES_MAX);
	}
}

static void
all_of_them_speak(void **state)
{
	struct weir_port_stats before, after;

	(void)state;
	open_links(scale.wanted);
	calm_down();
	before = stats_of(scale.a);
	exchange_all();
	after = stats_of(scale.a);
	/* Each but the last one had to be woken up. */
	assert_true(after.link_wakes - before.link_wakes >= scale.count - 1);
	calm_down();
	exchange_all();
}

static void
nothing_is_left(void **state)
{
	(void)state;
	open_links(scale.wanted);
	exchange_all();
	close_links();
	assert_int_equal(stats_of(scale.a).link_bytes, 0);
	assert_int_equal(stats_of(scale.b).link_bytes, 0);
	/* Some mbufs stay at hand in the port. */
	assert_in_range(stats_of(scale.a).pool_free,
			scale.pool_free[0] - SPARES_MAX, scale.pool_free[0]);
	assert_in_range(stats_of(scale.b).pool_free,
			scale.pool_free[1] - SPARES_MAX, scale.pool_free[1]);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(idle_links_are_not_looked_at),
		cmocka_unit_test(an_idle_link_is_small),
		cmocka_unit_test(all_of_them_speak),
		cmocka_unit_test(nothing_is_left),
	};

	scale.wanted = getenv("WEIR_CHECK_LONG") != NULL ? 10000 : 1000;
	if (argc > 1)
		scale.wanted = (uint32_t)strtoul(argv[1], NULL, 10);
	if (scale.wanted < 2 || scale.wanted > LINKS_MAX)
		return 2;
	return cmocka_run_group_tests_name("dpdk_scale", tests, setup, cleanup);
}
