/* SPDX-License-Identifier: BSD-3-Clause */
/* Which links a poll looks at: see dpdk_run.h. */

#include "dpdk_flow.h"
#include "dpdk_port.h"
#include "dpdk_run.h"

#include <errno.h>
#include <stdlib.h>

int
weir_dpdk_run_grow(struct dpdk_run *run, uint32_t room)
{
	struct dpdk_flow **flows =
		realloc(run->flows, room * sizeof(struct dpdk_flow *));
	struct timer_entry *entries;

	if (flows == NULL)
		return -ENOMEM;
	run->flows = flows;
	entries = realloc(run->timers.entries, room * sizeof(*entries));
	if (entries == NULL)
		return -ENOMEM;
	run->timers.entries = entries;
	return 0;
}

void
weir_dpdk_run_free(struct dpdk_run *run)
{
	free(run->flows);
	free(run->timers.entries);
}

/* ---- in and out ---------------------------------------------------------- */

void
weir_dpdk_run_add(struct dpdk_run *run, struct dpdk_flow *flow)
{
	if (flow->run.place != 0)
		return;
	run->flows[run->count++] = flow;
	flow->run.place = run->count;
}

static void
run_remove(struct dpdk_run *run, struct dpdk_flow *flow)
{
	struct dpdk_flow *last;
	uint32_t place = flow->run.place;

	if (place == 0)
		return;
	last = run->flows[--run->count];
	run->flows[place - 1] = last;
	last->run.place = place;
	flow->run.place = 0;
}

void
weir_dpdk_run_rest(struct dpdk_run *run, struct dpdk_flow *flow)
{
	run_remove(run, flow);
	/* One that is too early only asks again: nothing moves later here. */
	if (flow->deadline_ns < timer_heap_at(&run->timers, &flow->run.timer))
		weir_timer_heap_set(&run->timers, &flow->run.timer,
				    flow->deadline_ns);
}

void
weir_dpdk_run_forget(struct dpdk_run *run, struct dpdk_flow *flow)
{
	run_remove(run, flow);
	weir_timer_heap_remove(&run->timers, &flow->run.timer);
}

/* ---- posted -------------------------------------------------------------- */

void
weir_dpdk_run_post(struct dpdk_flow *flow)
{
	_Atomic(struct dpdk_flow *) *list = &flow->port->run.posted;
	uint32_t asleep = DPDK_ASLEEP;
	struct dpdk_bell *bell;
	struct dpdk_flow *head;

	/* One of many posts it. Acquire: the port has read posted_next. */
	if (!atomic_compare_exchange_strong_explicit(
		    &flow->attention, &asleep, DPDK_POSTED,
		    memory_order_acquire, memory_order_relaxed))
		return;
	/* Once it is on the list, the port may free it. */
	bell = weir_dpdk_bell_get(flow->bell);
	head = atomic_load_explicit(list, memory_order_relaxed);
	do
		flow->posted_next = head;
	while (!atomic_compare_exchange_weak_explicit(
		list, &head, flow, memory_order_release, memory_order_relaxed));
	weir_dpdk_bell_ring(bell);
	weir_dpdk_bell_put(bell);
}

static void
collect_posted(struct dpdk_port *port)
{
	struct dpdk_run *run = &port->run;
	struct dpdk_flow *flow;

	if (__builtin_expect(atomic_load_explicit(&run->posted,
						  memory_order_relaxed) == NULL,
			     1))
		return;
	/* Acquire: pairs with weir_dpdk_run_post(). */
	flow = atomic_exchange_explicit(&run->posted, NULL,
					memory_order_acquire);
	while (flow != NULL) {
		struct dpdk_flow *next = flow->posted_next;

		atomic_store_explicit(&flow->attention, DPDK_AWAKE,
				      memory_order_relaxed);
		flow->run.busy = true;
		weir_dpdk_run_add(run, flow);
		port->stats.link_wakes++;
		flow = next;
	}
}

/* ---- due ----------------------------------------------------------------- */

static void
collect_due(struct dpdk_port *port)
{
	struct timer_heap *timers = &port->run.timers;

	for (uint32_t i = 0; i < DPDK_RUN_TIMERS; i++) {
		struct dpdk_flow *flow;

		if (__builtin_expect(timer_heap_next(timers) > port->now_ns, 1))
			return;
		flow = WEIR_CONTAINER_OF(timer_heap_first(timers),
					 struct dpdk_flow, run.timer);
		port->stats.timer_wakes++;
		/* In the run its deadline is looked at anyway. */
		if (flow->run.place == 0 && flow->deadline_ns > port->now_ns) {
			weir_timer_heap_set(timers, &flow->run.timer,
					    flow->deadline_ns);
			continue;
		}
		weir_timer_heap_remove(timers, &flow->run.timer);
		weir_dpdk_run_add(&port->run, flow);
	}
}

/* ---- asleep -------------------------------------------------------------- */

/* May the port stop looking at its rings? Asks and begins anew. */
static bool
has_calmed(struct dpdk_flow *flow)
{
	bool busy = flow->run.busy || flow->touched ||
		    flow->phase < DPDK_PHASE_SETUP;

	flow->run.busy = false;
	return !busy &&
	       atomic_load_explicit(&flow->attention, memory_order_relaxed) ==
		       DPDK_AWAKE;
}

/*
 * Let those fall asleep that nobody used since the last sweep. They leave the
 * run when the poll has looked at them once more, after the barrier. The last
 * one stays awake: to look at it costs less than to be told.
 */
static void
sweep(struct dpdk_port *port)
{
	struct dpdk_run *run = &port->run;
	uint32_t calmed = 0;

	run->sweep_ns = port->now_ns + DPDK_RUN_SWEEP_NS;
	for (uint32_t i = 0; i < run->count; i++) {
		if (!has_calmed(run->flows[i]))
			continue;
		/* Release: pairs with weir_dpdk_run_post(). */
		atomic_store_explicit(&run->flows[i]->attention, DPDK_ASLEEP,
				      memory_order_release);
		calmed++;
	}
	run->most = run->count - calmed + DPDK_RUN_MOST;
	if (calmed != 0)
		weir_doorbell_barrier();
}

void
weir_dpdk_run_calm(struct dpdk_port *port)
{
	struct dpdk_run *run = &port->run;

	for (uint32_t i = 0; i < run->count; i++) {
		run->flows[i]->run.busy = false;
		if (has_calmed(run->flows[i]))
			/* Release: pairs with weir_dpdk_run_post(). */
			atomic_store_explicit(&run->flows[i]->attention,
					      DPDK_ASLEEP,
					      memory_order_release);
	}
	weir_doorbell_barrier();
}

void
weir_dpdk_run_collect(struct dpdk_port *port)
{
	struct dpdk_run *run = &port->run;

	collect_posted(port);
	collect_due(port);
	if (run->count > 1 &&
	    (port->now_ns >= run->sweep_ns || run->count > run->most))
		sweep(port);
}
