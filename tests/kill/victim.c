/* SPDX-License-Identifier: BSD-3-Clause */
/* See victim.h. */

#include "victim.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shm_lane.h"

/* ---- long messages --------------------------------------------------------------- */

static int bytes_fd = -1;

int
victims_bytes(void)
{
	uint8_t *bytes = malloc(HUGE);
	ssize_t n = bytes != NULL ? (ssize_t)HUGE : -1;

	bytes_fd = memfd_create("victims", MFD_CLOEXEC);
	for (uint64_t number = 0; n == HUGE && number < CREDITS; number++) {
		pattern_write(bytes, HUGE, number);
		n = write(bytes_fd, bytes, HUGE);
	}
	free(bytes);
	return n == HUGE ? 0 : -1;
}

/* ---- steps, on place i -------------------------------------------------------- */

static int
reserve(struct victim *v, uint32_t n)
{
	return weir_tx_reserve_burst(v->side.tx, v->size, v->permits,
				     (uint16_t)n);
}

static void
alloc(struct victim *v, unsigned int i)
{
	(void)weir_permit_alloc(&v->permits[i], v->size, &v->slots[i]);
}

static void
write_as(struct victim *v, unsigned int i, uint64_t number)
{
	const struct weir_slot *slot = &v->slots[i];

	if (slot->len < HUGE)
		pattern_write(slot->data, slot->len, number);
	else if (pread(bytes_fd, slot->data, HUGE, (off_t)(number * HUGE)) !=
		 (ssize_t)HUGE)
		_exit(21);
}

static void
commit(struct victim *v, unsigned int i)
{
	atomic_fetch_add(&v->box->commits_begun, 1);
	weir_slot_commit(&v->slots[i]);
	atomic_fetch_add(&v->box->commits, 1);
}

static void
release(struct victim *v, unsigned int i)
{
	atomic_fetch_add(&v->box->releases_begun, 1);
	weir_msg_release(&v->msgs[i]);
	atomic_fetch_add(&v->box->releases, 1);
}

static void
send_next(struct victim *v, unsigned int i)
{
	alloc(v, i);
	write_as(v, i, atomic_load(&v->box->commits));
	commit(v, i);
}

/* ---- preparations ---------------------------------------------------------------- */

static void
demand(bool fine)
{
	if (!fine)
		_exit(20);
}

static void
with_permits(struct victim *v)
{
	demand(reserve(v, INBOUND) == (int)INBOUND);
}

/* Slots 0 and 1, for the next messages in this order. */
static void
with_slots(struct victim *v)
{
	with_permits(v);
	alloc(v, 0);
	alloc(v, 1);
	write_as(v, 0, OPENING);
	write_as(v, 1, OPENING + 1);
}

/* The next commit is the 16th: it claims cells ahead. */
static void
with_the_16th_slot(struct victim *v)
{
	while (atomic_load(&v->box->commits) < 15) {
		demand(reserve(v, 1) == 1);
		send_next(v, 0);
	}
	demand(reserve(v, 1) == 1);
	alloc(v, 0);
	write_as(v, 0, 15);
}

/* The other way round: the first one goes into a cell that is not its own. */
static void
with_crossed_slots(struct victim *v)
{
	with_permits(v);
	alloc(v, 0);
	alloc(v, 1);
	write_as(v, 1, OPENING);
	write_as(v, 0, OPENING + 1);
}

/* For the longest message, however little is asked for later. */
static void
with_large_permit(struct victim *v)
{
	demand(weir_tx_reserve(v->side.tx, &v->permits[0]) == 1);
}

static void
without_room(struct victim *v)
{
	while (reserve(v, 1) == 1)
		send_next(v, 0);
}

static void
with_messages(struct victim *v)
{
	for (unsigned int i = 0; i < INBOUND; i++)
		demand(weir_rx_recv_wait(v->side.rx, in_limit(), &v->msgs[i]) ==
		       1);
}

static void
without_messages(struct victim *v)
{
	with_messages(v);
	for (unsigned int i = 0; i < INBOUND; i++)
		release(v, i);
}

/* The next call that finds nothing looks whether the peer is alive. */
static void
look_is_due(struct shm_watch *watch)
{
	watch->every = 0;
	watch->last_cycles = 0;
}

static void
without_room_for_long(struct victim *v)
{
	without_room(v);
	look_is_due(&WEIR_CONTAINER_OF(v->side.tx, struct shm_tx, tx)->watch);
}

static void
without_messages_for_long(struct victim *v)
{
	without_messages(v);
	look_is_due(&WEIR_CONTAINER_OF(v->side.rx, struct shm_rx, rx)->watch);
}

static void
with_everything_but_a_message_gone(struct victim *v)
{
	with_messages(v);
	for (unsigned int i = 1; i < INBOUND; i++)
		release(v, i);
	weir_tx_destroy(v->side.tx);
	weir_rx_destroy(v->side.rx);
	weir_link_destroy(v->side.link);
}

static void
closed(struct victim *v)
{
	demand(weir_tx_close(v->side.tx) == 0);
}

/* ---- operations -------------------------------------------------------------------- */

static void
do_reserve(struct victim *v)
{
	(void)reserve(v, 1);
}

static void
do_reserve_8(struct victim *v)
{
	(void)reserve(v, 8);
}

static void
do_drop(struct victim *v)
{
	weir_permit_drop(&v->permits[0]);
}

static void
do_alloc(struct victim *v)
{
	alloc(v, 0);
}

static void
do_alloc_8(struct victim *v)
{
	uint32_t lens[INBOUND];

	for (unsigned int i = 0; i < INBOUND; i++)
		lens[i] = v->size;
	(void)weir_permit_alloc_burst(v->permits, lens, v->slots, INBOUND);
}

static void
do_write(struct victim *v)
{
	pattern_write(v->slots[0].data, v->slots[0].len, OPENING);
}

static void
do_discard(struct victim *v)
{
	weir_slot_discard(&v->slots[0]);
}

static void
do_commit(struct victim *v)
{
	commit(v, 0);
}

static void
do_commit_crossed(struct victim *v)
{
	commit(v, 1);
	commit(v, 0);
}

static void
do_send_8(struct victim *v)
{
	int n = reserve(v, 8);

	for (int i = 0; i < n; i++)
		send_next(v, (unsigned int)i);
}

/* Killed in the middle of it, some of these are there or all, in order. */
static void
do_commit_8(struct victim *v)
{
	uint64_t number = atomic_load(&v->box->commits);
	int n = reserve(v, 8);

	for (int i = 0; i < n; i++) {
		alloc(v, (unsigned int)i);
		write_as(v, (unsigned int)i, number + (uint64_t)i);
	}
	atomic_fetch_add(&v->box->commits_begun, (uint64_t)n);
	weir_slot_commit_burst(v->slots, (uint16_t)n);
	atomic_fetch_add(&v->box->commits, (uint64_t)n);
}

static void
do_recv(struct victim *v)
{
	(void)weir_rx_recv(v->side.rx, &v->msgs[0]);
}

static void
do_recv_8(struct victim *v)
{
	(void)weir_rx_recv_burst(v->side.rx, v->msgs, INBOUND);
}

static void
do_release(struct victim *v)
{
	release(v, 0);
}

static void
do_release_8(struct victim *v)
{
	for (unsigned int i = 0; i < INBOUND; i++)
		release(v, i);
}

static void
do_release_8_at_once(struct victim *v)
{
	atomic_fetch_add(&v->box->releases_begun, INBOUND);
	weir_msg_release_burst(v->msgs, INBOUND);
	atomic_fetch_add(&v->box->releases, INBOUND);
}

static void
do_arm_receive(struct victim *v)
{
	(void)weir_rx_arm(v->side.rx);
	(void)weir_rx_recv(v->side.rx, &v->msgs[0]);
}

static void
do_arm_send(struct victim *v)
{
	(void)weir_tx_arm(v->side.tx, v->size);
	(void)reserve(v, 1);
}

static void
do_close(struct victim *v)
{
	(void)weir_tx_close(v->side.tx);
}

static void
do_tx_destroy(struct victim *v)
{
	weir_tx_destroy(v->side.tx);
}

static void
do_rx_destroy(struct victim *v)
{
	weir_rx_destroy(v->side.rx);
}

static void
do_destroy_all(struct victim *v)
{
	weir_tx_destroy(v->side.tx);
	weir_rx_destroy(v->side.rx);
	weir_link_destroy(v->side.link);
}

/* Short names for a table that can be read. */
#define SPINS    SURVIVOR_SPINS
#define RELEASES SURVIVOR_RELEASES
#define SLEEPS_R SURVIVOR_SLEEPS_RECEIVE
#define SLEEPS_S SURVIVOR_SLEEPS_SEND
#define ABORTS   (ENDS_ABORTED | ENDS_GONE)

const struct operation operations[] = {
	{ "reserve", NULL, do_reserve, SPINS, 0, false },
	{ "reserve 8", NULL, do_reserve_8, SPINS, 0, false },
	{ "reserve, collecting", without_room, do_reserve, RELEASES, 0, false },
	{ "reserve, looking", without_room_for_long, do_reserve, SPINS, 0,
	  true },
	{ "drop", with_permits, do_drop, SPINS, 0, false },
	{ "alloc", with_permits, do_alloc, SPINS, 0, false },
	{ "alloc 8", with_permits, do_alloc_8, SPINS, 0, false },
	{ "alloc of a larger permit", with_large_permit, do_alloc, SPINS, 0,
	  true },
	{ "write", with_slots, do_write, SPINS, 0, false },
	{ "discard", with_slots, do_discard, SPINS, 0, false },
	{ "commit", with_slots, do_commit, SPINS, 0, false },
	{ "commit, claiming", with_the_16th_slot, do_commit, SPINS, 0, false },
	{ "commit, crossed", with_crossed_slots, do_commit_crossed, SPINS, 0,
	  false },
	{ "commit to a sleeper", with_slots, do_commit, SLEEPS_R, 0, false },
	{ "send 8", NULL, do_send_8, SPINS, 0, false },
	{ "send 8 to a sleeper", NULL, do_send_8, SLEEPS_R, 0, true },
	{ "commit 8", NULL, do_commit_8, SPINS, 0, false },
	{ "commit 8 to a sleeper", NULL, do_commit_8, SLEEPS_R, 0, false },
	{ "recv", NULL, do_recv, SPINS, 0, false },
	{ "recv 8", NULL, do_recv_8, SPINS, 0, false },
	{ "recv nothing", without_messages, do_recv, SPINS, 0, true },
	{ "recv, looking", without_messages_for_long, do_recv, SPINS, 0, true },
	{ "release", with_messages, do_release, SPINS, 0, false },
	{ "release to a sleeper", with_messages, do_release, SLEEPS_S, 0,
	  false },
	{ "release 8", with_messages, do_release_8, SPINS, 0, false },
	{ "release 8 at once", with_messages, do_release_8_at_once, SPINS, 0,
	  false },
	{ "release 8 at once to a sleeper", with_messages, do_release_8_at_once,
	  SLEEPS_S, 0, true },
	{ "release, the last", with_everything_but_a_message_gone, do_release,
	  SPINS, ABORTS, false },
	{ "arm to receive", without_messages, do_arm_receive, SPINS, 0, true },
	{ "arm to send", without_room, do_arm_send, SPINS, 0, true },
	{ "close", NULL, do_close, SPINS, ENDS_CLOSED, true },
	{ "close to a sleeper", NULL, do_close, SLEEPS_R, ENDS_CLOSED, true },
	{ "destroy tx", with_slots, do_tx_destroy, SPINS, ENDS_ABORTED, true },
	{ "destroy tx to a sleeper", NULL, do_tx_destroy, SLEEPS_R,
	  ENDS_ABORTED, true },
	{ "destroy tx, closed", closed, do_tx_destroy, SPINS, ENDS_CLOSED,
	  true },
	{ "destroy rx", NULL, do_rx_destroy, SPINS, ENDS_GONE, true },
	{ "destroy rx to a sleeper", with_messages, do_rx_destroy, SLEEPS_S,
	  ENDS_GONE, true },
	{ "destroy all", NULL, do_destroy_all, SPINS, ABORTS, true },
};

const unsigned int operation_count = sizeof(operations) / sizeof(operations[0]);

/* ---- the life --------------------------------------------------------------------- */

static void
open_with_two(struct victim *v)
{
	uint32_t size = v->size;

	for (unsigned int i = 0; i < OPENING; i++) {
		v->size = victims_len(i, size);
		demand(reserve(v, 1) == 1);
		send_next(v, 0);
	}
	v->size = size;
}

void
victim_run(const struct operation *op, uint32_t size, const char *endpoint,
	   const struct weir_link_config *config, bool listens,
	   struct blackbox *box)
{
	struct victim v = { .box = box, .size = size };

	demand(side_open(&v.side, endpoint, config, listens) == 0);
	open_with_two(&v);
	if (op->prepare != NULL)
		op->prepare(&v);
	step_wait_for_tracer();
	atomic_store(&box->mark, STEP_BEGUN);
	op->act(&v);
	atomic_store(&box->mark, STEP_DONE);
	for (;;)
		pause();
}
