/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Set-up: a client, a listener that may ask for cookies, and everybody else.
 *
 *     sizes 3 + 3, policy 1 | (operation, its arguments) ...
 *
 *     client --INIT--> [ change, repeat, other address ] --> listener
 *            <-- RETRY, REJECT, ACCEPT [ change, repeat ] --
 *
 * Holds: a cookie that the listener did not make for this very sender and
 * INIT within its life is never good; to an address that has not shown a
 * cookie goes never more than came from it, in packets and bytes; the client
 * obeys no more than three RETRYs and only believes who knows its token and
 * number; nothing that is damaged creates more state than its INIT asks for.
 */
#include <string.h>
#include "listen.h"
#include "side.h"

#define SEEN_MAX   32
#define ISSUED_MAX 32
#define ADDRS      4
#define NOW_S      ((uint32_t)(now_ns / S))

enum {
	POLICY_COOKIES = 1,
	POLICY_MODE = 2,    /* a mode that nobody offers */
	POLICY_REQUIRE = 4, /* CRC32C */
};

struct issued {
	struct wire_params params;
	uint32_t from;
	uint32_t at_s;
};

static struct side client, server;
static struct conn_config policy;
static struct listen listener;
static uint8_t cookie; /* enum listen_cookie */
static uint64_t now_ns;
static uint32_t server_from; /* the address that the server belongs to */

/* Packets that were on the wire, to be repeated. */
static struct buf *seen[SEEN_MAX];
static uint32_t seen_count;

static struct issued issued[ISSUED_MAX];
static uint32_t issued_count;

/* What went each way, per address that has not shown a cookie. */
static struct {
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint32_t packets_in;
	uint32_t packets_out;
	bool validated;
} traffic[ADDRS];

static void
see(struct buf *buf)
{
	if (seen_count == SEEN_MAX)
		buf_free(buf);
	else
		seen[seen_count++] = buf;
}

static struct siphash_key
key(uint64_t number)
{
	struct siphash_key key;

	memset(&key, 0, sizeof(key));
	memcpy(&key, &number, sizeof(number));
	return key;
}

/* --- the listener ----------------------------------------------------- */

static bool
same_hello(const struct wire_params *a, const struct wire_params *b)
{
	return a->token == b->token && a->isn == b->isn &&
	       a->features == b->features && a->instance == b->instance &&
	       a->epoch == b->epoch && a->version_min == b->version_min &&
	       a->version_max == b->version_max && a->modes == b->modes;
}

/* A good cookie is one that was given to this sender, not long ago. */
static void
check_good(const struct conn_init *init, uint32_t from)
{
	for (uint32_t i = 0; i < issued_count; i++)
		if (issued[i].from == from &&
		    same_hello(&issued[i].params, &init->params) &&
		    NOW_S - issued[i].at_s <= COOKIE_LIFE_S + 1)
			return;
	fuzz_fail(__FILE__, __LINE__, "a good cookie was issued");
}

static void
answer(const struct listen_visit *visit, uint32_t from)
{
	struct buf *buf;

	FUZZ_CHECK(visit->answer_len < visit->len);
	if ((visit->answer[0] & 15) == WIRE_RETRY) {
		if (issued_count == ISSUED_MAX)
			return;
		issued[issued_count++] =
			(struct issued){ visit->init.params, from, NOW_S };
	}
	buf = buf_new();
	buf->len = visit->answer_len;
	memcpy(buf->bytes, visit->answer, buf->len);
	if (buf->bytes[1] & WIRE_F_TRAILER)
		buf_seal(buf);
	weir_listen_sent(&listener, visit);
	traffic[from].bytes_out += buf->len;
	traffic[from].packets_out++;
	see(buf);
}

static enum listen_verdict
on_good_init(const struct listen_door *door, struct listen_visit *visit,
	     uint32_t from)
{
	struct weir_conn *conn = from == server_from ? server.conn : NULL;
	const struct conn_init *init = &visit->init;
	struct listen_known known = { 0 };
	enum listen_verdict verdict;

	FUZZ_CHECK(!init->validated);
	known.same = conn != NULL && weir_conn_is_same_init(conn, init);
	known.former = conn != NULL && listen_is_former(conn, init);
	verdict = weir_listen_judge(&listener, door, visit, &known);
	if (verdict == LISTEN_AGAIN)
		FUZZ_CHECK(weir_conn_on_packet(conn, visit->hdr, NULL,
					       now_ns) == 0);
	if (init->validated) {
		check_good(init, from);
		traffic[from].validated = true;
	}
	if (verdict != LISTEN_ACCEPT)
		return verdict;
	FUZZ_CHECK(init->validated ||
		   (!weir_listen_asks(door) && !known.former));
	if (server.conn != NULL)
		return weir_listen_no_memory(&listener, visit);
	server_from = from;
	side_make(&server);
	weir_conn_accept(server.conn, init, now_ns);
	return verdict;
}

static void
on_init(const struct wire_hdr *hdr, uint32_t len, uint32_t from)
{
	uint8_t addr[36] = { (uint8_t)from };
	struct listen_door door = { .policy = &policy,
				    .open = true,
				    .cookie = cookie };
	struct listen_visit visit = { .hdr = hdr,
				      .len = len,
				      .addr = addr,
				      .addr_len = sizeof(addr),
				      .now_ns = now_ns };
	enum listen_verdict verdict =
		weir_listen_read(&listener, &door, &visit);

	if (verdict == LISTEN_LOOK)
		verdict = on_good_init(&door, &visit, from);
	if (verdict == LISTEN_ANSWER)
		answer(&visit, from);
}

static void
on_unknown(const struct wire_hdr *hdr, uint32_t len, uint32_t from)
{
	struct listen_visit visit = { .hdr = hdr,
				      .len = len,
				      .now_ns = now_ns };

	if (weir_listen_unknown(&listener, &visit) == LISTEN_ANSWER)
		answer(&visit, from);
}

static void
to_listener(struct buf *buf, uint32_t from)
{
	bool kept = false;
	struct wire_hdr hdr;

	traffic[from].bytes_in += buf->len;
	if (!buf_decode(buf, &hdr)) {
		;
	} else if (wire_hdr_type(&hdr) == WIRE_INIT) {
		traffic[from].packets_in++;
		on_init(&hdr, buf->len, from);
	} else if (server.conn != NULL && hdr.token == server.config.token) {
		/* Whoever knows the token has seen what went there. */
		traffic[server_from].validated = true;
		side_take(&server, buf, now_ns);
		kept = true;
	} else {
		traffic[from].packets_in++;
		on_unknown(&hdr, buf->len, from);
	}
	if (!kept)
		buf_free(buf);
}

static void
server_sends(void)
{
	struct buf *buf;

	if (server.conn == NULL)
		return;
	side_time(&server, now_ns);
	while ((buf = side_next(&server, now_ns)) != NULL) {
		traffic[server_from].bytes_out += buf->len;
		traffic[server_from].packets_out++;
		see(buf);
	}
	side_take_back(&server);
}

/* --- the client ------------------------------------------------------- */

static void
client_sends(void)
{
	struct buf *buf;

	side_time(&client, now_ns);
	while ((buf = side_next(&client, now_ns)) != NULL)
		see(buf);
	side_take_back(&client);
}

static void
to_client(struct buf *buf)
{
	bool was_open = client.conn->state != CONN_INIT_SENT;
	uint64_t token = server.conn != NULL ? server.config.token : 0;

	side_take(&client, buf, now_ns);
	FUZZ_CHECK(client.conn->retries <= CONN_RETRIES);
	/* With the token that the listener knows, or that was made up. */
	if (!was_open && client.conn->state == CONN_OPEN)
		FUZZ_CHECK(token != 0 || client.conn->peer_token != 0);
}

/* --- operations ------------------------------------------------------- */

static struct buf *
again(struct fuzz_in *in, bool change)
{
	const struct buf *buf = seen[fuzz_u8(in) % seen_count];
	struct buf *twin = buf_new();

	twin->len = buf->len;
	memcpy(twin->bytes, buf->bytes, buf->len);
	if (change) {
		uint8_t count = 1 + fuzz_u8(in) % 4;

		while (count-- > 0) {
			uint32_t at = fuzz_u16(in) % twin->len;

			twin->bytes[at] = fuzz_u8(in);
		}
		/* The trailer is made right again: a liar, no accident. */
		if ((twin->bytes[1] & WIRE_F_TRAILER) &&
		    twin->len > WIRE_HDR_LEN + WIRE_TRAILER_LEN) {
			twin->len -= WIRE_TRAILER_LEN;
			buf_seal(twin);
		}
	}
	return twin;
}

static void
check(void)
{
	for (int i = 0; i < ADDRS; i++) {
		if (traffic[i].validated)
			continue;
		FUZZ_CHECK(traffic[i].bytes_out <= traffic[i].bytes_in);
		FUZZ_CHECK(traffic[i].packets_out <= traffic[i].packets_in);
	}
	side_check(&client);
	if (server.conn != NULL)
		side_check(&server);
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in);

	switch (op & 7) {
	case 0:
		client_sends();
		break;
	case 1:
		server_sends();
		break;
	case 2:
	case 3:
		if (seen_count != 0)
			to_listener(again(in, op & 1), op >> 3 & 3);
		break;
	case 4:
	case 5:
		if (seen_count != 0)
			to_client(again(in, op & 1));
		break;
	case 6:
		now_ns += (uint64_t)(op >> 3) * (op & 128 ? 300 * MS : MS);
		break;
	default:
		if (op >> 3 == 0)
			weir_cookie_rotate(&listener.keys, key(now_ns));
		else if (seen_count > 8)
			buf_free(seen[--seen_count]);
		break;
	}
}

static void
start(struct fuzz_in *in)
{
	uint8_t bits;

	now_ns = 1000 * S;
	seen_count = 0;
	issued_count = 0;
	memset(traffic, 0, sizeof(traffic));
	memset(&listener, 0, sizeof(listener));
	weir_cookie_rotate(&listener.keys, key(1));
	side_config(&client, in, 1);
	side_config(&server, in, 2);
	bits = fuzz_u8(in);
	cookie = bits & POLICY_COOKIES ? LISTEN_COOKIE_ALWAYS
				       : LISTEN_COOKIE_OFF;
	policy = server.config;
	if (bits & POLICY_MODE)
		policy.modes = WIRE_MODE_STABLE;
	if (bits & POLICY_REQUIRE)
		policy.features_require = WIRE_FEATURE_CRC32C;
	client.config.connect_timeout_ns = 20 * S;
	side_make(&client);
	weir_conn_connect(client.conn, now_ns);
	client_sends();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };

	if (size > 1024)
		return 0;
	start(&in);
	while (fuzz_left(&in) > 0) {
		step(&in);
		check();
	}
	side_fini(&client);
	side_fini(&server);
	while (seen_count > 0)
		buf_free(seen[--seen_count]);
	FUZZ_CHECK(buf_count() == 0);
	return 0;
}
