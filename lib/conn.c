/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The data path of a connection: packets in, packets out. Set-up, timers and
 * ends have files of their own.
 */
#include <errno.h>
#include <string.h>
#include "conn_impl.h"

/* --- packets in ------------------------------------------------------- */

void
weir_conn_note_arrival(struct weir_conn *conn, const struct wire_hdr *hdr,
		       uint64_t now_ns)
{
	conn_end_burst(conn);
	conn->stats.rx_packets++;
	if (__builtin_expect(hdr->marked != conn->ce_now, 0)) {
		conn->ce_now = hdr->marked;
		conn->due |= DUE_ACK;
	}
	conn->ce_count += hdr->marked;
	conn->last_rx_ns = now_ns;
	conn->now_ns = now_ns;
	/* The newest clock is echoed, with the time it lay here. */
	if (!seq_before(hdr->ts, conn->echo_ts) ||
	    now_ns - conn->echo_ns > CONN_TS_FRESH_NS) {
		conn->echo_ts = hdr->ts;
		conn->echo_ns = now_ns;
	}
}

/* A packet of ours has arrived there: when did we send it, how long ago? */
static void
on_echo(struct weir_conn *conn, const struct wire_hdr *hdr, uint64_t now_ns)
{
	uint32_t age = conn_ts(now_ns) - hdr->ts_echo;
	uint64_t sent_ns, took_ns, held_ns;

	if (age > INT32_MAX || !seq_before(conn->echo_seen, hdr->ts_echo))
		return;
	conn->echo_seen = hdr->ts_echo;
	sent_ns = ((now_ns >> WIRE_TIME_SHIFT) - age) << WIRE_TIME_SHIFT;
	weir_arq_tx_delivered(&conn->tx, sent_ns, now_ns);
	if (hdr->ack_delay == CONN_ACK_DELAY_MAX)
		return;
	took_ns = now_ns - sent_ns;
	held_ns = (uint64_t)hdr->ack_delay << WIRE_TIME_SHIFT;
	rtt_sample(&conn->rtt, took_ns > held_ns ? took_ns - held_ns : 0,
		   now_ns);
}

/*
 * Did the tail-loss probe find a loss? Then the answer is to the probe, not to
 * what it repeats, and comes as soon as answers do. Otherwise the peer was only
 * not looking, on a processor that it shares perhaps: more patience with it.
 */
static void
judge_probe(struct weir_conn *conn, uint64_t now_ns)
{
	uint64_t soon_ns = conn->probed_ns + 2 * conn->rtt.srtt_ns +
			   conn->peer_ack_delay_ns;
	uint64_t more_ns = 4 * conn->patience_ns + conn->peer_ack_delay_ns;

	if (conn->tx.delivered_ns + WIRE_TICK_NS > conn->probed_ns &&
	    now_ns <= soon_ns)
		conn->patience_ns /= 4;
	else
		conn->patience_ns = more_ns < conn->config.tlp_min_ns
					    ? more_ns
					    : conn->config.tlp_min_ns;
	conn->probed_ns = 0;
}

static void
on_progress(struct weir_conn *conn, uint64_t now_ns)
{
	if (__builtin_expect(conn->probed_ns != 0, 0))
		judge_probe(conn, now_ns);
	conn->progress_ns = now_ns;
	conn->rto_times = 0;
	conn->tlp_done = false;
}

static int
on_sack(struct weir_conn *conn, const struct wire_hdr *hdr, uint64_t ack,
	uint64_t now_ns)
{
	int news = 0;

	/* An older view of the window has nothing to add. */
	if (ack != conn->tx.una)
		return 0;
	for (uint32_t i = 0; i < hdr->sack_words; i++) {
		int rc = weir_arq_tx_on_sack(&conn->tx, ack + 64 * i,
					     weir_wire_get_sack(hdr->sack, i));

		if (rc < 0) {
			weir_conn_violation(conn, WIRE_E_ACK, now_ns);
			return -EPROTO;
		}
		news += rc;
	}
	if (news != 0)
		on_progress(conn, now_ns);
	return 0;
}

/* Window or credit grew: whoever waited for it can go on. */
static void
on_growth(struct weir_conn *conn, bool answer)
{
	/* Did it take a probe to learn it? */
	if (conn->probe_times != 0 && answer)
		conn->stats.probe_healed++;
	conn->probe_times = 0;
}

/* @return true if the peer allows more than we knew. */
static bool
learn_limits(struct weir_conn *conn, const struct wire_hdr *hdr)
{
	uint32_t more = hdr->window - (uint32_t)conn->tx.limit;
	bool grew = false;

	if (more != 0 && more <= INT32_MAX) {
		conn->tx.limit += more;
		grew = true;
	}
	return credit_learn(&conn->peer_credit, hdr->credit) || grew;
}

/* A repair, or news of what was sent before it, may leave a hole to be watched. */
static void
watch_hole(struct weir_conn *conn)
{
	uint64_t at_ns = conn_hole_probe_ns(conn);

	if (at_ns < conn->timers.at[TIMER_LOSS])
		timer_set(&conn->timers, TIMER_LOSS, at_ns);
}

int
weir_conn_apply_ack(struct weir_conn *conn, const struct wire_hdr *hdr,
		    uint64_t now_ns)
{
	struct arq_tx *tx = &conn->tx;
	uint64_t ack = seq_expand(tx->una, hdr->ack);
	uint64_t before = tx->una + tx->sacked;
	uint32_t flight = arq_tx_in_flight(tx);
	bool answer = false; /* to our last PING */

	if (now_ns - conn->ack_ns > CONN_TS_FRESH_NS) {
		/* Clocks may have gone half round meanwhile. */
		conn->echo_seen = hdr->ts_echo - 1;
	} else if (seq_before(hdr->ts, conn->ack_ts)) {
		/* 16 bits of credit would be misread after a lap. */
		conn->stats.ack_stale++;
		return 0;
	}
	conn->ack_ts = hdr->ts;
	conn->ack_ns = now_ns;
	if (ack > tx->nxt) {
		weir_conn_violation(conn, WIRE_E_ACK, now_ns);
		return -EPROTO;
	}
	if (hdr->ts_echo != conn->echo_seen) {
		answer = hdr->ts_echo == conn_ts(conn->ping_ns);
		on_echo(conn, hdr, now_ns);
	}
	if (ack > tx->una) {
		weir_arq_tx_on_ack(tx, ack);
		on_progress(conn, now_ns);
	}
	if (learn_limits(conn, hdr))
		on_growth(conn, answer);
	if (hdr->sack_words != 0 && on_sack(conn, hdr, ack, now_ns) != 0)
		return -EPROTO;
	if (tx->sacked != 0) {
		uint64_t again = weir_arq_tx_detect(tx, &conn->rtt, now_ns);

		if (again < conn->timers.at[TIMER_LOSS])
			timer_set(&conn->timers, TIMER_LOSS, again);
		watch_hole(conn);
		weir_conn_cc_losses(conn, now_ns);
	}
	if (__builtin_expect(tx->controlled, 0))
		weir_conn_cc_ack(conn, hdr, before, flight, now_ns);
	if (tx->fin_sent && tx->una > tx->fin_seq && !conn->tx_done) {
		conn->tx_done = true;
		weir_conn_check_ends(conn, now_ns);
	}
	return 0;
}

static void
ack_soon(struct weir_conn *conn, uint8_t flags, uint64_t now_ns)
{
	const struct arq_rx *rx = &conn->rx;

	/* A peer that just used up what it knew of waits for every word. */
	if (++conn->unacked >= CONN_ACK_EVERY || (flags & WIRE_F_ACKREQ) ||
	    allowance_starved(&rx->window, rx->nxt) ||
	    allowance_starved(&rx->credit, rx->started))
		conn->due |= DUE_ACK;
	else if (conn->unacked == 1)
		timer_set(&conn->timers, TIMER_ACK,
			  now_ns + conn->config.max_ack_delay_ns);
}

/* What on_data() is not made for; rc is that of weir_arq_rx_data(). */
static __attribute__((noinline)) int
on_odd_data(struct weir_conn *conn, int rc, uint64_t now_ns)
{
	conn->due |= DUE_ACK;
	switch (rc) {
	case ARQ_RX_FILLED:
		if (conn->rx.broken != 0)
			weir_conn_violation(conn,
					    (enum wire_error)(conn->rx.broken -
							      ARQ_RX_ERRORS),
					    now_ns);
		else if (conn->rx.ended)
			weir_conn_check_ends(conn, now_ns);
		return 1;
	case ARQ_RX_PARKED:
		return 1;
	case ARQ_RX_DUP:
		conn->stats.drops[CONN_DROP_DUPLICATE]++;
		return 0;
	case ARQ_RX_IGNORED:
		conn->stats.drops[CONN_DROP_STOPPED]++;
		return 0;
	default:
		weir_conn_violation(conn, (enum wire_error)(rc - ARQ_RX_ERRORS),
				    now_ns);
		return 0;
	}
}

/* DATA or BATCH. */
static inline int
on_data(struct weir_conn *conn, const struct wire_hdr *hdr, void *ref,
	uint64_t now_ns)
{
	uint64_t seq = seq_expand(conn->rx.nxt, hdr->seq);
	int rc = arq_rx_data(&conn->rx, seq, hdr, ref);

	if (__builtin_expect(rc != ARQ_RX_KEPT, 0))
		return on_odd_data(conn, rc, now_ns);
	ack_soon(conn, hdr->flags, now_ns);
	return 1;
}

static void
on_fin(struct weir_conn *conn, const struct wire_hdr *hdr, uint64_t now_ns)
{
	uint64_t seq = seq_expand(conn->rx.nxt, hdr->seq);
	int rc = weir_arq_rx_fin(&conn->rx, seq, hdr->error != NULL);

	conn->due |= DUE_ACK;
	if (rc >= ARQ_RX_ERRORS)
		weir_conn_violation(conn, (enum wire_error)(rc - ARQ_RX_ERRORS),
				    now_ns);
	else if (rc == ARQ_RX_DUP)
		conn->stats.drops[CONN_DROP_DUPLICATE]++;
	else
		weir_conn_check_ends(conn, now_ns);
}

static __attribute__((noinline)) int
on_batch(struct weir_conn *conn, const struct wire_hdr *hdr, void *ref,
	 uint64_t now_ns)
{
	if (conn->limits.features & WIRE_FEATURE_BATCH)
		return on_data(conn, hdr, ref, now_ns);
	weir_conn_violation(conn, WIRE_E_FEATURES, now_ns);
	return 0;
}

/* Everything in state OPEN that carries no messages. */
static __attribute__((noinline)) void
on_control(struct weir_conn *conn, const struct wire_hdr *hdr, uint64_t now_ns)
{
	switch (wire_hdr_type(hdr)) {
	case WIRE_ACK:
		conn->stats.rx_acks++;
		break;
	case WIRE_PING:
		conn->due |= DUE_ACK;
		break;
	case WIRE_FIN:
		on_fin(conn, hdr, now_ns);
		break;
	case WIRE_RESET:
		weir_conn_on_reset(conn, hdr, now_ns);
		break;
	case WIRE_ACCEPT:
		/* The server has not heard from us yet. */
		conn->stats.drops[CONN_DROP_DUPLICATE]++;
		conn->due |= DUE_ACK;
		break;
	default:
		conn->stats.drops[CONN_DROP_STATE]++;
		break;
	}
}

/*
 * Set-up packets have a trailer if the INIT had one, others if it was agreed
 * upon. @return false: counted.
 */
static bool
trailer_fits(struct weir_conn *conn, const struct wire_hdr *hdr)
{
	bool is_hello = wire_hdr_type(hdr) <= WIRE_REJECT;
	uint8_t want = is_hello ? conn->hello_flags : conn->trailer;

	if ((hdr->flags & WIRE_F_TRAILER) == want)
		return true;
	conn->stats
		.drops[want != 0 ? CONN_DROP_CRC_MISSING : CONN_DROP_FLAGS]++;
	return false;
}

/* @return true when the connection is OPEN now and the packet is for it. */
static WEIR_RARE bool
prepare_rare(struct weir_conn *conn, const struct wire_hdr *hdr,
	     uint64_t now_ns)
{
	uint8_t type = wire_hdr_type(hdr);

	/* An INIT names no token: who sends one with ours is a stranger. */
	if (type == WIRE_INIT && hdr->token == 0 &&
	    conn->state == CONN_ACCEPT_SENT) {
		if (trailer_fits(conn, hdr))
			weir_conn_hello_packet(conn, hdr, now_ns);
		return false;
	}
	if (hdr->token != conn->config.token) {
		conn->stats.drops[CONN_DROP_TOKEN]++;
		return false;
	}
	if (!trailer_fits(conn, hdr))
		return false;
	if (conn->state == CONN_OPEN)
		return true;
	if (conn->state == CONN_INIT_SENT) {
		weir_conn_hello_packet(conn, hdr, now_ns);
		return false;
	}
	if (conn->state == CONN_ACCEPT_SENT && (hdr->flags & WIRE_F_ACKV)) {
		weir_conn_opened(conn, now_ns);
		return true;
	}
	conn->stats.drops[CONN_DROP_STATE]++;
	/* The peer goes on although we gave up: say it again. */
	if (conn->state == CONN_FAILED && !conn->over && type != WIRE_RESET)
		conn->due |= DUE_RESET;
	return false;
}

/* One-way traffic says the same in every packet, only later. */
static bool
ack_has_news(const struct weir_conn *conn, const struct wire_hdr *hdr,
	     uint64_t now_ns)
{
	return hdr->ack != (uint32_t)conn->tx.una ||
	       hdr->ts_echo != conn->echo_seen ||
	       hdr->window != (uint32_t)conn->tx.limit ||
	       hdr->credit != (uint16_t)conn->peer_credit ||
	       hdr->sack_words != 0 || seq_before(hdr->ts, conn->ack_ts) ||
	       now_ns - conn->ack_ns > CONN_TS_FRESH_NS;
}

static int
take_ack(struct weir_conn *conn, const struct wire_hdr *hdr, uint64_t now_ns)
{
	if (ack_has_news(conn, hdr, now_ns))
		return weir_conn_apply_ack(conn, hdr, now_ns);
	conn->ack_ts = hdr->ts;
	conn->ack_ns = now_ns;
	return 0;
}

/*
 * What nobody sends to an open link, or only a copy that comes late: it must
 * not even count as a sign of life, and its clock is none.
 */
static bool
is_misplaced(struct weir_conn *conn, const struct wire_hdr *hdr)
{
	switch (wire_hdr_type(hdr)) {
	case WIRE_INIT:
	case WIRE_RETRY:
	case WIRE_REJECT:
	case WIRE_GONE:
		conn->stats.drops[CONN_DROP_STATE]++;
		return true;
	default:
		return false;
	}
}

/* ---- streams ----------------------------------------------------------- */

/*
 * Data packets that a peer sends in one burst, and that come in one, say the
 * same about everything but themselves. A packet was taken; would the same
 * header with the next number change nothing but the receive window?
 */
static __attribute__((noinline)) void
stream_begin(struct weir_conn *conn, const struct wire_hdr *hdr,
	     uint64_t now_ns)
{
	const uint8_t usual = WIRE_F_ACKV | WIRE_F_FIRST | WIRE_F_LAST |
			      conn->gate;
	const struct arq_rx *rx = &conn->rx;

	if (conn->state != CONN_OPEN || hdr->flags != usual ||
	    hdr->hlen != WIRE_HDR_LEN / 8 || hdr->ts != conn->echo_ts ||
	    conn->echo_ns != now_ns || ack_has_news(conn, hdr, now_ns) ||
	    rx->fin_known || rx->stopped || rx->msg_open)
		return;
	conn->stream_hdr = *hdr;
	if (rx->parked == 0)
		conn->stream_ns = now_ns;
	else
		conn->hole_ns = now_ns;
}

static inline bool
same_bytes(const void *a, const void *b, size_t size)
{
	return __builtin_memcmp(a, b, size) == 0;
}

/*
 * A header as it is on the wire, if that is how the processor has it, or at the
 * beginning of a decoded one: does it say the same as the packet before, but for
 * its number and length?
 */
static inline bool
says_the_same(const struct weir_conn *conn, const uint8_t *head)
{
	const struct wire_hdr *last = &conn->stream_hdr;

	return same_bytes(head, last, 4) &&
	       same_bytes(head + 8, &last->token, 8) &&
	       same_bytes(head + 16, &last->ack, 8) &&
	       same_bytes(head + 24, &last->ts, 8) &&
	       same_bytes(head + 32, &last->credit, 4);
}

static inline uint32_t
head_word(const uint8_t *head, size_t at)
{
	uint32_t word;

	memcpy(&word, head + at, sizeof(word));
	return word;
}

/* There is a stream, and it is of this moment. */
static inline bool
in_stream(const struct weir_conn *conn, uint64_t now_ns)
{
	return conn->stream_ns == now_ns || conn->hole_ns == now_ns;
}

/* As many as the peer may send and not be at the end of what it knows of. */
static inline uint64_t
below(uint64_t used, uint64_t told)
{
	return used + 1 < told ? told - 1 - used : 0;
}

/* How many packets does the stream go on with? None if there is a hole before
 * them, or if the first is the first since our last acknowledgement. */
static inline uint32_t
stream_plain(struct weir_conn *conn, const struct conn_stream_packet *packets,
	     uint32_t count)
{
	struct arq_rx *rx = &conn->rx;
	uint64_t most = below(rx->nxt, rx->window.told);
	uint64_t seq = rx->nxt, bytes = 0;
	uint32_t n;

	if (conn->unacked == 0)
		return 0;
	if (most > below(rx->started, rx->credit.told))
		most = below(rx->started, rx->credit.told);
	if (most > count)
		most = count;
	for (n = 0; n < most; n++, seq++) {
		const struct conn_stream_packet *p = &packets[n];

		if (head_word(p->head, 4) != (uint32_t)seq ||
		    !says_the_same(conn, p->head) ||
		    p->len != head_word(p->head, 36) || p->len > rx->plain_max)
			break;
		arq_rx_put_plain(rx, seq, p->payload, p->len, p->ref);
		bytes += p->len;
	}
	arq_rx_take_plain(rx, n, bytes);
	conn->unacked += n;
	if (conn->unacked >= CONN_ACK_EVERY)
		conn->due |= DUE_ACK;
	return n;
}

/* The same behind a hole: those that follow the newest are parked. What each is
 * to its message is looked at when the hole is closed. */
static inline uint32_t
stream_behind_hole(struct weir_conn *conn,
		   const struct conn_stream_packet *packets, uint32_t count)
{
	struct arq_rx *rx = &conn->rx;
	uint32_t n;

	for (n = 0; n < count && rx->hi < rx->window.told; n++) {
		const struct conn_stream_packet *p = &packets[n];

		if (head_word(p->head, 4) != (uint32_t)rx->hi ||
		    !says_the_same(conn, p->head))
			break;
		arq_rx_park_newest(rx, p->payload, p->len,
				   head_word(p->head, 36), p->ref);
		conn->due |= DUE_ACK;
	}
	return n;
}

static __attribute__((noinline)) uint32_t
stream_take(struct weir_conn *conn, const struct conn_stream_packet *packets,
	    uint32_t count, uint64_t now_ns)
{
	uint32_t taken;

	if (conn->stream_ns == now_ns)
		taken = stream_plain(conn, packets, count);
	else
		taken = stream_behind_hole(conn, packets, count);
	if (taken == 0)
		return 0;
	conn_end_burst(conn);
	conn->stats.rx_packets += taken;
	return taken;
}

uint32_t
weir_conn_on_stream(struct weir_conn *conn,
		    const struct conn_stream_packet *packets, uint32_t count,
		    uint64_t now_ns)
{
	/* What is not in the order of this processor, or has a trailer to be
	 * checked, is decoded. */
	if (!in_stream(conn, now_ns) ||
	    __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ ||
	    conn->stream_hdr.marked || conn->trailer != 0)
		return 0;
	return stream_take(conn, packets, count, now_ns);
}

static __attribute__((noinline)) int
any_packet(struct weir_conn *conn, const struct wire_hdr *hdr, void *ref,
	   uint64_t now_ns)
{
	int kept;

	if ((hdr->flags & WIRE_F_TRAILER) != conn->gate ||
	    hdr->token != conn->config.token) {
		if (!prepare_rare(conn, hdr, now_ns))
			return 0;
	}
	conn_end_stream(conn); /* a stranger's packet does not */
	if (wire_hdr_type(hdr) != WIRE_DATA && is_misplaced(conn, hdr))
		return 0;
	weir_conn_note_arrival(conn, hdr, now_ns);
	if (hdr->flags & WIRE_F_ACKV)
		if (take_ack(conn, hdr, now_ns) != 0)
			return 0;
	if ((hdr->flags & WIRE_F_STOP) && !conn->peer_stopped)
		weir_conn_on_stop(conn, now_ns);
	if (wire_hdr_type(hdr) == WIRE_DATA) {
		kept = on_data(conn, hdr, ref, now_ns);
		if (conn->unacked > 1 || conn->rx.parked != 0)
			stream_begin(conn, hdr, now_ns);
		return kept;
	}
	if (wire_hdr_type(hdr) == WIRE_BATCH)
		return on_batch(conn, hdr, ref, now_ns);
	on_control(conn, hdr, now_ns);
	return 0;
}

/* Decoded, the header begins as it was on the wire. */
static bool
on_decoded_stream(struct weir_conn *conn, const struct wire_hdr *hdr, void *ref,
		  uint64_t now_ns)
{
	const struct conn_stream_packet packet = {
		.head = (const uint8_t *)hdr,
		.payload = hdr->payload,
		.ref = ref,
		.len = hdr->payload_len,
	};

	return hdr->marked == conn->stream_hdr.marked &&
	       stream_take(conn, &packet, 1, now_ns) == 1;
}

int
weir_conn_on_packet(struct weir_conn *conn, const struct wire_hdr *hdr,
		    void *ref, uint64_t now_ns)
{
	if (in_stream(conn, now_ns) &&
	    on_decoded_stream(conn, hdr, ref, now_ns)) {
		conn->ce_count += hdr->marked;
		return 1;
	}
	return any_packet(conn, hdr, ref, now_ns);
}

const struct conn_rx_packet *
weir_conn_rx_peek(const struct weir_conn *conn)
{
	return arq_rx_peek(&conn->rx);
}

const struct conn_rx_packet *
weir_conn_rx_peek_burst(const struct weir_conn *conn, uint32_t *count)
{
	const struct conn_rx_packet *packet = arq_rx_peek(&conn->rx);

	*count = packet != NULL ? arq_rx_peek_count(&conn->rx) : 0;
	return packet;
}

void
weir_conn_rx_consume(struct weir_conn *conn, uint32_t count)
{
	conn->rx.head += count;
	conn->rx.held += count;
}

void
weir_conn_rx_release(struct weir_conn *conn, uint32_t packets, uint32_t msgs)
{
	struct arq_rx *rx = &conn->rx;
	bool tell;

	if (conn->state != CONN_OPEN || rx->stopped || rx->ended)
		return;
	conn_end_burst(conn);
	rx->held -= packets;
	tell = allowance_return(&rx->window, packets, rx->nxt);
	if (allowance_return(&rx->credit, msgs, rx->started) || tell)
		conn->due |= DUE_ACK;
}

int
weir_conn_rx_state(const struct weir_conn *conn)
{
	const struct arq_rx *rx = &conn->rx;

	if (arq_rx_peek(rx) != NULL)
		return 0;
	if (rx->stopped)
		return conn->rx_error;
	if (rx->ended)
		return rx->fin_abort ? -ECONNRESET : CONN_EOF;
	return conn->state == CONN_FAILED ? conn->error : 0;
}

void *
weir_conn_pop_dropped_rx(struct weir_conn *conn)
{
	return weir_arq_rx_pop_dropped(&conn->rx);
}

/* --- packets out ------------------------------------------------------ */

static inline void
encode_hdr(const struct weir_conn *conn, const struct conn_tx_packet *out,
	   uint8_t *dst)
{
	const struct wire_hdr hdr = {
		.vt = WIRE_VERSION_MAX << 4 | out->type,
		.flags = out->flags,
		.hlen = WIRE_HDR_LEN / 8,
		.ce = (uint8_t)conn->ce_count,
		.seq = out->seq,
		.token = conn->peer_token,
		.ack = (uint32_t)conn->rx.nxt,
		.window = (uint32_t)conn->rx.window.told,
		.ts = out->ts,
		.ts_echo = conn->echo_ts,
		.credit = (uint16_t)conn->rx.credit.told,
		.ack_delay = conn->ack_delay,
		.mlo = out->mlo,
	};

	wire_encode(&hdr, dst);
}

/* The header of a packet of a burst. */
static inline void
burst_encode(const struct weir_conn *conn, const struct conn_tx_packet *out,
	     uint8_t *dst)
{
	uint32_t seq = WIRE_LE32(out->seq), mlo = WIRE_LE32(out->mlo);

	memcpy(dst, conn->burst_hdr, WIRE_HDR_LEN);
	dst[0] |= out->type;
	dst[1] = out->flags;
	memcpy(dst + 4, &seq, sizeof(seq));
	memcpy(dst + 36, &mlo, sizeof(mlo));
}

uint64_t
weir_conn_tx_credit(const struct weir_conn *conn)
{
	uint64_t room = conn->tx.popped + conn->config.tx_msgs;

	return conn->peer_credit < room ? conn->peer_credit : room;
}

struct conn_tx_msg *
weir_conn_push_room(struct weir_conn *conn, uint32_t *count)
{
	struct arq_tx *tx = &conn->tx;
	uint32_t at = (uint32_t)tx->pushed & tx->msg_mask;

	*count = tx->msg_mask + 1 - at;
	return &tx->msgs[at];
}

void
weir_conn_pushed(struct weir_conn *conn, uint32_t count, uint64_t bytes)
{
	conn->stats.tx_bytes += bytes;
	conn->tx.pushed += count;
}

void
weir_conn_push(struct weir_conn *conn, void *ref, const uint8_t *payload,
	       uint32_t len)
{
	conn->stats.tx_bytes += len;
	arq_tx_push(&conn->tx, ref, payload, len);
}

const struct conn_tx_msg *
weir_conn_acked(const struct weir_conn *conn, uint32_t *count)
{
	const struct arq_tx *tx = &conn->tx;

	*count = arq_tx_done(tx, UINT32_MAX);
	return &tx->msgs[tx->popped & tx->msg_mask];
}

void
weir_conn_pop(struct weir_conn *conn, uint32_t count)
{
	conn->tx.popped += count;
}

void *
weir_conn_pop_acked(struct weir_conn *conn)
{
	return arq_tx_pop(&conn->tx);
}

/* Every packet with ACKV tells all we have to tell. */
static void
note_ack_sent(struct weir_conn *conn, uint64_t now_ns)
{
	uint64_t held = (now_ns - conn->echo_ns) >> WIRE_TIME_SHIFT;

	conn->ack_delay = held < CONN_ACK_DELAY_MAX ? (uint16_t)held
						    : CONN_ACK_DELAY_MAX;
	conn->rx.window.told = conn->rx.window.allowed;
	conn->rx.credit.told = conn->rx.credit.allowed;
	conn->unacked = 0;
	conn->due &= ~(uint32_t)DUE_ACK;
	timer_clear(&conn->timers, TIMER_ACK);
}

/* A packet without payload in state OPEN (or after it). */
static int
emit_control(struct weir_conn *conn, enum wire_type type, uint8_t flags,
	     uint64_t now_ns, struct conn_tx_packet *out)
{
	memset(out, 0, sizeof(*out));
	out->kind = CONN_TX_CONTROL;
	out->type = (uint8_t)type;
	out->flags = flags | conn->base_flags;
	out->seq = (uint32_t)conn->tx.nxt;
	out->ts = conn_ts(now_ns);
	out->hdr_len = WIRE_HDR_LEN;
	note_ack_sent(conn, now_ns);
	conn->stats.tx_packets++;
	return 1;
}

static void
emit_slot(struct weir_conn *conn, const struct tx_slot *slot, uint64_t seq,
	  uint64_t now_ns, struct conn_tx_packet *out)
{
	uint32_t words = arq_rx_sack_words(&conn->rx, WIRE_SACK_DATA_MAX);

	out->ref = conn->tx.msgs[slot->msg].ref;
	out->payload = slot->payload;
	out->payload_len = slot->len;
	out->hdr_len = WIRE_HDR_LEN;
	if (words != 0)
		out->hdr_len += 8 + 8 * words;
	out->seq = (uint32_t)seq;
	out->mlo = slot->mlo;
	out->ts = conn_ts(now_ns);
	out->kind = CONN_TX_DATA;
	out->type = slot->type;
	out->flags = slot->flags | conn->base_flags;
	out->sack_words = (uint8_t)words;
	out->ect = conn->ect;
	conn->ect_sent += conn->ect;
	out->more = CONN_TX_ASK;
	out->whole = slot->flags == (WIRE_F_FIRST | WIRE_F_LAST) &&
		     slot->type == WIRE_DATA;
	note_ack_sent(conn, now_ns);
}

/* FIN: like data for the window, like control for the driver. */
static void
emit_fin(struct weir_conn *conn, const struct tx_slot *slot, uint64_t seq,
	 uint64_t now_ns, struct conn_tx_packet *out)
{
	emit_slot(conn, slot, seq, now_ns, out);
	conn->stats.tx_packets++;
	out->ref = NULL;
	conn->ect_sent -= out->ect;
	out->ect = 0;
	out->kind = CONN_TX_CONTROL;
	out->whole = false;
	out->flags |= WIRE_F_ACKREQ;
	if (conn->fin_code != 0)
		out->hdr_len += WIRE_ERROR_LEN;
	if (out->hdr_len == WIRE_HDR_LEN)
		out->hdr_len += WIRE_PAD_LEN;
}

static WEIR_RARE void
went_busy(struct weir_conn *conn, uint64_t now_ns)
{
	conn->progress_ns = now_ns;
	conn->tlp_done = false;
	timer_set(&conn->timers, TIMER_LOSS,
		  now_ns + rtt_pto(&conn->rtt, conn->peer_ack_delay_ns,
				   conn->patience_ns));
}

/* Will we wait for an acknowledgement before we can go on? */
static bool
needs_ack(const struct weir_conn *conn)
{
	const struct arq_tx *tx = &conn->tx;

	if (tx->nxt == arq_tx_end(tx) || tx->nxt - tx->una == tx->window / 2)
		return true;
	return tx->cut == tx->pushed &&
	       tx->pushed - tx->popped > tx->msg_mask / 2;
}

/*
 * A data packet has just been sent and more are waiting. Those that leave at
 * the same moment say the same about the other direction, and nothing about
 * them has to be decided again before the window ends: until a packet comes,
 * storage is given back or a timer fires, which ends the burst.
 */
static __attribute__((noinline)) void
burst_begin(struct weir_conn *conn, uint64_t now_ns)
{
	const struct conn_tx_packet blank = { .ts = conn_ts(now_ns) };
	struct arq_tx *tx = &conn->tx;

	if (tx->lost != 0 || conn->rx.parked != 0 || (conn->due & DUE_TLP) ||
	    conn->cc.gap_ns != 0)
		return;
	conn->burst_end = arq_tx_end(tx);
	conn->burst_half = tx->una + tx->window / 2;
	encode_hdr(conn, &blank, conn->burst_hdr);
	conn->burst_ns = now_ns;
}

/* The next packet of a burst, as a slot. */
static inline int
burst_emit(struct weir_conn *conn, const struct tx_slot *slot,
	   struct conn_tx_packet *out)
{
	const struct arq_tx *tx = &conn->tx;
	uint8_t flags = slot->flags | conn->base_flags;

	out->ref = tx->msgs[slot->msg].ref;
	out->payload = slot->payload;
	out->payload_len = slot->len;
	out->hdr_len = WIRE_HDR_LEN;
	out->seq = (uint32_t)tx->nxt - 1;
	out->mlo = slot->mlo;
	out->ts = conn_ts(conn->burst_ns);
	out->kind = CONN_TX_DATA;
	out->type = slot->type;
	out->sack_words = 0;
	out->ect = conn->ect;
	out->whole = slot->flags == (WIRE_F_FIRST | WIRE_F_LAST) &&
		     slot->type == WIRE_DATA;
	out->more = out->whole ? CONN_TX_ROW : CONN_TX_ASK;
	conn->ect_sent += conn->ect;
	/* As needs_ack(). */
	if (tx->nxt == conn->burst_end || tx->nxt == conn->burst_half ||
	    (tx->cut == tx->pushed &&
	     tx->pushed - tx->popped > tx->msg_mask / 2))
		flags |= WIRE_F_ACKREQ;
	out->flags = flags;
	return 1;
}

/* A fragment or a batch. */
static __attribute__((noinline)) int
burst_cut(struct weir_conn *conn, struct conn_tx_packet *out)
{
	return burst_emit(conn, weir_arq_tx_fresh(&conn->tx, conn->burst_ns),
			  out);
}

static inline int
burst_next(struct weir_conn *conn, struct conn_tx_packet *out)
{
	if (!arq_tx_is_plain(&conn->tx))
		return burst_cut(conn, out);
	return burst_emit(conn, arq_tx_take_plain(&conn->tx, conn->burst_ns),
			  out);
}

const struct conn_tx_msg *
weir_conn_burst(const struct weir_conn *conn, uint64_t now_ns, uint32_t *count)
{
	const struct arq_tx *tx = &conn->tx;
	uint32_t at = (uint32_t)tx->cut & tx->msg_mask;
	uint64_t most = tx->pushed - tx->cut;
	uint32_t n = 0;

	*count = 0;
	if (conn->burst_ns != now_ns || tx->nxt >= conn->burst_end ||
	    tx->cut_offset != 0 || conn->trailer != 0)
		return NULL;
	if (most > conn->burst_end - tx->nxt)
		most = conn->burst_end - tx->nxt;
	if (most > tx->msg_mask + 1 - at)
		most = tx->msg_mask + 1 - at;
	if (most > CONN_BURST_MAX)
		most = CONN_BURST_MAX;
	while (n < most && arq_tx_goes_alone(tx, n))
		n++;
	*count = n;
	return &tx->msgs[at];
}

/* As needs_ack(), of packets that have left: `first` and those after it. */
static void
burst_ask(const struct weir_conn *conn, uint64_t first, uint8_t *const *dst)
{
	const struct arq_tx *tx = &conn->tx;

	if (tx->nxt == conn->burst_end ||
	    (tx->cut == tx->pushed &&
	     tx->pushed - tx->popped > tx->msg_mask / 2))
		dst[tx->nxt - 1 - first][1] |= WIRE_F_ACKREQ;
	if (conn->burst_half > first && conn->burst_half <= tx->nxt)
		dst[conn->burst_half - 1 - first][1] |= WIRE_F_ACKREQ;
}

bool
weir_conn_burst_take(struct weir_conn *conn, uint8_t *const *dst,
		     uint32_t count)
{
	uint64_t first = conn->tx.nxt;
	uint8_t hdr[WIRE_HDR_LEN];

	memcpy(hdr, conn->burst_hdr, sizeof(hdr));
	hdr[0] |= WIRE_DATA;
	hdr[1] = WIRE_F_FIRST | WIRE_F_LAST | conn->base_flags;
	for (uint32_t i = 0; i < count; i++) {
		const struct tx_slot *slot =
			arq_tx_take_plain(&conn->tx, conn->burst_ns);
		uint32_t seq = WIRE_LE32((uint32_t)(first + i));
		uint32_t mlo = WIRE_LE32(slot->mlo);

		memcpy(dst[i], hdr, WIRE_HDR_LEN);
		memcpy(dst[i] + 4, &seq, sizeof(seq));
		memcpy(dst[i] + 36, &mlo, sizeof(mlo));
	}
	burst_ask(conn, first, dst);
	conn->ect_sent += conn->ect * count;
	return conn->ect != 0;
}

/* Would weir_conn_next() have to look at anything? */
static inline bool
nothing_left(const struct weir_conn *conn)
{
	const struct arq_tx *tx = &conn->tx;

	return conn->due == 0 && tx->lost == 0 && tx->cut == tx->pushed &&
	       !tx->fin_wanted;
}

static int
next_data(struct weir_conn *conn, uint64_t now_ns, struct conn_tx_packet *out)
{
	uint64_t seq = conn->tx.nxt;
	const struct tx_slot *slot = arq_tx_fresh(&conn->tx, now_ns);

	if (conn->tx.una == seq)
		went_busy(conn, now_ns);
	emit_slot(conn, slot, seq, now_ns, out);
	if (needs_ack(conn))
		out->flags |= WIRE_F_ACKREQ;
	if (conn->tx.cut != conn->tx.pushed)
		burst_begin(conn, now_ns);
	if (conn->burst_ns == now_ns)
		out->more = CONN_TX_ROW;
	else if (nothing_left(conn))
		out->more = CONN_TX_LAST;
	return 1;
}

static WEIR_RARE int
next_fin(struct weir_conn *conn, uint64_t now_ns, struct conn_tx_packet *out)
{
	uint64_t seq = conn->tx.nxt;
	const struct tx_slot *slot = weir_arq_tx_fin(&conn->tx, now_ns);

	if (conn->tx.una == seq)
		went_busy(conn, now_ns);
	emit_fin(conn, slot, seq, now_ns, out);
	return 1;
}

/* Packets may be spaced, new ones and repairs alike. */
static inline bool
has_turn(struct weir_conn *conn, uint64_t now_ns)
{
	return __builtin_expect(conn->cc.gap_ns == 0, 1) ||
	       weir_conn_cc_turn(conn, now_ns);
}

static WEIR_RARE int
next_again(struct weir_conn *conn, uint64_t now_ns, struct conn_tx_packet *out)
{
	struct tx_slot *slot = NULL;
	uint64_t seq;

	if (conn->due & DUE_TLP) {
		conn->due &= ~(uint32_t)DUE_TLP;
		slot = weir_arq_tx_resend_last(&conn->tx, now_ns, &seq);
		conn->stats.tlp += slot != NULL;
		if (conn->config.tlp_learns && slot != NULL &&
		    seq + 1 == conn->tx.nxt)
			conn->probed_ns = now_ns;
	}
	if (slot == NULL && arq_tx_can_resend(&conn->tx) &&
	    has_turn(conn, now_ns))
		slot = weir_arq_tx_resend(&conn->tx, now_ns, &seq);
	if (slot == NULL)
		return 0;
	conn->stats.tx_retx++;
	watch_hole(conn);
	if (slot->type == WIRE_FIN) {
		emit_fin(conn, slot, seq, now_ns, out);
	} else {
		emit_slot(conn, slot, seq, now_ns, out);
		out->kind = CONN_TX_RETX;
		conn->retx_data++;
	}
	out->flags |= WIRE_F_RETX | WIRE_F_ACKREQ;
	return 1;
}

static WEIR_RARE int
next_ping(struct weir_conn *conn, uint64_t now_ns, struct conn_tx_packet *out)
{
	conn->due &= ~(uint32_t)DUE_PING;
	conn->ping_ns = now_ns;
	conn->stats.tx_pings++;
	emit_control(conn, WIRE_PING, WIRE_F_ACKREQ, now_ns, out);
	out->hdr_len += WIRE_PAD_LEN;
	weir_conn_arm_probe(conn, now_ns);
	return 1;
}

static __attribute__((noinline)) int
next_ack(struct weir_conn *conn, uint64_t now_ns, struct conn_tx_packet *out)
{
	uint32_t words = arq_rx_sack_words(&conn->rx, WIRE_SACK_MAX);

	emit_control(conn, WIRE_ACK, 0, now_ns, out);
	if (words != 0)
		out->hdr_len += 8 + 8 * words;
	out->sack_words = (uint8_t)words;
	conn->stats.tx_acks++;
	return 1;
}

/* Data is there and may not go: whose window is it? */
static WEIR_RARE void
note_waiting(struct weir_conn *conn, uint64_t now_ns)
{
	if (arq_tx_can_send(&conn->tx))
		return; /* only spaced out, and counted so */
	if (conn->tx.nxt >= conn->tx.limit)
		conn->stats.window_full++;
	else
		conn->stats.cwnd_full++;
	weir_conn_arm_probe(conn, now_ns);
}

/* Before OPEN and after it. */
static WEIR_RARE int
next_rare(struct weir_conn *conn, uint64_t now_ns, struct conn_tx_packet *out)
{
	if (conn->due & DUE_HELLO)
		return weir_conn_next_hello(conn, now_ns, out);
	if (conn->due & DUE_RESET) {
		conn->due = 0;
		emit_control(conn, WIRE_RESET, 0, now_ns, out);
		out->hdr_len += WIRE_ERROR_LEN;
		return 1;
	}
	return 0;
}

static __attribute__((noinline)) int
next_decided(struct weir_conn *conn, uint64_t now_ns,
	     struct conn_tx_packet *out)
{
	conn_end_burst(conn);
	conn->now_ns = now_ns;
	if (conn->state != CONN_OPEN)
		return next_rare(conn, now_ns, out);
	if (conn->tx.lost != 0 || (conn->due & DUE_TLP))
		if (next_again(conn, now_ns, out))
			return 1;
	if (arq_tx_can_send(&conn->tx) && has_turn(conn, now_ns))
		return next_data(conn, now_ns, out);
	if (arq_tx_can_fin(&conn->tx))
		return next_fin(conn, now_ns, out);
	if (conn->due & DUE_PING)
		return next_ping(conn, now_ns, out);
	if (conn->due & DUE_ACK)
		return next_ack(conn, now_ns, out);
	if (arq_tx_has_unsent(&conn->tx))
		note_waiting(conn, now_ns);
	return 0;
}

int
weir_conn_next(struct weir_conn *conn, uint64_t now_ns,
	       struct conn_tx_packet *out)
{
	if (conn->burst_ns == now_ns && conn->tx.nxt < conn->burst_end &&
	    conn->tx.cut != conn->tx.pushed)
		return burst_next(conn, out);
	return next_decided(conn, now_ns, out);
}

bool
weir_conn_wants_tx(const struct weir_conn *conn)
{
	return conn->due != 0 ||
	       (conn->state == CONN_OPEN &&
		(((arq_tx_can_resend(&conn->tx) ||
		   arq_tx_can_send(&conn->tx)) &&
		  (conn->cc.gap_ns == 0 || conn->pace_ns <= conn->now_ns)) ||
		 arq_tx_can_fin(&conn->tx)));
}

uint32_t
weir_conn_gather(const struct weir_conn *conn, const struct conn_tx_packet *out,
		 uint8_t *dst)
{
	return weir_arq_tx_gather(&conn->tx, arq_tx_slot(&conn->tx, out->seq),
				  dst);
}

static uint8_t *
encode_exts(const struct weir_conn *conn, const struct conn_tx_packet *out,
	    uint8_t *at)
{
	uint8_t *begin = at;

	if (out->sack_words != 0) {
		uint64_t words[WIRE_SACK_MAX];

		for (uint32_t i = 0; i < out->sack_words; i++)
			words[i] = bitring_get64(&conn->rx.bits,
						 conn->rx.nxt + 64 * i);
		at += weir_wire_put_sack(words, out->sack_words, at);
	}
	if (out->type == WIRE_INIT || out->type == WIRE_ACCEPT) {
		struct wire_params params;

		weir_conn_own_params(conn, &params);
		at += weir_wire_put_params(&params, at);
	}
	if (out->type == WIRE_INIT) {
		memcpy(at, conn->cookie, conn->cookie[1] * 8u);
		at += conn->cookie[1] * 8u;
	}
	if (out->type == WIRE_RESET ||
	    (out->type == WIRE_FIN && conn->fin_code != 0)) {
		struct wire_error_info error = { 0 };

		error.code = out->type == WIRE_FIN ? conn->fin_code
						   : conn->error_code;
		error.seq = (uint32_t)conn->rx.nxt;
		at += weir_wire_put_error(&error, at);
	}
	if (at == begin && (out->type == WIRE_PING || out->type == WIRE_FIN))
		at += weir_wire_put_pad(at);
	return at;
}

/* A hello is longer than its header: the rest is padding. */
static __attribute__((noinline)) void
encode_rest(const struct weir_conn *conn, const struct conn_tx_packet *out,
	    uint8_t *dst)
{
	uint8_t *end = encode_exts(conn, out, dst + WIRE_HDR_LEN);
	uint32_t len = (uint32_t)(end - dst);

	dst[2] = (uint8_t)(len / 8);
	memset(end, 0, out->hdr_len - len);
}

void
weir_conn_encode(const struct weir_conn *conn, const struct conn_tx_packet *out,
		 uint8_t *dst)
{
	if (conn->burst_ns == conn->now_ns && out->kind == CONN_TX_DATA) {
		burst_encode(conn, out, dst);
		return;
	}
	encode_hdr(conn, out, dst);
	if (__builtin_expect(out->hdr_len != WIRE_HDR_LEN, 0))
		encode_rest(conn, out, dst);
}
