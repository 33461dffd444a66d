/* SPDX-License-Identifier: BSD-3-Clause */
/* Send-half calls that are not dispatched inline: waiting, send, close. */

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "board.h"
#include "core.h"

static int
status_of(const struct weir_tx *tx)
{
	return __atomic_load_n(&tx->status, __ATOMIC_RELAXED);
}

int
weir_tx_reserve_wait(struct weir_tx *tx, uint32_t size_hint,
		     uint64_t deadline_ns, struct weir_permit *permit)
{
	struct weir_wait wait;
	bool armed = false;
	int rc, next;

	weir_wait_begin(&wait, tx->port, deadline_ns, &tx->cancel);
	permit->tx = NULL;
	while ((rc = weir_tx_reserve_burst(tx, size_hint, permit, 1)) == 0) {
		next = weir_wait_turn(&wait);
		if (next == WEIR_WAIT_SLEEP) {
			/* Who polls the port itself needs no doorbell. Not 1:
			 * the next reserve says what there is. */
			if (!wait.polls && weir_tx_arm(tx, size_hint) != 1) {
				sched_yield();
				continue;
			}
			armed = !wait.polls;
			next = weir_wait_sleep(&wait, weir_tx_fd(tx));
		}
		if (next > 0)
			continue;
		/* Or the others would go on waking us. */
		if (armed && tx->shared)
			(void)weir_tx_reserve_burst(tx, size_hint, permit, 0);
		return next;
	}
	return rc;
}

static void
count_copy(struct weir_tx *tx, uint32_t len)
{
	if (tx->shared)
		__atomic_fetch_add(&tx->copied_bytes, len, __ATOMIC_RELAXED);
	else
		tx->copied_bytes += len;
}

static int
fill_and_commit(struct weir_tx *tx, const void *data, uint32_t len,
		struct weir_permit *permit)
{
	struct weir_slot slot;
	int rc = weir_permit_alloc(permit, len, &slot);

	if (rc != 0)
		return rc;
	if (len != 0)
		memcpy(slot.data, data, len);
	count_copy(tx, len);
	weir_slot_commit(&slot);
	return 0;
}

int
weir_tx_send(struct weir_tx *tx, const void *data, uint32_t len)
{
	struct weir_permit permit;
	int rc = weir_tx_reserve_wait(tx, len, WEIR_FOREVER, &permit);

	if (rc < 0)
		return rc;
	rc = fill_and_commit(tx, data, len, &permit);
	weir_tx_flush(tx);
	return rc;
}

int
weir_tx_try_send(struct weir_tx *tx, const void *data, uint32_t len)
{
	struct weir_permit permit;
	int rc = weir_tx_reserve_burst(tx, len, &permit, 1);

	if (rc != 1)
		return rc;
	rc = fill_and_commit(tx, data, len, &permit);
	weir_tx_flush(tx);
	return rc == 0 ? 1 : rc;
}

int
weir_msg_forward(struct weir_msg *msg, struct weir_permit *permit)
{
	struct weir_tx *tx = permit->tx;
	int rc = fill_and_commit(tx, msg->data, msg->len, permit);

	if (rc == 0)
		weir_msg_release(msg);
	return rc;
}

void
weir_tx_cancel(struct weir_tx *tx)
{
	/* Pairs with the acquire of the wait that it ends; sequential for the
	 * sake of wake(), see weir_wait_sleep(). Where several threads may wait
	 * each call counts. */
	if (tx->shared)
		__atomic_fetch_add(&tx->cancel, 1, __ATOMIC_SEQ_CST);
	else
		__atomic_exchange_n(&tx->cancel, 1, __ATOMIC_SEQ_CST);
	tx->ops->wake(tx);
}

/* Does the application hold a permit or slot? The driver knows. */
static bool
anything_out(struct weir_tx *tx)
{
	struct weir_tx_stats now = { 0 };

	tx->ops->stats(tx, &now);
	return now.permitted + now.allocated != 0;
}

/* A peer that lies may be gone now and look well again later. -EALREADY is
 * for a thread that found another one closing. */
static int
close_half(struct weir_tx *tx)
{
	int rc = tx->ops->close(tx);

	weir_latch(&tx->status, rc == 0 || rc == -EALREADY ? -EPIPE : rc);
	return rc;
}

int
weir_tx_close(struct weir_tx *tx)
{
	int rc = status_of(tx);

	WEIR_ENTER(tx, "weir_tx_close");
	if (rc == -EPIPE)
		rc = -EALREADY;
	else if (rc == 0 && !tx->shared && anything_out(tx))
		rc = -EBUSY;
	else if (rc == 0)
		rc = close_half(tx);
	WEIR_LEAVE(tx);
	return rc;
}

uint32_t
weir_tx_msg_size_max(const struct weir_tx *tx)
{
	return tx->msg_size_max;
}

uint32_t
weir_tx_capacity(struct weir_tx *tx, uint32_t size_hint)
{
	return size_hint > tx->msg_size_max ? 0
					    : tx->ops->capacity(tx, size_hint);
}

int
weir_tx_fd(struct weir_tx *tx)
{
	return tx->ops->fd(tx);
}

int
weir_tx_arm(struct weir_tx *tx, uint32_t size_hint)
{
	int rc = status_of(tx);

	WEIR_ENTER(tx, "weir_tx_arm");
	if (rc == 0 && size_hint > tx->msg_size_max)
		rc = -EMSGSIZE;
	if (rc == 0)
		rc = tx->ops->arm(tx, size_hint);
	WEIR_LEAVE(tx);
	return rc;
}

void
weir_tx_stats(struct weir_tx *tx, struct weir_tx_stats *stats, size_t size)
{
	struct weir_tx_stats all = { 0 };

	tx->ops->stats(tx, &all);
	all.copied_bytes +=
		__atomic_load_n(&tx->copied_bytes, __ATOMIC_RELAXED);
	memset(stats, 0, size);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
}

void
weir_tx_free(struct weir_tx *tx)
{
	struct weir_port *port = tx->port;

	tx->ops->destroy(tx);
	weir_board_half_free(tx);
	weir_port_user_remove(port);
}

void
weir_tx_destroy(struct weir_tx *tx)
{
	if (tx == NULL)
		return;
	WEIR_ENTER(tx, "weir_tx_destroy");
	weir_tx_free(tx);
}
