/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_pair: a pair by name with two queues, and a port on each, in two
 * processes.
 *
 *     connector                     listener
 *     port on queue 0 ----------- port on queue 0, which echoes
 *     port on queue 1 ----------- port on queue 1
 *
 * One port goes and the other goes on; all go, one side or the other first,
 * and memif's driver unmaps its rings while the other side polls. EAL's
 * interrupt thread can panic then (docs/drivers/dpdk.md, traps): once in 60 runs
 * on a busy machine, so memif comes and goes here in the long form only.
 */

#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dev_process.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define QUEUES  2
#define ROUNDS  50
#define ECHOES  8
#define LIMIT_S 30

struct end {
	struct weir_link *link;
	struct weir_tx *tx;
	struct weir_rx *rx;
};

static const char *device; /* keys of the pair */
static bool threads;       /* each port polls by itself */
static struct weir_port *ports[QUEUES];

/* Busy machines may make us wait, and nobody be missed meanwhile. */
static const struct weir_link_config config = {
	.size = sizeof(config),
	.msg_size_max = 1024,
	.tx_credits = 16,
	.connect_timeout_ns = LIMIT_S * UINT64_C(1000000000),
	.dead_timeout_ns = 2 * LIMIT_S * UINT64_C(1000000000),
};

static void
good(int rc, const char *what)
{
	if (rc >= 0)
		return;
	dprintf(STDERR_FILENO, "%s: %s: %s\n", what, weir_strerror(rc),
		weir_last_error());
	_exit(1);
}

static void
turn(void)
{
	if (threads)
		sched_yield();
	for (int i = 0; i < QUEUES && !threads; i++)
		if (ports[i] != NULL)
			good(weir_port_poll(ports[i]), "poll");
}

#define WAIT_FOR(condition)                               \
	do {                                              \
		uint64_t deadline = deadline_in(LIMIT_S); \
		while (!(condition)) {                    \
			CHECK(!is_over(deadline));        \
			turn();                           \
		}                                         \
	} while (0)

static void
port_open(int queue, char *endpoint, size_t size)
{
	const struct weir_port_config port_config = {
		.size = sizeof(port_config),
		.hugepages = WEIR_HUGEPAGES_NEVER,
		.poll_start = threads,
	};

	snprintf(endpoint, size, "dpdk:pair%s,queues=%d,queue=%d,mbufs=512",
		 device, QUEUES, queue);
	good(weir_port_open(endpoint, &port_config, &ports[queue]), "port");
}

static void
port_close(int queue)
{
	good(weir_port_close(ports[queue]), "close");
	ports[queue] = NULL;
}

static void
end_split(struct end *end)
{
	good(weir_link_split(end->link, &end->tx, &end->rx), "split");
}

static void
end_drop(struct end *end)
{
	if (end->link == NULL)
		return;
	weir_tx_destroy(end->tx);
	weir_rx_destroy(end->rx);
	weir_link_destroy(end->link);
	*end = (struct end){ 0 };
}

/* ---- the listening side -------------------------------------------------------- */

static struct end *
free_of(struct end *ends)
{
	for (int i = 0; i < ECHOES; i++)
		if (ends[i].link == NULL)
			return &ends[i];
	CHECK(!"so many links");
	return NULL;
}

static void
echo(struct end *end)
{
	struct weir_msg msg;
	char copy[64];
	size_t len;
	int rc = weir_rx_recv(end->rx, &msg);

	if (rc < 0)
		end_drop(end);
	if (rc != 1)
		return;
	CHECK(msg.len <= sizeof(copy));
	len = msg.len;
	memcpy(copy, msg.data, len);
	weir_msg_release(&msg);
	/* It never waits for more than one echo: there is room. */
	good(weir_tx_try_send(end->tx, copy, (uint32_t)len), "echo");
}

static bool
is_told(int meet_fd)
{
	char byte;

	return recv(meet_fd, &byte, 1, MSG_DONTWAIT) == 1;
}

static void
listen_side(int meet_fd)
{
	struct weir_listener *listeners[QUEUES];
	struct end ends[ECHOES] = { 0 };
	char endpoint[128];

	for (int i = 0; i < QUEUES; i++) {
		port_open(i, endpoint, sizeof(endpoint));
		good(weir_listener_open(ports[i], endpoint, &config,
					&listeners[i]),
		     "listen");
	}
	meet(meet_fd);
	for (uint64_t deadline = deadline_in(LIMIT_S); !is_told(meet_fd);) {
		CHECK(!is_over(deadline));
		turn();
		for (int i = 0; i < QUEUES; i++) {
			struct end *end = free_of(ends);

			if (weir_link_accept(listeners[i], &end->link) == 1)
				end_split(end);
		}
		for (int i = 0; i < ECHOES; i++)
			if (ends[i].link != NULL)
				echo(&ends[i]);
	}
	for (int i = 0; i < ECHOES; i++)
		end_drop(&ends[i]);
	for (int i = 0; i < QUEUES; i++) {
		weir_listener_close(listeners[i]);
		port_close(i);
	}
	CHECK(write(meet_fd, "", 1) == 1);
}

/* ---- the connecting side ------------------------------------------------------- */

static void
come(int queue, struct end *end)
{
	char endpoint[128];
	int rc;

	port_open(queue, endpoint, sizeof(endpoint));
	good(weir_link_connect(ports[queue], endpoint, &config, &end->link),
	     "connect");
	WAIT_FOR((rc = weir_link_status(end->link)) != -EINPROGRESS);
	good(rc, "status");
	end_split(end);
}

static void
leave(int queue, struct end *end)
{
	end_drop(end);
	port_close(queue);
}

/* One message there and back on each link that is there, many times. */
static void
exchange(struct end *ends)
{
	struct weir_msg msg;
	char text[64];

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < QUEUES; i++) {
			if (ends[i].link == NULL)
				continue;
			snprintf(text, sizeof(text), "%d of %d", round, i);
			WAIT_FOR(weir_tx_try_send(ends[i].tx, text,
						  sizeof(text)) == 1);
		}
		for (int i = 0; i < QUEUES; i++) {
			if (ends[i].link == NULL)
				continue;
			WAIT_FOR(weir_rx_recv(ends[i].rx, &msg) == 1);
			snprintf(text, sizeof(text), "%d of %d", round, i);
			CHECK(strcmp(msg.data, text) == 0);
			weir_msg_release(&msg);
		}
	}
}

/* Each queue leads to the peer's of the same number. */
static void
nothing_went_astray(void)
{
	struct weir_port_stats stats;

	for (int i = 0; i < QUEUES; i++) {
		weir_port_stats(ports[i], &stats, sizeof(stats));
		CHECK(stats.rx_misdirected == 0);
	}
}

static void
connect_side(int meet_fd)
{
	struct end ends[QUEUES] = { 0 };

	meet(meet_fd);
	come(0, &ends[0]);
	come(1, &ends[1]);
	exchange(ends);
	nothing_went_astray();
	leave(0, &ends[0]); /* the device stays */
	exchange(ends);
	come(0, &ends[0]);
	exchange(ends);
	leave(1, &ends[1]);
	leave(0, &ends[0]); /* and goes */
	come(1, &ends[1]);
	come(0, &ends[0]);
	exchange(ends);
	CHECK(write(meet_fd, "", 1) == 1);
	WAIT_FOR(is_told(meet_fd)); /* the peer's device goes under us */
	leave(1, &ends[1]);
	leave(0, &ends[0]);
}

static void
one_side(int side, int meet_fd)
{
	good(weir_driver_register(&weir_driver_dpdk), "driver");
	(side == 0 ? listen_side : connect_side)(meet_fd);
}

/* ---- tests ----------------------------------------------------------------------- */

static void
run(const char *keys, bool with_threads)
{
	const char *trouble;

	device = keys;
	threads = with_threads;
	trouble = run_sides(one_side, 2);
	if (trouble != NULL)
		fail_msg("%s", trouble);
}

static void
only_in_the_long_form(void)
{
	if (getenv("WEIR_CHECK_LONG") != NULL)
		return;
	print_message("EAL may panic when a memif peer goes: "
		      "WEIR_CHECK_LONG=1 runs it\n");
	skip();
}

static void
memif_with_a_port_on_each_queue(void **state)
{
	(void)state;
	only_in_the_long_form();
	run("", false);
}

static void
memif_with_a_thread_on_each_queue(void **state)
{
	(void)state;
	only_in_the_long_form();
	run("", true);
}

static void
vhost_with_a_port_on_each_queue(void **state)
{
	(void)state;
	run(",dev=net_vhost", false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memif_with_a_port_on_each_queue),
		cmocka_unit_test(memif_with_a_thread_on_each_queue),
		cmocka_unit_test(vhost_with_a_port_on_each_queue),
	};
	char run_dir[] = "/tmp/weir-test-XXXXXX";
	int rc;

	if (mkdtemp(run_dir) == NULL ||
	    setenv("WEIR_RUNTIME_DIR", run_dir, 1) != 0)
		return 77;
	rc = cmocka_run_group_tests_name("dpdk_pair", tests, NULL, NULL);
	return rc + (rmdir(run_dir) != 0); /* nothing may be left in it */
}
