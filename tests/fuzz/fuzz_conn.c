/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection against a peer who does what the input says.
 *
 *     role 1 | sizes 3 | (operation, its arguments) ...
 *
 * Half of the operations begin with what an honest peer would send now and
 * change some of its fields; so inputs get past the first checks. After each
 * operation everything that must hold is looked at.
 */
#include <string.h>
#include "side.h"

#define PEER_TOKEN UINT64_C(0xfeedfeed0009)
#define PEER_ISN   UINT32_C(0xffffff00)

static struct side side;
static uint64_t now_ns;
static uint32_t echo_ts; /* our clock in the newest packet of ours */

/* --- what an honest peer would say ------------------------------------ */

/* As agreed upon; in set-up packets as in INIT. */
static uint8_t
trailer(enum wire_type type)
{
	return type <= WIRE_REJECT ? side.conn->hello_flags
				   : side.conn->trailer;
}

static struct wire_hdr
honest(enum wire_type type)
{
	const struct weir_conn *conn = side.conn;
	struct conn_gauge gauge;

	weir_conn_gauge(conn, &gauge);
	return (struct wire_hdr){
		.vt = (uint8_t)(WIRE_VERSION_MAX << 4 | type),
		.flags = WIRE_F_ACKV | trailer(type),
		.seq = (uint32_t)gauge.rcv_nxt,
		.token = side.config.token,
		.ack = (uint32_t)gauge.snd_una,
		.window = (uint32_t)gauge.snd_limit,
		.ts = (uint32_t)(now_ns >> WIRE_TIME_SHIFT) + 99,
		.ts_echo = echo_ts,
		.credit = (uint16_t)gauge.tx_credit,
	};
}

/* `count` records of one length that just fit, if there is one. */
static void
fill_records(uint8_t *payload, uint32_t payload_len, uint32_t count)
{
	uint32_t table = wire_records_table(count);

	if (count == 0 || count > WIRE_RECORDS_MAX || table > payload_len)
		return;
	for (uint32_t i = 0; i < count; i++)
		payload[2 * i] = (uint8_t)((payload_len - table) / count);
}

static void
deliver(const struct wire_hdr *hdr, const uint8_t *exts, uint32_t ext_len,
	uint32_t payload_len)
{
	struct buf *buf = buf_new();
	struct wire_hdr copy = *hdr;
	uint8_t *payload = buf->bytes + WIRE_HDR_LEN + ext_len;

	buf->marked = payload_len & 1;
	copy.hlen = (uint8_t)((WIRE_HDR_LEN + ext_len) / 8);
	weir_wire_encode(&copy, buf->bytes);
	if (ext_len != 0)
		memcpy(buf->bytes + WIRE_HDR_LEN, exts, ext_len);
	buf->len = WIRE_HDR_LEN + ext_len + payload_len;
	memset(payload, 0, payload_len);
	if (wire_hdr_type(hdr) == WIRE_BATCH)
		fill_records(payload, payload_len, hdr->mlo);
	if (copy.flags & WIRE_F_TRAILER)
		buf_seal(buf);
	side_take(&side, buf, now_ns);
}

static struct wire_params
peer_params(uint8_t choice)
{
	return (struct wire_params){
		.token = PEER_TOKEN,
		.features = side.config.features_offer,
		.instance = 9,
		.epoch = 1,
		.isn = PEER_ISN,
		.frag_size = (choice & 1) ? 64 : side.config.frag_size,
		.window_packets = (choice & 2) ? 2 : 64,
		.credit_msgs = (choice & 4) ? 1 : 32,
		.msg_size_max = (choice & 8) ? 100 : 65536,
		.max_ack_delay_ns = 20000,
		.modes = WIRE_MODE_BARE,
		.version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION_MAX,
		.proof = { choice & 32 },
	};
}

/* --- the first packets ------------------------------------------------ */

static void
transmit(uint32_t count)
{
	struct buf *buf;

	while (count-- > 0 && (buf = side_next(&side, now_ns)) != NULL) {
		struct wire_hdr hdr;

		FUZZ_CHECK(buf_decode(buf, &hdr));
		echo_ts = hdr.ts;
		buf_free(buf);
	}
}

static void
hello_accept(const struct wire_params *params)
{
	uint8_t exts[WIRE_PARAMS_LEN];
	struct wire_hdr hdr = honest(WIRE_ACCEPT);

	weir_wire_put_params(params, exts);
	hdr.seq = params->isn;
	hdr.ack = side.config.isn;
	hdr.window = side.config.isn + params->window_packets;
	hdr.credit = (uint16_t)params->credit_msgs;
	deliver(&hdr, exts, sizeof(exts), 0);
}

static void
open_client(uint8_t choice, bool finish)
{
	struct wire_params params = peer_params(choice);

	weir_conn_connect(side.conn, now_ns);
	transmit(1);
	now_ns += 10 * US;
	if (finish)
		hello_accept(&params);
}

static void
open_server(uint8_t choice, bool finish)
{
	struct conn_init init = { .params = peer_params(choice),
				  .ts = 99,
				  .len = WIRE_INIT_LEN };
	struct wire_hdr hdr;

	init.trailer = side.config.features_offer != 0;
	init.validated = choice & 16;
	weir_conn_accept(side.conn, &init, now_ns);
	transmit(1);
	now_ns += 10 * US;
	hdr = honest(WIRE_ACK);
	hdr.seq = PEER_ISN;
	hdr.ack = side.config.isn;
	hdr.window = side.config.isn + init.params.window_packets;
	hdr.credit = (uint16_t)init.params.credit_msgs;
	if (finish)
		deliver(&hdr, NULL, 0, 0);
}

/* --- packets ---------------------------------------------------------- */

static uint32_t
put_exts(struct fuzz_in *in, uint8_t which, uint8_t *exts)
{
	uint32_t len = 0;

	if (which & 1) {
		uint64_t words[WIRE_SACK_MAX];
		uint32_t count = 1 + fuzz_u8(in) % 3;

		for (uint32_t i = 0; i < count; i++)
			words[i] = fuzz_u32(in);
		len += weir_wire_put_sack(words, count, exts);
	}
	if (which & 2) {
		struct wire_error_info error = { .code = fuzz_u8(in) };

		len += weir_wire_put_error(&error, exts + len);
	}
	if (which & 4) {
		struct wire_params params = peer_params(fuzz_u8(in));

		weir_wire_put_params(&params, exts + len);
		len += WIRE_PARAMS_LEN;
	}
	if (which & 8) {
		memset(exts + len, fuzz_u8(in), 24);
		exts[len] = WIRE_EXT_COOKIE;
		exts[len + 1] = 3;
		len += 24;
	}
	return len;
}

/* Honest but for the fields that the input changes. */
static void
op_packet(struct fuzz_in *in)
{
	uint8_t type = fuzz_u8(in), change = fuzz_u8(in);
	struct wire_hdr hdr = honest((enum wire_type)(type & 15));
	uint32_t payload_len = 0, ext_len = 0;
	uint8_t exts[256];

	if ((type & 15) == WIRE_DATA) {
		payload_len = fuzz_u8(in);
		hdr.mlo = payload_len;
		hdr.flags |= WIRE_F_FIRST | WIRE_F_LAST;
	}
	if ((type & 15) == WIRE_BATCH) {
		uint32_t each = fuzz_u8(in) & 24;

		hdr.mlo = 2 + (type >> 4);
		hdr.flags |= WIRE_F_FIRST | WIRE_F_LAST;
		payload_len = wire_records_table(hdr.mlo) + hdr.mlo * each;
	}
	if (change & 1)
		hdr.seq += fuzz_near(in);
	if (change & 2)
		hdr.ack += fuzz_near(in);
	if (change & 4) {
		hdr.window += fuzz_near(in);
		hdr.credit = (uint16_t)(hdr.credit + fuzz_near(in));
	}
	if (change & 8)
		hdr.flags ^= fuzz_u8(in);
	if (change & 16)
		hdr.mlo = fuzz_u16(in);
	if (change & 32)
		ext_len = put_exts(in, fuzz_u8(in), exts);
	if (change & 64) {
		hdr.ts += fuzz_near(in) * 16;
		hdr.ts_echo -= fuzz_u8(in);
		hdr.ack_delay = fuzz_u8(in);
	}
	if (change & 128) {
		hdr.ce = fuzz_u8(in);
		hdr.token ^= fuzz_u8(in) & 1;
		hdr.vt ^= fuzz_u8(in) & 0x10;
	}
	deliver(&hdr, exts, ext_len, payload_len);
}

/* Bytes as they come; the token may be made right. */
static void
op_raw(struct fuzz_in *in)
{
	uint32_t len = fuzz_u8(in);
	struct buf *buf = buf_new();

	for (uint32_t i = 0; i < len; i++)
		buf->bytes[i] = fuzz_u8(in);
	buf->len = len;
	if (len >= WIRE_HDR_LEN && (buf->bytes[8] & 1))
		memcpy(buf->bytes + 8, &side.config.token, 8);
	side_take(&side, buf, now_ns);
}

/* The peer takes some or all of what is in flight, and allows more. */
static void
op_ack(struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);
	struct wire_hdr hdr = honest(WIRE_ACK);
	struct conn_gauge gauge;
	uint32_t most;

	weir_conn_gauge(side.conn, &gauge);
	most = (uint32_t)(gauge.snd_nxt - gauge.snd_una);
	hdr.ack += (how & 64) ? most : how % (most + 1);
	hdr.window = hdr.ack + 64;
	hdr.credit = (uint16_t)(side.pushed + 32);
	if (how & 128) {
		uint8_t exts[16];
		uint64_t word = fuzz_u32(in);
		uint32_t left = (uint32_t)gauge.snd_nxt - hdr.ack;

		/* Only what was sent, and not the first of it. */
		word &= ~UINT64_C(1);
		word &= left < 64 ? (UINT64_C(1) << left) - 1 : ~UINT64_C(0);
		weir_wire_put_sack(&word, 1, exts);
		deliver(&hdr, exts, sizeof(exts), 0);
		return;
	}
	deliver(&hdr, NULL, 0, 0);
}

/* A message in fragments, in order. */
static void
op_message(struct fuzz_in *in)
{
	uint32_t frag = 1 + fuzz_u8(in) % 64, count = 1 + fuzz_u8(in) % 8;

	for (uint32_t i = 0; i < count; i++) {
		struct wire_hdr hdr = honest(WIRE_DATA);

		hdr.mlo = i == 0 ? frag * count : frag * i;
		if (i == 0)
			hdr.flags |= WIRE_F_FIRST;
		if (i + 1 == count)
			hdr.flags |= WIRE_F_LAST;
		deliver(&hdr, NULL, 0, frag);
	}
}

static void
op_time(struct fuzz_in *in)
{
	uint8_t how = fuzz_u8(in);

	if (how & 128) {
		uint64_t next = weir_conn_deadline(side.conn);

		if (next != CONN_NEVER && next > now_ns)
			now_ns = next;
	} else {
		now_ns += (uint64_t)(how & 15) << (6 + 3 * (how >> 4));
	}
	side_time(&side, now_ns);
}

/* News of the peer that do not come by packets of the link. */
static void
op_stateless(uint8_t how)
{
	uint8_t packet[WIRE_HDR_LEN], proof[WIRE_PROOF_LEN] = { 0 };
	struct wire_hdr hdr;

	if (how == 0) {
		weir_conn_supersede(side.conn, now_ns);
		return;
	}
	if (weir_conn_peer(side.conn) == NULL)
		return;
	if (how & 1)
		memcpy(proof, weir_conn_peer(side.conn)->proof, sizeof(proof));
	weir_wire_put_gone(PEER_TOKEN, proof, packet);
	FUZZ_CHECK(weir_wire_decode(packet, sizeof(packet), &hdr) == WIRE_OK);
	/* A peer without a proof in PARAMS never sent one. */
	if (weir_conn_on_gone(side.conn, &hdr, now_ns))
		FUZZ_CHECK((how & 1) && proof[0] != 0);
}

static void
step(struct fuzz_in *in)
{
	uint8_t op = fuzz_u8(in);

	switch (op & 15) {
	case 0:
	case 1:
	case 2:
	case 3:
		op_packet(in);
		break;
	case 4:
		op_raw(in);
		break;
	case 5:
		op_ack(in);
		break;
	case 6:
		op_message(in);
		break;
	case 7:
		side_push(&side, 1 + (op >> 4), fuzz_u16(in) % 1600);
		break;
	case 8:
		side_read(&side, 1 + (op >> 4), op & 16);
		break;
	case 9:
		side_release(&side, 1 + (op >> 4));
		break;
	case 10:
		side_end(&side, op >> 4, now_ns);
		break;
	case 11:
		transmit(1 + (op >> 4));
		break;
	case 13:
		op_stateless(op >> 4);
		break;
	case 12:
		transmit(SIDE_BUFS);
		side_take_back(&side);
		side_check(&side);
		side_check_quiet(&side);
		break;
	default:
		op_time(in);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_in in = { data, data + size };
	uint8_t role = fuzz_u8(&in);

	if (size > 4096)
		return 0;
	now_ns = 1000 * S;
	echo_ts = 0;
	side_config(&side, &in, 1);
	side_make(&side);
	if (role & 1)
		open_server(role >> 2, role & 2);
	else
		open_client(role >> 2, role & 2);
	while (fuzz_left(&in) > 0) {
		step(&in);
		side_check(&side);
	}
	side_fini(&side);
	FUZZ_CHECK(buf_count() == 0);
	return 0;
}
