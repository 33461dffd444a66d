/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The port owner's side: poll. Frames in, messages up, commits out.
 *
 *     receive   one burst; each packet to its flow's connection: dpdk_receive.c
 *     service   each flow with something to do:
 *                 returns -> window and credit
 *                 in-order packets -> ready ring
 *                 commit ring -> connection -> packets into the batch
 *                 acknowledged places -> back ring, limit
 *     send      one burst for all of them: dpdk_transmit.c
 *
 * One clock read per poll. Nothing here waits, allocates or enters the kernel
 * (but for what the device does, and for set-up, see dpdk_setup.c).
 */

#include "dpdk_flow.h"
#include "dpdk_poison.h"
#include "dpdk_port.h"
#include "env_dpdk.h"
#include "retring.h"

#include <rte_cycles.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>

/* So few messages are handed over before anything else is done. */
#define DPDK_FEW_MESSAGES 2u

/* A power of two: polls until it is looked again who polls. */
#define THREAD_CHECK_POLLS 64

uint64_t
weir_dpdk_now(struct dpdk_port *port)
{
	uint64_t cycles = rte_rdtsc() - port->cycles_base;
	uint64_t now_ns =
		port->ns_base +
		(uint64_t)(((__uint128_t)cycles * port->ns_mult) >> 32);

	/* The owner may have moved to a processor that is a little behind. */
	if (now_ns > port->now_ns)
		port->now_ns = now_ns;
	return port->now_ns;
}

/* ---- mbufs back ------------------------------------------------------------ */

void
weir_dpdk_freed_flush(struct dpdk_port *port)
{
	if (port->freed_count != 0)
		rte_mempool_put_bulk(port->freed[0]->pool, (void **)port->freed,
				     port->freed_count);
	port->freed_count = 0;
}

void
weir_dpdk_free(struct dpdk_port *port, struct rte_mbuf *m)
{
	if (__builtin_expect(m->nb_segs != 1, 0)) {
		rte_pktmbuf_free(m);
		return;
	}
	m = rte_pktmbuf_prefree_seg(m);
	if (m == NULL)
		return;
	dpdk_unpoison_room(m);
	if (port->freed_count == DPDK_FREED ||
	    (port->freed_count != 0 && port->freed[0]->pool != m->pool))
		weir_dpdk_freed_flush(port);
	port->freed[port->freed_count++] = m;
}

/* ---- frames in -------------------------------------------------------------- */

/*
 * Of frames that were found on a shared device those that are ours; the others
 * are handed on. Faults befall what is ours, once, by whichever way it came.
 */
static uint16_t
keep_ours(struct dpdk_port *port, struct rte_mbuf **mbufs, uint16_t count)
{
	uint16_t ours = weir_dpdk_share_sort(port->dev, mbufs, count,
					     &port->share_counts);

	if (__builtin_expect(port->fault == NULL, 1))
		return ours;
	return weir_dpdk_fault_befall(port->fault, mbufs, ours, DPDK_RX_BURST);
}

/* Packets of one burst. */
static inline __attribute__((always_inline)) uint16_t
receive_burst(struct dpdk_port *port, bool shared)
{
	struct rte_mbuf *mbufs[DPDK_RX_BURST];
	uint16_t count = dpdk_dev_rx(port->dev, mbufs, DPDK_RX_BURST);
	uint16_t ours = count;

	/* After the burst: what came in while this thread had no processor
	 * must not seem to have been here since before (ack_dly). */
	if (port->rx_bursts++ == 0)
		weir_dpdk_now(port);
	if (shared)
		ours = keep_ours(port, mbufs, count);
	if (ours == 1)
		weir_dpdk_receive(port, mbufs[0]);
	else if (ours != 0)
		weir_dpdk_receive_all(port, mbufs, ours);
	return count;
}

static inline __attribute__((always_inline)) uint32_t
receive_bursts(struct dpdk_port *port, bool shared)
{
	uint32_t total = 0;
	uint16_t count;

	port->rx_bursts = 0;
	port->stream_flow = NULL; /* a stream is of one moment */
	do {
		count = receive_burst(port, shared);
		total += count;
	} while (__builtin_expect(count == DPDK_RX_BURST, 0) &&
		 port->rx_bursts < DPDK_RX_BURSTS);
	return total;
}

/* What other ports of the device found, and what lies in queues that have no
 * port. */
static uint32_t
receive_found(struct dpdk_port *port)
{
	struct rte_mbuf *mbufs[DPDK_RX_BURST];
	uint16_t count = weir_dpdk_share_take(port->dev, mbufs, DPDK_RX_BURST);
	uint32_t total = count;

	/* What a fault holds back seems to come by our own queue later. */
	if (__builtin_expect(port->fault != NULL, 0))
		count = weir_dpdk_fault_befall(port->fault, mbufs, count,
					       count);
	port->from_sibling = true;
	weir_dpdk_receive_all(port, mbufs, count);
	port->from_sibling = false;
	count = weir_dpdk_share_visit(port->dev, mbufs, DPDK_RX_BURST);
	total += count;
	count = keep_ours(port, mbufs, count);
	weir_dpdk_receive_all(port, mbufs, count);
	return total;
}

/* A port that the application feeds, or one of several on a device. */
static __attribute__((noinline)) uint32_t
receive_otherwise(struct dpdk_port *port)
{
	uint32_t total;

	if (port->fed) {
		weir_dpdk_now(port);
		return 0;
	}
	if (!weir_dpdk_share_enter(port->dev)) {
		weir_dpdk_now(port);
		weir_dpdk_parting_follow(port);
		return 0;
	}
	total = receive_bursts(port, true);
	total += receive_found(port);
	weir_dpdk_share_leave(port->dev);
	return total;
}

static uint32_t
port_receive(struct dpdk_port *port)
{
	uint32_t total;

	if (__builtin_expect(port->rx_otherwise, 0))
		total = receive_otherwise(port);
	else
		total = receive_bursts(port, false);
	port->stats.rx_packets += total;
	return total;
}

/* ---- messages up ------------------------------------------------------------- */

/* There is one: the connection admits no more messages than there are. */
static inline uint32_t
held_take(struct dpdk_flow *flow, struct dpdk_held held)
{
	uint32_t index = flow->held_free[--flow->held_free_count];

	flow->held[index] = held;
	return index;
}

/* A whole message for the rx half, `ahead` of what it was shown. */
static inline void
ready_put(struct dpdk_flow *flow, uint32_t ahead, const uint8_t *data,
	  uint32_t len, uint32_t index)
{
	flow->ready[weir_spsc_tail(&flow->ready_q, ahead)] =
		(struct dpdk_ready){ data, len, index };
}

static inline void
ready_push(struct dpdk_flow *flow, uint32_t count)
{
	weir_spsc_push(&flow->ready_q, count);
	flow->delivered += count;
}

/* One fragment into the message's buffer. @return false: no buffer is free. */
static bool
deliver_fragment(struct dpdk_flow *flow, const struct conn_rx_packet *p)
{
	struct dpdk_large *large = &flow->rx_large;

	if (p->flags & CONN_RX_FIRST) {
		if (!dpdk_large_take(large, &large->current)) {
			flow->rx_large_waits += !flow->rx_large_waiting;
			flow->rx_large_waiting = true;
			return false;
		}
		flow->rx_large_waiting = false;
		large->open = true;
		dpdk_unpoison(dpdk_large_at(large, large->current),
			      large->stride);
	}
	/* Offset and length were checked by the connection. */
	rte_memcpy(dpdk_large_at(large, large->current) + p->offset, p->payload,
		   p->len);
	__atomic_store_n(&flow->rx_copied, flow->rx_copied + p->len,
			 __ATOMIC_RELAXED);
	if (p->flags & CONN_RX_LAST) {
		large->open = false;
		dpdk_poison(dpdk_large_at(large, large->current) + p->msg_len,
			    large->stride - p->msg_len);
		ready_put(flow, 0, dpdk_large_at(large, large->current),
			  p->msg_len,
			  held_take(flow,
				    (struct dpdk_held){ NULL, large->current, 1,
							false }));
		ready_push(flow, 1);
	}
	return true;
}

/* The messages of a batch stay where they are, like that of a lone packet. */
static void
deliver_batch(struct dpdk_flow *flow, const struct conn_rx_packet *p)
{
	struct wire_records records = conn_rx_records(p);
	uint32_t len, count = p->msg_len;
	uint32_t index = held_take(
		flow, (struct dpdk_held){ p->ref, 0, (uint16_t)count, true });
	const uint8_t *message;

	dpdk_poison_around(p->ref, p->payload, p->len);
	for (uint32_t i = 0; i < count; i++) {
		message = wire_records_next(&records, &len);
		ready_put(flow, i, message, len, index);
	}
	ready_push(flow, count);
}

/* Those at the beginning that are a message each. @return how many. */
static uint32_t
deliver_whole(struct dpdk_flow *flow, const struct conn_rx_packet *packets,
	      uint32_t most)
{
	const uint8_t whole = CONN_RX_FIRST | CONN_RX_LAST;
	uint32_t count;

	for (count = 0; count < most; count++) {
		const struct conn_rx_packet *p = &packets[count];

		if ((p->flags & whole) != whole)
			break;
		dpdk_poison_around(p->ref, p->payload, p->len);
		ready_put(flow, count, p->payload, p->len,
			  held_take(flow,
				    (struct dpdk_held){ p->ref, 0, 1, false }));
	}
	if (count != 0)
		ready_push(flow, count);
	return count;
}

/* A batch or a fragment. @return false: it has to wait. */
static bool
deliver_other(struct dpdk_flow *flow, const struct conn_rx_packet *p)
{
	struct rte_mbuf *m = p->ref;

	if (p->flags & CONN_RX_BATCH) {
		deliver_batch(flow, p);
		weir_conn_rx_consume(flow->conn, 1);
		return true;
	}
	if (!deliver_fragment(flow, p))
		return false;
	weir_conn_rx_consume(flow->conn, 1);
	weir_dpdk_free(flow->port, m);
	weir_conn_rx_release(flow->conn, 1, 0);
	return true;
}

/* In-order packets to the rx half. @return messages. */
static uint32_t
flow_deliver(struct dpdk_flow *flow)
{
	const struct conn_rx_packet *packets;
	uint32_t before = flow->delivered;
	uint32_t count;

	while ((packets = weir_conn_rx_peek_burst(flow->conn, &count)) !=
	       NULL) {
		count = deliver_whole(flow, packets, count);
		if (count != 0)
			weir_conn_rx_consume(flow->conn, count);
		else if (!deliver_other(flow, packets))
			break;
	}
	if (flow->delivered != before)
		weir_dpdk_wake_rx(flow);
	return flow->delivered - before;
}

/* Messages that the application has released. */
static inline __attribute__((always_inline)) uint32_t
flow_take_returns(struct dpdk_flow *flow)
{
	uint32_t packets = 0, messages = 0, index;

	while (weir_retring_take(flow->returns, flow->return_mask,
				 flow->return_head, &index)) {
		flow->return_head++;
		packets += dpdk_held_put(flow, index);
		messages++;
	}
	if (messages != 0 && flow->conn != NULL)
		weir_conn_rx_release(flow->conn, packets, messages);
	return messages;
}

/* ---- messages down ----------------------------------------------------------- */

/* Not a message: the half was closed, or went without it. */
static void
commit_end(struct dpdk_flow *flow, uint32_t how, uint64_t now_ns)
{
	flow->commits_over = true;
	if (how == DPDK_COMMIT_CLOSE)
		weir_conn_close_tx(flow->conn);
	else
		weir_conn_abort_tx(flow->conn, now_ns);
}

/* Up to `count` messages to the connection, from the entry `at` on. @return how
 * many; 0: the entry is no message. */
static uint32_t
commit_messages(struct dpdk_flow *flow, uint32_t at, uint32_t count)
{
	const uint32_t mask = flow->commit_q.consumer_mask;
	struct conn_tx_msg *msgs;
	uint64_t bytes = 0;
	uint32_t n, room;

	msgs = weir_conn_push_room(flow->conn, &room);
	if (count > room)
		count = room;
	for (n = 0; n < count; n++) {
		struct dpdk_commit c = flow->commit[(at + n) & mask];
		struct dpdk_place *place = &flow->places[c.index];

		if (__builtin_expect(c.index >= DPDK_COMMIT_ABORT, 0))
			break;
		msgs[n].ref = place;
		msgs[n].payload = place->data;
		msgs[n].len = c.len;
		bytes += c.len;
	}
	flow->away_count += n;
	weir_conn_pushed(flow->conn, n, bytes);
	return n;
}

static uint32_t
flow_take_commits(struct dpdk_flow *flow, uint64_t now_ns)
{
	uint32_t count = weir_spsc_ready(&flow->commit_q);
	uint32_t done = 0;

	while (done < count) {
		uint32_t at = weir_spsc_head(&flow->commit_q, done);
		uint32_t n = commit_messages(flow, at, count - done);

		if (__builtin_expect(n == 0, 0)) {
			commit_end(flow, flow->commit[at].index, now_ns);
			n = 1;
		}
		done += n;
	}
	if (count != 0)
		weir_spsc_pop(&flow->commit_q, count);
	return count;
}

/* ---- ends ---------------------------------------------------------------------- */

/* What the API calls it. */
static int
end_of(int status)
{
	switch (status) {
	case -EPROTONOSUPPORT:
		return -EOPNOTSUPP;
	case -ECONNABORTED:
		return -ECONNRESET;
	default:
		return status;
	}
}

static void
drop_unread(struct dpdk_flow *flow)
{
	void *ref;

	while ((ref = weir_conn_pop_dropped_rx(flow->conn)) != NULL) {
		flow->rx_unread++;
		rte_pktmbuf_free(ref);
	}
}

/* Both directions ended, in good order or not: the first error counts. */
static int
closed_as(const struct dpdk_flow *flow)
{
	int tx = atomic_load_explicit(&flow->tx_end, memory_order_relaxed);
	int rx = atomic_load_explicit(&flow->rx_end, memory_order_relaxed);

	if (tx < 0)
		return tx;
	return rx < 0 ? rx : WEIR_EOF;
}

/* The halves learn of ends once all that came before is with them. */
static void
flow_ends(struct dpdk_flow *flow, int status)
{
	int tx = weir_conn_tx_state(flow->conn);
	int rx = weir_conn_rx_state(flow->conn);

	if (tx < 0)
		weir_dpdk_tell_tx_end(flow, end_of(tx));
	if (rx != 0 && !flow->rx_stopped)
		weir_dpdk_tell_rx_end(flow,
				      rx == CONN_EOF ? WEIR_EOF : end_of(rx));
	if (rx < 0)
		drop_unread(flow);
	if (status != 0 && status != -EINPROGRESS)
		atomic_store_explicit(&flow->status,
				      status == CONN_CLOSED ? closed_as(flow)
							    : end_of(status),
				      memory_order_relaxed);
}

/* The connection has nothing more to say. */
static void
flow_finish(struct dpdk_flow *flow)
{
	if (flow->phase == DPDK_PHASE_SETUP)
		weir_dpdk_half_open_failed(flow);
	weir_conn_stats(flow->conn, &flow->last_stats);
	weir_dpdk_flow_drop_conn(flow);
	flow->phase = DPDK_PHASE_OVER;
	flow->deadline_ns = CONN_NEVER;
}

static void
rx_half_gone(struct dpdk_flow *flow)
{
	flow->rx_stopped = true;
	weir_dpdk_ready_drop(flow);
	if (flow->conn == NULL)
		return;
	weir_conn_stop_rx(flow->conn);
	drop_unread(flow);
	flow->touched = true;
}

/* ---- one flow -------------------------------------------------------------------- */

/* Connect anew; but first the peer is told to forget what it began. Before
 * anything else is sent: our first packet is what makes its link one that is up,
 * and an application must not get one that ends at once. */
static void
flow_restart(struct dpdk_port *port, struct dpdk_flow *flow)
{
	weir_conn_abort(flow->conn, WIRE_E_ABORT, port->now_ns);
	flow->quota = 1;
	weir_dpdk_emit(port, flow);
	drop_unread(flow);
	weir_dpdk_flow_drop_conn(flow);
	flow->touched = true;
}

/* Acknowledged places, back to the half. @return true: there were some. Has a
 * frame of its own, so that idle polls need no large one. */
static __attribute__((noinline)) bool
flow_take_acked(struct dpdk_flow *flow)
{
	const struct conn_tx_msg *msgs;
	bool any = false;
	uint32_t count;

	while ((msgs = weir_conn_acked(flow->conn, &count)), count != 0) {
		weir_dpdk_places_back(flow, msgs, count);
		weir_conn_pop(flow->conn, count);
		any = true;
	}
	return any;
}

/* After packets went in or out: places, limit, deadline, ends. */
static void
flow_settle(struct dpdk_port *port, struct dpdk_flow *flow)
{
	struct weir_conn *conn = flow->conn;
	uint32_t limit;
	bool news;
	int status;

	news = flow_take_acked(flow);
	if (__builtin_expect(flow->owed_count != 0, 0))
		weir_dpdk_place_repay(flow);
	limit = (uint32_t)weir_conn_tx_credit(conn);
	if (limit != flow->limit_told && flow->phase == DPDK_PHASE_UP) {
		flow->limit_told = limit;
		/* Release: the places behind it; pairs with tx_credits(). */
		atomic_store_explicit(&flow->tx_limit, limit,
				      memory_order_release);
		news = true;
	}
	if (news)
		weir_dpdk_wake_tx(flow);
	status = weir_conn_status(conn);
	if (__builtin_expect(flow->phase == DPDK_PHASE_SETUP, 0) && status == 0)
		weir_dpdk_established(port, flow);
	flow_ends(flow, status);
	flow->deadline_ns = weir_conn_deadline(conn);
	if (__builtin_expect(weir_conn_finished(conn), 0))
		flow_finish(flow);
}

/* Halves that went, set-up, and the time after the end. */
static bool
flow_rare(struct dpdk_port *port, struct dpdk_flow *flow)
{
	/* Acquire: pairs with the release of the destroy calls. */
	uint32_t gone = atomic_load_explicit(&flow->gone, memory_order_acquire);

	if (flow->phase < DPDK_PHASE_SETUP)
		weir_dpdk_connect_step(port, flow);
	if (flow->phase == DPDK_PHASE_SETUP && flow->connector &&
	    weir_conn_status(flow->conn) == 0 &&
	    weir_dpdk_connect_elsewhere(port, flow))
		flow_restart(port, flow);
	if ((gone & DPDK_GONE_RX) && !flow->rx_stopped)
		rx_half_gone(flow);
	if (flow->phase == DPDK_PHASE_SETUP && !flow->commits_over &&
	    gone == (DPDK_GONE_TX | DPDK_GONE_RX)) {
		flow->commits_over = true;
		weir_conn_abort(flow->conn, WIRE_E_ABORT, port->now_ns);
		flow->touched = true;
	}
	if (flow->conn == NULL)
		flow_take_returns(flow);
	return weir_dpdk_flow_reap(flow);
}

/* What becomes of a flow that was looked at. */
enum flow_next {
	FLOW_STAYS, /* in the run */
	FLOW_QUIET, /* nothing was to be done */
	FLOW_LEFT,  /* it is the port's no more */
};

/*
 * A message or two came and nothing has to leave: whoever polls gets them first.
 * What is left to do, places to be given back above all, has time until the next
 * poll, but no longer, and only while the half is not short of places.
 */
static bool
flow_puts_off(struct dpdk_flow *flow, uint32_t delivered)
{
	bool puts_off = delivered != 0 && delivered <= DPDK_FEW_MESSAGES &&
			!flow->put_off && flow->phase == DPDK_PHASE_UP &&
			flow->away_count <= flow->tx_capacity / 2 &&
			!weir_conn_wants_tx(flow->conn);

	flow->put_off = puts_off;
	return puts_off;
}

/* @return events. */
static uint32_t
flow_service(struct dpdk_port *port, struct dpdk_flow *flow,
	     enum flow_next *next)
{
	uint32_t events = 0, delivered = 0;

	*next = FLOW_QUIET;

	if (__builtin_expect(
		    flow->phase != DPDK_PHASE_UP ||
			    atomic_load_explicit(&flow->gone,
						 memory_order_relaxed) != 0,
		    0)) {
		if (flow_rare(port, flow)) {
			*next = FLOW_LEFT;
			return 0;
		}
		if (flow->conn == NULL)
			return 0;
	}
	events += flow_take_returns(flow);
	if (flow->phase == DPDK_PHASE_UP)
		events += flow_take_commits(flow, port->now_ns);
	flow->run.busy |= events != 0;
	if (port->now_ns >= flow->deadline_ns) {
		weir_conn_on_time(flow->conn, port->now_ns);
		flow->touched = true;
	}
	if (events == 0 && !flow->touched)
		return 0;
	*next = FLOW_STAYS;
	if (flow->phase == DPDK_PHASE_UP && !flow->rx_stopped)
		delivered = flow_deliver(flow);
	events += delivered;
	flow->quota = DPDK_FLOW_QUOTA;
	if (flow_puts_off(flow, delivered)) {
		flow->touched = true;
		flow->deadline_ns = weir_conn_deadline(flow->conn);
		return events;
	}
	flow->touched = !weir_dpdk_emit(port, flow) || flow->owed_count != 0;
	flow->quota =
		DPDK_FLOW_QUOTA; /* of what is flushed till the next turn */
	flow_settle(port, flow);
	return events;
}

/*
 * Nothing to do, and halves tell when there is: no need to look again. But who
 * has drawn a ticket may have seen the flow awake, and puts his entry now.
 */
static inline bool
flow_may_rest(const struct dpdk_flow *flow)
{
	return atomic_load_explicit(&flow->attention, memory_order_relaxed) ==
		       DPDK_ASLEEP &&
	       (uint32_t)atomic_load_explicit(&flow->tickets,
					      memory_order_relaxed) ==
		       flow->return_head;
}

/* One turn of the flow at `at` in the run. @return who is next. */
static uint32_t
port_turn(struct dpdk_port *port, uint32_t at, uint32_t *events)
{
	struct dpdk_run *run = &port->run;
	struct dpdk_flow *flow = run->flows[at];
	uint64_t sent = flow->tx_wire_bytes;
	bool was_refused = port->tx_refused;
	enum flow_next next;

	*events += flow_service(port, flow, &next);
	if (next == FLOW_LEFT)
		return at; /* another one has its place */
	if (next == FLOW_QUIET && flow_may_rest(flow)) {
		weir_dpdk_run_rest(run, flow);
		return at;
	}
	if (__builtin_expect(port->tx_refused && !was_refused, 0))
		run->next = flow->tx_wire_bytes != sent ? at + 1 : at;
	return at + 1;
}

/*
 * Everyone in the run gets a turn, or as many as there is time for. When the
 * device takes no more, whoever it refused first goes first in the next poll:
 * so a link that always has packets gets no more room than others.
 */
static uint32_t
port_service(struct dpdk_port *port)
{
	struct dpdk_run *run = &port->run;
	uint32_t events = 0, turns = run->count, at = run->next;

	if (__builtin_expect(turns > DPDK_RUN_TURNS, 0))
		turns = DPDK_RUN_TURNS;
	for (uint32_t i = 0; i < turns; i++) {
		if (at >= run->count)
			at = 0;
		at = port_turn(port, at, &events);
	}
	if (__builtin_expect(turns == DPDK_RUN_TURNS, 0))
		run->next = at;
	port->stats.link_looks += turns;
	return events;
}

/* Without waiting for the next poll; but it must not be a way to get more than
 * a turn, nor before those who wait for the device. */
void
weir_dpdk_flush(struct dpdk_port *port, struct dpdk_flow *flow)
{
	bool emptied;

	if (flow->phase != DPDK_PHASE_UP || flow->conn == NULL ||
	    flow_take_commits(flow, weir_dpdk_now(port)) == 0)
		return;
	dpdk_flow_touch(port, flow);
	if (port->run.count == 1)
		flow->quota = DPDK_FLOW_QUOTA; /* nobody else waits */
	else if (port->tx_full)
		return;
	emptied = weir_dpdk_emit(port, flow);
	weir_dpdk_batch_send(port);
	if (emptied)
		flow->deadline_ns = weir_conn_deadline(flow->conn);
}

/* ---- poll ------------------------------------------------------------------------ */

/* A thread that polls has mempool caches of its own, if weir may say so. To ask
 * which one it is takes a call, so not in each poll. */
static void
thread_check(struct dpdk_port *port)
{
	if (port->stats.polls % THREAD_CHECK_POLLS == 1 &&
	    rte_lcore_id() == LCORE_ID_ANY && !port->thread_refused)
		port->thread_refused = !weir_dpdk_thread_join();
}

int
weir_dpdk_poll(struct weir_port *p)
{
	struct dpdk_port *port = dpdk_port_of(p);
	uint32_t events = 0;

	port->stats.polls++;
	port->tx_full = false;
	port->tx_refused = false;
	if (__builtin_expect(port->sleep.enabled, 0))
		weir_dpdk_sleep_disable(port);
	if (__builtin_expect(port->dev == NULL || port->still, 0)) {
		weir_dpdk_now(port);
	} else {
		thread_check(port);
		events += port_receive(port);
		if (port->now_ns >= port->neigh_next_ns)
			weir_dpdk_neigh_step(port);
	}
	if (dpdk_run_has_news(&port->run, port->now_ns))
		weir_dpdk_run_collect(port);
	events += port_service(port);
	if (__builtin_expect(port->now_ns >= port->publish_next_ns, 0))
		weir_dpdk_publish(port);
	if (port->freed_count != 0)
		weir_dpdk_freed_flush(port);
	if (port->batch_count != 0 && port->dev != NULL && !port->still)
		weir_dpdk_batch_send(port);
	if (__builtin_expect(port->parting_due, 0))
		weir_dpdk_parting_answer(port);
	if (__builtin_expect(port->still, 0))
		weir_dpdk_still_step(port);
	if (events == 0)
		port->stats.polls_idle++;
	return (int)(events > INT32_MAX ? INT32_MAX : events);
}
