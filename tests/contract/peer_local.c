/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer on this thread; and what all peers have in common. */

#include <sched.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

#include "peer_steps.h"

/* Longer than any honest wait, short enough to sit through. */
#define LIMIT_S_DEFAULT 20

static struct peer *peers;

struct local {
	struct peer peer;
	struct steps steps;
};

static void
local_start(struct peer *peer, const struct order *order)
{
	(void)peer;
	(void)order;
}

static bool
local_turn(struct peer *peer)
{
	struct local *local = (struct local *)peer;
	uint64_t done = local->steps.done + local->steps.received;
	int phase = local->steps.phase;
	bool moved = steps_poll(&local->steps);

	if (!peer->busy)
		return moved;
	if (steps_run(&local->steps, &peer->order, &peer->answer)) {
		peer->busy = false;
		return true;
	}
	return moved || local->steps.done + local->steps.received != done ||
	       local->steps.phase != phase;
}

static void
local_destroy(struct peer *peer)
{
	free(peer);
}

static const struct peer_ops local_ops = {
	.start = local_start,
	.turn = local_turn,
	.destroy = local_destroy,
};

struct peer *
peer_local(const char *name)
{
	struct local *local = calloc(1, sizeof(*local));

	if (local == NULL)
		abort();
	local->peer.ops = &local_ops;
	local->peer.name = name;
	peer_adopt(&local->peer);
	return &local->peer;
}

struct steps *
peer_local_steps(struct peer *peer)
{
	return peer->ops == &local_ops ? &((struct local *)peer)->steps : NULL;
}

/* ---- every peer ----------------------------------------------------------- */

void
peer_adopt(struct peer *peer)
{
	peer->next = peers;
	peers = peer;
}

void
peer_destroy(struct peer *peer)
{
	struct peer **at = &peers;

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	peer->ops->destroy(peer);
}

void
peer_pump(void)
{
	bool moved = false;

	for (struct peer *peer = peers; peer != NULL; peer = peer->next)
		moved |= peer->ops->turn(peer);
	if (!moved)
		sched_yield();
}

uint64_t
peer_limit_ns(void)
{
	const char *text = getenv("WEIR_CONTRACT_LIMIT_S");
	uint64_t limit_s = text != NULL ? strtoull(text, NULL, 10)
					: LIMIT_S_DEFAULT;

	return limit_s * UINT64_C(1000000000);
}

uint64_t
peer_stretch(uint64_t time)
{
	uint64_t times =
		peer_limit_ns() / (LIMIT_S_DEFAULT * UINT64_C(1000000000));

	return times > 1 ? times * time : time;
}

uint32_t peer_link_flags;

/*
 * A link does not give up in seconds: the other process may be kept waiting
 * for a processor for seconds, or the processor be an emulated one. Cases about
 * these times set them themselves, in terms of a usual machine.
 */
static void
be_patient(struct weir_link_config *config)
{
	uint64_t patience_ns = peer_limit_ns() / 2;

	if (config->connect_timeout_ns == 0)
		config->connect_timeout_ns = patience_ns;
	if (config->dead_timeout_ns == 0)
		config->dead_timeout_ns = patience_ns;
	else
		config->dead_timeout_ns = peer_stretch(config->dead_timeout_ns);
}

void
peer_start(struct peer *peer, const struct order *order)
{
	if (peer->busy)
		fail_msg("%s: step %u while step %u is under way", peer->name,
			 order->step, peer->order.step);
	peer->order = *order;
	peer->order.config.size = sizeof(peer->order.config);
	be_patient(&peer->order.config);
	peer->order.config.flags |= peer_link_flags;
	peer->answer = (struct answer){ 0 };
	peer->busy = true;
	peer->ops->start(peer, &peer->order);
}

bool
peer_try_finish(struct peer *peer, uint64_t deadline_ns)
{
	while (peer->busy && !peer->gone && weir_now_ns() < deadline_ns)
		peer_pump();
	return !peer->busy;
}

static void
note_ports(struct peer *peer)
{
	unsigned int bit = 1u << (peer->order.k & 1);

	if (peer->answer.rc != 0)
		return;
	if (peer->order.step == STEP_PORT_OPEN)
		peer->ports |= bit;
	if (peer->order.step == STEP_PORT_CLOSE)
		peer->ports &= ~bit;
}

struct answer
peer_finish(struct peer *peer)
{
	uint64_t deadline_ns = weir_now_ns() + peer_limit_ns();

	if (!peer_try_finish(peer, deadline_ns))
		fail_msg("%s: step %u: %s, after %lu of %lu", peer->name,
			 peer->order.step,
			 peer->gone ? "the process has died"
				    : "not done within the time limit",
			 (unsigned long)peer->answer.n,
			 (unsigned long)peer->order.n);
	if (peer->answer.text[0] != '\0')
		fail_msg("%s: step %u: %s (%ld)", peer->name, peer->order.step,
			 peer->answer.text, (long)peer->answer.rc);
	note_ports(peer);
	return peer->answer;
}

struct answer
peer_call(struct peer *peer, const struct order *order)
{
	peer_start(peer, order);
	return peer_finish(peer);
}
