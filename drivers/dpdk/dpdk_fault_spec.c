/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dpdk_fault_spec: the text of a fault specification. See dpdk_fault.h.
 *
 *     KEY=VALUE[,KEY=VALUE]...   in any order, each key once
 *
 * A rate is a percentage, written with its sign, of up to 8 decimals; it is
 * turned into a comparison with 32 random bits here, once.
 */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "dpdk_fault.h"
#include "weir_driver.h"

#define REORDER_BY_DEFAULT 3u
#define HOLD_DEFAULT       512u
#define SEED_DEFAULT       UINT64_C(1)
#define DELAY_MAX_NS       UINT64_C(10000000000)
#define RUN_MAX            UINT64_C(1000000)

/* A percentage is counted in units of 1e-8 of it. */
#define PERCENT_DECIMALS 8
#define PERCENT_UNIT     UINT64_C(100000000)

/* One item: its key, its value, and how to complain about it. */
struct item {
	char text[64];
	const char *value;
};

static int
fail_item(const struct item *item, const char *want)
{
	return weir_fail(-EINVAL, "fault: %s: %s", item->text, want);
}

/* @return characters of a number at text, 0: none, or too large. */
static size_t
read_number(const char *text, uint64_t max, uint64_t *value)
{
	size_t at = 0;

	*value = 0;
	for (; text[at] >= '0' && text[at] <= '9'; at++) {
		*value = *value * 10 + (uint64_t)(text[at] - '0');
		if (*value > max)
			return 0;
	}
	return at;
}

/* @return characters of a rate at text, its sign included; 0: not one. */
static size_t
read_rate(const char *text, dpdk_fault_rate *rate)
{
	uint64_t value, unit = PERCENT_UNIT;
	size_t at = read_number(text, 100, &value);

	if (at == 0)
		return 0;
	value *= PERCENT_UNIT;
	if (text[at] == '.') {
		size_t first = ++at;

		for (; text[at] >= '0' && text[at] <= '9'; at++) {
			unit /= 10;
			value += unit * (uint64_t)(text[at] - '0');
		}
		if (at == first || at - first > PERCENT_DECIMALS)
			return 0;
	}
	if (text[at] != '%' || value > 100 * PERCENT_UNIT)
		return 0;
	*rate = (dpdk_fault_rate)(((__uint128_t)value << 32) /
				  (100 * PERCENT_UNIT));
	return at + 1;
}

static size_t
read_time(const char *text, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", 1000 },
		{ "ms", 1000000 },
		{ "s", 1000000000 },
	};
	uint64_t value;
	size_t at = read_number(text, DELAY_MAX_NS, &value);

	for (size_t i = 0; at != 0 && i < sizeof(units) / sizeof(units[0]);
	     i++) {
		size_t len = strlen(units[i].name);

		if (strncmp(text + at, units[i].name, len) != 0 ||
		    value > DELAY_MAX_NS / units[i].ns)
			continue;
		*ns = value * units[i].ns;
		return at + len;
	}
	return 0;
}

/* ---- values ------------------------------------------------------------------ */

static int
set_rate(const struct item *item, dpdk_fault_rate *rate)
{
	size_t len = read_rate(item->value, rate);

	if (len != 0 && item->value[len] == '\0')
		return 0;
	return fail_item(item, "not a rate; write a percentage from 0% to "
			       "100%, for example 0.1%");
}

static int
set_burst(const struct item *item, struct dpdk_fault_spec *spec)
{
	size_t len = read_rate(item->value, &spec->burst), more;
	uint64_t run = 0;

	if (len != 0 && item->value[len] == ':') {
		more = read_number(item->value + len + 1, RUN_MAX, &run);
		if (more != 0 && run != 0 &&
		    item->value[len + 1 + more] == '\0') {
			spec->burst_end = DPDK_FAULT_ALWAYS / run;
			return 0;
		}
	}
	return fail_item(item, "not a rate and a mean length of the run; "
			       "write for example burst=0.1%:20");
}

static int
set_reorder(const struct item *item, struct dpdk_fault_spec *spec)
{
	size_t len = read_rate(item->value, &spec->reorder), more;
	uint64_t by = REORDER_BY_DEFAULT;

	if (len != 0 && item->value[len] == ':') {
		more = read_number(item->value + len + 1,
				   DPDK_FAULT_REORDER_MAX, &by);
		len = more == 0 ? 0 : len + 1 + more;
	}
	spec->reorder_by = (uint32_t)by;
	if (len != 0 && item->value[len] == '\0' && by != 0)
		return 0;
	return fail_item(item, "not a rate and a number of frames from 1 to "
			       "1024; write for example reorder=2%:8");
}

static int
set_corrupt(const struct item *item, struct dpdk_fault_spec *spec)
{
	dpdk_fault_rate rate;
	size_t len = read_rate(item->value, &rate);

	if (len != 0 && item->value[len] == '\0') {
		spec->corrupt = rate;
		return 0;
	}
	if (len != 0 && strcmp(item->value + len, ":sum") == 0) {
		spec->corrupt_sum = rate;
		return 0;
	}
	return fail_item(item, "not a rate; write corrupt=0.1%, or "
			       "corrupt=0.1%:sum for what the UDP checksum "
			       "does not notice");
}

static int
set_delay(const struct item *item, struct dpdk_fault_spec *spec)
{
	size_t len = read_time(item->value, &spec->delay_ns), more;

	if (len != 0 && item->value[len] == ':') {
		more = read_time(item->value + len + 1, &spec->jitter_ns);
		len = more == 0 ? 0 : len + 1 + more;
	}
	if (len != 0 && item->value[len] == '\0')
		return 0;
	return fail_item(item, "not a time of at most 10s, and another at "
			       "random on top; write for example "
			       "delay=50us:10us");
}

static int
set_seed(const struct item *item, struct dpdk_fault_spec *spec)
{
	size_t len = read_number(item->value, UINT32_MAX, &spec->seed);

	if (len != 0 && item->value[len] == '\0')
		return 0;
	return fail_item(item, "not a number of 32 bits; write for example "
			       "seed=7");
}

static int
set_hold(const struct item *item, struct dpdk_fault_spec *spec)
{
	uint64_t hold;
	size_t len = read_number(item->value, DPDK_FAULT_HOLD_MAX, &hold);

	if (len == 0 || item->value[len] != '\0' || hold < DPDK_FAULT_HOLD_MIN)
		return fail_item(item, "not a number of frames from 128 to "
				       "16384; write for example hold=1024");
	spec->hold = rte_align32pow2((uint32_t)hold);
	return 0;
}

/* ---- items --------------------------------------------------------------------- */

static const char *const keys[] = { "loss",    "burst",   "dup",
				    "reorder", "corrupt", "truncate",
				    "delay",   "seed",    "hold" };

#define KEYS (sizeof(keys) / sizeof(keys[0]))

static int
set_item(const struct item *item, size_t key, struct dpdk_fault_spec *spec)
{
	switch (key) {
	case 0:
		return set_rate(item, &spec->loss);
	case 1:
		return set_burst(item, spec);
	case 2:
		return set_rate(item, &spec->dup);
	case 3:
		return set_reorder(item, spec);
	case 4:
		return set_corrupt(item, spec);
	case 5:
		return set_rate(item, &spec->truncate);
	case 6:
		return set_delay(item, spec);
	case 7:
		return set_seed(item, spec);
	default:
		return set_hold(item, spec);
	}
}

/* @return which key the item has, or KEYS with weir_fail(). */
static size_t
find_key(struct item *item)
{
	size_t len = strcspn(item->text, "="), key = 0;

	while (key < KEYS && (strlen(keys[key]) != len ||
			      strncmp(keys[key], item->text, len) != 0))
		key++;
	if (key == KEYS || item->text[len] != '=') {
		(void)fail_item(item, "no such fault; there are loss=, burst=, "
				      "dup=, reorder=, corrupt=, truncate=, "
				      "delay=, and seed=, hold=");
		return KEYS;
	}
	item->value = item->text + len + 1;
	return key;
}

int
weir_dpdk_fault_parse(const char *text, struct dpdk_fault_spec *spec)
{
	bool given[KEYS] = { false };
	const char *at = text;

	*spec = (struct dpdk_fault_spec){
		.loss = DPDK_FAULT_NOT_ASKED,
		.burst = DPDK_FAULT_NOT_ASKED,
		.dup = DPDK_FAULT_NOT_ASKED,
		.reorder = DPDK_FAULT_NOT_ASKED,
		.corrupt = DPDK_FAULT_NOT_ASKED,
		.corrupt_sum = DPDK_FAULT_NOT_ASKED,
		.truncate = DPDK_FAULT_NOT_ASKED,
		.seed = SEED_DEFAULT,
		.hold = HOLD_DEFAULT,
	};
	for (;;) {
		struct item item = { .value = NULL };
		size_t len = strcspn(at, ","), key;
		int rc;

		if (len >= sizeof(item.text))
			return weir_fail(-EINVAL,
					 "fault: %.32s...: longer than any "
					 "fault; see weir-perf(1)",
					 at);
		memcpy(item.text, at, len);
		key = find_key(&item);
		if (key == KEYS)
			return -EINVAL;
		/* Both kinds of corruption may be wanted. */
		if (given[key] && key != 4)
			return fail_item(&item, "given twice; leave one out");
		given[key] = true;
		rc = set_item(&item, key, spec);
		if (rc != 0)
			return rc;
		at += len;
		if (*at++ == '\0')
			return 0;
	}
}
