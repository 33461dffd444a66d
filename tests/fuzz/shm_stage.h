/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_TESTS_FUZZ_SHM_STAGE_H
#define WEIR_TESTS_FUZZ_SHM_STAGE_H

/*
 * A shm link of which the victim is the driver itself and the other side is
 * the fuzzer, both in this process:
 *
 *     fuzzer's segment  <-- read-only, nothing mapped beside it -- victim
 *     fuzzer's end of the control socket, of the bells
 *
 * With map_alone.h: every mapping ends at a page that nobody can touch.
 */
#include "fuzz.h"
#include "shm_lane.h"

struct shm_victim {
	struct weir_listener *listener; /* or NULL: it connects */
	struct weir_link *link;         /* NULL: of a listener, not yet */
	int sock;                       /* the fuzzer's end; -1: hung up */
};

struct weir_port *shm_stage_port(void);

/* A link is about to be set up over a new pair of sockets. The victim has said
 * HELLO if it connects.
 * @param keys of its endpoint: "", or with a comma first. */
void shm_victim_open(struct shm_victim *v, bool listens, const char *keys,
		     const struct weir_link_config *config);

/* One step of its set-up. @return as weir_link_status(). */
int shm_victim_step(struct shm_victim *v);

/* The fuzzer hangs up. */
void shm_victim_leave(struct shm_victim *v);

/* What is left of it. */
void shm_victim_close(struct shm_victim *v);

struct shm_session *shm_victim_session(const struct shm_victim *v);

/* The hello that goes with a segment. */
struct shm_hello shm_stage_hello(const struct shm_segment *segment,
				 bool victim_listens);

/* Before an input, and after it: nothing is open or mapped but what was. */
void shm_stage_begin(void);
void shm_stage_end(void);

/* Numbers of the next so many descriptors only are left to this process. */
void shm_stage_few_fds(unsigned int count);
void shm_stage_many_fds(void);

#endif
