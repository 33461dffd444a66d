/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_REPORT_JSON_H
#define WEIR_REPORT_JSON_H

/* Parts that the objects of closed and open loops share. Each result is the
 * caller's. */

#include <jansson.h>

#include "report.h"

/** Rounded to a multiple of step; null for NAN. */
json_t *weir_json_number(double value, double step);

json_t *weir_json_host(void);
json_t *weir_json_link(const struct weir_report *report);
json_t *weir_json_rtt(const struct weir_rtt *rtt);
json_t *weir_json_counters(const struct weir_counters *counters);
json_t *weir_json_integrity(const struct weir_integrity *found);

/** All of an open loop. */
json_t *weir_json_load(const struct weir_report *report);

/** Takes root. @return text to be freed; NULL: no memory. */
char *weir_json_text(json_t *root);

#endif /* WEIR_REPORT_JSON_H */
