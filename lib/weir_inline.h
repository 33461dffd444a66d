/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_INLINE_H
#define WEIR_INLINE_H

/**
 * @file
 * Dispatch of the data-path calls. Included by weir.h only: these types are
 * visible so that a call costs one indirect jump, not so that they be used.
 *
 * Three rules live here, once for every driver: the first lasting negative
 * answer of a half is latched; a consumed permit, slot or message is emptied;
 * and with WEIR_DEBUG misuse is named and aborts.
 */

struct weir_tx_stats;
struct weir_rx_stats;

struct weir_tx_ops {
	/** @return permits granted, 0 no room, or negative. size is at most
	 *  msg_size_max. Fills cookie; the caller fills tx and size. */
	int (*reserve)(struct weir_tx *tx, uint32_t size,
		       struct weir_permit *permits, uint16_t n);
	void (*drop)(struct weir_tx *tx, const struct weir_permit *permit);
	/** len is at most permit->size: cannot fail. Fills data and cookie. */
	void (*alloc)(struct weir_tx *tx, const struct weir_permit *permit,
		      uint32_t len, struct weir_slot *slot);
	void (*commit)(struct weir_tx *tx, const struct weir_slot *slot);
	void (*discard)(struct weir_tx *tx, const struct weir_slot *slot);
	void (*flush)(struct weir_tx *tx);

	/* Not on the data path; may lock and enter the kernel. */
	int (*close)(struct weir_tx *tx);
	uint32_t (*capacity)(struct weir_tx *tx, uint32_t size);
	int (*fd)(struct weir_tx *tx);
	int (*arm)(struct weir_tx *tx, uint32_t size);
	void (*wake)(struct weir_tx *tx); /**< any thread, signal-safe */
	void (*stats)(struct weir_tx *tx, struct weir_tx_stats *stats);
	void (*destroy)(struct weir_tx *tx);

	/** n > 0 slots in their order, with one claim. NULL: one by one. */
	void (*commit_burst)(struct weir_tx *tx, const struct weir_slot *slots,
			     uint16_t n);
	/** n > 0 slots whose len is at most their permit's size: cannot fail.
	 *  Fills data and cookie. NULL: one by one. */
	void (*alloc_burst)(struct weir_tx *tx,
			    const struct weir_permit *permits,
			    struct weir_slot *slots, uint16_t n);
};

struct weir_rx_ops {
	/** @return messages, 0 none yet, WEIR_EOF, or negative. */
	int (*recv)(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n);

	int (*fd)(struct weir_rx *rx);
	int (*arm)(struct weir_rx *rx);
	void (*wake)(struct weir_rx *rx); /**< any thread, signal-safe */
	void (*stats)(struct weir_rx *rx, struct weir_rx_stats *stats);
	void (*destroy)(struct weir_rx *rx);
};

/* First member of every driver's send half. */
struct weir_tx {
	const struct weir_tx_ops *ops;
	struct weir_port *port;
	uint32_t msg_size_max;
	int32_t status;  /* 0, or the latched answer of every later call */
	uint32_t shared; /* several threads may be in a call at once */
	uint32_t busy;   /* WEIR_DEBUG: a call is under way */
	uint32_t cancel; /* set by weir_tx_cancel() */
	uint32_t reserved;
	uint64_t copied_bytes; /* by send and forward */
};

/* First member of every driver's receive half. */
struct weir_rx {
	const struct weir_rx_ops *ops;
	struct weir_port *port;
	int32_t status;
	uint32_t busy;
	uint32_t cancel;
	uint32_t shared; /* never: as above */
};

/* First member of whatever outlives a half to keep its messages readable. */
struct weir_store {
	/** Any thread. */
	void (*release)(struct weir_store *store, const struct weir_msg *msg);
	/** n > 0 messages of this store. NULL: one by one. */
	void (*release_burst)(struct weir_store *store,
			      const struct weir_msg *msgs, uint16_t n);
};

/** Names the call and the mistake on stderr and aborts. */
WEIR_API void weir_misuse(const char *call, const char *what)
	__attribute__((noreturn, cold));

#ifdef WEIR_DEBUG
#define WEIR_ENTER(half, call)                                           \
	(!(half)->shared && __atomic_exchange_n(&(half)->busy, 1u,       \
						__ATOMIC_ACQUIRE) != 0   \
		 ? weir_misuse(call, "half is in use by another thread") \
		 : (void)0)
#define WEIR_LEAVE(half) __atomic_store_n(&(half)->busy, 0u, __ATOMIC_RELEASE)
#define WEIR_DEMAND(cond, call, what) \
	((cond) ? (void)0 : weir_misuse(call, what))
#else
#define WEIR_ENTER(half, call)        ((void)0)
#define WEIR_LEAVE(half)              ((void)0)
#define WEIR_DEMAND(cond, call, what) ((void)0)
#endif

/** Remember the first lasting negative answer; cold. @return rc, or what
 *  another thread was first with. */
WEIR_API int weir_latch(int32_t *status, int rc) __attribute__((cold));

static inline int
weir_tx_reserve_burst(struct weir_tx *tx, uint32_t size_hint,
		      struct weir_permit *permits, uint16_t n)
{
	int rc;

	WEIR_ENTER(tx, "weir_tx_reserve");
	/* Atomic for those that several threads use; the same instruction. */
	rc = __atomic_load_n(&tx->status, __ATOMIC_RELAXED);
	if (__builtin_expect(rc != 0, 0)) {
		; /* for ever */
	} else if (__builtin_expect(size_hint > tx->msg_size_max, 0)) {
		rc = weir_latch(&tx->status, -EMSGSIZE);
	} else {
		rc = tx->ops->reserve(tx, size_hint, permits, n);
		if (__builtin_expect(rc < 0, 0))
			rc = weir_latch(&tx->status, rc);
		for (int i = 0; i < rc; i++) {
			permits[i].tx = tx;
			permits[i].size = size_hint;
		}
	}
	WEIR_LEAVE(tx);
	return rc;
}

static inline int
weir_tx_reserve(struct weir_tx *tx, struct weir_permit *permit)
{
	int rc = weir_tx_reserve_burst(tx, tx->msg_size_max, permit, 1);

	if (rc != 1)
		permit->tx = NULL;
	return rc;
}

static inline void
weir_permit_drop(struct weir_permit *permit)
{
	struct weir_tx *tx = permit->tx;

	WEIR_DEMAND(tx != NULL, "weir_permit_drop", "permit was consumed");
	WEIR_ENTER(tx, "weir_permit_drop");
	permit->tx = NULL;
	tx->ops->drop(tx, permit);
	WEIR_LEAVE(tx);
}

static inline int
weir_permit_alloc(struct weir_permit *permit, uint32_t len,
		  struct weir_slot *slot)
{
	struct weir_tx *tx = permit->tx;

	WEIR_DEMAND(tx != NULL, "weir_permit_alloc", "permit was consumed");
	WEIR_ENTER(tx, "weir_permit_alloc");
	permit->tx = NULL;
	if (__builtin_expect(len > permit->size, 0)) {
		tx->ops->drop(tx, permit);
		slot->tx = NULL;
		WEIR_LEAVE(tx);
		return -EMSGSIZE;
	}
	slot->tx = tx;
	slot->len = len;
	tx->ops->alloc(tx, permit, len, slot);
	WEIR_LEAVE(tx);
	return 0;
}

/* gcc does not see that n permits were granted when n of them are used. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
static inline int
weir_permit_alloc_burst(struct weir_permit *permits, const uint32_t *lens,
			struct weir_slot *slots, uint16_t n)
{
	struct weir_tx *tx = n != 0 ? permits[0].tx : NULL;
	bool fits = true;

	if (n == 0)
		return 0;
	WEIR_DEMAND(tx != NULL, "weir_permit_alloc_burst",
		    "permit was consumed");
	WEIR_ENTER(tx, "weir_permit_alloc_burst");
	for (uint16_t i = 0; i < n; i++) {
		WEIR_DEMAND(permits[i].tx == tx, "weir_permit_alloc_burst",
			    "permit was consumed, or is of another half");
		fits &= lens[i] <= permits[i].size;
		permits[i].tx = NULL;
		slots[i].tx = tx;
		slots[i].len = lens[i];
	}
	if (__builtin_expect(!fits, 0)) {
		for (uint16_t i = 0; i < n; i++) {
			tx->ops->drop(tx, &permits[i]);
			slots[i].tx = NULL;
		}
	} else if (tx->ops->alloc_burst != NULL) {
		tx->ops->alloc_burst(tx, permits, slots, n);
	} else {
		for (uint16_t i = 0; i < n; i++)
			tx->ops->alloc(tx, &permits[i], lens[i], &slots[i]);
	}
	WEIR_LEAVE(tx);
	return fits ? 0 : -EMSGSIZE;
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

static inline void
weir_slot_commit(struct weir_slot *slot)
{
	struct weir_tx *tx = slot->tx;

	WEIR_DEMAND(tx != NULL, "weir_slot_commit", "slot was consumed");
	WEIR_ENTER(tx, "weir_slot_commit");
	slot->tx = NULL;
	tx->ops->commit(tx, slot);
	WEIR_LEAVE(tx);
}

static inline void
weir_slot_commit_burst(struct weir_slot *slots, uint16_t n)
{
	struct weir_tx *tx = n != 0 ? slots[0].tx : NULL;

	if (tx == NULL || tx->ops->commit_burst == NULL) {
		for (uint16_t i = 0; i < n; i++)
			weir_slot_commit(&slots[i]);
		return;
	}
	WEIR_ENTER(tx, "weir_slot_commit_burst");
	for (uint16_t i = 0; i < n; i++) {
		WEIR_DEMAND(slots[i].tx != NULL, "weir_slot_commit_burst",
			    "slot was consumed");
		WEIR_DEMAND(slots[i].tx == tx, "weir_slot_commit_burst",
			    "slots are of several halves");
		slots[i].tx = NULL;
	}
	tx->ops->commit_burst(tx, slots, n);
	WEIR_LEAVE(tx);
}

static inline void
weir_slot_discard(struct weir_slot *slot)
{
	struct weir_tx *tx = slot->tx;

	WEIR_DEMAND(tx != NULL, "weir_slot_discard", "slot was consumed");
	WEIR_ENTER(tx, "weir_slot_discard");
	slot->tx = NULL;
	tx->ops->discard(tx, slot);
	WEIR_LEAVE(tx);
}

static inline void
weir_tx_flush(struct weir_tx *tx)
{
	WEIR_ENTER(tx, "weir_tx_flush");
	tx->ops->flush(tx);
	WEIR_LEAVE(tx);
}

static inline int
weir_rx_recv_burst(struct weir_rx *rx, struct weir_msg *msgs, uint16_t n)
{
	int rc;

	WEIR_ENTER(rx, "weir_rx_recv");
	rc = rx->status;
	if (__builtin_expect(rc == 0, 1)) {
		rc = rx->ops->recv(rx, msgs, n);
		if (__builtin_expect(rc < 0, 0))
			rc = weir_latch(&rx->status, rc);
	}
	WEIR_LEAVE(rx);
	return rc;
}

static inline int
weir_rx_recv(struct weir_rx *rx, struct weir_msg *msg)
{
	int rc = weir_rx_recv_burst(rx, msg, 1);

	if (rc != 1)
		msg->store = NULL;
	return rc;
}

static inline void
weir_msg_release(struct weir_msg *msg)
{
	struct weir_store *store = msg->store;

	WEIR_DEMAND(store != NULL, "weir_msg_release", "message was consumed");
	msg->store = NULL;
	store->release(store, msg);
}

static inline void
weir_msg_release_burst(struct weir_msg *msgs, uint16_t n)
{
	uint16_t first = 0, end;

	for (; first < n; first = end) {
		struct weir_store *store = msgs[first].store;

		end = first;
		do {
			WEIR_DEMAND(msgs[end].store != NULL,
				    "weir_msg_release_burst",
				    "message was consumed");
			msgs[end++].store = NULL;
		} while (end < n && msgs[end].store == store);
		if (store->release_burst != NULL)
			store->release_burst(store, &msgs[first],
					     (uint16_t)(end - first));
		else
			for (uint16_t i = first; i < end; i++)
				store->release(store, &msgs[i]);
	}
}

#endif /* WEIR_INLINE_H */
