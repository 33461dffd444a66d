/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The wire, the clock, and the run of one seed.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "world.h"

#define FINISH_NS (60 * SEC)

void
world_fail(struct world *world, const char *format, ...)
{
	va_list args;

	if (world->failed)
		return;
	world->failed = true;
	fprintf(stderr,
		"seed %llu at %.3f us: ", (unsigned long long)world->seed,
		(double)world->now_ns / 1e3);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n  replay: %s --seed %llu --trace\n",
		program_invocation_name, (unsigned long long)world->seed);
}

void
world_trace(struct world *world, const struct side *side, const char *format,
	    ...)
{
	va_list args;

	if (!world->trace)
		return;
	printf("%12.3f %c ", (double)world->now_ns / 1e3, 'A' + side->index);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

struct packet *
packet_new(struct world *world)
{
	struct packet *packet = world->spare;

	if (packet != NULL)
		world->spare = packet->next;
	else
		packet = malloc(sizeof(*packet));
	world->packets_out++;
	return packet;
}

void
packet_free(struct world *world, struct packet *packet)
{
	/* Whoever reads it later reads nonsense. */
	memset(packet->bytes, 0xdd, 64);
	packet->next = world->spare;
	world->spare = packet;
	world->packets_out--;
}

/* --- the clock -------------------------------------------------------- */

static bool
event_before(const struct event *a, const struct event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

void
world_schedule(struct world *world, uint64_t at_ns, int side,
	       struct packet *packet)
{
	struct event event = { at_ns, world->order++, packet, side };
	uint32_t i = world->heap_len++;

	if (world->heap_len > world->heap_size) {
		world->heap_size = 2 * world->heap_size + 64;
		world->heap =
			realloc(world->heap, world->heap_size * sizeof(event));
	}
	while (i > 0 && event_before(&event, &world->heap[(i - 1) / 2])) {
		world->heap[i] = world->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	world->heap[i] = event;
}

static struct event
next_event(struct world *world)
{
	struct event first = world->heap[0];
	struct event last = world->heap[--world->heap_len];
	uint32_t i = 0;

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= world->heap_len)
			break;
		if (child + 1 < world->heap_len &&
		    event_before(&world->heap[child + 1], &world->heap[child]))
			child++;
		if (!event_before(&world->heap[child], &last))
			break;
		world->heap[i] = world->heap[child];
		i = child;
	}
	world->heap[i] = last;
	return first;
}

/* --- the wire --------------------------------------------------------- */

static bool
chaos(const struct world *world)
{
	return world->now_ns < world->draw.heal_ns;
}

/* Now and then the wire is cut, one way or both. */
static void
look_for_cuts(struct world *world)
{
	while (world->cut_look_ns < world->now_ns) {
		world->cut_look_ns += MS;
		if (!prng_chance(&world->net, world->draw.partition))
			continue;
		uint64_t until =
			world->cut_look_ns + prng_below(&world->net, 20 * MS);
		uint64_t ways = prng_range(&world->net, 1, 3);

		for (int dir = 0; dir < 2; dir++)
			if (ways >> dir & 1)
				world->cut_until_ns[dir] = until;
	}
}

static struct packet *
copy(struct world *world, const struct packet *packet)
{
	struct packet *twin = packet_new(world);

	twin->len = packet->len;
	twin->marked = packet->marked;
	twin->damaged = false;
	twin->broken = false;
	twin->late = false;
	memcpy(twin->bytes, packet->bytes, packet->len);
	return twin;
}

/* A queue of more than a round trip, behind which acknowledgements wait as well,
 * looks like a silence. */
static void
look_for_jam(struct world *world, int dir, uint64_t wait_ns)
{
	bool jam = wait_ns > world->draw.delay_ns[0] + world->draw.delay_ns[1];

	world->jams += jam && !world->in_jam[dir];
	world->in_jam[dir] = jam;
}

/* @return when it arrives; takes the wire's rate and order into account. */
static uint64_t
arrival(struct world *world, int dir)
{
	struct sim_draw *draw = &world->draw;
	uint64_t at = world->now_ns;

	if (world->free_at_ns[dir] > at)
		at = world->free_at_ns[dir];
	look_for_jam(world, dir, at - world->now_ns);
	at += draw->packet_ns;
	world->free_at_ns[dir] = at;
	at += draw->delay_ns[dir];
	if (chaos(world) && prng_chance(&world->net, draw->reorder[dir])) {
		world->hurt++;
		return at + prng_below(&world->net, 300 * US);
	}
	if (chaos(world) && draw->jitter_ns != 0)
		at += prng_below(&world->net, draw->jitter_ns);
	/* No overtaking but by the draw above. */
	if (at < world->last_ns[dir])
		at = world->last_ns[dir];
	world->last_ns[dir] = at;
	return at;
}

/* Packets on the wire before this one. */
static uint64_t
queued(const struct world *world, int dir)
{
	if (world->draw.packet_ns == 0 ||
	    world->free_at_ns[dir] <= world->now_ns)
		return 0;
	return (world->free_at_ns[dir] - world->now_ns) / world->draw.packet_ns;
}

/* Gilbert and Elliott: spells in which most packets are lost. */
static bool
in_bad_spell(struct world *world, int dir)
{
	if (world->draw.burst[dir] == 0)
		return false;
	if (prng_chance(&world->net,
			world->bad[dir] ? 0.1 : world->draw.burst[dir]))
		world->count->bad_spells += world->bad[dir] = !world->bad[dir];
	return world->bad[dir] && prng_chance(&world->net, 0.8);
}

static bool
is_lost(struct world *world, int dir)
{
	struct sim_draw *draw = &world->draw;

	if (!chaos(world))
		return false;
	look_for_cuts(world);
	if (world->now_ns < world->cut_until_ns[dir])
		return true;
	if (queued(world, dir) > draw->queue || in_bad_spell(world, dir))
		return true;
	return prng_chance(&world->net, draw->loss[dir]);
}

/* @return when the copy arrives, if there is one. */
static uint64_t
duplicate(struct world *world, int from, const struct packet *packet)
{
	struct sim_draw *draw = &world->draw;
	uint64_t later = prng_below(&world->net, 500 * US);
	struct packet *twin;

	if (!chaos(world) || !prng_chance(&world->net, draw->dup[from]))
		return NEVER;
	twin = copy(world, packet);
	world->count->duplicated++;
	world->hurt++;
	if (prng_chance(&world->net, draw->dup_late)) {
		later = prng_below(&world->net, draw->late_ns);
		twin->late = later > SEC;
	}
	later += world->now_ns + draw->delay_ns[from];
	world_schedule(world, later, 1 - from, twin);
	return later;
}

/* Is the path too narrow for it now? */
static bool
is_too_long(struct world *world, int from, const struct packet *packet)
{
	const struct sim_draw *draw = &world->draw;

	if (draw->mtu == 0 || (!chaos(world) && !draw->mtu_stays) ||
	    packet->len <= draw->mtu || !(draw->mtu_ways >> from & 1) ||
	    world->now_ns < CLOCK_ZERO + draw->mtu_ns)
		return false;
	world->count->too_long++;
	return true;
}

/*
 * Bits turn over, ends go missing. UDP's checksum finds most of it; what has a
 * trailer gets past it here every other time, so that CRC32C has to find it.
 */
static void
damage(struct world *world, struct packet *packet)
{
	const struct sim_draw *draw = &world->draw;
	bool sealed = (packet->bytes[1] & WIRE_F_TRAILER) && packet->len > 44;
	bool hurt = false;

	if (!chaos(world))
		return;
	if (prng_chance(&world->net, draw->flip)) {
		uint64_t bit = prng_below(&world->net, packet->len * 8);

		packet->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		world->count->flipped++;
		hurt = true;
	}
	if (prng_chance(&world->net, draw->cut_short)) {
		packet->len = (uint32_t)prng_below(&world->net, packet->len);
		world->count->cut_short++;
		hurt = true;
	}
	if (!hurt)
		return;
	world->hurt++;
	packet->damaged = true;
	packet->broken = !sealed || prng_below(&world->net, 2) == 0;
}

/* @return when it arrives as it was sent, or NEVER. */
uint64_t
world_send(struct world *world, int from, struct packet *packet, bool ect)
{
	uint64_t at, twin_at;

	world->count->packets++;
	packet->marked = ect && world->draw.mark_at != 0 &&
			 queued(world, from) >= world->draw.mark_at;
	world->count->marked += packet->marked;
	packet->damaged = false;
	packet->broken = false;
	packet->late = false;
	if (is_too_long(world, from, packet) || is_lost(world, from)) {
		world->count->lost++;
		world->hurt++;
		world->count->fin_lost += (packet->bytes[0] & 15) == WIRE_FIN;
		world_trace(world, &world->sides[from], "  ... lost");
		packet_free(world, packet);
		return NEVER;
	}
	twin_at = duplicate(world, from, packet);
	damage(world, packet);
	at = arrival(world, from);
	world_schedule(world, at, 1 - from, packet);
	if (packet->damaged || at > twin_at)
		return twin_at;
	return at;
}

/* --- one seed --------------------------------------------------------- */

static void
add_counts(struct world *world)
{
	struct sim_count *count = world->count;

	for (int i = 0; i < 2; i++) {
		const struct conn_stats *s = &world->sides[i].stats;

		count->msgs += world->sides[i].received;
		count->tlp += s->tlp;
		count->rto += s->rto;
		count->lost_sack += s->lost_sack;
		count->lost_time += s->lost_time;
		count->retx += s->tx_retx;
		count->dup_dropped += s->drops[CONN_DROP_DUPLICATE];
		count->window_closed += s->window_full;
		count->probes += s->probes;
		count->probe_healed += s->probe_healed;
		count->handshake_retx += s->handshake_retx;
		count->stale += s->ack_stale;
		count->reorder_seen += s->reorder_seen;
		count->spurious += s->spurious;
		count->batches += s->tx_batches;
		count->pace_waits += s->pace_waits;
		count->crc_caught += world->sides[i].crc_caught;
		(&count->end_close)[world->draw.end[i]]++;
		count->recoveries += s->recoveries;
		count->cwnd_full += s->cwnd_full;
		count->tx_marked += s->tx_marked;
		count->pauses += s->pauses;
	}
}

static void
step(struct world *world)
{
	struct event event = next_event(world);
	struct side *side = &world->sides[event.side];

	world->now_ns = event.at_ns;
	world->count->events++;
	if (event.packet != NULL)
		side_arrive(side, event.packet);
	else if (event.at_ns == side->poll_at_ns)
		side_poll(side);
}

static void
world_fini(struct world *world)
{
	while (world->heap_len > 0) {
		struct event event = next_event(world);

		if (event.packet != NULL)
			packet_free(world, event.packet);
	}
	for (int i = 0; i < 2; i++)
		side_fini(&world->sides[i]);
	if (world->packets_out != 0)
		world_fail(world, "%llu packets leaked",
			   (unsigned long long)world->packets_out);
	while (world->spare != NULL) {
		struct packet *next = world->spare->next;

		free(world->spare);
		world->spare = next;
	}
	free(world->heap);
}

int
sim_run(uint64_t seed, bool trace, struct sim_count *count)
{
	struct sim_result result = { 0 };
	struct sim_draw draw;

	sim_draw(seed, &draw);
	return sim_run_draw(seed, &draw, trace, count, &result);
}

int
sim_run_draw(uint64_t seed, const struct sim_draw *draw, bool trace,
	     struct sim_count *count, struct sim_result *result)
{
	static struct world world;
	uint64_t limit_ns;

	memset(&world, 0, sizeof(world));
	world.seed = seed;
	world.trace = trace;
	world.count = count;
	world.now_ns = CLOCK_ZERO;
	world.cut_look_ns = world.now_ns;
	world.result = result;
	world.draw = *draw;
	world.draw.heal_ns += world.now_ns;
	limit_ns = world.draw.heal_ns + FINISH_NS;
	prng_init(&world.net, seed, 1);
	for (int i = 0; i < 2; i++)
		side_init(&world, i);
	while (!world.failed && world.heap_len > 0 &&
	       !(world.sides[0].done && world.sides[1].done)) {
		step(&world);
		if (world.now_ns > limit_ns)
			world_fail(&world, "not finished %llu s after healing",
				   (unsigned long long)(FINISH_NS / SEC));
	}
	if (!world.failed)
		check_end(&world);
	result->srtt_ns = world.sides[0].stats.srtt_ns;
	add_counts(&world);
	world_fini(&world);
	return world.failed ? -1 : 0;
}
