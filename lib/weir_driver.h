/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_DRIVER_H
#define WEIR_DRIVER_H

/**
 * @file
 * What a driver implements. Start from drivers/mem/mem.c.
 *
 * A driver embeds struct weir_port, weir_listener, weir_link, weir_tx and
 * weir_rx as first members of its own structs and reports their sizes. The
 * core allocates them zeroed and aligned to a cache line, fills the embedded
 * struct (config with defaults applied), calls the driver, and frees them.
 *
 * Life. link, tx and rx are three objects that go in any order; what they
 * share (mapping, socket, device) is a reference-counted object of the
 * driver. Received messages hold a struct weir_store, which goes with the
 * last of: the half, the handles.
 *
 * Calls through weir_tx_ops and weir_rx_ops above "Not on the data path" may
 * not allocate, lock, log or enter the kernel on their common path. The core
 * has already: latched errors, checked size <= msg_size_max, refused a second
 * close and one while stats counts permits or slots.
 * Threads. port_*, listener_* and link_* calls of one port never overlap each
 * other nor port_poll: the core sees to it. Calls through the ops tables run on
 * the half's thread, beside port_poll on the owner's.
 *
 * Sleeping. arm never drains the half's descriptor; the next reserve or recv
 * does. wake makes the descriptor readable whether armed or not.
 *
 * A link that is being set up answers 0. Once link_status has answered 0 the
 * next reserve, recv and capacity count. The reserve that first finds it up
 * may lower tx->msg_size_max, and answers 0 if size is over it now.
 */

#include "weir.h"
#include "weir_stats.h"

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_CACHE_LINE 64

#define WEIR_CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define WEIR_ENDPOINT_KEYS_MAX 24

/**
 * A parsed endpoint: scheme:address[,key=value]... The strings point into
 * text. An empty address has become "default".
 */
struct weir_endpoint {
	char text[512];
	const char *scheme;
	const char *address;
	unsigned int key_count;
	struct {
		const char *key;
		const char *value;
	} keys[WEIR_ENDPOINT_KEYS_MAX];
};

enum weir_driver_caps {
	WEIR_CAP_REMOTE = 1u << 0,  /**< the peer may be another machine */
	WEIR_CAP_PROCESS = 1u << 1, /**< the peer may be another process */
	WEIR_CAP_POLLED = 1u << 2,  /**< ports have an owner that polls */
	/** Several threads may share a send half, if asked for at open. */
	WEIR_CAP_MULTI_PRODUCER = 1u << 3,
};

/**
 * Where a half keeps a counter of its own: bytes from its beginning, and how
 * wide it is, 4 or 8. Zeros: nowhere.
 */
struct weir_half_counter {
	uint16_t offset;
	uint16_t width;
};

#define WEIR_HALF_COUNTER(type, field)                                        \
	{                                                                     \
		(uint16_t) offsetof(type, field), sizeof(((type *)0)->field), \
	}

/** What these are, by place in the table; new ones are added at the end. */
#define WEIR_HALF_COUNTERS(X)  \
	X(status)              \
	X(messages)            \
	X(payload_bytes)       \
	X(copied_bytes)        \
	X(discarded)           \
	X(doorbells)           \
	X(reserve_wait_down)   \
	X(reserve_wait_credit) \
	X(reserve_wait_queue)  \
	X(reserve_wait_small)  \
	X(reserve_wait_large)

#define WEIR_HALF_COUNTER_NAME(name) WEIR_HALF_##name,
enum weir_half_counter_name {
	WEIR_HALF_COUNTERS(WEIR_HALF_COUNTER_NAME) WEIR_HALF_COUNTERS_COUNT
};

#define WEIR_HALF_COUNTERS_MAX 16 /* entries of a table */

struct board_head;
struct board_slot;

struct weir_port {
	const struct weir_driver *driver;
	struct weir_port_config config;
	uint64_t owner;             /* pthread_t of the thread that polls */
	uint32_t users;             /* halves and listeners; atomic */
	struct weir_poller *poller; /* weir's own poll thread, or NULL */
	struct board_slot *board;   /* where weir stat reads; or NULL */
};

struct weir_listener {
	struct weir_port *port;
	struct weir_link_config config;
	struct weir_link *spare; /* allocated for the next accept */
	char endpoint[160];      /* as it was given, for weir stat */
};

struct weir_link {
	struct weir_port *port; /* NULL: joined from halves */
	struct weir_link_config config;
	struct weir_tx *tx; /* NULL: moved out by split */
	struct weir_rx *rx;
	const struct weir_driver *driver;
	struct board_slot *board; /* where weir stat reads; or NULL */
	/* Of a joined link: what its halves' were when they were moved out. */
	int tx_status;
	int rx_status;
};

struct weir_driver {
	const char *scheme;      /**< what precedes ':' in an endpoint */
	uint32_t caps;           /**< enum weir_driver_caps */
	uint32_t modes;          /**< bit (1 << enum weir_mode) */
	uint32_t tx_credits;     /**< of a link that asks for none; 0: 1,024 */
	uint32_t large_count;    /**< the same; 0: 2 */
	const char *const *keys; /**< endpoint keys it knows, NULL-terminated;
					"dev." stands for any key so begun */
	size_t port_size;
	size_t listener_size;
	size_t link_size;
	size_t tx_size;
	size_t rx_size;
	/** WEIR_HALF_COUNTERS_MAX entries each, for weir stat; or NULL. */
	const struct weir_half_counter *tx_counters;
	/** Of halves that several threads share; NULL: there are none. */
	const struct weir_half_counter *tx_shared_counters;
	const struct weir_half_counter *rx_counters;

	int (*port_open)(struct weir_port *port,
			 const struct weir_endpoint *ep);
	int (*port_poll)(struct weir_port *port);
	int (*port_fd)(struct weir_port *port);
	int (*port_arm)(struct weir_port *port, uint64_t *deadline_ns);
	void (*port_stats)(struct weir_port *port,
			   struct weir_port_stats *stats);
	/** No user is left. May wait, see weir_port_close(). */
	void (*port_close)(struct weir_port *port);

	int (*listener_open)(struct weir_listener *listener,
			     const struct weir_endpoint *ep);
	int (*listener_fd)(struct weir_listener *listener);
	void (*listener_close)(struct weir_listener *listener);

	/**
	 * Bring link, tx and rx to life (set link->tx->ops and so on): all three
	 * are allocated and zeroed. accept: 1, 0 nobody waits (the three are
	 * reused or freed), or negative.
	 */
	int (*link_accept)(struct weir_listener *listener,
			   struct weir_link *link);
	int (*link_connect)(struct weir_link *link,
			    const struct weir_endpoint *ep);
	int (*link_status)(struct weir_link *link);
	int (*link_peer)(struct weir_link *link, struct weir_peer *peer);
	void (*link_stats)(struct weir_link *link,
			   struct weir_link_stats *stats);
	/** The halves have been destroyed, or live on by themselves. */
	void (*link_destroy)(struct weir_link *link);
};

/* ---- what the core offers to drivers -------------------------------------- */

/** @return value of key, or NULL. */
WEIR_API const char *weir_endpoint_get(const struct weir_endpoint *ep,
				       const char *key);

/**
 * Read a number with an optional suffix k M G Ki Mi Gi.
 *
 * @return 0 and *value, which stays as it was if the key is absent;
 *         -EINVAL (weir_fail) when malformed or outside min..max.
 */
WEIR_API int weir_endpoint_u64(const struct weir_endpoint *ep, const char *key,
			       uint64_t min, uint64_t max, uint64_t *value);

/** Set the text of weir_last_error(): "subject: cause; what to do". @return rc. */
WEIR_API int weir_fail(int rc, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

WEIR_API void weir_log(enum weir_log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3), cold));

/**
 * The directory for sockets, made with mode 0700 if it is not there:
 * $WEIR_RUNTIME_DIR, /run/weir as root, $XDG_RUNTIME_DIR/weir, or
 * /tmp/weir-UID. Refused unless it is ours and no one else can write to it.
 *
 * @return 0; -EACCES, -ENOTDIR, -ENAMETOOLONG (weir_fail).
 */
WEIR_API int weir_runtime_dir(char *path, size_t size);

/**
 * Show weir stat the counters of a port with a poller, and of its links, as
 * they are now. Where port->board or link->board is NULL nobody asked for it.
 * Where port_poll runs; some ten times a second will do.
 */
WEIR_API void weir_port_publish(struct weir_port *port);
WEIR_API void weir_link_publish(struct weir_link *link, int status);

/** @return what there is to be read by weir stat, lib/board.h; or NULL. */
WEIR_API const struct board_head *weir_board(void);

/** @return true on the thread that polls the port. */
WEIR_API bool weir_port_is_owner(const struct weir_port *port);

#ifdef __cplusplus
}
#endif

#endif /* WEIR_DRIVER_H */
