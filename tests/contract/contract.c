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

static bool
matches(const char *name, const char *pattern)
{
	return pattern == NULL || strstr(name, pattern) != NULL;
}

static size_t
collect(const char *pattern)
{
	size_t n = 0;

	for (size_t l = 0; l < sizeof(lists) / sizeof(lists[0]); l++)
		for (size_t i = 0; i < lists[l]->count; i++) {
			if (!matches(lists[l]->tests[i].name, pattern))
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
	size_t count = collect(pattern);
	char reason[128] = "";
	int netns = -1, failed;

	if (v->flags & VARIANT_VETH) {
		netns = netns_pair((v->flags & VARIANT_ROOT) != 0, reason,
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
