/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract suite: what every link keeps, whatever its driver.
 *
 *     contract VARIANT [PATTERN]   run it, or the cases that match
 *     contract --list              variants of this program
 *     contract --peer FD           the child that peer_child.c starts
 *
 * Exit code 0 all passed, 1 not, 77 the variant cannot run here.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "netns.h"
#ifdef CONTRACT_DPDK
#include "weir_dpdk.h"
#endif

#define CASES_MAX 160

static const struct case_list *const lists[] = {
	&cases_message, &cases_reserve, &cases_slot,  &cases_close,
	&cases_receive, &cases_split,   &cases_wait,  &cases_setup,
	&cases_model,   &cases_multi,   &cases_death,
};

static struct CMUnitTest cases[CASES_MAX];

/* Where a new device shows itself; the rest is the same code above any. */
static const char *const device_cases[] = {
	"echoed_payloads_are_bit_identical",
	"boundaries_are_kept_at_every_edge",
	"large_and_small_alternate",
	"copies_are_counted",
	"held_messages_stay_as_they_are",
	"messages_outlive_link_and_port",
	"halves_work_on_two_threads",
	"an_armed_receiver_misses_no_message",
	"connecting_before_the_listener_exists_works",
	"an_absent_listener_is_an_error_in_time",
	"a_port_can_be_opened_again",
	"a_killed_peer_is_a_lasting_error",
	"back_before_it_was_missed",
	"an_idle_owner_takes_no_processor",
	"a_sleeping_owner_serves_other_threads",
};

static bool
concerns_devices(const char *name)
{
	size_t count = sizeof(device_cases) / sizeof(device_cases[0]);

	for (size_t i = 0; i < count; i++)
		if (strcmp(name, device_cases[i]) == 0)
			return true;
	return false;
}

static bool
matches(const struct variant *v, const char *name, const char *pattern)
{
	if (pattern != NULL)
		return strstr(name, pattern) != NULL;
	return !(v->flags & VARIANT_DEVICE) ||
	       getenv("WEIR_CHECK_LONG") != NULL || concerns_devices(name);
}

static size_t
collect(const struct variant *v, const char *pattern)
{
	size_t n = 0;

	for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++)
		for (size_t i = 0; i < lists[l]->count; i++) {
			if (!matches(v, lists[l]->tests[i].name, pattern))
				continue;
			if (n == CASES_MAX)
				abort();
			cases[n] = lists[l]->tests[i];
			cases[n].setup_func = case_setup;
			cases[n].teardown_func = case_teardown;
			cases[n].initial_state = &cases[n];
			n++;
		}
	return n;
}

static int
run(const struct variant *v, const char *pattern)
{
	size_t count = collect(v, pattern);
	char reason[128] = "";
	int netns = -1, failed;

	if (v->flags & VARIANT_VETH) {
		netns = netns_pair((v->flags & VARIANT_ROOT) != 0,
				   (v->flags & VARIANT_TAP) != 0, reason,
				   sizeof(reason));
		if (netns < 0) {
			printf("contract %s: skipped: %s\n", v->name, reason);
			return 77;
		}
	}
	fixture_begin(v, netns);
	/* Not the macro: it wants an array of known length. */
	failed = _cmocka_run_group_tests(v->name, cases, count, NULL, NULL);
	failed += fixture_end();
	printf("contract %s: %zu cases, %zu passed, %u skipped\n", v->name,
	       count, count - (size_t)failed - fixture_skipped(),
	       fixture_skipped());
	return failed != 0;
}

int
main(int argc, char **argv)
{
	const struct variant *v;

#ifdef CONTRACT_DPDK
	weir_driver_register(&weir_driver_dpdk);
#endif
	if (argc == 3 && strcmp(argv[1], "--peer") == 0)
		return peer_child_main(atoi(argv[2]));
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		variant_list();
		return 0;
	}
	v = argc >= 2 ? variant_find(argv[1]) : NULL;
	if (v == NULL) {
		fprintf(stderr, "usage: contract VARIANT [PATTERN] | --list\n");
		return 2;
	}
	return run(v, argc > 2 ? argv[2] : NULL);
}
