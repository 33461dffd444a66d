/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One side: what a driver does around a connection, and an application that
 * sends, reads, holds on to messages and ends in its own way.
 *
 * The bytes of message n follow from seed, direction and n: they are a piece of
 * one pool of random bytes, so nothing needs to be filled.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crc32c.h"
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

static uint64_t
msg_hash(const struct side *sender, uint32_t number)
{
	return prng_mix(
		prng_mix(sender->world->seed * 2 + (uint64_t)sender->index) +
		number);
}

uint32_t
side_msg_len(const struct side *sender, uint32_t number)
{
	const struct sim_draw *draw = &sender->world->draw;
	uint32_t frag = draw->frag[0] < draw->frag[1] ? draw->frag[0]
						      : draw->frag[1];
	uint64_t hash = msg_hash(sender, number);
	uint32_t r = (uint32_t)(hash >> 40);
	uint32_t most = draw->msg_max[1 - sender->index];
	uint32_t len;

	if (draw->tiny[sender->index] && r % 16 != 0)
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

const uint8_t *
side_msg_bytes(const struct side *sender, uint32_t number)
{
	return pool + (msg_hash(sender, number) >> 8) % (POOL_LEN / 2);
}

/* --- the driver's part ------------------------------------------------ */

static void
config_init(struct side *side)
{
	const struct sim_draw *draw = &side->world->draw;
	struct conn_config *config = &side->config;
	struct prng prng;
	int i = side->index;

	prng_init(&prng, side->world->seed, 200 + (uint64_t)i);
	weir_conn_config_init(config);
	config->token = prng_next(&prng) << 16 | (uint64_t)(i + 1);
	config->isn = draw->isn[i];
	config->instance = prng_next(&prng);
	config->epoch = 1;
	config->frag_size = draw->frag[i];
	config->rx_window_packets = draw->window[i];
	config->rx_credit_msgs = draw->credit[i];
	config->tx_window_packets = draw->tx_window[i];
	config->tx_msgs = draw->tx_msgs[i];
	config->msg_size_max = draw->msg_max[i];
	config->features_offer = WIRE_FEATURE_ECN;
	if (draw->batch[i])
		config->features_offer |= WIRE_FEATURE_BATCH;
	if (draw->crc[i])
		config->features_offer |= WIRE_FEATURE_CRC32C;
	config->cc = (enum cc_kind)draw->cc[i];
	if (draw->padded && draw->frag[i] >= WIRE_INIT_LEN)
		config->hello_len = (WIRE_HDR_LEN + draw->frag[i]) & ~7u;
	config->max_ack_delay_ns = draw->ack_delay_ns[i];
	if (!draw->keepalive)
		config->keepalive_ns = 0;
	/* Enough to outlive all chaos: giving up has tests of its own. */
	config->accept_tries = 14;
	config->linger_ns = 500 * MS;
	if (weir_conn_config_check(config) != 0)
		world_fail(side->world, "configuration refused");
}

static void
conn_new(struct side *side)
{
	side->conn = weir_conn_init(side->mem, &side->config);
	memset(&side->last, 0, sizeof(side->last));
}

static void
schedule_poll(struct side *side, uint64_t at_ns)
{
	if (at_ns <= side->world->now_ns)
		at_ns = side->world->now_ns + 100;
	/* A poll that is still to come and sooner will do. */
	if (side->poll_at_ns > side->world->now_ns && side->poll_at_ns <= at_ns)
		return;
	side->poll_at_ns = at_ns;
	world_schedule(side->world, at_ns, side->index, NULL);
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
	side->poll_ns = prng_range(&side->net, 100, 5000);
	most = draw->msgs[draw->end[index] == SIM_STOP_RX ? 1 - index : index];
	side->end_at = (uint32_t)prng_below(&side->app, most + 1);
	config_init(side);
	side->mem = aligned_alloc(CONN_ALIGN,
				  (weir_conn_size(&side->config) + 63) & ~63ul);
	if (index == 0) {
		conn_new(side);
		weir_conn_connect(side->conn, side_now(side));
		schedule_poll(side, world->now_ns + 1);
	}
}

void
side_arrive(struct side *side, struct packet *packet)
{
	if (side->vanished || side->done) {
		packet_free(side->world, packet);
		return;
	}
	packet->next = NULL;
	*side->inbox_end = packet;
	side->inbox_end = &packet->next;
	schedule_poll(side, side->world->now_ns + side->poll_ns);
}

/* The same for all packets: what is checked is that bytes are. */
static const uint8_t address[12] = {
	10, 0, 0, 1, 10, 0, 0, 2, 28, 232, 28, 232
};

static void
seal(struct packet *packet, uint8_t flags)
{
	if (!(flags & WIRE_F_TRAILER))
		return;
	wire_put_trailer(packet->bytes + packet->len,
			 crc32c_trailer(address, sizeof(address), packet->bytes,
					packet->len));
	packet->len += WIRE_TRAILER_LEN;
}

/* @return false: a trailer that is not that of the packet. */
static bool
seal_holds(struct side *side, const struct packet *packet,
	   const struct wire_hdr *hdr)
{
	uint32_t len = packet->len - WIRE_TRAILER_LEN;

	if (!(hdr->flags & WIRE_F_TRAILER) ||
	    wire_trailer_is(packet->bytes, packet->len,
			    crc32c_trailer(address, sizeof(address),
					   packet->bytes, len)))
		return true;
	side->crc_caught++;
	return false;
}

/* The listener's part of the server. @return true if the packet was for it. */
static bool
listen(struct side *side, const struct wire_hdr *hdr)
{
	struct conn_init init;
	enum wire_error reason;
	int rc;

	if (wire_hdr_type(hdr) != WIRE_INIT || side->index == 0)
		return side->conn == NULL;
	rc = weir_conn_check_init(&side->config, hdr, &init, &reason);
	if (rc != 0) {
		world_fail(side->world, "INIT refused: %d", rc);
		return true;
	}
	if (side->conn != NULL)
		return !weir_conn_is_same_init(side->conn, &init);
	conn_new(side);
	init.validated = true;
	weir_conn_accept(side->conn, &init, side_now(side));
	return true;
}

static void
take_packets(struct side *side)
{
	struct world *world = side->world;

	while (side->inbox != NULL) {
		struct packet *packet = side->inbox;
		struct wire_hdr hdr;
		enum wire_drop drop;
		int kept = 0;
		bool damaged = packet->damaged;

		side->inbox = packet->next;
		if (side->inbox == NULL)
			side->inbox_end = &side->inbox;
		drop = packet->broken ? WIRE_DROP_CRC
				      : weir_wire_decode(packet->bytes,
							 packet->len, &hdr);
		hdr.marked = packet->marked;
		if (drop == WIRE_OK && !seal_holds(side, packet, &hdr))
			drop = WIRE_DROP_CRC;
		if (drop != WIRE_OK && damaged) {
			packet_free(world, packet);
			continue;
		}
		if (drop != WIRE_OK)
			world_fail(world, "cannot decode: %s",
				   weir_wire_drop_name(drop));
		else if (!listen(side, &hdr))
			kept = weir_conn_on_packet(side->conn, &hdr, packet,
						   side_now(side));
		world_trace(world, side,
			    "<- %s seq %x len %u ack %x win %x cr %u flags "
			    "%02x sack %u%s",
			    weir_wire_type_name(wire_hdr_type(&hdr)), hdr.seq,
			    hdr.payload_len, hdr.ack, hdr.window, hdr.credit,
			    hdr.flags, hdr.sack_words, kept ? " kept" : "");
		if (!kept)
			packet_free(world, packet);
	}
}

/* Is there memory for one more packet? */
static bool
may_send(struct side *side)
{
	struct world *world = side->world;

	if (world->now_ns >= world->draw.heal_ns ||
	    !prng_chance(&side->net, world->draw.starve))
		return true;
	side->starving = true;
	world->count->starved++;
	return false;
}

static void
transmit(struct side *side)
{
	struct world *world = side->world;
	struct conn_tx_packet out;

	while (may_send(side) &&
	       weir_conn_next(side->conn, side_now(side), &out)) {
		struct packet *packet = packet_new(world);
		uint32_t most = out.kind != CONN_TX_CONTROL ? WIRE_DATA_HDR_MAX
				: out.type <= WIRE_ACCEPT   ? PACKET_MAX
							    : WIRE_CONTROL_MAX;

		if (out.hdr_len > most || out.hdr_len % 8 != 0)
			world_fail(world, "header of %u bytes", out.hdr_len);
		if (out.kind != CONN_TX_CONTROL &&
		    (uintptr_t)out.ref <= side->popped)
			world_fail(world, "packet of a message given back");
		memset(packet->bytes, 0xee, out.hdr_len);
		weir_conn_encode(side->conn, &out, packet->bytes);
		if (out.type == WIRE_BATCH)
			weir_conn_gather(side->conn, &out,
					 packet->bytes + out.hdr_len);
		else if (out.payload_len != 0)
			memcpy(packet->bytes + out.hdr_len, out.payload,
			       out.payload_len);
		packet->len = out.hdr_len + out.payload_len;
		seal(packet, out.flags);
		if (out.type == WIRE_BATCH && out.kind == CONN_TX_RETX)
			world->count->batches_again++;
		if (out.sack_words > 1)
			world->count->sack_wide++;
		world_trace(world, side, "-> %s seq %x len %u flags %02x",
			    weir_wire_type_name(out.type), out.seq,
			    out.payload_len, out.flags);
		world_send(world, side->index, packet, out.ect);
	}
}

static void
take_back(struct side *side)
{
	void *ref;

	while ((ref = weir_conn_pop_acked(side->conn)) != NULL) {
		if ((uintptr_t)ref != ++side->popped)
			world_fail(side->world,
				   "message %lu given back, not %u",
				   (unsigned long)(uintptr_t)ref - 1,
				   side->popped - 1);
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

/* Is this piece what the peer's application sent? */
static void
verify(struct side *side, const struct conn_rx_packet *piece)
{
	struct side *sender = side_peer(side);
	uint32_t len = side_msg_len(sender, side->received);
	bool first = piece->flags & CONN_RX_FIRST;

	if (side->received >= sender->pushed)
		world_fail(side->world, "message %u was never sent",
			   side->received);
	else if (piece->msg_len != len || piece->offset != side->rx_offset ||
		 first != (side->rx_offset == 0))
		world_fail(side->world, "message %u: %u+%u of %u, not %u of %u",
			   side->received, piece->offset, piece->len,
			   piece->msg_len, side->rx_offset, len);
	else if (memcmp(piece->payload,
			side_msg_bytes(sender, side->received) + piece->offset,
			piece->len) != 0)
		world_fail(side->world, "message %u: other bytes",
			   side->received);
	side->rx_offset += piece->len;
	if (piece->flags & CONN_RX_LAST) {
		if (side->rx_offset != len)
			world_fail(side->world, "message %u cut short",
				   side->received);
		side->received++;
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

static void
app_receive(struct side *side)
{
	const struct conn_rx_packet *next;
	uint32_t most = UINT32_MAX;

	if (side->world->draw.slow[side->index] > 0.1)
		most = (uint32_t)prng_below(&side->app, 40);
	while (most-- > 0 && (next = weir_conn_rx_peek(side->conn)) != NULL) {
		struct conn_rx_packet piece = *next;

		if (side->rx_state != 0)
			world_fail(side->world, "data after the end");
		weir_conn_rx_consume(side->conn);
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

static void
app_send(struct side *side)
{
	struct world *world = side->world;
	uint32_t most = world->draw.msgs[side->index];
	uint32_t burst = (uint32_t)prng_range(&side->app, 1, 64);

	if (side->closed || world->now_ns < side->wait_ns)
		return;
	if (world->draw.end[side->index] == SIM_ABORT_TX)
		most = side->end_at;
	while (side->pushed < most && burst-- > 0 &&
	       side->pushed < weir_conn_tx_credit(side->conn)) {
		uint32_t number = side->pushed++;

		weir_conn_push(side->conn, (void *)(uintptr_t)side->pushed,
			       side_msg_bytes(side, number),
			       side_msg_len(side, number));
	}
	if (prng_below(&side->app, 8) == 0)
		side->wait_ns =
			world->now_ns + prng_below(&side->app, 300 * US);
}

/* Close in good order when it is time. */
static void
app_close(struct side *side)
{
	struct world *world = side->world;
	enum sim_end end = world->draw.end[side->index];

	if (side->closed || weir_conn_status(side->conn) == -EINPROGRESS)
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
	       weir_conn_finished(side->conn) && side->conn->tries > 13;
}

static void
look_for_end(struct side *side)
{
	if (half_open_expired(side)) {
		side->conn = NULL;
		return;
	}
	if (!weir_conn_finished(side->conn) || side->held_count != 0)
		return;
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
	while (side->held_count > 0) {
		struct held held = side->held[--side->held_count];

		if (held.packet != NULL && --held.packet->holds == 0)
			packet_free(side->world, held.packet);
	}
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
	/* The application still has something to do by itself. */
	if (weir_conn_rx_peek(side->conn) != NULL ||
	    (!side->closed && side->wait_ns <= world->now_ns &&
	     side->pushed < world->draw.msgs[side->index] &&
	     side->pushed < weir_conn_tx_credit(side->conn)))
		at = world->now_ns + side->poll_ns;
	if (world->now_ns < world->draw.heal_ns &&
	    prng_chance(&side->net, world->draw.stall))
		at = world->now_ns +
		     prng_below(&side->net, prng_below(&side->net, 8) == 0
						    ? 150 * MS
						    : 20 * MS);
	if (side->starving && at > world->now_ns + side->poll_ns)
		at = world->now_ns + side->poll_ns;
	if (at != NEVER) {
		side->poll_at_ns = 0;
		schedule_poll(side, at);
	}
}

void
side_poll(struct side *side)
{
	uint64_t release_ns;

	if (side->done)
		return;
	side->starving = false;
	take_packets(side);
	if (side->conn == NULL)
		return;
	if (weir_conn_deadline(side->conn) <= side_now(side))
		weir_conn_on_time(side->conn, side_now(side));
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
	transmit(side);
	take_back(side);
	check_side(side);
	look_for_end(side);
	if (side->conn != NULL && !side->done)
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
	while (side->inbox != NULL) {
		struct packet *packet = side->inbox;

		side->inbox = packet->next;
		packet_free(side->world, packet);
	}
	while (side->held_count > 0) {
		struct held held = side->held[--side->held_count];

		if (held.packet != NULL)
			packet_free(side->world, held.packet);
	}
	free(side->mem);
}
