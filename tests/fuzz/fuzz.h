/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What all fuzz targets share. A target is one function of one input,
 *
 *     bytes --> LLVMFuzzerTestOneInput() --> 0, or abort() with a reason
 *
 * called by libFuzzer (clang, option fuzz=enabled) or by replay.c, which
 * feeds it the corpus in any build. It must give the same result each time:
 * no clock, no random numbers, no state from one input to the next.
 */
#ifndef WEIR_TESTS_FUZZ_H
#define WEIR_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The input, eaten from the front; zeros follow its end. */
struct fuzz_in {
	const uint8_t *at;
	const uint8_t *end;
};

static inline size_t
fuzz_left(const struct fuzz_in *in)
{
	return (size_t)(in->end - in->at);
}

static inline uint8_t
fuzz_u8(struct fuzz_in *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint16_t
fuzz_u16(struct fuzz_in *in)
{
	uint16_t low = fuzz_u8(in);

	return (uint16_t)(low | fuzz_u8(in) << 8);
}

static inline uint32_t
fuzz_u32(struct fuzz_in *in)
{
	uint32_t low = fuzz_u16(in);

	return low | (uint32_t)fuzz_u16(in) << 16;
}

/* -128 .. 127 */
static inline uint32_t
fuzz_near(struct fuzz_in *in)
{
	return (uint32_t)(int32_t)(int8_t)fuzz_u8(in);
}

/* Something does not hold: say it and stop here, so that the input is kept. */
void fuzz_fail(const char *file, int line, const char *what)
	__attribute__((noreturn));

#define FUZZ_CHECK(what)                                      \
	do {                                                  \
		if (!(what))                                  \
			fuzz_fail(__FILE__, __LINE__, #what); \
	} while (0)

#endif
