/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_steer: which way is chosen on which kind of device.
 *
 * The devices are played: what their drivers' documents say of rules, key
 * and table, with sizes typical of them. None of it was read from hardware.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "dpdk_steer.h"

#define V4  RTE_ETH_RSS_NONFRAG_IPV4_UDP
#define UDP (V4 | RTE_ETH_RSS_NONFRAG_IPV6_UDP)
#define NO  (-ENOTSUP)

static const struct device {
	const char *driver;
	uint64_t rss;
	uint16_t pairs, reta;
	uint8_t key;
	struct dpdk_steer_tried tried;
	enum dpdk_steer_how how;
	const char *why; /* a part of the sentence */
} devices[] = {
	{ "mlx5_pci", UDP, 64, 64, 40, { 0, 0, 0 }, DPDK_STEER_RULE, "" },
	{ "net_ice", UDP, 64, 512, 52, { 0, 0, 0 }, DPDK_STEER_RULE, "" },
	{ "net_i40e", UDP, 64, 512, 52, { 0, 0, 0 }, DPDK_STEER_RULE, "" },
	{ "net_ixgbe", UDP, 64, 128, 40, { 0, 0, 0 }, DPDK_STEER_RULE, "" },
	{ "net_ixgbe",
	  UDP,
	  64,
	  128,
	  40,
	  { NO, 0, 0 },
	  DPDK_STEER_COMPUTED,
	  "refuses flow rules" },
	{ "net_ena",
	  UDP,
	  8,
	  128,
	  40,
	  { NO, 0, 0 },
	  DPDK_STEER_PROBED,
	  "usual order" },
	{ "net_gve",
	  0,
	  16,
	  0,
	  0,
	  { NO, NO, NO },
	  DPDK_STEER_HOP,
	  "does not spread" },
	{ "net_netvsc",
	  UDP,
	  16,
	  128,
	  40,
	  { NO, 0, 0 },
	  DPDK_STEER_COMPUTED,
	  "refuses flow rules" },
	{ "net_virtio",
	  0,
	  8,
	  0,
	  0,
	  { NO, NO, NO },
	  DPDK_STEER_HOP,
	  "does not spread" },
	{ "net_virtio",
	  UDP,
	  8,
	  128,
	  40,
	  { NO, 0, 0 },
	  DPDK_STEER_COMPUTED,
	  "refuses flow rules" },
	{ "net_vmxnet3",
	  V4,
	  8,
	  32,
	  40,
	  { NO, NO, 0 },
	  DPDK_STEER_PROBED,
	  "key is not known" },
	{ "net_vmxnet3",
	  0,
	  8,
	  32,
	  40,
	  { NO, NO, 0 },
	  DPDK_STEER_HOP,
	  "does not spread" },
	{ "net_netvsc",
	  UDP,
	  16,
	  128,
	  40,
	  { NO, 0, NO },
	  DPDK_STEER_PROBED,
	  "table is not known" },
	{ "net_af_xdp",
	  0,
	  4,
	  0,
	  0,
	  { NO, NO, NO },
	  DPDK_STEER_PROBED,
	  "kernel" },
	{ "net_af_packet",
	  0,
	  4,
	  0,
	  0,
	  { NO, NO, NO },
	  DPDK_STEER_PROBED,
	  "kernel" },
};

static int
steer(const struct device *d, uint16_t queues, struct dpdk_steer_plan *plan)
{
	struct rte_eth_dev_info info = {
		.driver_name = d->driver,
		.max_rx_queues = d->pairs,
		.max_tx_queues = d->pairs,
		.reta_size = d->reta,
		.hash_key_size = d->key,
		.flow_type_rss_offloads = d->rss | RTE_ETH_RSS_IPV4,
	};

	return weir_dpdk_steer(&info, &d->tried, queues, plan);
}

static void
each_device_gets_the_best_it_allows(void **state)
{
	struct dpdk_steer_plan plan;

	(void)state;
	for (size_t i = 0; i < RTE_DIM(devices); i++) {
		const struct device *d = &devices[i];

		assert_int_equal(steer(d, d->pairs, &plan), 0);
		assert_string_equal(weir_dpdk_steer_name(plan.how),
				    weir_dpdk_steer_name(d->how));
		assert_non_null(strstr(plan.why, d->why));
		assert_int_equal(plan.why[0] == 0, d->how == DPDK_STEER_RULE);
		assert_int_equal(plan.queues, d->pairs);
		assert_int_equal(plan.rss_types,
				 d->how == DPDK_STEER_RULE ? 0 : d->rss);
	}
}

static void
one_queue_needs_no_steering(void **state)
{
	struct dpdk_steer_plan plan;

	(void)state;
	for (size_t i = 0; i < RTE_DIM(devices); i++) {
		assert_int_equal(steer(&devices[i], 1, &plan), 0);
		assert_int_equal(plan.how, DPDK_STEER_SINGLE);
		assert_int_equal(plan.rss_types, 0);
	}
}

static void
too_many_or_no_queues_are_refused(void **state)
{
	struct dpdk_steer_plan plan;

	(void)state;
	for (size_t i = 0; i < RTE_DIM(devices); i++) {
		const struct device *d = &devices[i];

		assert_int_equal(steer(d, 0, &plan), -EINVAL);
		assert_int_equal(steer(d, d->pairs + 1, &plan), -ENOTSUP);
		assert_int_equal(plan.queues, d->pairs);
		assert_non_null(strstr(plan.why, "queue pairs"));
	}
}

/* The verification suite of the RSS specification, which is for the ports of TCP
 * and UDP alike. */
static void
hashes_are_those_of_the_specification(void **state)
{
	static const uint8_t key[40] = {
		0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
		0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
		0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
		0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
	};
	static const struct {
		const char *src, *dst;
		uint32_t hash;
	} packets[] = {
		{ "66.9.149.187:2794", "161.142.100.80:1766", 0x51ccc178 },
		{ "199.92.111.2:14230", "65.69.140.83:4739", 0xc626b0ea },
		{ "[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766",
		  0x40207d3d },
	};
	struct dpdk_steer_rss rss = { .reta_size = 128 };
	struct dpdk_addr src, dst;

	(void)state;
	memcpy(rss.key, key, sizeof(key));
	for (uint16_t i = 0; i < rss.reta_size; i++)
		rss.reta[i] = i % 5;
	for (size_t i = 0; i < RTE_DIM(packets); i++) {
		assert_int_equal(weir_dpdk_addr_read(packets[i].src, &src), 0);
		assert_int_equal(weir_dpdk_addr_read(packets[i].dst, &dst), 0);
		assert_int_equal(weir_dpdk_steer_hash(key, &src, &dst),
				 packets[i].hash);
		assert_int_equal(weir_dpdk_steer_queue(&rss, &src, &dst),
				 packets[i].hash % 128 % 5);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_device_gets_the_best_it_allows),
		cmocka_unit_test(one_queue_needs_no_steering),
		cmocka_unit_test(too_many_or_no_queues_are_refused),
		cmocka_unit_test(hashes_are_those_of_the_specification),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
