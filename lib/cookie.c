/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cookies and proofs. A cookie, byte by byte:
 *
 *     0 type | 1 words | 2 key's number | 3 zero | 4 time, s | 8 SipHash
 */
#include "cookie.h"
#include <string.h>

#define OWNER_MAX (6 + COOKIE_ADDR_MAX + 48)

void
weir_cookie_rotate(struct cookie_keys *keys, struct siphash_key fresh)
{
	keys->key[1] = keys->key[0];
	keys->key[0] = fresh;
	keys->number++;
	if (keys->count < 2)
		keys->count++;
}

static uint8_t *
put(uint8_t *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		*at++ = (uint8_t)(value >> (8 * i));
	return at;
}

static void
mac(struct siphash_key key, const struct cookie_owner *owner,
    const uint8_t *ext, uint8_t out[16])
{
	const struct wire_params *p = owner->params;
	uint8_t text[OWNER_MAX], *at = text;

	memcpy(at, ext + 2, 6);
	at += 6;
	memcpy(at, owner->addr, owner->addr_len);
	at = put(at + owner->addr_len, p->token, 8);
	at = put(at, p->isn, 4);
	at = put(at, p->features, 8);
	at = put(at, p->instance, 8);
	at = put(at, p->epoch, 8);
	at = put(at, p->version_min, 1);
	at = put(at, p->version_max, 1);
	at = put(at, p->modes, 2);
	siphash128(key, text, (size_t)(at - text), out);
}

void
weir_cookie_make(const struct cookie_keys *keys,
		 const struct cookie_owner *owner, uint32_t now_s,
		 uint8_t ext[COOKIE_LEN])
{
	ext[0] = WIRE_EXT_COOKIE;
	ext[1] = COOKIE_LEN / 8;
	ext[2] = keys->number;
	ext[3] = 0;
	put(ext + 4, now_s, 4);
	mac(keys->key[0], owner, ext, ext + 8);
}

/* Takes the same time wherever the difference is. */
static bool
equal16(const uint8_t *a, const uint8_t *b)
{
	uint8_t difference = 0;

	for (int i = 0; i < 16; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

bool
weir_cookie_check(const struct cookie_keys *keys,
		  const struct cookie_owner *owner, uint32_t now_s,
		  const uint8_t *ext)
{
	uint8_t back = (uint8_t)(keys->number - ext[2]);
	uint32_t made_s = (uint32_t)siphash_load(ext + 4, 4);
	uint8_t want[16];

	if (ext[1] != COOKIE_LEN / 8 || back >= keys->count)
		return false;
	/* Wraps: a cookie from the future is as old as one can be. */
	if (now_s - made_s > COOKIE_LIFE_S)
		return false;
	mac(keys->key[back], owner, ext, want);
	return equal16(want, ext + 8);
}

void
weir_cookie_proof(struct siphash_key secret, uint64_t token,
		  uint8_t proof[WIRE_PROOF_LEN])
{
	uint8_t bytes[8];

	put(bytes, token, 8);
	siphash128(secret, bytes, sizeof(bytes), proof);
}
