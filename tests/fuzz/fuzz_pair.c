/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two connections, and a network that does what the input says:
 *
 *     sizes 3 + 3 | (operation, its arguments) ...
 *
 *     A ==[ each packet: pass, lose, repeat, hold back, damage ]== B
 *
 * When the input is used up the network is healed, and everything must come
 * to its end: each message arrives once, in order, with its bytes. A damaged
 * packet is one that a checksum would find; where there is a trailer it is left
 * to that, else the packet is lost.
 */
#include <errno.h>
#include <string.h>
#include "side.h"

#define HEAL_STEPS 4000
#define HEAL_NS    (60 * S)
#define WIRE_MAX   128

/* The wire of one direction: in order but for what operations do to it. */
struct wire {
	struct buf *bufs[WIRE_MAX];
	uint32_t count;
};

static struct side sides[2];
static struct wire wires[2]; /* from side i */
static uint64_t now_ns;
static bool rough; /* somebody ended by error or without reading */

/* --- the wire --------------------------------------------------------- */

static void
wire_put(struct wire *wire, struct buf *buf)
{
	if (wire->count == WIRE_MAX)
		buf_free(buf);
	else
		wire->bufs[wire->count++] = buf;
}

static struct buf *
wire_take(struct wire *wire, uint32_t at)
{
	struct buf *buf = wire->bufs[at];

	wire->count--;
	memmove(wire->bufs + at, wire->bufs + at + 1,
		(wire->count - at) * sizeof(wire->bufs[0]));
	return buf;
}

static struct buf *
copy(const struct buf *buf)
{
	struct buf *twin = buf_new();

	twin->len = buf->len;
	twin->ect = buf->ect;
	memcpy(twin->bytes, buf->bytes, buf->len);
	return twin;
}

static void
transmit(int from, uint32_t count)
{
	struct buf *buf;

	if (sides[from].conn == NULL)
		return;
	while (count-- > 0 && (buf = side_next(&sides[from], now_ns)) != NULL)
		wire_put(&wires[from], buf);
	side_take_back(&sides[from]);
}

/* What a listener does; @return true if the packet was for it. */
static bool
listen(struct side *side, const struct buf *buf)
{
	struct conn_init init;
	enum wire_error reason;
	struct wire_hdr hdr;

	if (!buf_decode(buf, &hdr) || wire_hdr_type(&hdr) != WIRE_INIT)
		return side->conn == NULL;
	FUZZ_CHECK(weir_conn_check_init(&side->config, &hdr, &init, &reason) ==
		   0);
	if (side->conn != NULL)
		return !weir_conn_is_same_init(side->conn, &init);
	init.validated = side->config.linger_ns != 0;
	side_make(side);
	weir_conn_accept(side->conn, &init, now_ns);
	return true;
}

static void
arrive(int to, struct buf *buf)
{
	if (to == 1 && listen(&sides[1], buf))
		buf_free(buf);
	else
		side_take(&sides[to], buf, now_ns);
}

/* One bit flips. */
static void
damage(int from, struct buf *buf, uint8_t where)
{
	if (!(buf->bytes[1] & WIRE_F_TRAILER)) {
		buf_free(buf);
		return;
	}
	buf->bytes[where % buf->len] ^= (uint8_t)(1u << (where & 7));
	/* A damaged flag must not hide the trailer from us. */
	if (where % buf->len == 1)
		buf_free(buf);
	else
		arrive(1 - from, buf);
}

/* Fates of packets: each byte says what becomes of the next one. */
static void
op_network(struct fuzz_in *in, int from, uint32_t count)
{
	struct wire *wire = &wires[from];

	while (count-- > 0 && wire->count > 0) {
		uint8_t fate = fuzz_u8(in);
		uint32_t at = (fate >> 3) % wire->count;

		switch (fate & 7) {
		case 0:
			buf_free(wire_take(wire, 0));
			break;
		case 1:
			damage(from, wire_take(wire, 0), fate);
			break;
		case 2: /* repeated, the copy comes later */
			wire_put(wire, copy(wire->bufs[at]));
			break;
		case 3: /* overtakes */
			arrive(1 - from, wire_take(wire, at));
			break;
		case 4: /* meets a queue */
			wire->bufs[0]->marked = wire->bufs[0]->ect;
			arrive(1 - from, wire_take(wire, 0));
			break;
		default:
			arrive(1 - from, wire_take(wire, 0));
			break;
		}
	}
}

static void
deliver_all(int from)
{
	while (wires[from].count > 0)
		arrive(1 - from, wire_take(&wires[from], 0));
}

/* --- both sides ------------------------------------------------------- */

static void
check(void)
{
	for (int i = 0; i < 2; i++)
		if (sides[i].conn != NULL)
			side_check(&sides[i]);
}

static void
pass_time(uint64_t ns)
{
	now_ns += ns;
	for (int i = 0; i < 2; i++)
		if (sides[i].conn != NULL)
			side_time(&sides[i], now_ns);
}

static uint64_t
next_deadline(void)
{
	uint64_t next = CONN_NEVER;

	for (int i = 0; i < 2; i++)
		if (sides[i].conn != NULL &&
		    weir_conn_deadline(sides[i].conn) < next)
			next = weir_conn_deadline(sides[i].conn);
	return next;
}

static void
op_time(struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);
	uint64_t next = next_deadline();

	if (!(how & 128))
		pass_time((uint64_t)(how & 15) << (6 + 2 * (how >> 4)));
	else if (next != CONN_NEVER && next > now_ns)
		pass_time(next - now_ns);
	else
		pass_time(0);
}

static void
op_end(struct side *side, uint8_t how)
{
	/* Mostly in good order: else there would be little left to check. */
	if ((how & 3) != 0 && (how & 4))
		how &= (uint8_t)~3;
	rough |= (how & 3) != 0;
	side_end(side, how, now_ns);
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in);
	int i = op >> 7;
	struct side *side = &sides[i];
	uint8_t arg = op >> 3 & 15;

	if (side->conn == NULL && (op & 7) < 5)
		op = 7;
	switch (op & 7) {
	case 0:
		side_push(side, 1 + (arg & 3), fuzz_u8(in) * (1u + (arg >> 2)));
		break;
	case 1:
		side_read(side, 1 + arg, arg & 1);
		break;
	case 2:
		side_release(side, 1 + arg);
		break;
	case 3:
		op_end(side, arg);
		break;
	case 4:
		transmit(i, 1 + arg);
		break;
	case 5:
		op_network(in, i, 1 + arg);
		break;
	case 6:
		transmit(i, WIRE_MAX);
		deliver_all(i);
		break;
	default:
		op_time(in);
		break;
	}
}

/* --- after the input -------------------------------------------------- */

static bool
is_over(const struct side *side)
{
	return side->conn == NULL || weir_conn_finished(side->conn);
}

static void
heal_side(int i)
{
	struct side *side = &sides[i];

	if (side->conn == NULL)
		return;
	side_release(side, SIDE_HELD);
	side_read(side, UINT32_MAX, false);
	if (!side->closed && weir_conn_status(side->conn) != -EINPROGRESS)
		side_end(side, 0, now_ns);
	transmit(i, WIRE_MAX);
	deliver_all(i);
	side_check(side);
	side_check_quiet(side);
}

/* Run until both are finished; they must be, in bounded time. */
static void
heal(void)
{
	uint64_t end_ns = now_ns + HEAL_NS;

	for (int i = 0; i < HEAL_STEPS; i++) {
		uint64_t next;

		pass_time(0);
		heal_side(0);
		heal_side(1);
		if (is_over(&sides[0]) && is_over(&sides[1]))
			return;
		next = next_deadline();
		/* No deadline: one more round to take back what is left. */
		if (wires[0].count + wires[1].count > 0 || next <= now_ns ||
		    next == CONN_NEVER)
			next = now_ns + 5 * US;
		FUZZ_CHECK(next < end_ns);
		pass_time(next - now_ns);
	}
	fuzz_fail(__FILE__, __LINE__, "it comes to an end");
}

/* Both closed in good order: each has all that the other sent. */
static void
check_result(void)
{
	if (sides[1].conn == NULL || rough ||
	    weir_conn_status(sides[0].conn) != CONN_CLOSED ||
	    weir_conn_status(sides[1].conn) != CONN_CLOSED)
		return;
	for (int i = 0; i < 2; i++) {
		FUZZ_CHECK(sides[i].received == sides[1 - i].pushed);
		FUZZ_CHECK(sides[i].rx_state == CONN_EOF);
	}
}

/* Honest sides end by a close, or because one could not hear the other. */
static void
check_status(void)
{
	for (int i = 0; i < 2; i++) {
		int status;

		if (sides[i].conn == NULL || rough)
			continue;
		status = weir_conn_status(sides[i].conn);
		FUZZ_CHECK(status == CONN_CLOSED || status == -ETIMEDOUT ||
			   status == -ECONNRESET);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };

	if (size > 1024)
		return 0;
	now_ns = 1000 * S;
	rough = false;
	for (uint32_t i = 0; i < 2; i++) {
		side_config(&sides[i], &in, 1 + i);
		sides[i].verify = true;
	}
	/*
	 * Somebody must notice silence, or there is no end to wait for; and
	 * soon, for the sake of speed.
	 */
	for (int i = 0; i < 2; i++) {
		sides[i].config.keepalive_ns = 10 * MS;
		sides[i].config.dead_timeout_ns = 50 * MS;
		sides[i].config.rto_max_ns = 10 * MS;
	}
	side_make(&sides[0]);
	weir_conn_connect(sides[0].conn, now_ns);
	while (fuzz_left(&in) > 0) {
		step(&in);
		check();
	}
	heal();
	check_result();
	check_status();
	side_fini(&sides[0]);
	side_fini(&sides[1]);
	FUZZ_CHECK(buf_count() == 0);
	return 0;
}
