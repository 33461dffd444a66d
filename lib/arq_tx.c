/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The send window: cutting messages, acknowledgements, and what is lost.
 * Loops run over what an acknowledgement newly covers, never over the window;
 * only with losses the holes are walked, 64 numbers at a time.
 */
#include <string.h>
#include "arq_tx.h"
#include "seq.h"
#include "timer.h"

size_t
weir_arq_tx_size(uint32_t window, uint32_t msgs)
{
	return (size_t)window * sizeof(struct tx_slot) +
	       (size_t)msgs * sizeof(struct conn_tx_msg) +
	       2 * (size_t)window / 8;
}

void
weir_arq_tx_init(struct arq_tx *tx, void *mem, uint32_t isn, uint32_t window,
		 uint32_t msgs)
{
	uint8_t *at = mem;

	memset(tx, 0, sizeof(*tx));
	memset(mem, 0, weir_arq_tx_size(window, msgs));
	tx->slots = (struct tx_slot *)at;
	at += (size_t)window * sizeof(struct tx_slot);
	tx->msgs = (struct conn_tx_msg *)at;
	at += (size_t)msgs * sizeof(struct conn_tx_msg);
	tx->sacked_bits.words = (uint64_t *)at;
	at += window / 8;
	tx->lost_bits.words = (uint64_t *)at;
	tx->sacked_bits.mask = window - 1;
	tx->lost_bits.mask = window - 1;
	tx->slot_mask = window - 1;
	tx->msg_mask = msgs - 1;
	tx->window = window;
	tx->cwnd = window;
	tx->reorder_scale = 1;
	tx->una = seq_first(isn);
	tx->nxt = tx->una;
	tx->limit = tx->una;
	tx->sack_hi = tx->una;
}

void
weir_arq_tx_limits(struct arq_tx *tx, uint32_t frag_size, bool batches)
{
	tx->frag_size = frag_size;
	tx->batch_below = 0;
	if (batches)
		tx->batch_below = frag_size < ARQ_BATCH_MSG_MAX
					  ? frag_size
					  : ARQ_BATCH_MSG_MAX + 1;
}

/* How many of the messages that wait fit together; *len of payload. They are
 * told that they end with the next packet: should they go by themselves after
 * all, they are told again. */
static uint32_t
batch_fill(const struct arq_tx *tx, uint32_t *len)
{
	const uint32_t mask = tx->msg_mask, below = tx->batch_below;
	const uint32_t at = (uint32_t)tx->cut, room = tx->frag_size;
	const uint32_t most =
		arq_tx_min(tx->pushed - tx->cut, WIRE_RECORDS_MAX);
	const uint64_t end_seq = tx->nxt + 1;
	uint32_t count, body = 0, end = 0;

	for (count = 0; count < most; count++) {
		struct conn_tx_msg *msg = &tx->msgs[(at + count) & mask];

		if (msg->len >= below ||
		    wire_records_table(count + 1) + body + msg->len > room)
			break;
		msg->end_seq = end_seq;
		end = body + msg->len;
		body = wire_round8(end);
	}
	*len = wire_records_table(count) + end;
	return count;
}

/* Several waiting messages in one packet. @return false: not worth it. */
static __attribute__((noinline)) bool
cut_batch(struct arq_tx *tx, struct tx_slot *slot)
{
	uint32_t len, count = batch_fill(tx, &len);

	if (count < WIRE_RECORDS_MIN)
		return false;
	slot->payload = NULL;
	slot->len = len;
	slot->mlo = count;
	slot->msg = (uint32_t)tx->cut & tx->msg_mask;
	slot->type = WIRE_BATCH;
	slot->flags = WIRE_F_FIRST | WIRE_F_LAST;
	slot->tries = 0;
	tx->nxt++;
	tx->cut += count;
	tx->batches++;
	tx->batched += count;
	return true;
}

/* A few words, without a call: by halves that overlap, or 32 bytes a time. */
static inline void
copy_small(uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (len >= 32) {
		memcpy(to, from, 32);
		for (uint32_t at = 32; at + 32 < len; at += 32)
			memcpy(to + at, from + at, 32);
		memcpy(to + len - 32, from + len - 32, 32);
	} else if (len >= 16) {
		memcpy(to, from, 16);
		memcpy(to + len - 16, from + len - 16, 16);
	} else if (len >= 8) {
		memcpy(to, from, 8);
		memcpy(to + len - 8, from + len - 8, 8);
	} else if (len >= 4) {
		memcpy(to, from, 4);
		memcpy(to + len - 4, from + len - 4, 4);
	} else {
		for (uint32_t at = 0; at < len; at++)
			to[at] = from[at];
	}
}

uint32_t
weir_arq_tx_gather(const struct arq_tx *tx, const struct tx_slot *slot,
		   uint8_t *dst)
{
	const uint32_t count = slot->mlo, mask = tx->msg_mask, at = slot->msg;
	uint8_t *to = dst + wire_records_table(count);
	uint32_t bytes = 0;

	/* The last word of the table first: its end may be padding. */
	memset(to - 8, 0, 8);
	for (uint32_t i = 0; i < count; i++) {
		const struct conn_tx_msg *msg = &tx->msgs[(at + i) & mask];
		const uint32_t len = msg->len;
		uint16_t size = WIRE_LE16((uint16_t)len);

		memcpy(dst + 2 * i, &size, sizeof(size));
		/* The same with its padding; nothing follows the last one. */
		if (len % 8 != 0 && i + 1 != count)
			memset(to + (len & ~(uint32_t)7), 0, 8);
		copy_small(to, msg->payload, len);
		to += wire_round8(len);
		bytes += len;
	}
	return bytes;
}

struct tx_slot *
weir_arq_tx_fresh(struct arq_tx *tx, uint64_t now_ns)
{
	uint32_t index = (uint32_t)tx->cut & tx->msg_mask;
	struct conn_tx_msg *msg = &tx->msgs[index];
	struct tx_slot *slot = arq_tx_slot(tx, tx->nxt);
	uint32_t left = msg->len - tx->cut_offset;

	slot->sent_ns = now_ns;
	/* Whatever is below fits into one packet: none is cut partly here. */
	if (msg->len < tx->batch_below && tx->pushed - tx->cut > 1 &&
	    cut_batch(tx, slot))
		return slot;
	slot->payload = msg->payload + tx->cut_offset;
	slot->msg = index;
	slot->type = WIRE_DATA;
	slot->tries = 0;
	slot->flags = 0;
	slot->mlo = tx->cut_offset;
	if (tx->cut_offset == 0) {
		slot->flags = WIRE_F_FIRST;
		slot->mlo = msg->len;
	}
	tx->nxt++;
	if (left > tx->frag_size) {
		slot->len = tx->frag_size;
		tx->cut_offset += tx->frag_size;
		return slot;
	}
	slot->len = left;
	slot->flags |= WIRE_F_LAST;
	msg->end_seq = tx->nxt;
	tx->cut_offset = 0;
	tx->cut++;
	return slot;
}

struct tx_slot *
weir_arq_tx_fin(struct arq_tx *tx, uint64_t now_ns)
{
	struct tx_slot *slot = arq_tx_slot(tx, tx->nxt);

	memset(slot, 0, sizeof(*slot));
	slot->type = WIRE_FIN;
	slot->sent_ns = now_ns;
	tx->fin_seq = tx->nxt++;
	tx->fin_sent = true;
	return slot;
}

static struct tx_slot *
send_again(struct arq_tx *tx, uint64_t seq, uint64_t now_ns)
{
	struct tx_slot *slot = arq_tx_slot(tx, seq);

	slot->sent_ns = now_ns;
	if (slot->tries < UINT8_MAX)
		slot->tries++;
	return slot;
}

struct tx_slot *
weir_arq_tx_resend(struct arq_tx *tx, uint64_t now_ns, uint64_t *seq)
{
	if (!arq_tx_can_resend(tx))
		return NULL;
	if (tx->repairs != 0)
		tx->repairs--;
	*seq = bitring_next(&tx->lost_bits, tx->una, tx->nxt);
	bitring_clear(&tx->lost_bits, *seq);
	tx->lost--;
	return send_again(tx, *seq, now_ns);
}

struct tx_slot *
weir_arq_tx_resend_last(struct arq_tx *tx, uint64_t now_ns, uint64_t *seq)
{
	*seq = tx->nxt - 1;
	if (tx->una == tx->nxt || tx->lost != 0)
		return NULL;
	/* The newest is there: what is silent is the repair of a hole. */
	if (bitring_test(&tx->sacked_bits, *seq))
		*seq = tx->una;
	return send_again(tx, *seq, now_ns);
}

/* What does it mean that this packet arrived only now? */
static void
learn_from_arrival(struct arq_tx *tx, uint64_t seq)
{
	const struct tx_slot *slot = arq_tx_slot(tx, seq);

	if (slot->tries != 0 && tx->delivered_ns + WIRE_TICK_NS > slot->sent_ns)
		return; /* maybe the repair did it */
	/* As it was first sent, and overtaken by a later one. */
	if (seq < tx->sack_hi) {
		tx->reorder_seen = true;
		tx->reordered++;
	}
	if (slot->tries == 0)
		return;
	/* Our patience was too short. */
	tx->spurious++;
	if (tx->reorder_scale < 64)
		tx->reorder_scale++;
	tx->reorder_keep = ARQ_REORDER_KEEP;
}

/* Take [una, ack) out of the books of a window with holes. */
static void
settle_holes(struct arq_tx *tx, uint64_t ack)
{
	for (uint64_t seq = tx->una; seq < ack; seq++) {
		if (bitring_test(&tx->sacked_bits, seq)) {
			bitring_clear(&tx->sacked_bits, seq);
			tx->sacked--;
			continue;
		}
		learn_from_arrival(tx, seq);
		if (bitring_test(&tx->lost_bits, seq)) {
			bitring_clear(&tx->lost_bits, seq);
			tx->lost--;
		}
	}
}

void
weir_arq_tx_on_ack(struct arq_tx *tx, uint64_t ack)
{
	uint32_t count = (uint32_t)(ack - tx->una);

	if (tx->sacked != 0 || tx->lost != 0)
		settle_holes(tx, ack);
	tx->una = ack;
	if (tx->cwnd != tx->window && !tx->controlled) {
		uint32_t room = tx->window - tx->cwnd;

		tx->cwnd += count < room ? count : room;
	}
}

int
weir_arq_tx_on_sack(struct arq_tx *tx, uint64_t base, uint64_t bits)
{
	uint64_t news;
	int count = 0;

	if (bits == 0)
		return 0;
	if (base + 63 - (uint32_t)__builtin_clzll(bits) >= tx->nxt)
		return -1;
	news = bits & ~bitring_get64(&tx->sacked_bits, base);
	while (news != 0) {
		uint64_t seq = base + (uint32_t)__builtin_ctzll(news);

		news &= news - 1;
		learn_from_arrival(tx, seq);
		if (bitring_test(&tx->lost_bits, seq)) {
			bitring_clear(&tx->lost_bits, seq);
			tx->lost--;
		}
		bitring_set(&tx->sacked_bits, seq);
		tx->sacked++;
		count++;
		if (seq >= tx->sack_hi)
			tx->sack_hi = seq + 1;
	}
	return count;
}

void
weir_arq_tx_delivered(struct arq_tx *tx, uint64_t sent_ns, uint64_t now_ns)
{
	if (sent_ns <= tx->delivered_ns)
		return;
	tx->delivered_ns = sent_ns;
	tx->delivered_rtt = now_ns - sent_ns;
}

/* 64 numbers from seq on that are in flight, as bits, cut off at `end`. */
static uint64_t
in_flight64(const struct arq_tx *tx, uint64_t seq, uint64_t end)
{
	uint64_t bits = ~(bitring_get64(&tx->sacked_bits, seq) |
			  bitring_get64(&tx->lost_bits, seq));

	if (end - seq < 64)
		bits &= ((uint64_t)1 << (end - seq)) - 1;
	return bits;
}

static void
mark_lost(struct arq_tx *tx, uint64_t seq)
{
	const struct tx_slot *slot = arq_tx_slot(tx, seq);

	if (slot->sent_ns > tx->lost_newest_ns)
		tx->lost_newest_ns = slot->sent_ns;
	bitring_set(&tx->lost_bits, seq);
	tx->lost++;
}

/* RFC 8985 section 7.2: patience with reordering, a quarter RTT at first. Twice
 * its limit: whoever gets there has sent again what was not lost for long. */
static uint64_t
reorder_window(const struct arq_tx *tx, const struct rtt *rtt)
{
	uint64_t ns = (rtt->min_ns >> 2) * tx->reorder_scale;

	return ns < 2 * rtt->srtt_ns ? ns : 2 * rtt->srtt_ns;
}

void
weir_arq_tx_on_recovery(struct arq_tx *tx)
{
	if (tx->reorder_keep != 0 && --tx->reorder_keep == 0)
		tx->reorder_scale = 1;
}

uint64_t
weir_arq_tx_detect(struct arq_tx *tx, const struct rtt *rtt, uint64_t now_ns)
{
	uint64_t patience_ns = tx->delivered_rtt + reorder_window(tx, rtt);
	uint64_t again_ns = TIMER_NEVER;

	if (tx->sacked == 0)
		return TIMER_NEVER;
	for (uint64_t at = tx->una; at < tx->sack_hi; at += 64) {
		uint64_t bits = in_flight64(tx, at, tx->sack_hi);

		for (; bits != 0; bits &= bits - 1) {
			uint64_t seq = at + (uint32_t)__builtin_ctzll(bits);
			const struct tx_slot *slot = arq_tx_slot(tx, seq);

			if (slot->tries == 0 && !tx->reorder_seen &&
			    tx->sack_hi - seq > ARQ_PACKET_THRESHOLD) {
				mark_lost(tx, seq);
				tx->lost_sack++;
			} else if (slot->sent_ns >= tx->delivered_ns) {
				continue;
			} else if (slot->sent_ns + patience_ns <= now_ns) {
				mark_lost(tx, seq);
				tx->lost_time++;
			} else if (slot->sent_ns + patience_ns < again_ns) {
				again_ns = slot->sent_ns + patience_ns;
			}
		}
	}
	return again_ns;
}

uint32_t
weir_arq_tx_on_rto(struct arq_tx *tx, uint64_t now_ns, uint64_t rto_ns)
{
	uint32_t shortest = UINT32_MAX;

	for (uint64_t at = tx->una; at < tx->nxt; at += 64) {
		uint64_t bits = in_flight64(tx, at, tx->nxt);

		for (; bits != 0; bits &= bits - 1) {
			uint64_t seq = at + (uint32_t)__builtin_ctzll(bits);

			const struct tx_slot *slot = arq_tx_slot(tx, seq);

			if (slot->sent_ns + rto_ns > now_ns)
				continue;
			if (slot->len < shortest)
				shortest = slot->len;
			mark_lost(tx, seq);
			tx->lost_rto++;
		}
	}
	tx->cwnd = ARQ_RTO_CWND;
	tx->repairs = ARQ_RTO_CWND;
	return shortest;
}

void
weir_arq_tx_give_up(struct arq_tx *tx)
{
	if (tx->cut_offset != 0) {
		/* Its first fragments are out and still need its memory. */
		tx->msgs[tx->cut & tx->msg_mask].end_seq = tx->nxt;
		tx->cut_offset = 0;
		tx->cut++;
	}
	tx->given_up = true;
}

void
weir_arq_tx_abandon(struct arq_tx *tx)
{
	uint64_t to = tx->fin_sent ? tx->fin_seq : tx->nxt;

	weir_arq_tx_give_up(tx);
	if (to > tx->una)
		weir_arq_tx_on_ack(tx, to);
}

void
weir_arq_tx_kill(struct arq_tx *tx)
{
	weir_arq_tx_give_up(tx);
	if (tx->nxt > tx->una)
		weir_arq_tx_on_ack(tx, tx->nxt);
}
