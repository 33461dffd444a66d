/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_telemetry: what DPDK's telemetry socket tells of weir, asked as
 * dpdk-telemetry.py asks: one datagram with the command, one with JSON.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>
#include <sched.h>

#include <rte_eal.h>

#include "board.h"
#include "net_test.h"
#include "weir_dpdk.h"
#include "weir_stats.h"

#define RING     "dpdk:telemetry-test,dev=net_ring"
#define LIMIT_NS UINT64_C(20000000000)

static struct weir_port *ports[2];
static struct weir_listener *listener;
static struct weir_link *links[2];
static struct weir_tx *tx;
static struct weir_rx *rx;
static int sock = -1;
static char answer[32768];

static void
turn(void)
{
	must(weir_port_poll(ports[0]), "poll");
	must(weir_port_poll(ports[1]), "poll");
	sched_yield();
}

static const char *
ask(const char *command)
{
	ssize_t len;

	assert_int_equal(send(sock, command, strlen(command), 0),
			 strlen(command));
	len = recv(sock, answer, sizeof(answer) - 1, 0);
	assert_in_range(len, 1, 16 * 1024); /* what DPDK's clients take */
	answer[len] = '\0';
	return answer;
}

/* The value of a key in the last answer. @return -1: it is not there. */
static long long
value(const char *key)
{
	char quoted[80];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(answer, quoted);
	return at == NULL ? -1 : strtoll(at + strlen(quoted), NULL, 10);
}

static int
setup(void **state)
{
	const struct weir_port_config config = { .size = sizeof(config),
						 .telemetry = 1 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct weir_rx *unused;
	int rc = 0;

	(void)state;
	must(weir_driver_register(&weir_driver_dpdk), "register");
	for (int i = 0; i < 2; i++)
		must(weir_port_open(RING, &config, &ports[i]), "open");
	must(weir_listener_open(ports[0], RING, NULL, &listener), "listen");
	must(weir_link_connect(ports[1], RING, NULL, &links[1]), "connect");
	STEP_UNTIL(turn(), (rc = weir_link_accept(listener, &links[0])) != 0);
	must(rc, "accept");
	STEP_UNTIL(turn(), (rc = weir_link_status(links[1])) != -EINPROGRESS);
	must(rc, "connect");
	must(weir_link_split(links[1], &tx, &unused), "split");
	weir_rx_destroy(unused);
	must(weir_link_split(links[0], NULL, &rx), "split");

	snprintf(address.sun_path, sizeof(address.sun_path),
		 "%s/dpdk_telemetry.v2", rte_eal_get_runtime_dir());
	sock = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	assert_int_equal(
		connect(sock, (struct sockaddr *)&address, sizeof(address)), 0);
	/* It introduces itself. */
	assert_in_range(recv(sock, answer, sizeof(answer) - 1, 0), 1,
			sizeof(answer));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	close(sock);
	weir_tx_destroy(tx);
	weir_rx_destroy(rx);
	weir_link_destroy(links[0]);
	weir_link_destroy(links[1]);
	weir_listener_close(listener);
	assert_int_equal(weir_port_close(ports[0]), 0);
	assert_int_equal(weir_port_close(ports[1]), 0);
	return 0;
}

static void
send_and_receive(uint32_t count)
{
	struct weir_msg msg;

	for (uint32_t i = 0; i < count; i++) {
		int rc = 0;

		STEP_UNTIL(turn(),
			   (rc = weir_tx_try_send(tx, "telemetry", 9)) != 0);
		must(rc, "send");
		STEP_UNTIL(turn(), (rc = weir_rx_recv(rx, &msg)) != 0);
		must(rc, "recv");
		weir_msg_release(&msg);
	}
}

static void
ports_and_links_are_listed(void **state)
{
	(void)state;
	assert_string_equal(ask("/weir/port/list"),
			    "{\"/weir/port/list\":[1,2]}");
	assert_string_equal(ask("/weir/port/list,1"),
			    "{\"/weir/port/list\":[2]}");
	/* Numbers go by the time of making. */
	assert_string_equal(ask("/weir/link/list"),
			    "{\"/weir/link/list\":[1,2]}");
	assert_string_equal(ask("/weir/link/list,2"),
			    "{\"/weir/link/list\":[]}");
}

/* ---- more links than an answer holds --------------------------------------- */

#define MEM     "mem:telemetry-test"
#define MANY    300u /* links of two ends: 600 numbers */
#define PER_END 3u   /* places of the board: a link and its halves */

struct crowd {
	struct weir_port *port;
	struct weir_listener *listener;
	struct weir_link *ends[2 * MANY];
};

static void
crowd_link(struct crowd *c, uint32_t i)
{
	int rc = 0;

	must(weir_link_connect(c->port, MEM, NULL, &c->ends[i]), "connect");
	while (rc == 0)
		rc = weir_link_accept(c->listener, &c->ends[i + 1]);
	must(rc, "accept");
}

static void
crowd_unlink(struct crowd *c, uint32_t i)
{
	weir_link_destroy(c->ends[i]);
	weir_link_destroy(c->ends[i + 1]);
}

/* The last answer's numbers must go up from there. @return how many they are. */
static uint32_t
count_listed(uint64_t *last)
{
	const char *at = strchr(answer, '[');
	uint32_t count = 0;

	assert_non_null(at);
	while (at[1] >= '0' && at[1] <= '9') {
		char *end;
		uint64_t number = strtoull(at + 1, &end, 10);

		assert_true(number > *last);
		*last = number;
		count++;
		at = end;
	}
	return count;
}

/* Half of them lie in front of the others, where older ones have been. */
static void
many_links_are_listed_in_order_and_all(void **state)
{
	static struct crowd c;
	const struct weir_port_config config = { .size = sizeof(config),
						 .stats = 1 };
	uint32_t before = BOARD_SLOTS / (2 * PER_END) - MANY / 2;
	uint64_t last = 0;
	char command[64];

	(void)state;
	must(weir_port_open(MEM, &config, &c.port), "open");
	must(weir_listener_open(c.port, MEM, NULL, &c.listener), "listen");
	for (uint32_t i = 0; i < before; i++) {
		crowd_link(&c, 0);
		crowd_unlink(&c, 0);
	}
	for (uint32_t i = 0; i < 2 * MANY; i += 2)
		crowd_link(&c, i);
	ask("/weir/link/list");
	assert_int_equal(count_listed(&last), 512);
	snprintf(command, sizeof(command), "/weir/link/list,%llu",
		 (unsigned long long)last);
	ask(command);
	/* The two of the group are there as well. */
	assert_int_equal(count_listed(&last), 2 * MANY + 2 - 512);
	for (uint32_t i = 0; i < 2 * MANY; i += 2)
		crowd_unlink(&c, i);
	weir_listener_close(c.listener);
	assert_int_equal(weir_port_close(c.port), 0);
}

static void
counters_of_a_port_follow_it(void **state)
{
	long long before;

	(void)state;
	ask("/weir/port/stats,2");
	before = value("tx_packets");
	send_and_receive(100);
	STEP_UNTIL(turn(), (ask("/weir/port/stats,2"),
			    value("tx_packets") >= before + 100));
	assert_true(value("polls") > 0);
	assert_int_equal(value("frame_short"), 0);
}

static void
counters_of_a_link_follow_it(void **state)
{
	long long before;

	(void)state;
	/* The first link made is the one that connects. */
	ask("/weir/link/stats,1");
	before = value("tx_messages");
	assert_true(before >= 0);
	send_and_receive(50);
	ask("/weir/link/stats,1");
	assert_int_equal(value("tx_messages"), before + 50);
	assert_int_equal(value("tx_payload_bytes"), 9 * (before + 50));
	STEP_UNTIL(turn(), (ask("/weir/link/stats,1"),
			    value("tx_packets") >= before + 50));
	assert_int_equal(value("status"), 0);
	assert_int_equal(value("port"), 2);
	ask("/weir/link/stats,2");
	assert_int_equal(value("rx_messages"), before + 50);
	assert_int_equal(value("port"), 1);
}

static void
every_value_is_an_integer(void **state)
{
	const char *at;

	(void)state;
	ask("/weir/link/stats,1");
	at = strchr(answer + 1, '{');
	assert_non_null(at);
	assert_null(strchr(at + 1, '{'));
	assert_null(strchr(at + 1, '['));
	while ((at = strchr(at + 1, ':')) != NULL)
		assert_true(at[1] == '-' || (at[1] >= '0' && at[1] <= '9'));
}

static void
what_is_not_there_is_told_so(void **state)
{
	(void)state;
	assert_string_equal(ask("/weir/port/stats,77"),
			    "{\"/weir/port/stats\":{}}");
	assert_string_equal(ask("/weir/link/stats"),
			    "{\"/weir/link/stats\":null}");
	assert_string_equal(ask("/weir/link/stats,one"),
			    "{\"/weir/link/stats\":null}");
	assert_string_equal(ask("/weir/link/list,-1"),
			    "{\"/weir/link/list\":null}");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_and_links_are_listed),
		cmocka_unit_test(counters_of_a_port_follow_it),
		cmocka_unit_test(counters_of_a_link_follow_it),
		cmocka_unit_test(every_value_is_an_integer),
		cmocka_unit_test(what_is_not_there_is_told_so),
		cmocka_unit_test(many_links_are_listed_in_order_and_all),
	};
	char dir[] = "/tmp/weir-telemetry-XXXXXX";
	int rc;

	if (mkdtemp(dir) == NULL || setenv("WEIR_RUNTIME_DIR", dir, 1) != 0)
		return 1;
	/* EAL's, too: $XDG_RUNTIME_DIR/dpdk, for who is not root. */
	rc = cmocka_run_group_tests(tests, setup, teardown);
	rte_eal_cleanup();
	if (rmdir(dir) != 0)
		rc++; /* something of ours was left in it */
	return rc;
}
