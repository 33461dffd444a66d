/* SPDX-License-Identifier: BSD-3-Clause */
/* The faults of --fault and WEIR_FAULT; see fault.h. */

#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver_load.h"

#define SPEC_MAX  256
#define ENV_FAULT "WEIR_FAULT"

const char *weir_fault_spec;

/* What the environment said; the same pointer: no option has said more. */
static const char *inherited;

typedef int (*fault_fn)(struct weir_port *port, const char *spec);
typedef int (*fault_stats_fn)(struct weir_port *port,
			      struct weir_fault_counts *stats, size_t size);

#ifdef WEIR_DPDK_BUILT_IN
extern int weir_dpdk_port_fault(struct weir_port *port, const char *spec);
extern int weir_dpdk_port_fault_stats(struct weir_port *port,
				      struct weir_fault_counts *stats,
				      size_t size);
#endif

static fault_fn
find_fault(void)
{
#ifdef WEIR_DPDK_BUILT_IN
	return weir_dpdk_port_fault;
#else
	fault_fn fn;

	*(void **)&fn = weir_driver_dpdk_symbol("weir_dpdk_port_fault");
	return fn;
#endif
}

static fault_stats_fn
find_stats(void)
{
#ifdef WEIR_DPDK_BUILT_IN
	return weir_dpdk_port_fault_stats;
#else
	fault_stats_fn fn;

	*(void **)&fn = weir_driver_dpdk_symbol("weir_dpdk_port_fault_stats");
	return fn;
#endif
}

void
weir_fault_start(void)
{
	inherited = getenv(ENV_FAULT);
	weir_fault_spec = inherited;
}

static bool
wanted(void)
{
	return weir_fault_spec != NULL && weir_fault_spec[0] != '\0';
}

void
weir_fault_export(void)
{
	if (wanted())
		setenv(ENV_FAULT, weir_fault_spec, 1);
	else
		unsetenv(ENV_FAULT);
}

static bool
is_dpdk(const char *endpoint)
{
	return strncmp(endpoint, "dpdk:", 5) == 0;
}

bool
weir_fault_wanted(const char *endpoint)
{
	return wanted() && is_dpdk(endpoint);
}

/* The specification with all rates 0 and no delay: what draws the random
 * numbers stays. Both ends of a run in one process ask for it at once: the
 * buffer is the caller's. */
static const char *
harmless(char text[SPEC_MAX])
{
	size_t used = 0;
	const char *at = weir_fault_spec;

	while (*at != '\0') {
		size_t len = strcspn(at, ",");
		size_t key = strcspn(at, "=");
		size_t rate = strcspn(at, "%,");

		if (at[rate] == '%' && used + len + 4 < SPEC_MAX)
			used += (size_t)snprintf(
				text + used, SPEC_MAX - used, "%s%.*s=0%.*s",
				used == 0 ? "" : ",", (int)key, at,
				(int)(len - rate), at + rate);
		at += len + (at[len] == ',');
	}
	return used == 0 ? NULL : text;
}

int
weir_fault_switch(const char *endpoint, struct weir_port *port, bool on)
{
	char text[SPEC_MAX];
	fault_fn fn;

	if (!wanted())
		return 0;
	if (!is_dpdk(endpoint))
		return weir_fault_spec == inherited ? 0 : -EOPNOTSUPP;
	fn = find_fault();
	if (fn == NULL)
		return -ELIBACC;
	return fn(port, on ? weir_fault_spec : harmless(text));
}

void
weir_fault_count(const char *endpoint, struct weir_port *port,
		 struct weir_fault_counts *counts)
{
	fault_stats_fn fn = is_dpdk(endpoint) ? find_stats() : NULL;

	if (fn == NULL || fn(port, counts, sizeof(*counts)) != 0)
		memset(counts, 0, sizeof(*counts));
}
