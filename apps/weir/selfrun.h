/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_SELFRUN_H
#define WEIR_SELFRUN_H

/*
 * The other side of a --self run: a second process (this program again) or a
 * thread, and the page through which the two take turns.
 *
 *     meter                             peer
 *     weir_self_begin(op) ---turn--->   weir_self_next(): op
 *       its half of op                    its half of op
 *     weir_self_end()     <---done---   weir_self_reply(rc)
 *
 * The peer is started before DPDK is: a forked EAL is of no use. It dies with
 * the meter, and is never left behind.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "counters.h"
#include "fault.h"
#include "load.h"
#include "order.h"
#include "placement.h"

#define WEIR_SELF_ENDPOINT_MAX 512

enum weir_self_op {
	WEIR_SELF_SIZE,   /* new message size: open the loads for it */
	WEIR_SELF_PROBE,  /* answer a placement probe */
	WEIR_SELF_ECHO,   /* run the load until the gate closes */
	WEIR_SELF_SINK,   /* same, one way */
	WEIR_SELF_ANSWER, /* echo an open loop, see perf_load.h */
	WEIR_SELF_SETTLE, /* settle the load */
	WEIR_SELF_FAULT,  /* begin or end the faults of --fault */
	WEIR_SELF_COUNT,  /* say what was counted so far */
	WEIR_SELF_QUIT,   /* close everything and end */
};

enum weir_self_state {
	WEIR_SELF_STARTING,
	WEIR_SELF_LISTENING,
	WEIR_SELF_UP,
	WEIR_SELF_FAILED, /* has said why on stderr; rc is the exit code */
};

enum weir_self_which {
	WEIR_SELF_FLOOR,
	WEIR_SELF_TEST
};

/* Written by the meter before it moves turn on. */
struct weir_self_order {
	uint32_t op;    /* enum weir_self_op */
	uint32_t which; /* enum weir_self_which */
	uint32_t kind;  /* WEIR_SELF_SIZE: enum weir_perf_kind */
	uint32_t size;  /* WEIR_SELF_SIZE: payload bytes */
	uint32_t cells; /* WEIR_SELF_SIZE: cells of the floor's ring */
	uint32_t floor; /* WEIR_SELF_SIZE: there is a floor */
	uint32_t huge;  /* WEIR_SELF_SIZE: the area lies in huge pages */
	uint64_t area;  /* WEIR_SELF_SIZE: bytes of the floor's area */
	uint32_t fault; /* WEIR_SELF_FAULT: begin */
};

/* Written by the peer before it moves done on. */
struct weir_self_reply {
	int32_t rc;
	uint32_t reserved;
	struct weir_flow flow;       /* WEIR_SELF_SINK */
	struct weir_integrity found; /* by the peer, since the start */
	uint64_t received;           /* by the peer's link, since the start */
	struct weir_fault_counts fault; /* WEIR_SELF_FAULT */
	struct weir_counters counters;  /* WEIR_SELF_COUNT */
};

/* Written by the peer: when its loop stood still; see perf_load.h. */
struct weir_self_gaps {
	_Alignas(64) _Atomic uint64_t count;
	_Atomic uint64_t ticks;
	_Atomic uint64_t longest;
	uint64_t limit; /* set by the meter: a longer look is a gap */
};

struct weir_self_page {
	_Alignas(64) _Atomic uint32_t turn;
	struct weir_self_order order;
	_Alignas(64) _Atomic uint32_t done;
	struct weir_self_reply reply;
	struct weir_gate gate;
	struct weir_probe probe;
	struct weir_self_gaps gaps;
	_Alignas(64) _Atomic uint32_t state;
	int32_t exit_code;
	int32_t cpu;      /* the peer's */
	uint32_t one_cpu; /* both sides share it: give way at once */
	char endpoint[WEIR_SELF_ENDPOINT_MAX];
};

/* One side's view. */
struct weir_self {
	struct weir_self_page *page;
	uint8_t *area; /* what the floor of mem and shm runs in */
	size_t area_len;
	int fd;       /* page, then area */
	int huge_fd;  /* area in huge pages; -1: there are none */
	int bells[2]; /* eventfds of a floor that sleeps; see floor.h */
	uint32_t turn;
	uint32_t spin_limit;
	uint64_t probe_number;
	pid_t pid;        /* meter: of the peer process; 0: a thread */
	pthread_t thread; /* meter: valid when pid is 0 */
	int status;       /* meter: how the peer process ended */
	bool ended;
};

/**
 * Start the peer: peer(self) runs in a thread, or, when it is NULL, in a
 * process that finds weir_self_inherited() true.
 *
 * @return 0; -errno.
 */
int weir_self_start(struct weir_self *self, const char *endpoint,
		    const int cpus[2], bool huge, void *(*peer)(void *));

/** In a program that was just started: are we the peer of someone? */
bool weir_self_inherited(void);

/** Peer process: take the page that was inherited. @return 0; -errno. */
int weir_self_attach(struct weir_self *self);

/**
 * Meter: wait until the peer has come to a state, or has failed or died.
 *
 * @param idle called meanwhile; may be NULL.
 * @return 0; -ECHILD the peer has ended; -ETIMEDOUT.
 */
int weir_self_await(struct weir_self *self, enum weir_self_state state,
		    void (*idle)(void *), void *arg);

/** Meter: give the peer its turn. */
void weir_self_begin(struct weir_self *self, enum weir_self_op op,
		     enum weir_self_which which);

/** Meter: wait until the peer is done. @return its rc; -ECHILD; -ETIMEDOUT. */
int weir_self_end(struct weir_self *self, struct weir_load *idle);

/** Peer: wait for the next turn. */
enum weir_self_op weir_self_next(struct weir_self *self);

/** Peer: the turn is done; fill page->reply before. */
void weir_self_reply(struct weir_self *self, int rc);

/** Both: map the floor's area anew. The meter chooses, the peer follows.
 *  @return 0; -ENOMEM. */
int weir_self_area(struct weir_self *self, size_t len);

/** Both: open and close the gate; only the meter closes. */
void weir_self_gate(struct weir_self *self, bool open, uint64_t sent);

/** Meter: end the peer, by force if it does not go, and free all. */
void weir_self_stop(struct weir_self *self);

/**
 * An endpoint that nobody else uses: as given, but with a name of our own
 * where the address is a name.
 */
void weir_self_endpoint(const char *endpoint, char *text, size_t size);

/** True if the two sides must be threads of one process. */
bool weir_self_in_process(const char *endpoint);

#endif /* WEIR_SELFRUN_H */
