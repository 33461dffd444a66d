/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets byte for byte: the golden packets of docs/wire.md, and every way in
 * which a packet may be malformed.
 *
 *   test_wire PATH/wire.md   the tests
 *   test_wire --print        the golden blocks, for the document
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "cookie.h"
#include "crc32c.h"
#include "wire.h"

#define PACKET_MAX 512

struct golden {
	const char *name;
	struct wire_hdr hdr;
	const char *payload;
	uint32_t payload_len; /* 0: up to its end */
	uint64_t sack[2];
	uint32_t sack_words;
	uint32_t error; /* code of an ERROR extension */
	bool params;
	bool cookie;
	bool gone;
	uint32_t padded; /* hello: to so many bytes */
};

static const char *document;

#define CLIENT_TOKEN UINT64_C(0xa1a2a3a4a5a60003)
#define SERVER_TOKEN UINT64_C(0x1122334455660007)

/* The usual header of an open link, from client to server. */
#define HEADER(type, flag_bits, number)                                 \
	.vt = 0x10 | (type), .flags = (flag_bits), .seq = (number),     \
	.token = SERVER_TOKEN, .ack = 0xfffffff0, .window = 0x000000f0, \
	.ts = 0x01020304, .ts_echo = 0x0a0b0c0d, .credit = 0x0102,      \
	.ack_delay = 0x0005

static const struct golden goldens[] = {
	{ .name = "init",
	  .hdr = { .vt = 0x10 | WIRE_INIT,
		   .seq = 0xc0ffee00,
		   .ts = 0x01020304 },
	  .params = true,
	  .padded = WIRE_INIT_LEN },
	{ .name = "retry",
	  .hdr = { .vt = 0x10 | WIRE_RETRY,
		   .token = CLIENT_TOKEN,
		   .ack = 0xc0ffee00,
		   .ts_echo = 0x01020304 },
	  .cookie = true },
	{ .name = "init-cookie",
	  .hdr = { .vt = 0x10 | WIRE_INIT,
		   .seq = 0xc0ffee00,
		   .ts = 0x01020354 },
	  .params = true,
	  .cookie = true,
	  .padded = WIRE_INIT_LEN },
	{ .name = "accept",
	  .hdr = { .vt = 0x10 | WIRE_ACCEPT,
		   .flags = WIRE_F_ACKV,
		   .seq = 0xfffffff0,
		   .token = CLIENT_TOKEN,
		   .ack = 0xc0ffee00,
		   .window = 0xc0ffef00,
		   .ts = 0x11121314,
		   .ts_echo = 0x01020304,
		   .credit = 0x0100,
		   .ack_delay = 0x0005 },
	  .params = true,
	  .padded = WIRE_INIT_LEN },
	{ .name = "reject",
	  .hdr = { .vt = 0x10 | WIRE_REJECT,
		   .token = CLIENT_TOKEN,
		   .ack = 0xc0ffee00,
		   .ts_echo = 0x01020304 },
	  .error = WIRE_E_VERSION },
	{ .name = "data-whole",
	  .hdr = { HEADER(WIRE_DATA, WIRE_F_FIRST | WIRE_F_LAST | WIRE_F_ACKV,
			  0xc0ffee00),
		   .mlo = 11 },
	  .payload = "hello, weir" },
	{ .name = "data-empty",
	  .hdr = { HEADER(WIRE_DATA, WIRE_F_FIRST | WIRE_F_LAST | WIRE_F_ACKV,
			  0xc0ffee01) },
	  .payload = "" },
	{ .name = "data-first",
	  .hdr = { HEADER(WIRE_DATA, WIRE_F_FIRST | WIRE_F_ACKV, 0xc0ffee02),
		   .mlo = 24 },
	  .payload = "sixteen bytes...",
	  .sack = { 0x6 },
	  .sack_words = 1 },
	{ .name = "data-last",
	  .hdr = { HEADER(WIRE_DATA,
			  WIRE_F_LAST | WIRE_F_RETX | WIRE_F_ACKREQ |
				  WIRE_F_ACKV,
			  0xc0ffee03),
		   .mlo = 16 },
	  .payload = "and more" },
	{ .name = "data-crc",
	  .hdr = { HEADER(WIRE_DATA,
			  WIRE_F_FIRST | WIRE_F_LAST | WIRE_F_ACKV |
				  WIRE_F_TRAILER,
			  0xc0ffee00),
		   .mlo = 11 },
	  .payload = "hello, weir" },
	{ .name = "batch",
	  .hdr = { HEADER(WIRE_BATCH, WIRE_F_FIRST | WIRE_F_LAST | WIRE_F_ACKV,
			  0xc0ffee04),
		   .mlo = 3 },
	  .payload = "\x0b\0\0\0\x03\0\0\0"
		     "hello, weir\0\0\0\0\0"
		     "end",
	  .payload_len = 27 },
	{ .name = "ack",
	  .hdr = { HEADER(WIRE_ACK, WIRE_F_ACKV, 0xc0ffee04) },
	  .sack = { UINT64_C(0x8000000000000002), 0x5 },
	  .sack_words = 2 },
	{ .name = "ping",
	  .hdr = { HEADER(WIRE_PING, WIRE_F_ACKREQ | WIRE_F_ACKV | WIRE_F_STOP,
			  0xc0ffee04) } },
	{ .name = "fin",
	  .hdr = { HEADER(WIRE_FIN, WIRE_F_ACKREQ | WIRE_F_ACKV,
			  0xc0ffee04) } },
	{ .name = "fin-abort",
	  .hdr = { HEADER(WIRE_FIN, WIRE_F_ACKREQ | WIRE_F_ACKV, 0xc0ffee04) },
	  .error = WIRE_E_ABORT },
	{ .name = "reset",
	  .hdr = { HEADER(WIRE_RESET, WIRE_F_ACKV, 0xc0ffee04) },
	  .error = WIRE_E_WINDOW },
	{ .name = "gone",
	  .hdr = { .vt = 0x10 | WIRE_GONE, .token = SERVER_TOKEN },
	  .gone = true },
};
#define GOLDENS (sizeof(goldens) / sizeof(goldens[0]))

static const struct wire_params params = {
	.token = CLIENT_TOKEN,
	.features = UINT64_C(0x0000000000000000),
	.instance = UINT64_C(0x0123456789abcdef),
	.epoch = 7,
	.isn = 0xc0ffee00,
	.frag_size = 1400,
	.window_packets = 256,
	.credit_msgs = 256,
	.msg_size_max = 65536,
	.max_ack_delay_ns = 20000,
	.dead_timeout_ms = 3000,
	.data_port = 0,
	.modes = WIRE_MODE_BARE,
	.version_min = 1,
	.version_max = 1,
};

static const struct siphash_key secret = { { UINT64_C(0x0706050403020100),
					     UINT64_C(0x0f0e0d0c0b0a0908) } };

/* From 10.7.0.1 port 49152 to 10.7.0.2 port 7400, as in the headers. */
static const uint8_t addr[12] = {
	10, 7, 0, 1, 10, 7, 0, 2, 0xc0, 0, 0x1c, 0xe8
};

static struct wire_params
golden_params(const struct golden *g)
{
	struct wire_params p = params;

	p.isn = g->hdr.seq;
	if (wire_hdr_type(&g->hdr) == WIRE_ACCEPT)
		p.token = SERVER_TOKEN;
	weir_cookie_proof(secret, p.token, p.proof);
	return p;
}

static uint32_t
put_cookie(uint8_t *dst)
{
	struct cookie_keys keys = { .number = 6 };
	struct wire_params p = params;
	const struct cookie_owner owner = { addr, sizeof(addr), &p };

	weir_cookie_rotate(&keys, secret);
	weir_cookie_make(&keys, &owner, 1000, dst);
	return COOKIE_LEN;
}

static const struct wire_error_info error_info = {
	.seq = 0xfffffff0,
	.version_min = 1,
	.version_max = 1,
};

/* REJECT names the INIT that it answers, others what they expect next. */
static uint32_t
error_seq(const struct golden *g)
{
	return g->hdr.vt == (0x10 | WIRE_REJECT) ? g->hdr.ack : error_info.seq;
}

static uint32_t
payload_len(const struct golden *g)
{
	return g->payload_len != 0 ? g->payload_len
				   : (uint32_t)strlen(g->payload);
}

/* @return length of the packet. */
static uint32_t
build(const struct golden *g, uint8_t *dst)
{
	struct wire_hdr hdr = g->hdr;
	uint32_t len = WIRE_HDR_LEN;

	if (g->gone) {
		struct wire_params p = golden_params(g);

		weir_cookie_proof(secret, hdr.token, p.proof);
		weir_wire_put_gone(hdr.token, p.proof, dst);
		return len;
	}
	if (g->sack_words != 0)
		len += weir_wire_put_sack(g->sack, g->sack_words, dst + len);
	if (g->params) {
		struct wire_params p = golden_params(g);

		len += weir_wire_put_params(&p, dst + len);
	}
	if (g->cookie)
		len += put_cookie(dst + len);
	if (g->error != 0) {
		struct wire_error_info e = error_info;

		e.code = g->error;
		e.seq = error_seq(g);
		len += weir_wire_put_error(&e, dst + len);
	}
	if (len == WIRE_HDR_LEN && (wire_hdr_type(&hdr) == WIRE_PING ||
				    wire_hdr_type(&hdr) == WIRE_FIN))
		len += weir_wire_put_pad(dst + len);
	hdr.hlen = (uint8_t)(len / 8);
	weir_wire_encode(&hdr, dst);
	if (g->payload != NULL) {
		memcpy(dst + len, g->payload, payload_len(g));
		len += payload_len(g);
	}
	while (len < g->padded)
		dst[len++] = 0;
	if (hdr.flags & WIRE_F_TRAILER) {
		wire_put_trailer(dst + len,
				 crc32c_trailer(addr, sizeof(addr), dst, len));
		len += WIRE_TRAILER_LEN;
	}
	return len;
}

static void
print_goldens(void)
{
	for (size_t i = 0; i < GOLDENS; i++) {
		uint8_t packet[PACKET_MAX];
		uint32_t len = build(&goldens[i], packet);

		printf("```golden %s\n", goldens[i].name);
		for (uint32_t at = 0; at < len; at++)
			printf("%02x%s", packet[at],
			       at % 16 == 15 || at + 1 == len ? "\n" : " ");
		printf("```\n\n");
	}
}

/* Read the block "golden NAME" of the document. @return its length. */
static uint32_t
read_golden(const char *name, uint8_t *dst)
{
	FILE *file = fopen(document, "r");
	char line[256], start[64];
	uint32_t len = 0;
	bool inside = false;

	if (file == NULL)
		fail_msg("cannot open %s", document);
	snprintf(start, sizeof(start), "```golden %s\n", name);
	while (fgets(line, sizeof(line), file) != NULL) {
		char *at = line;
		int used;
		unsigned int byte;

		if (strcmp(line, start) == 0)
			inside = true;
		else if (inside && line[0] == '`')
			break;
		else if (inside)
			while (len < PACKET_MAX &&
			       sscanf(at, "%2x%n", &byte, &used) == 1) {
				dst[len++] = (uint8_t)byte;
				at += used;
			}
	}
	fclose(file);
	if (len == 0)
		fail_msg("%s has no packet %s", document, name);
	return len;
}

static void
golden_packets_are_what_we_send(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOLDENS; i++) {
		uint8_t ours[PACKET_MAX], theirs[PACKET_MAX];
		uint32_t len = build(&goldens[i], ours);

		assert_int_equal(read_golden(goldens[i].name, theirs), len);
		assert_memory_equal(ours, theirs, len);
	}
}

static void
check_fields(const struct golden *g, const struct wire_hdr *hdr)
{
	assert_int_equal(hdr->vt, g->hdr.vt);
	assert_int_equal(hdr->flags, g->hdr.flags);
	assert_int_equal(hdr->seq, g->hdr.seq);
	assert_true(hdr->token == g->hdr.token);
	if (g->gone)
		return;
	assert_int_equal(hdr->ack, g->hdr.ack);
	assert_int_equal(hdr->window, g->hdr.window);
	assert_int_equal(hdr->ts, g->hdr.ts);
	assert_int_equal(hdr->ts_echo, g->hdr.ts_echo);
	assert_int_equal(hdr->credit, g->hdr.credit);
	assert_int_equal(hdr->ack_delay, g->hdr.ack_delay);
	assert_int_equal(hdr->mlo, g->hdr.mlo);
	assert_int_equal(hdr->sack_words, g->sack_words);
	for (uint32_t w = 0; w < g->sack_words; w++)
		assert_true(weir_wire_get_sack(hdr->sack, w) == g->sack[w]);
	assert_int_equal(hdr->error != NULL, g->error != 0);
	assert_int_equal(hdr->params != NULL, g->params);
	assert_int_equal(hdr->cookie != NULL, g->cookie);
}

static void
golden_packets_are_understood(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOLDENS; i++) {
		const struct golden *g = &goldens[i];
		uint8_t packet[PACKET_MAX];
		uint32_t len = read_golden(g->name, packet);
		struct wire_hdr hdr;

		assert_int_equal(weir_wire_decode(packet, len, &hdr), WIRE_OK);
		check_fields(g, &hdr);
		if (g->payload != NULL) {
			assert_int_equal(hdr.payload_len, payload_len(g));
			assert_memory_equal(hdr.payload, g->payload,
					    hdr.payload_len);
		}
		if (g->error != 0) {
			struct wire_error_info e;

			weir_wire_get_error(hdr.error, &e);
			assert_int_equal(e.code, g->error);
			assert_int_equal(e.seq, error_seq(g));
			assert_int_equal(e.version_max, 1);
		}
		if (g->params) {
			struct wire_params p, want = golden_params(g);
			uint8_t a[WIRE_PARAMS_LEN], b[WIRE_PARAMS_LEN];

			weir_wire_get_params(hdr.params, &p);
			weir_wire_put_params(&p, a);
			weir_wire_put_params(&want, b);
			assert_memory_equal(a, b, sizeof(a));
			assert_true(p.token == want.token);
			assert_int_equal(p.msg_size_max, want.msg_size_max);
		}
	}
}

/* --- malformed packets ------------------------------------------------ */

static uint8_t packet[PACKET_MAX];

static uint32_t
good(const char *name)
{
	for (size_t i = 0; i < GOLDENS; i++)
		if (strcmp(goldens[i].name, name) == 0)
			return build(&goldens[i], packet);
	fail_msg("no golden %s", name);
	return 0;
}

/* Decode from memory that ends right behind the packet, for the sanitizer. */
static enum wire_drop
decode(uint32_t len)
{
	uint8_t *exact = malloc(len == 0 ? 1 : len);
	struct wire_hdr hdr;
	enum wire_drop rc;

	memcpy(exact, packet, len);
	rc = weir_wire_decode(exact, len, &hdr);
	free(exact);
	return rc;
}

static void
every_truncation_of_a_header_is_dropped(void **state)
{
	(void)state;
	for (size_t i = 0; i < GOLDENS; i++) {
		uint32_t len = build(&goldens[i], packet);
		uint32_t hdr_len = packet[2] * 8u;

		for (uint32_t cut = 0; cut < hdr_len; cut++)
			assert_int_not_equal(decode(cut), WIRE_OK);
		assert_int_equal(decode(len), WIRE_OK);
	}
	for (uint32_t cut = 0; cut < WIRE_HDR_LEN; cut++)
		assert_int_equal(decode(cut), WIRE_DROP_SHORT);
}

static void
other_versions_are_dropped(void **state)
{
	uint32_t len = good("data-whole");

	(void)state;
	for (int version = 0; version < 16; version++) {
		packet[0] = (uint8_t)(version << 4 | WIRE_DATA);
		assert_int_equal(decode(len),
				 version == 1 ? WIRE_OK : WIRE_DROP_VERSION);
	}
}

static void
types_without_meaning_are_dropped(void **state)
{
	static const uint8_t unused[] = { 0, WIRE_PROBE, WIRE_KEYUP, 14, 15 };
	uint32_t len = good("ping");

	(void)state;
	for (size_t i = 0; i < sizeof(unused); i++) {
		packet[0] = 0x10 | unused[i];
		assert_int_equal(decode(len), WIRE_DROP_TYPE);
	}
}

static void
reserved_flags_are_dropped(void **state)
{
	uint32_t len = good("data-whole");

	(void)state;
	packet[1] |= WIRE_F_KEYPHASE;
	assert_int_equal(decode(len), WIRE_DROP_FLAGS);
}

static void
a_trailer_is_not_payload(void **state)
{
	uint32_t len = good("data-crc");
	struct wire_hdr hdr;

	(void)state;
	assert_int_equal(weir_wire_decode(packet, len, &hdr), WIRE_OK);
	assert_int_equal(hdr.payload_len, 11);
	assert_true(wire_trailer_is(packet, len,
				    crc32c_trailer(addr, sizeof(addr), packet,
						   len - WIRE_TRAILER_LEN)));
	/* Every bit counts, and so does where it came from. */
	for (uint32_t bit = 0; bit < len * 8; bit++) {
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(wire_trailer_is(
			packet, len,
			crc32c_trailer(addr, sizeof(addr), packet,
				       len - WIRE_TRAILER_LEN)));
		packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_false(wire_trailer_is(
		packet, len,
		crc32c_trailer(addr + 1, 11, packet, len - WIRE_TRAILER_LEN)));
	/* No room for it. */
	len = good("ack");
	packet[1] |= WIRE_F_TRAILER;
	assert_int_equal(decode(len), WIRE_DROP_CRC);
	assert_int_equal(decode(len + 3), WIRE_DROP_CRC);
	assert_int_equal(decode(len + 4), WIRE_OK);
}

static void
header_lengths_are_checked(void **state)
{
	uint32_t len = good("ping");

	(void)state;
	for (int words = 0; words < 256; words++) {
		packet[2] = (uint8_t)words;
		if (words == 5) /* PAD is payload then */
			assert_int_equal(decode(len), WIRE_DROP_PAYLOAD);
		else if (words == 6)
			assert_int_equal(decode(len), WIRE_OK);
		else
			assert_int_equal(decode(len), WIRE_DROP_HLEN);
	}
	/* Long enough for what it claims, but more than can be. */
	memset(packet + 40, 0, PACKET_MAX - 40);
	packet[2] = 32;
	assert_int_equal(decode(PACKET_MAX), WIRE_DROP_HLEN);
}

static void
only_data_has_a_payload(void **state)
{
	static const char *const names[] = { "retry", "reject", "ack", "ping",
					     "fin",   "reset",  "gone" };

	(void)state;
	for (size_t i = 0; i < 7; i++) {
		uint32_t len = good(names[i]);

		packet[len] = 0;
		assert_int_equal(decode(len + 1), WIRE_DROP_PAYLOAD);
	}
	/* GONE is shorter than anything that it answers. */
	good("gone");
	packet[2]++;
	weir_wire_put_pad(packet + WIRE_HDR_LEN);
	assert_int_equal(decode(48), WIRE_DROP_HLEN);
}

/* Put an extension of `words` words behind the header of a PING. */
static uint32_t
with_ext(uint8_t type, uint8_t words, uint32_t room)
{
	memset(packet, 0, sizeof(packet));
	good("ping");
	packet[2] = (uint8_t)(5 + room);
	packet[40] = type;
	packet[41] = words;
	return 40 + 8 * room;
}

static void
extensions_are_checked(void **state)
{
	(void)state;
	assert_int_equal(decode(with_ext(WIRE_EXT_SACK, 2, 2)), WIRE_OK);
	assert_int_equal(decode(with_ext(WIRE_EXT_SACK, 17, 17)), WIRE_OK);
	assert_int_equal(decode(with_ext(WIRE_EXT_SACK, 18, 18)),
			 WIRE_DROP_EXT);
	assert_int_equal(decode(with_ext(WIRE_EXT_SACK, 1, 1)), WIRE_DROP_EXT);
	assert_int_equal(decode(with_ext(WIRE_EXT_SACK, 0, 2)), WIRE_DROP_EXT);
	assert_int_equal(decode(with_ext(WIRE_EXT_SACK, 3, 2)), WIRE_DROP_EXT);
	assert_int_equal(decode(with_ext(WIRE_EXT_SACK, 255, 2)),
			 WIRE_DROP_EXT);
	assert_int_equal(decode(with_ext(WIRE_EXT_ERROR, 1, 1)), WIRE_DROP_EXT);
	assert_int_equal(decode(with_ext(WIRE_EXT_PARAMS, 10, 10)),
			 WIRE_DROP_EXT);
	/* A later revision may say more. */
	assert_int_equal(decode(with_ext(WIRE_EXT_PARAMS, 12, 12)), WIRE_OK);
	assert_int_equal(decode(with_ext(WIRE_EXT_COOKIE, 1, 1)),
			 WIRE_DROP_EXT);
	assert_int_equal(decode(with_ext(WIRE_EXT_COOKIE, 2, 2)), WIRE_OK);
	assert_int_equal(decode(with_ext(WIRE_EXT_COOKIE, 8, 8)), WIRE_OK);
	assert_int_equal(decode(with_ext(WIRE_EXT_COOKIE, 9, 9)),
			 WIRE_DROP_EXT);
	assert_int_equal(decode(with_ext(WIRE_EXT_ERROR, 3, 3)), WIRE_OK);
}

static void
an_extension_comes_once(void **state)
{
	static const uint8_t types[] = { WIRE_EXT_SACK, WIRE_EXT_ERROR,
					 WIRE_EXT_PARAMS, WIRE_EXT_COOKIE };
	static const uint8_t words[] = { 2, 2, 11, 3 };

	(void)state;
	for (int i = 0; i < 4; i++) {
		uint32_t len = with_ext(types[i], words[i], 2u * words[i]);

		packet[40 + 8 * words[i]] = types[i];
		packet[41 + 8 * words[i]] = words[i];
		assert_int_equal(decode(len), WIRE_DROP_EXT);
	}
}

static void
unknown_extensions_are_skipped_or_refused(void **state)
{
	(void)state;
	for (int type = 0; type < 256; type++) {
		uint8_t words = type == WIRE_EXT_COOKIE ? 8 : 11;
		enum wire_drop rc =
			decode(with_ext((uint8_t)type, words, words));

		if (type == WIRE_EXT_SACK || type == WIRE_EXT_PARAMS ||
		    type == WIRE_EXT_ERROR || type == WIRE_EXT_COOKIE)
			assert_int_equal(rc, WIRE_OK);
		else
			assert_int_equal(rc, type < 128 ? WIRE_DROP_CRITICAL
							: WIRE_OK);
	}
}

/* --- batches ---------------------------------------------------------- */

/* A BATCH of messages of these lengths. @return its length. */
static uint32_t
batch_of(const uint16_t *lens, uint32_t count)
{
	uint32_t at = WIRE_HDR_LEN + wire_records_table(count);

	memset(packet, 0, sizeof(packet));
	good("batch");
	memset(packet + WIRE_HDR_LEN, 0, sizeof(packet) - WIRE_HDR_LEN);
	packet[36] = (uint8_t)count;
	for (uint32_t i = 0; i < count; i++) {
		packet[WIRE_HDR_LEN + 2 * i] = (uint8_t)lens[i];
		packet[WIRE_HDR_LEN + 2 * i + 1] = (uint8_t)(lens[i] >> 8);
		at += i + 1 == count ? lens[i] : wire_round8(lens[i]);
	}
	return at;
}

static void
records_are_found(void **state)
{
	static const uint16_t lens[] = { 0, 1, 7, 8, 9, 0, 64, 13 };

	(void)state;
	for (uint32_t count = 2; count <= 8; count++) {
		uint32_t len = batch_of(lens, count), size = 0;
		uint8_t *exact = malloc(len);
		const uint8_t *at = NULL;
		struct wire_records records;
		struct wire_hdr hdr;

		memcpy(exact, packet, len);
		assert_int_equal(weir_wire_decode(exact, len, &hdr), WIRE_OK);
		assert_int_equal(hdr.mlo, count);
		records = wire_records(hdr.payload, hdr.mlo);
		for (uint32_t i = 0; i < count; i++) {
			at = wire_records_next(&records, &size);
			assert_int_equal(size, lens[i]);
			assert_int_equal((at - hdr.payload) % 8, 0);
		}
		assert_ptr_equal(at + size, exact + len);
		free(exact);
	}
}

static void
a_batch_has_2_to_64_messages(void **state)
{
	static const uint16_t lens[65];

	(void)state;
	for (uint32_t count = 0; count <= 65; count++) {
		uint32_t len = batch_of(lens, count);

		assert_int_equal(decode(len), count >= 2 && count <= 64
						      ? WIRE_OK
						      : WIRE_DROP_BATCH);
	}
	batch_of(lens, 2);
	packet[39] = 1; /* mlo has 32 bits */
	assert_int_equal(decode(WIRE_HDR_LEN + 8), WIRE_DROP_BATCH);
}

static void
records_are_in_bounds(void **state)
{
	static const uint16_t lens[] = { 16, 3, 20, 5, 0 };

	(void)state;
	for (uint32_t count = 2; count <= 5; count++) {
		uint32_t len = batch_of(lens, count);

		assert_int_equal(decode(len), WIRE_OK);
		/* Trailing bytes, and every truncation, in the table too. */
		for (uint32_t more = 1; more <= 9; more++)
			assert_int_equal(decode(len + more), WIRE_DROP_BATCH);
		for (uint32_t less = WIRE_HDR_LEN; less < len; less++)
			assert_int_equal(decode(less), WIRE_DROP_BATCH);
		/* Any length that is longer, up to far beyond the end. */
		for (uint32_t i = 0; i < count; i++) {
			len = batch_of(lens, count);
			packet[WIRE_HDR_LEN + 2 * i] |= 0x40;
			assert_int_equal(decode(len), WIRE_DROP_BATCH);
			packet[WIRE_HDR_LEN + 2 * i + 1] = 0xff;
			assert_int_equal(decode(len), WIRE_DROP_BATCH);
		}
	}
}

static void
a_table_ends_with_zeros(void **state)
{
	static const uint16_t lens[] = { 1, 1, 1 };

	(void)state;
	for (uint32_t count = 2; count <= 3; count++) {
		uint32_t len = batch_of(lens, count);

		for (uint32_t at = 2 * count; at < 8; at++) {
			packet[WIRE_HDR_LEN + at] = 1;
			assert_int_equal(decode(len), WIRE_DROP_BATCH);
			packet[WIRE_HDR_LEN + at] = 0;
		}
		assert_int_equal(decode(len), WIRE_OK);
	}
}

/* The records of a batch that was let through end where the packet ends. */
static void
check_records(const struct wire_hdr *hdr)
{
	struct wire_records records;
	const uint8_t *at = NULL;
	uint32_t len = 0;

	if (wire_hdr_type(hdr) != WIRE_BATCH)
		return;
	records = wire_records(hdr->payload, hdr->mlo);
	for (uint32_t i = 0; i < hdr->mlo; i++)
		at = wire_records_next(&records, &len);
	assert_ptr_equal(at + len, hdr->payload + hdr->payload_len);
}

/* Whatever the bytes: no read past the end, and what passes is in bounds. */
static void
noise_is_survived(void **state)
{
	uint64_t seed = 1;

	(void)state;
	for (int round = 0; round < 200000; round++) {
		struct wire_hdr hdr;
		uint32_t len;
		uint8_t *exact;

		len = build(&goldens[(size_t)round % GOLDENS], packet);
		for (int flip = 0; flip < 3; flip++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			packet[(seed >> 33) % (round % 2 ? 48 : len)] =
				(uint8_t)(seed >> 56);
		}
		len = (uint32_t)((seed >> 20) % (len + 1));
		exact = malloc(len == 0 ? 1 : len);
		memcpy(exact, packet, len);
		if (weir_wire_decode(exact, len, &hdr) == WIRE_OK) {
			assert_true(hdr.payload >= exact + WIRE_HDR_LEN);
			assert_true(hdr.payload + hdr.payload_len +
					    (hdr.flags & WIRE_F_TRAILER
						     ? WIRE_TRAILER_LEN
						     : 0) ==
				    exact + len);
			assert_true(hdr.sack_words <= WIRE_SACK_MAX);
			check_records(&hdr);
		}
		free(exact);
	}
}

static void
everything_has_a_name(void **state)
{
	(void)state;
	for (int a = 0; a < WIRE_DROPS; a++) {
		assert_string_not_equal(weir_wire_drop_name((enum wire_drop)a),
					"unknown");
		for (int b = 0; b < a; b++)
			assert_string_not_equal(
				weir_wire_drop_name((enum wire_drop)a),
				weir_wire_drop_name((enum wire_drop)b));
	}
	assert_string_equal(weir_wire_drop_name(WIRE_DROPS), "unknown");
	assert_string_equal(weir_wire_type_name(WIRE_DATA), "data");
	assert_string_equal(weir_wire_type_name(WIRE_BATCH), "batch");
	assert_string_equal(weir_wire_type_name(14), "unknown");
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_packets_are_what_we_send),
		cmocka_unit_test(golden_packets_are_understood),
		cmocka_unit_test(every_truncation_of_a_header_is_dropped),
		cmocka_unit_test(other_versions_are_dropped),
		cmocka_unit_test(types_without_meaning_are_dropped),
		cmocka_unit_test(reserved_flags_are_dropped),
		cmocka_unit_test(a_trailer_is_not_payload),
		cmocka_unit_test(header_lengths_are_checked),
		cmocka_unit_test(only_data_has_a_payload),
		cmocka_unit_test(extensions_are_checked),
		cmocka_unit_test(an_extension_comes_once),
		cmocka_unit_test(unknown_extensions_are_skipped_or_refused),
		cmocka_unit_test(records_are_found),
		cmocka_unit_test(a_batch_has_2_to_64_messages),
		cmocka_unit_test(records_are_in_bounds),
		cmocka_unit_test(a_table_ends_with_zeros),
		cmocka_unit_test(noise_is_survived),
		cmocka_unit_test(everything_has_a_name),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test_wire PATH/wire.md | --print\n");
		return 2;
	}
	if (strcmp(argv[1], "--print") == 0) {
		print_goldens();
		return 0;
	}
	document = argv[1];
	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
