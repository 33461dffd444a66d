/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mem: links inside one process. The reference driver: read this one first.
 *
 *     mem_lane.h      one direction of a link, drawn; who owns which cell
 *     mem_datapath.c  reserve, alloc, commit, recv, release
 *     mem_multi.c     the same when several threads send
 *     mem_pair.h      how connector and listener find each other
 *     mem.c           this file: what the core calls to set links up
 *
 * Ports have nothing to poll: a commit is visible to the peer at once.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mem_multi.h"

struct mem_link {
	struct weir_link link;
	struct mem_pair *pair;
	uint32_t side; /* connector 0, acceptor 1 */
};

static struct mem_pair *
pair_of(struct weir_link *link)
{
	return WEIR_CONTAINER_OF(link, struct mem_link, link)->pair;
}

static int
mem_name_check(const struct weir_endpoint *ep)
{
	if (strlen(ep->address) < MEM_NAME_MAX)
		return 0;
	return weir_fail(-EINVAL,
			 "endpoint '%s:%s': the name is longer than %d "
			 "characters; shorten it",
			 ep->scheme, ep->address, MEM_NAME_MAX - 1);
}

static int
mem_port_open(struct weir_port *port, const struct weir_endpoint *ep)
{
	(void)port;
	return mem_name_check(ep);
}

static int
mem_port_poll(struct weir_port *port)
{
	(void)port;
	return 0;
}

static int
mem_port_fd(struct weir_port *port)
{
	(void)port;
	return -EOPNOTSUPP;
}

static int
mem_port_arm(struct weir_port *port, uint64_t *deadline_ns)
{
	(void)port;
	(void)deadline_ns;
	return 0;
}

static void
mem_port_stats(struct weir_port *port, struct weir_port_stats *stats)
{
	(void)port;
	(void)stats;
}

static void
mem_port_close(struct weir_port *port)
{
	(void)port;
}

static struct mem_listener *
listener_of(struct weir_listener *listener)
{
	return WEIR_CONTAINER_OF(listener, struct mem_listener, listener);
}

static int
mem_listener_open(struct weir_listener *listener,
		  const struct weir_endpoint *ep)
{
	struct mem_listener *ml = listener_of(listener);
	int rc = mem_name_check(ep);

	if (rc != 0)
		return rc;
	rc = weir_mem_listen(ep->address, ml);
	if (rc != 0 && ml->fd >= 0)
		close(ml->fd);
	if (rc == -EADDRINUSE)
		weir_fail(rc,
			  "endpoint 'mem:%s': this process listens there "
			  "already; choose another name",
			  ep->address);
	return rc;
}

static int
mem_listener_fd(struct weir_listener *listener)
{
	return listener_of(listener)->fd;
}

static void
mem_listener_close(struct weir_listener *listener)
{
	struct mem_listener *ml = listener_of(listener);

	weir_mem_unlisten(ml);
	close(ml->fd);
}

/* Bring the three objects of one side to life. */
static void
side_start(struct weir_link *link, struct mem_pair *pair, uint32_t side,
	   int tx_fd, int rx_fd)
{
	struct mem_link *ml = WEIR_CONTAINER_OF(link, struct mem_link, link);
	struct mem_tx *mt = WEIR_CONTAINER_OF(link->tx, struct mem_tx, tx);
	struct mem_rx *mr = WEIR_CONTAINER_OF(link->rx, struct mem_rx, rx);

	ml->pair = pair;
	ml->side = side;
	mt->tx.ops = &weir_mem_tx_ops;
	mt->pair = pair;
	mt->side = side;
	mt->fd = tx_fd;
	if (mt->tx.shared)
		weir_mem_multi_init(mt);
	mr->rx.ops = &weir_mem_rx_ops;
	mr->pair = pair;
	mr->side = side;
	mr->fd = rx_fd;
}

static int
mem_link_accept(struct weir_listener *listener, struct weir_link *link)
{
	struct mem_pair *pair;
	int rc = weir_mem_take(listener_of(listener), &pair);

	if (rc != 1)
		return rc;
	side_start(link, pair, 1, pair->lane[1]->tx_fd, pair->lane[0]->rx_fd);
	weir_mem_tx_attach(WEIR_CONTAINER_OF(link->tx, struct mem_tx, tx),
			   pair->lane[1]);
	weir_mem_rx_attach(WEIR_CONTAINER_OF(link->rx, struct mem_rx, rx),
			   pair->lane[0]);
	return 1;
}

static int
mem_link_connect(struct weir_link *link, const struct weir_endpoint *ep)
{
	struct mem_pair *pair;
	int rc = mem_name_check(ep);

	if (rc != 0)
		return rc;
	pair = weir_mem_pair_create(ep->address, &link->config);
	if (pair == NULL)
		return weir_fail(
			-ENOMEM,
			"connect: out of memory or descriptors; free some");
	side_start(link, pair, 0, pair->tx_fd, pair->rx_fd);
	weir_mem_pair_progress(pair);
	return 0;
}

static uint32_t
end_of(_Atomic uint32_t *end)
{
	return atomic_load_explicit(end, memory_order_acquire);
}

/* Of a link that is up: the lane we send on and the one we receive on. */
static int
lanes_status(struct mem_lane *out, struct mem_lane *in)
{
	bool closed = end_of(&out->tx_end) == MEM_END_CLOSED;

	if (end_of(&in->tx_end) == MEM_END_ABORTED ||
	    (!closed && end_of(&out->rx_end) != MEM_END_OPEN))
		return -ECONNRESET;
	return closed && end_of(&in->tx_end) == MEM_END_CLOSED ? WEIR_EOF : 0;
}

static int
mem_link_status(struct weir_link *link)
{
	struct mem_link *ml = WEIR_CONTAINER_OF(link, struct mem_link, link);
	struct mem_pair *pair = ml->pair;

	switch (weir_mem_pair_progress(pair)) {
	case MEM_PAIR_UP:
		return lanes_status(pair->lane[ml->side],
				    pair->lane[!ml->side]);
	case MEM_PAIR_FAILED:
		return pair->error;
	default:
		return -EINPROGRESS;
	}
}

static int
mem_link_peer(struct weir_link *link, struct weir_peer *peer)
{
	if (weir_mem_pair_progress(pair_of(link)) != MEM_PAIR_UP)
		return -ENOTCONN;
	*peer = (struct weir_peer){ .pid = getpid(),
				    .uid = geteuid(),
				    .gid = getegid() };
	snprintf(peer->address, sizeof(peer->address), "%.63s",
		 pair_of(link)->name);
	return 0;
}

static void
mem_link_stats(struct weir_link *link, struct weir_link_stats *stats)
{
	(void)link;
	(void)stats;
}

static void
mem_link_destroy(struct weir_link *link)
{
	weir_mem_pair_unref(pair_of(link));
}

static const char *const mem_keys[] = { NULL };

/* What weir stat can read, wherever the half lies. */
static const struct weir_half_counter
	mem_tx_counters[WEIR_HALF_COUNTERS_MAX] = {
		[WEIR_HALF_status] =
			WEIR_HALF_COUNTER(struct mem_tx, tx.status),
		[WEIR_HALF_messages] =
			WEIR_HALF_COUNTER(struct mem_tx, counters.messages),
		[WEIR_HALF_payload_bytes] = WEIR_HALF_COUNTER(
			struct mem_tx, counters.payload_bytes),
		[WEIR_HALF_copied_bytes] =
			WEIR_HALF_COUNTER(struct mem_tx, tx.copied_bytes),
		[WEIR_HALF_discarded] =
			WEIR_HALF_COUNTER(struct mem_tx, counters.discarded),
		[WEIR_HALF_doorbells] =
			WEIR_HALF_COUNTER(struct mem_tx, counters.doorbells),
		[WEIR_HALF_reserve_wait_down] = WEIR_HALF_COUNTER(
			struct mem_tx, counters.reserve_wait_down),
		[WEIR_HALF_reserve_wait_credit] = WEIR_HALF_COUNTER(
			struct mem_tx, counters.reserve_wait_credit),
		[WEIR_HALF_reserve_wait_small] = WEIR_HALF_COUNTER(
			struct mem_tx, counters.reserve_wait_small),
		[WEIR_HALF_reserve_wait_large] = WEIR_HALF_COUNTER(
			struct mem_tx, counters.reserve_wait_large),
	};

/* Messages are counted in the lane, which lies elsewhere. */
static const struct weir_half_counter
	mem_multi_counters[WEIR_HALF_COUNTERS_MAX] = {
		[WEIR_HALF_status] =
			WEIR_HALF_COUNTER(struct mem_multi, base.tx.status),
		[WEIR_HALF_copied_bytes] = WEIR_HALF_COUNTER(
			struct mem_multi, base.tx.copied_bytes),
		[WEIR_HALF_discarded] =
			WEIR_HALF_COUNTER(struct mem_multi, discarded),
		[WEIR_HALF_doorbells] =
			WEIR_HALF_COUNTER(struct mem_multi, doorbells),
		[WEIR_HALF_reserve_wait_down] =
			WEIR_HALF_COUNTER(struct mem_multi, wait_down),
		[WEIR_HALF_reserve_wait_credit] =
			WEIR_HALF_COUNTER(struct mem_multi, wait_credit),
		[WEIR_HALF_reserve_wait_small] =
			WEIR_HALF_COUNTER(struct mem_multi, wait_small),
		[WEIR_HALF_reserve_wait_large] =
			WEIR_HALF_COUNTER(struct mem_multi, wait_large),
	};

static const struct weir_half_counter
	mem_rx_counters[WEIR_HALF_COUNTERS_MAX] = {
		[WEIR_HALF_status] =
			WEIR_HALF_COUNTER(struct mem_rx, rx.status),
		[WEIR_HALF_messages] =
			WEIR_HALF_COUNTER(struct mem_rx, counters.messages),
		[WEIR_HALF_payload_bytes] = WEIR_HALF_COUNTER(
			struct mem_rx, counters.payload_bytes),
		[WEIR_HALF_doorbells] =
			WEIR_HALF_COUNTER(struct mem_rx, counters.doorbells),
	};

const struct weir_driver weir_driver_mem = {
	.scheme = "mem",
	.caps = WEIR_CAP_MULTI_PRODUCER,
	.modes = 1u << WEIR_MODE_BARE,
	.keys = mem_keys,
	.port_size = sizeof(struct weir_port),
	.listener_size = sizeof(struct mem_listener),
	.link_size = sizeof(struct mem_link),
	.tx_size = sizeof(struct mem_multi), /* begins with struct mem_tx */
	.rx_size = sizeof(struct mem_rx),
	.tx_counters = mem_tx_counters,
	.tx_shared_counters = mem_multi_counters,
	.rx_counters = mem_rx_counters,
	.port_open = mem_port_open,
	.port_poll = mem_port_poll,
	.port_fd = mem_port_fd,
	.port_arm = mem_port_arm,
	.port_stats = mem_port_stats,
	.port_close = mem_port_close,
	.listener_open = mem_listener_open,
	.listener_fd = mem_listener_fd,
	.listener_close = mem_listener_close,
	.link_accept = mem_link_accept,
	.link_connect = mem_link_connect,
	.link_status = mem_link_status,
	.link_peer = mem_link_peer,
	.link_stats = mem_link_stats,
	.link_destroy = mem_link_destroy,
};
