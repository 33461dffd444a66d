/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every reason to drop a packet has exactly one public counter, of its name,
 * and every public counter stands in a table with name, unit and text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <rte_ethdev.h>
#include "dpdk_counters.h"

struct counter {
	const char *name;
	const char *unit;
	const char *text;
	size_t offset;
};

#define LINK_COUNTER(kind, name, unit, text) \
	{ #name, #unit, text, offsetof(struct weir_link_stats, name) },
#define PORT_COUNTER(kind, name, unit, text) \
	{ #name, #unit, text, offsetof(struct weir_port_stats, name) },

static const struct counter link_counters[] = { WEIR_LINK_COUNTERS(
	LINK_COUNTER) };
static const struct counter port_counters[] = { WEIR_PORT_COUNTERS(
	PORT_COUNTER) WEIR_PORT_REASONS(PORT_COUNTER) };
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Each reason takes its counter from here; nobody else may have it. */
struct claims {
	const struct counter *counters;
	size_t count;
	bool taken[128];
};

static void
claim(struct claims *claims, size_t offset, const char *prefix,
      const char *name)
{
	char wanted[64];

	assert_non_null(name);
	snprintf(wanted, sizeof(wanted), "%s%s", prefix, name);
	for (size_t i = 0; i < claims->count; i++) {
		if (claims->counters[i].offset != offset)
			continue;
		assert_string_equal(claims->counters[i].name, wanted);
		assert_false(claims->taken[i]);
		claims->taken[i] = true;
		return;
	}
	fail_msg("%s has no counter", wanted);
}

/* None with that prefix may be left over. */
static void
all_claimed(const struct claims *claims, const char *prefix)
{
	for (size_t i = 0; i < claims->count; i++)
		if (strncmp(claims->counters[i].name, prefix, strlen(prefix)) ==
			    0 &&
		    !claims->taken[i])
			fail_msg("%s belongs to nothing",
				 claims->counters[i].name);
}

static void
every_reason_has_one_counter_of_its_name(void **state)
{
	struct claims link = { link_counters, COUNT_OF(link_counters), { 0 } };
	struct claims port = { port_counters, COUNT_OF(port_counters), { 0 } };

	(void)state;
	for (int i = 0; i < CONN_DROPS; i++)
		claim(&link, weir_dpdk_link_counter((enum conn_drop)i), "drop_",
		      weir_conn_drop_name((enum conn_drop)i));
	all_claimed(&link, "drop_");

	for (int i = DPDK_HDR_SHORT; i < DPDK_HDR_RESULTS; i++)
		claim(&port, weir_dpdk_frame_counter((enum dpdk_hdr_result)i),
		      "frame_",
		      weir_dpdk_hdr_result_name((enum dpdk_hdr_result)i));
	all_claimed(&port, "frame_");

	for (int i = DPDK_NEIGH_NOT_US; i < DPDK_NEIGH_RESULTS; i++)
		claim(&port, weir_dpdk_neigh_counter((enum dpdk_neigh_result)i),
		      "neighbour_",
		      weir_dpdk_neigh_result_name((enum dpdk_neigh_result)i));
	all_claimed(&port, "neighbour_");

	for (int i = WIRE_OK + 1; i < WIRE_DROPS; i++)
		claim(&port, weir_dpdk_packet_counter((enum wire_drop)i),
		      "packet_", weir_wire_drop_name((enum wire_drop)i));
	all_claimed(&port, "packet_");

	for (int i = 0; i < LISTEN_COUNTS; i++)
		claim(&port, weir_dpdk_stranger_counter((enum listen_count)i),
		      "", weir_listen_count_name((enum listen_count)i));
	all_claimed(&port, "init_");
	all_claimed(&port, "gone_");
}

static void
what_is_no_drop_is_not_counted_as_one(void **state)
{
	(void)state;
	assert_int_equal(weir_dpdk_frame_counter(DPDK_HDR_PACKET), 0);
	assert_int_equal(weir_dpdk_frame_counter(DPDK_HDR_ARP), 0);
	assert_int_equal(weir_dpdk_frame_counter(DPDK_HDR_NDP), 0);
	assert_int_equal(weir_dpdk_neigh_counter(DPDK_NEIGH_ANSWER), 0);
	assert_int_equal(weir_dpdk_neigh_counter(DPDK_NEIGH_LEARNED), 0);
	assert_int_equal(weir_dpdk_neigh_counter(DPDK_NEIGH_CONFIRMED), 0);
	assert_int_equal(weir_dpdk_packet_counter(WIRE_OK), 0);
}

/* A field that is in no table would not be printed. */
static void
tables_cover_the_structs(void **state)
{
	size_t port = COUNT_OF(port_counters) * sizeof(uint64_t);

	(void)state;
	assert_int_equal(sizeof(struct weir_link_stats),
			 COUNT_OF(link_counters) * sizeof(uint64_t));
	/* links, pool_size and pool_free are 32 bits each. */
	assert_int_equal(sizeof(struct weir_port_stats), port + 16);
	for (size_t i = 0; i < COUNT_OF(link_counters); i++)
		assert_true(link_counters[i].text[0] != '\0');
	for (size_t i = 0; i < COUNT_OF(port_counters); i++)
		assert_true(port_counters[i].text[0] != '\0');
}

static uint64_t
at(const void *stats, size_t offset)
{
	return *(const uint64_t *)((const char *)stats + offset);
}

static void
a_port_adds_up_its_reasons(void **state)
{
	uint64_t frames[DPDK_HDR_RESULTS], packets[WIRE_DROPS];
	uint64_t neighbours[DPDK_NEIGH_RESULTS];
	uint64_t strangers[LISTEN_COUNTS];
	struct weir_port_stats stats = { .rx_malformed = 5 };
	uint64_t sum = 5, sums;

	(void)state;
	for (uint64_t i = 0; i < DPDK_HDR_RESULTS; i++)
		frames[i] = 1000 + i;
	for (uint64_t i = 0; i < DPDK_NEIGH_RESULTS; i++)
		neighbours[i] = 2000 + i;
	for (uint64_t i = 0; i < WIRE_DROPS; i++)
		packets[i] = 3000 + i;
	for (uint64_t i = 0; i < LISTEN_COUNTS; i++)
		strangers[i] = 4000 + i;
	weir_dpdk_count_drops(frames, neighbours, packets, strangers, &stats);
	for (int i = DPDK_HDR_SHORT; i < DPDK_HDR_RESULTS; i++) {
		size_t k = weir_dpdk_frame_counter((enum dpdk_hdr_result)i);

		assert_int_equal(at(&stats, k), frames[i]);
		sum += frames[i];
	}
	for (int i = WIRE_OK + 1; i < WIRE_DROPS; i++) {
		size_t k = weir_dpdk_packet_counter((enum wire_drop)i);

		assert_int_equal(at(&stats, k), packets[i]);
		sum += packets[i];
	}
	assert_int_equal(stats.neighbour_conflict,
			 neighbours[DPDK_NEIGH_CONFLICT]);
	assert_int_equal(stats.gone_forged, strangers[LISTEN_GONE_FORGED]);
	sums = stats.rx_foreign + stats.rx_checksum_errors + stats.rx_malformed;
	assert_int_equal(sums, sum);
}

static void
a_link_shows_its_drops_and_waits(void **state)
{
	struct conn_stats conn = { .tlp = 1, .probes = 2, .keepalives = 4 };
	uint64_t waits[DPDK_WAITS];
	struct weir_link_stats link;
	struct weir_tx_stats tx = { 0 };

	(void)state;
	for (uint64_t i = 0; i < CONN_DROPS; i++)
		conn.drops[i] = 100 + i;
	for (uint64_t i = 0; i < DPDK_WAITS; i++)
		waits[i] = 1 + i;
	weir_dpdk_count_link(&conn, waits, &link);
	for (int i = 0; i < CONN_DROPS; i++)
		assert_int_equal(
			at(&link, weir_dpdk_link_counter((enum conn_drop)i)),
			conn.drops[i]);
	assert_int_equal(link.probes, 7);
	assert_int_equal(link.reserve_wait_down, 1);
	assert_int_equal(link.reserve_wait_large, 5);
	weir_dpdk_count_waits(waits, &tx);
	assert_int_equal(tx.reserve_waits, 15);
	assert_int_equal(tx.reserve_wait_credit, link.reserve_wait_credit);
	assert_int_equal(tx.reserve_wait_queue, link.reserve_wait_queue);
	assert_int_equal(tx.reserve_wait_small, link.reserve_wait_small);
}

/* The device's counters may have begun before, and go back to 0 at any time:
 * they are the application's, if the device is. */
static void
drops_of_the_device_are_those_since_we_have_it(void **state)
{
	struct rte_eth_stats eth = {
		.imissed = 1000, .rx_nombuf = 2000, .ierrors = 1, .oerrors = 7
	};
	struct dpdk_device_drops drops = { 0 };
	struct weir_port_stats stats = { 0 };

	(void)state;
	weir_dpdk_device_begin(&drops, &eth);
	weir_dpdk_device_add(&drops, &eth);
	weir_dpdk_count_device(&drops, &stats);
	assert_int_equal(stats.device_missed | stats.device_no_buffer |
				 stats.device_rx_errors |
				 stats.device_tx_errors,
			 0);
	eth.imissed += 10;
	eth.rx_nombuf += 20;
	eth.ierrors += 30;
	eth.oerrors += 40;
	weir_dpdk_device_add(&drops, &eth);
	/* Set back, and counted again: no step down, and no huge one up. */
	eth = (struct rte_eth_stats){ .imissed = 3, .oerrors = 4 };
	weir_dpdk_device_add(&drops, &eth);
	/* Another device in its place keeps what there was. */
	eth = (struct rte_eth_stats){ .imissed = 500 };
	weir_dpdk_device_begin(&drops, &eth);
	eth.imissed = 501;
	weir_dpdk_device_add(&drops, &eth);
	weir_dpdk_count_device(&drops, &stats);
	assert_int_equal(stats.device_missed, 14);
	assert_int_equal(stats.device_no_buffer, 20);
	assert_int_equal(stats.device_rx_errors, 30);
	assert_int_equal(stats.device_tx_errors, 44);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_has_one_counter_of_its_name),
		cmocka_unit_test(what_is_no_drop_is_not_counted_as_one),
		cmocka_unit_test(tables_cover_the_structs),
		cmocka_unit_test(a_port_adds_up_its_reasons),
		cmocka_unit_test(a_link_shows_its_drops_and_waits),
		cmocka_unit_test(
			drops_of_the_device_are_those_since_we_have_it),
	};

	return cmocka_run_group_tests_name("dpdk_counters", tests, NULL, NULL);
}
