/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SHM_LANE_H
#define WEIR_SHM_LANE_H

/*
 * The two ends of a lane, and the session that both lanes of a link share.
 *
 *          our segment                       peer's segment (read-only)
 *   tx --- cells, bodies -----------------------------------> peer's rx
 *   tx <-------------------------------- group, return words -- its releases
 *   rx <------------------------------------ cells, bodies --- peer's tx
 *   releases -- group, return words -----------------------> peer's tx
 *
 * A body is FREE -> (pledged) -> ALLOCATED -> OUTSTANDING -> FREE. All of that
 * is private to the sender; the receiver's only say is the return word.
 */

#include <pthread.h>

#include "shm_bell.h"
#include "shm_fork.h"
#include "shm_handshake.h"
#include "shm_segment.h"

/* What a receiver remembers of each body of the peer. A message is held while
 * the two differ. */
struct shm_track {
	_Atomic uint16_t last; /* generation received last; rx thread */
	_Atomic uint16_t done; /* generation released last; any thread */
};

enum shm_state {
	SHM_CONNECTING, /* nobody listens yet */
	SHM_WAITING,    /* our hello is sent */
	SHM_UP,
	SHM_FAILED,
};

struct shm_session {
	/* All that a release reads: written before the link is up. */
	struct weir_store store;
	struct shm_track *track;
	_Atomic uint16_t *returns;
	_Atomic uint32_t *groups;
	const struct shm_tx_line *peer_tx;
	int peer_tx_bell;
	int peer_rx_bell;
	uint32_t orphan_flag; /* index, see shm_orphan.c */
	bool fence;           /* see doorbell.h */

	_Alignas(WEIR_CACHE_LINE) _Atomic uint32_t dead; /* peer is gone */
	_Atomic uint64_t release_bells;
	_Atomic uint32_t told_up; /* the application has heard that it is up */
	_Atomic uint32_t broken;  /* the peer's memory held what cannot be */
	struct shm_segment own;
	struct shm_segment peer;
	uint8_t *group_class; /* of the peer's bodies */
	uint8_t *places;      /* NULL, or private ones: shm_trust.c */
	uint64_t places_size;
	uint64_t places_offset[SHM_CLASSES_MAX];
	struct shm_bell tx_bell; /* ours */
	struct shm_bell rx_bell;
	uint64_t cycles_per_ms;

	/* Under lock. */
	pthread_mutex_t lock;
	enum shm_state state;
	int error;
	uint32_t refs;   /* link, halves, orphaned handles */
	uint32_t halves; /* that still live; the last one closes sock */
	int sock;
	int pidfd;
	struct shm_address address;
	struct shm_creds creds;
	uint64_t give_up_ns;
	uint64_t next_try_ns;

	/* Of an orphan, see shm_orphan.c. */
	struct shm_session *next;
	uint32_t scan;

	struct shm_fork fork;
};

/* Once per millisecond of idling, is the peer still there? The clock is read
 * every so many turns: fewer for who takes his time between two of them. */
struct shm_watch {
	uint64_t last_cycles; /* of the last look */
	uint32_t turns;       /* since the clock was read */
	uint32_t every;       /* 0 at first: at once */
};

/* A half's own epoll descriptor: bell, socket, pidfd; a timer before up. */
struct shm_sleep {
	int epoll;  /* -1: none yet */
	int timer;  /* -1: none */
	bool ready; /* all that matters once the link is up is in it */
};

/* Where the bodies of a class are. */
struct shm_tx_class {
	uint8_t *bytes; /* of the first body */
	uint32_t first;
	uint32_t stride;
	uint32_t total;
	uint32_t word_first; /* of the bitmaps */
	uint32_t word_count;
	uint32_t word_hint;
};

/* What is not counted here follows from the bitmaps: see shm_tx_stats(). */
struct shm_tx {
	struct weir_tx tx;

	/* Every message. */
	_Alignas(WEIR_CACHE_LINE) uint32_t class_size[SHM_CLASSES_MAX];
	uint32_t class_free[SHM_CLASSES_MAX]; /* neither promised nor used */
	struct shm_cell *cells;
	uint64_t seq;    /* of the next commit */
	uint64_t cursor; /* seq plus open slots: the next alloc's, probably */
	uint32_t mask;
	uint32_t free_credits;
	uint64_t *free_map; /* one bit per body: free or promised */
	uint64_t *out_map;  /* outstanding */
	uint16_t *generation;
	const struct shm_rx_line *peer; /* or dead, below */
	uint64_t payload_bytes;
	bool fence;
	bool armed;
	int peer_bell;
	struct shm_tx_class classes[SHM_CLASSES_MAX];

	/* When room is short. */
	struct shm_session *session;
	const _Atomic uint32_t *groups; /* the peer's */
	const _Atomic uint16_t *returns;
	uint32_t *groups_seen;
	uint8_t *group_class;
	uint32_t group_count;
	uint32_t class_count;
	uint32_t backed_out; /* drops and discards, for the watch */
	uint64_t wait_down;  /* reserve found no room: why */
	uint64_t wait_credit;
	uint64_t wait_small;
	uint64_t wait_large;
	uint64_t discarded;
	uint64_t doorbells;
	struct shm_watch watch;
	struct shm_sleep sleep;
	struct shm_rx_line dead; /* stands in for a dead peer's: gone */
	void *block;             /* all arrays */
};

struct shm_rx {
	struct weir_rx rx;

	/* Every message. */
	_Alignas(WEIR_CACHE_LINE) const struct shm_cell *cells;
	uint64_t seq; /* of the next message */
	uint32_t mask;
	uint32_t inline_size_max; /* of what is read where it usually is */
	uint32_t msg_size_max;
	const uint8_t *ahead; /* where the next body probably is, or anywhere */
	struct shm_track *track;
	struct shm_session *session;
	const struct shm_tx_line *peer;
	bool armed;
	bool rung; /* perhaps, since the bell was drained last */
	uint32_t body_limit;
	uint64_t payload_bytes;
	uint64_t holes; /* numbers without a message, see shm_rx.c */
	uint64_t copied_bytes;
	struct weir_rx_ops private_ops; /* see shm_trust.c */
	struct shm_watch watch;
	struct shm_sleep sleep;
};

struct shm_link {
	struct weir_link link;
	struct shm_session *session;
};

/* Halves of a link that is up, or is not yet. */
extern const struct weir_tx_ops weir_shm_tx_ops;
extern const struct weir_rx_ops weir_shm_rx_ops;
extern const struct weir_tx_ops weir_shm_tx_ops_early;
extern const struct weir_rx_ops weir_shm_rx_ops_early;

/* ---- shm_session.c ------------------------------------------------------------ */

/* With a segment and bells, one reference. @return 0; negative (weir_fail). */
int weir_shm_session_create(const struct weir_link *link,
			    struct shm_session **session);

/* Give a link and its halves a session that is up or on its way: takes the
 * caller's reference. @return 0; -ENOMEM, and the session is as it was. */
int weir_shm_session_bind(struct shm_session *session, struct weir_link *link);

void weir_shm_session_ref(struct shm_session *session);
void weir_shm_session_unref(struct shm_session *session);

/* A half is gone; its reference too if drop_ref. */
void weir_shm_session_half_gone(struct shm_session *session, bool drop_ref);

/* Take the peer's message and descriptors; both come from the same socket.
 * @return 0 and the session is up; -EPROTO, -ENOMEM. fds are consumed. */
int weir_shm_session_adopt(struct shm_session *session,
			   const struct shm_hello *hello, int fds[SHM_FDS],
			   const struct shm_creds *creds);

/* After that, and the last word of ours is sent. */
void weir_shm_session_up(struct shm_session *session, int sock);

/* Our HELLO or OFFER. @return 0; negative errno. */
int weir_shm_session_send(struct shm_session *session, int sock,
			  enum shm_hello_type type);

/* One step of the set-up. @return 1 up; 0 not yet; negative: failed. */
int weir_shm_session_progress(struct shm_session *session);

/* Without taking a step. */
bool weir_shm_session_is_up(struct shm_session *session);

#define WEIR_SHM_WATCH_TURNS_MAX 64u

/* An idle turn. @return true: ask weir_shm_session_watch(). */
static inline bool
weir_shm_watch_due(struct shm_watch *watch)
{
	return ++watch->turns >= watch->every;
}

/* Is the peer gone? Looks once per millisecond.
 * @return -1 it is; 1 looked, it is there; 0 not looked. */
int weir_shm_session_watch(struct shm_session *session,
			   struct shm_watch *watch);

/* Look now. */
bool weir_shm_session_dead(struct shm_session *session);

/* ---- shm_sleep.c ---------------------------------------------------------------- */

/* The half's descriptor, made at the first call, and brought up to date with
 * the state of the set-up. @return it; -EMFILE and the like. */
int weir_shm_sleep_fd(struct shm_sleep *sleep, struct shm_session *session,
		      const struct shm_bell *bell);
void weir_shm_sleep_close(struct shm_sleep *sleep);

/* ---- shm_tx.c, shm_rx.c -------------------------------------------------------- */

/* Private state for our segment's geometry. @return 0; -ENOMEM. */
int weir_shm_tx_init(struct shm_tx *st, struct shm_session *session);

/* The session is up: swap the tables. */
void weir_shm_tx_attach(struct shm_tx *st);
void weir_shm_rx_attach(struct shm_rx *sr);

/* ---- shm_trust.c ------------------------------------------------------------------ */

/* If the peer is not trusted: a private place for each body of its segment.
 * @return 0; -ENOMEM. */
int weir_shm_places_make(struct shm_session *session);
void weir_shm_places_free(struct shm_session *session);

/* Have a half that is up copy what it receives there. */
void weir_shm_rx_distrust(struct shm_rx *sr);

/* ---- shm_multi_half.c: a send half of several threads ---------------------------- */

/* The rest of a struct shm_multi, whose first part has been initialised.
 * @return 0; -ENOMEM. */
int weir_shm_multi_init(struct shm_tx *st);

/* Any thread. */
void weir_shm_multi_attach(struct shm_tx *st);

/* ---- shm_orphan.c --------------------------------------------------------------- */

/* A number for session->orphan_flag. */
uint32_t weir_shm_orphan_flag(void);

void weir_shm_release(struct weir_store *store, const struct weir_msg *msg);

void weir_shm_release_burst(struct weir_store *store,
			    const struct weir_msg *msgs, uint16_t n);

/* The receive half is gone: free the session with its last handle. */
void weir_shm_orphan(struct shm_session *session);

/* Around fork(2), so that the child's list is whole and its lock free. */
void weir_shm_orphans_freeze(void);
void weir_shm_orphans_thaw(void);

#endif /* WEIR_SHM_LANE_H */
