/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_CHECK_H
#define WEIR_CHECK_H

/*
 * weir check: the doctor. Every check measures and adds findings; none of
 * them changes anything.
 *
 *     cmd_check.c       options, order, printing
 *     check_cpu.c       clock, processors, governor, NUMA
 *     check_memory.c    huge pages, locked memory, leftovers
 *     check_device.c    what the device of the endpoint needs
 *     check_endpoint.c  opens it and sends a message through
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tool.h"

enum check_state {
	CHECK_OK,
	CHECK_INFO,
	CHECK_WARN,
	CHECK_FAIL, /* the endpoint cannot work like this */
};

struct check_finding {
	enum check_state state;
	char name[16];
	char value[224];  /* what was measured */
	char effect[160]; /* what it means; "" if that is plain */
	char fix[224];    /* command or option; "" if there is none */
};

#define CHECK_FINDINGS_MAX 96

/* What is known about the endpoint before it is opened. */
struct check_target {
	bool given;
	char endpoint[WEIR_TOOL_ENDPOINT_MAX]; /* ready for weir_port_open() */
	char scheme[16];
	char device[64];    /* value of dev=, or "" */
	char interface[32]; /* value of dev.iface=, or "" */
};

struct check {
	struct check_target target;
	struct check_finding findings[CHECK_FINDINGS_MAX];
	unsigned int count;
	bool clean; /* --clean: remove what dead processes left */
};

/* Add a finding; value in printf style. @return it, for effect and fix. */
struct check_finding *weir_check_add(struct check *check,
				     enum check_state state, const char *name,
				     const char *format, ...)
	__attribute__((format(printf, 4, 5)));
void weir_check_effect(struct check_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void weir_check_fix(struct check_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* First line of a file. @return false if it cannot be read. */
bool weir_check_read(char *line, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "212 MiB", "64 KiB" or "17 B". Static text, valid until the fourth call. */
const char *weir_check_bytes(uint64_t bytes);

void weir_check_cpu(struct check *check);
void weir_check_memory(struct check *check);
void weir_check_leftovers(struct check *check);
void weir_check_device(struct check *check);
void weir_check_endpoint(struct check *check);

/* Free huge pages of the default size, all nodes. */
uint64_t weir_check_free_hugepages(uint64_t *page_bytes);

#endif /* WEIR_CHECK_H */
