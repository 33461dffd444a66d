/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One side: an application that sends, reads, holds on to messages, ends in
 * its own way, or crashes and begins again. What a driver does for it is in
 * driver.c.
 *
 * The bytes of message n follow from link, direction and n: they are a piece of
 * one pool of random bytes, so nothing needs to be filled.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "world.h"

#define POOL_LEN (17u << 20)

static uint8_t *pool;

static void
pool_init(void)
{
	struct prng prng;

	if (pool != NULL)
		return;
	pool = malloc(POOL_LEN);
	prng_init(&prng, 0, 0);
	for (uint32_t i = 0; i < POOL_LEN; i += 8) {
		uint64_t v = prng_next(&prng);

		memcpy(pool + i, &v, 8);
	}
}

/* Of message `number` that side `from` sends on the link of `at`. */
static uint64_t
msg_hash(const struct side *at, int from, uint32_t number)
{
	return prng_mix(prng_mix(at->link_id * 2 + (uint64_t)from) + number);
}

static uint32_t
msg_len(const struct side *at, int from, uint32_t number)
{
	const struct sim_draw *draw = &at->world->draw;
	uint32_t frag = draw->frag[0] < draw->frag[1] ? draw->frag[0]
						      : draw->frag[1];
	uint64_t hash = msg_hash(at, from, number);
	uint32_t r = (uint32_t)(hash >> 40);
	uint32_t most = draw->msg_max[1 - from];
	uint32_t len;

	if (draw->tiny[from] && r % 16 != 0)
		return r % (most < 256 ? most : 256);
	switch (hash % 8) {
	case 0:
		return r % 9;
	case 1:
		len = frag * (1 + r % 4) + (r >> 8) % 3 - 1;
		break;
	case 2:
		len = r % (most + 1);
		break;
	case 3:
		len = r % (4 * frag);
		break;
	default:
		len = r % (frag + 1);
		break;
	}
	return len < most ? len : most;
}

static const uint8_t *
msg_bytes(const struct side *at, int from, uint32_t number)
{
	return pool + (msg_hash(at, from, number) >> 8) % (POOL_LEN / 2);
}

void
side_init(struct world *world, int index)
{
	struct side *side = &world->sides[index];
	const struct sim_draw *draw = &world->draw;
	uint32_t most;

	pool_init();
	side->world = world;
	side->index = index;
	side->inbox_end = &side->inbox;
	prng_init(&side->app, world->seed, 10 + (uint64_t)index);
	prng_init(&side->net, world->seed, 20 + (uint64_t)index);
	prng_init(&side->evil, world->seed, 30 + (uint64_t)index);
	side->poll_ns = prng_range(&side->net, 100, 5000);
	most = draw->msgs[draw->end[index] == SIM_STOP_RX ? 1 - index : index];
	side->end_at = (uint32_t)prng_below(&side->app, most + 1);
	side_config(side);
	side->mem = aligned_alloc(CONN_ALIGN,
				  (weir_conn_size(&side->config) + 63) & ~63ul);
	if (index == 0)
		side_connect(side);
	if (draw->crash_ns != 0 && draw->crash_side == index)
		side_schedule(side, CLOCK_ZERO + draw->crash_ns);
}

static void
take_back(struct side *side)
{
	const struct conn_tx_msg *msgs;
	uint32_t count;
	void *ref;

	while ((msgs = weir_conn_acked(side->conn, &count)), count != 0) {
		for (uint32_t i = 0; i < count; i++)
			if ((uintptr_t)msgs[i].ref != ++side->popped)
				world_fail(
					side->world,
					"message %lu given back, not %u",
					(unsigned long)(uintptr_t)msgs[i].ref -
						1,
					side->popped - 1);
		weir_conn_pop(side->conn, count);
	}
	while ((ref = weir_conn_pop_dropped_rx(side->conn)) != NULL)
		packet_free(side->world, ref);
}

/* --- the application -------------------------------------------------- */

/* One message of the packet, or of packets that were copied, is released. */
static void
release(struct side *side, struct packet *packet)
{
	bool last = packet != NULL && --packet->holds == 0;

	if (last)
		packet_free(side->world, packet);
	else if (packet != NULL)
		side->world->count->batches_held++;
	weir_conn_rx_release(side->conn, last, 1);
}

static void
hold(struct side *side, struct packet *packet)
{
	struct world *world = side->world;
	uint64_t until = world->now_ns;

	if (prng_chance(&side->app, world->draw.slow[side->index]))
		until += prng_below(&side->app, 5 * MS);
	if (until == world->now_ns || side->held_count == HELD_MAX) {
		release(side, packet);
		return;
	}
	side->held[side->held_count++] = (struct held){ until, packet };
}

/* @return when the next one is due. */
static uint64_t
release_due(struct side *side)
{
	uint64_t next = NEVER;

	for (uint32_t i = 0; i < side->held_count;) {
		struct held held = side->held[i];

		if (held.until_ns > side->world->now_ns) {
			if (held.until_ns < next)
				next = held.until_ns;
			i++;
			continue;
		}
		side->held[i] = side->held[--side->held_count];
		release(side, held.packet);
	}
	return next;
}

/* A whole message has been read. */
static void
note_lap(struct side *side)
{
	struct sim_result *result = side->world->result;

	result->took_ns = side->world->now_ns - CLOCK_ZERO;
	if (side->index == 0 && result->laps_ns != NULL)
		result->laps_ns[side->received - 1] =
			side->world->now_ns - side->pushed_ns;
}

/* Is this piece what the peer's application sent? */
static void
verify(struct side *side, const struct conn_rx_packet *piece)
{
	struct side *sender = side_peer(side);
	uint32_t len = msg_len(side, sender->index, side->received);
	bool first = piece->flags & CONN_RX_FIRST;

	/* A sender that was restarted does not remember, even if its new link
	 * came from a late INIT of the old one. */
	if (!side->world->crashed && side->received >= sender->pushed)
		world_fail(side->world, "message %u was never sent",
			   side->received);
	else if (piece->msg_len != len || piece->offset != side->rx_offset ||
		 first != (side->rx_offset == 0))
		world_fail(side->world, "message %u: %u+%u of %u, not %u of %u",
			   side->received, piece->offset, piece->len,
			   piece->msg_len, side->rx_offset, len);
	else if (memcmp(piece->payload,
			msg_bytes(side, sender->index, side->received) +
				piece->offset,
			piece->len) != 0)
		world_fail(side->world, "message %u: other bytes",
			   side->received);
	side->rx_offset += piece->len;
	if (piece->flags & CONN_RX_LAST) {
		if (side->rx_offset != len)
			world_fail(side->world, "message %u cut short",
				   side->received);
		side->received++;
		note_lap(side);
		side->rx_offset = 0;
	}
}

/* Each message of a batch as if it had come alone. */
static void
receive_batch(struct side *side, const struct conn_rx_packet *batch)
{
	struct wire_records records = conn_rx_records(batch);
	struct packet *packet = batch->ref;
	uint32_t len;

	packet->holds = batch->msg_len;
	for (uint32_t i = 0; i < batch->msg_len; i++) {
		const uint8_t *message = wire_records_next(&records, &len);
		struct conn_rx_packet piece = {
			.payload = message,
			.len = len,
			.msg_len = len,
			.flags = CONN_RX_FIRST | CONN_RX_LAST,
		};

		verify(side, &piece);
		hold(side, packet);
	}
}

static bool
is_asleep(const struct side *side)
{
	const struct sim_draw *draw = &side->world->draw;

	return side->world->now_ns < CLOCK_ZERO + draw->asleep_ns[side->index];
}

static void
app_receive(struct side *side)
{
	const struct conn_rx_packet *next;
	uint32_t most = UINT32_MAX;

	if (is_asleep(side))
		return;
	if (side->world->draw.slow[side->index] > 0.1)
		most = (uint32_t)prng_below(&side->app, 40);
	while (most-- > 0 && (next = weir_conn_rx_peek(side->conn)) != NULL) {
		struct conn_rx_packet piece = *next;

		if (side->rx_state != 0)
			world_fail(side->world, "data after the end");
		weir_conn_rx_consume(side->conn, 1);
		if (piece.flags & CONN_RX_BATCH) {
			receive_batch(side, &piece);
			continue;
		}
		verify(side, &piece);
		((struct packet *)piece.ref)->holds = 1;
		if (piece.flags == (CONN_RX_FIRST | CONN_RX_LAST)) {
			hold(side, piece.ref);
			continue;
		}
		/* A fragment is copied out; its message's credit is kept. */
		packet_free(side->world, piece.ref);
		weir_conn_rx_release(side->conn, 1, 0);
		if (piece.flags & CONN_RX_LAST)
			hold(side, NULL);
	}
	if (weir_conn_rx_peek(side->conn) == NULL) {
		int state = weir_conn_rx_state(side->conn);

		if (side->rx_state != 0 && state != side->rx_state)
			world_fail(side->world, "rx state %d became %d",
				   side->rx_state, state);
		side->rx_state = state;
	}
}

/* Up to count messages, as they lie in a row; a lone one by itself. */
static void
push_row(struct side *side, uint32_t count)
{
	uint32_t room, number = side->pushed;
	struct conn_tx_msg *msgs = weir_conn_push_room(side->conn, &room);
	uint64_t bytes = 0;

	if (count > room)
		count = room;
	side->pushed += count;
	if (count == 1) {
		weir_conn_push(side->conn, (void *)(uintptr_t)side->pushed,
			       msg_bytes(side, side->index, number),
			       msg_len(side, side->index, number));
		return;
	}
	for (uint32_t i = 0; i < count; i++, number++) {
		msgs[i].ref = (void *)(uintptr_t)(number + 1);
		msgs[i].payload = msg_bytes(side, side->index, number);
		msgs[i].len = msg_len(side, side->index, number);
		bytes += msgs[i].len;
	}
	weir_conn_pushed(side->conn, count, bytes);
}

static void
app_send(struct side *side)
{
	struct world *world = side->world;
	uint32_t most = world->draw.msgs[side->index];
	uint32_t burst = (uint32_t)prng_range(&side->app, 1, 64);
	uint32_t turn = side->received + (side->index == 0);

	if (world->draw.trickle[side->index])
		burst = 1;
	if (side->closed || world->now_ns < side->wait_ns)
		return;
	if (world->draw.end[side->index] == SIM_ABORT_TX)
		most = side->end_at;
	if (world->draw.echo && most > turn)
		most = turn;
	if (most > weir_conn_tx_credit(side->conn))
		most = (uint32_t)weir_conn_tx_credit(side->conn);
	if (most > side->pushed + burst)
		most = side->pushed + burst;
	if (side->pushed < most)
		side->pushed_ns = world->now_ns;
	while (side->pushed < most)
		push_row(side, most - side->pushed);
	if (world->draw.eager)
		return;
	if (world->draw.trickle[side->index] || prng_below(&side->app, 8) == 0)
		side->wait_ns =
			world->now_ns + prng_below(&side->app, 300 * US);
}

static bool
is_staying(const struct side *side)
{
	const struct world *world = side->world;

	return world->now_ns < CLOCK_ZERO + world->draw.stay_ns &&
	       weir_conn_status(side->conn) == 0;
}

/* Close in good order when it is time. */
static void
app_close(struct side *side)
{
	struct world *world = side->world;
	enum sim_end end = world->draw.end[side->index];

	if (side->closed || weir_conn_status(side->conn) == -EINPROGRESS ||
	    is_staying(side))
		return;
	if (end == SIM_CLOSE_LAST && side->rx_state == 0)
		return;
	if (side->pushed < world->draw.msgs[side->index] && side->tx_state == 0)
		return;
	if (end == SIM_ABORT_TX)
		return;
	weir_conn_close_tx(side->conn);
	side->closed = true;
}

/* The ends that are not in good order. */
static void
app_end(struct side *side)
{
	enum sim_end end = side->world->draw.end[side->index];
	uint32_t count = end == SIM_STOP_RX ? side->received : side->pushed;

	if (side->ended || end < SIM_ABORT_TX || count < side->end_at ||
	    weir_conn_status(side->conn) != 0)
		return;
	side->ended = true;
	world_trace(side->world, side, "special end %d", end);
	switch (end) {
	case SIM_ABORT_TX:
		side->closed = true;
		side->aborted_ns = side_now(side);
		weir_conn_abort_tx(side->conn, side_now(side));
		break;
	case SIM_STOP_RX:
		weir_conn_stop_rx(side->conn);
		break;
	case SIM_ABORT:
		side->closed = true;
		weir_conn_abort(side->conn, WIRE_E_ABORT, side_now(side));
		break;
	default:
		side->vanished = true;
		break;
	}
}

/* --- both ------------------------------------------------------------- */

static bool
half_open_expired(struct side *side)
{
	return side->index == 1 && side->pushed == 0 && side->received == 0 &&
	       weir_conn_status(side->conn) == -ETIMEDOUT &&
	       weir_conn_finished(side->conn) && !side->opened;
}

static void
drop_held(struct side *side)
{
	while (side->held_count > 0) {
		struct held held = side->held[--side->held_count];

		if (held.packet != NULL && --held.packet->holds == 0)
			packet_free(side->world, held.packet);
	}
}

/* The link is gone, or the whole process: begin again with nothing. */
static void
forget(struct side *side)
{
	drop_held(side);
	if (side->conn != NULL) {
		/* A process that died gives nothing back: only we do. */
		weir_conn_discard(side->conn);
		while (weir_conn_pop_acked(side->conn) != NULL)
			;
		for (void *ref;
		     (ref = weir_conn_pop_dropped_rx(side->conn)) != NULL;)
			packet_free(side->world, ref);
	}
	side->conn = NULL;
	side->pushed = side->popped = side->received = side->rx_offset = 0;
	side->closed = side->ended = false;
	side->rx_state = side->tx_state = 0;
	side->wait_ns = 0;
	side->bytes_in = side->bytes_out = 0;
}

/* The peer was restarted: so must the link. */
static void
begin_again(struct side *side)
{
	struct world *world = side->world;
	int status = weir_conn_status(side->conn);

	if (!world->crashed ||
	    (status != -ETIMEDOUT && status != -ECONNREFUSED))
		world_fail(world, "%c: failed with %d", 'A' + side->index,
			   status);
	weir_conn_stats(side->conn, &side->stats);
	forget(side);
	side->link_id = 0;
	if (side_peer(side)->done)
		side->done = true;
	else if (side->index == 0)
		side_connect(side);
}

static void
look_for_end(struct side *side)
{
	if (half_open_expired(side)) {
		weir_conn_stats(side->conn, &side->stats);
		forget(side);
		return;
	}
	if (!weir_conn_finished(side->conn) || side->held_count != 0)
		return;
	if (side->world->draw.crash_ns != 0 &&
	    weir_conn_status(side->conn) < 0) {
		begin_again(side);
		return;
	}
	side->done = true;
	side->rx_state = weir_conn_rx_state(side->conn);
	side->tx_state = weir_conn_tx_state(side->conn);
	weir_conn_stats(side->conn, &side->stats);
}

static void
vanish(struct side *side)
{
	weir_conn_stats(side->conn, &side->stats);
	side->done = true;
	drop_held(side);
}

/* Crashes when it is time, and comes back. @return false: it is down. */
static bool
alive(struct side *side)
{
	struct world *world = side->world;
	const struct sim_draw *draw = &world->draw;

	if (draw->crash_ns == 0 || draw->crash_side != side->index)
		return true;
	if (!world->crashed && !side_peer(side)->done &&
	    world->now_ns >= CLOCK_ZERO + draw->crash_ns) {
		world_trace(world, side, "crash");
		world->crashed = true;
		world->count->crashes++;
		side->back_ns = world->now_ns + draw->down_ns;
		if (side->conn != NULL)
			weir_conn_stats(side->conn, &side->stats);
		forget(side);
		side_drop_inbox(side);
		side->life++;
		side_listen(side);
		side->link_id = 0;
		side_schedule(side, side->back_ns);
		return false;
	}
	if (world->now_ns < side->back_ns) {
		side_drop_inbox(side);
		side_schedule(side, side->back_ns);
		return false;
	}
	if (world->crashed && side->index == 0 && side->conn == NULL)
		side_connect(side);
	return true;
}

static void
plan_next_poll(struct side *side, uint64_t release_ns)
{
	struct world *world = side->world;
	uint64_t at = side_when(side, weir_conn_deadline(side->conn));

	if (release_ns < at)
		at = release_ns;
	if (side->wait_ns > world->now_ns && side->wait_ns < at)
		at = side->wait_ns;
	if (is_asleep(side) &&
	    at > CLOCK_ZERO + world->draw.asleep_ns[side->index])
		at = CLOCK_ZERO + world->draw.asleep_ns[side->index];
	if (!side->closed && is_staying(side) &&
	    at > CLOCK_ZERO + world->draw.stay_ns)
		at = CLOCK_ZERO + world->draw.stay_ns;
	/* The application still has something to do by itself. */
	if ((weir_conn_rx_peek(side->conn) != NULL && !is_asleep(side)) ||
	    (!side->closed && side->wait_ns <= world->now_ns &&
	     side->pushed < world->draw.msgs[side->index] &&
	     side->pushed < weir_conn_tx_credit(side->conn)))
		at = world->now_ns + side->poll_ns;
	if (world->now_ns < world->draw.heal_ns &&
	    prng_chance(&side->net, world->draw.stall)) {
		at = world->now_ns +
		     prng_below(&side->net, prng_below(&side->net, 8) == 0
						    ? 150 * MS
						    : 20 * MS);
		world->stalls++;
	}
	if (side->starving && at > world->now_ns + side->poll_ns)
		at = world->now_ns + side->poll_ns;
	if (at != NEVER) {
		side->poll_at_ns = 0;
		side_schedule(side, at);
	}
}

void
side_poll(struct side *side)
{
	uint64_t release_ns;
	uint32_t conns;

	if (side->done || !alive(side))
		return;
	side->starving = false;
	side_take_packets(side);
	side_forge(side);
	if (side->conn == NULL) {
		/* Nobody is left who could come. */
		side->done = side->world->crashed && side_peer(side)->done;
		return;
	}
	if (weir_conn_deadline(side->conn) <= side_now(side))
		weir_conn_on_time(side->conn, side_now(side));
	side->opened |= weir_conn_status(side->conn) == 0;
	side->tx_state = weir_conn_tx_state(side->conn);
	app_receive(side);
	release_ns = release_due(side);
	app_send(side);
	app_end(side);
	if (side->vanished) {
		vanish(side);
		return;
	}
	app_close(side);
	side_transmit(side);
	take_back(side);
	check_side(side);
	conns = side->conns;
	look_for_end(side);
	/* A new connection has its own plan already. */
	if (side->conn != NULL && !side->done && side->conns == conns)
		plan_next_poll(side, release_ns);
}

void
side_fini(struct side *side)
{
	if (side->conn != NULL) {
		weir_conn_discard(side->conn);
		take_back(side);
		if (!side->world->failed && !weir_conn_finished(side->conn))
			world_fail(side->world, "not finished after discard");
	}
	side_drop_inbox(side);
	drop_held(side);
	free(side->mem);
}
