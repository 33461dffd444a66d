/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stream of messages through two connections on a perfect wire, to have its
 * instructions counted (budget.py). What a driver does is left out: payloads
 * stay where they are, and a packet is the bytes of its header.
 *
 *      send_side()     push, next, encode; decode and apply what came back;
 *                      pop_acked, timers
 *      receive_side()  decode, on_packet, peek, consume, release; the ACKs;
 *                      timers
 *
 *      stream CONTROLLER BURSTS BYTES
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "conn.h"

#define BURST   32
#define STEP_NS 2000 /* a packet in 125 ns, there and back */

struct queue {
	uint8_t bytes[2 * BURST][WIRE_HDR_LEN + 1500];
	uint32_t len[2 * BURST];
	uint32_t count;
};

struct end {
	struct weir_conn *conn;
	struct conn_config config;
	struct queue out;
};

static uint8_t payload[1500];
static uint64_t received;

static inline __attribute__((always_inline)) void
timers(struct end *end, uint64_t now_ns)
{
	if (weir_conn_deadline(end->conn) <= now_ns)
		weir_conn_on_time(end->conn, now_ns);
}

/* The rest of a burst. */
static inline __attribute__((always_inline)) void
transmit_burst(struct end *end, uint64_t now_ns)
{
	struct queue *queue = &end->out;
	uint8_t *dst[CONN_BURST_MAX];
	uint32_t count;
	const struct conn_tx_msg *msg =
		weir_conn_burst(end->conn, now_ns, &count);

	if (count > 2 * BURST - queue->count)
		count = 2 * BURST - queue->count;
	if (count == 0)
		return;
	for (uint32_t i = 0; i < count; i++) {
		dst[i] = queue->bytes[queue->count];
		queue->len[queue->count++] = WIRE_HDR_LEN + msg[i].len;
	}
	weir_conn_burst_take(end->conn, dst, count);
}

static inline __attribute__((always_inline)) void
transmit(struct end *end, uint64_t now_ns)
{
	struct queue *queue = &end->out;
	struct conn_tx_packet out;

	queue->count = 0;
	while (queue->count < 2 * BURST &&
	       weir_conn_next(end->conn, now_ns, &out)) {
		uint8_t *at = queue->bytes[queue->count];

		weir_conn_encode(end->conn, &out, at);
		if (out.type == WIRE_BATCH)
			weir_conn_gather(end->conn, &out, at + out.hdr_len);
		queue->len[queue->count++] = out.hdr_len + out.payload_len;
		if (out.more == CONN_TX_ROW)
			transmit_burst(end, now_ns);
	}
}

static inline __attribute__((always_inline)) void
take(struct end *end, const struct queue *in, uint64_t now_ns)
{
	struct conn_stream_packet packets[2 * BURST];
	struct wire_hdr hdr;

	for (uint32_t i = 0; i < in->count; i++)
		conn_stream_packet(&packets[i], in->bytes[i], in->len[i],
				   payload);
	for (uint32_t i = 0; i < in->count;) {
		i += weir_conn_on_stream(end->conn, &packets[i], in->count - i,
					 now_ns);
		if (i == in->count)
			break;
		if (weir_wire_decode(in->bytes[i], in->len[i], &hdr) != WIRE_OK)
			abort();
		weir_conn_on_packet(end->conn, &hdr, payload, now_ns);
		i++;
	}
}

static inline __attribute__((always_inline)) uint32_t
push(struct end *end, uint32_t count, uint32_t bytes)
{
	uint32_t done = 0;

	while (done < count) {
		uint32_t room, n = count - done;
		struct conn_tx_msg *msgs =
			weir_conn_push_room(end->conn, &room);

		if (n > room)
			n = room;
		for (uint32_t i = 0; i < n; i++) {
			msgs[i].ref = payload;
			msgs[i].payload = payload;
			msgs[i].len = bytes;
		}
		weir_conn_pushed(end->conn, n, (uint64_t)n * bytes);
		done += n;
	}
	return count;
}

static inline __attribute__((always_inline)) void
give_back(struct end *end)
{
	uint32_t count;

	while (weir_conn_acked(end->conn, &count), count != 0)
		weir_conn_pop(end->conn, count);
}

static __attribute__((noinline)) void
send_side(struct end *end, const struct queue *in, uint32_t bytes,
	  uint64_t now_ns)
{
	static uint64_t pushed;
	uint64_t credit;

	take(end, in, now_ns);
	timers(end, now_ns);
	credit = weir_conn_tx_credit(end->conn) - pushed;
	pushed += push(end, credit < BURST ? (uint32_t)credit : BURST, bytes);
	transmit(end, now_ns);
	give_back(end);
}

static __attribute__((noinline)) void
receive_side(struct end *end, const struct queue *in, uint64_t now_ns)
{
	const struct conn_rx_packet *packet;
	uint32_t packets = 0, msgs = 0, count;

	take(end, in, now_ns);
	timers(end, now_ns);
	while ((packet = weir_conn_rx_peek_burst(end->conn, &count)) != NULL) {
		for (uint32_t i = 0; i < count; i++)
			msgs += packet[i].flags & CONN_RX_BATCH
					? packet[i].msg_len
					: 1;
		packets += count;
		weir_conn_rx_consume(end->conn, count);
	}
	weir_conn_rx_release(end->conn, packets, msgs);
	received += msgs;
	transmit(end, now_ns);
}

static struct end *
end_make(uint64_t token, enum cc_kind cc, bool batches)
{
	struct end *end = calloc(1, sizeof(*end));
	struct conn_config *config = &end->config;

	weir_conn_config_init(config);
	config->token = token;
	config->instance = token;
	config->isn = (uint32_t)token;
	config->cc = cc;
	config->features_offer = WIRE_FEATURE_ECN;
	if (batches)
		config->features_offer |= WIRE_FEATURE_BATCH;
	config->frag_size = 1400;
	config->rx_window_packets = 512;
	config->rx_credit_msgs = 512;
	config->tx_window_packets = 256;
	config->tx_msgs = 512;
	end->conn = weir_conn_init(
		aligned_alloc(CONN_ALIGN,
			      (weir_conn_size(config) + 63) & ~(size_t)63),
		config);
	return end;
}

static void
handshake(struct end *client, struct end *server, uint64_t now_ns)
{
	struct conn_init init;
	enum wire_error reason;
	struct wire_hdr hdr;

	weir_conn_connect(client->conn, now_ns);
	transmit(client, now_ns);
	if (weir_wire_decode(client->out.bytes[0], client->out.len[0], &hdr) !=
		    WIRE_OK ||
	    weir_conn_check_init(&server->config, &hdr, &init, &reason) != 0)
		abort();
	init.validated = true;
	weir_conn_accept(server->conn, &init, now_ns);
	transmit(server, now_ns);
	take(client, &server->out, now_ns);
	server->out.count = 0;
}

int
main(int argc, char **argv)
{
	enum cc_kind cc = CC_FIXED;
	uint64_t now_ns = 1000000000;
	uint32_t bursts, bytes;
	struct end *a, *b;
	struct conn_stats stats;

	if (argc != 4)
		return 2;
	while (strcmp(argv[1], weir_cc_name(cc)) != 0)
		if (++cc == CC_KINDS)
			return 2;
	bursts = (uint32_t)strtoul(argv[2], NULL, 10);
	bytes = (uint32_t)strtoul(argv[3], NULL, 10);
	a = end_make(0x10001, cc, bytes < 256);
	b = end_make(0x20002, CC_FIXED, bytes < 256);
	handshake(a, b, now_ns);
	for (uint32_t i = 0; i < bursts; i++) {
		now_ns += STEP_NS;
		send_side(a, &b->out, bytes, now_ns);
		now_ns += STEP_NS;
		receive_side(b, &a->out, now_ns);
	}
	weir_conn_stats(a->conn, &stats);
	printf("%llu messages %llu packets\n", (unsigned long long)received,
	       (unsigned long long)stats.tx_data);
	return stats.tx_retx != 0 || stats.tx_data == 0 ||
	       stats.cwnd_full + stats.window_full > bursts / 10;
}
