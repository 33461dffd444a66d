/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See side.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "crc32c.h"
#include "side.h"

#define CONTENT_LEN  8192
#define MSG_SIZE_MAX 1500

/* --- buffers ---------------------------------------------------------- */

static struct buf bufs[SIDE_BUFS];
static struct buf *spare;
static uint32_t used;
static uint32_t ever; /* so many have been in use at all */

struct buf *
buf_new(void)
{
	struct buf *buf = spare;

	if (buf != NULL) {
		spare = buf->next;
	} else {
		FUZZ_CHECK(ever < SIDE_BUFS);
		buf = &bufs[ever++];
	}
	FUZZ_CHECK(buf->state == BUF_FREE);
	buf->state = BUF_OURS;
	buf->next = NULL;
	buf->len = 0;
	buf->ect = false;
	buf->marked = false;
	used++;
	return buf;
}

void
buf_free(struct buf *buf)
{
	FUZZ_CHECK(buf->state != BUF_FREE);
	buf->state = BUF_FREE;
	/* Whoever reads it later reads nonsense. */
	memset(buf->bytes, 0xdd, 64);
	buf->next = spare;
	spare = buf;
	used--;
}

uint32_t
buf_count(void)
{
	return used;
}

/* --- content ---------------------------------------------------------- */

static uint8_t content[CONTENT_LEN];

static void
content_init(void)
{
	uint64_t state = 1;

	if (content[0] != 0)
		return;
	for (uint32_t i = 0; i < CONTENT_LEN; i++) {
		state = state * UINT64_C(6364136223846793005) + 1;
		content[i] = (uint8_t)(state >> 56) | 1;
	}
}

/* Lengths come from the input: the sender remembers the last few. */
static uint32_t lens[2][256];

uint32_t
side_msg_len(const struct side *side, uint32_t number)
{
	return lens[side->config.token & 1][number & 255];
}

const uint8_t *
side_msg_bytes(uint32_t number)
{
	return content + number * 31 % (CONTENT_LEN - MSG_SIZE_MAX);
}

/* --- life ------------------------------------------------------------- */

void
side_config(struct side *side, struct fuzz_in *in, uint32_t index)
{
	struct conn_config *config = &side->config;
	uint8_t sizes = fuzz_u8(in), times = fuzz_u8(in);
	uint8_t more = fuzz_u8(in);

	memset(side, 0, sizeof(*side));
	content_init();
	weir_conn_config_init(config);
	config->token = UINT64_C(0x5eed5eed) << 16 | index;
	config->instance = index;
	config->epoch = 1;
	config->isn = (sizes & 1) ? UINT32_C(0xfffffffd) : 77;
	config->frag_size = (sizes & 2) ? 64 : 232;
	config->hello_len = (sizes & 6) == 4 ? WIRE_HDR_LEN + 232 : 0;
	config->features_offer = (times & 128) ? WIRE_FEATURE_CRC32C : 0;
	if (times & 64)
		config->features_offer |= WIRE_FEATURE_BATCH;
	if (more & 4)
		config->features_offer |= WIRE_FEATURE_ECN;
	config->cc = (enum cc_kind)(more & 3);
	config->cc_target_ns = (more & 8) ? CC_TARGET : 1;
	memset(config->proof, (int)index, sizeof(config->proof));
	config->rx_window_packets = 1 + (sizes >> 2 & 3) * 11;
	config->rx_credit_msgs = 1 + (sizes >> 4 & 3) * 5;
	config->tx_msgs = 4u << (sizes >> 6);
	config->tx_window_packets = 64;
	config->msg_size_max = MSG_SIZE_MAX;
	config->max_ack_delay_ns = (times & 1) ? 20 * US : 0;
	config->keepalive_ns = (times & 2) ? 5 * MS : 0;
	config->dead_timeout_ns = (times & 4) ? 200 * MS : 0;
	config->linger_ns = (times & 8) ? 10 * MS : 0;
	config->rto_max_ns = (times & 16) ? 20 * MS : 300 * US;
	config->connect_timeout_ns = 100 * MS;
	config->accept_tries = 1 + (times >> 5 & 3);
}

void
side_make(struct side *side)
{
	FUZZ_CHECK(weir_conn_config_check(&side->config) == 0);
	side->mem = aligned_alloc(CONN_ALIGN,
				  (weir_conn_size(&side->config) + 63) & ~63ul);
	if (side->mem == NULL)
		abort();
	side->conn = weir_conn_init(side->mem, &side->config);
}

void
side_fini(struct side *side)
{
	if (side->conn != NULL) {
		weir_conn_discard(side->conn);
		side_take_back(side);
		FUZZ_CHECK(weir_conn_finished(side->conn));
		FUZZ_CHECK(side->popped == side->pushed);
		FUZZ_CHECK(!weir_conn_wants_tx(side->conn));
	}
	side_release(side, SIDE_HELD);
	free(side->mem);
	side->mem = NULL;
	side->conn = NULL;
}

/* --- trailers --------------------------------------------------------- */

/* Addresses and ports as they stand in the headers: one link, one set. */
static const uint8_t addr[12] = { 10, 7, 0, 1, 10, 7, 0, 2, 0, 1, 0, 2 };

void
buf_seal(struct buf *buf)
{
	uint32_t crc = crc32c_trailer(addr, sizeof(addr), buf->bytes, buf->len);

	FUZZ_CHECK(buf->len + WIRE_TRAILER_LEN <= SIDE_BYTES);
	wire_put_trailer(buf->bytes + buf->len, crc);
	buf->len += WIRE_TRAILER_LEN;
}

bool
buf_decode(const struct buf *buf, struct wire_hdr *hdr)
{
	if (weir_wire_decode(buf->bytes, buf->len, hdr) != WIRE_OK)
		return false;
	return !(hdr->flags & WIRE_F_TRAILER) ||
	       wire_trailer_is(buf->bytes, buf->len,
			       crc32c_trailer(addr, sizeof(addr), buf->bytes,
					      buf->len - WIRE_TRAILER_LEN));
}

/* --- driver ----------------------------------------------------------- */

void
side_take(struct side *side, struct buf *buf, uint64_t now_ns)
{
	struct conn_stream_packet packet;
	struct wire_hdr hdr;
	bool decoded = buf_decode(buf, &hdr);

	/* Before: it may come back while on_packet runs no more. */
	buf->state = BUF_CONN;
	if (!buf->marked &&
	    conn_stream_packet(&packet, buf->bytes, buf->len, buf) &&
	    weir_conn_on_stream(side->conn, &packet, 1, now_ns) == 1) {
		FUZZ_CHECK(decoded);
		return;
	}
	if (!decoded) {
		buf_free(buf);
		return;
	}
	hdr.marked = buf->marked;
	if (weir_conn_on_packet(side->conn, &hdr, buf, now_ns) == 0)
		buf_free(buf);
}

static uint32_t
most_header(const struct side *side, const struct conn_tx_packet *out)
{
	uint32_t padded = WIRE_HDR_LEN + side->config.frag_size;

	if (out->kind != CONN_TX_CONTROL)
		return WIRE_DATA_HDR_MAX;
	if (out->type != WIRE_INIT && out->type != WIRE_ACCEPT)
		return WIRE_CONTROL_MAX;
	return padded > WIRE_INIT_LEN ? padded : WIRE_INIT_LEN;
}

/* The next one of a burst. */
static struct buf *
next_of_burst(struct side *side, const struct conn_tx_msg *msg)
{
	struct buf *buf = buf_new();
	uint8_t *dst = buf->bytes;
	struct wire_hdr hdr;

	FUZZ_CHECK((uintptr_t)msg->ref > side->popped);
	FUZZ_CHECK((uintptr_t)msg->ref <= side->pushed);
	FUZZ_CHECK(WIRE_HDR_LEN + msg->len <= SIDE_BYTES);
	memcpy(dst + WIRE_HDR_LEN, msg->payload, msg->len);
	buf->len = WIRE_HDR_LEN + msg->len;
	buf->ect = weir_conn_burst_take(side->conn, &dst, 1);
	FUZZ_CHECK(buf_decode(buf, &hdr));
	return buf;
}

struct buf *
side_next(struct side *side, uint64_t now_ns)
{
	struct conn_tx_packet out;
	const struct conn_tx_msg *msg;
	struct wire_hdr hdr;
	struct buf *buf;
	uint32_t count;

	msg = weir_conn_burst(side->conn, now_ns, &count);
	if (count != 0)
		return next_of_burst(side, msg);
	if (!weir_conn_next(side->conn, now_ns, &out))
		return NULL;
	FUZZ_CHECK(out.hdr_len % 8 == 0);
	FUZZ_CHECK(out.hdr_len <= most_header(side, &out));
	FUZZ_CHECK(out.hdr_len + out.payload_len <= SIDE_BYTES);
	if (out.kind != CONN_TX_CONTROL) {
		FUZZ_CHECK((uintptr_t)out.ref > side->popped);
		FUZZ_CHECK((uintptr_t)out.ref <= side->pushed);
	}
	buf = buf_new();
	buf->ect = out.ect;
	weir_conn_encode(side->conn, &out, buf->bytes);
	if (out.type == WIRE_BATCH)
		weir_conn_gather(side->conn, &out, buf->bytes + out.hdr_len);
	else if (out.payload_len != 0)
		memcpy(buf->bytes + out.hdr_len, out.payload, out.payload_len);
	buf->len = out.hdr_len + out.payload_len;
	if (out.flags & WIRE_F_TRAILER)
		buf_seal(buf);
	/* What we send we could read. */
	FUZZ_CHECK(buf_decode(buf, &hdr));
	return buf;
}

void
side_take_back(struct side *side)
{
	struct buf *buf;
	void *ref;

	while ((ref = weir_conn_pop_acked(side->conn)) != NULL)
		FUZZ_CHECK((uintptr_t)ref == ++side->popped);
	while ((buf = weir_conn_pop_dropped_rx(side->conn)) != NULL) {
		FUZZ_CHECK(buf->state == BUF_CONN);
		buf_free(buf);
	}
}

void
side_time(struct side *side, uint64_t now_ns)
{
	if (weir_conn_deadline(side->conn) <= now_ns)
		weir_conn_on_time(side->conn, now_ns);
}

/* --- application ------------------------------------------------------ */

void
side_push(struct side *side, uint32_t count, uint32_t len)
{
	struct conn_limits limits;

	weir_conn_limits(side->conn, &limits);
	if (len > limits.msg_size_max)
		len = limits.msg_size_max;
	while (!side->closed && count-- > 0 &&
	       side->pushed < weir_conn_tx_credit(side->conn)) {
		uint32_t number = side->pushed++;

		lens[side->config.token & 1][number & 255] = len;
		weir_conn_push(side->conn, (void *)(uintptr_t)side->pushed,
			       side_msg_bytes(number), len);
	}
}

/* Order, boundaries and bytes are those of the sender. */
static void
verify(struct side *side, const struct conn_rx_packet *p)
{
	const uint8_t *bytes = side_msg_bytes(side->received);
	uint32_t len = lens[~side->config.token & 1][side->received & 255];

	FUZZ_CHECK(p->msg_len == len);
	FUZZ_CHECK(memcmp(p->payload, bytes + p->offset, p->len) == 0);
}

/* One message of the packet is released; perhaps it was the last. */
static void
release(struct side *side, struct buf *buf)
{
	bool gone = --buf->holds == 0;

	FUZZ_CHECK(buf->state == BUF_HELD);
	if (gone)
		buf_free(buf);
	if (side->conn != NULL)
		weir_conn_rx_release(side->conn, gone, 1);
}

static void
hold_or_release(struct side *side, struct buf *buf, bool hold)
{
	if (hold && side->held_count < SIDE_HELD)
		side->held[side->held_count++] = buf;
	else
		release(side, buf);
}

static void
read_batch(struct side *side, const struct conn_rx_packet *p, bool hold)
{
	struct wire_records records = conn_rx_records(p);
	const uint8_t *end = p->payload + p->len;
	struct buf *buf = p->ref;

	FUZZ_CHECK(side->rx_offset == 0);
	FUZZ_CHECK(p->msg_len >= WIRE_RECORDS_MIN);
	FUZZ_CHECK(p->msg_len <= WIRE_RECORDS_MAX);
	buf->holds = p->msg_len;
	for (uint32_t i = 0; i < p->msg_len; i++) {
		struct conn_rx_packet one = { 0 };

		one.payload = wire_records_next(&records, &one.len);
		one.msg_len = one.len;
		FUZZ_CHECK(one.payload + one.len <= end);
		if (side->verify)
			verify(side, &one);
		side->received++;
		hold_or_release(side, buf, hold);
	}
}

static void
read_piece(struct side *side, const struct conn_rx_packet *p, bool hold)
{
	struct buf *buf = p->ref;
	bool last = p->flags & CONN_RX_LAST;

	FUZZ_CHECK(((p->flags & CONN_RX_FIRST) != 0) == (side->rx_offset == 0));
	FUZZ_CHECK(p->offset == side->rx_offset);
	FUZZ_CHECK(p->offset + p->len <= p->msg_len);
	FUZZ_CHECK(last == (p->offset + p->len == p->msg_len));
	if (side->verify)
		verify(side, p);
	side->rx_offset = last ? 0 : p->offset + p->len;
	side->received += last;
	buf->holds = 1;
	if (last) {
		hold_or_release(side, buf, hold);
		return;
	}
	buf_free(buf);
	weir_conn_rx_release(side->conn, 1, 0);
}

static void
read_one(struct side *side, const struct conn_rx_packet *p, bool hold)
{
	struct buf *buf = p->ref;

	FUZZ_CHECK(buf->state == BUF_CONN);
	FUZZ_CHECK(p->payload + p->len <= buf->bytes + buf->len);
	/* After its end a direction brings nothing. */
	FUZZ_CHECK(side->rx_state == 0);
	weir_conn_rx_consume(side->conn, 1);
	buf->state = BUF_HELD;
	if (p->flags & CONN_RX_BATCH)
		read_batch(side, p, hold);
	else
		read_piece(side, p, hold);
}

void
side_read(struct side *side, uint32_t count, bool hold)
{
	const struct conn_rx_packet *next = NULL;

	while (count-- > 0 && (next = weir_conn_rx_peek(side->conn)) != NULL) {
		struct conn_rx_packet p = *next;

		read_one(side, &p, hold);
	}
	if (weir_conn_rx_peek(side->conn) == NULL) {
		int state = weir_conn_rx_state(side->conn);

		FUZZ_CHECK(side->rx_state == 0 || state == side->rx_state);
		side->rx_state = state;
	}
}

void
side_release(struct side *side, uint32_t count)
{
	while (count-- > 0 && side->held_count > 0)
		release(side, side->held[--side->held_count]);
}

void
side_end(struct side *side, uint8_t how, uint64_t now_ns)
{
	switch (how & 3) {
	case 0:
		if (weir_conn_status(side->conn) == -EINPROGRESS)
			return;
		weir_conn_close_tx(side->conn);
		side->closed = true;
		break;
	case 1:
		weir_conn_abort_tx(side->conn, now_ns);
		side->closed = true;
		break;
	case 2:
		weir_conn_stop_rx(side->conn);
		break;
	default:
		weir_conn_abort(side->conn, WIRE_E_ABORT, now_ns);
		side->closed = true;
		break;
	}
}

/* --- what must hold --------------------------------------------------- */

static uint32_t
count_bits(const struct bitring *ring)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i <= ring->mask / 64; i++)
		count += (uint32_t)__builtin_popcountll(ring->words[i]);
	return count;
}

/* Nobody overruns, nothing retreats. */
static void
check_flow(const struct side *side, const struct conn_gauge *now)
{
	const struct weir_conn *conn = side->conn;
	const struct conn_gauge *last = &side->last;

	if (conn->tx_error == 0)
		FUZZ_CHECK(now->snd_nxt <= now->snd_limit + conn->tx.fin_sent);
	FUZZ_CHECK(now->tx_pushed <= now->tx_credit);
	FUZZ_CHECK(now->snd_una >= last->snd_una);
	FUZZ_CHECK(now->snd_nxt >= last->snd_nxt);
	FUZZ_CHECK(now->snd_nxt >= now->snd_una);
	FUZZ_CHECK(now->snd_limit >= last->snd_limit);
	FUZZ_CHECK(now->tx_credit >= last->tx_credit);
	FUZZ_CHECK(now->rcv_nxt >= last->rcv_nxt);
	FUZZ_CHECK(now->rcv_limit >= last->rcv_limit);
	FUZZ_CHECK(now->rx_credit >= last->rx_credit);
	FUZZ_CHECK(now->rx_started <= now->rx_credit);
	if (!conn->rx.stopped)
		FUZZ_CHECK(now->rx_queued + now->rx_parked + now->rx_held <=
			   side->config.rx_window_packets);
}

static void
check_books(const struct side *side, const struct conn_gauge *now)
{
	const struct arq_tx *tx = &side->conn->tx;
	const struct arq_rx *rx = &side->conn->rx;

	FUZZ_CHECK(count_bits(&tx->sacked_bits) == now->sacked);
	FUZZ_CHECK(count_bits(&tx->lost_bits) == now->lost);
	FUZZ_CHECK(now->in_flight <= tx->window);
	FUZZ_CHECK(tx->cwnd <= tx->window);
	if (rx->bits.words != NULL)
		FUZZ_CHECK(count_bits(&rx->bits) == now->rx_parked);
}

void
side_check(struct side *side)
{
	int status = weir_conn_status(side->conn);
	struct conn_gauge now;

	weir_conn_gauge(side->conn, &now);
	if (side->conn->state != CONN_FAILED && side->conn->rx.ring != NULL &&
	    side->last.rcv_nxt != 0)
		check_flow(side, &now);
	check_books(side, &now);
	/* The first error is the last word. */
	FUZZ_CHECK(side->status >= 0 || side->status == -EINPROGRESS ||
		   status == side->status);
	side->status = status;
	if (!weir_conn_finished(side->conn) && !side->conn->over &&
	    side->conn->state != CONN_IDLE && side->conn->due == 0 &&
	    (side->config.keepalive_ns != 0 ||
	     side->config.dead_timeout_ns != 0))
		FUZZ_CHECK(weir_conn_deadline(side->conn) != CONN_NEVER);
	side->last = now;
}

void
side_check_quiet(struct side *side)
{
	const struct weir_conn *conn = side->conn;
	const struct conn_gauge *now = &side->last;

	if (conn->state != CONN_OPEN || conn->rx.ended || conn->rx.stopped)
		return;
	/* Whoever stands still, though there is room, was told. */
	FUZZ_CHECK(now->rcv_nxt != now->rcv_limit ||
		   now->rcv_room == now->rcv_limit);
	FUZZ_CHECK(now->rx_started != now->rx_credit ||
		   now->rx_credit_room == now->rx_credit);
	FUZZ_CHECK(!weir_conn_wants_tx(conn) || conn->tx.lost != 0);
}
