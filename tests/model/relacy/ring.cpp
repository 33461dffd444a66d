/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shared-memory ring under relacy, which runs it step by step, in one
 * order of threads after the other, and lets every load return any value that
 * the C11 memory model allows it. The code is drivers/shm itself, see
 * translate.py; what that calls outside is below.
 *
 * Each body has a rl::var beside it that stands for the bytes: who touches it
 * without being ordered after who touched it before is found. So is a sleeper
 * whom nobody wakes, and a message that does not come (as a livelock).
 *
 *     ring TEST ITERATIONS [DEFECT]      exit code 0: nothing found, 1: found
 */
#include "relacy.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "doorbell.h"
#include "shm_tx.h"

// Numbers for sessions: not wanted here.
template <class T> static T &unused_static()
{
	alignas(T) static char place[sizeof(T)];

	return *(T *)(void *)place;
}

#include "claim.h"
#include "shm_tx.c"
#include "shm_tx_half.c"
#include "shm_rx.c"
#include "shm_orphan.c"

enum { CELLS = 2, BODIES = SHM_BODIES_MAX };

// ---- what the ring calls outside ---------------------------------------------

// A bell that is rung is heard, once; the kernel orders what was before.
struct bell {
	rl::atomic<uint32_t> rung;

	void drain() { rung.exchange(0, rl::mo_seq_cst, $); }
	void ring() { rung.store(1, rl::mo_seq_cst, $); }
	// Several who wait are all woken, until one of them drains it.
	void wait_until_drained()
	{
		while (rung.load(rl::mo_seq_cst, $) == 0)
			rl::yield(1, $);
	}
	void wait()
	{
		while (rung.exchange(0, rl::mo_seq_cst, $) == 0)
			rl::yield(1, $);
	}
};

static bell *bells[2];
static rl::var<int> *life; // of the receiver's session
static unsigned freed;

void weir_shm_bell_ring(int door) { bells[door]->ring(); }
static struct shm_bell *receivers_bell, *senders_bell;
void weir_shm_bell_wake(struct shm_bell *own)
{
	if (own == senders_bell)
		bells[0]->ring();
}
// That of one sender rings on: its sleeps end early, which they may.
void weir_shm_bell_drain(struct shm_bell *own)
{
	if (own == receivers_bell)
		bells[1]->drain();
	if (own == senders_bell)
		bells[0]->drain();
}
int weir_shm_sleep_fd(struct shm_sleep *, struct shm_session *,
		      const struct shm_bell *) { return 0; }
void weir_shm_sleep_close(struct shm_sleep *) {}
void weir_doorbell_arm(rl::atomic<uint32_t> *sleeping)
{
	atomic_store_explicit(sleeping, 1, memory_order_relaxed);
	weir_doorbell_barrier();
}
void weir_doorbell_barrier() { atomic_thread_fence(memory_order_seq_cst); }
// Nobody ever looks everywhere: what the words say has to be enough.
int weir_shm_session_watch(struct shm_session *, struct shm_watch *)
{
	return 0;
}
int weir_shm_session_progress(struct shm_session *) { return 1; }
// One thread sends.
int weir_shm_multi_init(struct shm_tx *) { return 0; }
void weir_shm_multi_attach(struct shm_tx *) {}
bool weir_shm_session_is_up(struct shm_session *) { return true; }
void weir_shm_session_half_gone(struct shm_session *, bool) {}
void weir_shm_session_unref(struct shm_session *s)
{
	(*life)($) = 0;
	delete[] s->track; // relacy finds who still uses it
	s->track = nullptr;
	freed++;
}
void weir_shm_rx_distrust(struct shm_rx *) {}
extern "C" int weir_fail(int rc, const char *, ...) { return rc; }

// ---- one lane -------------------------------------------------------------------

template <class derived, unsigned threads>
struct lane : rl::test_suite<derived, threads> {
	shm_front sender, receiver; // segments
	shm_cell cells[CELLS];
	shm_session from, to;
	shm_tx st;
	shm_rx sr;
	bell bell_of[2]; // 0: the sender's
	rl::atomic<uint32_t> flag[1];
	rl::mutex lock;
	rl::var<uint64_t> bytes[BODIES];
	rl::var<int> alive;
	uint8_t classes[BODIES];
	uint64_t sent, received;

	void before()
	{
		init_memory();
		init_sessions();
		sent = received = freed = 0;
		memset(classes, 0, sizeof(classes));
		weir_shm_tx_init(&st, &from);
		weir_shm_tx_attach(&st);
		sr.session = &to;
		weir_shm_rx_attach(&sr);
	}
	void after()
	{
		free(st.block);
		if (freed == 0)
			delete[] to.track;
	}

	void zero(rl::atomic<uint32_t> &word)
	{
		word.store(0, rl::mo_relaxed, $);
	}
	void init_memory()
	{
		for (shm_front *f : { &sender, &receiver }) {
			f->tx.end.store(0, rl::mo_relaxed, $);
			zero(f->tx.sleeping);
			zero(f->rx.gone);
			zero(f->rx.sleeping);
			zero(f->groups[0]);
			for (auto &word : f->returns)
				word.store(0, rl::mo_relaxed, $);
		}
		for (shm_cell &cell : cells) {
			cell.word.store(0, rl::mo_relaxed, $);
			zero(cell.body);
			cell.generation.store(0, rl::mo_relaxed, $);
			cell.claim.store(0, rl::mo_relaxed, $);
		}
		for (bell &b : bell_of)
			zero(b.rung);
		bells[0] = &bell_of[0];
		bells[1] = &bell_of[1];
		zero(flag[0]);
		flags = flag;
		orphans = nullptr;
		orphans_lock = &lock;
		alive($) = 1;
		life = &alive;
		zero(st.dead.gone);
		zero(st.dead.sleeping);
	}
	void init_sessions()
	{
		shm_header h = {};

		h.cell_count = CELLS;
		h.class_count = 1;
		h.msg_size_max = SHM_INLINE_SIZE;
		h.cells_offset = (uint64_t)((uint8_t *)cells -
					    (uint8_t *)&sender);
		h.classes[0].size = SHM_INLINE_SIZE;
		h.classes[0].count = CELLS;
		h.classes[0].stride = sizeof(shm_cell);
		h.classes[0].offset = h.cells_offset +
				      offsetof(shm_cell, data);
		h.body_limit = SHM_GROUP_SIZE;
		from.own.header = h;
		from.own.front = to.peer.front = &sender;
		from.peer.front = to.own.front = &receiver;
		h.body_limit = BODIES;
		to.peer.header = h;
		to.group_class = classes;
		to.track = new shm_track[BODIES];
		for (int i = 0; i < BODIES; i++) {
			to.track[i].last.store(0, rl::mo_relaxed, $);
			to.track[i].done.store(0, rl::mo_relaxed, $);
		}
		to.store.release = weir_shm_release;
		to.store.release_burst = weir_shm_release_burst;
		to.returns = receiver.returns;
		to.groups = receiver.groups;
		to.peer_tx = &sender.tx;
		to.release_bells.store(0, rl::mo_relaxed, $);
		to.peer_tx_bell = 0;
		from.peer_rx_bell = 1;
		receivers_bell = &to.rx_bell;
		to.orphan_flag = 0;
		from.fence = to.fence = false;
	}

	// ---- what the threads do ----

	bool try_send()
	{
		weir_permit permit = {};
		weir_slot slot = {};
		int rc = weir_shm_reserve(&st.tx, 8, &permit, 1);

		RL_ASSERT(rc >= 0);
		if (rc == 0)
			return false;
		slot.len = 8;
		weir_shm_alloc(&st.tx, &permit, 8, &slot);
		bytes[slot.cookie]($) = ++sent;
		weir_shm_commit(&st.tx, &slot);
		return true;
	}
	// Up to two, with one call for each step. @return how many.
	unsigned send_burst(unsigned n)
	{
		weir_permit permits[2] = {};
		weir_slot slots[2] = {};
		int rc = weir_shm_reserve(&st.tx, 8, permits, n < 2 ? n : 2);

		RL_ASSERT(rc >= 0);
		if (rc == 0) {
			rl::yield(1, $);
			return 0;
		}
		slots[0].len = slots[1].len = 8;
		weir_shm_alloc_burst(&st.tx, permits, slots, (uint16_t)rc);
		for (int i = 0; i < rc; i++)
			bytes[slots[i].cookie]($) = ++sent;
		weir_shm_commit_burst(&st.tx, slots, (uint16_t)rc);
		return (unsigned)rc;
	}
	unsigned receive_burst()
	{
		weir_msg msgs[2] = {};
		int rc = shm_recv(&sr.rx, msgs, 2);

		RL_ASSERT(rc >= 0);
		if (rc == 0) {
			rl::yield(1, $);
			return 0;
		}
		for (int i = 0; i < rc; i++)
			read(msgs[i], ++received);
		RL_ASSERT(alive($) == 1);
		weir_shm_release_burst(msgs[0].store, msgs, (uint16_t)rc);
		return (unsigned)rc;
	}
	void send()
	{
		while (!try_send())
			rl::yield(1, $);
	}
	void send_sleeping()
	{
		while (!try_send())
			if (shm_tx_arm(&st.tx, 8) == 1)
				bell_of[0].wait();
	}
	// @return as shm_recv, never 0.
	int receive(weir_msg *msg, bool sleeping = false)
	{
		int rc;

		while ((rc = shm_recv(&sr.rx, msg, 1)) == 0)
			if (!sleeping)
				rl::yield(1, $);
			else if (shm_rx_arm(&sr.rx) == 1)
				bell_of[1].wait();
		if (rc == 1)
			read(*msg, ++received);
		return rc;
	}
	void read(const weir_msg &msg, uint64_t number)
	{
		RL_ASSERT(bytes[(uint16_t)msg.cookie]($) == number);
	}
	void release(weir_msg *msg)
	{
		RL_ASSERT(alive($) == 1);
		weir_shm_release(msg->store, msg);
	}
	void receive_and_release(int n, bool sleeping = false)
	{
		weir_msg msg = {};

		for (int i = 0; i < n; i++) {
			RL_ASSERT(receive(&msg, sleeping) == 1);
			release(&msg);
		}
	}
};

// ---- the tests -------------------------------------------------------------------

// Five messages through two cells.
struct publish : lane<publish, 2> {
	void thread(unsigned i)
	{
		if (i == 0)
			for (int k = 0; k < 5; k++)
				send();
		else
			receive_and_release(5);
	}
};

// The same by the burst.
struct bursts : lane<bursts, 2> {
	void thread(unsigned i)
	{
		for (unsigned n = 0; n < 6;)
			n += i == 0 ? send_burst(6 - n) : receive_burst();
	}
};

// The receiver keeps every other message for longer: cells and bodies part.
struct hold : lane<hold, 2> {
	void thread(unsigned i)
	{
		weir_msg a = {}, b = {};

		for (int k = 0; i == 0 && k < 6; k++)
			send();
		for (int k = 0; i == 1 && k < 3; k++) {
			RL_ASSERT(receive(&a) == 1);
			RL_ASSERT(receive(&b) == 1);
			release(&b);
			read(a, received - 1);
			release(&a);
		}
	}
};

// Two more threads release what the receiver hands them.
struct returns : lane<returns, 4> {
	rl::atomic<uint32_t> full[2];
	rl::var<int> handed[2];
	weir_msg msgs[2];

	void before()
	{
		lane::before();
		zero(full[0]);
		zero(full[1]);
	}
	void thread(unsigned i)
	{
		if (i == 0)
			for (int k = 0; k < 4; k++)
				send();
		else if (i == 1)
			for (unsigned k = 0; k < 4; k++)
				hand(k % 2);
		else
			for (int k = 0; k < 2; k++)
				take(i - 2);
	}
	void hand(unsigned to_whom)
	{
		while (full[to_whom].load(rl::mo_acquire, $) != 0)
			rl::yield(1, $);
		RL_ASSERT(receive(&msgs[to_whom]) == 1);
		handed[to_whom]($) = (int)received;
		full[to_whom].store(1, rl::mo_release, $);
	}
	void take(unsigned me)
	{
		while (full[me].load(rl::mo_acquire, $) == 0)
			rl::yield(1, $);
		read(msgs[me], (uint64_t)(int)handed[me]($));
		release(&msgs[me]);
		full[me].store(0, rl::mo_release, $);
	}
};

// Nobody polls: every wait is a sleep.
template <bool fence> struct doorbell : lane<doorbell<fence>, 2> {
	void before()
	{
		lane<doorbell, 2>::before();
		this->from.fence = this->to.fence = this->st.fence = fence;
	}
	void thread(unsigned i)
	{
		if (i == 0)
			for (int k = 0; k < 4; k++)
				this->send_sleeping();
		else
			this->receive_and_release(4, true);
	}
};

// All messages come before the end, and then the end, to a sleeper too.
template <bool abort, bool sleeping>
struct ending : lane<ending<abort, sleeping>, 2> {
	void thread(unsigned i)
	{
		weir_msg msg = {};

		if (i == 0) {
			this->send();
			this->send();
			if (abort)
				weir_shm_end_sending(&this->from, SHM_END_ABORTED,
						     this->st.seq);
			else
				RL_ASSERT(shm_close(&this->st.tx) == 0);
			return;
		}
		this->receive_and_release(2, sleeping);
		RL_ASSERT(this->receive(&msg, sleeping) ==
			  (abort ? -ECONNRESET : WEIR_EOF));
	}
};

// A receive half goes while another thread releases its last message: the
// session is freed by one of them, once, and not before both are done.
// Without the barrier nobody may find out; what is ordered then is all there
// is to see.
template <bool counted> struct orphan : lane<orphan<counted>, 2> {
	weir_msg msg;

	void before()
	{
		lane<orphan, 2>::before();
		msg = {};
		RL_ASSERT(this->try_send());
		RL_ASSERT(this->receive(&msg) == 1);
	}
	void after()
	{
		RL_ASSERT(freed <= 1 && (freed == 1 || !counted));
		lane<orphan, 2>::after();
	}
	void thread(unsigned i)
	{
		if (i == 0)
			weir_shm_orphan(&this->to);
		else
			this->release(&msg);
	}
};

#include "several.h"

template <class test> static bool
run(rl::iteration_t iterations)
{
	rl::test_params params;

	params.iteration_count = iterations;
	params.execution_depth_limit = 4000;
	params.progress_output_period = 1u << 30;
	return rl::simulate<test>(params);
}

static const struct {
	const char *name;
	bool membarrier; // is what the test is about
	bool (*run)(rl::iteration_t);
} tests[] = {
	{ "publish", false, run<publish> },
	{ "bursts", false, run<bursts> },
	{ "hold", false, run<hold> },
	{ "returns", false, run<returns> },
	{ "close", false, run<ending<false, false>> },
	{ "abort", false, run<ending<true, false>> },
	{ "orphan-order", false, run<orphan<false>> },
	{ "orphan", true, run<orphan<true>> },
	{ "doorbell", true, run<doorbell<false>> },
	{ "doorbell-fence", false, run<doorbell<true>> },
	{ "close-asleep", true, run<ending<false, true>> },
	{ "abort-asleep", true, run<ending<true, true>> },
	{ "several", false, run<several> },
	{ "several-bursts", false, run<several_bursts> },
	{ "several-asleep", true, run<several_asleep> },
	{ "several-close", false, run<several_close> },
};

int
main(int argc, char **argv)
{
	for (const auto &test : tests)
		if (argc >= 3 && strcmp(argv[1], test.name) == 0) {
			planted = argc > 3 ? (unsigned)atoi(argv[3]) : 0;
			membarrier = test.membarrier;
			return test.run(strtoull(argv[2], NULL, 10)) ? 0 : 1;
		}
	fprintf(stderr, "usage: ring TEST ITERATIONS [DEFECT]\n");
	return 2;
}
