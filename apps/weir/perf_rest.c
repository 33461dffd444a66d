/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a link costs that nobody sends on, by the clock of the thread that waits
 * for a message:
 *
 *     polling   it looks again and again
 *     asleep    it sleeps until something comes
 *
 * The peer answers nobody meanwhile, and keeps the link alive.
 */

#include "perf.h"
#include "ticks.h"
#include "tool.h"

/* So long each: some signs of life are among it, and no link is given up. */
#define REST_NS UINT64_C(200000000)

static uint64_t
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* @return 0 when the time is over; negative, as for a message, which nobody
 *         sends. */
static int
rest(struct weir_perf_link *link, bool asleep)
{
	uint64_t end_ns = weir_now_ns() + REST_NS;
	struct weir_msg msg;
	int rc;

	do {
		if (asleep)
			rc = weir_rx_recv_wait(link->rx, end_ns, &msg);
		else
			rc = weir_perf_link_poll(link);
		if (rc == 0 && !asleep)
			rc = weir_rx_recv(link->rx, &msg);
		if (rc > 0) {
			weir_msg_release(&msg);
			return -EPROTO;
		}
	} while ((rc == 0 || rc == -EINTR) && weir_now_ns() < end_ns &&
		 weir_tool_signal == 0);
	return rc == -EINTR ? 0 : rc;
}

/* @return 0, with the share of a CPU that it took; negative. */
static int
measure(struct weir_trial *trial, bool asleep, double *share)
{
	struct weir_load *load = &trial->side->test.load;
	uint64_t start_ns, used_ns;
	int rc, answer;

	weir_self_gate(trial->self, true, 0);
	weir_self_begin(trial->self, WEIR_SELF_ECHO, WEIR_SELF_TEST);
	start_ns = weir_raw_ns();
	used_ns = cpu_ns();
	rc = rest(&trial->side->test, asleep);
	*share = (double)(cpu_ns() - used_ns) /
		 (double)(weir_raw_ns() - start_ns);
	weir_self_gate(trial->self, false, 0);
	answer = weir_self_end(trial->self, load);
	return answer == -ECHILD || rc == 0 ? answer : rc;
}

int
weir_perf_rest_run(struct weir_trial *trial, struct weir_perf_rest *result)
{
	int rc = measure(trial, false, &result->polling);

	return rc == 0 ? measure(trial, true, &result->asleep) : rc;
}
