/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Not whether all arrives, but when: a protocol whose timers are wrong still
 * gets everything across, only later.
 *
 *   tails   a request and its answer over and over, 0.1 % of packets lost:
 *           what the slowest in a thousand take
 *   times   200 messages, by share of packets lost: mean, median and 90th
 *           percentile of many runs, pinned in times.inc
 *
 * Virtual time: the same on every machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "world.h"

#define LAPS      20000
#define RUNS      2000
#define ACK_DELAY (20 * US)
/* What the application adds by looking only now and then. */
#define SLACK (10 * US)

static void
plain_draw(struct sim_draw *draw, uint64_t one_way_ns, double loss)
{
	memset(draw, 0, sizeof(*draw));
	for (int side = 0; side < 2; side++) {
		draw->loss[side] = loss;
		draw->delay_ns[side] = one_way_ns;
		draw->clock_ns[side] = 1000 * SEC;
		draw->isn[side] = 1000;
		draw->frag[side] = 1400;
		draw->window[side] = 256;
		draw->credit[side] = 256;
		draw->tx_window[side] = 256;
		draw->tx_msgs[side] = 256;
		draw->ack_delay_ns[side] = ACK_DELAY;
		draw->batch[side] = true;
	}
	draw->eager = true;
	draw->keepalive = true;
	draw->end[1] = SIM_CLOSE_LAST;
	draw->heal_ns = 3600 * SEC;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* --- tails ------------------------------------------------------------ */

/* @return 1 if it is out of bounds. */
static int
tail(uint64_t one_way_ns)
{
	static uint64_t laps[LAPS];
	struct sim_result result = { .laps_ns = laps };
	struct sim_count count = { 0 };
	struct sim_draw draw;
	uint64_t bound, worst;

	plain_draw(&draw, one_way_ns, 0.001);
	draw.echo = true;
	for (int side = 0; side < 2; side++) {
		draw.msgs[side] = LAPS;
		draw.msg_max[side] = 64;
		draw.tiny[side] = true;
	}
	if (sim_run_draw(1, &draw, false, &count, &result) != 0)
		return 1;
	qsort(laps, LAPS, sizeof(laps[0]), by_value);
	worst = laps[LAPS - LAPS / 1000];
	bound = 3 * result.srtt_ns + ACK_DELAY + SLACK;
	printf("| %.0f | %.1f | %.1f | %.1f | %.1f | %.1f |%s\n",
	       (double)(2 * one_way_ns) / 1e3, (double)result.srtt_ns / 1e3,
	       (double)laps[LAPS / 2] / 1e3,
	       (double)laps[LAPS - LAPS / 100] / 1e3, (double)worst / 1e3,
	       (double)bound / 1e3, worst > bound ? " TOO LATE" : "");
	return worst > bound;
}

int
sim_tails(void)
{
	static const uint64_t one_way_us[] = { 5, 25, 50, 250, 1000 };
	int late = 0;

	printf("| wire, us | srtt | p50 | p99 | p99.9 | bound |\n"
	       "| ---: | ---: | ---: | ---: | ---: | ---: |\n");
	for (size_t i = 0; i < sizeof(one_way_us) / sizeof(*one_way_us); i++)
		late += tail(one_way_us[i] * US);
	return late;
}

/* --- times ------------------------------------------------------------ */

struct times {
	double loss;
	uint32_t mean_us;
	uint32_t p50_us;
	uint32_t p90_us;
};

static const struct times pinned[] = {
#include "times.inc"
};

#define CLASSES (sizeof(pinned) / sizeof(pinned[0]))

static int
measure(double loss, struct times *times)
{
	static uint64_t took[RUNS];
	struct sim_count count = { 0 };
	struct sim_draw draw;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < RUNS; i++) {
		struct sim_result result = { 0 };

		plain_draw(&draw, 10 * US, loss);
		draw.packet_ns = 300;
		draw.queue = 10000;
		draw.msgs[0] = 200;
		draw.msg_max[1] = 8 * 1400;
		if (sim_run_draw(i + 1, &draw, false, &count, &result) != 0)
			return -1;
		took[i] = result.took_ns;
		sum += result.took_ns;
	}
	qsort(took, RUNS, sizeof(took[0]), by_value);
	*times = (struct times){
		.loss = loss,
		.mean_us = (uint32_t)(sum / RUNS / US),
		.p50_us = (uint32_t)(took[RUNS / 2] / US),
		.p90_us = (uint32_t)(took[RUNS * 9 / 10] / US),
	};
	return 0;
}

static bool
within_a_fifth(uint32_t is, uint32_t was)
{
	return is >= was - was / 5 && is <= was + was / 5;
}

int
sim_times(bool print_table)
{
	int off = 0;

	for (size_t i = 0; i < CLASSES; i++) {
		const struct times *was = &pinned[i];
		struct times is;

		if (measure(was->loss, &is) != 0)
			return 1;
		printf("\t{ %g, %u, %u, %u },\n", is.loss, is.mean_us,
		       is.p50_us, is.p90_us);
		if (print_table || (within_a_fifth(is.mean_us, was->mean_us) &&
				    within_a_fifth(is.p50_us, was->p50_us) &&
				    within_a_fifth(is.p90_us, was->p90_us)))
			continue;
		fprintf(stderr, "%g %% loss: not as pinned: %u, %u, %u\n",
			100 * was->loss, was->mean_us, was->p50_us,
			was->p90_us);
		off++;
	}
	return off;
}
