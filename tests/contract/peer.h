/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PEER_H
#define PEER_H

/*
 * A peer is one end of the links under test: ports, links, halves, held
 * messages. It does what orders say. Where it lives is its driver's matter:
 *
 *     case ---order---> peer_local: runs the steps on this thread
 *          <--answer--- peer_child: sends them to a child process over a
 *                       socketpair, which runs the same steps
 *
 * An order may take long (receive 1,000 messages). So a peer is started and
 * finished in two calls, and peer_pump() gives every busy peer a turn and
 * polls every port: with that, two peers on one thread work like two machines.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "weir.h"

#define PEER_ENDS     72 /* links of one peer */
#define PEER_CARRIERS 2  /* ports of one peer, and links under a joined one */
#define PEER_HELD     4096
#define PEER_SLOTS    64
#define PEER_ALL      UINT64_MAX

enum step {
	STEP_NONE,
	/* set-up: k is the carrier (which port), end the link */
	STEP_PORT_OPEN,   /* endpoint, n: spin_ns */
	STEP_PORT_CLOSE,  /* answer.rc */
	STEP_LISTEN,      /* endpoint, config */
	STEP_UNLISTEN,    /* */
	STEP_CONNECT,     /* endpoint, config */
	STEP_ACCEPT,      /* until there is one */
	STEP_UP,          /* until the link is up or failed: answer.rc */
	STEP_SPLIT,       /* into halves, ready to send */
	STEP_STATUS,      /* answer.rc as of weir_link_status() now */
	STEP_STATUS_LAST, /* until the status is negative and not in progress */
	STEP_PEER,        /* answer.n: pid at the other end */
	/* data */
	STEP_SEND,         /* n messages of size with seed, numbered from k */
	STEP_RECV,         /* n messages, compared with seed, size; released */
	STEP_DRAIN,        /* until the end: answer.n messages, answer.rc */
	STEP_RESERVE_END,  /* until reserve is negative: answer.rc */
	STEP_RESERVE_FILL, /* until reserve gives 0; answer.n permits; dropped */
	STEP_HOLD,         /* n messages, compared, kept */
	STEP_CHECK,        /* compare what is held again */
	STEP_RELEASE,      /* n of what is held, from the oldest; n PEER_ALL */
	STEP_OPEN_SLOTS,   /* n filled slots of size with seed */
	STEP_COMMIT,       /* slot k */
	STEP_DISCARD,      /* slot k */
	STEP_ECHO,         /* n messages are sent back */
	STEP_EXCHANGE,    /* send n with seed, receive n with seed k, at once */
	STEP_SHORT_LINKS, /* n links: connect or accept, send one, close */
	STEP_COUNTERS,    /* answer.tx, answer.rx */
	/* endings */
	STEP_TX_CLOSE,     /* answer.rc */
	STEP_TX_DESTROY,   /* */
	STEP_RX_DESTROY,   /* */
	STEP_LINK_DESTROY, /* */
	STEP_RESET,        /* everything of the case goes; ports stay */
	STEPS,
};

/* One command. Plain data without pointers: it may cross a process. */
struct order {
	uint32_t step;
	uint32_t end;  /* which link of the peer */
	uint64_t n;    /* how many */
	uint64_t size; /* bytes, or PATTERN_MIX() */
	uint64_t seed; /* of the contents */
	uint64_t k;
	struct weir_link_config config;
	char endpoint[256];
};

struct answer {
	int64_t rc; /* 0, or what the call in question gave */
	uint64_t n; /* how many it did */
	uint64_t tx_messages, tx_bytes, tx_copied;
	uint64_t rx_messages, rx_bytes, rx_copied, rx_released;
	char text[192]; /* a rule was broken: what was seen; "" if not */
};

struct peer;

struct peer_ops {
	void (*start)(struct peer *peer, const struct order *order);
	/* One turn: polls ports, goes on with the order, takes the answer.
	 * @return true if anything moved. */
	bool (*turn)(struct peer *peer);
	void (*destroy)(struct peer *peer);
};

struct peer {
	const struct peer_ops *ops;
	const char *name;   /* in failures: "A", "B" */
	bool busy;          /* an order is under way */
	bool gone;          /* its process has died */
	unsigned int ports; /* bit k: port k is open */
	pid_t pid;          /* 0: it shares our process */
	struct answer answer;
	struct order order;
	struct peer *next; /* all peers of this process */
};

/* ---- life ---- */

struct steps;

/* A peer on this thread, and its insides, which cases may use directly. */
struct peer *peer_local(const char *name);
struct steps *peer_local_steps(struct peer *peer);

/*
 * A peer in a child process: this program again with "--peer FD".
 *
 * @param netns namespace the child enters first, or -1.
 */
struct peer *peer_child(const char *name, int netns);

/* What the child runs. @return exit code. */
int peer_child_main(int fd);

/* For the kinds of peer: into the list that peer_pump() walks. */
void peer_adopt(struct peer *peer);

void peer_destroy(struct peer *peer);

/* ---- orders ---- */

/* Set in the config of every link that is opened by an order. */
extern uint32_t peer_link_flags;

void peer_start(struct peer *peer, const struct order *order);

/* Turn until it has answered. Fails the case when it broke a rule, or after
 * the time limit. */
struct answer peer_finish(struct peer *peer);

/* The same, but a peer that has died or is stuck is an answer as well. */
bool peer_try_finish(struct peer *peer, uint64_t deadline_ns);

/* start, finish */
struct answer peer_call(struct peer *peer, const struct order *order);

#define ORDER(...)         (&(struct order){ __VA_ARGS__ })
#define peer_do(peer, ...) peer_call(peer, ORDER(__VA_ARGS__))
#define peer_go(peer, ...) peer_start(peer, ORDER(__VA_ARGS__))

/* One turn for every peer; yields when nothing moved. */
void peer_pump(void);

/* Seconds that a wait may take before the case fails. */
uint64_t peer_limit_ns(void);

/* A time, as many times longer as that limit is longer than usual. */
uint64_t peer_stretch(uint64_t time);

#endif /* PEER_H */
