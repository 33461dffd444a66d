/* SPDX-License-Identifier: BSD-3-Clause */
/* test_dpdk_fault: what a fault specification says, and what it may not. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "dpdk_fault.h"
#include "weir.h"

static void
all_kinds_are_read(void **state)
{
	struct dpdk_fault_spec s;

	(void)state;
	assert_int_equal(weir_dpdk_fault_parse(
				 "loss=1%,burst=0.1%:20,dup=0.5%,reorder=2%:8,"
				 "corrupt=12.5%,corrupt=25%:sum,truncate=50%,"
				 "delay=50us:10ns,seed=7,hold=200",
				 &s),
			 0);
	assert_int_equal(s.loss, DPDK_FAULT_ALWAYS / 100);
	assert_int_equal(s.burst, DPDK_FAULT_ALWAYS / 1000);
	assert_int_equal(s.burst_end, DPDK_FAULT_ALWAYS / 20);
	assert_int_equal(s.dup, DPDK_FAULT_ALWAYS / 200);
	assert_int_equal(s.reorder, DPDK_FAULT_ALWAYS / 50);
	assert_int_equal(s.reorder_by, 8);
	assert_int_equal(s.corrupt, DPDK_FAULT_ALWAYS / 8);
	assert_int_equal(s.corrupt_sum, DPDK_FAULT_ALWAYS / 4);
	assert_int_equal(s.truncate, DPDK_FAULT_ALWAYS / 2);
	assert_int_equal(s.delay_ns, 50000);
	assert_int_equal(s.jitter_ns, 10);
	assert_int_equal(s.seed, 7);
	assert_int_equal(s.hold, 256);
}

static void
what_is_left_out_is_off(void **state)
{
	struct dpdk_fault_spec s;

	(void)state;
	assert_int_equal(weir_dpdk_fault_parse("reorder=100%", &s), 0);
	assert_int_equal(s.reorder, DPDK_FAULT_ALWAYS);
	assert_int_equal(s.reorder_by, 3);
	assert_int_equal(s.loss & s.burst & s.dup & s.corrupt & s.corrupt_sum &
				 s.truncate,
			 DPDK_FAULT_NOT_ASKED);
	assert_int_equal(s.delay_ns | s.jitter_ns, 0);
	assert_int_equal(s.seed, 1);
	assert_int_equal(s.hold, 512);
}

static void
rates_have_eight_decimals(void **state)
{
	struct dpdk_fault_spec s;

	(void)state;
	assert_int_equal(weir_dpdk_fault_parse("loss=0%", &s), 0);
	assert_int_equal(s.loss, 0);
	assert_int_equal(weir_dpdk_fault_parse("loss=0.00000003%", &s), 0);
	assert_int_equal(s.loss, 1);
	assert_int_equal(weir_dpdk_fault_parse("loss=99.99999999%", &s), 0);
	assert_in_range(s.loss, DPDK_FAULT_ALWAYS - 1, DPDK_FAULT_ALWAYS - 1);
}

static void
what_cannot_be_is_refused_with_its_name(void **state)
{
	static const struct {
		const char *text, *named;
	} bad[] = {
		{ "loss", "fault: loss: no such fault" },
		{ "=1%", "fault: =1%: no such fault" },
		{ "los=1%", "fault: los=1%: no such fault" },
		{ "loss=1%,", "fault: : no such fault" },
		{ ",loss=1%", "fault: : no such fault" },
		{ "loss=1%,loss=2%", "fault: loss=2%: given twice" },
		{ "loss=1", "fault: loss=1: not a rate" },
		{ "loss=%", "fault: loss=%: not a rate" },
		{ "loss=101%", "fault: loss=101%: not a rate" },
		{ "loss=100.1%", "fault: loss=100.1%: not a rate" },
		{ "loss=-1%", "fault: loss=-1%: not a rate" },
		{ "loss=1.%", "fault: loss=1.%: not a rate" },
		{ "loss=0.123456789%", "not a rate" },
		{ "loss=1%x", "not a rate" },
		{ "loss=99999999999999999999%", "not a rate" },
		{ "burst=1%", "fault: burst=1%: not a rate and a mean" },
		{ "burst=1%:0", "not a rate and a mean" },
		{ "burst=1%:1000001", "not a rate and a mean" },
		{ "reorder=1%:", "not a rate and a number" },
		{ "reorder=1%:0", "not a rate and a number" },
		{ "reorder=1%:1025", "not a rate and a number" },
		{ "corrupt=1%:crc", "not a rate; write corrupt" },
		{ "delay=50", "not a time" },
		{ "delay=us", "not a time" },
		{ "delay=11s", "not a time" },
		{ "delay=1us:", "not a time" },
		{ "delay=1us:1us:1us", "not a time" },
		{ "delay=99999999999ns", "not a time" },
		{ "seed=x", "not a number of 32 bits" },
		{ "seed=4294967296", "not a number of 32 bits" },
		{ "hold=127", "not a number of frames" },
		{ "hold=16385", "not a number of frames" },
		{ "loss=00000000000000000000000000000000000000000000000000000"
		  "00000000000000000000000%",
		  "longer than any fault" },
	};
	struct dpdk_fault_spec s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(weir_dpdk_fault_parse(bad[i].text, &s),
				 -EINVAL);
		if (strstr(weir_last_error(), bad[i].named) == NULL)
			fail_msg("%s: %s", bad[i].text, weir_last_error());
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_kinds_are_read),
		cmocka_unit_test(what_is_left_out_is_off),
		cmocka_unit_test(rates_have_eight_decimals),
		cmocka_unit_test(what_cannot_be_is_refused_with_its_name),
	};

	return cmocka_run_group_tests_name("dpdk_fault", tests, NULL, NULL);
}
