/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef WEIR_H
#define WEIR_H

/**
 * @file
 * weir: message links over shared memory and DPDK queues.
 *
 * A link carries whole messages, reliably and in order, in both directions.
 * It has a send half (struct weir_tx) and a receive half (struct weir_rx),
 * which may live on different threads.
 *
 *     send:     reserve -> alloc -> write -> commit
 *     back out: drop the permit, or discard the slot
 *     receive:  recv -> read -> release
 *
 * The permit is sound: once reserve has granted it, alloc (up to the size
 * asked for) and commit neither fail nor wait, whatever the peer does.
 *
 * Return values. Polling calls (poll, accept, reserve, recv, try_send) return
 * how many they got; 0 means "none yet, call again". Every other int call
 * returns 0. A negative value is -errno or WEIR_EOF, and each call lists its
 * own. The first negative answer of a half repeats for ever, except
 * -ECANCELED, -EINTR, -EMSGSIZE, -EBUSY, -EINVAL and -EOPNOTSUPP, which say
 * something about the call alone. weir_strerror() names a value,
 * weir_last_error() tells the cause of a failed set-up call and what to do.
 *
 *     -ETIMEDOUT     the peer is dead: its process is gone or it is silent
 *     -ECONNRESET    the peer aborted: it destroyed a half without closing
 *     -ECONNREFUSED  nobody listens there, or the listener said no
 *     -EPROTO        the peer broke the protocol; nothing of it is trusted
 *     -EPIPE         this send half was closed here
 *     WEIR_EOF       the peer closed; every message before was received
 *
 * Threads. Calls on one half must not overlap; a half may be handed from
 * thread to thread. A send half opened with WEIR_LINK_MULTI_PRODUCER is for
 * several threads at once. A port with a poller (dpdk) is polled by one thread, its
 * owner: the one that opened it, or the poll thread that weir started on
 * request. mem and shm links need no poller. A message may be released on any
 * thread, in any order, also when its half, link and port are gone. The
 * _cancel calls may be used from any thread and from a signal handler.
 *
 * Waiting. Only the calls whose name ends in _wait, weir_tx_send() and
 * weir_port_close() may wait. A deadline is an absolute CLOCK_MONOTONIC time
 * in nanoseconds, see weir_now_ns().
 *
 * Ownership. A call that takes a permit, slot or message by pointer and is
 * marked "consumes" empties it. Using an empty one, or one half on two
 * threads at once, is a programming error; when the application is compiled
 * with WEIR_DEBUG defined, the call is named on stderr and the process
 * aborts. Without WEIR_DEBUG the library never aborts, exits or prints.
 *
 * Endpoints. scheme:address[,key=value]..., one form everywhere, for example
 * "mem:test", "shm:orders", "dpdk:demo", "dpdk:10.7.0.2:7400,dev=nic0".
 *
 * Configs start with their own size, so that programs built against an older
 * header keep working. Zero in any other field means "the default":
 *
 *     struct weir_link_config config = { .size = sizeof(config) };
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_API __attribute__((visibility("default")))

struct weir_port;
struct weir_listener;
struct weir_link;
struct weir_tx;
struct weir_rx;
struct weir_store;
struct weir_driver;

/** Peer closed its send half and every earlier message has been received. */
#define WEIR_EOF (-4096)

/** A deadline that never passes. */
#define WEIR_FOREVER UINT64_MAX

/** Longest message of a link unless its config says otherwise, bytes. */
#define WEIR_MSG_SIZE_DEFAULT (64u * 1024u)

/** Longest message that any link can be opened for, bytes. */
#define WEIR_MSG_SIZE_LIMIT (16u * 1024u * 1024u)

/** What the two ends agree on before the first message. */
enum weir_mode {
	WEIR_MODE_BARE = 0,   /**< the link ends when the transport does */
	WEIR_MODE_STABLE = 1, /**< messages survive a reconnect; refused today
				   with -EOPNOTSUPP by every driver */
};

/** Whether a port takes huge pages. */
enum weir_hugepages {
	WEIR_HUGEPAGES_AUTO = 0, /**< when there are any, else without a word */
	WEIR_HUGEPAGES_NEVER = 1,
	WEIR_HUGEPAGES_REQUIRE =
		2, /**< fail with -ENOMEM when there are none */
};

struct weir_port_config {
	size_t size;         /**< sizeof(struct weir_port_config) */
	uint32_t hugepages;  /**< enum weir_hugepages */
	uint32_t telemetry;  /**< 1: /weir/... on DPDK's telemetry socket,
			      which is opened when weir starts EAL; sets
			      stats, too */
	uint32_t poll_start; /**< 1: weir starts a thread that owns and polls */
	uint32_t poll_cpu;   /**< CPU of that thread */
	uint64_t spin_ns;    /**< _wait calls poll this long before they sleep;
				  0: 50 us, WEIR_FOREVER: never sleep */
	uint32_t stats; /**< 1: weir stat can read the counters of the port and
			     its links; so it can with WEIR_STATS=1 in the
			     environment */
};

/** Bits of weir_link_config.flags. */
enum weir_link_flags {
	/**
	 * Several threads may use the send half at once: every call but
	 * weir_tx_destroy(), which comes when no other is under way. mem, shm
	 * and dpdk; -EOPNOTSUPP elsewhere. The peer need not know, and who does
	 * not ask for it pays nothing.
	 *
	 * Messages arrive in the order of their commits, so those of one thread
	 * in its own. No thread waits for another one: what is reserved,
	 * allocated or open delays nobody. A thread that the scheduler stops in
	 * the middle of weir_slot_commit() delays only what the receiver sees
	 * of later messages, and only so long. reserve may answer 0 while
	 * another thread is collecting what the peer released.
	 *
	 * An answer that lasts is for all threads, those in a _wait call too.
	 * Each weir_tx_cancel() ends one wait. Each thread that has armed calls
	 * reserve again. Permits and slots may be handed from thread to thread.
	 */
	WEIR_LINK_MULTI_PRODUCER = 1u << 0,
};

/** A listener's config applies to each link that it accepts. */
struct weir_link_config {
	size_t size;           /**< sizeof(struct weir_link_config) */
	uint32_t mode;         /**< enum weir_mode, exact, never downgraded */
	uint32_t flags;        /**< enum weir_link_flags */
	uint32_t msg_size_max; /**< longest message this end sends, bytes;
				    0: WEIR_MSG_SIZE_DEFAULT; the link's limit
				    is the smaller one of what this end asks
				    for and the peer can take */
	uint32_t tx_credits;   /**< messages this end may have under way, 1 to
				    32,768, rounded up to a power of two;
				    0: 256 on shm links, else 1,024 */
	uint32_t large_count; /**< K, buffers of msg_size_max per direction when
				    it exceeds the largest small class, 1 to
				    64; 0: 4 on dpdk links, else 2 */
	uint32_t access_mode; /**< shm listener: permission bits of its socket,
				    e.g. 0660; 0: 0600 */
	const char *access_group;    /**< shm listener: group of the socket; its
					 members may connect; NULL: none */
	uint64_t connect_timeout_ns; /**< how long an absent listener is
					 retried; 0: 3 s */
	uint64_t keepalive_ns; /**< dpdk: silence before a probe; 0: 100 ms */
	uint64_t
		dead_timeout_ns; /**< dpdk: silence that ends the link; 0: 3 s */
};

/**
 * Right to send one message, from weir_tx_reserve*(). Empty when tx is NULL.
 * Plain data: may be moved, must not be used twice.
 */
struct weir_permit {
	struct weir_tx *tx;
	uint32_t size;   /**< longest message it is good for, bytes */
	uint32_t cookie; /**< driver's own */
};

/** Writable bytes of one message, in the transport's own memory. */
struct weir_slot {
	void *data;         /**< len writable bytes, aligned to 8 */
	struct weir_tx *tx; /**< NULL: empty */
	uintptr_t cookie;   /**< driver's own */
	uint32_t len;       /**< bytes; the size of the message */
};

/** One received message, readable until released. */
struct weir_msg {
	const void *data;         /**< len bytes that nobody will change */
	struct weir_store *store; /**< what the bytes lie in; NULL: empty */
	uintptr_t cookie;         /**< driver's own */
	uint32_t len;             /**< bytes, 0 is a message like any other */
};

/** Who is at the other end; fields that a driver cannot know are -1 or "". */
struct weir_peer {
	int64_t pid;      /**< process id in our namespace; 0: in another one */
	int64_t uid;      /**< user id */
	int64_t gid;      /**< group id */
	char address[64]; /**< printable, e.g. "10.7.0.2:7400" */
};

enum weir_log_level {
	WEIR_LOG_ERROR,
	WEIR_LOG_WARN,
	WEIR_LOG_NOTICE,
	WEIR_LOG_INFO,
	WEIR_LOG_DEBUG,
};

/* ---- the library ------------------------------------------------------- */

/** @return "major.minor.patch" of the library in use. Any thread. */
WEIR_API const char *weir_version(void);

/** @return static text for a negative return value of any call. Any thread. */
WEIR_API const char *weir_strerror(int rc);

/**
 * Why the last failed set-up call on this thread failed, and what to do.
 *
 * @return text valid until the next weir call on this thread; "" if none.
 */
WEIR_API const char *weir_last_error(void);

/** Called with one line without newline; from any thread that uses weir. */
typedef void (*weir_log_fn)(enum weir_log_level level, const char *line);

/**
 * Where the library's log goes, and EAL's when weir started it. NULL, as at
 * the start: nowhere. Call it before the first port is opened.
 */
WEIR_API void weir_set_log(weir_log_fn fn);

/** @return CLOCK_MONOTONIC in nanoseconds, the clock of all deadlines. */
WEIR_API uint64_t weir_now_ns(void);

/**
 * Add a driver that is not built into libweir, such as weir_driver_dpdk.
 * Any thread; no effect when it is there already.
 *
 * @return 0; -EEXIST another driver has that scheme; -ENOSPC; -EINVAL.
 */
WEIR_API int weir_driver_register(const struct weir_driver *driver);

/**
 * The driver of a scheme such as "shm", or by number when scheme is NULL.
 *
 * @return NULL if there is none.
 */
WEIR_API const struct weir_driver *weir_driver_find(const char *scheme,
						    unsigned int number);

/** @return the scheme of a driver, e.g. "shm". */
WEIR_API const char *weir_driver_scheme(const struct weir_driver *driver);

/** @return true if links of this driver can be opened in that mode. */
WEIR_API bool weir_driver_supports(const struct weir_driver *driver,
				   enum weir_mode mode);

/* ---- ports -------------------------------------------------------------- */

/**
 * Open a port: the device, socket directory or table that links go through.
 * Uses the scheme and the device keys of the endpoint; its address matters
 * only where the device is named after it ("dpdk:NAME"). The calling thread
 * becomes the owner. May allocate and take a second (EAL).
 *
 * @param config NULL: defaults.
 * @return 0; -EINVAL malformed endpoint, unknown scheme or key, bad config;
 *         -ENODEV no such device; -EACCES, -EPERM; -ENOMEM;
 *         -EADDRINUSE, -EBUSY the device or queue is taken.
 */
WEIR_API int weir_port_open(const char *endpoint,
			    const struct weir_port_config *config,
			    struct weir_port **port);

/**
 * Do the port's pending work: receive and transmit bursts, acknowledgements,
 * retransmissions, timers, set-up of links. Owner only. Never waits. For
 * mem and shm there is nothing to do and 0 is returned.
 *
 * @return number of events handled, 0 if idle.
 */
WEIR_API int weir_port_poll(struct weir_port *port);

/**
 * A descriptor for the owner to sleep on, readable when there may be work.
 * Owned by the port; level-triggered.
 *
 * @return descriptor; -EOPNOTSUPP the device has none (poll instead).
 */
WEIR_API int weir_port_fd(struct weir_port *port);

/**
 * Prepare to sleep on weir_port_fd(). Owner only; the next poll disarms.
 *
 * @param deadline_ns when to poll at the latest, WEIR_FOREVER if never.
 * @return 1 safe to sleep; 0 there is work now, or the device cannot wake us.
 */
WEIR_API int weir_port_arm(struct weir_port *port, uint64_t *deadline_ns);

/**
 * Close the port. Links and halves must have been destroyed, listeners closed;
 * handles of received messages may remain. Waits until closed links have said
 * goodbye to their peers, 1 s at most. Owner, or any thread if weir polls.
 *
 * @return 0; -EBUSY a link, half or listener exists, nothing happened.
 */
WEIR_API int weir_port_close(struct weir_port *port);

/* ---- links --------------------------------------------------------------- */

/**
 * Listen at the endpoint's address. The config applies to accepted links.
 *
 * @return 0; -EINVAL; -EADDRINUSE; -EEXIST another kind of file is there;
 *         -EACCES; -ENOMEM; -EMFILE; -EOPNOTSUPP
 *         mode or flag that the driver does not know; -ENOTDIR,
 *         -ENAMETOOLONG the runtime directory; -ENODEV, -EBUSY a device
 *         that is named after the endpoint. Nothing is left behind.
 */
WEIR_API int weir_listener_open(struct weir_port *port, const char *endpoint,
				const struct weir_link_config *config,
				struct weir_listener **listener);

/** @return a level-triggered descriptor, readable when a link may wait to be
 *          accepted; -EOPNOTSUPP sleep on the port instead. */
WEIR_API int weir_listener_fd(struct weir_listener *listener);

/** Stop listening. Accepted links live on; waiting ones are refused. */
WEIR_API void weir_listener_close(struct weir_listener *listener);

/**
 * Take a link that a peer has set up. Polls the port on its owner's thread.
 *
 * @return 1 and a link; 0 nobody is waiting; -ENOMEM; -EMFILE; others end
 *         the listener. A peer that misbehaves during set-up costs nothing
 *         and is not reported here.
 */
WEIR_API int weir_link_accept(struct weir_listener *listener,
			      struct weir_link **link);

/** As weir_link_accept(), waiting. @return also 0 when the deadline passed;
 *  -EINTR. */
WEIR_API int weir_link_accept_wait(struct weir_listener *listener,
				   uint64_t deadline_ns,
				   struct weir_link **link);

/**
 * Start a link to the listener at the endpoint's address. Returns at once;
 * the halves can be used at once and answer 0 until the link is up. An
 * absent listener is retried for connect_timeout_ns.
 *
 * @return 0; -EINVAL; -ENOMEM; -EMFILE; -EACCES; -EOPNOTSUPP.
 */
WEIR_API int weir_link_connect(struct weir_port *port, const char *endpoint,
			       const struct weir_link_config *config,
			       struct weir_link **link);

/**
 * Move the halves out: the caller owns them from now on and destroys them
 * with weir_tx_destroy() and weir_rx_destroy(), before or after the link.
 *
 * @param tx,rx either may be NULL: that half stays with the link.
 * @return 0; -EALREADY a half asked for is out already, nothing happened.
 */
WEIR_API int weir_link_split(struct weir_link *link, struct weir_tx **tx,
			     struct weir_rx **rx);

/**
 * Put a link together from two halves, of different links or drivers even.
 * On success it owns both; its status is the first error of either. Of a
 * half that was split out again it keeps what that one's was then.
 *
 * @return 0; -ENOMEM, -EINVAL a half is NULL: the caller keeps both.
 */
WEIR_API int weir_link_join(struct weir_tx *tx, struct weir_rx *rx,
			    struct weir_link **link);

/**
 * @return -EINPROGRESS while being set up; 0 up; WEIR_EOF both directions
 *         were closed and everything sent is with the peer; -ECONNREFUSED,
 *         -EACCES, -ETIMEDOUT, -ECONNRESET, -EPROTO, -EOPNOTSUPP; while
 *         being set up also -ENOMEM, -EMFILE, -ENODEV, -EBUSY. Thread of the
 *         link's creator; polls the port on its owner's thread. A shm link
 *         that came up and ended before anybody looked says 0 once: its halves
 *         have what the peer sent.
 */
WEIR_API int weir_link_status(struct weir_link *link);

/**
 * Wait until the link is up or has failed.
 *
 * @return 1 up; 0 the deadline passed; negative as weir_link_status();
 *         -EINTR.
 */
WEIR_API int weir_link_wait(struct weir_link *link, uint64_t deadline_ns);

/** @return 0; -ENOTCONN not up yet; -EOPNOTSUPP. */
WEIR_API int weir_link_peer(struct weir_link *link, struct weir_peer *peer);

/** Free the control object and those halves that were never split out
 *  (which is an abort of each that was not closed). */
WEIR_API void weir_link_destroy(struct weir_link *link);

/* ---- send half ------------------------------------------------------------ */

/**
 * Ask for the right to send one message of any size up to the limit. With
 * the next two calls this is the only place where backpressure shows.
 *
 * @return 1 and a permit; 0 no room yet, nothing held; -EPIPE closed here;
 *         -ECONNRESET, -ETIMEDOUT, -ECONNREFUSED, -EPROTO the link is dead.
 */
static inline int weir_tx_reserve(struct weir_tx *tx,
				  struct weir_permit *permit);

/**
 * As weir_tx_reserve() for up to n permits, each good for size_hint bytes.
 * A small hint pledges less of the transport's memory: far more such permits
 * can be out at once, see weir_tx_capacity().
 *
 * @return count; 0; negative as above; -EMSGSIZE size_hint is over
 *         weir_tx_msg_size_max().
 */
static inline int weir_tx_reserve_burst(struct weir_tx *tx, uint32_t size_hint,
					struct weir_permit *permits,
					uint16_t n);

/**
 * As weir_tx_reserve_burst() for one permit, waiting for room. On the owner's
 * thread of a port with a poller it polls meanwhile. Of a half that several
 * threads share, 32 can sleep at once; one more looks again and again, and gives
 * its processor away in between.
 *
 * @return 1; 0 the deadline passed; -ECANCELED woken by weir_tx_cancel();
 *         -EINTR a signal was handled while it slept; else as above.
 */
WEIR_API int weir_tx_reserve_wait(struct weir_tx *tx, uint32_t size_hint,
				  uint64_t deadline_ns,
				  struct weir_permit *permit);

/** Give the right to send back; nothing is published. Consumes the permit. */
static inline void weir_permit_drop(struct weir_permit *permit);

/**
 * Turn a permit into exactly len writable bytes. Consumes the permit whatever
 * the outcome; on failure all that it held is given back.
 *
 * @return 0; -EMSGSIZE len is over the permit's size.
 */
static inline int weir_permit_alloc(struct weir_permit *permit, uint32_t len,
				    struct weir_slot *slot);

/**
 * As weir_permit_alloc() for n permits of one half: slot i gets lens[i] bytes.
 * n may be 0. Consumes the permits whatever the outcome; if one length does not
 * fit, all that they held is given back and no slot is filled.
 *
 * @return 0; -EMSGSIZE a length is over its permit's size.
 */
static inline int weir_permit_alloc_burst(struct weir_permit *permits,
					  const uint32_t *lens,
					  struct weir_slot *slots, uint16_t n);

/**
 * Publish the message as its bytes are now. Order of commit is order of
 * receipt. Never fails, never waits. Consumes the slot.
 */
static inline void weir_slot_commit(struct weir_slot *slot);

/**
 * As weir_slot_commit() for n slots of one half, one after the other; n may be
 * 0. On shm, and where several threads share the half, it is cheaper than
 * single calls. Consumes the slots.
 */
static inline void weir_slot_commit_burst(struct weir_slot *slots, uint16_t n);

/** Throw the message away unseen and give all back. Consumes the slot. */
static inline void weir_slot_discard(struct weir_slot *slot);

/**
 * Transmit what was committed now, if called on the port owner's thread;
 * elsewhere the port's next poll does it. mem and shm publish on commit.
 * Between two polls it sends at most 32 packets of a half while other links of
 * the port are in use, and none while the device has no room: what is more
 * waits for the poll, so that flushing gets no link more than its turn.
 */
static inline void weir_tx_flush(struct weir_tx *tx);

/**
 * Copy and send, for callers that do not build in place; waits without limit
 * for room and flushes.
 *
 * @return 0; -EMSGSIZE; -ECANCELED; -EINTR; else as weir_tx_reserve().
 */
WEIR_API int weir_tx_send(struct weir_tx *tx, const void *data, uint32_t len);

/** As weir_tx_send() without waiting. @return 1 sent; 0 no room; negative. */
WEIR_API int weir_tx_try_send(struct weir_tx *tx, const void *data,
			      uint32_t len);

/**
 * Pass a received message on to another link. On success both are consumed,
 * on -EMSGSIZE only the permit. Never waits. Copies the bytes, as
 * weir_tx_stats.copied_bytes tells.
 *
 * @return 0; -EMSGSIZE.
 */
WEIR_API int weir_msg_forward(struct weir_msg *msg, struct weir_permit *permit);

/** Wake the _wait call in progress on this half, else the next one; of
 *  several threads' one per call. Any thread, async-signal-safe. */
WEIR_API void weir_tx_cancel(struct weir_tx *tx);

/**
 * Close the outbound direction: the peer receives every committed message,
 * then WEIR_EOF. The other direction goes on. Does not wait; weir_link_status
 * and weir_port_close() tell when the peer has all.
 *
 * @return 0; -EBUSY a permit or slot is out, or another thread is inside
 *         reserve or commit, nothing happened; -EALREADY closed before; else
 *         as weir_tx_reserve().
 */
WEIR_API int weir_tx_close(struct weir_tx *tx);

/** @return longest message that alloc will grant, bytes; settled when the
 *          link is up. */
WEIR_API uint32_t weir_tx_msg_size_max(const struct weir_tx *tx);

/** @return how many permits of that size hint can be out on an idle link, 0
 *          until it is up. Half's thread. */
WEIR_API uint32_t weir_tx_capacity(struct weir_tx *tx, uint32_t size_hint);

/**
 * A level-triggered descriptor, readable when reserve may succeed or has
 * something to say. Owned by the half. Sleep on it only after arming.
 *
 * @return descriptor; -EMFILE.
 */
WEIR_API int weir_tx_fd(struct weir_tx *tx);

/**
 * Prepare to sleep until a permit of size_hint may be had; the next reserve
 * disarms. Half's thread.
 *
 * @return 1 safe to sleep; 0 ready now; negative as weir_tx_reserve_burst().
 */
WEIR_API int weir_tx_arm(struct weir_tx *tx, uint32_t size_hint);

/**
 * Free the half. Without weir_tx_close() before, this is an abort: the peer
 * receives what was committed and already there, then -ECONNRESET. Permits
 * and slots that are still out die with it.
 */
WEIR_API void weir_tx_destroy(struct weir_tx *tx);

/* ---- receive half ---------------------------------------------------------- */

/**
 * Receive one message, or up to n.
 *
 * @return count; 0 none yet; WEIR_EOF; -ECONNRESET, -ETIMEDOUT,
 *         -ECONNREFUSED, -EPROTO. What the peer had committed before it
 *         aborted or died, and had got here, is received first.
 */
static inline int weir_rx_recv(struct weir_rx *rx, struct weir_msg *msg);
static inline int weir_rx_recv_burst(struct weir_rx *rx, struct weir_msg *msgs,
				     uint16_t n);

/** As weir_rx_recv(), waiting. @return also 0 when the deadline passed;
 *  -ECANCELED; -EINTR. */
WEIR_API int weir_rx_recv_wait(struct weir_rx *rx, uint64_t deadline_ns,
			       struct weir_msg *msg);

/**
 * Hand the bytes back to the transport, which lets the peer send more. Any
 * thread, any order, any time. Consumes the message.
 */
static inline void weir_msg_release(struct weir_msg *msg);

/** As weir_msg_release() for n messages, of whichever links; cheaper for
 *  neighbours of the same one. n may be 0. Consumes the messages. */
static inline void weir_msg_release_burst(struct weir_msg *msgs, uint16_t n);

/** As weir_tx_cancel(), for weir_rx_recv_wait(). */
WEIR_API void weir_rx_cancel(struct weir_rx *rx);

/** As weir_tx_fd(), readable when recv may have something. */
WEIR_API int weir_rx_fd(struct weir_rx *rx);

/** As weir_tx_arm(); the next recv disarms. */
WEIR_API int weir_rx_arm(struct weir_rx *rx);

/** Free the half. The peer's reserve fails with -ECONNRESET unless it closed
 *  before; handles stay valid. */
WEIR_API void weir_rx_destroy(struct weir_rx *rx);

#include "weir_inline.h"

#ifdef __cplusplus
}
#endif

#endif /* WEIR_H */
