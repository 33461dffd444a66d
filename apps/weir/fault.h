/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_TOOL_FAULT_H
#define WEIR_TOOL_FAULT_H

/*
 * --fault SPEC, or WEIR_FAULT in the environment: a bad network before the
 * receive queue of every dpdk port that the tool opens. The calls are in the
 * driver's library, which may not be loaded; see driver_load.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include "weir.h"

/* As struct weir_dpdk_fault_stats, whose header needs DPDK. */
struct weir_fault_counts {
	uint64_t frames;
	uint64_t lost;
	uint64_t duplicated;
	uint64_t reordered;
	uint64_t delayed;
	uint64_t corrupted;
	uint64_t truncated;
	uint64_t overflows;
	uint64_t held;
};

/** The environment's, until an option says otherwise. Before the options. */
void weir_fault_start(void);

/** The specification, "" or NULL: none. For the option's target. */
extern const char *weir_fault_spec;

/** Is there one, and an endpoint that can have it? */
bool weir_fault_wanted(const char *endpoint);

/** Hand it on to commands that are started. */
void weir_fault_export(void);

/**
 * Begin with it, or end it, on a port of this endpoint, if there is one. What
 * is left then costs as much as it did, and changes nothing.
 * Other drivers have none: a fault of the environment is not theirs, one of
 * the command line is an error.
 *
 * @return 0; -EOPNOTSUPP, or as weir_dpdk_port_fault(), with a text in
 *         weir_last_error() or, for -EOPNOTSUPP, none.
 */
int weir_fault_switch(const char *endpoint, struct weir_port *port, bool on);

/** All 0 where there is none. */
void weir_fault_count(const char *endpoint, struct weir_port *port,
		      struct weir_fault_counts *counts);

#endif /* WEIR_TOOL_FAULT_H */
