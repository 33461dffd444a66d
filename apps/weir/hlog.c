/* SPDX-License-Identifier: BSD-3-Clause */
/* HdrHistogram logs; the format is in hlog.h. */

#include "hlog.h"

#include <endian.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#define COOKIE_PLAIN      0x1c849313u
#define COOKIE_COMPRESSED 0x1c849314u
#define DIGITS            3u
#define HEAD_BYTES        40u
#define VARINT_MAX        9u

/* ---- encoding ------------------------------------------------------------------ */

static uint8_t *
put_u32(uint8_t *to, uint32_t value)
{
	value = htobe32(value);
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

static uint8_t *
put_u64(uint8_t *to, uint64_t value)
{
	value = htobe64(value);
	memcpy(to, &value, sizeof(value));
	return to + sizeof(value);
}

/* ZigZag, then 7 bits a byte, the lowest first; the ninth byte has all 8. */
static uint8_t *
put_varint(uint8_t *to, int64_t value)
{
	uint64_t left = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

	for (unsigned int i = 0; i < VARINT_MAX - 1; i++) {
		if (left < 0x80) {
			*to++ = (uint8_t)left;
			return to;
		}
		*to++ = (uint8_t)(left | 0x80);
		left >>= 7;
	}
	*to++ = (uint8_t)left;
	return to;
}

static uint8_t *
put_counts(uint8_t *to, const struct weir_hist *hist)
{
	int64_t empty = 0;
	uint32_t end = hist->total == 0 ? 0 : weir_hist_index(hist->max) + 1;

	for (uint32_t i = 0; i < end; i++) {
		if (hist->counts[i] == 0) {
			empty++;
			continue;
		}
		if (empty > 0)
			to = put_varint(to, empty == 1 ? 0 : -empty);
		empty = 0;
		to = put_varint(to, (int64_t)hist->counts[i]);
	}
	return to;
}

/* @return bytes. */
static size_t
put_plain(uint8_t *to, const struct weir_hist *hist)
{
	uint8_t *end = put_counts(to + HEAD_BYTES, hist);
	double one = 1.0;
	uint64_t bits;

	memcpy(&bits, &one, sizeof(bits));
	to = put_u32(to, COOKIE_PLAIN);
	to = put_u32(to, (uint32_t)(end - (to + HEAD_BYTES - 4)));
	to = put_u32(to, 0);
	to = put_u32(to, DIGITS);
	to = put_u64(to, 1);
	to = put_u64(to, WEIR_HIST_VALUE_MAX);
	to = put_u64(to, bits);
	return (size_t)(end - to) + HEAD_BYTES;
}

static void
print_base64(FILE *to, const uint8_t *from, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		size_t left = len - i;
		uint32_t word = (uint32_t)from[i] << 16;

		if (left > 1)
			word |= (uint32_t)from[i + 1] << 8;
		if (left > 2)
			word |= from[i + 2];
		fputc(digits[word >> 18], to);
		fputc(digits[word >> 12 & 63], to);
		fputc(left > 1 ? digits[word >> 6 & 63] : '=', to);
		fputc(left > 2 ? digits[word & 63] : '=', to);
	}
}

/* ---- log ----------------------------------------------------------------------- */

static double
epoch_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void
weir_hlog_begin(FILE *to, const char *command)
{
	fprintf(to,
		"#[%s; values in ns, Interval_Max in ms]\n"
		"#[Histogram log format version 1.3]\n"
		"#[StartTime: %.3f (seconds since epoch)]\n"
		"#[BaseTime: 0.000 (seconds since epoch)]\n"
		"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
		"\"Interval_Compressed_Histogram\"\n",
		command, epoch_s());
}

int
weir_hlog_add(FILE *to, const char *tag, double start_s, double length_s,
	      const struct weir_hist *hist)
{
	size_t room = HEAD_BYTES + 2 * (size_t)VARINT_MAX * WEIR_HIST_LEN;
	uint8_t *plain = malloc(room), *packed = NULL;
	uLongf packed_len;
	int rc = -ENOMEM;

	if (plain == NULL)
		return -ENOMEM;
	room = put_plain(plain, hist);
	packed_len = compressBound((uLong)room);
	packed = malloc(8 + packed_len);
	if (packed != NULL &&
	    compress(packed + 8, &packed_len, plain, (uLong)room) == Z_OK) {
		put_u32(put_u32(packed, COOKIE_COMPRESSED),
			(uint32_t)packed_len);
		fprintf(to, "Tag=%s,%.3f,%.3f,%.6f,", tag, start_s, length_s,
			(double)hist->max / 1e6);
		print_base64(to, packed, 8 + packed_len);
		fputc('\n', to);
		rc = 0;
	}
	free(plain);
	free(packed);
	return rc;
}

static void
add_point(FILE *to, const struct weir_load_point *point)
{
	const struct {
		const char *name;
		const struct weir_hist *hist;
	} parts[] = { { "response", &point->response },
		      { "service", &point->service },
		      { "reserve_wait", &point->reserve_wait } };
	double length_s = (double)point->span_ns / 1e9;
	char tag[32];

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(tag, sizeof(tag), "%s", parts[i].name);
		if (!isnan(point->share))
			snprintf(tag, sizeof(tag), "%s-%.0f%%", parts[i].name,
				 point->share * 100);
		(void)weir_hlog_add(to, tag, epoch_s() - length_s, length_s,
				    parts[i].hist);
	}
}

void
weir_hlog_result(FILE *to, const struct weir_perf_result *result)
{
	double length_s = (double)result->duration_ns / 1e9;

	for (uint32_t i = 0; result->load != NULL && i < result->load->count;
	     i++)
		add_point(to, &result->load->points[i]);
	if (result->kind == WEIR_PERF_LAT)
		(void)weir_hlog_add(to, "rtt", epoch_s() - length_s, length_s,
				    &result->tally->all_rtt_ns);
}
