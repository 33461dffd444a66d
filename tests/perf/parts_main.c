/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What callgrind counts for budget.py: the instructions below measured().
 *
 *      parts BURST ROUNDS coalesce|single    messages, a link of one thread
 *      parts idle LINKS POLLS                polls of a port with idle links
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"

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

int
main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	if (strcmp(argv[1], "idle") == 0)
		return idle(argv[2], argv[3]);
	return messages(argv[1], argv[2], strcmp(argv[3], "coalesce") == 0);
}
