/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SipHash by the vectors of its authors, and cookies: good for whom they were
 * made for, for ten seconds, and for nobody else.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "cookie.h"

static const struct siphash_key counting = { { UINT64_C(0x0706050403020100),
					       UINT64_C(0x0f0e0d0c0b0a0908) } };

/* Of the bytes 00, 01, 02 ... under the key 00 .. 0f. */
static const struct {
	size_t len;
	uint64_t hash;
} short_vectors[] = {
	{ 0, UINT64_C(0x726fdb47dd0e0e31) },
	{ 1, UINT64_C(0x74f839c593dc67fd) },
	{ 2, UINT64_C(0x0d6c8009d9a94f5a) },
	{ 3, UINT64_C(0x85676696d7fb7e2d) },
	{ 4, UINT64_C(0xcf2794e0277187b7) },
	{ 5, UINT64_C(0x18765564cd99a68d) },
	{ 6, UINT64_C(0xcbc9466e58fee3ce) },
	{ 7, UINT64_C(0xab0200f58b01d137) },
	{ 8, UINT64_C(0x93f5f5799a932462) },
	{ 9, UINT64_C(0x9e0082df0ba9e4b0) },
	{ 10, UINT64_C(0x7a5dbbc594ddb9f3) },
	{ 11, UINT64_C(0xf4b32f46226bada7) },
	{ 12, UINT64_C(0x751e8fbc860ee5fb) },
	{ 13, UINT64_C(0x14ea5627c0843d90) },
	{ 14, UINT64_C(0xf723ca908e7af2ee) },
	{ 15, UINT64_C(0xa129ca6149be45e5) },
	{ 16, UINT64_C(0x3f2acc7f57c29bdb) },
	{ 31, UINT64_C(0x32d892fad841c342) },
	{ 32, UINT64_C(0x7127512f72f27cce) },
	{ 63, UINT64_C(0x958a324ceb064572) },
};

static const struct {
	size_t len;
	const char *hash;
} long_vectors[] = {
	{ 0, "a3817f04ba25a8e66df67214c7550293" },
	{ 1, "da87c1d86b99af44347659119b22fc45" },
	{ 2, "8177228da4a45dc7fca38bdef60affe4" },
	{ 3, "9c70b60c5267a94e5f33b6b02985ed51" },
	{ 4, "f88164c12d9c8faf7d0f6e7c7bcd5579" },
	{ 5, "1368875980776f8854527a07690e9627" },
	{ 6, "14eeca338b208613485ea0308fd7a15e" },
	{ 7, "a1f1ebbed8dbc153c0b84aa61ff08239" },
	{ 8, "3b62a9ba6258f5610f83e264f31497b4" },
	{ 9, "264499060ad9baabc47f8b02bb6d71ed" },
	{ 10, "00110dc378146956c95447d3f3d0fbba" },
	{ 11, "0151c568386b6677a2b4dc6f81e5dc18" },
	{ 12, "d626b266905ef35882634df68532c125" },
	{ 13, "9869e247e9c08b10d029934fc4b952f7" },
	{ 14, "31fcefac66d7de9c7ec7485fe4494902" },
	{ 15, "5493e99933b0a8117e08ec0f97cfc3d9" },
	{ 16, "6ee2a4ca67b054bbfd3315bf85230577" },
	{ 31, "2939b0183223fafc1723de4f52c43d35" },
	{ 32, "7c3956ca5eeafc3e363e9d556546eb68" },
	{ 63, "5150d1772f50834a503e069a973fbd7c" },
};

static void
siphash_gives_the_published_values(void **state)
{
	uint8_t bytes[64];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(short_vectors) / sizeof(short_vectors[0]);
	     i++)
		assert_true(siphash64(counting, bytes, short_vectors[i].len) ==
			    short_vectors[i].hash);
	for (size_t i = 0; i < sizeof(long_vectors) / sizeof(long_vectors[0]);
	     i++) {
		uint8_t hash[16];
		char text[33];

		siphash128(counting, bytes, long_vectors[i].len, hash);
		for (int b = 0; b < 16; b++)
			snprintf(text + 2 * b, 3, "%02x", hash[b]);
		assert_string_equal(text, long_vectors[i].hash);
	}
}

/* --- cookies ---------------------------------------------------------- */

struct fixture {
	struct cookie_keys keys;
	uint8_t addr[36];
	struct wire_params params;
	struct cookie_owner owner;
	uint8_t ext[COOKIE_LEN];
};

#define MADE_S 5000u

static struct fixture
fixture(void)
{
	struct fixture f = {
		.params = { .token = UINT64_C(0x123456789abc0001),
			    .features = 3,
			    .instance = 77,
			    .epoch = 5,
			    .isn = 0xdeadbeef,
			    .modes = 1,
			    .version_min = 1,
			    .version_max = 1 },
	};

	for (size_t i = 0; i < sizeof(f.addr); i++)
		f.addr[i] = (uint8_t)(17 * i);
	weir_cookie_rotate(&f.keys, counting);
	return f;
}

static bool
good(struct fixture *f, uint32_t now_s)
{
	const struct cookie_owner owner = { f->addr, sizeof(f->addr),
					    &f->params };

	return weir_cookie_check(&f->keys, &owner, now_s, f->ext);
}

static struct fixture
made(void)
{
	struct fixture f = fixture();
	const struct cookie_owner owner = { f.addr, sizeof(f.addr), &f.params };

	weir_cookie_make(&f.keys, &owner, MADE_S, f.ext);
	return f;
}

static void
a_cookie_is_good_for_ten_seconds(void **state)
{
	struct fixture f = made();

	(void)state;
	assert_true(good(&f, MADE_S));
	assert_true(good(&f, MADE_S + COOKIE_LIFE_S));
	assert_false(good(&f, MADE_S + COOKIE_LIFE_S + 1));
	assert_false(good(&f, MADE_S + 3600));
	/* Nobody has one from the future. */
	assert_false(good(&f, MADE_S - 1));
	assert_false(good(&f, 0));
}

static void
a_cookie_is_bound_to_every_field(void **state)
{
	(void)state;
	for (size_t i = 0; i < 36; i++) {
		struct fixture f = made();

		f.addr[i] ^= 1;
		assert_false(good(&f, MADE_S));
	}
#define BOUND(field)                            \
	do {                                    \
		struct fixture f = made();      \
                                                \
		f.params.field ^= 1;            \
		assert_false(good(&f, MADE_S)); \
		f.params.field ^= 1;            \
		assert_true(good(&f, MADE_S));  \
	} while (0)
	BOUND(token);
	BOUND(isn);
	BOUND(features);
	BOUND(instance);
	BOUND(epoch);
	BOUND(version_min);
	BOUND(version_max);
	BOUND(modes);
#undef BOUND
	/* Sizes may change: the next INIT may have to be shorter. */
	{
		struct fixture f = made();

		f.params.frag_size = 1160;
		assert_true(good(&f, MADE_S));
	}
}

static void
every_bit_of_a_cookie_counts(void **state)
{
	(void)state;
	/* Byte 0 is the type, by which it was found. */
	for (uint32_t bit = 8; bit < 8 * COOKIE_LEN; bit++) {
		struct fixture f = made();

		f.ext[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_false(good(&f, MADE_S));
	}
}

static void
the_key_before_is_good_and_no_other(void **state)
{
	struct fixture f = made();
	struct siphash_key other = { { 1, 2 } };

	(void)state;
	weir_cookie_rotate(&f.keys, other);
	assert_true(good(&f, MADE_S));
	other.k[0]++;
	weir_cookie_rotate(&f.keys, other);
	assert_false(good(&f, MADE_S));
	/* 256 rotations later the number is the same, the key is not. */
	for (int i = 0; i < 254; i++) {
		other.k[0]++;
		weir_cookie_rotate(&f.keys, other);
		assert_false(good(&f, MADE_S));
	}
}

static void
without_a_key_nothing_is_good(void **state)
{
	struct fixture f = made();

	(void)state;
	memset(&f.keys, 0, sizeof(f.keys));
	for (int number = 0; number < 256; number++) {
		f.ext[2] = (uint8_t)number;
		assert_false(good(&f, MADE_S));
	}
}

/* Where no key is yet there are zeros, which anybody can use. */
static void
zeros_are_no_key(void **state)
{
	(void)state;
	for (int rotations = 0; rotations < 2; rotations++) {
		struct fixture f = made();
		const struct cookie_owner owner = { f.addr, sizeof(f.addr),
						    &f.params };
		struct cookie_keys zeros = { .count = 1 };

		memset(&f.keys, 0, sizeof(f.keys));
		if (rotations == 1)
			weir_cookie_rotate(&f.keys, counting);
		weir_cookie_make(&zeros, &owner, MADE_S, f.ext);
		assert_false(good(&f, MADE_S));
	}
}

static void
a_proof_follows_from_secret_and_token(void **state)
{
	struct siphash_key other = { { 1, 2 } };
	uint8_t a[WIRE_PROOF_LEN], b[WIRE_PROOF_LEN];

	(void)state;
	weir_cookie_proof(counting, 1, a);
	weir_cookie_proof(counting, 1, b);
	assert_memory_equal(a, b, sizeof(a));
	weir_cookie_proof(counting, 2, b);
	assert_memory_not_equal(a, b, sizeof(a));
	weir_cookie_proof(other, 1, b);
	assert_memory_not_equal(a, b, sizeof(a));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_gives_the_published_values),
		cmocka_unit_test(a_cookie_is_good_for_ten_seconds),
		cmocka_unit_test(a_cookie_is_bound_to_every_field),
		cmocka_unit_test(every_bit_of_a_cookie_counts),
		cmocka_unit_test(the_key_before_is_good_and_no_other),
		cmocka_unit_test(without_a_key_nothing_is_good),
		cmocka_unit_test(zeros_are_no_key),
		cmocka_unit_test(a_proof_follows_from_secret_and_token),
	};

	return cmocka_run_group_tests_name("cookie", tests, NULL, NULL);
}
