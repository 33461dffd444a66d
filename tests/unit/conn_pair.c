/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two connections on a table.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "conn_pair.h"
#include "crc32c.h"

/* Where all packets seem to come from and go to. */
static const uint8_t addr[12] = { 10, 0, 0, 1, 10, 0, 0, 2, 1, 2, 3, 4 };

uint32_t
pair_seal(uint8_t *packet, uint32_t len)
{
	if (!(packet[1] & WIRE_F_TRAILER))
		return len;
	wire_put_trailer(packet + len,
			 crc32c_trailer(addr, sizeof(addr), packet, len));
	return len + WIRE_TRAILER_LEN;
}

static void
end_config(struct end *end, uint32_t index)
{
	weir_conn_config_init(&end->config);
	end->config.token = UINT64_C(0xabcdef000000) << 16 | index;
	end->config.isn = 0xfffffffe + index;
	end->config.instance = index;
	end->config.epoch = 1;
	end->config.features_offer = 0;
	end->config.frag_size = 100;
	end->config.rx_window_packets = 64;
	end->config.rx_credit_msgs = 16;
	end->config.tx_window_packets = 64;
	end->config.tx_msgs = 16;
}

static void
end_make(struct end *end)
{
	assert_int_equal(weir_conn_config_check(&end->config), 0);
	end->mem = aligned_alloc(CONN_ALIGN,
				 (weir_conn_size(&end->config) + 63) & ~63ul);
	end->conn = weir_conn_init(end->mem, &end->config);
	end->wire = calloc(PAIR_WIRE, sizeof(*end->wire));
}

void
pair_init(struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->now = 1000 * S;
	end_config(&pair->a, 1);
	end_config(&pair->b, 2);
}

void
pair_make(struct pair *pair)
{
	end_make(&pair->a);
	end_make(&pair->b);
	weir_conn_connect(pair->a.conn, pair->now);
}

static void
take_back(struct end *end)
{
	while (weir_conn_pop_dropped_rx(end->conn) != NULL)
		end->freed++;
	while (weir_conn_pop_acked(end->conn) != NULL)
		;
}

static void
end_free(struct end *end)
{
	if (end->conn == NULL)
		return;
	weir_conn_discard(end->conn);
	take_back(end);
	assert_true(weir_conn_finished(end->conn));
	assert_int_equal(end->kept, end->freed);
	free(end->mem);
	free(end->wire);
}

void
pair_free(struct pair *pair)
{
	end_free(&pair->a);
	end_free(&pair->b);
}

void
pair_open(struct pair *pair)
{
	pair_make(pair);
	pair_run(pair, 0);
	assert_int_equal(weir_conn_status(pair->a.conn), 0);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
}

static void
end_timers(struct pair *pair, struct end *end)
{
	if (weir_conn_deadline(end->conn) <= pair->now)
		weir_conn_on_time(end->conn, pair->now);
}

void
pair_wait(struct pair *pair, uint64_t ns)
{
	uint64_t end = pair->now + ns;

	for (;;) {
		uint64_t a = weir_conn_deadline(pair->a.conn);
		uint64_t b = weir_conn_deadline(pair->b.conn);
		uint64_t next = a < b ? a : b;

		if (next > end)
			break;
		if (next > pair->now)
			pair->now = next;
		end_timers(pair, &pair->a);
		end_timers(pair, &pair->b);
	}
	pair->now = end;
}

/* What may leave together. @return how many packets. */
static uint32_t
flush_burst(const struct pair *pair, struct end *end)
{
	uint8_t *dst[CONN_BURST_MAX];
	uint32_t count;
	const struct conn_tx_msg *msg =
		weir_conn_burst(end->conn, pair->now, &count);
	bool ect;

	if (count == 0)
		return 0;
	assert_true(end->sent + count <= PAIR_WIRE);
	for (uint32_t i = 0; i < count; i++) {
		struct wire_packet *packet = &end->wire[end->sent + i];

		dst[i] = packet->bytes;
		packet->len = WIRE_HDR_LEN + msg[i].len;
		memcpy(packet->bytes + WIRE_HDR_LEN, msg[i].payload,
		       msg[i].len);
	}
	ect = weir_conn_burst_take(end->conn, dst, count);
	for (uint32_t i = 0; i < count; i++)
		end->wire[end->sent++].ect = ect;
	return count;
}

uint32_t
pair_flush(struct pair *pair, struct end *end)
{
	struct conn_tx_packet out;
	uint32_t count = 0;

	while (weir_conn_next(end->conn, pair->now, &out)) {
		struct wire_packet *packet = &end->wire[end->sent];

		assert_true(end->sent < PAIR_WIRE);
		weir_conn_encode(end->conn, &out, packet->bytes);
		if (out.type == WIRE_BATCH)
			weir_conn_gather(end->conn, &out,
					 packet->bytes + out.hdr_len);
		else if (out.payload_len != 0)
			memcpy(packet->bytes + out.hdr_len, out.payload,
			       out.payload_len);
		packet->len =
			pair_seal(packet->bytes, out.hdr_len + out.payload_len);
		packet->ect = out.ect;
		end->sent++;
		count++;
		if (end->bursts && out.more == CONN_TX_ROW)
			count += flush_burst(pair, end);
	}
	return count;
}

/* What a listener does with a first packet. */
static void
accept_init(struct pair *pair, const struct wire_hdr *hdr, struct end *to)
{
	struct conn_init init;
	enum wire_error reason;

	assert_int_equal(weir_conn_check_init(&to->config, hdr, &init, &reason),
			 0);
	init.validated = !pair->unvalidated;
	weir_conn_accept(to->conn, &init, pair->now);
}

int
pair_hand(struct pair *pair, struct end *from, uint32_t n, struct end *to)
{
	const struct wire_packet *packet = &from->wire[n];
	struct wire_hdr hdr;
	int kept;

	assert_int_equal(weir_wire_decode(packet->bytes, packet->len, &hdr),
			 WIRE_OK);
	if (hdr.flags & WIRE_F_TRAILER)
		assert_true(wire_trailer_is(
			packet->bytes, packet->len,
			crc32c_trailer(addr, sizeof(addr), packet->bytes,
				       packet->len - WIRE_TRAILER_LEN)));
	if (wire_hdr_type(&hdr) == WIRE_INIT &&
	    weir_conn_peer(to->conn) == NULL) {
		accept_init(pair, &hdr, to);
		return 0;
	}
	hdr.marked = packet->mark;
	kept = weir_conn_on_packet(to->conn, &hdr, (void *)(uintptr_t)(n + 1),
				   pair->now);
	to->kept += (uint32_t)kept;
	return kept;
}

void
pair_deliver(struct pair *pair, struct end *from, struct end *to)
{
	pair->now += 5 * US;
	while (from->delivered < from->sent) {
		uint32_t n = from->delivered++;

		if (!from->wire[n].drop)
			pair_hand(pair, from, n, to);
	}
}

void
pair_run(struct pair *pair, uint64_t ns)
{
	uint64_t end = pair->now + ns;
	uint32_t moved;

	do {
		uint64_t a, b, next;

		end_timers(pair, &pair->a);
		end_timers(pair, &pair->b);
		moved = pair_flush(pair, &pair->a);
		pair_deliver(pair, &pair->a, &pair->b);
		moved += pair_flush(pair, &pair->b);
		pair_deliver(pair, &pair->b, &pair->a);
		a = weir_conn_deadline(pair->a.conn);
		b = weir_conn_deadline(pair->b.conn);
		next = a < b ? a : b;
		if (moved == 0 && next <= end) {
			pair->now = next > pair->now ? next : pair->now;
			moved = 1;
		}
	} while (moved != 0 && (pair->now < end || ns == 0));
}

struct wire_hdr
pair_last(const struct end *end)
{
	struct wire_hdr hdr;

	assert_true(end->sent > 0);
	assert_int_equal(weir_wire_decode(end->wire[end->sent - 1].bytes,
					  end->wire[end->sent - 1].len, &hdr),
			 WIRE_OK);
	return hdr;
}

uint32_t
pair_count(const struct end *end, enum wire_type type)
{
	uint32_t count = 0;

	for (uint32_t n = 0; n < end->sent; n++)
		count += (end->wire[n].bytes[0] & 15) == (int)type;
	return count;
}

uintptr_t
pair_push(struct end *end, const void *bytes, uint32_t len)
{
	struct conn_gauge gauge;

	weir_conn_gauge(end->conn, &gauge);
	assert_true(gauge.tx_pushed < weir_conn_tx_credit(end->conn));
	weir_conn_push(end->conn, (void *)(uintptr_t)(gauge.tx_pushed + 1),
		       bytes, len);
	return (uintptr_t)gauge.tx_pushed + 1;
}

uint32_t
pair_read(struct end *end)
{
	const struct conn_rx_packet *packet;
	uint32_t msgs = 0;

	while ((packet = weir_conn_rx_peek(end->conn)) != NULL) {
		uint32_t last = packet->flags & CONN_RX_BATCH
					? packet->msg_len
					: (packet->flags & CONN_RX_LAST) != 0;

		weir_conn_rx_consume(end->conn, 1);
		weir_conn_rx_release(end->conn, 1, last);
		end->freed++;
		msgs += last;
	}
	return msgs;
}

struct conn_stats
pair_stats(const struct end *end)
{
	struct conn_stats stats;

	weir_conn_stats(end->conn, &stats);
	return stats;
}
