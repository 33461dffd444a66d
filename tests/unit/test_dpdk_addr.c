/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_dpdk_addr: what endpoints say of addresses, right and wrong.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "dpdk_addr.h"
#include "weir.h"

static void
both_families_are_read_and_written(void **state)
{
	static const struct {
		const char *text, *same;
		uint8_t bytes[DPDK_ADDR_BYTES];
	} table[] = {
		{ "10.7.0.1:7400",
		  NULL,
		  { [10] = 0xff, 0xff, 10, 7, 0, 1, 0x1c, 0xe8 } },
		{ "[fd00::1]:7400",
		  NULL,
		  { 0xfd, [15] = 1, [16] = 0x1c, 0xe8 } },
		{ "[FE80:0::a:b]:65535",
		  "[fe80::a:b]:65535",
		  { 0xfe, 0x80, [13] = 0xa, [15] = 0xb, [16] = 0xff, 0xff } },
		{ "[2001:db8:1:2:3:4:5:6]:1",
		  NULL,
		  { 0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0,
		    1 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint8_t bytes[DPDK_ADDR_BYTES];
		struct dpdk_addr addr;
		char text[DPDK_ADDR_TEXT];

		assert_true(weir_dpdk_is_ip_address(table[i].text));
		assert_int_equal(weir_dpdk_addr_read(table[i].text, &addr), 0);
		dpdk_addr_bytes(&addr, bytes);
		assert_memory_equal(bytes, table[i].bytes, sizeof(bytes));
		weir_dpdk_addr_print(&addr, text, sizeof(text));
		assert_string_equal(text, table[i].same != NULL
						  ? table[i].same
						  : table[i].text);
	}
}

static void
any_address_is_none(void **state)
{
	static const char *const any[] = { "*:7", "0.0.0.0:7", "[::]:7" };

	(void)state;
	for (size_t i = 0; i < sizeof(any) / sizeof(any[0]); i++) {
		struct dpdk_addr addr;

		assert_true(weir_dpdk_is_ip_address(any[i]));
		assert_int_equal(weir_dpdk_addr_read(any[i], &addr), 0);
		assert_true(dpdk_ip_is_none(&addr.ip));
		assert_int_equal(addr.port, 7);
	}
}

/* Each is refused with a line that says what is wrong. */
static void
wrong_addresses_are_refused_by_name(void **state)
{
	static const struct {
		const char *text, *why;
	} table[] = {
		{ "10.7.0.1", "no UDP port" },
		{ "10.7.0.1:", "no UDP port" },
		{ "10.7.0.1:0", "no UDP port" },
		{ "10.7.0.1:65536", "no UDP port" },
		{ "10.7.0.1:7400x", "no UDP port" },
		{ "10.7.0.1:-7", "no UDP port" },
		{ "10.7.0.1: 7", "no UDP port" },
		{ "*", "no UDP port" },
		{ "[fd00::1]", "no UDP port" },
		{ "[fd00::1]7400", "no UDP port" },
		{ "[fd00::1", "bracket is not closed" },
		{ "fd00::1", "stands in brackets" },
		{ "::", "stands in brackets" },
		{ "[fd00::g]:7400", "'fd00::g' is not an IPv6" },
		{ "[fe80::1%eth0]:7400", "is not an IPv6" },
		{ "[]:7400", "'' is not an IPv6" },
		{ "[*]:7400", "'*' is not an IPv6" },
		{ "[10.7.0.1]:7400", "is not an IPv6" },
		{ "[::ffff:10.7.0.1]:7400", "is not an IPv6" },
		{ "[ff02::1]:7400", "unicast" },
		{ "[::1]:7400", "unicast" },
		{ "224.0.0.1:7400", "unicast" },
		{ "255.255.255.255:7400", "unicast" },
		{ "127.0.0.1:7400", "unicast" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct dpdk_addr addr;

		if (!weir_dpdk_is_ip_address(table[i].text))
			fail_msg("%s is no address", table[i].text);
		if (weir_dpdk_addr_read(table[i].text, &addr) != -EINVAL)
			fail_msg("%s was read", table[i].text);
		if (strstr(weir_last_error(), table[i].why) == NULL)
			fail_msg("%s: %s", table[i].text, weir_last_error());
	}
}

static void
names_are_no_addresses(void **state)
{
	static const char *const names[] = {
		"demo", "10.7.0", "a:b", "x:7400", "default", "10.7.0.1.2:7"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_false(weir_dpdk_is_ip_address(names[i]));
}

static void
our_own_address_has_a_network(void **state)
{
	static const char *const wrong[] = {
		"10.7.0.1",          "10.7.0.1/",
		"10.7.0.1/0",        "10.7.0.1/33",
		"10.7.0.1/24x",      "10.7.0/24",
		"fd00::1",           "fd00::1/129",
		"[fd00::1]/64",      "::/64",
		"ff02::1/16",        "0.0.0.0/8",
		"fd00::1/-1",        "224.0.0.1/24",
		"::ffff:1.2.3.4/24", "",
		"10.7.0.1/ 24",      "10.7.0.1/+24",
	};
	struct dpdk_ip ip;
	unsigned int bits;

	(void)state;
	assert_int_equal(weir_dpdk_net_read("local", "10.7.0.1/24", &ip, &bits),
			 0);
	assert_true(dpdk_ip_is_ip4(&ip));
	assert_int_equal(dpdk_ip4_number(&ip), 0x0a070001);
	assert_int_equal(bits, 24);
	assert_int_equal(weir_dpdk_net_read("local", "fd00::1/64", &ip, &bits),
			 0);
	assert_false(dpdk_ip_is_ip4(&ip));
	assert_int_equal(bits, 64);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		if (weir_dpdk_net_read("local", wrong[i], &ip, &bits) !=
		    -EINVAL)
			fail_msg("%s was read", wrong[i]);
		assert_non_null(strstr(weir_last_error(), "local="));
	}
}

static struct dpdk_ip
ip_of(const char *text)
{
	struct dpdk_ip ip;

	assert_true(weir_dpdk_ip_read(text, &ip));
	return ip;
}

static void
a_network_ends_at_its_last_bit(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned int same_bits; /* how many agree */
		unsigned int most;
	} table[] = {
		{ "10.7.0.1", "10.7.0.2", 30, 32 },
		{ "10.7.0.1", "10.7.1.1", 23, 32 },
		{ "10.7.0.1", "138.7.0.1", 0, 32 },
		{ "10.7.0.1", "10.7.0.1", 32, 32 },
		{ "fd00::1", "fd00::8001", 112, 128 },
		{ "fd00::1", "fd00::1:0:0:0:1", 63, 128 },
		{ "fd00::1", "fd00::1", 128, 128 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct dpdk_ip a = ip_of(table[i].a), b = ip_of(table[i].b);

		for (unsigned int bits = 1; bits <= table[i].most; bits++)
			assert_int_equal(weir_dpdk_ip_same_net(&a, &b, bits),
					 bits <= table[i].same_bits);
	}
}

static void
families_share_no_network(void **state)
{
	/* Zeros, as the form of IPv4 has them. */
	struct dpdk_ip ip4 = ip_of("10.7.0.1"), ip6 = ip_of("::1:0:0:1");

	(void)state;
	for (unsigned int bits = 1; bits <= 32; bits++) {
		assert_false(weir_dpdk_ip_same_net(&ip4, &ip6, bits));
		assert_false(weir_dpdk_ip_same_net(&ip6, &ip4, bits));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_families_are_read_and_written),
		cmocka_unit_test(any_address_is_none),
		cmocka_unit_test(wrong_addresses_are_refused_by_name),
		cmocka_unit_test(names_are_no_addresses),
		cmocka_unit_test(our_own_address_has_a_network),
		cmocka_unit_test(a_network_ends_at_its_last_bit),
		cmocka_unit_test(families_share_no_network),
	};

	return cmocka_run_group_tests_name("dpdk_addr", tests, NULL, NULL);
}
