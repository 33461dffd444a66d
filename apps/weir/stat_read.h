/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_STAT_READ_H
#define WEIR_STAT_READ_H

/*
 * stat_read: what other processes show of their counters, as JSON. They are
 * only read, never spoken to, and never trusted: they may be hostile, of
 * another version, or end at any moment.
 *
 *     { "pid", "program", "version", "uptime_s",
 *       "ports": [ { "id", "driver", "endpoint", "age_ms", "counters" } ],
 *       "links": [ { "id", "port", "driver", "endpoint", "peer", "state",
 *                    "age_ms", "tx", "rx", "transport" } ] }
 *
 * age_ms is that of copies (transport, a port's counters) and absent where
 * there are none: tx and rx are never older than the moment of reading.
 */

#include <jansson.h>

/*
 * Every process of the runtime directory; entries of dead ones are removed.
 *
 * @param pid only this one; 0: all.
 * @param list JSON array, owned by the caller.
 * @return 0, or an exit code after one line on stderr.
 */
int weir_stat_read(int pid, json_t **list);

#endif /* WEIR_STAT_READ_H */
