/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Listeners: who is at the door, who is let in, and the listener's half of the
 * handshake. No stranger can hold it up or make it grow.
 */

#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "clock.h"
#include "shm_listener.h"
#include "shm_segment.h"

/* A hello is sent right after connecting: who takes longer means no good. */
#define PENDING_NS UINT64_C(1000000000)

static struct shm_listener *
shm_listener_of(struct weir_listener *l)
{
	return WEIR_CONTAINER_OF(l, struct shm_listener, listener);
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

/* Closing it takes it out of the epoll set. */
static int
pending_take(struct shm_listener *l, unsigned int i)
{
	int sock = l->pending[i].sock;

	memmove(&l->pending[i], &l->pending[i + 1],
		sizeof(l->pending[0]) * (--l->pending_count - i));
	return sock;
}

static unsigned int
pending_of(const struct shm_listener *l, uint32_t uid)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < l->pending_count; i++)
		count += l->pending[i].uid == uid;
	return count;
}

/* @return the oldest of the user who has most. */
static unsigned int
whom_to_push_out(const struct shm_listener *l)
{
	unsigned int most = 0, which = 0;

	for (unsigned int i = 0; i < l->pending_count; i++) {
		unsigned int count = pending_of(l, l->pending[i].uid);

		if (count > most) {
			most = count;
			which = i;
		}
	}
	return which;
}

static void
pending_add(struct shm_listener *l, int sock, uint32_t uid, uint64_t until_ns)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (l->pending_count == PENDING_MAX)
		weir_shm_refuse(pending_take(l, whom_to_push_out(l)), -EBUSY);
	l->pending[l->pending_count++] = (struct shm_pending){
		.sock = sock, .uid = uid, .until_ns = until_ns
	};
	(void)epoll_ctl(l->epoll, EPOLL_CTL_ADD, sock, &event);
}

/* The name and who knocked are the parent's alone. */
static void
in_child(struct shm_fork *entry)
{
	struct shm_listener *l =
		WEIR_CONTAINER_OF(entry, struct shm_listener, fork);

	while (l->pending_count > 0)
		close(pending_take(l, 0));
	if (l->sock >= 0)
		close(l->sock);
	l->sock = -1;
}

/* Who requires huge pages hears now that there are none, not when a peer comes:
 * what a link would take is taken and given back. */
static int
try_hugepages(const struct weir_listener *listener)
{
	struct shm_segment segment;
	int rc;

	if (listener->port->config.hugepages != WEIR_HUGEPAGES_REQUIRE)
		return 0;
	rc = weir_shm_segment_create(&listener->config, WEIR_HUGEPAGES_REQUIRE,
				     &segment);
	if (rc != 0)
		return rc;
	weir_shm_segment_close_fd(&segment);
	weir_shm_segment_unmap(&segment);
	return 0;
}

int
weir_shm_listener_open(struct weir_listener *listener,
		       const struct weir_endpoint *ep)
{
	struct shm_listener *l = shm_listener_of(listener);
	struct epoll_event event = { .events = EPOLLIN };
	int rc = weir_shm_address(ep, &l->address);

	if (rc == 0)
		rc = weir_shm_have_identity(l->address.name);
	if (rc == 0)
		rc = try_hugepages(listener);
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
		pending_add(l, l->address.fd, geteuid(), WEIR_FOREVER);
	} else {
		l->sock = weir_shm_listen(&l->address, &l->policy);
		if (l->sock < 0) {
			close(l->epoll);
			return l->sock;
		}
		(void)epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->sock, &event);
	}
	weir_shm_fork_add(&l->fork, in_child);
	return 0;
}

int
weir_shm_listener_fd(struct weir_listener *listener)
{
	return shm_listener_of(listener)->epoll;
}

/* Let in who waits at the door, a bounded number at a time. */
static int
admit_all(struct shm_listener *l, uint64_t now_ns)
{
	uint32_t uid = 0;
	int sock;

	for (int i = 0; i < PENDING_MAX && l->sock >= 0; i++) {
		sock = accept4(l->sock, NULL, NULL,
			       SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (sock < 0)
			return errno == EMFILE || errno == ENFILE ||
					       errno == ENOMEM
				       ? -errno
				       : 0;
		if (weir_shm_admit(sock, &l->policy, &uid) != 0)
			weir_shm_refuse(sock, -EACCES);
		else
			pending_add(l, sock, uid, now_ns + PENDING_NS);
	}
	return 0;
}

void
weir_shm_listener_close(struct weir_listener *listener)
{
	struct shm_listener *l = shm_listener_of(listener);

	weir_shm_fork_remove(&l->fork);
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
build(struct weir_link *link, const struct shm_address *address, int sock,
      const struct shm_hello *hello, int fds[SHM_FDS],
      const struct shm_creds *creds)
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
	s->address.trust_none = address->trust_none;
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

static int
handed_lost(const struct shm_listener *l)
{
	return weir_fail(l->lost,
			 "shm:%s: no link comes from the socket fd=: %s; hand "
			 "over another",
			 l->address.name, weir_strerror(l->lost));
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
		rc = build(link, &l->address, sock, &hello, fds, &creds);
	if (rc == 1) {
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, sock, &none);
		return 1;
	}
	weir_shm_refuse(sock, rc == 0 ? -ETIMEDOUT : rc);
	if (l->address.fd >= 0) {
		l->lost = rc;
		return handed_lost(l);
	}
	/* A peer that misbehaves during set-up is not reported. */
	return rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE ? rc : 0;
}

/* @return as try_pending(), of the first with whom there is something. */
static int
try_all_pending(struct shm_listener *l, struct weir_link *link, uint64_t now_ns)
{
	unsigned int i = 0, count;
	int rc;

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

/* Who is in already comes first: whoever is let in after that may take the
 * place of one who had nothing to say. */
int
weir_shm_link_accept(struct weir_listener *listener, struct weir_link *link)
{
	struct shm_listener *l = shm_listener_of(listener);
	uint64_t now_ns = weir_clock_ns();
	int rc;

	if (l->lost != 0)
		return handed_lost(l);
	rc = try_all_pending(l, link, now_ns);
	if (rc != 0)
		return rc;
	rc = admit_all(l, now_ns);
	if (rc != 0)
		return weir_fail(rc,
				 "shm:%s: cannot accept: %s; raise the "
				 "limit of open files",
				 l->address.name, strerror(-rc));
	return try_all_pending(l, link, now_ns);
}
