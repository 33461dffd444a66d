/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_MODEL_SEVERAL_H
#define WEIR_MODEL_SEVERAL_H

/*
 * Several threads on one send half: drivers/shm/shm_tx_multi.c and
 * shm_multi_half.c, with the very claims and sleepers of lib. They have names
 * in common with the half of one thread, so they get a space of their own.
 */

// Those of one thread have stand-ins of these.
#define weir_shm_multi_init   several_init
#define weir_shm_multi_attach several_attach
#define publish               publish_wants

#include "sleepers.c"
namespace multi
{
#include "shm_multi.h"
#include "shm_tx_multi.c"
#include "shm_multi_half.c"
} // namespace multi
#undef publish

// The peer of the lane is the same; its senders are `threads` - 1.
template <class derived, unsigned threads>
struct shared_lane : lane<derived, threads> {
	multi::shm_multi mt;
	rl::atomic<uint64_t> map[1];
	rl::atomic<uint64_t> state[BODIES];
	rl::atomic<uint32_t> committed;
	uint32_t taken;

	void before()
	{
		lane<derived, threads>::before();
		// All but what relacy knows by its place.
		memcpy((void *)&mt.base, (void *)&this->st,
		       offsetof(shm_tx, dead));
		mt.base.peer = &this->receiver.rx;
		mt.map = map;
		mt.state = state;
		map[0].store((1u << CELLS) - 1, rl::mo_relaxed, $);
		for (auto &word : state)
			word.store(0, rl::mo_relaxed, $);
		for (auto *word :
		     { &mt.seq, &mt.wait_down, &mt.wait_credit, &mt.wait_small,
		       &mt.wait_large, &mt.discarded, &mt.doorbells })
			word->store(0, rl::mo_relaxed, $);
		this->zero(mt.stop);
		this->zero(mt.collecting);
		this->zero(mt.backed_out);
		this->zero(mt.sleepers.wants);
		mt.sleepers.count = 0;
		this->zero(committed);
		taken = 0;
		senders_bell = &this->from.tx_bell;
	}
	void after()
	{
		RL_ASSERT(taken == committed.load(rl::mo_seq_cst, $));
		senders_bell = nullptr;
		lane<derived, threads>::after();
	}

	// @return as weir_tx_reserve().
	int try_send()
	{
		weir_permit permit = {};
		weir_slot slot = {};
		int rc = multi::weir_shm_multi_reserve(&mt.base.tx, 8, &permit,
						       1);

		if (rc != 1)
			return rc;
		slot.len = 8;
		multi::weir_shm_multi_alloc(&mt.base.tx, &permit, 8, &slot);
		this->bytes[slot.cookie >> 16]($) = 1;
		multi::weir_shm_multi_commit(&mt.base.tx, &slot);
		committed.fetch_add(1, rl::mo_relaxed, $);
		return 1;
	}
	// Up to two with one commit. @return how many.
	unsigned send_burst(unsigned n)
	{
		weir_permit permits[2] = {};
		weir_slot slots[2] = {};
		int rc = multi::weir_shm_multi_reserve(&mt.base.tx, 8, permits,
						       n < 2 ? n : 2);

		RL_ASSERT(rc >= 0);
		for (int i = 0; i < rc; i++) {
			slots[i].len = 8;
			multi::weir_shm_multi_alloc(&mt.base.tx, &permits[i], 8,
						    &slots[i]);
			this->bytes[slots[i].cookie >> 16]($) = 1;
		}
		if (rc == 0)
			rl::yield(1, $);
		else
			multi::weir_shm_multi_commit_burst(&mt.base.tx, slots,
							   (uint16_t)rc);
		committed.fetch_add(rc, rl::mo_relaxed, $);
		return rc;
	}
	void send()
	{
		int rc;

		while ((rc = try_send()) == 0)
			rl::yield(1, $);
		RL_ASSERT(rc == 1);
	}
	void send_sleeping()
	{
		int rc;

		while ((rc = try_send()) == 0)
			if (multi::multi_arm(&mt.base.tx, 8) == 1)
				this->bell_of[0].wait_until_drained();
		RL_ASSERT(rc == 1);
	}
	// @return of the receiver: 1, WEIR_EOF.
	int take(bool sleeping = false)
	{
		weir_msg msg = {};
		int rc;

		while ((rc = shm_recv(&this->sr.rx, &msg, 1)) == 0)
			if (!sleeping)
				rl::yield(1, $);
			else if (shm_rx_arm(&this->sr.rx) == 1)
				this->bell_of[1].wait();
		if (rc != 1)
			return rc;
		RL_ASSERT(this->bytes[(uint16_t)msg.cookie]($) == 1);
		// Whoever gets the body next is ordered after this.
		this->bytes[(uint16_t)msg.cookie]($) = 0;
		this->release(&msg);
		taken++;
		return rc;
	}
};

// Two threads, two cells: each claim, header and body of a former lap.
struct several : shared_lane<several, 3> {
	void thread(unsigned i)
	{
		for (int k = 0; i < 2 && k < 3; k++)
			send();
		for (int k = 0; i == 2 && k < 6; k++)
			RL_ASSERT(take() == 1);
	}
};

// The same in bursts, of which one may get less than it asks for.
struct several_bursts : shared_lane<several_bursts, 3> {
	void thread(unsigned i)
	{
		for (unsigned k = 0; i < 2 && k < 3;)
			k += send_burst(3 - k);
		for (int k = 0; i == 2 && k < 6; k++)
			RL_ASSERT(take() == 1);
	}
};

// Nobody polls: what one thread drains another one may have waited for, and
// no later release helps.
struct several_asleep : shared_lane<several_asleep, 3> {
	void thread(unsigned i)
	{
		for (int k = 0; i < 2 && k < 2; k++)
			send_sleeping();
		for (int k = 0; i == 2 && k < 4; k++) {
			while (k == 2 && committed.load(rl::mo_relaxed, $) < 4)
				rl::yield(1, $);
			RL_ASSERT(take() == 1);
		}
	}
};

// One closes while another one sends: nothing that was committed is lost.
struct several_close : shared_lane<several_close, 3> {
	void thread(unsigned i)
	{
		int rc;

		if (i == 0) {
			do
				rc = try_send();
			while (rc == 0 ? (rl::yield(1, $), true)
				       : rc == 1 &&
						 committed.load(rl::mo_relaxed,
								$) < 3);
			RL_ASSERT(rc == 1 || rc == -EPIPE);
		} else if (i == 1) {
			while ((rc = multi::close_now(&mt)) == -EBUSY)
				rl::yield(1, $);
			RL_ASSERT(rc == 0);
		} else {
			while ((rc = take()) == 1)
				;
			RL_ASSERT(rc == WEIR_EOF);
		}
	}
};

#endif /* WEIR_MODEL_SEVERAL_H */
