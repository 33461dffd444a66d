/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive-half calls that are not dispatched inline. */

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "core.h"

int
weir_rx_recv_wait(struct weir_rx *rx, uint64_t deadline_ns,
		  struct weir_msg *msg)
{
	struct weir_wait wait;
	int rc, next;

	weir_wait_begin(&wait, rx->port, deadline_ns, &rx->cancel);
	while ((rc = weir_rx_recv(rx, msg)) == 0) {
		next = weir_wait_turn(&wait);
		if (next == WEIR_WAIT_SLEEP) {
			/* Who polls the port itself needs no doorbell. Not 1:
			 * the next recv says what there is. */
			if (!wait.polls && weir_rx_arm(rx) != 1) {
				sched_yield();
				continue;
			}
			next = weir_wait_sleep(&wait, weir_rx_fd(rx));
		}
		if (next <= 0)
			return next;
	}
	return rc;
}

void
weir_rx_cancel(struct weir_rx *rx)
{
	/* Pairs with the acquire of the wait that it ends; sequential for the
	 * sake of wake(), see weir_wait_sleep(). */
	__atomic_exchange_n(&rx->cancel, 1, __ATOMIC_SEQ_CST);
	/* Atomic: the half's thread may be exchanging the table. */
	__atomic_load_n(&rx->ops, __ATOMIC_ACQUIRE)->wake(rx);
}

int
weir_rx_fd(struct weir_rx *rx)
{
	return rx->ops->fd(rx);
}

int
weir_rx_arm(struct weir_rx *rx)
{
	int rc = rx->status;

	WEIR_ENTER(rx, "weir_rx_arm");
	if (rc == 0)
		rc = rx->ops->arm(rx);
	WEIR_LEAVE(rx);
	return rc;
}

void
weir_rx_stats(struct weir_rx *rx, struct weir_rx_stats *stats, size_t size)
{
	struct weir_rx_stats all = { 0 };

	rx->ops->stats(rx, &all);
	memset(stats, 0, size);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
}

void
weir_rx_free(struct weir_rx *rx)
{
	struct weir_port *port = rx->port;

	rx->ops->destroy(rx);
	weir_board_half_free(rx);
	weir_port_user_remove(port);
}

void
weir_rx_destroy(struct weir_rx *rx)
{
	if (rx == NULL)
		return;
	WEIR_ENTER(rx, "weir_rx_destroy");
	weir_rx_free(rx);
}
