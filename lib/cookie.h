/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a listener or a port can say to a stranger without remembering him:
 *
 *     cookie   "come again with this" (docs/wire.md 4.3): whoever does can
 *              receive at the address that he writes from
 *     proof    "that link is gone" (8.6), from one who once had the token
 *
 * Both are keyed hashes; keys, time and addresses come from outside.
 *
 *     keys[0], number n      makes and checks
 *     keys[1], number n - 1  still checks; replaced by rotate()
 *
 * Pure: no clock, no allocation, no random numbers, no I/O.
 */
#ifndef WEIR_COOKIE_H
#define WEIR_COOKIE_H

#include <stdbool.h>
#include <stdint.h>

#include "siphash.h"
#include "wire.h"

#define COOKIE_LEN      24 /* the COOKIE extension that we make */
#define COOKIE_LIFE_S   10
#define COOKIE_ROTATE_S 60

struct cookie_keys {
	struct siphash_key key[2];
	uint8_t number; /* of key[0] */
	uint8_t count;  /* keys that there are: 0, 1 or 2 */
};

/* Take a new key; the one before stays good for checking. */
void weir_cookie_rotate(struct cookie_keys *keys, struct siphash_key fresh);

/* What a cookie is bound to, besides the time. */
struct cookie_owner {
	const uint8_t *addr; /* both addresses and ports, 12 to 48 bytes */
	uint32_t addr_len;
	const struct wire_params *params; /* of the INIT */
};

#define COOKIE_ADDR_MAX 48

/** Write a COOKIE extension of COOKIE_LEN bytes. There is a key. */
void weir_cookie_make(const struct cookie_keys *keys,
		      const struct cookie_owner *owner, uint32_t now_s,
		      uint8_t ext[COOKIE_LEN]);

/** @return true if ext is a cookie that we made for this owner lately. */
bool weir_cookie_check(const struct cookie_keys *keys,
		       const struct cookie_owner *owner, uint32_t now_s,
		       const uint8_t *ext);

/** What GONE carries for a token of ours. */
void weir_cookie_proof(struct siphash_key secret, uint64_t token,
		       uint8_t proof[WIRE_PROOF_LEN]);

#endif
