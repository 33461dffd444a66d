/* SPDX-License-Identifier: BSD-3-Clause */
/* What a run measures and for how long: sizes, edges of classes, time. */

#include <stdlib.h>

#include "perf.h"

/* Of a size's time, so much at most goes to its warm-up. */
#define WARMUP_PART 5u
/* Kept back, in parts of the total, for what cannot be cut short. */
#define SPARE_PART  5u
#define TIME_MIN_NS 1000000u

struct sizes {
	uint32_t list[WEIR_PERF_RUNS_MAX / 2];
	uint32_t count;
};

uint32_t
weir_perf_size_max(const struct weir_perf_args *args)
{
	uint32_t max = 0;

	for (uint32_t i = 0; i < args->size_count; i++)
		if (args->sizes[i] > max)
			max = args->sizes[i];
	return max;
}

static void
add_size(struct sizes *sizes, uint64_t size)
{
	if (size <= WEIR_MSG_SIZE_LIMIT &&
	    sizes->count < sizeof(sizes->list) / sizeof(sizes->list[0]))
		sizes->list[sizes->count++] = (uint32_t)size;
}

static int
by_size(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return (left > right) - (left < right);
}

/* In order, each once. */
static void
sort_sizes(struct sizes *sizes)
{
	uint32_t kept = 0;

	qsort(sizes->list, sizes->count, sizeof(sizes->list[0]), by_size);
	for (uint32_t i = 0; i < sizes->count; i++)
		if (kept == 0 || sizes->list[i] != sizes->list[kept - 1])
			sizes->list[kept++] = sizes->list[i];
	sizes->count = kept;
}

static void
add_edges(struct sizes *sizes, const struct weir_tx_stats *classes,
	  uint32_t size_max)
{
	for (uint32_t i = 0; i < classes->class_count; i++) {
		uint32_t edge = classes->classes[i].size;

		if (edge > 0 && edge <= size_max)
			add_size(sizes, edge - 1);
		if (edge <= size_max)
			add_size(sizes, edge);
		if (edge < size_max)
			add_size(sizes, (uint64_t)edge + 1);
	}
}

static void
add_runs(struct weir_perf_plan *plan, enum weir_perf_kind kind,
	 const struct sizes *sizes)
{
	for (uint32_t i = 0; i < sizes->count; i++)
		plan->runs[plan->count++] =
			(struct weir_perf_run){ kind, sizes->list[i] };
}

void
weir_plan_make(const struct weir_perf_args *args,
	       const struct weir_tx_stats *classes, struct weir_perf_plan *plan)
{
	struct sizes sizes = { .count = 0 };

	plan->count = 0;
	for (uint32_t i = 0; i < args->size_count; i++)
		add_size(&sizes, args->sizes[i]);
	if (args->edges && classes != NULL)
		add_edges(&sizes, classes, weir_perf_size_max(args));
	if (args->sweep)
		sort_sizes(&sizes);
	if (args->sweep || args->kind == WEIR_PERF_LAT)
		add_runs(plan, WEIR_PERF_LAT, &sizes);
	if (args->kind == WEIR_PERF_LOAD)
		add_runs(plan, WEIR_PERF_LOAD, &sizes);
	if (args->sweep || args->kind == WEIR_PERF_BW)
		add_runs(plan, WEIR_PERF_BW, &sizes);
}

uint32_t
weir_plan_sizes(const struct weir_perf_plan *plan, enum weir_perf_kind kind)
{
	uint32_t sizes = 0;

	for (uint32_t i = 0; i < plan->count; i++)
		sizes += plan->runs[i].kind == kind;
	return sizes;
}

void
weir_plan_time(const struct weir_perf_args *args, uint64_t spent_ns,
	       uint32_t left, uint64_t *warmup_ns, uint64_t *time_ns)
{
	uint64_t planned_ns = args->total_ns - args->total_ns / SPARE_PART;
	uint64_t share_ns;

	*warmup_ns = args->warmup_ns;
	*time_ns = args->time_ns;
	if (args->total_ns == 0)
		return;
	share_ns = spent_ns < planned_ns ? (planned_ns - spent_ns) / left : 0;
	if (*warmup_ns > share_ns / WARMUP_PART)
		*warmup_ns = share_ns / WARMUP_PART;
	share_ns -= *warmup_ns;
	if (share_ns < TIME_MIN_NS)
		share_ns = TIME_MIN_NS;
	if (*time_ns > share_ns)
		*time_ns = share_ns;
}
