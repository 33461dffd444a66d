/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_HLOG_H
#define WEIR_HLOG_H

/*
 * Histograms in the HdrHistogram log format, version 1.3, for the readers
 * that there are for many languages. A line per histogram:
 *
 *     Tag=response,<start s>,<length s>,<max, ms>,<base64>
 *
 * The base64 text is the "V2 compressed" encoding, big endian:
 *
 *     0x1c849314  bytes that follow   zlib( 0x1c849313  bytes of counts
 *         0 (offset)  digits  lowest (8)  highest (8)  1.0 (8)  counts... )
 *
 * A count is a ZigZag number in LEB128 of at most 9 bytes; a negative one is
 * that many empty buckets. Buckets are those of hist.h.
 * See http://hdrhistogram.org, "HistogramLogWriter" and "encoding".
 */

#include <stdio.h>

#include "perf.h"

/** The heading; command is how to repeat it. */
void weir_hlog_begin(FILE *to, const char *command);

/** @param tag without comma or blank. @return 0; -ENOMEM. */
int weir_hlog_add(FILE *to, const char *tag, double start_s, double length_s,
		  const struct weir_hist *hist);

/** All histograms of a result: "rtt", or for each point of an open loop
 *  "response", "service" and "reserve_wait", with "-50%" behind it if it has
 *  a share. */
void weir_hlog_result(FILE *to, const struct weir_perf_result *result);

#endif /* WEIR_HLOG_H */
