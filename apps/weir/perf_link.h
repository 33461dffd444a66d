/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_PERF_LINK_H
#define WEIR_PERF_LINK_H

/*
 * The link under test as a load: an application that does nothing but build
 * messages in place, read received ones out and hand them back. It checks
 * that each came once, in order and whole.
 */

#include "load.h"
#include "order.h"
#include "weir.h"

#define WEIR_PERF_BURST_MAX 256u

struct weir_perf_link {
	struct weir_load load; /* first */
	struct weir_port *port;
	struct weir_tx *tx;
	struct weir_rx *rx;
	bool polled;             /* we own a port that has to be polled */
	bool verify;             /* content too, not only number and length */
	uint64_t number;         /* of the next message to send */
	struct weir_order order; /* of received ones */
};

extern const struct weir_load_ops weir_perf_link_ops;

/* The same for round trips in which both sides sleep until a message comes. */
extern const struct weir_load_ops weir_perf_sleep_ops;

/** One look at the link: poll the port if it needs that. @return 0;
 *  negative. */
static inline int
weir_perf_link_poll(struct weir_perf_link *link)
{
	int rc = link->polled ? weir_port_poll(link->port) : 0;

	return rc < 0 ? rc : 0;
}

/** Wait until messages of the load's size can be sent: only then are the
 *  link's limits known. @return 0; negative. */
int weir_perf_link_ready(struct weir_perf_link *link);

/** Send one new message. @return 0; negative. */
int weir_perf_link_send(struct weir_perf_link *link);

/** Receive whatever there is, up to a burst, and check it.
 *  @return count; 0; negative. */
int weir_perf_link_take(struct weir_perf_link *link);

/** Receive and send back, if there is something. @return 1; 0; negative. */
int weir_perf_link_answer(struct weir_perf_link *link);

/** Build and commit n new messages on permits. */
void weir_perf_link_put(struct weir_perf_link *link,
			struct weir_permit *permits, uint32_t n);

/** Check received messages, send each back, then release them.
 *  @return n; negative. */
int weir_perf_link_echo(struct weir_perf_link *link, struct weir_msg *msgs,
			uint32_t n);

/** Poll for so long, so that acknowledgements get through. */
void weir_perf_link_linger(struct weir_perf_link *link, uint64_t ns);

/** Memory for a message of up to size bytes. @return 0; -ENOMEM. */
int weir_work_open(struct weir_work *work, uint32_t size);
void weir_work_close(struct weir_work *work);

/** Does this content belong to the message of that number? */
bool weir_payload_matches(const void *payload, uint32_t size, uint64_t number);
void weir_payload_fill(void *payload, uint32_t size, uint64_t number);

#endif /* WEIR_PERF_LINK_H */
