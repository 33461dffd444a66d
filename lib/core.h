/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_CORE_H
#define WEIR_CORE_H

/*
 * What the core's files say to each other: ports, links, halves, waiting.
 */

#include "weir_driver.h"

/* ---- endpoint.c ---- */

/* @return 0; -EINVAL (weir_fail). */
int weir_endpoint_parse(const char *text, struct weir_endpoint *ep);

/* Every key is one that the driver knows. @return 0; -EINVAL (weir_fail). */
int weir_endpoint_check(const struct weir_endpoint *ep,
			const struct weir_driver *driver);

/* ---- driver.c ---- */

/* @return NULL with weir_fail() telling which schemes there are. */
const struct weir_driver *weir_driver_for(const struct weir_endpoint *ep);

/* ---- error.c ---- */

void weir_fail_clear(void);

/* ---- port.c ---- */

/* Zeroed, aligned to a cache line; free() gives it back. */
void *weir_object(size_t size);

/* Keep set-up calls and weir's own poll thread apart. */
void weir_port_lock(struct weir_port *port);
void weir_port_unlock(struct weir_port *port);
void weir_port_user_add(struct weir_port *port);
void weir_port_user_remove(struct weir_port *port);

/* ---- poller.c ---- */

int weir_poller_start(struct weir_port *port, uint32_t cpu);
void weir_poller_stop(struct weir_port *port);
void weir_poller_lock(struct weir_poller *poller);
void weir_poller_unlock(struct weir_poller *poller);

/* ---- link.c ---- */

/* Destroy a half whose port may be NULL (a joined link's halves have one). */
void weir_tx_free(struct weir_tx *tx);
void weir_rx_free(struct weir_rx *rx);

/* ---- wait.c ---- */

enum weir_wait_next {
	WEIR_WAIT_OVER = 0, /* the deadline passed */
	WEIR_WAIT_AGAIN = 1,
	WEIR_WAIT_SLEEP = 2, /* arm and call weir_wait_sleep() */
};

struct weir_wait {
	struct weir_port *port; /* may be NULL */
	uint32_t *cancel;       /* may be NULL */
	uint64_t deadline_ns;
	uint64_t spin_end_ns; /* 0: not known yet */
	uint64_t spin_ns;
	uint32_t turns;
	bool polls; /* on the owner's thread of a polled port */
};

void weir_wait_begin(struct weir_wait *wait, struct weir_port *port,
		     uint64_t deadline_ns, uint32_t *cancel);

/* One turn of a loop that found nothing: polls the port if that is our job.
 * @return enum weir_wait_next, or -ECANCELED. */
int weir_wait_turn(struct weir_wait *wait);

/* Sleep until fd is readable, the deadline or a signal. fd may be -1: naps.
 * @return WEIR_WAIT_AGAIN, or -EINTR. */
int weir_wait_sleep(struct weir_wait *wait, int fd);

#endif /* WEIR_CORE_H */
