/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Encode and decode packets. All lengths that a peer can lie about are
 * checked here: what weir_wire_decode() lets through is safe to read.
 */
#include <string.h>
#include "wire.h"

_Static_assert(offsetof(struct wire_hdr, seq) == 4, "see docs/wire.md");
_Static_assert(offsetof(struct wire_hdr, token) == 8, "see docs/wire.md");
_Static_assert(offsetof(struct wire_hdr, ack) == 16, "see docs/wire.md");
_Static_assert(offsetof(struct wire_hdr, ts) == 24, "see docs/wire.md");
_Static_assert(offsetof(struct wire_hdr, credit) == 32, "see docs/wire.md");
_Static_assert(offsetof(struct wire_hdr, mlo) == 36, "see docs/wire.md");
_Static_assert(offsetof(struct wire_hdr, payload) == WIRE_HDR_LEN,
	       "the first 40 bytes mirror the wire");

static void
put_u16(uint8_t *to, uint16_t v)
{
	to[0] = (uint8_t)v;
	to[1] = (uint8_t)(v >> 8);
}

static void
put_u32(uint8_t *to, uint32_t v)
{
	put_u16(to, (uint16_t)v);
	put_u16(to + 2, (uint16_t)(v >> 16));
}

static void
put_u64(uint8_t *to, uint64_t v)
{
	put_u32(to, (uint32_t)v);
	put_u32(to + 4, (uint32_t)(v >> 32));
}

static uint16_t
get_u16(const uint8_t *from)
{
	return (uint16_t)(from[0] | from[1] << 8);
}

static uint32_t
get_u32(const uint8_t *from)
{
	return (uint32_t)get_u16(from) | (uint32_t)get_u16(from + 2) << 16;
}

static uint64_t
get_u64(const uint8_t *from)
{
	return (uint64_t)get_u32(from) | (uint64_t)get_u32(from + 4) << 32;
}

/* Wire order is little-endian; on such a machine this is nothing. */
static void
swap_header(struct wire_hdr *hdr)
{
	hdr->seq = WIRE_LE32(hdr->seq);
	hdr->token = WIRE_LE64(hdr->token);
	hdr->ack = WIRE_LE32(hdr->ack);
	hdr->window = WIRE_LE32(hdr->window);
	hdr->ts = WIRE_LE32(hdr->ts);
	hdr->ts_echo = WIRE_LE32(hdr->ts_echo);
	hdr->credit = WIRE_LE16(hdr->credit);
	hdr->ack_delay = WIRE_LE16(hdr->ack_delay);
	hdr->mlo = WIRE_LE32(hdr->mlo);
}

static enum wire_drop
decode_ext(const uint8_t *ext, uint32_t len, struct wire_hdr *out)
{
	switch (ext[0]) {
	case WIRE_EXT_SACK:
		if (out->sack != NULL || len < 16 ||
		    len > 8 + 8 * WIRE_SACK_MAX)
			return WIRE_DROP_EXT;
		out->sack = ext + 8;
		out->sack_words = (len - 8) / 8;
		return WIRE_OK;
	case WIRE_EXT_PARAMS:
		/* Later revisions may append: more words are fine. */
		if (out->params != NULL || len < WIRE_PARAMS_LEN)
			return WIRE_DROP_EXT;
		out->params = ext;
		return WIRE_OK;
	case WIRE_EXT_ERROR:
		if (out->error != NULL || len < WIRE_ERROR_LEN)
			return WIRE_DROP_EXT;
		out->error = ext;
		return WIRE_OK;
	case WIRE_EXT_COOKIE:
		if (out->cookie != NULL || len < 16 || len > WIRE_COOKIE_MAX)
			return WIRE_DROP_EXT;
		out->cookie = ext;
		return WIRE_OK;
	default:
		return ext[0] < 128 ? WIRE_DROP_CRITICAL : WIRE_OK;
	}
}

static enum wire_drop
decode_exts(const uint8_t *bytes, uint32_t hdr_len, struct wire_hdr *out)
{
	uint32_t at = WIRE_HDR_LEN;

	while (at < hdr_len) {
		/* hdr_len is a multiple of 8, so two bytes are there. */
		uint32_t len = bytes[at + 1] * 8u;
		enum wire_drop rc;

		if (len == 0 || len > hdr_len - at)
			return WIRE_DROP_EXT;
		rc = decode_ext(bytes + at, len, out);
		if (rc != WIRE_OK)
			return rc;
		at += len;
	}
	return WIRE_OK;
}

/* What a type may look like, apart from DATA. */
static enum wire_drop
check_control(const struct wire_hdr *hdr, uint32_t len)
{
	switch (wire_hdr_type(hdr)) {
	case WIRE_INIT:
		return len < WIRE_INIT_LEN ? WIRE_DROP_SHORT : WIRE_OK;
	case WIRE_ACCEPT:
		/* What follows is padding, as with INIT. */
		return WIRE_OK;
	case WIRE_GONE:
		if (hdr->hlen != WIRE_HDR_LEN / 8)
			return WIRE_DROP_HLEN;
		return hdr->payload_len != 0 ? WIRE_DROP_PAYLOAD : WIRE_OK;
	case WIRE_RETRY:
	case WIRE_REJECT:
	case WIRE_ACK:
	case WIRE_PING:
	case WIRE_FIN:
	case WIRE_RESET:
		return hdr->payload_len != 0 ? WIRE_DROP_PAYLOAD : WIRE_OK;
	default:
		return WIRE_DROP_TYPE;
	}
}

/* Sums cannot overflow, so one compare at the end covers every length. */
static enum wire_drop
check_records(const uint8_t *payload, uint32_t len, uint32_t count)
{
	uint32_t table, last, total;

	if (count < WIRE_RECORDS_MIN || count > WIRE_RECORDS_MAX)
		return WIRE_DROP_BATCH;
	table = wire_records_table(count);
	if (table > len)
		return WIRE_DROP_BATCH;
	for (uint32_t at = 2 * count; at < table; at++)
		if (payload[at] != 0)
			return WIRE_DROP_BATCH;
	total = table;
	for (uint32_t i = 0; i < count; i++)
		total += wire_round8(get_u16(payload + 2 * i));
	last = get_u16(payload + 2 * (count - 1));
	total -= wire_round8(last) - last;
	return total == len ? WIRE_OK : WIRE_DROP_BATCH;
}

/* Anything but plain DATA. */
static enum wire_drop
decode_rare(const uint8_t *bytes, uint32_t len, struct wire_hdr *out)
{
	uint32_t hdr_len = out->hlen * 8u;

	if (out->vt >> 4 != WIRE_VERSION_MAX)
		return WIRE_DROP_VERSION;
	if (out->flags & WIRE_F_KEYPHASE)
		return WIRE_DROP_FLAGS;
	if (hdr_len < WIRE_HDR_LEN || hdr_len > WIRE_HDR_MAX || hdr_len > len)
		return WIRE_DROP_HLEN;
	out->payload = bytes + hdr_len;
	out->payload_len = len - hdr_len;
	if (out->flags & WIRE_F_TRAILER) {
		if (out->payload_len < WIRE_TRAILER_LEN)
			return WIRE_DROP_CRC;
		out->payload_len -= WIRE_TRAILER_LEN;
	}
	if (hdr_len != WIRE_HDR_LEN) {
		enum wire_drop rc = decode_exts(bytes, hdr_len, out);

		if (rc != WIRE_OK)
			return rc;
	}
	if (wire_hdr_type(out) == WIRE_DATA)
		return WIRE_OK;
	if (wire_hdr_type(out) == WIRE_BATCH)
		return check_records(out->payload, out->payload_len, out->mlo);
	return check_control(out, len);
}

enum wire_drop
weir_wire_decode(const uint8_t *bytes, uint32_t len, struct wire_hdr *out)
{
	if (len < WIRE_HDR_LEN)
		return WIRE_DROP_SHORT;
	memcpy(out, bytes, WIRE_HDR_LEN);
	swap_header(out);
	out->marked = false;
	out->sack_words = 0;
	out->sack = NULL;
	out->params = NULL;
	out->error = NULL;
	out->cookie = NULL;
	out->payload = bytes + WIRE_HDR_LEN;
	out->payload_len = len - WIRE_HDR_LEN;
	if (out->vt == (WIRE_VERSION_MAX << 4 | WIRE_DATA) &&
	    out->hlen == WIRE_HDR_LEN / 8 &&
	    !(out->flags & (WIRE_F_TRAILER | WIRE_F_KEYPHASE)))
		return WIRE_OK;
	return decode_rare(bytes, len, out);
}

void
weir_wire_encode(const struct wire_hdr *hdr, uint8_t *dst)
{
	wire_encode(hdr, dst);
}

uint32_t
weir_wire_put_sack(const uint64_t *words, uint32_t count, uint8_t *dst)
{
	memset(dst, 0, 8);
	dst[0] = WIRE_EXT_SACK;
	dst[1] = (uint8_t)(count + 1);
	for (uint32_t i = 0; i < count; i++)
		put_u64(dst + 8 + 8 * i, words[i]);
	return 8 + 8 * count;
}

uint64_t
weir_wire_get_sack(const uint8_t *sack, uint32_t word)
{
	return get_u64(sack + 8 * word);
}

uint32_t
weir_wire_put_params(const struct wire_params *params, uint8_t *dst)
{
	memset(dst, 0, WIRE_PARAMS_LEN);
	dst[0] = WIRE_EXT_PARAMS;
	dst[1] = WIRE_PARAMS_LEN / 8;
	dst[2] = params->version_min;
	dst[3] = params->version_max;
	put_u16(dst + 4, params->modes);
	put_u16(dst + 6, params->data_port);
	put_u64(dst + 8, params->token);
	put_u64(dst + 16, params->features);
	put_u64(dst + 24, params->instance);
	put_u64(dst + 32, params->epoch);
	put_u32(dst + 40, params->isn);
	put_u32(dst + 44, params->frag_size);
	put_u32(dst + 48, params->window_packets);
	put_u32(dst + 52, params->credit_msgs);
	put_u32(dst + 56, params->msg_size_max);
	put_u32(dst + 60, params->max_ack_delay_ns);
	put_u32(dst + 64, params->dead_timeout_ms);
	memcpy(dst + 72, params->proof, WIRE_PROOF_LEN);
	return WIRE_PARAMS_LEN;
}

void
weir_wire_get_params(const uint8_t *ext, struct wire_params *out)
{
	out->version_min = ext[2];
	out->version_max = ext[3];
	out->modes = get_u16(ext + 4);
	out->data_port = get_u16(ext + 6);
	out->token = get_u64(ext + 8);
	out->features = get_u64(ext + 16);
	out->instance = get_u64(ext + 24);
	out->epoch = get_u64(ext + 32);
	out->isn = get_u32(ext + 40);
	out->frag_size = get_u32(ext + 44);
	out->window_packets = get_u32(ext + 48);
	out->credit_msgs = get_u32(ext + 52);
	out->msg_size_max = get_u32(ext + 56);
	out->max_ack_delay_ns = get_u32(ext + 60);
	out->dead_timeout_ms = get_u32(ext + 64);
	memcpy(out->proof, ext + 72, WIRE_PROOF_LEN);
}

uint32_t
weir_wire_put_error(const struct wire_error_info *error, uint8_t *dst)
{
	memset(dst, 0, WIRE_ERROR_LEN);
	dst[0] = WIRE_EXT_ERROR;
	dst[1] = WIRE_ERROR_LEN / 8;
	dst[2] = error->version_min;
	dst[3] = error->version_max;
	put_u32(dst + 4, error->code);
	put_u32(dst + 8, error->seq);
	return WIRE_ERROR_LEN;
}

uint32_t
weir_wire_put_pad(uint8_t *dst)
{
	memset(dst, 0, WIRE_PAD_LEN);
	dst[0] = WIRE_EXT_PAD;
	dst[1] = WIRE_PAD_LEN / 8;
	return WIRE_PAD_LEN;
}

void
weir_wire_get_error(const uint8_t *ext, struct wire_error_info *out)
{
	out->version_min = ext[2];
	out->version_max = ext[3];
	out->code = get_u32(ext + 4);
	out->seq = get_u32(ext + 8);
}

void
weir_wire_put_gone(uint64_t token, const uint8_t proof[WIRE_PROOF_LEN],
		   uint8_t *dst)
{
	memset(dst, 0, WIRE_HDR_LEN);
	dst[0] = WIRE_VERSION_MAX << 4 | WIRE_GONE;
	dst[2] = WIRE_HDR_LEN / 8;
	put_u64(dst + 8, token);
	memcpy(dst + 16, proof, WIRE_PROOF_LEN);
}

void
weir_wire_get_gone(const struct wire_hdr *hdr, uint8_t proof[WIRE_PROOF_LEN])
{
	put_u32(proof, hdr->ack);
	put_u32(proof + 4, hdr->window);
	put_u32(proof + 8, hdr->ts);
	put_u32(proof + 12, hdr->ts_echo);
}

const char *
weir_wire_drop_name(enum wire_drop reason)
{
	static const char *const names[WIRE_DROPS] = {
		[WIRE_OK] = "ok",
		[WIRE_DROP_SHORT] = "short",
		[WIRE_DROP_VERSION] = "version",
		[WIRE_DROP_TYPE] = "type",
		[WIRE_DROP_FLAGS] = "flags",
		[WIRE_DROP_HLEN] = "header_length",
		[WIRE_DROP_EXT] = "extension",
		[WIRE_DROP_CRITICAL] = "critical_extension",
		[WIRE_DROP_PAYLOAD] = "payload",
		[WIRE_DROP_CRC] = "crc",
		[WIRE_DROP_BATCH] = "batch",
	};

	return (unsigned int)reason < WIRE_DROPS ? names[reason] : "unknown";
}

const char *
weir_wire_type_name(uint8_t type)
{
	static const char *const names[WIRE_TYPES] = {
		"none", "init", "retry", "accept", "reject", "data",  "ack",
		"ping", "fin",  "reset", "gone",   "probe",  "keyup", "batch",
	};

	return type < WIRE_TYPES ? names[type] : "unknown";
}
