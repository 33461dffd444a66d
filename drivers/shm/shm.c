/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shm: links between processes of one machine, through memory that each side
 * writes and the other only reads. docs/drivers/shm.md for users,
 * docs/shm-layout.md for the bytes.
 *
 *     shm_segment    one side's memory: made, sealed, checked, mapped
 *     shm_address    where a link meets; who is let in
 *     shm_handshake  one message each way, with descriptors
 *     shm_session    what both lanes share; set-up, death
 *     shm_tx shm_rx  the data path
 *     shm_orphan     releases, and the end after the end
 *     shm_sleep      what a half sleeps on
 *
 * This file: ports, listeners and links as the core wants them.
 */

#include "shm.h"

#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "shm_lane.h"

/* Connections whose hello is not here yet; beyond that the oldest goes. */
#define PENDING_MAX 16

/* A hello is sent right after connecting: who takes longer means no good. */
#define PENDING_NS UINT64_C(1000000000)

struct shm_pending {
	int sock;
	uint64_t until_ns;
};

struct shm_listener {
	struct weir_listener listener;
	struct shm_address address;
	struct shm_policy policy;
	int sock; /* listening; -1: handed over */
	int epoll;
	unsigned int pending_count;
	struct shm_pending pending[PENDING_MAX]; /* oldest first */
};

struct shm_link {
	struct weir_link link;
	struct shm_session *session;
};

static struct shm_listener *
shm_listener_of(struct weir_listener *l)
{
	return WEIR_CONTAINER_OF(l, struct shm_listener, listener);
}

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

/* ---- listeners ----------------------------------------------------------------- */

static int
group_id(const char *name, int64_t *gid)
{
	struct group group, *found = NULL;
	char buffer[4096], *end;
	unsigned long number;

	*gid = -1;
	if (name == NULL)
		return 0;
	if (getgrnam_r(name, &group, buffer, sizeof(buffer), &found) == 0 &&
	    found != NULL) {
		*gid = group.gr_gid;
		return 0;
	}
	number = strtoul(name, &end, 10);
	if (*name < '0' || *name > '9' || *end != '\0' || number >= UINT32_MAX)
		return weir_fail(-EINVAL,
				 "listener: there is no group '%s'; use an "
				 "existing one or its number",
				 name);
	*gid = (int64_t)number;
	return 0;
}

static void
pending_add(struct shm_listener *l, int sock, uint64_t until_ns)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (l->pending_count == PENDING_MAX) {
		weir_shm_refuse(l->pending[0].sock, -EBUSY);
		memmove(&l->pending[0], &l->pending[1],
			sizeof(l->pending[0]) * --l->pending_count);
	}
	l->pending[l->pending_count++] =
		(struct shm_pending){ .sock = sock, .until_ns = until_ns };
	(void)epoll_ctl(l->epoll, EPOLL_CTL_ADD, sock, &event);
}

/* Closing it takes it out of the epoll set. */
static int
pending_take(struct shm_listener *l, unsigned int i)
{
	int sock = l->pending[i].sock;

	memmove(&l->pending[i], &l->pending[i + 1],
		sizeof(l->pending[0]) * (--l->pending_count - i));
	return sock;
}

static int
shm_listener_open(struct weir_listener *listener,
		  const struct weir_endpoint *ep)
{
	struct shm_listener *l = shm_listener_of(listener);
	struct epoll_event event = { .events = EPOLLIN };
	int rc = weir_shm_address(ep, &l->address);

	if (rc != 0)
		return rc;
	l->policy.access_mode = listener->config.access_mode;
	rc = group_id(listener->config.access_group, &l->policy.gid);
	if (rc != 0)
		return rc;
	listener->config.access_group = NULL; /* the caller's memory */
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll < 0)
		return weir_fail(-errno,
				 "shm:%s: no descriptor: %s; raise the "
				 "limit of open files",
				 l->address.name, strerror(errno));
	l->sock = -1;
	if (l->address.fd >= 0) {
		pending_add(l, l->address.fd, WEIR_FOREVER);
		return 0;
	}
	l->sock = weir_shm_listen(&l->address, &l->policy);
	if (l->sock < 0) {
		close(l->epoll);
		return l->sock;
	}
	(void)epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->sock, &event);
	return 0;
}

static int
shm_listener_fd(struct weir_listener *listener)
{
	return shm_listener_of(listener)->epoll;
}

/* Let in who waits at the door, a bounded number at a time. */
static int
admit_all(struct shm_listener *l, uint64_t now_ns)
{
	int sock;

	for (int i = 0; i < PENDING_MAX && l->sock >= 0; i++) {
		sock = accept4(l->sock, NULL, NULL,
			       SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (sock < 0)
			return errno == EMFILE || errno == ENFILE ||
					       errno == ENOMEM
				       ? -errno
				       : 0;
		if (weir_shm_admit(sock, &l->policy) != 0)
			weir_shm_refuse(sock, -EACCES);
		else
			pending_add(l, sock, now_ns + PENDING_NS);
	}
	return 0;
}

static void
shm_listener_close(struct weir_listener *listener)
{
	struct shm_listener *l = shm_listener_of(listener);

	(void)admit_all(l, 0);
	while (l->pending_count > 0)
		weir_shm_refuse(pending_take(l, 0), -ECONNREFUSED);
	if (l->sock >= 0)
		weir_shm_unlisten(&l->address, l->sock);
	close(l->epoll);
}

/* ---- links --------------------------------------------------------------------- */

/* Answer a hello. @return 1; -ENOMEM, -EMFILE ours; -EPROTO, -ECONNRESET
 * theirs. Consumes fds, not sock. */
static int
build(struct weir_link *link, int sock, const struct shm_hello *hello,
      int fds[SHM_FDS], const struct shm_creds *creds)
{
	struct shm_session *s;
	int rc;

	if (hello->type != SHM_HELLO || hello->mode != WEIR_MODE_BARE) {
		weir_shm_close_fds(fds);
		return -EPROTO;
	}
	rc = weir_shm_session_create(link, &s);
	if (rc != 0) {
		weir_shm_close_fds(fds);
		return rc;
	}
	rc = weir_shm_session_adopt(s, hello, fds, creds);
	if (rc == 0)
		rc = weir_shm_session_bind(s, link);
	if (rc != 0) {
		weir_shm_session_unref(s);
		return rc;
	}
	rc = weir_shm_session_send(s, sock, SHM_OFFER);
	if (rc != 0) {
		link->rx->ops->destroy(link->rx);
		link->tx->ops->destroy(link->tx);
		weir_shm_session_unref(s);
		return -ECONNRESET;
	}
	weir_shm_session_up(s, sock);
	weir_shm_tx_attach(WEIR_CONTAINER_OF(link->tx, struct shm_tx, tx));
	weir_shm_rx_attach(WEIR_CONTAINER_OF(link->rx, struct shm_rx, rx));
	WEIR_CONTAINER_OF(link, struct shm_link, link)->session = s;
	return 1;
}

/* One who waits. @return 1 a link; 0 nothing yet; negative: ours to tell. */
static int
try_pending(struct shm_listener *l, struct weir_link *link, unsigned int i,
	    uint64_t now_ns)
{
	struct epoll_event none = { 0 };
	struct shm_creds creds = { 0 };
	struct shm_hello hello;
	int fds[SHM_FDS], sock = l->pending[i].sock;
	int rc = weir_shm_receive(sock, &hello, fds, &creds);

	if (rc == 0 && now_ns < l->pending[i].until_ns)
		return 0;
	pending_take(l, i);
	if (rc == 1)
		rc = build(link, sock, &hello, fds, &creds);
	if (rc == 1) {
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, sock, &none);
		return 1;
	}
	weir_shm_refuse(sock, rc == 0 ? -ETIMEDOUT : rc);
	/* A peer that misbehaves during set-up is not reported. */
	return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ? rc : 0;
}

static int
shm_link_accept(struct weir_listener *listener, struct weir_link *link)
{
	struct shm_listener *l = shm_listener_of(listener);
	uint64_t now_ns = weir_clock_ns();
	unsigned int i = 0, count;
	int rc = admit_all(l, now_ns);

	if (rc != 0)
		return weir_fail(rc,
				 "shm:%s: cannot accept: %s; raise the "
				 "limit of open files",
				 l->address.name, strerror(-rc));
	while (i < l->pending_count) {
		count = l->pending_count;
		rc = try_pending(l, link, i, now_ns);
		if (rc != 0)
			return rc;
		if (l->pending_count == count)
			i++;
	}
	return 0;
}

static int
shm_link_connect(struct weir_link *link, const struct weir_endpoint *ep)
{
	struct shm_address address;
	struct shm_session *s;
	int rc = weir_shm_address(ep, &address);

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
	bool dead, closed;
	int rc = weir_shm_session_progress(s);

	if (rc != 1)
		return rc == 0 ? -EINPROGRESS : rc;
	attach_halves(link);
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

static const char *const shm_keys[] = { "fd", "path", "uid", NULL };

const struct weir_driver weir_driver_shm = {
	.scheme = "shm",
	.caps = WEIR_CAP_PROCESS,
	.modes = 1u << WEIR_MODE_BARE,
	.keys = shm_keys,
	.port_size = sizeof(struct weir_port),
	.listener_size = sizeof(struct shm_listener),
	.link_size = sizeof(struct shm_link),
	.tx_size = sizeof(struct shm_tx),
	.rx_size = sizeof(struct shm_rx),
	.port_open = shm_port_open,
	.port_poll = shm_port_poll,
	.port_fd = shm_port_fd,
	.port_arm = shm_port_arm,
	.port_stats = shm_port_stats,
	.port_close = shm_port_close,
	.listener_open = shm_listener_open,
	.listener_fd = shm_listener_fd,
	.listener_close = shm_listener_close,
	.link_accept = shm_link_accept,
	.link_connect = shm_link_connect,
	.link_status = shm_link_status,
	.link_peer = shm_link_peer,
	.link_stats = shm_link_stats,
	.link_destroy = shm_link_destroy,
};
