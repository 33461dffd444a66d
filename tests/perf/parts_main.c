/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What callgrind counts for budget.py: the instructions below measured(). And
 * the same parts by the clock, as cycles of the time stamp counter.
 *
 *      parts BURST ROUNDS coalesce|single    messages, a link of one thread
 *      parts idle LINKS POLLS                polls of a port with idle links
 *      parts cycles ROUNDS                   what each part takes, as JSON
 *
 * The clock may move in steps of several parts of a single message, so it is
 * means that count. A round in which anything else had the processor is not to
 * be in them: of each part the slowest tenth of the samples is left out, and
 * what the reading of the clock itself takes is taken off. Around the clock the
 * processor finishes one part before it begins the next, so the parts are more
 * than the whole, which is timed by itself.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"

#define CALIBRATE_NS 50000000u

static __attribute__((noinline)) void
measured(struct parts *p, uint32_t rounds)
{
	for (uint32_t i = 0; i < rounds; i++)
		parts_round(p);
}

static __attribute__((noinline)) void
measured_idle(struct parts *p, uint32_t polls)
{
	for (uint32_t i = 0; i < polls; i++)
		p->transmit_events += weir_port_poll(p->a);
}

static int
idle(const char *links, const char *polls)
{
	static struct parts p;
	uint32_t count = (uint32_t)strtoul(polls, NULL, 10);

	p.burst = 1;
	parts_open(&p, false, 0);
	parts_idle(&p, (uint32_t)strtoul(links, NULL, 10) - 1);
	measured_idle(&p, count);
	printf("%u messages 0 packets\n", count);
	parts_close(&p);
	return 0;
}

static int
messages(const char *burst, const char *rounds, bool coalesce)
{
	static struct parts p;
	uint64_t before;

	p.burst = (uint16_t)strtoul(burst, NULL, 10);
	parts_open(&p, coalesce, 0);
	before = parts_packets(&p);
	measured(&p, (uint32_t)strtoul(rounds, NULL, 10));
	printf("%llu messages %llu packets\n", (unsigned long long)p.received,
	       (unsigned long long)(parts_packets(&p) - before));
	parts_close(&p);
	return p.received == 0;
}

/* ---- by the clock --------------------------------------------------------------- */

static const char *const part_names[PARTS_COUNT] = {
	"commit", "transmit", "receive", "recv", "release", "answer", "ack",
};

/* A sample per round of each part, of WHOLE_ROUNDS rounds, and of nothing. */
#define WHOLE_ROUNDS 8
enum {
	WHOLE = PARTS_COUNT,
	NOTHING,
	SERIES
};

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Mean without the slowest tenth. */
static double
mean_of(uint64_t *samples, uint32_t count)
{
	uint32_t kept = count - count / 10;
	double sum = 0;

	qsort(samples, count, sizeof(*samples), by_value);
	for (uint32_t i = 0; i < kept; i++)
		sum += (double)samples[i];
	return sum / kept;
}

static void
sample(struct parts *p, uint64_t *samples, uint32_t rounds)
{
	uint64_t ticks[PARTS_COUNT], before;

	for (uint32_t i = 0; i < rounds; i++) {
		parts_round_timed(p, ticks);
		for (uint32_t k = 0; k < PARTS_COUNT; k++)
			samples[k * rounds + i] = ticks[k];
		before = parts_clock();
		samples[NOTHING * rounds + i] = parts_clock() - before;
		before = parts_clock();
		for (int k = 0; k < WHOLE_ROUNDS; k++)
			parts_round(p);
		samples[WHOLE * rounds + i] = parts_clock() - before;
	}
}

static void
print_cycles(const struct parts *p, uint64_t *samples, uint32_t rounds,
	     const char *packets)
{
	double clock = mean_of(samples + NOTHING * rounds, rounds);

	printf("{\"burst\": %u, \"packets\": \"%s\"", p->burst, packets);
	for (uint32_t k = 0; k < PARTS_COUNT; k++)
		printf(", \"%s\": %.1f", part_names[k],
		       (mean_of(samples + k * rounds, rounds) - clock) /
			       p->burst);
	printf(", \"whole\": %.1f}",
	       (mean_of(samples + WHOLE * rounds, rounds) - clock) /
		       WHOLE_ROUNDS / p->burst);
}

/* The link of one run is closed before that of the next is opened. */
static bool
cycles_of(uint16_t burst, bool coalesce, uint32_t rounds)
{
	uint64_t *samples = calloc((size_t)SERIES * rounds, sizeof(*samples));
	static struct parts p;
	bool all;

	if (samples == NULL)
		return false;
	memset(&p, 0, sizeof(p));
	p.burst = burst;
	parts_open(&p, coalesce, 0);
	sample(&p, samples, rounds);
	all = p.received == (uint64_t)rounds * burst * (1 + WHOLE_ROUNDS);
	print_cycles(&p, samples, rounds, coalesce ? "coalesce" : "single");
	parts_close(&p);
	free(samples);
	return all;
}

static int
cycles(const char *text)
{
	uint32_t rounds = (uint32_t)strtoul(text, NULL, 10);
	double per_ns = weir_ticks_calibrate(CALIBRATE_NS);
	bool all;

	printf("{\"ticks_per_ns\": %.4f, \"runs\": [", per_ns);
	all = cycles_of(32, false, rounds);
	printf(", ");
	all = cycles_of(32, true, rounds) && all;
	printf(", ");
	all = cycles_of(1, false, rounds) && all;
	printf("]}\n");
	return all ? 0 : 1;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "cycles") == 0)
		return cycles(argv[2]);
	if (argc != 4)
		return 2;
	if (strcmp(argv[1], "idle") == 0)
		return idle(argv[2], argv[3]);
	return messages(argv[1], argv[2], strcmp(argv[3], "coalesce") == 0);
}
