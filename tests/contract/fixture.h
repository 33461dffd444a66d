/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FIXTURE_H
#define FIXTURE_H

/*
 * What a case works with: peer A, whose halves it may use directly, and peer
 * B, which takes orders. Ports stay open from case to case, links do not.
 *
 *     struct fixture *f = link_up(state, NULL);
 *
 *     send_one(f, 100, SEED);
 *     peer_do(f->b, STEP_RECV, .n = 1, .size = 100, .seed = SEED);
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "pattern.h"
#include "peer_steps.h"
#include "variant.h"
#include "weir_driver.h"

struct fixture {
	const struct variant *v;
	struct peer *a, *b;
	struct steps *as;   /* A's insides */
	struct steps *bs;   /* B's, or NULL if it is a process */
	struct weir_tx *tx; /* A's halves of link 0 */
	struct weir_rx *rx;
	int netns; /* B's, or -1 */
	unsigned int skipped;
};

#define SEED 7u

/* ---- life ---------------------------------------------------------------- */

void fixture_begin(const struct variant *v, int netns);
/* @return 0; 1 when something was left behind. */
int fixture_end(void);
unsigned int fixture_skipped(void);

int case_setup(void **state);
int case_teardown(void **state);

/* Leave the case; the reason is printed. */
#define case_skip(f, reason)                                                  \
	do {                                                                  \
		(f)->skipped++;                                               \
		print_message("[  reason  ] %s: %s\n", (f)->v->name, reason); \
		skip();                                                       \
	} while (0)

struct fixture *fixture_of(void **state);

/* n repeats, fewer where messages are dear; at least 1. */
uint64_t repeats(const struct fixture *f, uint64_t n);

/* ---- set-up ---------------------------------------------------------------- */

/* The sides by role. */
struct peer *listener_of(struct fixture *f);
struct peer *connector_of(struct fixture *f);
const char *endpoint_of(struct fixture *f, unsigned int k, bool listener);

/* Link 0 between A and B, split, both sides up. NULL: defaults. */
struct fixture *link_up(void **state, const struct weir_link_config *config);

/* The two turns of it: an end that listens, one that connects. A peer is
 * started; `wait`: and has finished without error. */
void order_at(struct fixture *f, struct peer *peer, struct order order,
	      bool wait);

/* B has died: a new process in its place, its port open, and listening with
 * this config if that is its part. */
void restart_b(struct fixture *f, const struct weir_link_config *config);

/* Link `end`; each side with its own config. */
void link_open(struct fixture *f, uint32_t end,
	       const struct weir_link_config *a,
	       const struct weir_link_config *b);

#define CONFIG(...)                                                   \
	(&(struct weir_link_config){ sizeof(struct weir_link_config), \
				     __VA_ARGS__ })

/* ---- A's sending half, directly -------------------------------------------- */

/* Audit A's identities of link 0; every helper below does it too. */
void audit(struct fixture *f);

/* One permit, waiting for room. */
void take_permit(struct fixture *f, uint32_t hint, struct weir_permit *permit);

/* One permit if there is room. @return 1, 0. */
int try_permit(struct fixture *f, uint32_t hint, struct weir_permit *permit);

/* A slot of len bytes, filled. */
void open_filled(struct fixture *f, uint32_t len, uint64_t seed,
		 struct weir_slot *slot);
void commit(struct fixture *f, struct weir_slot *slot);
void send_one(struct fixture *f, uint32_t len, uint64_t seed);

/* Permits of that hint until there is no room; they are dropped again. */
uint32_t count_permits(struct fixture *f, uint32_t hint);

/* Commit messages of len until there is no room. @return how many. */
uint32_t send_until_dry(struct fixture *f, uint32_t len, uint64_t seed);

/* Kill B's process. */
void kill_b(struct fixture *f);

/* Until nothing of A's is out or outstanding: all that went came back. */
void all_back(struct fixture *f);

/* Where a fragment, a class or a cell may end: sizes worth a try, each with
 * its neighbours, none over most. @return how many. */
uint32_t edge_sizes(struct fixture *f, uint32_t most, uint32_t *sizes,
		    uint32_t room);

/* ---- A's receiving half, directly ------------------------------------------- */

/* The next message, waiting. */
void take_msg(struct fixture *f, struct weir_msg *msg);
/* Compare with (len, seed), release. */
void expect_one(struct fixture *f, uint32_t len, uint64_t seed);
/* The end: what recv says when there is nothing left to receive. It is
 * asked three times. @return WEIR_EOF or -errno. */
int expect_end(struct fixture *f);
/* Nothing arrives for a good while. */
void expect_quiet(struct fixture *f);

/* ---- a thread that uses halves while this one pumps -------------------------- */

/* @return NULL, or what went wrong. No cmocka calls in there. */
typedef const char *(*user_fn)(void *arg);

struct user {
	pthread_t thread;
	user_fn fn;
	void *arg;
	atomic_bool done;
	const char *error;
};

void user_start(struct user *user, user_fn fn, void *arg);
/* Pump until it is done; fails the case with its error. */
void user_finish(struct user *user);

/*
 * A signal to that thread, then turns for the peers: *pause_us, which doubles up
 * to 50 ms. A slow processor that gets signals as fast as it can take them
 * does nothing else.
 */
void user_signal(struct user *user, int number, uint64_t *pause_us);

/*
 * As weir_rx_recv_wait() and weir_tx_reserve_wait(), for these threads. A wait
 * looks once more when its deadline has passed, so a lost wake-up is not seen
 * by what it returns but by how long it took.
 *
 * @return also -ETIME: it took longer than limit_ms.
 */
#define WAKE_LIMIT_MS 10000
int recv_in(struct weir_rx *rx, uint64_t limit_ms, struct weir_msg *msg);
int reserve_in(struct weir_tx *tx, uint32_t hint, uint64_t limit_ms,
	       struct weir_permit *permit);

/* Pump until cond holds; fails the case after the time limit. */
#define pump_until(cond)                                                    \
	for (uint64_t limit_ = weir_now_ns() + peer_limit_ns(); !(cond);) { \
		if (weir_now_ns() > limit_)                                 \
			fail_msg("not within the time limit: %s", #cond);   \
		peer_pump();                                                \
	}

uint64_t in_ms(uint64_t ms);

/* The same for a limit: later where time limits are longer than usual. */
uint64_t limit_in_ms(uint64_t ms);

/* ---- the cases --------------------------------------------------------------- */

struct case_list {
	const struct CMUnitTest *tests;
	size_t count;
};

#define CASE_LIST(name, array)                   \
	const struct case_list name = { (array), \
					sizeof(array) / sizeof((array)[0]) }

extern const struct case_list cases_message;
extern const struct case_list cases_multi;
extern const struct case_list cases_reserve;
extern const struct case_list cases_slot;
extern const struct case_list cases_close;
extern const struct case_list cases_receive;
extern const struct case_list cases_death;
extern const struct case_list cases_wait;
extern const struct case_list cases_split;
extern const struct case_list cases_setup;
extern const struct case_list cases_model;

#endif /* FIXTURE_H */
