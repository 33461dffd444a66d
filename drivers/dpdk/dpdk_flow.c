/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory of a flow: one block for the struct and its rings, one for the
 * connection, mappings for large buffers, mbufs promised by the device. What
 * is taken here is given back here.
 *
 *     new ---- make_conn ---- up ---- fail ---- reap ----> freed by last put
 *                                                 or
 *                                      orphan: messages are still held
 */

#include "dpdk_flow.h"
#include "dpdk_multi.h"
#include "dpdk_poison.h"
#include "dpdk_port.h"
#include "doorbell.h"
#include "retring.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <rte_mbuf.h>

/*
 * Packets in flight. More would not go faster, not even on memif and net_ring,
 * whose rings push back; but a repair waits behind all of them.
 */
#define WINDOW_MAX 256u

/* Fragments that a link takes at least, if it takes any. */
#define FRAGMENTS_MIN 128u

/*
 * Virtual devices mean machines where two pollers may share a processor:
 * silence for some milliseconds says more about the scheduler than about loss.
 * Until probes find losses: then they learn to come sooner.
 */
#define RTO_MIN_VIRTUAL_NS UINT64_C(40000000)
#define TLP_MIN_VIRTUAL_NS UINT64_C(10000000)

static uint32_t
pow2_at_least(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static uint32_t
min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* ---- the block ------------------------------------------------------------ */

/* Sizes of everything in the block, from the link's config. */
struct shape {
	uint32_t credits; /* power of two; small places */
	uint32_t large;   /* large places at most */
	uint32_t commits; /* ring sizes, powers of two */
	uint32_t backs;
	uint32_t held;
	bool multi; /* several threads send */
};

static struct shape
shape_of(const struct weir_link_config *config)
{
	struct shape s = {
		.credits = config->tx_credits,
		.large = config->large_count,
		.held = min_u32(config->tx_credits, WIRE_CREDIT_MAX),
		.multi = (config->flags & WEIR_LINK_MULTI_PRODUCER) != 0,
	};

	s.commits = pow2_at_least(s.credits + s.large + 2);
	s.backs = pow2_at_least(s.credits + s.large);
	return s;
}

/* Cut the next array off the block; with base NULL only count. */
static void *
carve(uint8_t *base, size_t *at, size_t size)
{
	void *here = base != NULL ? base + *at : NULL;

	*at += (size + 63) & ~(size_t)63;
	return here;
}

/* What several threads need beside; a word more, since large places begin in
 * one of their own. */
static void
multi_lay_out(struct dpdk_flow *flow, const struct shape *s, uint8_t *base,
	      size_t *at)
{
	size_t words = (s->credits + WEIR_CLAIM_WORD - 1) / WEIR_CLAIM_WORD +
		       (s->large + WEIR_CLAIM_WORD - 1) / WEIR_CLAIM_WORD;
	struct dpdk_multi *multi = carve(base, at, sizeof(*multi));
	void *map = carve(base, at, words * sizeof(*multi->map));
	void *stamps = carve(base, at, s->commits * sizeof(*multi->stamps));

	if (base == NULL)
		return;
	multi->map = map;
	multi->stamps = stamps;
	flow->multi = multi;
}

static size_t
block_lay_out(struct dpdk_flow *flow, const struct shape *s)
{
	struct dpdk_flow scratch;
	uint8_t *base = (uint8_t *)flow;
	uint32_t places = s->credits + s->large;
	uint32_t ready = pow2_at_least(s->held);
	size_t at = 0;

	if (flow == NULL)
		flow = &scratch;
	carve(base, &at, sizeof(*flow));
	flow->commit = carve(base, &at, s->commits * sizeof(*flow->commit));
	flow->back = carve(base, &at, s->backs * sizeof(*flow->back));
	flow->ready = carve(base, &at, ready * sizeof(*flow->ready));
	flow->returns = carve(base, &at, ready * sizeof(*flow->returns));
	flow->tx_free = carve(base, &at, places * sizeof(*flow->tx_free));
	flow->places = carve(base, &at, places * sizeof(*flow->places));
	flow->owed = carve(base, &at, places * sizeof(*flow->owed));
	flow->held = carve(base, &at, s->held * sizeof(*flow->held));
	flow->held_free = carve(base, &at, s->held * sizeof(*flow->held_free));
	if (s->multi)
		multi_lay_out(flow, s, base, &at);
	return at;
}

static struct dpdk_flow *
block_new(const struct shape *s)
{
	size_t size = block_lay_out(NULL, s);
	struct dpdk_flow *flow = aligned_alloc(64, size);

	if (flow == NULL)
		return NULL;
	memset(flow, 0, size);
	block_lay_out(flow, s);
	flow->bytes = size + sizeof(struct dpdk_link) + sizeof(struct dpdk_tx) +
		      sizeof(struct dpdk_rx);
	weir_spsc_init(&flow->commit_q, s->commits);
	weir_spsc_init(&flow->back_q, s->backs);
	weir_spsc_init(&flow->ready_q, pow2_at_least(s->held));
	flow->return_mask = pow2_at_least(s->held) - 1;
	flow->held_total = s->held;
	for (uint32_t i = s->held; i-- > 0;)
		flow->held_free[flow->held_free_count++] = i;
	flow->store.release = weir_dpdk_release;
	flow->store.release_burst = weir_dpdk_release_burst;
	atomic_init(&flow->tx_fd, -1);
	atomic_init(&flow->rx_fd, -1);
	atomic_init(&flow->refs, 1);
	atomic_init(&flow->status, -EINPROGRESS);
	return flow;
}

/* ---- the port's arrays ----------------------------------------------------- */

static int
flows_grow(struct dpdk_port *port)
{
	uint32_t room = port->flow_room != 0 ? port->flow_room * 2 : 16;
	struct dpdk_flow **flows;

	if (port->flow_count < port->flow_room)
		return 0;
	if (weir_dpdk_run_grow(&port->run, room) != 0)
		return -ENOMEM;
	flows = realloc(port->flows, room * sizeof(*flows));
	if (flows == NULL)
		return -ENOMEM;
	port->flows = flows;
	port->flow_room = room;
	return 0;
}

static int
table_grow(struct dpdk_port *port)
{
	uint32_t size = port->table_size != 0 ? port->table_size * 2 : 16;
	struct dpdk_flow **table;

	if (port->table_size > DPDK_LINKS_MAX)
		return -ENOMEM;
	table = realloc(port->table, size * sizeof(*table));
	if (table == NULL)
		return -ENOMEM;
	memset(table + port->table_size, 0,
	       (size - port->table_size) * sizeof(*table));
	port->table_next = port->table_size;
	port->table = table;
	port->table_size = size;
	return 0;
}

/* Indices are used in turn, so that an old one rests as long as possible. */
static int
table_enter(struct dpdk_port *port, struct dpdk_flow *flow)
{
	int rc;

	if (port->flow_count >= port->table_size) {
		rc = table_grow(port);
		if (rc != 0)
			return rc;
	}
	while (port->table[port->table_next % port->table_size] != NULL)
		port->table_next++;
	flow->index = (uint16_t)(port->table_next++ % port->table_size);
	port->table[flow->index] = flow;
	return 0;
}

static int
port_enter(struct dpdk_port *port, struct dpdk_flow *flow)
{
	int rc = flows_grow(port);

	if (rc == 0)
		rc = table_enter(port, flow);
	if (rc != 0)
		return rc;
	flow->slot = port->flow_count;
	port->flows[port->flow_count++] = flow;
	port->link_bytes += flow->bytes;
	weir_dpdk_run_add(&port->run, flow);
	return 0;
}

static void
port_leave(struct dpdk_port *port, struct dpdk_flow *flow)
{
	struct dpdk_flow *last = port->flows[--port->flow_count];

	port->flows[flow->slot] = last;
	last->slot = flow->slot;
	port->link_bytes -= flow->bytes;
	port->table[flow->index] = NULL;
	if (port->stream_flow == flow)
		port->stream_flow = NULL;
	weir_dpdk_run_forget(&port->run, flow);
}

/* A flow of the port takes more memory than it did. */
static void
flow_takes(struct dpdk_flow *flow, size_t bytes)
{
	flow->bytes += bytes;
	flow->port->link_bytes += bytes;
}

/* Large buffers of one direction. @return 0 or -ENOMEM. */
static int
large_make(struct dpdk_flow *flow, struct dpdk_large *large, uint32_t size)
{
	uint32_t count = min_u32(flow->config.large_count, DPDK_LARGE_MAX);
	int rc = weir_dpdk_large_map(large, size, count);

	if (rc == 0)
		flow_takes(flow, dpdk_large_bytes(large));
	return rc;
}

static void
large_drop(struct dpdk_flow *flow, struct dpdk_large *large)
{
	size_t bytes = dpdk_large_bytes(large);

	flow->bytes -= bytes;
	flow->port->link_bytes -= bytes;
	weir_dpdk_large_unmap(large);
}

/* ---- references -------------------------------------------------------------- */

static void
flow_free(struct dpdk_flow *flow)
{
	weir_dpdk_large_unmap(&flow->rx_large);
	weir_dpdk_large_unmap(&flow->tx_large);
	free(flow->conn_mem);
	if (atomic_load_explicit(&flow->tx_fd, memory_order_relaxed) >= 0)
		close(flow->tx_fd);
	if (atomic_load_explicit(&flow->rx_fd, memory_order_relaxed) >= 0)
		close(flow->rx_fd);
	if (flow->rx_pool != NULL)
		weir_dpdk_pool_put(flow->rx_pool);
	if (flow->tx_pool != NULL)
		weir_dpdk_pool_put(flow->tx_pool);
	weir_dpdk_bell_put(flow->bell);
	free(flow);
}

static void
flow_get(struct dpdk_flow *flow)
{
	atomic_fetch_add_explicit(&flow->refs, 1, memory_order_relaxed);
}

void
weir_dpdk_flow_put(struct dpdk_flow *flow)
{
	/* Release our writes; acquire everyone's before the memory goes. */
	if (atomic_fetch_sub_explicit(&flow->refs, 1, memory_order_acq_rel) ==
	    1)
		flow_free(flow);
}

void
weir_dpdk_flow_attach(struct dpdk_flow *flow, struct weir_link *link)
{
	WEIR_CONTAINER_OF(link, struct dpdk_link, link)->flow = flow;
	flow->link = link;
	flow_get(flow);
	WEIR_CONTAINER_OF(link->tx, struct dpdk_tx, tx)->flow = flow;
	link->tx->ops = &weir_dpdk_tx_ops;
	if (flow->multi != NULL)
		weir_dpdk_multi_init(
			WEIR_CONTAINER_OF(link->tx, struct dpdk_tx, tx));
	flow_get(flow);
	WEIR_CONTAINER_OF(link->rx, struct dpdk_rx, rx)->flow = flow;
	link->rx->ops = &weir_dpdk_rx_ops;
	flow_get(flow);
}

/* No packet that finds the flow by its index has this token. */
static uint64_t
no_token(const struct dpdk_flow *flow)
{
	return flow->index ^ UINT64_C(1);
}

void
weir_dpdk_flow_drop_conn(struct dpdk_flow *flow)
{
	weir_dpdk_peer_leave(flow);
	flow->token = no_token(flow);
	flow->conn = NULL;
}

struct dpdk_flow *
weir_dpdk_flow_new(struct dpdk_port *port,
		   const struct weir_link_config *config,
		   const struct dpdk_link_keys *keys)
{
	struct shape shape = shape_of(config);
	struct dpdk_flow *flow = block_new(&shape);

	if (flow == NULL)
		return NULL;
	flow->port = port;
	flow->config = *config;
	flow->keys = *keys;
	flow->fence = port->fence;
	flow->bell = weir_dpdk_bell_get(port->sleep.bell);
	flow->place_count = shape.credits;
	flow->deadline_ns = CONN_NEVER;
	flow->touched = true;
	if (port_enter(port, flow) != 0) {
		weir_dpdk_bell_put(flow->bell);
		free(flow);
		return NULL;
	}
	flow->token = no_token(flow);
	/* Another thread may have made it while the owner sleeps. */
	weir_dpdk_bell_ring(flow->bell);
	return flow;
}

/* ---- the connection ------------------------------------------------------------ */

/* What a trailer takes from a packet, rounded up so that payloads stay
 * multiples of eight. */
static uint32_t
trailer_room(const struct dpdk_link_keys *keys)
{
	return keys->crc != DPDK_CRC_OFF ? 8 : 0;
}

static bool
may_fragment(const struct dpdk_flow *flow)
{
	return flow->config.msg_size_max >
	       flow->port->frag_size - trailer_room(&flow->keys);
}

static uint32_t
rx_window(const struct dpdk_flow *flow)
{
	uint32_t packets = flow->held_total;

	if (may_fragment(flow) && packets < FRAGMENTS_MIN)
		packets = FRAGMENTS_MIN;
	return packets;
}

static uint32_t
tx_window(const struct dpdk_flow *flow)
{
	uint32_t want = pow2_at_least(flow->config.tx_credits);

	if (may_fragment(flow) && want < FRAGMENTS_MIN)
		want = FRAGMENTS_MIN;
	return want < 64 ? 64 : min_u32(want, WINDOW_MAX);
}

void
weir_dpdk_conn_config(const struct dpdk_port *port,
		      const struct weir_link_config *link,
		      const struct dpdk_link_keys *keys, struct conn_config *c)
{
	weir_conn_config_init(c);
	c->epoch = port->gate.epoch;
	c->modes = WIRE_MODE_BARE;
	c->features_offer &= ~port->features_off;
	c->frag_size = port->frag_size - trailer_room(keys);
	if (!port->dev->no_wire)
		c->hello_len = (WIRE_FULL_HDR_LEN + c->frag_size) & ~7u;
	if (keys->crc != DPDK_CRC_OFF)
		c->features_offer |= WIRE_FEATURE_CRC32C;
	if (keys->crc == DPDK_CRC_REQUIRE)
		c->features_require |= WIRE_FEATURE_CRC32C;
	c->cc = keys->cc != CC_KINDS ? (enum cc_kind)keys->cc
		: port->dev->no_wire ? CC_FIXED
				     : CC_NEWRENO;
	if (keys->cc_target_ns != 0)
		c->cc_target_ns = keys->cc_target_ns;
	c->msg_size_max = link->msg_size_max;
	c->keepalive_ns = link->keepalive_ns;
	c->dead_timeout_ns = link->dead_timeout_ns;
	c->connect_timeout_ns = link->connect_timeout_ns;
	if (dpdk_dev_is_pair(&port->spec) || port->spec.kind == DPDK_DEV_VDEV) {
		c->rto_min_ns = RTO_MIN_VIRTUAL_NS;
		c->tlp_min_ns = TLP_MIN_VIRTUAL_NS;
		c->tlp_learns = true;
	}
}

/* Promise of mbufs. @return 0, or -ENOBUFS with weir_fail(). */
static int
admit(struct dpdk_flow *flow)
{
	uint32_t tx = flow->config.tx_credits, rx = rx_window(flow);
	int rc = weir_dpdk_dev_admit(flow->port->dev, tx, rx);

	if (rc != 0)
		return rc;
	flow->tx_admitted = tx;
	flow->rx_admitted = rx;
	return 0;
}

static int
conn_config(struct dpdk_flow *flow, struct conn_config *c)
{
	struct dpdk_port *port = flow->port;
	uint64_t random[2];
	int rc;

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return weir_fail(-EIO, "link: no random numbers; try again");
	weir_dpdk_conn_config(port, &flow->config, &flow->keys, c);
	c->token = (random[0] & ~UINT64_C(0xffff)) | flow->index;
	c->isn = (uint32_t)random[1];
	/* Up to an eighth sooner, so that links of the same age take turns. */
	c->keepalive_ns -= c->keepalive_ns / 2048 * (random[1] >> 56);
	c->instance = weir_dpdk_gate_instance(&port->gate, &flow->local);
	weir_cookie_proof(port->gate.listen.secret, c->token, c->proof);
	c->rx_window_packets = rx_window(flow);
	c->rx_credit_msgs = flow->held_total;
	c->tx_window_packets = tx_window(flow);
	c->tx_msgs = flow->config.tx_credits;
	if (flow->connector)
		c->connect_timeout_ns =
			flow->connect_end_ns > port->now_ns
				? flow->connect_end_ns - port->now_ns
				: 1;
	rc = weir_conn_config_check(c);
	return rc == 0 ? 0
		       : weir_fail(rc, "link: sizes that cannot work together; "
				       "use smaller ones");
}

/* Once: who connects anew has it already. */
static int
conn_memory(struct dpdk_flow *flow, const struct conn_config *c)
{
	struct dpdk_port *port = flow->port;
	size_t size = (weir_conn_size(c) + CONN_ALIGN - 1) &
		      ~(size_t)(CONN_ALIGN - 1);

	flow->conn_mem = aligned_alloc(CONN_ALIGN, size);
	if (flow->conn_mem == NULL)
		return weir_fail(-ENOMEM, "link: out of memory; free some");
	flow_takes(flow, size);
	flow->rx_pool = port->dev->rx_pool;
	weir_dpdk_pool_get(flow->rx_pool);
	flow->tx_pool = port->dev->tx_pool;
	weir_dpdk_pool_get(flow->tx_pool);
	return 0;
}

int
weir_dpdk_flow_make_conn(struct dpdk_flow *flow)
{
	struct conn_config c;
	int rc = flow->conn_mem == NULL ? admit(flow) : 0;

	if (rc == 0)
		rc = conn_config(flow, &c);
	if (rc == 0 && flow->conn_mem == NULL)
		rc = conn_memory(flow, &c);
	if (rc != 0)
		return rc;
	flow->conn = weir_conn_init(flow->conn_mem, &c);
	flow->token = c.token;
	return 0;
}

/* ---- up --------------------------------------------------------------------------- */

/* As the i-th of those that are given to the half together. */
static inline void
place_put(struct dpdk_flow *flow, const struct dpdk_place *place, uint32_t i)
{
	uint32_t index = (uint32_t)(place - flow->places);

	if (place->mbuf != NULL)
		dpdk_poison_room(place->mbuf);
	else
		dpdk_poison(place->data, flow->tx_large.stride);
	flow->back[weir_spsc_tail(&flow->back_q, i)] =
		(struct dpdk_free){ place->data, index, 0 };
}

static void
place_hand_out(struct dpdk_flow *flow, uint32_t index)
{
	place_put(flow, &flow->places[index], 0);
	weir_spsc_push(&flow->back_q, 1);
}

/* Give a small place a fresh mbuf. @return false: none to be had. */
static bool
place_refill(struct dpdk_flow *flow, uint32_t index)
{
	struct rte_mbuf *m = weir_dpdk_spare(flow->port);

	if (m == NULL)
		return false;
	flow->places[index].mbuf = m;
	flow->places[index].data = (uint8_t *)m->buf_addr + DPDK_PAYLOAD_OFFSET;
	return true;
}

struct rte_mbuf *
weir_dpdk_place_unwrap(const struct dpdk_flow *flow, struct dpdk_place *place)
{
	uint32_t index = (uint32_t)(place - flow->places);
	struct rte_mbuf *m = place->mbuf;

	place->mbuf = place->own;
	place->own = NULL;
	place->wrapped = false;
	place->data =
		index < flow->tx_capacity
			? (uint8_t *)place->mbuf->buf_addr + DPDK_PAYLOAD_OFFSET
			: dpdk_large_at(&flow->tx_large,
					index - flow->tx_capacity);
	return m;
}

void
weir_dpdk_place_repay(struct dpdk_flow *flow)
{
	while (flow->owed_count != 0 &&
	       place_refill(flow, flow->owed[flow->owed_count - 1]))
		place_hand_out(flow, flow->owed[--flow->owed_count]);
}

/* The place itself, or at least its mbuf, was with the device. @return false:
 * there is no mbuf for it now, it is owed. */
static bool
place_renew(struct dpdk_flow *flow, struct dpdk_place *place)
{
	uint32_t index = (uint32_t)(place - flow->places);
	struct rte_mbuf *m = place->mbuf;

	place->lent = false;
	/* The application's mbuf goes back to where it came from. */
	if (place->wrapped) {
		weir_dpdk_free(flow->port, weir_dpdk_place_unwrap(flow, place));
		return true;
	}
	if (rte_mbuf_refcnt_read(m) == 1) {
		/* Acquire: whoever had it is done reading (net_ring). */
		atomic_thread_fence(memory_order_acquire);
		return true;
	}
	place->mbuf = NULL;
	weir_dpdk_free(flow->port, m);
	if (place_refill(flow, index))
		return true;
	flow->owed[flow->owed_count++] = index;
	return false;
}

void
weir_dpdk_places_back(struct dpdk_flow *flow, const struct conn_tx_msg *msgs,
		      uint32_t count)
{
	uint32_t out = 0;

	flow->away_count -= count;
	for (uint32_t i = 0; i < count; i++) {
		struct dpdk_place *place = msgs[i].ref;

		/* Else large, or copied into a batch: nobody else had it. */
		if (__builtin_expect(place->lent || place->wrapped, 0) &&
		    !place_renew(flow, place))
			continue;
		place_put(flow, place, out++);
	}
	if (out != 0)
		weir_spsc_push(&flow->back_q, out);
}

/* The places: a slot each for all credits, and the large buffers. */
static int
places_make(struct dpdk_flow *flow)
{
	uint32_t small = flow->tx_capacity, large = 0;

	if (flow->msg_size_max > flow->frag_size) {
		if (large_make(flow, &flow->tx_large, flow->msg_size_max) != 0)
			return -ENOMEM;
		large = flow->tx_large.count;
	}
	flow->large_count = large;
	flow->place_count = small + large;
	for (uint32_t i = 0; i < large; i++) {
		flow->places[small + i].data =
			dpdk_large_at(&flow->tx_large, i);
		place_hand_out(flow, small + i);
	}
	for (uint32_t i = small; i-- > 0;)
		if (place_refill(flow, i))
			place_hand_out(flow, i);
		else
			flow->owed[flow->owed_count++] = i;
	return 0;
}

/* Not elsewhere, if the device has shown its peer one range (memif). Others
 * read what they are given, or copy it (af_xdp). */
static void
wrap_settle(struct dpdk_flow *flow)
{
	const struct dpdk_dev *dev = flow->port->dev;

	flow->wrap_begin = dev->refer_begin;
	flow->wrap_end = dev->refer_end != 0 ? dev->refer_end : UINTPTR_MAX;
}

int
weir_dpdk_flow_up(struct dpdk_flow *flow)
{
	struct conn_limits limits;
	int rc;

	weir_conn_limits(flow->conn, &limits);
	if (limits.peer_port != 0) {
		/* docs/wire.md, data_port: all but INIT and ACCEPT go there. */
		flow->peer.port = limits.peer_port;
		weir_dpdk_hdr_set_dst_port(&flow->hdr, limits.peer_port);
	}
	flow->frag_size = limits.frag_size;
	flow->msg_size_max =
		min_u32(flow->config.msg_size_max, limits.msg_size_max);
	flow->tx_capacity = (uint32_t)weir_conn_tx_credit(flow->conn);
	flow->limit_told = flow->tx_capacity;
	wrap_settle(flow);
	rc = places_make(flow);
	if (rc == 0 && flow->config.msg_size_max > flow->frag_size)
		rc = large_make(flow, &flow->rx_large,
				flow->config.msg_size_max);
	if (rc != 0)
		return rc;
	flow->phase = DPDK_PHASE_UP;
	flow->touched = true;
	atomic_store_explicit(&flow->tx_limit, flow->limit_told,
			      memory_order_relaxed);
	atomic_store_explicit(&flow->status, 0, memory_order_relaxed);
	/* Release: sizes and places; pairs with tx_begin(). */
	atomic_store_explicit(&flow->up, true, memory_order_release);
	weir_dpdk_wake_tx(flow);
	return 0;
}

/* ---- telling the halves ---------------------------------------------------------- */

void
weir_dpdk_wake_tx(struct dpdk_flow *flow)
{
	if (__builtin_expect(
		    weir_doorbell_wanted(&flow->tx_sleeping, flow->fence), 0)) {
		weir_doorbell_ring(atomic_load_explicit(&flow->tx_fd,
							memory_order_acquire));
		__atomic_store_n(&flow->tx_doorbells, flow->tx_doorbells + 1,
				 __ATOMIC_RELAXED);
	}
}

void
weir_dpdk_wake_rx(struct dpdk_flow *flow)
{
	if (__builtin_expect(
		    weir_doorbell_wanted(&flow->rx_sleeping, flow->fence), 0)) {
		weir_doorbell_ring(atomic_load_explicit(&flow->rx_fd,
							memory_order_acquire));
		__atomic_store_n(&flow->rx_doorbells, flow->rx_doorbells + 1,
				 __ATOMIC_RELAXED);
	}
}

void
weir_dpdk_tell_tx_end(struct dpdk_flow *flow, int rc)
{
	if (atomic_load_explicit(&flow->tx_end, memory_order_relaxed) != 0)
		return;
	atomic_store_explicit(&flow->tx_end, rc, memory_order_release);
	weir_dpdk_wake_tx(flow);
}

void
weir_dpdk_tell_rx_end(struct dpdk_flow *flow, int rc)
{
	if (atomic_load_explicit(&flow->rx_end, memory_order_relaxed) != 0)
		return;
	/* Release: all messages before it; pairs with rx_end(). */
	atomic_store_explicit(&flow->rx_end, rc, memory_order_release);
	weir_dpdk_wake_rx(flow);
}

void
weir_dpdk_flow_fail(struct dpdk_flow *flow, int rc)
{
	atomic_store_explicit(&flow->status, rc, memory_order_relaxed);
	weir_dpdk_tell_tx_end(flow, rc);
	weir_dpdk_tell_rx_end(flow, rc);
}

/* ---- taking back --------------------------------------------------------------- */

static void
room_free(struct rte_mbuf *m)
{
	if (m == NULL)
		return;
	dpdk_unpoison_room(m);
	rte_pktmbuf_free(m);
}

/* The half is gone and nothing of it is under way: its places go. */
static void
tx_reclaim(struct dpdk_flow *flow)
{
	for (uint32_t i = 0; i < flow->place_count; i++) {
		room_free(flow->places[i].mbuf);
		room_free(flow->places[i].own);
		flow->places[i].mbuf = NULL;
		flow->places[i].own = NULL;
	}
	large_drop(flow, &flow->tx_large);
	flow->owed_count = 0;
	if (flow->tx_admitted != 0)
		weir_dpdk_dev_dismiss(flow->port->dev, flow->tx_admitted, 0);
	flow->tx_admitted = 0;
	flow->tx_reclaimed = true;
}

/* The half is gone: what it did not receive is freed as if it had been. */
void
weir_dpdk_ready_drop(struct dpdk_flow *flow)
{
	uint32_t count = weir_spsc_ready(&flow->ready_q);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = weir_spsc_head(&flow->ready_q, i);

		dpdk_held_put(flow, flow->ready[at].index);
		flow->delivered--;
	}
	weir_spsc_pop(&flow->ready_q, count);
}

static void
rx_reclaim(struct dpdk_flow *flow)
{
	large_drop(flow, &flow->rx_large);
	if (flow->rx_admitted != 0)
		weir_dpdk_dev_dismiss(flow->port->dev, 0, flow->rx_admitted);
	flow->rx_admitted = 0;
	flow->rx_reclaimed = true;
}

/*
 * A half that is going says so in gone first and posts the flow then, if it
 * sleeps; in between it may be seen here. From now on nobody posts it.
 *
 * @return false: it is on the list of the posted, and the next poll takes it
 *         off.
 */
static bool
be_unpostable(struct dpdk_flow *flow)
{
	uint32_t seen =
		atomic_load_explicit(&flow->attention, memory_order_relaxed);

	do
		if (seen == DPDK_POSTED)
			return false;
	while (!atomic_compare_exchange_weak_explicit(
		&flow->attention, &seen, DPDK_AWAKE, memory_order_relaxed,
		memory_order_relaxed));
	return true;
}

bool
weir_dpdk_flow_reap(struct dpdk_flow *flow)
{
	/* Acquire: what the halves did before they went. */
	uint32_t gone = atomic_load_explicit(&flow->gone, memory_order_acquire);
	bool tx_over = (gone & DPDK_GONE_TX) && flow->away_count == 0 &&
		       (flow->commits_over || flow->phase == DPDK_PHASE_OVER);
	bool rx_over = (gone & DPDK_GONE_RX) && flow->rx_stopped &&
		       flow->delivered == flow->return_head;

	if (tx_over && !flow->tx_reclaimed)
		tx_reclaim(flow);
	if (rx_over && !flow->rx_reclaimed)
		rx_reclaim(flow);
	if (!flow->tx_reclaimed || !flow->rx_reclaimed ||
	    flow->phase != DPDK_PHASE_OVER)
		return false;
	if (!be_unpostable(flow))
		return false;
	port_leave(flow->port, flow);
	weir_dpdk_flow_put(flow);
	return true;
}

/* ---- after the port ------------------------------------------------------------ */

static void
orphan_left(struct dpdk_flow *flow, int64_t change)
{
	/* Acquire and release: the last one frees what all have used. */
	if (atomic_fetch_add_explicit(&flow->orphan_left, change,
				      memory_order_acq_rel) +
		    change ==
	    0)
		weir_dpdk_flow_put(flow);
}

void
weir_dpdk_flow_orphan_release(struct dpdk_flow *flow, uint32_t index)
{
	room_free(flow->held[index].mbuf);
	orphan_left(flow, -1);
}

/* Both halves are gone, and so is the wire. */
static void
conn_forget(struct dpdk_flow *flow)
{
	void *ref;

	weir_dpdk_ready_drop(flow);
	if (flow->conn == NULL)
		return;
	weir_conn_discard(flow->conn);
	while (weir_conn_pop_acked(flow->conn) != NULL)
		; /* tx_reclaim() knows all places */
	while ((ref = weir_conn_pop_dropped_rx(flow->conn)) != NULL)
		rte_pktmbuf_free(ref);
	weir_dpdk_flow_drop_conn(flow);
}

/* Messages of a batch that are still out get a reference each: whoever
 * releases one then cannot count any more. */
static void
shared_part(struct dpdk_flow *flow)
{
	for (uint32_t i = 0; i < flow->held_free_count; i++)
		flow->held[flow->held_free[i]].mbuf = NULL;
	for (uint32_t i = 0; i < flow->held_total; i++) {
		struct dpdk_held *held = &flow->held[i];

		if (!held->shared || held->mbuf == NULL || held->left <= 1)
			continue;
		rte_mbuf_refcnt_update(held->mbuf, (int16_t)(held->left - 1));
		held->left = 0;
	}
}

/*
 * From the exchange on releasers free by themselves. Those that drew a ticket
 * before are about to write their entry: wait for these few instructions.
 */
void
weir_dpdk_flow_orphan(struct dpdk_flow *flow)
{
	uint64_t drawn;
	uint32_t index;

	shared_part(flow);
	drawn = atomic_fetch_or_explicit(&flow->tickets, DPDK_ORPHAN,
					 memory_order_acq_rel);
	while (flow->return_head != (uint32_t)drawn) {
		if (!weir_retring_take(flow->returns, flow->return_mask,
				       flow->return_head, &index)) {
			sched_yield();
			continue;
		}
		flow->return_head++;
		dpdk_held_put(flow, index);
	}
	conn_forget(flow);
	tx_reclaim(flow);
	port_leave(flow->port, flow);
	flow->port = NULL;
	if (flow->delivered == flow->return_head)
		weir_dpdk_flow_put(flow);
	else
		orphan_left(flow,
			    (int64_t)(flow->delivered - flow->return_head));
}
