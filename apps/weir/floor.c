/* SPDX-License-Identifier: BSD-3-Clause */
/* Raw shared memory, line, line asleep and ring; drawn in floor.h. */

#include "floor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "slices.h"
#include "spin.h"
#include "ticks.h"

#define LINE 64u
#define WORD 8u

/* Cells are returned 64 at a time, but no more than this many bytes: with few
 * and large cells the sender would wait for the receiver and it for him. */
#define RETURN_STEP  64u
#define RETURN_BYTES 8192u

#define CELLS_MAX 1024u

/* Cells of one line: as many as fit the first-level cache beside the work.
 * More are slower, and a floor is the best that the machine can do. */
#define LINE_CELLS_MAX 256u

/* After the meter has stopped, nothing for this long means that no more will
 * come. Shared memory loses nothing: it only ends a run that went wrong. */
#define SINK_QUIET_NS 1000000u

static size_t
cell_bytes(uint32_t size)
{
	return ((size_t)size + WORD + LINE - 1) / LINE * LINE;
}

static void
floor_nothing(struct weir_load *load)
{
	(void)load; /* memory is never under way */
}

static void
floor_close(struct weir_load *load)
{
	free(load);
}

static int
floor_not_this_way(struct weir_load *load, uint32_t n)
{
	(void)load;
	(void)n;
	return -EOPNOTSUPP;
}

/* ---- line: round trips -------------------------------------------------------- */

struct floor_line {
	struct weir_load load;
	uint8_t *to;
	const uint8_t *from;
	size_t word;     /* where in a region the number is */
	uint64_t number; /* of the last message */
};

static void
publish(uint8_t *word, uint64_t number)
{
	/* Release: publishes the payload before it. Pairs with published(). */
	atomic_store_explicit((_Atomic uint64_t *)(void *)word, number,
			      memory_order_release);
}

static uint64_t
published(const uint8_t *word)
{
	return atomic_load_explicit(
		(const _Atomic uint64_t *)(const void *)word,
		memory_order_acquire);
}

static int
line_rounds(struct weir_load *load, uint32_t n)
{
	struct floor_line *line = (struct floor_line *)load;
	struct weir_spin spin = { .limit = load->spin_limit };

	for (uint32_t i = 0; i < n; i++) {
		uint64_t number = ++line->number;

		weir_work_put(load->work, line->to, load->size, number);
		publish(line->to + line->word, number);
		while (published(line->from + line->word) != number)
			if (weir_spin(&spin) != 0)
				return -ETIMEDOUT;
		weir_spin_reset(&spin);
		weir_work_take(load->work, line->from, load->size);
	}
	return 0;
}

static int
line_echo(struct weir_load *load)
{
	struct floor_line *line = (struct floor_line *)load;
	struct weir_spin spin = { .limit = load->spin_limit };

	for (;;) {
		uint64_t number = line->number + 1;

		while (published(line->from + line->word) != number) {
			if (!weir_gate_open(load->gate))
				return 0;
			(void)weir_spin(&spin);
		}
		weir_spin_reset(&spin);
		line->number = number;
		weir_work_take(load->work, line->from, load->size);
		weir_work_echo(load->work, line->to, load->size);
		publish(line->to + line->word, number);
	}
}

static int
line_sink(struct weir_load *load, struct weir_flow *flow)
{
	(void)load;
	(void)flow;
	return -EOPNOTSUPP;
}

static const struct weir_load_ops line_ops = {
	.rounds = line_rounds,
	.echo = line_echo,
	.send = floor_not_this_way,
	.sink = line_sink,
	.settle = floor_nothing,
	.idle = floor_nothing,
	.close = floor_close,
};

size_t
weir_floor_line_bytes(uint32_t size)
{
	return 2 * cell_bytes(size);
}

static void
line_init(struct floor_line *line, const struct weir_load *shape, void *area,
	  bool first)
{
	uint8_t *base = area;

	line->load = *shape;
	line->load.ops = &line_ops;
	line->word = cell_bytes(shape->size) - WORD;
	line->to = base + (first ? 0 : cell_bytes(shape->size));
	line->from = base + (first ? cell_bytes(shape->size) : 0);
}

struct weir_load *
weir_floor_line_open(const struct weir_load *shape, void *area, bool first)
{
	struct floor_line *line = calloc(1, sizeof(*line));

	if (line == NULL)
		return NULL;
	line_init(line, shape, area, first);
	return &line->load;
}

/* ---- line, asleep: wake-ups ---------------------------------------------------- */

/* How long somebody sleeps before he asks himself whether it is over. */
#define SLEEP_MS 1000

struct floor_sleep {
	struct floor_line line; /* first */
	int epoll;              /* holds the eventfd that we sleep on */
	int other;              /* the other side's */
};

static void
ring_other(const struct floor_sleep *sleep)
{
	uint64_t one = 1;

	(void)!write(sleep->other, &one, sizeof(one));
}

/* Each write since the last return is one event, read or not. */
static int
sleep_once(const struct floor_sleep *sleep)
{
	struct epoll_event event;

	return epoll_wait(sleep->epoll, &event, 1, SLEEP_MS);
}

static int
sleep_rounds(struct weir_load *load, uint32_t n)
{
	struct floor_sleep *sleep = (struct floor_sleep *)load;
	struct floor_line *line = &sleep->line;

	for (uint32_t i = 0; i < n; i++) {
		uint64_t number = ++line->number;
		int silent = 0;

		weir_load_think(load);
		weir_work_put(load->work, line->to, load->size, number);
		publish(line->to + line->word, number);
		ring_other(sleep);
		do {
			if (sleep_once(sleep) == 0 &&
			    ++silent == WEIR_SPIN_GIVE_UP_S)
				return -ETIMEDOUT;
		} while (published(line->from + line->word) != number);
		weir_work_take(load->work, line->from, load->size);
	}
	return 0;
}

static int
sleep_echo(struct weir_load *load)
{
	struct floor_sleep *sleep = (struct floor_sleep *)load;
	struct floor_line *line = &sleep->line;

	for (;;) {
		uint64_t number = line->number + 1;

		do {
			if (!weir_gate_open(load->gate))
				return 0;
			(void)sleep_once(sleep);
		} while (published(line->from + line->word) != number);
		line->number = number;
		weir_work_take(load->work, line->from, load->size);
		weir_load_think(load);
		weir_work_echo(load->work, line->to, load->size);
		publish(line->to + line->word, number);
		ring_other(sleep);
	}
}

/* The gate is closed: let the other side see it. */
static void
sleep_idle(struct weir_load *load)
{
	ring_other((struct floor_sleep *)load);
}

static void
sleep_close(struct weir_load *load)
{
	close(((struct floor_sleep *)load)->epoll);
	free(load);
}

static const struct weir_load_ops sleep_ops = {
	.rounds = sleep_rounds,
	.echo = sleep_echo,
	.send = floor_not_this_way,
	.sink = line_sink,
	.settle = floor_nothing,
	.idle = sleep_idle,
	.close = sleep_close,
};

struct weir_load *
weir_floor_sleep_open(const struct weir_load *shape, void *area, bool first,
		      int own, int other)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	struct floor_sleep *sleep = calloc(1, sizeof(*sleep));

	if (sleep == NULL)
		return NULL;
	line_init(&sleep->line, shape, area, first);
	sleep->line.load.ops = &sleep_ops;
	sleep->other = other;
	sleep->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (sleep->epoll >= 0 &&
	    epoll_ctl(sleep->epoll, EPOLL_CTL_ADD, own, &event) == 0)
		return &sleep->line.load;
	if (sleep->epoll >= 0)
		close(sleep->epoll);
	free(sleep);
	return NULL;
}

/* ---- ring: one way ------------------------------------------------------------ */

struct floor_ring {
	struct weir_load load;
	uint8_t *cells;
	_Atomic uint64_t *returned;
	size_t stride;
	size_t word;    /* where in a cell the header is */
	uint64_t count; /* messages so far */
	uint64_t limit; /* sender: as far as there is room */
	uint32_t mask;
	uint32_t step; /* receiver: returns that many cells at once */
};

static uint8_t *
ring_cell(const struct floor_ring *ring, uint64_t count)
{
	return ring->cells + (size_t)(count & ring->mask) * ring->stride;
}

/* Number and length in one word: 0 is never a published header. */
static uint64_t
ring_header(uint64_t count, uint32_t size)
{
	return (count + 1) << 32 | size;
}

static int
ring_room(struct floor_ring *ring)
{
	struct weir_spin spin = { .limit = ring->load.spin_limit };

	/* Acquire: the cells are written again. Pairs with ring_take(). */
	while ((ring->limit = atomic_load_explicit(ring->returned,
						   memory_order_acquire) +
			      ring->mask + 1) == ring->count)
		if (weir_spin(&spin) != 0)
			return -ETIMEDOUT;
	return 0;
}

static int
ring_send(struct weir_load *load, uint32_t n)
{
	struct floor_ring *ring = (struct floor_ring *)load;

	for (uint32_t i = 0; i < n; i++) {
		uint8_t *cell = ring_cell(ring, ring->count);

		if (ring->count == ring->limit && ring_room(ring) != 0)
			return -ETIMEDOUT;
		weir_work_put(load->work, cell, load->size, ring->count);
		publish(cell + ring->word,
			ring_header(ring->count, load->size));
		ring->count++;
	}
	load->sent += n;
	return 0;
}

/* @return 1 a message was taken; 0 none there. */
static int
ring_take(struct floor_ring *ring)
{
	const uint8_t *cell = ring_cell(ring, ring->count);

	if (published(cell + ring->word) !=
	    ring_header(ring->count, ring->load.size))
		return 0;
	weir_work_take(ring->load.work, cell, ring->load.size);
	ring->count++;
	if ((ring->count & (ring->step - 1)) == 0)
		/* Release: done reading. Pairs with ring_room(). */
		atomic_store_explicit(ring->returned, ring->count,
				      memory_order_release);
	return 1;
}

static int
ring_sink(struct weir_load *load, struct weir_flow *flow)
{
	struct floor_ring *ring = (struct floor_ring *)load;
	struct weir_spin spin = { .limit = load->spin_limit };
	uint64_t first = ring->count, quiet_ns = 0;
	struct weir_slices slices;

	weir_slices_begin(&slices, load->gate->slice_ticks, load->size);
	for (;;) {
		if (ring_take(ring) != 0) {
			weir_slices_note(&slices, ring->count - first);
			weir_spin_reset(&spin);
			quiet_ns = 0;
			continue;
		}
		if (!weir_gate_open(load->gate)) {
			uint64_t now_ns = weir_raw_ns();

			if (ring->count - first >= load->gate->sent)
				break;
			if (quiet_ns == 0)
				quiet_ns = now_ns;
			else if (now_ns - quiet_ns > SINK_QUIET_NS)
				break;
		}
		(void)weir_spin_stream(&spin);
	}
	flow->messages = ring->count - first;
	weir_slices_end(&slices, flow);
	return 0;
}

static int
ring_echo(struct weir_load *load)
{
	(void)load;
	return -EOPNOTSUPP;
}

static const struct weir_load_ops ring_ops = {
	.rounds = floor_not_this_way,
	.echo = ring_echo,
	.send = ring_send,
	.sink = ring_sink,
	.settle = floor_nothing,
	.idle = floor_nothing,
	.close = floor_close,
};

uint32_t
weir_floor_ring_cells(uint32_t size, uint32_t capacity)
{
	uint32_t most = cell_bytes(size) == LINE ? LINE_CELLS_MAX : CELLS_MAX;
	uint32_t cells = 1;

	while (cells * 2 <= capacity && cells < most)
		cells *= 2;
	return cells;
}

size_t
weir_floor_ring_bytes(uint32_t size, uint32_t cells)
{
	return LINE + (size_t)cells * cell_bytes(size);
}

struct weir_load *
weir_floor_ring_open(const struct weir_load *shape, void *area, uint32_t cells)
{
	struct floor_ring *ring = calloc(1, sizeof(*ring));

	if (ring == NULL)
		return NULL;
	ring->load = *shape;
	ring->load.ops = &ring_ops;
	ring->returned = area;
	ring->cells = (uint8_t *)area + LINE;
	ring->stride = cell_bytes(shape->size);
	ring->word = ring->stride - WORD;
	ring->mask = cells - 1;
	ring->limit = cells;
	ring->step = RETURN_STEP;
	while (ring->step > 1 && (ring->step > cells / 4 ||
				  ring->step * ring->stride > RETURN_BYTES))
		ring->step /= 2;
	return &ring->load;
}
