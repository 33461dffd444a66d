/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receiving side of one direction: one ring of packets, addressed by
 * sequence number.
 *
 *        head            nxt                        told
 *   ------|--- in order --|--- . P P . . P ----------|-----
 *   given |  to be read   |  parked, found by bits   | not allowed
 *
 * told - head never exceeds the window, so the ring has a place for all that
 * the peer may send. Fragment rules are checked when a packet comes in order:
 * what stands between head and nxt is correct.
 */
#ifndef WEIR_ARQ_RX_H
#define WEIR_ARQ_RX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "conn.h"
#include "credit.h"
#include "sack.h"

struct arq_rx {
	uint64_t first;
	uint64_t head;
	uint64_t nxt;
	uint64_t hi; /* one past the highest parked */
	uint32_t parked;
	uint32_t ring_mask;
	struct conn_rx_packet *ring;
	struct bitring bits;
	struct allowance window; /* packets */
	struct allowance credit; /* messages */

	/* The message that the next packet in order belongs to. */
	uint64_t started; /* messages whose FIRST came in order */
	uint32_t msg_len;
	uint32_t msg_offset;
	bool msg_open;

	bool fin_known;
	bool fin_abort; /* the end is an abort */
	bool ended;     /* FIN taken in order */
	bool stopped;   /* nobody reads here any more */
	uint64_t fin_seq;
	uint64_t data_end; /* nxt when FIN was taken */

	uint32_t frag_size;
	uint32_t msg_size_max;
	uint32_t plain_max; /* the smaller of both */
	uint32_t held;      /* consumed, not released */

	/* What is to be given back: in order before read_end, and parked. */
	uint64_t read_end;
	uint64_t drop_at;
	uint64_t drop_end;
	int broken; /* a violation found while a hole was closed, or 0 */

	uint64_t reordered;
	uint64_t msgs;
	uint64_t bytes;
	uint64_t batches;
	uint64_t batched; /* messages in these */
};

enum arq_rx_result {
	ARQ_RX_KEPT,    /* the ref is ours now */
	ARQ_RX_PARKED,  /* ours too, out of order: acknowledge at once */
	ARQ_RX_FILLED,  /* ours too, and it closed a hole */
	ARQ_RX_DUP,     /* had it: acknowledge at once */
	ARQ_RX_IGNORED, /* nobody reads */
	ARQ_RX_ERRORS,  /* from here on: ARQ_RX_ERRORS + enum wire_error */
};

size_t weir_arq_rx_size(uint32_t window);
void weir_arq_rx_init(struct arq_rx *rx, void *mem, uint32_t isn,
		      uint32_t window, uint32_t credit);

/** What was negotiated; before the first packet. */
void weir_arq_rx_limits(struct arq_rx *rx, uint32_t frag_size,
			uint32_t msg_size_max);

/** Take DATA or BATCH, as decoded. @return enum arq_rx_result, or above it a violation. */
int weir_arq_rx_data(struct arq_rx *rx, uint64_t seq,
		     const struct wire_hdr *hdr, void *ref);

/** Take a FIN; it needs no window. */
int weir_arq_rx_fin(struct arq_rx *rx, uint64_t seq, bool abort);

/** Nobody will read: everything is to be dropped, a FIN anywhere ends it. */
void weir_arq_rx_stop(struct arq_rx *rx);

/** An error: what is in order stays readable, parked packets are dropped. */
void weir_arq_rx_fail(struct arq_rx *rx);

/** @return the next ref to give back, or NULL. */
void *weir_arq_rx_pop_dropped(struct arq_rx *rx);

/* The next one of a direction without holes, which goes on. */
static inline bool
arq_rx_is_smooth(const struct arq_rx *rx, uint64_t seq)
{
	return seq == rx->nxt && rx->parked == 0 && !rx->fin_known &&
	       !rx->stopped && seq < rx->window.told;
}

/*
 * A whole message in one packet, in order: the common case at one glance. No
 * BATCH is: its payload, with 2 bytes of length for each message at least, is
 * longer than mlo, their number.
 */
static inline bool
arq_rx_is_plain(const struct arq_rx *rx, const struct wire_hdr *hdr)
{
	const uint8_t whole = WIRE_F_FIRST | WIRE_F_LAST;

	return (hdr->flags & whole) == whole && hdr->payload_len == hdr->mlo &&
	       hdr->mlo <= rx->plain_max && !rx->msg_open &&
	       rx->started != rx->credit.told;
}

/** The packet `seq` is a whole message; not yet taken. */
static inline void
arq_rx_put_plain(struct arq_rx *rx, uint64_t seq, const uint8_t *payload,
		 uint32_t len, void *ref)
{
	struct conn_rx_packet *packet = &rx->ring[seq & rx->ring_mask];

	packet->ref = ref;
	packet->payload = payload;
	packet->len = len;
	packet->offset = 0;
	packet->msg_len = len;
	packet->flags = WIRE_F_FIRST | WIRE_F_LAST;
}

/** The next `count` packets are smooth and plain, and have been put; `bytes` of
 * payload. */
static inline void
arq_rx_take_plain(struct arq_rx *rx, uint32_t count, uint64_t bytes)
{
	rx->started += count;
	rx->msgs += count;
	rx->bytes += bytes;
	rx->nxt += count;
}

/** weir_arq_rx_data() for the data path. */
static inline int
arq_rx_data(struct arq_rx *rx, uint64_t seq, const struct wire_hdr *hdr,
	    void *ref)
{
	if (__builtin_expect(
		    !arq_rx_is_smooth(rx, seq) || !arq_rx_is_plain(rx, hdr), 0))
		return weir_arq_rx_data(rx, seq, hdr, ref);
	arq_rx_put_plain(rx, seq, hdr->payload, hdr->mlo, ref);
	arq_rx_take_plain(rx, 1, hdr->mlo);
	return ARQ_RX_KEPT;
}

/** Park a packet right behind the newest one, for which the window has a place,
 * and which says that it is a whole message of msg_len bytes. */
static inline void
arq_rx_park_newest(struct arq_rx *rx, const uint8_t *payload, uint32_t len,
		   uint32_t msg_len, void *ref)
{
	struct conn_rx_packet *packet = &rx->ring[rx->hi & rx->ring_mask];

	packet->ref = ref;
	packet->payload = payload;
	packet->len = len;
	packet->offset = msg_len; /* the header's mlo, until it is in order */
	packet->flags = WIRE_F_FIRST | WIRE_F_LAST;
	bitring_set(&rx->bits, rx->hi);
	rx->parked++;
	rx->reordered++;
	rx->hi++;
}

/** @return how many SACK words the next packet needs, at most `most`. */
static inline uint32_t
arq_rx_sack_words(const struct arq_rx *rx, uint32_t most)
{
	if (rx->parked == 0 || rx->stopped)
		return 0;
	return sack_words(rx->nxt, rx->hi, most);
}

/** How many of the packets in order stand in a row from that of arq_rx_peek(),
 * which is not NULL. */
static inline uint32_t
arq_rx_peek_count(const struct arq_rx *rx)
{
	uint64_t end = rx->ended ? rx->fin_seq : rx->nxt;
	uint64_t to_edge = rx->ring_mask + 1 - (rx->head & rx->ring_mask);

	return (uint32_t)(end - rx->head < to_edge ? end - rx->head : to_edge);
}

static inline const struct conn_rx_packet *
arq_rx_peek(const struct arq_rx *rx)
{
	if (rx->head == rx->nxt || rx->stopped)
		return NULL;
	/* FIN takes a number too, but has no packet to show. */
	if (rx->ended && rx->head == rx->fin_seq)
		return NULL;
	return &rx->ring[rx->head & rx->ring_mask];
}

#endif
