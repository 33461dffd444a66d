/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Session: what the two lanes of a link share, from the first attempt to
 * connect until the last handle is released.
 *
 *     connect: CONNECTING --somebody listens, hello sent--> WAITING --offer--> UP
 *                 ^  |                                       |  |
 *                 |  +-- connect_timeout --> FAILED <--------|--+ refused, lies
 *                 +---------- hang-up -----------------------+
 *     accept:  hello received --> UP
 *
 * References: the link, the send half, the receive half with its handles. The
 * socket goes with the second half, the memory with the last reference.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "doorbell.h"
#include "shm_lane.h"

#define RETRY_NS UINT64_C(1000000)

/* ---- life ---------------------------------------------------------------------- */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void
session_free(struct shm_session *s)
{
	weir_shm_fork_remove(&s->fork);
	close_fd(&s->sock);
	close_fd(&s->pidfd);
	weir_shm_bell_close(&s->tx_bell);
	weir_shm_bell_close(&s->rx_bell);
	close_fd(&s->peer_tx_bell);
	close_fd(&s->peer_rx_bell);
	weir_shm_segment_close_fd(&s->own);
	weir_shm_segment_unmap(&s->own);
	weir_shm_segment_unmap(&s->peer);
	weir_shm_places_free(s);
	free((void *)s->track);
	free(s->group_class);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* What the child does with its copies is now nobody's business but its own. Who
 * held the lock is not in this process. */
static void
in_child(struct shm_fork *entry)
{
	struct shm_session *s =
		WEIR_CONTAINER_OF(entry, struct shm_session, fork);

	pthread_mutex_init(&s->lock, NULL);
	close_fd(&s->sock);
	weir_shm_segment_close_fd(&s->own);
	weir_shm_segment_disown(&s->own);
}

static struct shm_session *
session_alloc(void)
{
	struct shm_session *s = aligned_alloc(WEIR_CACHE_LINE, sizeof(*s));

	if (s == NULL)
		return NULL;
	memset(s, 0, sizeof(*s));
	s->store.release = weir_shm_release;
	s->store.release_burst = weir_shm_release_burst;
	s->orphan_flag = weir_shm_orphan_flag();
	s->sock = s->pidfd = s->own.fd = s->address.fd = -1;
	s->tx_bell = s->rx_bell = SHM_BELL_NONE;
	s->peer_tx_bell = s->peer_rx_bell = -1;
	s->refs = 1;
	s->halves = 2;
	s->cycles_per_ms = weir_cycles_per_ms();
	pthread_mutex_init(&s->lock, NULL);
	weir_shm_fork_add(&s->fork, in_child);
	return s;
}

int
weir_shm_session_create(const struct weir_link *link,
			struct shm_session **session)
{
	struct shm_session *s = session_alloc();
	int rc;

	if (s == NULL)
		return weir_fail(-ENOMEM, "shm: out of memory; free some");
	rc = weir_shm_segment_create(&link->config,
				     link->port->config.hugepages, &s->own);
	if (rc != 0)
		goto free_session;
	s->returns = s->own.front->returns;
	s->groups = s->own.front->groups;
	s->give_up_ns = weir_clock_ns() + link->config.connect_timeout_ns;
	rc = weir_shm_bell_open(&s->tx_bell);
	if (rc == 0)
		rc = weir_shm_bell_open(&s->rx_bell);
	if (rc != 0) {
		weir_fail(rc,
			  "shm: no descriptor for a doorbell: %s; raise "
			  "the limit of open files",
			  strerror(-rc));
		goto free_session;
	}
	*session = s;
	return 0;

free_session:
	session_free(s);
	return rc;
}

void
weir_shm_session_ref(struct shm_session *s)
{
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
}

void
weir_shm_session_unref(struct shm_session *s)
{
	/* The last one frees what all the others did: acquire and release. */
	if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
		session_free(s);
}

void
weir_shm_session_half_gone(struct shm_session *s, bool drop_ref)
{
	pthread_mutex_lock(&s->lock);
	if (--s->halves == 0) {
		close_fd(&s->sock);
		close_fd(&s->pidfd);
	}
	pthread_mutex_unlock(&s->lock);
	if (drop_ref)
		weir_shm_session_unref(s);
}

int
weir_shm_session_bind(struct shm_session *s, struct weir_link *link)
{
	struct shm_tx *st = WEIR_CONTAINER_OF(link->tx, struct shm_tx, tx);
	struct shm_rx *sr = WEIR_CONTAINER_OF(link->rx, struct shm_rx, rx);
	int rc = weir_shm_tx_init(st, s);

	if (rc != 0)
		return rc;
	sr->session = s;
	sr->sleep = (struct shm_sleep){ .epoll = -1, .timer = -1 };
	sr->rx.ops = &weir_shm_rx_ops_early;
	weir_shm_session_ref(s);
	weir_shm_session_ref(s);
	return 0;
}

/* ---- up --------------------------------------------------------------------------- */

static int
make_tracks(struct shm_session *s)
{
	const struct shm_header *h = &s->peer.header;
	uint32_t groups = h->body_limit / SHM_GROUP_SIZE;

	s->track = calloc(h->body_limit, sizeof(*s->track));
	s->group_class = malloc(groups);
	if (s->track == NULL || s->group_class == NULL)
		return -ENOMEM;
	memset(s->group_class, 0xff, groups);
	for (unsigned int k = 0; k < h->class_count; k++)
		for (uint32_t b = 0; b < h->classes[k].count;
		     b += SHM_GROUP_SIZE)
			s->group_class[(h->classes[k].first + b) /
				       SHM_GROUP_SIZE] = (uint8_t)k;
	return 0;
}

/* Not ours, sent back: we would ring ourselves. */
static bool
peers_own(const struct shm_session *s, int door)
{
	return !weir_shm_bell_same(door, s->tx_bell.door) &&
	       !weir_shm_bell_same(door, s->rx_bell.door);
}

int
weir_shm_session_adopt(struct shm_session *s, const struct shm_hello *hello,
		       int fds[SHM_FDS], const struct shm_creds *creds)
{
	int rc = -EPROTO;

	if (peers_own(s, fds[SHM_FD_TX_BELL]) &&
	    peers_own(s, fds[SHM_FD_RX_BELL]))
		rc = weir_shm_segment_attach(fds[SHM_FD_SEGMENT],
					     hello->segment_size, hello->epoch,
					     &s->peer);
	if (rc == 0)
		rc = make_tracks(s);
	if (rc == 0)
		rc = weir_shm_places_make(s);
	if (rc != 0) {
		weir_shm_close_fds(fds);
		return rc;
	}
	s->peer_tx_bell = fds[SHM_FD_TX_BELL];
	s->peer_rx_bell = fds[SHM_FD_RX_BELL];
	close(fds[SHM_FD_SEGMENT]);
	s->peer_tx = &s->peer.front->tx;
	s->fence = (s->peer.header.flags & s->own.header.flags &
		    SHM_FLAG_MEMBARRIER) == 0;
	s->creds = *creds;
	return 0;
}

int
weir_shm_session_send(struct shm_session *s, int sock, enum shm_hello_type type)
{
	struct shm_hello hello = {
		.magic = SHM_HELLO_MAGIC,
		.version = SHM_VERSION,
		.type = type,
		.segment_size = s->own.size,
		.epoch = s->own.header.epoch,
		.mode = WEIR_MODE_BARE,
	};
	int fds[SHM_FDS] = { [SHM_FD_SEGMENT] = s->own.fd,
			     [SHM_FD_TX_BELL] = s->tx_bell.door,
			     [SHM_FD_RX_BELL] = s->rx_bell.door };

	return weir_shm_send(sock, &hello, fds);
}

/* ---- connect, step by step; under the lock ----------------------------------- */

static int
fail(struct shm_session *s, int rc, const char *why)
{
	struct shm_front *own = s->own.front;
	uint64_t open = SHM_END_OPEN;

	/* Should the peer think that the link is up, this ends it. */
	atomic_compare_exchange_strong(&own->tx.end, &open,
				       (uint64_t)SHM_END_ABORTED << 32);
	atomic_store_explicit(&own->rx.gone, 1, memory_order_release);
	close_fd(&s->sock);
	s->state = SHM_FAILED;
	s->error = rc;
	/* Halves may sleep on a socket that has just been read. */
	weir_shm_bell_wake(&s->tx_bell);
	weir_shm_bell_wake(&s->rx_bell);
	return weir_fail(rc, "shm:%s: %s", s->address.name, why);
}

static const char *
cause(int rc)
{
	switch (rc) {
	case -EPROTO:
		return "the listener's answer is not what it should be; do not "
		       "trust it";
	case -EMFILE:
	case -ENFILE:
		return "no descriptor is left; raise the limit of open files";
	default:
		return strerror(-rc);
	}
}

static int
step_connect(struct shm_session *s, uint64_t now_ns)
{
	int rc, sock;

	if (now_ns < s->next_try_ns)
		return 0;
	s->next_try_ns = now_ns + RETRY_NS;
	sock = s->address.fd >= 0 ? s->address.fd : weir_shm_dial(&s->address);
	if (sock >= 0) {
		rc = weir_shm_session_send(s, sock, SHM_HELLO);
		if (rc == 0) {
			s->sock = sock;
			s->state = SHM_WAITING;
			return 0;
		}
		close(sock);
		if (s->address.fd >= 0)
			return fail(s, -ECONNREFUSED,
				    "the other end of fd= is closed; start its "
				    "owner first");
		sock = rc == -EPIPE ? -ECONNREFUSED : rc;
	}
	if (sock == -EACCES || sock == -EPERM)
		return fail(s, -EACCES,
			    "the listener is another user's; add uid= if that "
			    "is meant");
	if (sock != -ECONNREFUSED && sock != -EAGAIN && sock != -ECONNRESET)
		return fail(s, sock, cause(sock));
	if (now_ns >= s->give_up_ns)
		return fail(s, -ECONNREFUSED,
			    "nobody listens there; start the listener first or "
			    "raise connect_timeout_ns");
	return 0;
}

static int
refused(struct shm_session *s, int reason)
{
	switch (reason) {
	case -EACCES:
		return fail(s, reason,
			    "the listener does not admit this user; set its "
			    "access_mode and access_group");
	case -EPROTO:
		return fail(s, reason,
			    "the listener does not understand us; use the same "
			    "weir on both sides");
	case -ECONNREFUSED:
		return fail(s, reason, "the listener was closed; start it");
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		return fail(s, -ECONNREFUSED,
			    "the listener is short of descriptors or memory; "
			    "raise its limits");
	default:
		return fail(s, -ECONNREFUSED, "the listener refused");
	}
}

/* Stopped between connect and hello for longer than a listener waits, or pushed
 * out of its door meanwhile: we live, so we try again. Or the listener is short of something, and may have it
 * soon. */
static bool
not_now(const struct shm_hello *hello)
{
	return hello->type == SHM_REFUSE &&
	       (hello->reason == -ETIMEDOUT || hello->reason == -EBUSY ||
		hello->reason == -EMFILE || hello->reason == -ENFILE ||
		hello->reason == -ENOMEM);
}

/* Once more from the beginning, unless that was tried for long enough. */
static int
try_again(struct shm_session *s, uint64_t now_ns)
{
	if (now_ns >= s->give_up_ns)
		return fail(s, -ECONNREFUSED,
			    "the listener keeps hanging up; see whether it is "
			    "short of descriptors or memory");
	close_fd(&s->sock);
	s->state = SHM_CONNECTING;
	return 0;
}

static int
step_wait(struct shm_session *s, uint64_t now_ns)
{
	struct shm_hello hello;
	struct shm_creds creds = { 0 };
	int fds[SHM_FDS];
	int rc = weir_shm_receive(s->sock, &hello, fds, &creds);

	if (rc == 0 && now_ns >= s->give_up_ns)
		return fail(s, -ETIMEDOUT,
			    "the listener does not answer; see whether it "
			    "accepts links, or raise connect_timeout_ns");
	if (rc == 0)
		return 0;
	if (s->address.fd < 0 &&
	    (rc == -ECONNRESET || (rc == 1 && not_now(&hello))))
		return try_again(s, now_ns);
	if (rc == -ECONNRESET)
		return fail(s, -ECONNREFUSED, "the other end of fd= is gone");
	if (rc == 1 && hello.type == SHM_REFUSE)
		return refused(s, hello.reason);
	if (rc == 1 &&
	    (hello.type != SHM_OFFER || hello.mode != WEIR_MODE_BARE)) {
		weir_shm_close_fds(fds);
		rc = -EPROTO;
	}
	if (rc == 1)
		rc = weir_shm_session_adopt(s, &hello, fds, &creds);
	if (rc != 0)
		return fail(s, rc, cause(rc));
	weir_shm_session_up(s, s->sock);
	weir_shm_bell_wake(&s->tx_bell);
	weir_shm_bell_wake(&s->rx_bell);
	/* A half that was closed while the answer was under way could not ring
	 * yet, and the listener's side may be asleep already. */
	if (atomic_load(&s->own.front->tx.end) >> 32 != SHM_END_OPEN)
		weir_shm_bell_ring(s->peer_rx_bell);
	if (atomic_load(&s->own.front->rx.gone) != 0)
		weir_shm_bell_ring(s->peer_tx_bell);
	return 1;
}

void
weir_shm_session_up(struct shm_session *s, int sock)
{
	s->sock = sock;
	s->pidfd = weir_shm_pidfd(sock, s->creds.pid);
	s->state = SHM_UP;
	weir_shm_segment_close_fd(&s->own);
	weir_shm_bell_passed(&s->tx_bell);
	weir_shm_bell_passed(&s->rx_bell);
}

int
weir_shm_session_progress(struct shm_session *s)
{
	uint64_t now_ns = weir_clock_ns();
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (s->state == SHM_CONNECTING)
		rc = step_connect(s, now_ns);
	if (s->state == SHM_WAITING)
		rc = step_wait(s, now_ns);
	if (s->state == SHM_FAILED)
		rc = s->error;
	else if (s->state == SHM_UP)
		rc = 1;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

bool
weir_shm_session_is_up(struct shm_session *s)
{
	bool up;

	pthread_mutex_lock(&s->lock);
	up = s->state == SHM_UP;
	pthread_mutex_unlock(&s->lock);
	return up;
}

/* ---- death ------------------------------------------------------------------------ */

bool
weir_shm_session_dead(struct shm_session *s)
{
	bool dead = atomic_load_explicit(&s->dead, memory_order_acquire) != 0;

	if (dead)
		return true;
	pthread_mutex_lock(&s->lock);
	dead = s->state == SHM_UP && s->sock >= 0 &&
	       weir_shm_hung_up(s->sock, s->pidfd);
	pthread_mutex_unlock(&s->lock);
	/* Release: what we have seen of the peer before is older. */
	if (dead)
		atomic_store_explicit(&s->dead, 1, memory_order_release);
	return dead;
}

int
weir_shm_session_watch(struct shm_session *s, struct shm_watch *watch)
{
	uint64_t now = weir_cycles();

	if (atomic_load_explicit(&s->dead, memory_order_acquire) != 0)
		return -1;
	watch->turns = 0;
	if (now - watch->last_cycles < s->cycles_per_ms) {
		watch->every = watch->every * 2 + 1;
		if (watch->every > WEIR_SHM_WATCH_TURNS_MAX)
			watch->every = WEIR_SHM_WATCH_TURNS_MAX;
		return 0;
	}
	watch->every = 0;
	watch->last_cycles = now;
	return weir_shm_session_dead(s) ? -1 : 1;
}
