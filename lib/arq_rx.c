/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The receive window: order, duplicates, and the rules that make a sequence of
 * packets a sequence of messages.
 */
#include <string.h>
#include "arq_rx.h"

/* The next power of two, but at least `least`. */
static uint32_t
ring_size(uint32_t window, uint32_t least)
{
	while (least < window)
		least *= 2;
	return least;
}

size_t
weir_arq_rx_size(uint32_t window)
{
	return (size_t)ring_size(window, 1) * sizeof(struct conn_rx_packet) +
	       ring_size(window, 64) / 8;
}

void
weir_arq_rx_limits(struct arq_rx *rx, uint32_t frag_size, uint32_t msg_size_max)
{
	rx->frag_size = frag_size;
	rx->msg_size_max = msg_size_max;
	rx->plain_max = frag_size < msg_size_max ? frag_size : msg_size_max;
}

void
weir_arq_rx_init(struct arq_rx *rx, void *mem, uint32_t isn, uint32_t window,
		 uint32_t credit)
{
	uint32_t size = ring_size(window, 1);

	memset(rx, 0, sizeof(*rx));
	memset(mem, 0, weir_arq_rx_size(window));
	rx->ring = mem;
	rx->bits.words = (uint64_t *)(rx->ring + size);
	rx->bits.mask = ring_size(window, 64) - 1;
	rx->ring_mask = size - 1;
	rx->first = seq_first(isn);
	rx->nxt = rx->first;
	rx->head = rx->nxt;
	rx->hi = rx->nxt;
	allowance_init(&rx->window, rx->nxt, window, ALLOWANCE_STEP_PACKETS);
	allowance_init(&rx->credit, 0, credit, ALLOWANCE_STEP_MSGS);
}

static int
violation(enum wire_error code)
{
	return ARQ_RX_ERRORS + (int)code;
}

/*
 * A batch is next in order. Its table has been checked against its length;
 * packet->offset still holds the header's mlo, the number of messages.
 */
static int
take_batch(struct arq_rx *rx, struct conn_rx_packet *packet)
{
	uint32_t count = packet->offset, bytes = 0, len;
	struct wire_records records = wire_records(packet->payload, count);

	if (rx->msg_open)
		return violation(WIRE_E_FRAGMENT);
	if (rx->credit.told - rx->started < count)
		return violation(WIRE_E_CREDIT);
	if (packet->len > rx->frag_size)
		return violation(WIRE_E_LENGTH);
	for (uint32_t i = 0; i < count; i++) {
		wire_records_next(&records, &len);
		if (len > rx->msg_size_max)
			return violation(WIRE_E_LENGTH);
		bytes += len;
	}
	packet->offset = 0;
	packet->msg_len = count;
	rx->started += count;
	rx->msgs += count;
	rx->bytes += bytes;
	rx->batches++;
	rx->batched += count;
	rx->nxt++;
	return ARQ_RX_KEPT;
}

/*
 * The packet at nxt is next in order: it must continue the message that is
 * open, or begin one. packet->offset still holds the header's mlo.
 */
static int
take_in_order(struct arq_rx *rx, struct conn_rx_packet *packet)
{
	uint32_t left;

	if (packet->flags & CONN_RX_BATCH)
		return take_batch(rx, packet);
	if (packet->flags & WIRE_F_FIRST) {
		if (rx->msg_open)
			return violation(WIRE_E_FRAGMENT);
		if (rx->started == rx->credit.told)
			return violation(WIRE_E_CREDIT);
		if (packet->offset > rx->msg_size_max)
			return violation(WIRE_E_LENGTH);
		rx->started++;
		rx->msg_len = packet->offset;
		rx->msg_offset = 0;
		packet->offset = 0;
	} else if (!rx->msg_open || packet->offset != rx->msg_offset) {
		return violation(WIRE_E_FRAGMENT);
	}
	left = rx->msg_len - rx->msg_offset;
	if (packet->len > left || packet->len > rx->frag_size ||
	    (packet->len == 0 && left != 0))
		return violation(WIRE_E_LENGTH);
	if ((packet->len == left) != ((packet->flags & WIRE_F_LAST) != 0))
		return violation(WIRE_E_FRAGMENT);
	packet->msg_len = rx->msg_len;
	rx->msg_offset += packet->len;
	rx->msg_open = packet->len != left;
	rx->msgs += packet->len == left;
	rx->bytes += packet->len;
	rx->nxt++;
	return ARQ_RX_KEPT;
}

/* FIN has come in order. */
static int
take_fin(struct arq_rx *rx)
{
	/* Only an abort may cut a message short. */
	if (rx->msg_open && !rx->fin_abort && !rx->stopped)
		return violation(WIRE_E_FIN);
	rx->data_end = rx->nxt;
	rx->nxt = rx->fin_seq + 1;
	rx->ended = true;
	return ARQ_RX_FILLED;
}

static void
store(struct arq_rx *rx, uint64_t seq, const struct wire_hdr *hdr, void *ref)
{
	struct conn_rx_packet *packet = &rx->ring[seq & rx->ring_mask];

	packet->ref = ref;
	packet->payload = hdr->payload;
	packet->len = hdr->payload_len;
	packet->offset = hdr->mlo;
	packet->flags = hdr->flags & (WIRE_F_FIRST | WIRE_F_LAST);
	if (wire_hdr_type(hdr) == WIRE_BATCH)
		packet->flags = CONN_RX_BATCH;
}

/* A hole may be closed: everything that follows without a gap is in order. */
static void
advance(struct arq_rx *rx)
{
	int rc = ARQ_RX_KEPT;

	while (rx->parked != 0 && bitring_test(&rx->bits, rx->nxt)) {
		uint64_t seq = rx->nxt;

		rc = take_in_order(rx, &rx->ring[seq & rx->ring_mask]);
		if (rc != ARQ_RX_KEPT)
			break;
		bitring_clear(&rx->bits, seq);
		rx->parked--;
	}
	if (rc == ARQ_RX_KEPT && rx->fin_known && rx->nxt == rx->fin_seq)
		rc = take_fin(rx);
	if (rc >= ARQ_RX_ERRORS)
		rx->broken = rc;
}

static int
park(struct arq_rx *rx, uint64_t seq, const struct wire_hdr *hdr, void *ref)
{
	if (bitring_test(&rx->bits, seq))
		return ARQ_RX_DUP;
	store(rx, seq, hdr, ref);
	bitring_set(&rx->bits, seq);
	rx->parked++;
	rx->reordered++;
	if (seq >= rx->hi)
		rx->hi = seq + 1;
	return ARQ_RX_PARKED;
}

/* Not simply the next one on a wire without holes. */
static __attribute__((noinline)) int
data_out_of_order(struct arq_rx *rx, uint64_t seq, const struct wire_hdr *hdr,
		  void *ref)
{
	int rc;

	if (rx->fin_known && seq >= rx->fin_seq)
		return violation(WIRE_E_FIN);
	if (seq < rx->nxt)
		return ARQ_RX_DUP;
	if (rx->stopped)
		return ARQ_RX_IGNORED;
	if (seq >= rx->window.told)
		return violation(WIRE_E_WINDOW);
	if (seq != rx->nxt)
		return park(rx, seq, hdr, ref);
	store(rx, seq, hdr, ref);
	rc = take_in_order(rx, &rx->ring[seq & rx->ring_mask]);
	if (rc != ARQ_RX_KEPT)
		return rc;
	advance(rx);
	return ARQ_RX_FILLED;
}

int
weir_arq_rx_data(struct arq_rx *rx, uint64_t seq, const struct wire_hdr *hdr,
		 void *ref)
{
	if (!arq_rx_is_smooth(rx, seq))
		return data_out_of_order(rx, seq, hdr, ref);
	store(rx, seq, hdr, ref);
	return take_in_order(rx, &rx->ring[seq & rx->ring_mask]);
}

int
weir_arq_rx_fin(struct arq_rx *rx, uint64_t seq, bool abort)
{
	if (rx->fin_known)
		return seq == rx->fin_seq ? ARQ_RX_DUP : violation(WIRE_E_FIN);
	if (seq < rx->nxt || (rx->parked != 0 && seq < rx->hi))
		return violation(WIRE_E_FIN);
	/* It stores nothing, so it may stand right behind the window. */
	if (seq > rx->window.told && !rx->stopped)
		return violation(WIRE_E_WINDOW);
	rx->fin_known = true;
	rx->fin_abort = abort;
	rx->fin_seq = seq;
	if (rx->stopped || seq == rx->nxt)
		return take_fin(rx);
	return ARQ_RX_PARKED;
}

/* Parked packets will never come in order: mark them for pop_dropped. */
static void
drop_parked(struct arq_rx *rx)
{
	if (rx->parked == 0 || rx->drop_end != 0)
		return;
	rx->drop_at = rx->nxt;
	rx->drop_end = rx->hi;
}

void
weir_arq_rx_fail(struct arq_rx *rx)
{
	drop_parked(rx);
}

void
weir_arq_rx_stop(struct arq_rx *rx)
{
	/* Who has read the end already stays with it. */
	if (rx->stopped || (rx->ended && rx->head == rx->fin_seq))
		return;
	rx->stopped = true;
	rx->read_end = rx->ended ? rx->fin_seq : rx->nxt;
	drop_parked(rx);
	if (rx->fin_known && !rx->ended)
		take_fin(rx);
}

void *
weir_arq_rx_pop_dropped(struct arq_rx *rx)
{
	uint64_t seq;

	if (rx->head < rx->read_end)
		return rx->ring[rx->head++ & rx->ring_mask].ref;
	seq = bitring_next(&rx->bits, rx->drop_at, rx->drop_end);
	if (seq == rx->drop_end)
		return NULL;
	bitring_clear(&rx->bits, seq);
	rx->parked--;
	rx->drop_at = seq + 1;
	return rx->ring[seq & rx->ring_mask].ref;
}
