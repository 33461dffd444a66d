/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PEER_STEPS_H
#define PEER_STEPS_H

/*
 * The steps of a peer, the same in every kind of peer. A step never waits:
 * it does what can be done now and is called again until it says "done".
 */

#include "peer.h"
#include "weir_stats.h"

/* One link. With two carriers, tx comes from one and rx from the other. */
struct end {
	struct weir_link *carrier[PEER_CARRIERS]; /* until split */
	struct weir_link *link;                   /* after split */
	struct weir_tx *tx;
	struct weir_rx *rx;
};

/* A message that is kept, and what it must contain. */
struct held {
	struct weir_msg msg;
	uint64_t seed;
};

struct steps {
	struct weir_port *ports[PEER_CARRIERS];
	struct weir_listener *listeners[PEER_CARRIERS];
	struct end ends[PEER_ENDS];
	struct held held[PEER_HELD];
	uint32_t held_count;
	struct weir_slot slots[PEER_SLOTS];
	/* of the order under way */
	uint64_t done;
	uint64_t received;
	int phase;
};

/* @return true when the order is done and the answer is complete. */
bool steps_run(struct steps *steps, const struct order *order,
	       struct answer *answer);

/* Poll the ports. @return true if there was work. */
bool steps_poll(struct steps *steps);

/*
 * The identities of a send half: capacity = free + permitted + allocated +
 * outstanding, total = free + pledged + allocated + outstanding per class.
 *
 * @return true; false with what is wrong in text.
 */
bool steps_audit(struct weir_tx *tx, char *text, size_t size);

/* Compare one received message. @return true; false with text. */
bool steps_compare(const struct weir_msg *msg, uint32_t len, uint64_t seed,
		   uint64_t number, char *text, size_t size);

#endif /* PEER_STEPS_H */
