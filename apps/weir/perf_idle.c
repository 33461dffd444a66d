/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Idle links beside the one that is measured (--links): opened after it, some
 * at a time, since a listener keeps only so many for accept.
 */

#include <stdlib.h>

#include "perf.h"
#include "tool.h"

#define WAIT_STEP_NS 50000000u /* how soon a signal is noticed */
#define AT_ONCE      64u

/* @return 0 with room for the idle links of this side, or exit code. */
static int
idle_open(struct weir_side *side)
{
	if (side->args->links < 2)
		return 0;
	side->idle = calloc(side->args->links - 1, sizeof(struct weir_link *));
	return side->idle != NULL ? 0 : weir_tool_fail(side->endpoint, -ENOMEM);
}

static int
idle_wait(struct weir_side *side, struct weir_link *link)
{
	int rc = 0;

	while (rc == 0 || rc == -EINTR) {
		if (weir_tool_signal != 0)
			return WEIR_EXIT_INTERRUPT;
		rc = weir_link_wait(link, weir_now_ns() + WAIT_STEP_NS);
	}
	return rc < 0 ? weir_tool_fail(side->endpoint, rc) : 0;
}

/* Up to `until`, all at once. */
static int
connect_some(struct weir_side *side, uint64_t until)
{
	struct weir_link_config config;
	uint64_t first = side->idle_count;
	int rc = 0;

	weir_side_config(side->args, &config);
	while (rc == 0 && side->idle_count < until) {
		rc = weir_link_connect(side->port, side->endpoint, &config,
				       &side->idle[side->idle_count]);
		if (rc != 0)
			return weir_tool_fail(side->endpoint, rc);
		side->idle_count++;
	}
	for (uint64_t i = first; rc == 0 && i < until; i++)
		rc = idle_wait(side, side->idle[i]);
	return rc;
}

int
weir_idle_connect(struct weir_side *side)
{
	int rc = idle_open(side);

	while (rc == 0 && side->idle_count + 1 < side->args->links) {
		uint64_t left = side->args->links - 1 - side->idle_count;

		rc = connect_some(side,
				  side->idle_count +
					  (left < AT_ONCE ? left : AT_ONCE));
	}
	return rc;
}

int
weir_idle_accept(struct weir_side *side)
{
	int rc = idle_open(side);

	if (rc != 0)
		return rc;
	while (side->idle_count + 1 < side->args->links) {
		if (weir_tool_signal != 0)
			return WEIR_EXIT_INTERRUPT;
		rc = weir_link_accept_wait(side->listener,
					   weir_now_ns() + WAIT_STEP_NS,
					   &side->idle[side->idle_count]);
		if (rc < 0 && rc != -EINTR)
			return weir_tool_fail(side->endpoint, rc);
		side->idle_count += rc == 1;
	}
	return 0;
}

void
weir_idle_close(struct weir_side *side)
{
	while (side->idle_count != 0)
		weir_link_destroy(side->idle[--side->idle_count]);
	free(side->idle);
	side->idle = NULL;
}
