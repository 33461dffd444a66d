/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The sending side of one direction: a queue of messages that is cut into
 * packets, and the window of packets that are not acknowledged yet.
 *
 *   messages   popped        cut           pushed
 *                |   acked... | ...waiting... |          msgs[], a ring
 *                             v
 *   packets     una          nxt       limit
 *                | in flight  |  may go  |               slots[], a ring
 *                  S . S S L .            S sacked, L lost: two bit rings
 *
 * in flight = (nxt - una) - sacked - lost, at all times.
 *
 * A message is done when una has passed its last packet; nothing is counted
 * per message. On a wire without faults both bit rings stay empty and an
 * acknowledgement costs a few compares, however much it covers.
 */
#ifndef WEIR_ARQ_TX_H
#define WEIR_ARQ_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "conn.h"
#include "rtt.h"
#include "sack.h"
#include "wire.h"

/* RFC 9002 section 6.1.1: so many later arrivals make a packet lost. */
#define ARQ_PACKET_THRESHOLD 3
/* Messages above it go from where they were written, never in a batch. */
#define ARQ_BATCH_MSG_MAX 256
/* What is risked after a time-out, until an acknowledgement comes. */
#define ARQ_RTO_CWND 2
/* RFC 8985 section 7.2: a wider reordering window is kept so long. */
#define ARQ_REORDER_KEEP 16

struct tx_slot {
	const uint8_t *payload; /* BATCH: NULL, gathered from its messages */
	uint64_t sent_ns;       /* the last time */
	uint32_t len;
	uint32_t mlo;  /* BATCH: so many messages from msg on */
	uint32_t msg;  /* index in msgs */
	uint8_t type;  /* WIRE_DATA, WIRE_BATCH or WIRE_FIN */
	uint8_t flags; /* WIRE_F_FIRST | WIRE_F_LAST */
	uint8_t tries; /* sent again so often, saturating */
};

struct arq_tx {
	uint64_t una;   /* oldest not acknowledged */
	uint64_t nxt;   /* next new one */
	uint64_t limit; /* peer's window: first it will not take */
	uint32_t window;
	uint32_t cwnd;    /* packets that may be in flight; <= window */
	uint32_t repairs; /* that go out whatever cwnd says */
	bool controlled;  /* cwnd is set from outside, see cc.h */
	uint32_t sacked;
	uint32_t lost;

	uint64_t pushed;
	uint64_t cut;
	uint64_t popped;
	uint32_t cut_offset; /* into the message being cut */
	uint32_t frag_size;
	uint32_t
		batch_below; /* messages shorter than it may be batched; 0: off */
	struct tx_slot *slots;
	struct conn_tx_msg *msgs;
	uint32_t slot_mask;
	uint32_t msg_mask;

	struct bitring sacked_bits;
	struct bitring lost_bits;
	uint64_t sack_hi;       /* one past the highest sacked */
	uint64_t delivered_ns;  /* send time of the newest that arrived */
	uint64_t delivered_rtt; /* and how long ago that was when we heard */
	uint32_t reorder_scale; /* of the reordering window, in min_rtt/4 */
	bool reorder_seen;
	uint8_t reorder_keep;    /* recoveries until it shrinks again */
	uint64_t lost_newest_ns; /* send time of the newest lost one */

	bool fin_wanted;
	bool fin_sent;
	bool given_up; /* messages from `cut` on will never be sent */
	uint64_t fin_seq;

	uint64_t batches;
	uint64_t batched; /* messages in these */
	uint64_t lost_sack;
	uint64_t lost_time;
	uint64_t lost_rto;
	uint64_t reordered;
	uint64_t spurious;
};

/** Bytes of memory that init takes; both counts are powers of two. */
size_t weir_arq_tx_size(uint32_t window, uint32_t msgs);
void weir_arq_tx_init(struct arq_tx *tx, void *mem, uint32_t isn,
		      uint32_t window, uint32_t msgs);

/** What was negotiated; before the first packet. */
void weir_arq_tx_limits(struct arq_tx *tx, uint32_t frag_size, bool batches);

/** Append one message; there must be room: pushed - popped <= msg_mask. */
static inline void
arq_tx_push(struct arq_tx *tx, void *ref, const uint8_t *payload, uint32_t len)
{
	struct conn_tx_msg *msg = &tx->msgs[tx->pushed & tx->msg_mask];

	msg->ref = ref;
	msg->payload = payload;
	msg->len = len;
	tx->pushed++;
}

static inline uint32_t
arq_tx_min(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

/* How many of the oldest messages are done with, in a row in msgs, up to most. */
static inline uint32_t
arq_tx_done(const struct arq_tx *tx, uint32_t most)
{
	uint32_t at = (uint32_t)tx->popped & tx->msg_mask;
	uint32_t row = arq_tx_min(most, tx->msg_mask + 1 - at), n = 0;

	/* Those that will never be sent, once all others are back. */
	if (tx->popped >= tx->cut)
		return arq_tx_min(tx->given_up ? tx->pushed - tx->popped : 0,
				  row);
	row = arq_tx_min(tx->cut - tx->popped, row);
	while (n < row && tx->msgs[at + n].end_seq <= tx->una)
		n++;
	return n;
}

/** @return the ref of the oldest message if it is done with, else NULL. */
static inline void *
arq_tx_pop(struct arq_tx *tx)
{
	if (arq_tx_done(tx, 1) == 0)
		return NULL;
	return tx->msgs[tx->popped++ & tx->msg_mask].ref;
}

/**
 * Give the next packet its number. Caller has seen arq_tx_can_send(). Small
 * messages that are waiting together go as one BATCH.
 */
struct tx_slot *weir_arq_tx_fresh(struct arq_tx *tx, uint64_t now_ns);

/**
 * Write the payload of a BATCH at dst, slot->len bytes.
 * @return the bytes of its messages.
 */
uint32_t weir_arq_tx_gather(const struct arq_tx *tx, const struct tx_slot *slot,
			    uint8_t *dst);

/** End of the direction: takes a number but no window. @see arq_tx_can_fin */
struct tx_slot *weir_arq_tx_fin(struct arq_tx *tx, uint64_t now_ns);

/**
 * The oldest lost packet goes out again. @return NULL when none is lost or
 * too much is in flight; else *seq is its number.
 */
struct tx_slot *weir_arq_tx_resend(struct arq_tx *tx, uint64_t now_ns,
				   uint64_t *seq);

/** The newest packet goes out again, to provoke an acknowledgement; or the
 * oldest one, if the newest has arrived. */
struct tx_slot *weir_arq_tx_resend_last(struct arq_tx *tx, uint64_t now_ns,
					uint64_t *seq);

/** The peer has everything before `ack`; una < ack <= nxt. */
void weir_arq_tx_on_ack(struct arq_tx *tx, uint64_t ack);

/**
 * 64 bits of SACK from `base` (>= una) on.
 * @return how many are news, or -1 when one was never sent.
 */
int weir_arq_tx_on_sack(struct arq_tx *tx, uint64_t base, uint64_t bits);

/** A packet sent at sent_ns has reached the peer, as we hear now. */
void weir_arq_tx_delivered(struct arq_tx *tx, uint64_t sent_ns,
			   uint64_t now_ns);

/**
 * Which holes below the newest arrival are losses?
 * @return when to look again, TIMER_NEVER if nothing hangs on time.
 */
uint64_t weir_arq_tx_detect(struct arq_tx *tx, const struct rtt *rtt,
			    uint64_t now_ns);

/** A recovery begins: patience that was not needed is given up in time. */
void weir_arq_tx_on_recovery(struct arq_tx *tx);

/**
 * The timer ran out: what is older than rto is lost.
 * @return the payload of the shortest of these, UINT32_MAX if there are none.
 */
uint32_t weir_arq_tx_on_rto(struct arq_tx *tx, uint64_t now_ns,
			    uint64_t rto_ns);

/** Never send what was not sent yet. */
void weir_arq_tx_give_up(struct arq_tx *tx);

/** The peer wants nothing of what is in flight either; only a FIN stays. */
void weir_arq_tx_abandon(struct arq_tx *tx);

/** Everything is over: every message can be popped. */
void weir_arq_tx_kill(struct arq_tx *tx);

static inline uint32_t
arq_tx_in_flight(const struct arq_tx *tx)
{
	return (uint32_t)(tx->nxt - tx->una) - tx->sacked - tx->lost;
}

/* May a lost one go out? After a time-out at least two do (RFC 9002 section
 * 7.5), even if what was sent since still counts as in flight. */
static inline bool
arq_tx_can_resend(const struct arq_tx *tx)
{
	return tx->lost != 0 &&
	       (arq_tx_in_flight(tx) < tx->cwnd || tx->repairs != 0);
}

static inline bool
arq_tx_has_unsent(const struct arq_tx *tx)
{
	return tx->cut != tx->pushed && !tx->given_up;
}

/* The first number without room: the slots, the congestion window, in which what
 * arrived or is lost has no place, or the peer's window. */
static inline uint64_t
arq_tx_end(const struct arq_tx *tx)
{
	uint32_t most = tx->cwnd + tx->sacked + tx->lost;
	uint64_t end = tx->una + (most < tx->window ? most : tx->window);

	return end < tx->limit ? end : tx->limit;
}

/* The message `ahead` of the next is one packet, and goes alone. */
static inline bool
arq_tx_goes_alone(const struct arq_tx *tx, uint64_t ahead)
{
	uint32_t len = tx->msgs[(tx->cut + ahead) & tx->msg_mask].len;

	return len <= tx->frag_size &&
	       (len >= tx->batch_below || tx->pushed - tx->cut - ahead <= 1);
}

/* The next message, of which nothing was cut. */
static inline bool
arq_tx_is_plain(const struct arq_tx *tx)
{
	return tx->cut_offset == 0 && arq_tx_goes_alone(tx, 0);
}

/** weir_arq_tx_fresh() for such a message. */
static inline struct tx_slot *
arq_tx_take_plain(struct arq_tx *tx, uint64_t now_ns)
{
	uint32_t index = (uint32_t)tx->cut & tx->msg_mask;
	struct conn_tx_msg *msg = &tx->msgs[index];
	struct tx_slot *slot = &tx->slots[tx->nxt & tx->slot_mask];

	slot->payload = msg->payload;
	slot->sent_ns = now_ns;
	slot->len = msg->len;
	slot->mlo = msg->len;
	slot->msg = index;
	slot->type = WIRE_DATA;
	slot->flags = WIRE_F_FIRST | WIRE_F_LAST;
	slot->tries = 0;
	msg->end_seq = ++tx->nxt;
	tx->cut++;
	return slot;
}

/** weir_arq_tx_fresh() for the data path. */
static inline struct tx_slot *
arq_tx_fresh(struct arq_tx *tx, uint64_t now_ns)
{
	if (!arq_tx_is_plain(tx))
		return weir_arq_tx_fresh(tx, now_ns);
	return arq_tx_take_plain(tx, now_ns);
}

static inline bool
arq_tx_can_send(const struct arq_tx *tx)
{
	return arq_tx_has_unsent(tx) && tx->nxt < arq_tx_end(tx);
}

static inline bool
arq_tx_can_fin(const struct arq_tx *tx)
{
	return tx->fin_wanted && !tx->fin_sent && !arq_tx_has_unsent(tx) &&
	       tx->nxt - tx->una < tx->window;
}

static inline bool
arq_tx_fin_acked(const struct arq_tx *tx)
{
	return tx->fin_sent && tx->una > tx->fin_seq;
}

static inline struct tx_slot *
arq_tx_slot(const struct arq_tx *tx, uint64_t seq)
{
	return &tx->slots[seq & tx->slot_mask];
}

#endif
