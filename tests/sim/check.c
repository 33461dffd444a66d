/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What must hold after every poll, and what must have come of it at the end.
 */
#include <errno.h>
#include "world.h"

static uint32_t
count_bits(const struct bitring *ring)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i <= ring->mask / 64; i++)
		count += (uint32_t)__builtin_popcountll(ring->words[i]);
	return count;
}

/* Windows and credit: nobody overruns, nothing retreats. */
static void
check_flow(struct side *side, const struct conn_gauge *now)
{
	const struct conn_gauge *last = &side->last;
	const struct weir_conn *conn = side->conn;
	uint64_t fin = conn->tx.fin_sent;

	if (now->snd_nxt > now->snd_limit + fin && conn->tx_error == 0)
		world_fail(side->world, "sent beyond the window");
	if (now->tx_pushed > now->tx_credit)
		world_fail(side->world, "pushed beyond the credit");
	if (now->rx_queued + now->rx_parked + now->rx_held >
		    side->config.rx_window_packets &&
	    !conn->rx.stopped)
		world_fail(side->world, "%u + %u + %u packets of storage",
			   now->rx_queued, now->rx_parked, now->rx_held);
	if (now->snd_una < last->snd_una || now->snd_nxt < last->snd_nxt ||
	    now->snd_limit < last->snd_limit ||
	    now->tx_credit < last->tx_credit || now->rcv_nxt < last->rcv_nxt ||
	    now->rcv_limit < last->rcv_limit ||
	    now->rx_credit < last->rx_credit)
		world_fail(side->world, "something retreated");
	if (last->snd_nxt != 0 && last->snd_nxt >> 32 != now->snd_nxt >> 32)
		side->world->count->seq_wrapped++;
	side->world->count->credit_wrapped += now->tx_credit >> 16 !=
					      last->tx_credit >> 16;
}

/*
 * No place is lost and none is made up: each message of either pool is free,
 * under way, or with the application, by the application's own count.
 */
static void
check_pools(struct side *side, const struct conn_gauge *now)
{
	const struct weir_conn *conn = side->conn;
	uint64_t slots = side->pushed - side->popped;
	uint64_t places = side->popped + side->config.tx_msgs;
	uint64_t permits = now->tx_credit < places ? now->tx_credit : places;
	uint64_t back = side->received - side->held_count;

	if (conn->state != CONN_OPEN)
		return;
	if (slots > side->config.tx_msgs || now->tx_pushed != side->pushed ||
	    now->tx_popped != side->popped)
		world_fail(side->world, "%llu of %u slots are in use",
			   (unsigned long long)slots, side->config.tx_msgs);
	if (weir_conn_tx_credit(conn) != permits)
		world_fail(side->world, "%llu permits ever, not %llu",
			   (unsigned long long)weir_conn_tx_credit(conn),
			   (unsigned long long)permits);
	/* Who has the end needs nothing more. */
	if (conn->rx.stopped || conn->rx.ended)
		return;
	if (now->rcv_room + now->rx_queued + now->rx_held !=
	    now->rcv_nxt + side->config.rx_window_packets)
		world_fail(side->world,
			   "%u + %u packets do not fill the window",
			   now->rx_queued, now->rx_held);
	if (now->rx_credit_room != back + side->config.rx_credit_msgs)
		world_fail(side->world, "room for %llu messages, not %llu",
			   (unsigned long long)now->rx_credit_room,
			   (unsigned long long)back +
				   side->config.rx_credit_msgs);
}

/* Books of the send window. */
static void
check_books(struct side *side, const struct conn_gauge *now)
{
	const struct arq_tx *tx = &side->conn->tx;

	if (count_bits(&tx->sacked_bits) != now->sacked ||
	    count_bits(&tx->lost_bits) != now->lost)
		world_fail(side->world, "sacked %u, lost %u: not as flagged",
			   now->sacked, now->lost);
	if (now->in_flight !=
	    (uint32_t)(now->snd_nxt - now->snd_una) - now->sacked - now->lost)
		world_fail(side->world, "%u in flight: others are not",
			   now->in_flight);
	if (now->in_flight > tx->window || tx->cwnd > tx->window)
		world_fail(side->world, "%u in flight of %u", now->in_flight,
			   tx->window);
	if (side->conn->rx.bits.words != NULL &&
	    count_bits(&side->conn->rx.bits) != now->rx_parked)
		world_fail(side->world, "%u parked: not as flagged",
			   now->rx_parked);
}

/* Whoever stands still, though there is room, must have been told. */
static void
check_told(struct side *side, const struct conn_gauge *now)
{
	const struct weir_conn *conn = side->conn;

	if (conn->state != CONN_OPEN || conn->rx.ended || conn->rx.stopped ||
	    side->starving)
		return;
	if (now->rcv_nxt == now->rcv_limit && now->rcv_room > now->rcv_limit)
		world_fail(side->world, "a closed window opened in silence");
	if (now->rx_started == now->rx_credit &&
	    now->rx_credit_room > now->rx_credit)
		world_fail(side->world, "credit came back in silence");
	if (weir_conn_wants_tx(conn))
		world_fail(side->world, "still wants to send (%x)", conn->due);
}

/* Clocks that are echoed or judged by are the newest, never older ones. */
static void
check_clocks(struct side *side)
{
	const struct weir_conn *conn = side->conn;

	if (conn->state == CONN_OPEN && side->last.rcv_nxt != 0 &&
	    side_now(side) - side->last_ns < SEC &&
	    ((int32_t)(conn->echo_ts - side->echo_ts) < 0 ||
	     (int32_t)(conn->ack_ts - side->ack_ts) < 0))
		world_fail(side->world, "an older clock is used");
	side->echo_ts = conn->echo_ts;
	side->ack_ts = conn->ack_ts;
}

/* What recovery owes to whoever waits. */
static void
check_recovery(struct side *side, const struct conn_gauge *now)
{
	const struct weir_conn *conn = side->conn;
	const struct arq_tx *tx = &conn->tx;
	const struct tx_slot *first = arq_tx_slot(tx, tx->una);

	if (conn->state != CONN_OPEN)
		return;
	if (now->sacked != 0 && !tx->reorder_seen && first->tries == 0 &&
	    !bitring_test(&tx->lost_bits, tx->una) &&
	    tx->sack_hi > tx->una + ARQ_PACKET_THRESHOLD)
		world_fail(side->world, "%llu arrived after it: not lost yet",
			   (unsigned long long)(tx->sack_hi - tx->una));
	if (conn->rto_times != 0 && conn->progress_ns > conn->rto_fired_ns &&
	    conn->stats.pauses == 0 && !conn->peer_stopped)
		world_fail(side->world, "backs off, though there was progress");
	if (conn->cc.gap_ns != 0 && arq_tx_can_send(tx) && !side->starving &&
	    conn->pace_ns < weir_conn_deadline(conn) &&
	    conn->pace_ns > side_now(side))
		world_fail(side->world, "nobody wakes who waits for its turn");
	if (weir_conn_blocked(conn) && !side->starving &&
	    !(conn->due & DUE_PING) &&
	    conn->timers.at[TIMER_PROBE] == TIMER_NEVER &&
	    conn->timers.at[TIMER_LOSS] == TIMER_NEVER)
		world_fail(side->world, "blocked, and will never ask");
	if (side->aborted_ns != 0 && arq_tx_has_unsent(tx) &&
	    side_now(side) > side->aborted_ns + conn->config.linger_ns)
		world_fail(side->world, "aborted, and waits for the peer");
	if (tx->una != tx->nxt && first->type != WIRE_FIN &&
	    (uintptr_t)tx->msgs[first->msg].ref <= side->popped)
		world_fail(side->world, "given back before it has arrived");
}

/* What one side believes, and the other one knows. */
static void
check_agreement(struct side *side, const struct conn_gauge *now)
{
	const struct weir_conn *conn = side->conn;
	const struct side *peer = side_peer(side);

	if (conn->state != CONN_OPEN)
		return;
	if (conn->limits.features & ~side->config.features_offer)
		world_fail(side->world, "a feature that was not offered");
	if (now->rx_queued == 0 && side->rx_offset == 0 && !conn->rx.stopped &&
	    now->rx_started != side->received)
		world_fail(side->world, "%llu messages, but %u were read",
			   (unsigned long long)now->rx_started, side->received);
	if (conn->tx_done && !side->world->crashed && !peer->done &&
	    peer->conn != NULL && peer->conn->state == CONN_OPEN &&
	    !peer->conn->rx.ended)
		world_fail(side->world, "done, but the peer lacks the end");
}

void
check_side(struct side *side)
{
	struct conn_gauge now;

	weir_conn_gauge(side->conn, &now);
	/* A failed connection has dropped its books. */
	if (side->conn->state != CONN_FAILED)
		check_flow(side, &now);
	check_pools(side, &now);
	check_books(side, &now);
	check_told(side, &now);
	check_clocks(side);
	check_recovery(side, &now);
	check_agreement(side, &now);
	if (side->conn->cc.gap_ns > side->conn->rtt.srtt_ns)
		side->world->count->below_one++;
	if (side_now(side) >> 38 != side->last_ns >> 38 && side->last_ns != 0)
		side->world->count->ts_wrapped++;
	side->last_ns = side_now(side);
	if (!weir_conn_finished(side->conn) && side->conn->state != CONN_IDLE &&
	    !side->conn->over && weir_conn_deadline(side->conn) == CONN_NEVER)
		world_fail(side->world, "alive without a deadline");
	side->last = now;
}

/* One direction: what the receiver has, compared with what was sent. */
static void
check_direction(struct side *tx)
{
	struct world *world = tx->world;
	struct side *rx = side_peer(tx);
	enum sim_end tx_end = world->draw.end[tx->index];
	enum sim_end rx_end = world->draw.end[rx->index];
	bool calm = tx_end < SIM_ABORT && rx_end < SIM_ABORT;

	/* Only one of them was left after a restart; maybe a late INIT of the
	 * other was heard. */
	if (world->crashed &&
	    (tx->link_id != rx->link_id || !rx->opened || !tx->opened))
		return;

	if (calm && rx_end == SIM_STOP_RX) {
		if (tx->tx_state != -ECONNRESET &&
		    tx->tx_state != CONN_TX_DONE && tx_end != SIM_ABORT_TX)
			world_fail(world, "%c: stopped peer, tx state %d",
				   'A' + tx->index, tx->tx_state);
		return;
	}
	if (calm && tx_end == SIM_ABORT_TX) {
		if (rx->rx_state != -ECONNRESET)
			world_fail(world, "%c: aborted peer, rx state %d",
				   'A' + rx->index, rx->rx_state);
		return;
	}
	if (rx->rx_state == CONN_EOF &&
	    rx->received != world->draw.msgs[tx->index] && tx_end != SIM_VANISH)
		world_fail(world, "%c: EOF after %u of %u", 'A' + rx->index,
			   rx->received, world->draw.msgs[tx->index]);
	if (tx->tx_state == CONN_TX_DONE && !rx->vanished &&
	    rx->received != world->draw.msgs[tx->index] && rx_end != SIM_ABORT)
		world_fail(world, "%c: closed, but %u of %u arrived",
			   'A' + tx->index, rx->received,
			   world->draw.msgs[tx->index]);
	if (calm && (rx->rx_state != CONN_EOF || tx->tx_state != CONN_TX_DONE))
		world_fail(world, "%c: ended with rx %d, tx %d of %u/%u",
			   'A' + tx->index, rx->rx_state, tx->tx_state,
			   rx->received, world->draw.msgs[tx->index]);
	if (rx->done && !rx->vanished && rx->rx_state == 0)
		world_fail(world, "%c: no end", 'A' + rx->index);
}

/* Whoever reads at once never makes the sender ask for more room. STOP is
 * repeated by the same timer until the peer ends. */
static bool
may_not_ask(const struct side *side)
{
	const struct sim_draw *draw = &side->world->draw;
	int reader = 1 - side->index;

	return draw->slow[reader] == 0 && draw->asleep_ns[reader] == 0 &&
	       draw->end[side->index] != SIM_STOP_RX;
}

/* On a wire without faults nothing may look like recovery. */
static void
check_no_recovery(struct side *side)
{
	const struct conn_stats *s = &side->stats;

	if (s->rto + s->tlp + s->tx_retx + s->lost_sack + s->lost_time +
		    s->lost_rto + s->reorder_seen + s->handshake_retx +
		    s->pauses + s->ack_stale + s->rx_reordered + s->spurious +
		    s->drops[CONN_DROP_DUPLICATE] +
		    may_not_ask(side) * s->probes !=
	    0)
		world_fail(side->world,
			   "%c: recovery without faults: rto %llu tlp %llu "
			   "retx %llu dup %llu hello %llu stale %llu",
			   'A' + side->index, (unsigned long long)s->rto,
			   (unsigned long long)s->tlp,
			   (unsigned long long)s->tx_retx,
			   (unsigned long long)s->drops[CONN_DROP_DUPLICATE],
			   (unsigned long long)s->handshake_retx,
			   (unsigned long long)s->ack_stale);
}

/*
 * A copy of an older repair that comes so late that it looks like the newer one
 * makes all look lost that was sent between them: so many in one go.
 */
#define MISTAKEN 32

/*
 * Each repair has its cause. Of what the wire lost, damaged or let others
 * overtake any copy is repaired once. What would have arrived by itself is sent
 * again by a probe, since a time-out struck it, or, rarely, by mistake. And a
 * silence that ends with a probe, or a probe and then a time-out, has something
 * hurt in it, a queue longer than a round trip, or a side that did not look.
 */
static void
check_economy(const struct side *side)
{
	const struct conn_stats *s = &side->stats;
	uint64_t hurt = side->world->hurt, jams = side->world->jams;

	if (side->world->crashed)
		return;
	if (side->needless > s->tlp + s->lost_rto + hurt / 8 + MISTAKEN)
		world_fail(side->world,
			   "%c: %llu needless repairs of %llu, %llu were hurt",
			   'A' + side->index,
			   (unsigned long long)side->needless,
			   (unsigned long long)s->tx_retx,
			   (unsigned long long)hurt);
	if (s->tlp + s->rto > 2 * (hurt + jams) + side->world->stalls + 4)
		world_fail(
			side->world,
			"%c: %llu probes, %llu time-outs for %llu hurt, %llu "
			"jams",
			'A' + side->index, (unsigned long long)s->tlp,
			(unsigned long long)s->rto, (unsigned long long)hurt,
			(unsigned long long)jams);
}

static bool
ended_narrow(const struct side *side)
{
	return weir_conn_error_code(side->conn) == WIRE_E_NARROW;
}

/*
 * A path that stays narrow ends a link that sends long packets, and no other:
 * whoever had looked at set-up sends none. @return it was so.
 */
static bool
check_narrow(struct world *world)
{
	const struct sim_draw *draw = &world->draw;
	bool judged = false;

	if (!draw->mtu_stays)
		return false;
	for (int i = 0; i < 2; i++) {
		const struct side *side = &world->sides[i];

		if (!ended_narrow(side))
			continue;
		if (!ended_narrow(side_peer(side)))
			world_fail(world, "%c: ended, and does not say why",
				   'B' - i);
		if (weir_conn_status(side->conn) != -ETIMEDOUT)
			continue;
		judged = true;
		if (!(draw->mtu_ways >> i & 1))
			world_fail(world, "%c: its path is wide", 'A' + i);
		if (draw->mtu_ns == 0 && draw->padded)
			world_fail(world, "%c: the set-up had seen it",
				   'A' + i);
	}
	world->count->narrow += judged;
	return judged;
}

void
check_end(struct world *world)
{
	bool vanished = world->sides[0].vanished || world->sides[1].vanished;

	if (check_narrow(world))
		return;
	for (int i = 0; i < 2; i++) {
		check_direction(&world->sides[i]);
		if (world->draw.fault_free && !vanished)
			check_no_recovery(&world->sides[i]);
		if (!vanished)
			check_economy(&world->sides[i]);
	}
}
