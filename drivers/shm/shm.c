/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shm: links between processes of one machine, through memory that each side
 * writes and the other only reads. docs/drivers/shm.md for users,
 * docs/shm-layout.md for the bytes.
 *
 *     shm_segment    one side's memory: made, sealed, checked, mapped
 *     shm_address    where a link meets; who is let in
 *     shm_user       whose id the kernel tells
 *     shm_handshake  one message each way, with descriptors
 *     shm_listener   who is at the door
 *     shm_session    what both lanes share; set-up, death
 *     shm_tx shm_rx  the data path; shm_tx_half the rest of a send half
 *     shm_tx_multi   the data path of a send half that several threads use;
 *                    shm_multi_half the rest of it
 *     shm_orphan     releases, and the end after the end
 *     shm_sleep      what a half sleeps on
 *     shm_bell       what the peer rings
 *     shm_fork       what a forked child must let go of
 *
 * This file: ports and links as the core wants them.
 */

#include "shm.h"

#include "shm_listener.h"
#include "shm_multi.h"

static struct shm_session *
session_of(struct weir_link *link)
{
	return WEIR_CONTAINER_OF(link, struct shm_link, link)->session;
}

/* ---- ports: nothing to hold --------------------------------------------------- */

static int
shm_port_open(struct weir_port *port, const struct weir_endpoint *ep)
{
	(void)port;
	(void)ep;
	return 0;
}

static int
shm_port_poll(struct weir_port *port)
{
	(void)port;
	return 0;
}

static int
shm_port_fd(struct weir_port *port)
{
	(void)port;
	return -EOPNOTSUPP;
}

static int
shm_port_arm(struct weir_port *port, uint64_t *deadline_ns)
{
	(void)port;
	(void)deadline_ns;
	return 1;
}

static void
shm_port_stats(struct weir_port *port, struct weir_port_stats *stats)
{
	(void)port;
	(void)stats;
}

static void
shm_port_close(struct weir_port *port)
{
	(void)port;
}

/* ---- links --------------------------------------------------------------------- */

static int
shm_link_connect(struct weir_link *link, const struct weir_endpoint *ep)
{
	struct shm_address address;
	struct shm_session *s;
	int rc = weir_shm_address(ep, &address);

	if (rc == 0)
		rc = weir_shm_have_identity(address.name);
	if (rc == 0)
		rc = weir_shm_session_create(link, &s);
	if (rc != 0)
		return rc;
	s->address = address;
	rc = weir_shm_session_bind(s, link);
	if (rc != 0) {
		weir_shm_session_unref(s);
		return rc;
	}
	WEIR_CONTAINER_OF(link, struct shm_link, link)->session = s;
	/* Often the listener is there, and this is all it takes on our side.
	 * If it fails at once, status says so. */
	(void)weir_shm_session_progress(s);
	return 0;
}

static bool
is_closed(const struct shm_front *front)
{
	return atomic_load_explicit(&front->tx.end, memory_order_acquire) >>
		       32 ==
	       SHM_END_CLOSED;
}

/* Halves that were not split out are the caller's too, who may ask them for
 * their capacity next. */
static void
attach_halves(struct weir_link *link)
{
	if (link->tx != NULL && link->tx->ops == &weir_shm_tx_ops_early)
		weir_shm_tx_attach(
			WEIR_CONTAINER_OF(link->tx, struct shm_tx, tx));
	if (link->rx != NULL && link->rx->ops == &weir_shm_rx_ops_early)
		weir_shm_rx_attach(
			WEIR_CONTAINER_OF(link->rx, struct shm_rx, rx));
}

static int
shm_link_status(struct weir_link *link)
{
	struct shm_session *s = session_of(link);
	const struct shm_front *peer;
	bool dead, closed, told;
	int rc = weir_shm_session_progress(s);

	if (rc != 1)
		return rc == 0 ? -EINPROGRESS : rc;
	told = atomic_exchange_explicit(&s->told_up, 1, memory_order_relaxed);
	attach_halves(link);
	/* Whatever became of it since: the halves have what the peer sent, and
	 * say how it ended. */
	if (!told)
		return 0;
	if (atomic_load_explicit(&s->broken, memory_order_relaxed))
		return -EPROTO;
	/* Death first: what a peer did before it died counts. */
	dead = weir_shm_session_dead(s);
	peer = s->peer.front;
	closed = is_closed(s->own.front);
	if (closed && is_closed(peer))
		return WEIR_EOF;
	if (atomic_load_explicit(&peer->tx.end, memory_order_relaxed) >> 32 ==
		    SHM_END_ABORTED ||
	    (!closed &&
	     atomic_load_explicit(&peer->rx.gone, memory_order_relaxed) != 0))
		return -ECONNRESET;
	return dead ? -ETIMEDOUT : 0;
}

static int
shm_link_peer(struct weir_link *link, struct weir_peer *peer)
{
	struct shm_session *s = session_of(link);

	if (!weir_shm_session_is_up(s))
		return -ENOTCONN;
	*peer = (struct weir_peer){ .pid = s->creds.pid,
				    .uid = s->creds.uid,
				    .gid = s->creds.gid };
	return 0;
}

static void
shm_link_stats(struct weir_link *link, struct weir_link_stats *stats)
{
	(void)link;
	(void)stats; /* there are no packets */
}

static void
shm_link_destroy(struct weir_link *link)
{
	weir_shm_session_unref(session_of(link));
}

static const char *const shm_keys[] = { "fd", "path", "trust", "uid", NULL };

/* What weir stat can read, wherever the half lies. */
static const struct weir_half_counter
	shm_tx_counters[WEIR_HALF_COUNTERS_MAX] = {
		[WEIR_HALF_status] =
			WEIR_HALF_COUNTER(struct shm_tx, tx.status),
		[WEIR_HALF_messages] = WEIR_HALF_COUNTER(struct shm_tx, seq),
		[WEIR_HALF_payload_bytes] =
			WEIR_HALF_COUNTER(struct shm_tx, payload_bytes),
		[WEIR_HALF_copied_bytes] =
			WEIR_HALF_COUNTER(struct shm_tx, tx.copied_bytes),
		[WEIR_HALF_discarded] =
			WEIR_HALF_COUNTER(struct shm_tx, discarded),
		[WEIR_HALF_doorbells] =
			WEIR_HALF_COUNTER(struct shm_tx, doorbells),
		[WEIR_HALF_reserve_wait_down] =
			WEIR_HALF_COUNTER(struct shm_tx, wait_down),
		[WEIR_HALF_reserve_wait_credit] =
			WEIR_HALF_COUNTER(struct shm_tx, wait_credit),
		[WEIR_HALF_reserve_wait_small] =
			WEIR_HALF_COUNTER(struct shm_tx, wait_small),
		[WEIR_HALF_reserve_wait_large] =
			WEIR_HALF_COUNTER(struct shm_tx, wait_large),
	};

/* The bytes of messages that are out are in their bodies' states only. */
static const struct weir_half_counter
	shm_multi_counters[WEIR_HALF_COUNTERS_MAX] = {
		[WEIR_HALF_status] =
			WEIR_HALF_COUNTER(struct shm_multi, base.tx.status),
		[WEIR_HALF_messages] = WEIR_HALF_COUNTER(struct shm_multi, seq),
		[WEIR_HALF_copied_bytes] = WEIR_HALF_COUNTER(
			struct shm_multi, base.tx.copied_bytes),
		[WEIR_HALF_discarded] =
			WEIR_HALF_COUNTER(struct shm_multi, discarded),
		[WEIR_HALF_doorbells] =
			WEIR_HALF_COUNTER(struct shm_multi, doorbells),
		[WEIR_HALF_reserve_wait_down] =
			WEIR_HALF_COUNTER(struct shm_multi, wait_down),
		[WEIR_HALF_reserve_wait_credit] =
			WEIR_HALF_COUNTER(struct shm_multi, wait_credit),
		[WEIR_HALF_reserve_wait_small] =
			WEIR_HALF_COUNTER(struct shm_multi, wait_small),
		[WEIR_HALF_reserve_wait_large] =
			WEIR_HALF_COUNTER(struct shm_multi, wait_large),
	};

static const struct weir_half_counter
	shm_rx_counters[WEIR_HALF_COUNTERS_MAX] = {
		[WEIR_HALF_status] =
			WEIR_HALF_COUNTER(struct shm_rx, rx.status),
		[WEIR_HALF_messages] = WEIR_HALF_COUNTER(struct shm_rx, seq),
		[WEIR_HALF_payload_bytes] =
			WEIR_HALF_COUNTER(struct shm_rx, payload_bytes),
		[WEIR_HALF_copied_bytes] =
			WEIR_HALF_COUNTER(struct shm_rx, copied_bytes),
	};

const struct weir_driver weir_driver_shm = {
	.scheme = "shm",
	.caps = WEIR_CAP_PROCESS | WEIR_CAP_MULTI_PRODUCER,
	.modes = 1u << WEIR_MODE_BARE,
	/* Cells that fit the first-level cache beside the work: with 1,024 the
	 * rate of small messages is two thirds, see docs/performance.md. */
	.tx_credits = 256,
	.keys = shm_keys,
	.port_size = sizeof(struct weir_port),
	.listener_size = sizeof(struct shm_listener),
	.link_size = sizeof(struct shm_link),
	.tx_size = sizeof(struct shm_multi), /* begins with struct shm_tx */
	.rx_size = sizeof(struct shm_rx),
	.tx_counters = shm_tx_counters,
	.tx_shared_counters = shm_multi_counters,
	.rx_counters = shm_rx_counters,
	.port_open = shm_port_open,
	.port_poll = shm_port_poll,
	.port_fd = shm_port_fd,
	.port_arm = shm_port_arm,
	.port_stats = shm_port_stats,
	.port_close = shm_port_close,
	.listener_open = weir_shm_listener_open,
	.listener_fd = weir_shm_listener_fd,
	.listener_close = weir_shm_listener_close,
	.link_accept = weir_shm_link_accept,
	.link_connect = shm_link_connect,
	.link_status = shm_link_status,
	.link_peer = shm_link_peer,
	.link_stats = shm_link_stats,
	.link_destroy = shm_link_destroy,
};
