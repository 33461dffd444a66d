/* SPDX-License-Identifier: BSD-3-Clause */
/* Endpoints: what is taken apart how, and that each refusal says why. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core.h"

static void
parts_are_found(void **state)
{
	struct weir_endpoint ep;

	(void)state;
	assert_int_equal(
		weir_endpoint_parse("dpdk:[fd00::2]:7400,dev=nic0,dev.iface=v0",
				    &ep),
		0);
	assert_string_equal(ep.scheme, "dpdk");
	assert_string_equal(ep.address, "[fd00::2]:7400");
	assert_string_equal(weir_endpoint_get(&ep, "dev"), "nic0");
	assert_string_equal(weir_endpoint_get(&ep, "dev.iface"), "v0");
	assert_null(weir_endpoint_get(&ep, "queue"));
}

static void
an_empty_address_is_default(void **state)
{
	struct weir_endpoint ep;

	(void)state;
	assert_int_equal(weir_endpoint_parse("shm:", &ep), 0);
	assert_string_equal(ep.address, "default");
	assert_int_equal(weir_endpoint_parse("shm:,fd=5", &ep), 0);
	assert_string_equal(ep.address, "default");
	assert_string_equal(weir_endpoint_get(&ep, "fd"), "5");
	assert_int_equal(weir_endpoint_parse("shm:a,k=", &ep), 0);
	assert_string_equal(weir_endpoint_get(&ep, "k"), "");
}

static void
malformed_ones_are_refused_with_a_reason(void **state)
{
	static const char *const bad[] = {
		"",       "shm",       ":x",       "SHM:x",         "s m:x",
		"shm:x,", "shm:x,key", "shm:x,=v", "shm:x,a=1,a=2", NULL,
	};
	struct weir_endpoint ep;
	char longest[1024];

	(void)state;
	for (int i = 0; bad[i] != NULL; i++) {
		weir_fail_clear();
		assert_int_equal(weir_endpoint_parse(bad[i], &ep), -EINVAL);
		assert_non_null(strchr(weir_last_error(), ';'));
	}
	assert_int_equal(weir_endpoint_parse(NULL, &ep), -EINVAL);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memcpy(longest, "shm:", 4);
	assert_int_equal(weir_endpoint_parse(longest, &ep), -EINVAL);
}

static void
too_many_keys_are_refused(void **state)
{
	char text[512] = "shm:x";
	struct weir_endpoint ep;

	(void)state;
	for (int i = 0; i < WEIR_ENDPOINT_KEYS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 ",k%d=1", i);
	assert_int_equal(weir_endpoint_parse(text, &ep), 0);
	strcat(text, ",more=1");
	assert_int_equal(weir_endpoint_parse(text, &ep), -EINVAL);
}

static void
numbers_have_suffixes_and_bounds(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t value;
	} cases[] = {
		{ "x:a,n=0", 0, 0 },
		{ "x:a,n=12", 0, 12 },
		{ "x:a,n=3k", 0, 3000 },
		{ "x:a,n=3Ki", 0, 3072 },
		{ "x:a,n=2Mi", 0, 2u << 20 },
		{ "x:a,n=2Gi", 0, UINT64_C(2) << 30 },
		{ "x:a,n=5Gi", -EINVAL, 77 }, /* over the bound */
		{ "x:a,n=-1", -EINVAL, 77 },
		{ "x:a,n= 1", -EINVAL, 77 },
		{ "x:a,n=", -EINVAL, 77 },
		{ "x:a,n=1x", -EINVAL, 77 },
		{ "x:a,n=99999999999999999999", -EINVAL, 77 },
		{ "x:a,n=18446744073709551615Gi", -EINVAL, 77 },
		{ "x:a", 0, 77 }, /* absent: stays */
	};
	struct weir_endpoint ep;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t value = 77;

		assert_int_equal(weir_endpoint_parse(cases[i].text, &ep), 0);
		assert_int_equal(weir_endpoint_u64(&ep, "n", 0,
						   UINT64_C(4) << 30, &value),
				 cases[i].rc);
		assert_int_equal(value, cases[i].value);
	}
}

static void
unknown_keys_are_named_with_the_known_ones(void **state)
{
	static const char *const keys[] = { "dev", "dev.", "mtu", NULL };
	const struct weir_driver driver = { .scheme = "x", .keys = keys };
	struct weir_endpoint ep;

	(void)state;
	assert_int_equal(weir_endpoint_parse("x:a,dev=1,dev.any=2,mtu=3", &ep),
			 0);
	assert_int_equal(weir_endpoint_check(&ep, &driver), 0);
	assert_int_equal(weir_endpoint_parse("x:a,dev.=1", &ep), 0);
	assert_int_equal(weir_endpoint_check(&ep, &driver), -EINVAL);
	assert_int_equal(weir_endpoint_parse("x:a,mut=1", &ep), 0);
	assert_int_equal(weir_endpoint_check(&ep, &driver), -EINVAL);
	assert_non_null(strstr(weir_last_error(), "'mut'"));
	assert_non_null(strstr(weir_last_error(), "mtu"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_are_found),
		cmocka_unit_test(an_empty_address_is_default),
		cmocka_unit_test(malformed_ones_are_refused_with_a_reason),
		cmocka_unit_test(too_many_keys_are_refused),
		cmocka_unit_test(numbers_have_suffixes_and_bounds),
		cmocka_unit_test(unknown_keys_are_named_with_the_known_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
