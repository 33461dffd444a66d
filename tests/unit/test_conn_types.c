/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every state of a connection against every type of packet: docs/wire.md,
 * section 10. What is not in the table below must be dropped, counted, and
 * change nothing else.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "conn_impl.h"
#include "conn_pair.h"

enum phase {
	INIT_SENT,
	ACCEPT_SENT,
	OPEN,
	LINGERING,
	FAILED,
	OVER,
	PHASES
};

static const char *const phase_names[PHASES] = {
	"INIT_SENT", "ACCEPT_SENT", "OPEN", "lingering", "FAILED", "over",
};

/* What shows afterwards: the status, and the type of what is sent at once. */
static const struct expect {
	enum phase phase;
	uint8_t type;
	int status;
	uint8_t sent;
} table[] = {
	{ INIT_SENT, WIRE_RETRY, -EINPROGRESS, WIRE_INIT },
	{ INIT_SENT, WIRE_ACCEPT, 0, WIRE_ACK },
	{ INIT_SENT, WIRE_REJECT, -EINPROGRESS, 0 },
	{ ACCEPT_SENT, WIRE_INIT, -EINPROGRESS, WIRE_ACCEPT },
	{ ACCEPT_SENT, WIRE_ACCEPT, 0, WIRE_ACK },
	{ ACCEPT_SENT, WIRE_DATA, 0, 0 },
	{ ACCEPT_SENT, WIRE_BATCH, 0, 0 },
	{ ACCEPT_SENT, WIRE_ACK, 0, 0 },
	{ ACCEPT_SENT, WIRE_PING, 0, WIRE_ACK },
	{ ACCEPT_SENT, WIRE_FIN, 0, WIRE_ACK },
	{ ACCEPT_SENT, WIRE_RESET, -ECONNRESET, 0 },
	{ OPEN, WIRE_ACCEPT, 0, WIRE_ACK },
	{ OPEN, WIRE_DATA, 0, 0 },
	{ OPEN, WIRE_BATCH, 0, 0 },
	{ OPEN, WIRE_ACK, 0, 0 },
	{ OPEN, WIRE_PING, 0, WIRE_ACK },
	{ OPEN, WIRE_FIN, 0, WIRE_ACK },
	{ OPEN, WIRE_RESET, -ECONNRESET, 0 },
	/* What has been received before, again. */
	{ LINGERING, WIRE_ACCEPT, CONN_CLOSED, WIRE_ACK },
	{ LINGERING, WIRE_DATA, CONN_CLOSED, WIRE_ACK },
	{ LINGERING, WIRE_BATCH, CONN_CLOSED, WIRE_ACK },
	{ LINGERING, WIRE_ACK, CONN_CLOSED, 0 },
	{ LINGERING, WIRE_PING, CONN_CLOSED, WIRE_ACK },
	{ LINGERING, WIRE_FIN, CONN_CLOSED, WIRE_ACK },
	{ LINGERING, WIRE_RESET, CONN_CLOSED, 0 },
	{ FAILED, WIRE_RETRY, -ECONNABORTED, WIRE_RESET },
	{ FAILED, WIRE_ACCEPT, -ECONNABORTED, WIRE_RESET },
	{ FAILED, WIRE_REJECT, -ECONNABORTED, WIRE_RESET },
	{ FAILED, WIRE_DATA, -ECONNABORTED, WIRE_RESET },
	{ FAILED, WIRE_ACK, -ECONNABORTED, WIRE_RESET },
	{ FAILED, WIRE_PING, -ECONNABORTED, WIRE_RESET },
	{ FAILED, WIRE_FIN, -ECONNABORTED, WIRE_RESET },
	{ FAILED, WIRE_GONE, -ECONNABORTED, WIRE_RESET },
	{ FAILED, WIRE_BATCH, -ECONNABORTED, WIRE_RESET },
};

static const struct expect *
find(enum phase phase, uint8_t type)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].phase == phase && table[i].type == type)
			return &table[i];
	return NULL;
}

/* @return the end that is in that phase now. */
static struct end *
enter(struct pair *pair, enum phase phase)
{
	struct end *end = phase == INIT_SENT ? &pair->a : &pair->b;

	pair_init(pair);
	pair->a.config.features_offer = WIRE_FEATURE_BATCH;
	pair->b.config.features_offer = WIRE_FEATURE_BATCH;
	pair_make(pair);
	pair_flush(pair, &pair->a);
	if (phase == INIT_SENT)
		return end;
	pair_deliver(pair, &pair->a, &pair->b);
	pair_flush(pair, &pair->b);
	if (phase == ACCEPT_SENT)
		return end;
	pair_run(pair, MS);
	assert_int_equal(weir_conn_status(pair->b.conn), 0);
	if (phase == LINGERING) {
		pair_push(&pair->a, "abc", 3);
		pair_run(pair, MS);
		pair_read(&pair->b);
		weir_conn_close_tx(pair->a.conn);
		weir_conn_close_tx(pair->b.conn);
		pair_run(pair, MS);
		assert_true(pair->b.conn->lingering);
	}
	if (phase >= FAILED) {
		weir_conn_abort(end->conn, WIRE_E_ABORT, pair->now);
		pair_flush(pair, end);
	}
	if (phase == OVER) {
		pair_wait(pair, S);
		assert_true(weir_conn_finished(end->conn));
	}
	return end;
}

static uint32_t
put_hello(const struct end *peer, uint8_t *at)
{
	const struct wire_params p = {
		.token = peer->config.token,
		.instance = peer->config.instance,
		.epoch = peer->config.epoch,
		.isn = peer->config.isn,
		.frag_size = 100,
		.window_packets = 64,
		.credit_msgs = 16,
		.msg_size_max = 1000,
		.modes = WIRE_MODE_BARE,
		.version_min = 1,
		.version_max = 1,
	};

	return weir_wire_put_params(&p, at);
}

/* @return bytes of extensions of that type. */
static uint32_t
put_exts(const struct end *peer, uint8_t type, uint8_t *at)
{
	const struct wire_error_info busy = { .code = WIRE_E_BUSY };

	switch (type) {
	case WIRE_INIT:
	case WIRE_ACCEPT:
		return put_hello(peer, at);
	case WIRE_RETRY:
		memset(at, 0, 16);
		at[0] = WIRE_EXT_COOKIE;
		at[1] = 2;
		return 16;
	case WIRE_REJECT:
	case WIRE_RESET:
		return weir_wire_put_error(&busy, at);
	default:
		return 0;
	}
}

/* @return bytes behind the extensions. */
static uint32_t
put_body(uint8_t type, uint32_t hdr_len, uint8_t *at)
{
	/* Two messages of 3 bytes. */
	static const uint8_t records[8 + 8 + 3] = { 3, 0, 3 };

	switch (type) {
	case WIRE_DATA:
		memcpy(at, "abc", 3);
		return 3;
	case WIRE_BATCH:
		memcpy(at, records, sizeof(records));
		return sizeof(records);
	case WIRE_INIT:
		memset(at, 0, WIRE_INIT_LEN - hdr_len);
		return WIRE_INIT_LEN - hdr_len;
	default:
		return 0;
	}
}

/* As good a packet of that type as its peer could send now. */
static uint32_t
make_packet(const struct pair *pair, const struct end *end, uint8_t type,
	    uint8_t *bytes)
{
	const struct weir_conn *conn = end->conn;
	const struct end *peer = end == &pair->a ? &pair->b : &pair->a;
	bool stateless = type <= WIRE_RETRY || type == WIRE_REJECT ||
			 type == WIRE_GONE;
	uint32_t len =
		WIRE_HDR_LEN + put_exts(peer, type, bytes + WIRE_HDR_LEN);
	struct wire_hdr hdr = {
		.vt = (uint8_t)(WIRE_VERSION_MAX << 4 | type),
		.flags = stateless ? 0 : WIRE_F_ACKV,
		.hlen = (uint8_t)(len / 8),
		.seq = peer->config.isn,
		.token = type == WIRE_INIT ? 0 : end->config.token,
		.ack = type <= WIRE_REJECT ? end->config.isn
					   : (uint32_t)conn->tx.una,
		.window = (uint32_t)conn->tx.limit + 1,
		.credit = (uint16_t)(conn->peer_credit + 1),
		.ts = (uint32_t)(pair->now >> WIRE_TIME_SHIFT),
	};

	if (type == WIRE_DATA || type == WIRE_BATCH) {
		hdr.flags |= WIRE_F_FIRST | WIRE_F_LAST;
		hdr.mlo = type == WIRE_DATA ? 3 : 2;
	}
	if (type == WIRE_FIN && conn->lingering)
		hdr.seq = (uint32_t)conn->rx.fin_seq;
	weir_wire_encode(&hdr, bytes);
	return len + put_body(type, len, bytes + len);
}

static uint64_t
drops(const struct conn_stats *stats)
{
	uint64_t sum = 0;

	for (int i = 0; i < CONN_DROPS; i++)
		sum += stats->drops[i];
	return sum;
}

/* All that a connection knows, but for counters and the clock. */
static struct weir_conn
known(const struct weir_conn *conn)
{
	struct weir_conn copy = *conn;

	memset(&copy.stats, 0, sizeof(copy.stats));
	copy.now_ns = 0;
	return copy;
}

static void
check(struct pair *pair, struct end *end, enum phase phase, uint8_t type)
{
	const struct expect *want = find(phase, type);
	int before = weir_conn_status(end->conn);
	struct weir_conn was = known(end->conn), is;
	struct conn_stats stats = pair_stats(end);
	uint32_t sent = end->sent;
	uint8_t bytes[512];
	struct wire_hdr hdr;
	uint8_t answer = 0;
	uint32_t len = make_packet(pair, end, type, bytes);

	assert_int_equal(weir_wire_decode(bytes, len, &hdr), WIRE_OK);
	end->kept +=
		(uint32_t)weir_conn_on_packet(end->conn, &hdr, end, pair->now);
	is = known(end->conn);
	if (want == NULL && memcmp(&was, &is, sizeof(was)) != 0)
		fail_msg("%s, %s: something changed", phase_names[phase],
			 weir_wire_type_name(type));
	if (pair_flush(pair, end) != 0)
		answer = end->wire[sent].bytes[0] & 15;
	if (weir_conn_status(end->conn) != (want ? want->status : before) ||
	    answer != (want ? want->sent : 0))
		fail_msg("%s, %s: status %d, sent %s", phase_names[phase],
			 weir_wire_type_name(type), weir_conn_status(end->conn),
			 weir_wire_type_name(answer));
	if (want == NULL) {
		uint64_t counted = drops(&stats);

		stats = pair_stats(end);
		assert_int_equal(drops(&stats), counted + 1);
	}
}

static void
every_state_takes_every_type_as_documented(void **state)
{
	(void)state;
	for (int phase = 0; phase < PHASES; phase++) {
		for (uint8_t type = 1; type < WIRE_TYPES; type++) {
			struct pair pair;
			struct end *end;

			/* Reserved: they do not get through the decoder. */
			if (type == WIRE_PROBE || type == WIRE_KEYUP)
				continue;
			end = enter(&pair, (enum phase)phase);
			check(&pair, end, (enum phase)phase, type);
			pair_free(&pair);
		}
	}
}

/* The same, from a stranger who does not know the token. */
static void
without_the_token_no_type_does_anything(void **state)
{
	(void)state;
	for (int phase = 0; phase < PHASES; phase++) {
		for (uint8_t type = 2; type < WIRE_TYPES; type++) {
			struct weir_conn was, is;
			uint8_t bytes[512];
			struct wire_hdr hdr;
			struct pair pair;
			struct end *end;
			uint32_t len;

			if (type == WIRE_PROBE || type == WIRE_KEYUP)
				continue;
			end = enter(&pair, (enum phase)phase);
			len = make_packet(&pair, end, type, bytes);
			bytes[12] ^= 0x10;
			assert_int_equal(weir_wire_decode(bytes, len, &hdr),
					 WIRE_OK);
			was = known(end->conn);
			assert_int_equal(weir_conn_on_packet(end->conn, &hdr,
							     end, pair.now),
					 0);
			is = known(end->conn);
			assert_memory_equal(&was, &is, sizeof(was));
			assert_int_equal(pair_stats(end).drops[CONN_DROP_TOKEN],
					 1);
			pair_free(&pair);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_takes_every_type_as_documented),
		cmocka_unit_test(without_the_token_no_type_does_anything),
	};

	return cmocka_run_group_tests_name("conn_types", tests, NULL, NULL);
}
