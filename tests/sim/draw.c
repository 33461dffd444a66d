/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a seed means: each feature is on with even odds, so that two thousand
 * seeds see most pairs of features together.
 */
#include <string.h>
#include "cc.h"
#include "prng.h"
#include "sim.h"

#define US  UINT64_C(1000)
#define MS  UINT64_C(1000000)
#define SEC UINT64_C(1000000000)

static bool
coin(struct prng *prng)
{
	return prng_next(prng) >> 63;
}

static void
draw_wire(struct prng *prng, struct sim_draw *draw)
{
	draw->jitter_ns = 0;
	for (int dir = 0; dir < 2; dir++)
		draw->delay_ns[dir] = prng_range(prng, 1 * US, 40 * US);
	if (coin(prng)) {
		draw->packet_ns = prng_range(prng, 50, 1200);
		draw->queue = (uint32_t)prng_range(prng, 1024, 40000);
	}
	/*
	 * A queue that grows to many round trips at once, behind which
	 * acknowledgements wait, looks like a loss to any sender: that is a
	 * fault too. So a calm wire sends a window faster than any time-out.
	 */
	if (draw->fault_free) {
		draw->packet_ns /= 12;
		return;
	}
	draw->queue = (uint32_t)prng_range(prng, 8, 2000);
	for (int dir = 0; dir < 2; dir++) {
		if (coin(prng))
			draw->loss[dir] = prng_unit(prng) * 0.3;
		if (coin(prng))
			draw->dup[dir] = prng_unit(prng) * 0.2;
		if (coin(prng))
			draw->reorder[dir] = prng_unit(prng) * 0.3;
	}
	if (coin(prng))
		draw->dup_late = prng_unit(prng) * 0.1;
	if (coin(prng))
		draw->jitter_ns = prng_range(prng, 1 * US, 200 * US);
	if (coin(prng))
		draw->partition = prng_unit(prng) * 0.05;
	if (coin(prng))
		draw->stall = prng_unit(prng) * 0.01;
}

static uint32_t
draw_isn(struct prng *prng)
{
	/* Half of them wrap soon. */
	if (coin(prng))
		return (uint32_t)prng_next(prng);
	return 0u - (uint32_t)prng_range(prng, 0, 200);
}

static void
draw_side(struct prng *prng, struct sim_draw *draw, int side)
{
	static const uint32_t frags[] = { 64, 100, 512, 1400 };

	draw->isn[side] = draw_isn(prng);
	draw->frag[side] = frags[prng_below(prng, 4)];
	draw->window[side] = coin(prng) ? (uint32_t)prng_range(prng, 1, 20)
					: (uint32_t)prng_range(prng, 20, 400);
	draw->credit[side] = coin(prng) ? (uint32_t)prng_range(prng, 1, 10)
					: (uint32_t)prng_range(prng, 10, 300);
	draw->tx_window[side] = 64u << prng_below(prng, 3);
	draw->tx_msgs[side] = 1u << prng_below(prng, 8);
	/* Short seeds find as much as long ones, and many more are run. */
	draw->msg_max[side] = 8 * draw->frag[side];
	if (prng_below(prng, 32) == 0)
		draw->msg_max[side] = 200 * draw->frag[side];
	draw->msgs[side] = (uint32_t)prng_range(prng, 0, 40);
	if (draw->is_long)
		draw->msgs[side] = (uint32_t)prng_range(prng, 300, 1200);
	if (coin(prng))
		draw->slow[side] = prng_unit(prng) * 0.2;
	draw->ack_delay_ns[side] = 20 * US;
	if (prng_below(prng, 4) == 0)
		draw->ack_delay_ns[side] = prng_below(prng, 3 * MS);
	draw->end[side] = coin(prng) ? SIM_CLOSE : SIM_CLOSE_LAST;
}

/* One side in a few does not end in good order. */
static void
draw_ends(struct prng *prng, struct sim_draw *draw)
{
	/* Both waiting for the other's EOF is not the protocol's fault. */
	if (draw->end[0] == SIM_CLOSE_LAST && draw->end[1] == SIM_CLOSE_LAST)
		draw->end[prng_below(prng, 2)] = SIM_CLOSE;
	if (prng_below(prng, 4) == 0)
		draw->end[prng_below(prng, 2)] = (enum sim_end)prng_range(
			prng, SIM_ABORT_TX, SIM_VANISH);
}

/* Its own numbers: what seeds meant before there were batches stays. */
static void
draw_batches(uint64_t seed, struct sim_draw *draw)
{
	struct prng prng;

	prng_init(&prng, seed, 101);
	for (int side = 0; side < 2; side++) {
		draw->batch[side] = prng_below(&prng, 4) != 0;
		draw->tiny[side] = coin(&prng);
	}
}

/* What came later, each with numbers of its own. */
static void
draw_more(uint64_t seed, struct sim_draw *draw)
{
	struct prng prng;

	prng_init(&prng, seed, 102);
	for (int side = 0; side < 2; side++) {
		draw->cc[side] = (uint8_t)prng_below(&prng, CC_KINDS);
		draw->crc[side] = coin(&prng);
		draw->skew_ppm[side] = (int32_t)prng_below(&prng, 401) - 200;
		/* One clock in two wraps its 32 bits on the wire soon. */
		draw->clock_ns[side] = prng_range(&prng, 1, 1000) * SEC;
		if (coin(&prng))
			draw->clock_ns[side] = (UINT64_C(5) << 38) -
					       prng_below(&prng, 20 * MS);
	}
	draw->padded = coin(&prng);
	draw->cookies = coin(&prng);
	/* Who was not validated cannot repeat ACCEPT: only a keepalive finds
	 * out that the confirmation was lost. */
	draw->keepalive |= !draw->cookies;
	if (coin(&prng))
		draw->forge = prng_unit(&prng) * 0.05;
	if (coin(&prng))
		draw->mark_at = (uint32_t)prng_range(&prng, 2, 40);
	if (draw->fault_free)
		return;
	for (int dir = 0; dir < 2; dir++)
		if (prng_below(&prng, 4) == 0)
			draw->burst[dir] = prng_unit(&prng) * 0.02;
	if (coin(&prng))
		draw->flip = prng_unit(&prng) * 0.05;
	if (coin(&prng))
		draw->cut_short = prng_unit(&prng) * 0.05;
	if (prng_below(&prng, 8) == 0) {
		draw->mtu = (uint32_t)prng_range(&prng, 100, 1400);
		draw->mtu_ways = (uint8_t)prng_range(&prng, 1, 3);
		draw->mtu_ns = prng_below(&prng, 20 * MS);
	}
	if (prng_below(&prng, 4) == 0)
		draw->starve = prng_unit(&prng) * 0.05;
	if (prng_below(&prng, 8) == 0) {
		draw->crash_side = (int)prng_below(&prng, 2);
		draw->crash_ns = prng_range(&prng, 1, 30 * MS);
		draw->down_ns = prng_range(&prng, 1, 50 * MS);
		draw->keepalive = true;
		for (int side = 0; side < 2; side++)
			if (draw->end[side] > SIM_CLOSE_LAST)
				draw->end[side] = SIM_CLOSE;
	}
}

/* So many that credit goes round its 16 bits: seldom, since it takes long. */
static void
draw_many(struct sim_draw *draw)
{
	draw->msgs[0] = 70000;
	draw->msg_max[1] = 16;
	draw->tx_msgs[0] = 128;
	for (int side = 0; side < 2; side++) {
		draw->frag[side] = 1400;
		draw->window[side] = 300;
		draw->credit[side] = 300;
		draw->batch[side] = true;
		draw->slow[side] = 0;
		draw->end[side] = SIM_CLOSE;
	}
	draw->crash_ns = 0;
}

/* What applications do, beyond being slow. */
static void
draw_habits(uint64_t seed, struct sim_draw *draw)
{
	struct prng prng;

	prng_init(&prng, seed, 103);
	for (int side = 0; side < 2; side++) {
		draw->trickle[side] = prng_below(&prng, 8) == 0;
		/* Whoever sends to it may want to abort meanwhile. */
		if (prng_below(&prng, 16) == 0 ||
		    (draw->end[1 - side] == SIM_ABORT_TX && coin(&prng)))
			draw->asleep_ns[side] = prng_below(&prng, 1500 * MS);
	}
	if (prng_below(&prng, 2000) == 0) {
		draw->trickle[0] = false;
		draw_many(draw);
	}
}

static void
draw_probes(uint64_t seed, struct sim_draw *draw)
{
	struct prng prng;

	prng_init(&prng, seed, 104);
	for (int side = 0; side < 2; side++)
		draw->tlp_learns[side] = coin(&prng);
}

/* Whoever was restarted meets what it sent in its earlier life, still during
 * the later one. */
static void
draw_echoes(uint64_t seed, struct sim_draw *draw)
{
	struct prng prng;

	draw->late_ns = 10 * SEC;
	prng_init(&prng, seed, 105);
	if (draw->crash_ns == 0 || coin(&prng))
		return;
	draw->dup[draw->crash_side] = 0.3;
	draw->dup_late = 0.5;
	draw->late_ns = prng_range(&prng, 1, 200) * MS;
}

/* What takes seconds: a path that stays narrow, and links that are still up
 * when the latest copies arrive. */
static void
draw_path(uint64_t seed, struct sim_draw *draw)
{
	struct prng prng;
	uint64_t what;

	prng_init(&prng, seed, 106);
	what = prng_below(&prng, 128);
	if (draw->fault_free || draw->crash_ns != 0 || what > 2)
		return;
	for (int side = 0; side < 2; side++) {
		if (draw->end[side] > SIM_CLOSE_LAST)
			draw->end[side] = SIM_CLOSE;
		if (what != 2) {
			draw->frag[side] = 1400;
			draw->msg_max[side] = 8 * 1400;
		} else {
			draw->dup[side] = 0.3;
		}
	}
	if (what == 2) {
		draw->dup_late = 0.5;
		draw->stay_ns = prng_range(&prng, 1, 10) * SEC;
		return;
	}
	draw->mtu = (uint32_t)prng_range(&prng, 1216, 1400);
	draw->mtu_ways = (uint8_t)prng_range(&prng, 1, 3);
	draw->mtu_ns = coin(&prng) ? 0 : prng_below(&prng, 20 * MS);
	draw->keepalive = true;
	draw->mtu_stays = true;
}

void
sim_draw(uint64_t seed, struct sim_draw *draw)
{
	struct prng prng;

	memset(draw, 0, sizeof(*draw));
	prng_init(&prng, seed, 100);
	/* Drawn independently: a long faulty seed must exist. */
	draw->fault_free = prng_below(&prng, 4) == 0;
	draw->is_long = prng_below(&prng, 15) == 0;
	draw_wire(&prng, draw);
	for (int side = 0; side < 2; side++)
		draw_side(&prng, draw, side);
	draw_ends(&prng, draw);
	/* Who vanishes without a word is missed only by who asks. */
	draw->keepalive = coin(&prng) || draw->end[0] >= SIM_ABORT ||
			  draw->end[1] >= SIM_ABORT;
	draw_batches(seed, draw);
	draw_more(seed, draw);
	draw_probes(seed, draw);
	draw_echoes(seed, draw);
	draw_habits(seed, draw);
	draw_path(seed, draw);
	draw->heal_ns = draw->fault_free ? 0 : prng_range(&prng, 1, 200) * MS;
}
