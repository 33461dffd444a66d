/* SPDX-License-Identifier: BSD-3-Clause */
/* Probe and CPUs; see placement.h. */

#include "placement.h"

#include <sched.h>
#include <stdlib.h>

#include "spin.h"
#include "ticks.h"

const char *
weir_place_name(enum weir_placement place)
{
	static const char *const names[WEIR_PLACES + 1] = {
		[WEIR_PLACE_SMT] = "smt",     [WEIR_PLACE_NEAR] = "near",
		[WEIR_PLACE_FAR] = "far",     [WEIR_PLACE_SAME] = "same",
		[WEIR_PLACE_MOVED] = "moved",
	};

	return names[place];
}

enum weir_placement
weir_place_of(double rtt_ns)
{
	if (rtt_ns < WEIR_PLACE_SMT_BELOW_NS)
		return WEIR_PLACE_SMT;
	return rtt_ns < WEIR_PLACE_NEAR_BELOW_NS ? WEIR_PLACE_NEAR
						 : WEIR_PLACE_FAR;
}

enum weir_placement
weir_place_between(enum weir_placement before, enum weir_placement after)
{
	return before == after ? before : WEIR_PLACE_MOVED;
}

/* Acquire pairs with the other side's release: nothing but the number is
 * handed over, the order keeps the compiler from turning rounds around. */
static int
wait_for(_Atomic uint64_t *word, uint64_t number)
{
	struct weir_spin spin = { .limit = WEIR_SPIN_LIMIT };

	while (atomic_load_explicit(word, memory_order_acquire) != number)
		if (weir_spin(&spin) != 0)
			return -ETIMEDOUT;
	return 0;
}

static int
compare_ticks(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

int
weir_probe_ask(struct weir_probe *probe, uint64_t *number, double *ticks)
{
	uint64_t batch[WEIR_PROBE_BATCHES];

	for (uint32_t i = 0; i < WEIR_PROBE_BATCHES; i++) {
		uint64_t start = weir_ticks();

		for (uint32_t k = 0; k < WEIR_PROBE_BATCH; k++) {
			++*number;
			atomic_store_explicit(&probe->ask, *number,
					      memory_order_release);
			if (wait_for(&probe->answer, *number) != 0)
				return -ETIMEDOUT;
		}
		batch[i] = weir_ticks() - start;
	}
	qsort(batch, WEIR_PROBE_BATCHES, sizeof(batch[0]), compare_ticks);
	*ticks = (double)batch[WEIR_PROBE_BATCHES / 2] / WEIR_PROBE_BATCH;
	return 0;
}

int
weir_probe_answer(struct weir_probe *probe, uint64_t *number)
{
	for (uint32_t i = 0; i < WEIR_PROBE_BATCHES * WEIR_PROBE_BATCH; i++) {
		++*number;
		if (wait_for(&probe->ask, *number) != 0)
			return -ETIMEDOUT;
		atomic_store_explicit(&probe->answer, *number,
				      memory_order_release);
	}
	return 0;
}

int
weir_cpus_choose(int cpus[2])
{
	cpu_set_t set;
	int found = 0;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			cpus[found++] = cpu;
	if (found == 1)
		cpus[1] = cpus[0];
	return found == 0 ? -ENODEV : 0;
}

int
weir_cpu_pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}
