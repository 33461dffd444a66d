/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Releases, and the end of a session whose handles outlive its receive half.
 *
 * Releasing takes three plain stores and no read-modify-write: the return
 * word of the body, the group word that says where to look, and the done mark,
 * which is private to this process. Threads that release different messages
 * never write the same return word, and a group word may be written by any of
 * them in any order: what counts is that it changes.
 *
 * The done mark is a releaser's last touch of the session. So the session may
 * be freed when every body that was received is marked, and not before. Who
 * finds that out when no half is left? Each session has one of a few flags in
 * static memory:
 *
 *     receive half is destroyed             releaser
 *     flag++                                 ...done mark (release)
 *     membarrier                             compiler barrier
 *     all marked? free, else list it         flag != 0? look through the list
 *
 * By the same argument as in doorbell.h, one of the two sees the other; the
 * lock makes sure that only one frees. Sharing a flag costs other sessions'
 * releasers a vain look, nothing else. Marks are never taken back once the
 * half is gone, so a session remembers how far it has been scanned, and
 * looking costs O(1) per release on average.
 */

#include "doorbell.h"
#include "shm_lane.h"

#define FLAGS 256u

static _Atomic uint32_t flags[FLAGS];
static _Atomic uint32_t next_flag;
static struct shm_session *orphans;
static pthread_mutex_t orphans_lock = PTHREAD_MUTEX_INITIALIZER;

/* @return true: no handle is held and no thread is inside a release. */
static bool
all_done(struct shm_session *s)
{
	const struct shm_track *t;

	if (s->track == NULL)
		return true;
	for (; s->scan < s->peer.header.body_limit; s->scan++) {
		t = &s->track[s->scan];
		/* Acquire: the releaser's touches of the session are over.
		 * Pairs with weir_shm_release(). */
		if (atomic_load_explicit(&t->done, memory_order_acquire) !=
		    atomic_load_explicit(&t->last, memory_order_relaxed))
			return false;
	}
	return true;
}

static __attribute__((cold)) void
reap(uint32_t flag)
{
	struct shm_session **at, *s, *done = NULL;

	pthread_mutex_lock(&orphans_lock);
	for (at = &orphans; (s = *at) != NULL;) {
		if (s->orphan_flag != flag || !all_done(s)) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		s->next = done;
		done = s;
		atomic_fetch_sub_explicit(&flags[flag], 1,
					  memory_order_relaxed);
	}
	pthread_mutex_unlock(&orphans_lock);
	while ((s = done) != NULL) {
		done = s->next;
		weir_shm_session_unref(s);
	}
}

/* Release: our last touch of the session. Pairs with all_done(). */
static inline void
mark_done(struct shm_session *s, uintptr_t cookie)
{
	atomic_store_explicit(&s->track[(uint16_t)cookie].done,
			      (uint16_t)(cookie >> 16), memory_order_release);
}

/* The peer's sender sleeps, or there is no membarrier and the fence has to
 * tell. */
static __attribute__((cold, noinline)) void
release_slowly(struct shm_session *s, uintptr_t cookie)
{
	uint32_t flag = s->orphan_flag;
	bool fence = s->fence;

	if (weir_doorbell_wanted(&s->peer_tx->sleeping, fence)) {
		weir_shm_bell_ring(s->peer_tx_bell);
		atomic_fetch_add_explicit(&s->release_bells, 1,
					  memory_order_relaxed);
	}
	mark_done(s, cookie);
	if (weir_doorbell_wanted(&flags[flag], fence))
		reap(flag);
}

/* Release, both: our reads of the body come before the return word, and that
 * comes before the group word. Pairs with collect(). */
static inline void
return_body(struct shm_session *s, uintptr_t cookie)
{
	atomic_store_explicit(&s->returns[(uint16_t)cookie],
			      (uint16_t)(cookie >> 16), memory_order_release);
}

static inline void
tell_group(struct shm_session *s, uintptr_t cookie)
{
	atomic_store_explicit(&s->groups[(uint16_t)cookie / SHM_GROUP_SIZE],
			      (uint32_t)(cookie >> 32), memory_order_release);
}

void
weir_shm_release(struct weir_store *store, const struct weir_msg *msg)
{
	struct shm_session *s =
		WEIR_CONTAINER_OF(store, struct shm_session, store);
	uintptr_t cookie = msg->cookie;
	uint32_t flag = s->orphan_flag;

	return_body(s, cookie);
	tell_group(s, cookie);
	if (__builtin_expect(s->fence, 0) ||
	    __builtin_expect(weir_doorbell_wanted(&s->peer_tx->sleeping, false),
			     0)) {
		release_slowly(s, cookie);
		return;
	}
	mark_done(s, cookie);
	if (__builtin_expect(weir_doorbell_wanted(&flags[flag], false), 0))
		reap(flag);
}

/*
 * One group word for neighbours of a group, and one look whether the sender
 * sleeps, for all: the last message is released as any other, and until its
 * mark is made the session stays.
 */
void
weir_shm_release_burst(struct weir_store *store, const struct weir_msg *msgs,
		       uint16_t n)
{
	struct shm_session *s =
		WEIR_CONTAINER_OF(store, struct shm_session, store);
	uint32_t last = n - 1u;

	for (uint32_t i = 0; i < last; i++) {
		uintptr_t cookie = msgs[i].cookie;

		return_body(s, cookie);
		if ((uint16_t)cookie / SHM_GROUP_SIZE !=
		    (uint16_t)msgs[i + 1].cookie / SHM_GROUP_SIZE)
			tell_group(s, cookie);
		mark_done(s, cookie);
	}
	weir_shm_release(store, &msgs[last]);
}

void
weir_shm_orphan(struct shm_session *s)
{
	_Atomic uint32_t unused;
	uint32_t flag = s->orphan_flag;

	if (all_done(s)) {
		weir_shm_session_unref(s);
		return;
	}
	atomic_fetch_add_explicit(&flags[flag], 1, memory_order_relaxed);
	weir_doorbell_arm(&unused); /* for its barrier */
	pthread_mutex_lock(&orphans_lock);
	s->next = orphans;
	orphans = s;
	pthread_mutex_unlock(&orphans_lock);
	reap(flag); /* from here on s may be gone */
}

uint32_t
weir_shm_orphan_flag(void)
{
	return atomic_fetch_add_explicit(&next_flag, 1, memory_order_relaxed) %
	       FLAGS;
}

void
weir_shm_orphans_freeze(void)
{
	pthread_mutex_lock(&orphans_lock);
}

void
weir_shm_orphans_thaw(void)
{
	pthread_mutex_unlock(&orphans_lock);
}
